//! The file that messages are carried out in, and in again: a tar archive, as every system can open it.
//!
//! ```text
//! 00063f1c2d3e4f50.env    the envelope, as it stands in the Queue folder
//! 00063f1c2d3e4f50.eml    the message
//! …
//! export.txt              for people: how many there are, and what could not be written
//! ```
//!
//! Written as plain ustar. Read are regular files wherever they lie in it, an `.env` and the `.eml` of the same name next to each other in
//! either order; everything else is passed over. What is damaged is told, never guessed.
//!
//! Octets and names only; the daemon reads, writes, and hands in. POSIX.1-1988 (ustar).

use crate::envelope::QueueId;
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;

/// Octets of an envelope that are read.
pub const ARCHIVED_ENVELOPE_MAX: u64 = 16 << 20;
/// The last file of an archive.
pub const SUMMARY_NAME: &str = "export.txt";

/// Octets of a block.
const BLOCK: usize = 512;
/// The greatest size that a header can say: eleven octal digits.
const SIZE_MAX: u64 = 0o777_7777_7777;

/// The header of a file of this name and size; `None`: it is too large for one.
#[must_use]
pub fn header(name: &str, size: u64, modified: u64) -> Option<Bytes> {
    if name.len() >= 100 || size > SIZE_MAX {
        return None;
    }
    let mut block = [0_u8; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{:011o}\0", modified.min(SIZE_MAX)));
    put(156, "0");
    put(257, "ustar\x0000");
    put(148, "        ");
    let sum: u64 = block.iter().map(|octet| u64::from(*octet)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(Bytes::copy_from_slice(&block))
}

/// What stands behind a file of this size.
#[must_use]
pub fn padding(size: u64) -> Bytes {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    Bytes::from_static(&[0; BLOCK]).slice(..if over == 0 { 0 } else { BLOCK - over })
}

/// The end of an archive.
#[must_use]
pub fn end() -> Bytes {
    Bytes::from_static(&[0; 2 * BLOCK])
}

/// Which part of which message a file of an archive is; `None`: it is something else.
#[must_use]
pub fn member(name: &str) -> Option<(QueueId, Part)> {
    let (stem, end) = name.rsplit('/').next()?.rsplit_once('.')?;
    let part = match end {
        "env" => Part::Envelope,
        "eml" => Part::Content,
        _ => return None,
    };
    QueueId::parse(stem).map(|id| (id, part))
}

/// A part of a message.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Its envelope.
    Envelope,
    /// Its content.
    Content,
}

/// What an archive brings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A file begins.
    Begin {
        /// Its name.
        name: String,
        /// Octets.
        size: u64,
    },
    /// The next octets of it.
    Data(Bytes),
    /// It has ended.
    End,
}

/// Why an archive cannot be read any further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Damage {
    /// A header is none, or its sum is wrong.
    Header,
    /// It ends in the midst of a file.
    Cut,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::Header => "this is no tar archive, or it is damaged here",
            Damage::Cut => "the archive breaks off in the midst of a file",
        })
    }
}

/// Reads an archive, in pieces of any size.
#[derive(Debug, Default)]
pub struct Reader {
    input: BytesMut,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    /// In a file: octets that are left of it, and of what stands behind it; it is told of.
    File { left: u64, padding: u64, told: bool },
    /// Two empty blocks, or what counts as them, have come.
    Over,
}

