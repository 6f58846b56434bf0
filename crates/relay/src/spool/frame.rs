//! One record of the journal, as octets.
//!
//! ```text
//!  0  "MRJ1"                     28  salt, 8 octets
//!  4  check of what follows      36  message id, 8 octets
//!  8  kind                       44  octets of text
//! 12  segment's number           48  octets of content
//! 16  offset in the segment      52  text (an envelope), check of the content, content
//! 20  durable up to here
//! 24  sequence in the segment
//! ```
//!
//! Numbers are little-endian; both checks are CRC-32; the first covers all from octet 8 to the content's check. The
//! content has a check of its own, right before it, so that it can be computed before the place is known, and tested
//! again whenever the content is read.
//!
//! Segment, offset and salt are in each frame so that nothing but a frame of *this* life of *this* segment at *this*
//! place can be taken for one: not the stale frames of a file that is used again, and not a frame inside a message (a
//! journal sent by mail, or one made by somebody who knows this page; he does not know the salt). "Durable up to here"
//! says how much of the segment had been synced before this frame was written: a hole below it is damage, a hole
//! above it is a write that the power cut, and nobody was promised anything.

use crate::envelope::QueueId;

/// Octets before the text.
const HEAD: usize = 52;
/// Octets of a frame without text and content.
pub(super) const BARE: usize = HEAD + CHECK;
/// Octets of the content's check, between text and content.
pub(super) const CHECK: usize = 4;
/// How each frame begins.
pub(super) const MAGIC: [u8; 4] = *b"MRJ1";

/// What a frame says.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The first one of a segment. The id's halves: number of the segment before, and where that one ended.
    Begin,
    /// A message: envelope and content.
    Accepted,
    /// A message whose content is in `ID.eml`.
    AcceptedFile,
    /// A message's envelope has changed.
    Fates,
    /// Nothing is left to do for the message.
    Gone,
    /// The message is in the folder now.
    Parked,
}

impl Kind {
    fn from_number(number: u32) -> Option<Kind> {
        use Kind as K;
        [K::Begin, K::Accepted, K::AcceptedFile, K::Fates, K::Gone, K::Parked]
            .into_iter()
            .find(|k| k.number() == number)
    }

    fn number(self) -> u32 {
        match self {
            Kind::Begin => 1,
            Kind::Accepted => 2,
            Kind::AcceptedFile => 3,
            Kind::Fates => 4,
            Kind::Gone => 5,
            Kind::Parked => 6,
        }
    }
}

/// The fixed part of a frame.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub kind: Kind,
    pub segment: u32,
    pub offset: u32,
    pub synced: u32,
    pub sequence: u32,
    pub salt: u64,
    pub id: QueueId,
    pub text_len: u32,
    pub content_len: u32,
    pub content_check: u32,
}

impl Head {
    /// Appends all but the content, which follows it on disk.
    pub fn print(&self, text: &str, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        for number in [self.kind.number(), self.segment, self.offset, self.synced, self.sequence] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.id.0.to_le_bytes());
        for number in [self.text_len, self.content_len] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(&self.content_check.to_le_bytes());
        let check = crc32fast::hash(&out[from + 8..]);
        out[from + 4..from + 8].copy_from_slice(&check.to_le_bytes());
    }

    /// Where the frame ends in its segment.
    pub fn end(&self) -> u64 {
        self.content_at() + u64::from(self.content_len)
    }

    /// Where its content begins in its segment.
    pub fn content_at(&self) -> u64 {
        u64::from(self.offset) + BARE as u64 + u64::from(self.text_len)
    }
}

/// A whole frame, found in a segment's octets.
pub(super) struct Frame<'a> {
    pub head: Head,
    pub text: &'a str,
}

/// The segment that the first frame says it is of; its check is not looked at.
pub(super) fn segment_of(octets: &[u8]) -> Option<u32> {
    octets.get(12..16)?.try_into().ok().map(u32::from_le_bytes)
}

/// The frame at `offset` of a segment, if a whole one of that segment stands there.
pub(super) fn parse(octets: &[u8], offset: usize, segment: u32, salt: Option<u64>) -> Option<Frame<'_>> {
    let rest = octets.get(offset..)?;
    if rest.len() < BARE || rest[..4] != MAGIC {
        return None;
    }
    let number = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
    let long = |at: usize| u64::from(number(at)) | u64::from(number(at + 4)) << 32;
    let mut head = Head {
        kind: Kind::from_number(number(8))?,
        segment: number(12),
        offset: number(16),
        synced: number(20),
        sequence: number(24),
        salt: long(28),
        id: QueueId(long(36)),
        text_len: number(44),
        content_len: number(48),
        content_check: 0,
    };
    if head.segment != segment || u32::try_from(offset) != Ok(head.offset) || salt.is_some_and(|s| s != head.salt) {
        return None;
    }
    let text_end = HEAD.checked_add(usize::try_from(head.text_len).ok()?)?;
    let content_from = text_end.checked_add(CHECK)?;
    let end = content_from.checked_add(usize::try_from(head.content_len).ok()?)?;
    let content = rest.get(content_from..end)?;
    head.content_check = number(text_end);
    if crc32fast::hash(&rest[8..content_from]) != number(4) || crc32fast::hash(content) != head.content_check {
        return None;
    }
    Some(Frame { head, text: std::str::from_utf8(&rest[HEAD..text_end]).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Head, Vec<u8>) {
        let head = Head {
            kind: Kind::Accepted,
            segment: 3,
            offset: 8,
            synced: 8,
            sequence: 1,
            salt: 0x1234_5678_9abc_def0,
            id: QueueId(0xfedc_ba98_7654_3210),
            text_len: 4,
            content_len: 7,
            content_check: crc32fast::hash(b"content"),
        };
        let mut octets = vec![0; 8];
        head.print("text", &mut octets);
        octets.extend_from_slice(b"content");
        (head, octets)
    }

    #[test]
    fn a_frame_reads_back() {
        let (head, octets) = sample();
        let frame = parse(&octets, 8, 3, Some(head.salt)).unwrap();
        assert_eq!((frame.head, frame.text), (head, "text"));
        assert_eq!(head.end(), octets.len() as u64);
        assert_eq!(&octets[usize::try_from(head.content_at()).unwrap()..], b"content");
    }

    #[test]
    fn each_bent_octet_is_seen() {
        let (_, octets) = sample();
        for at in 8..octets.len() {
            for bit in 0..8 {
                let mut bent = octets.clone();
                bent[at] ^= 1 << bit;
                assert!(parse(&bent, 8, 3, None).is_none(), "octet {at}, bit {bit}");
            }
        }
        for end in 0..octets.len() {
            assert!(parse(&octets[..end], 8, 3, None).is_none(), "cut at {end}");
        }
    }

    #[test]
    fn a_frame_of_another_life_or_place_is_none() {
        let (head, octets) = sample();
        assert!(parse(&octets, 8, 4, None).is_none(), "another segment");
        assert!(parse(&octets, 8, 3, Some(head.salt + 1)).is_none(), "another salt");
        let moved = [&[0; 8], octets.as_slice()].concat();
        assert!(parse(&moved, 16, 3, None).is_none(), "another place");
    }
}
