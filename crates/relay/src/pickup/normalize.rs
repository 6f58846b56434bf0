//! Line ends of a pickup file: whatever text comes in, lines that end with CRLF go out.
//!
//! Files made on Unix end their lines with LF, those made on Windows with CRLF, and templates put together from both
//! have a mixture; all are text and all are taken. The last line gets its CRLF if it has none. Nothing else changes:
//! a line that holds a single dot is a line (dots are the transport's business), and text is never re-encoded.
//!
//! What is no text is refused, because SMTP could carry it only by changing it, and because a repaired CR is how one
//! message is smuggled into another: a NUL, a CR that no LF follows, UTF-16. A byte order mark is refused too: it would
//! become part of the first field's name.
//!
//! Works on chunks, keeps no text: a file of any size needs the memory of one chunk. Chunks that need no repair pass
//! through without a copy.
//!
//! RFC 5321 §2.3.8 (CR and LF only as CRLF), §4.1.1.4; threats: S4, S10.

use super::Unreadable;
use bytes::Bytes;
use memchr::memchr3;

/// Turns chunks of a file into chunks of CRLF lines.
#[derive(Clone, Debug)]
pub struct Normalizer {
    /// The first octets of the file, as far as they have come: where a byte order mark would stand.
    start: [u8; 3],
    /// Octets read.
    read: u64,
    /// The last octet that went out; LF before the first, as if a line had just ended.
    last: u8,
    /// The line that is being read, counted from 1.
    line: u64,
    /// An octet beyond ASCII has been seen.
    eight_bit: bool,
}

impl Default for Normalizer {
    fn default() -> Normalizer {
        Normalizer { start: [0; 3], read: 0, last: b'\n', line: 1, eight_bit: false }
    }
}

impl Normalizer {
    /// Takes the next chunk of the file and gives the same text with CRLF line ends.
    ///
    /// # Errors
    /// The file is not text. What was given out before is of no use then.
    pub fn next(&mut self, chunk: Bytes) -> Result<Bytes, Unreadable> {
        self.look_at_start(&chunk)?;
        self.eight_bit |= !chunk.is_ascii();
        let mut out: Vec<u8> = Vec::new();
        // Octets before `copied` are in `out`; while nothing needs repair, `out` stays empty.
        let (mut copied, mut at) = (0, 0);
        if self.last == b'\r' && chunk.first().is_some_and(|first| *first != b'\n') {
            return Err(Unreadable::BareCr { line: self.line });
        }
        while let Some(found) = memchr3(b'\r', b'\n', 0, &chunk[at..]) {
            let i = at + found;
            let before = if i == 0 { self.last } else { chunk[i - 1] };
            match (chunk[i], chunk.get(i + 1)) {
                (0, _) => return Err(self.nul()),
                (b'\r', None | Some(b'\n')) => {}
                (b'\r', Some(_)) => return Err(Unreadable::BareCr { line: self.line }),
                _ => {
                    self.line += 1;
                    if before != b'\r' {
                        out.extend_from_slice(&chunk[copied..i]);
                        out.push(b'\r');
                        copied = i;
                    }
                }
            }
            at = i + 1;
        }
        self.read += chunk.len() as u64;
        self.last = chunk.last().copied().unwrap_or(self.last);
        if out.is_empty() {
            return Ok(chunk);
        }
        out.extend_from_slice(&chunk[copied..]);
        Ok(out.into())
    }

    /// The file has ended: the rest to send, which is a CRLF if the last line has none.
    ///
    /// # Errors
    /// It ends in a CR.
    pub fn finish(&mut self) -> Result<Bytes, Unreadable> {
        match std::mem::replace(&mut self.last, b'\n') {
            b'\n' => Ok(Bytes::new()),
            b'\r' => Err(Unreadable::BareCr { line: self.line }),
            _ => Ok(Bytes::from_static(b"\r\n")),
        }
    }

