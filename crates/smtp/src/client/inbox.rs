//! What the peer said and nobody has read yet: octets in, whole replies out, and challenges of AUTH where they may come.
//!
//! Holds no memory while it is empty. An over-long line is cut, not refused, since its code may say something that
//! matters; a reply that does not end is refused.
//!
//! RFC 5321 §4.2, §4.5.3.1.5.

use crate::reply::{LINE_MAX, Reply, ReplyReader, clean};
use memchr::memchr;

/// Octets of one reply, however many lines. What is beyond [`LINE_MAX`] of a line is not kept.
pub(super) const REPLY_MAX: usize = 4 << 20;
/// Octets of a line that are kept: code, separator, text and CRLF.
const KEPT_MAX: usize = LINE_MAX + 6;

/// Octets of a challenge's line (RFC 4954 §4 holds 12,288 for enough).
const CHALLENGE_MAX: usize = 12_288;

/// What the peer said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Reply(Reply),
    /// The text behind 334, base64 if the peer keeps to the standard.
    Challenge(Vec<u8>),
}

/// Why there is no reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoReply {
    /// This line is none.
    Garbage(String),
    /// It does not end.
    Flood,
}

#[derive(Default, Debug)]
pub(super) struct Inbox {
    octets: Vec<u8>,
    /// Up to here they are read.
    at: usize,
    reader: ReplyReader,
    /// Octets of the reply under way that are read already.
    taken: usize,
    /// A reply is under way: lines of it were read.
    open: bool,
}

impl Inbox {
    pub(super) fn push(&mut self, octets: &[u8]) {
        // More than a whole reply may have: whatever it is, it is told as a flood when it is read.
        let room = (REPLY_MAX + 2 * KEPT_MAX).saturating_sub(self.octets.len() - self.at);
        self.octets.extend_from_slice(&octets[..octets.len().min(room)]);
    }