impl Reader {
    /// The next octets of the archive.
    pub fn feed(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// What they bring; `None`: more is needed.
    ///
    /// # Errors
    /// The archive is damaged; nothing more is to be had of it.
    pub fn item(&mut self) -> Result<Option<Item>, Damage> {
        loop {
            match &mut self.state {
                State::Over => {
                    self.input.clear();
                    return Ok(None);
                }
                State::Header => {
                    if self.input.len() < BLOCK {
                        return Ok(None);
                    }
                    let block = self.input.split_to(BLOCK);
                    if block.iter().all(|octet| *octet == 0) {
                        self.state = State::Over;
                        continue;
                    }
                    let head = Head::read(&block).ok_or(Damage::Header)?;
                    let padding = padding(head.size).len() as u64;
                    self.state = State::File { left: head.size, padding, told: head.regular };
                    if head.regular {
                        return Ok(Some(Item::Begin { name: head.name, size: head.size }));
                    }
                }
                State::File { left: 0, padding: 0, told } => {
                    let told = *told;
                    self.state = State::Header;
                    if told {
                        return Ok(Some(Item::End));
                    }
                }
                State::File { left: 0, padding, .. } => {
                    if self.input.is_empty() {
                        return Ok(None);
                    }
                    let some = (*padding).min(self.input.len() as u64);
                    *padding -= some;
                    self.input.advance(usize::try_from(some).unwrap_or(0));
                }
                State::File { left, told, .. } => {
                    if self.input.is_empty() {
                        return Ok(None);
                    }
                    let some = usize::try_from((*left).min(self.input.len() as u64)).unwrap_or(0);
                    *left -= some as u64;
                    let data = self.input.split_to(some).freeze();
                    if *told {
                        return Ok(Some(Item::Data(data)));
                    }
                }
            }
        }
    }

    /// No more octets come.
    ///
    /// # Errors
    /// Some were to come.
    pub fn finish(&self) -> Result<(), Damage> {
        match self.state {
            State::Header if self.input.is_empty() => Ok(()),
            State::Over => Ok(()),
            _ => Err(Damage::Cut),
        }
    }
}

struct Head {
    name: String,
    size: u64,
    regular: bool,
}

impl Head {
    fn read(block: &[u8]) -> Option<Head> {
        let sum: u64 =
            block.iter().enumerate().map(|(at, o)| u64::from(if (148..156).contains(&at) { b' ' } else { *o })).sum();
        if octal(&block[148..156])? != sum {
            return None;
        }
        let name = block[..100].split(|octet| *octet == 0).next()?;
        Some(Head {
            name: String::from_utf8_lossy(name).into_owned(),
            size: octal(&block[124..136])?,
            regular: matches!(block[156], b'0' | 0),
        })
    }
}

/// An octal number between blanks and NULs.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() || !text.bytes().all(|octet| (b'0'..=b'7').contains(&octet)) {
        return None;
    }
    u64::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, content) in files {
            out.extend(header(name, content.len() as u64, 1_795_330_800).unwrap());
            out.extend_from_slice(content);
            out.extend(padding(content.len() as u64));
        }
        out.extend(end());
        out
    }

    /// The files in an archive that is fed in pieces.
    fn read(archive: &[u8], step: usize) -> Result<Vec<(String, Vec<u8>)>, Damage> {
        let mut reader = Reader::default();
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let mut open = false;
        for piece in archive.chunks(step) {
            reader.feed(piece);
            while let Some(item) = reader.item()? {
                match item {
                    Item::Begin { name, .. } => {
                        assert!(!std::mem::replace(&mut open, true));
                        files.push((name, Vec::new()));
                    }
                    Item::Data(data) => files.last_mut().unwrap().1.extend(data),
                    Item::End => assert!(std::mem::take(&mut open)),
                }
            }
        }
        reader.finish()?;
        Ok(files)
    }

    #[test]
    fn what_is_written_is_read_in_pieces_of_any_size() {
        let files: [(&str, &[u8]); 4] = [("a.env", b"x"), ("a.eml", &[7; 512]), ("b", b""), ("c", &[9; 1_025])];
        let archive = archive(&files);
        assert_eq!(archive.len() % BLOCK, 0);
        for step in [1, 7, 511, 512, 513, 100_000] {
            let read = read(&archive, step).unwrap();
            let expect: Vec<_> = files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
            assert_eq!(read, expect, "in steps of {step}");
        }
    }

    #[test]
    fn every_cut_is_noticed_and_no_damage_is_guessed_at() {
        let whole = archive(&[("a.env", b"hello"), ("a.eml", &[7; 600])]);
        let files = whole.len() - end().len();
        for cut in 0..files {
            let read = read(&whole[..cut], 97);
            // Between two files an archive may end; the pair is incomplete then, which whoever imports it sees.
            let between = cut == 0 || cut == 2 * BLOCK;
            assert_eq!(read.is_ok(), between, "{cut}");
        }
        for at in 0..BLOCK {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(read(&damaged, 512), Err(Damage::Header), "{at}");
        }
        assert_eq!(read(b"From: a@x.test\n".repeat(100).as_slice(), 512), Err(Damage::Header));
    }

    #[test]
    fn what_is_no_regular_file_is_passed_over() {
        let mut folder = header("folder/", 0, 0).unwrap().to_vec();
        folder[156] = b'5';
        let sum: u64 =
            folder.iter().enumerate().map(|(at, o)| u64::from(if (148..156).contains(&at) { b' ' } else { *o })).sum();
        folder[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        folder.extend(archive(&[("folder/a.env", b"x")]));
        assert_eq!(read(&folder, 512).unwrap(), [("folder/a.env".to_owned(), b"x".to_vec())]);
    }

    #[test]
    fn members_are_known_by_their_names() {
        let id = QueueId::parse("00063f1c2d3e4f50").unwrap();
        assert_eq!(member("00063f1c2d3e4f50.env"), Some((id, Part::Envelope)));
        assert_eq!(member("./x/../00063f1c2d3e4f50.eml"), Some((id, Part::Content)));
        for other in ["export.txt", "00063f1c2d3e4f50", "00063f1c2d3e4f5.env", "00063F1C2D3E4F50.eml", ".eml", ""] {
            assert_eq!(member(other), None, "{other}");
        }
        assert_eq!(header(&"x".repeat(100), 0, 0), None);
        assert_eq!(header("x", SIZE_MAX + 1, 0), None);
    }
}