    /// Has an octet beyond ASCII come by?
    #[must_use]
    pub fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    fn look_at_start(&mut self, chunk: &[u8]) -> Result<(), Unreadable> {
        let have = usize::try_from(self.read).unwrap_or(usize::MAX).min(3);
        if have == 3 || chunk.is_empty() {
            return Ok(());
        }
        let take = chunk.len().min(3 - have);
        self.start[have..have + take].copy_from_slice(&chunk[..take]);
        match &self.start[..have + take] {
            [0xEF, 0xBB, 0xBF] => Err(Unreadable::ByteOrderMark),
            // With a mark, or a letter and a NUL in turn.
            [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [b' '..=b'~', 0, b' '..=b'~'] | [0, b' '..=b'~', 0] => {
                Err(Unreadable::Utf16)
            }
            _ => Ok(()),
        }
    }

    fn nul(&self) -> Unreadable {
        Unreadable::Nul { line: self.line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in chunks of `step` octets.
    fn normalize(text: &[u8], step: usize) -> Result<Vec<u8>, Unreadable> {
        let mut normalizer = Normalizer::default();
        let mut out = Vec::new();
        for chunk in text.chunks(step) {
            out.extend_from_slice(&normalizer.next(Bytes::copy_from_slice(chunk))?);
        }
        out.extend_from_slice(&normalizer.finish()?);
        Ok(out)
    }

    fn check(text: &[u8], expect: &[u8]) {
        for step in [1, 2, 3, 7, 4096] {
            assert_eq!(normalize(text, step).unwrap(), expect, "in steps of {step}");
        }
    }

    fn refused(text: &[u8]) -> Unreadable {
        let whole = normalize(text, 4096).unwrap_err();
        for step in [1, 2, 3, 7] {
            assert!(normalize(text, step).is_err(), "in steps of {step}");
        }
        whole
    }

    #[test]
    fn every_text_becomes_crlf_lines() {
        check(b"", b"");
        check(b"a\nb\n", b"a\r\nb\r\n");
        check(b"a\r\nb\nc\r\n\n\r\n", b"a\r\nb\r\nc\r\n\r\n\r\n");
        check(b"no end", b"no end\r\n");
        check(b"\n", b"\r\n");
        check(b"\n\n.\n..\n", b"\r\n\r\n.\r\n..\r\n");
        check(b"a\r\n.\r\nb", b"a\r\n.\r\nb\r\n");
        check("Grüße\nküche".as_bytes(), "Grüße\r\nküche\r\n".as_bytes());
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(refused(b"a\rb\n"), Unreadable::BareCr { line: 1 });
        assert_eq!(refused(b"a\r\nb\n\r\r\n"), Unreadable::BareCr { line: 3 });
        assert_eq!(refused(b"a\r\nb\r"), Unreadable::BareCr { line: 2 });
        assert_eq!(refused(b"a\r\n\rb"), Unreadable::BareCr { line: 2 });
        assert_eq!(refused(b"one\ntwo\nth\0ree\n"), Unreadable::Nul { line: 3 });
        assert_eq!(refused(b"one\r\0\n"), Unreadable::BareCr { line: 1 });
        assert_eq!(refused(b"\xFF\xFEF\0r\0"), Unreadable::Utf16);
        assert_eq!(refused(b"\xFE\xFF\0F\0r"), Unreadable::Utf16);
        assert_eq!(refused(b"F\0r\0o\0m\0"), Unreadable::Utf16);
        assert_eq!(refused(b"\0F\0r\0o\0m"), Unreadable::Utf16);
        assert_eq!(refused(b"\xEF\xBB\xBFFrom: a@b.test\n"), Unreadable::ByteOrderMark);
    }

    /// All strings over these four octets up to length 7, in all ways to cut them once, against an oracle that is too
    /// simple to be wrong.
    #[test]
    fn small_texts_exhaustively() {
        const ALPHABET: [u8; 4] = [b'\r', b'\n', b'.', 0];
        fn oracle(text: &[u8]) -> Option<Vec<u8>> {
            let text = String::from_utf8(text.to_vec()).ok()?.replace("\r\n", "\n");
            if text.contains(['\r', '\0']) {
                return None;
            }
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            Some((text + end).replace('\n', "\r\n").into_bytes())
        }
        for len in 0..=7_u32 {
            for n in 0..4_usize.pow(len) {
                let text: Vec<u8> = (0..len).map(|i| ALPHABET[n / 4_usize.pow(i) % 4]).collect();
                let expect = oracle(&text);
                for cut in 0..text.len().max(1) {
                    let mut normalizer = Normalizer::default();
                    let mut run = || -> Result<Vec<u8>, Unreadable> {
                        let mut out = normalizer.next(Bytes::copy_from_slice(&text[..cut]))?.to_vec();
                        out.extend_from_slice(&normalizer.next(Bytes::copy_from_slice(&text[cut..]))?);
                        out.extend_from_slice(&normalizer.finish()?);
                        Ok(out)
                    };
                    assert_eq!(run().ok(), expect, "{text:?} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn clean_chunks_are_not_copied() {
        let chunk = Bytes::from(b"a line\r\nand another\r\n".to_vec());
        let out = Normalizer::default().next(chunk.clone()).unwrap();
        assert_eq!(out.as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn octets_beyond_ascii_are_noticed() {
        let mut normalizer = Normalizer::default();
        normalizer.next(Bytes::from_static(b"plain\r\n")).unwrap();
        assert!(!normalizer.eight_bit());
        normalizer.next(Bytes::from_static(b"gr\xFC\xDFe\r\n")).unwrap();
        assert!(normalizer.eight_bit());
    }
}