    /// Is there nothing, not even a part of a reply?
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.octets.len() && !self.open
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.octets.capacity()
    }

    /// The next whole reply or, where one may come, challenge.
    pub(super) fn next(&mut self, may_challenge: bool) -> Result<Option<Heard>, NoReply> {
        if may_challenge && !self.open {
            let line = &self.octets[self.at..];
            let end = memchr(b'\n', line);
            let is_challenge = match line {
                [b'3', b'3', b'4', b' ' | b'\r' | b'\n', ..] => true,
                short => end.is_none() && short.len() < 4 && b"334".starts_with(&short[..short.len().min(3)]),
            };
            if is_challenge {
                return match end {
                    Some(end) if end <= CHALLENGE_MAX => Ok(Some(self.challenge(end))),
                    None if line.len() <= CHALLENGE_MAX => Ok(None),
                    _ => Err(NoReply::Flood),
                };
            }
        }
        self.reply().map(|reply| reply.map(Heard::Reply))
    }

    /// The line that ends there.
    fn challenge(&mut self, end: usize) -> Heard {
        let line = &self.octets[self.at..self.at + end];
        let text = line.get(4..).unwrap_or_default().trim_ascii_end().to_vec();
        self.at += end + 1;
        self.tidy();
        Heard::Challenge(text)
    }

    /// The next whole reply, if there is one.
    pub(super) fn reply(&mut self) -> Result<Option<Reply>, NoReply> {
        while let Some(length) = memchr(b'\n', &self.octets[self.at..]) {
            let line = &self.octets[self.at..self.at + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let read = self.reader.line(&line[..line.len().min(KEPT_MAX)]).map_err(|bad| NoReply::Garbage(bad.line));
            self.taken += length + 1;
            self.at += length + 1;
            self.open = matches!(read, Ok(None));
            self.tidy();
            if !self.open {
                self.taken = 0;
            }
            if let Some(reply) = read? {
                return Ok(Some(reply));
            }
        }
        self.shorten();
        if self.taken + (self.octets.len() - self.at) > REPLY_MAX { Err(NoReply::Flood) } else { Ok(None) }
    }

    /// What is there that is no whole reply, fit to show.
    pub(super) fn rest(&self) -> String {
        clean(&self.octets[self.at..])
    }

    /// A line without end that is longer than what is kept of it loses its tail; the length is still counted.
    fn shorten(&mut self) {
        let waiting = self.octets.len() - self.at;
        if waiting > KEPT_MAX {
            // The last octet stays: it may be the CR of the line's end.
            let last = self.octets[self.octets.len() - 1];
            self.octets.truncate(self.at + KEPT_MAX);
            self.octets.push(last);
            self.taken += waiting - (KEPT_MAX + 1);
        }
    }

    /// Gives memory back, or moves what is left to the front.
    fn tidy(&mut self) {
        if self.at == self.octets.len() {
            self.octets = Vec::new();
            self.at = 0;
        } else if self.at > 64 * 1024 {
            self.octets.drain(..self.at);
            self.at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_come_out_whole_however_they_come_in() {
        let wire = b"220 a\r\n250-b\r\n250-5.1.1\r\n250 c\r\n354\r\n550 5.1.1 d\n";
        for size in 1..=wire.len() {
            let mut inbox = Inbox::default();
            let mut got = Vec::new();
            for chunk in wire.chunks(size) {
                inbox.push(chunk);
                while let Some(reply) = inbox.reply().unwrap() {
                    got.push((reply.code, reply.lines.len()));
                }
            }
            assert_eq!(got, [(220, 1), (250, 3), (354, 1), (550, 1)]);
            assert!(inbox.is_empty() && inbox.octets.capacity() == 0);
        }
    }

    #[test]
    fn half_a_reply_is_not_nothing() {
        let mut inbox = Inbox::default();
        inbox.push(b"250-a\r\n");
        assert_eq!(inbox.reply(), Ok(None));
        assert!(!inbox.is_empty());
        inbox.push(b"250 b\r\n");
        assert!(inbox.reply().unwrap().is_some());
        assert!(inbox.is_empty());
        inbox.push(b"hello\r\n");
        assert_eq!(inbox.reply(), Err(NoReply::Garbage("hello".to_owned())));
    }

    #[test]
    fn long_lines_are_cut_and_endless_ones_refused() {
        let mut inbox = Inbox::default();
        inbox.push(b"550 ");
        for _ in 0..3_000 {
            inbox.push(&[b'x'; 1_000]);
            assert_eq!(inbox.reply(), Ok(None));
            assert!(inbox.octets.len() < 2_000);
        }
        inbox.push(b"\r\n");
        let reply = inbox.reply().unwrap().unwrap();
        assert_eq!((reply.code, reply.lines[0].len()), (550, LINE_MAX));
        assert!(inbox.is_empty());

        inbox.push(b"550 ");
        let flood = (0..5_000).any(|_| {
            inbox.push(&[b'x'; 1_000]);
            inbox.reply() == Err(NoReply::Flood)
        });
        assert!(flood);

        let mut inbox = Inbox::default();
        let flood = (0..500_000).any(|_| {
            inbox.push(b"550-more\r\n");
            inbox.reply() == Err(NoReply::Flood)
        });
        assert!(flood);

        let mut inbox = Inbox::default();
        inbox.push(&b"550-more\r\n".repeat(60_000));
        assert_eq!(inbox.reply(), Ok(None));
        inbox.push(&b"550-more\r\n".repeat(400_000));
        assert_eq!(inbox.reply(), Err(NoReply::Flood));
    }

    #[test]
    fn a_flood_at_once_holds_bounded_memory() {
        let mut inbox = Inbox::default();
        for _ in 0..100 {
            inbox.push(&[b'2'; 1 << 20]);
        }
        assert!(inbox.octets.len() <= REPLY_MAX + 2 * KEPT_MAX);
        assert_eq!(inbox.reply(), Err(NoReply::Flood));
    }
}
