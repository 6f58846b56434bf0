//! Content in the form that DATA wants: a dot at the beginning of a line is doubled, and CRLF.CRLF ends it.
//!
//! Content of CRLF lines comes out of the receiver's dot machine octet for octet; a missing last CRLF is added. A chunk
//! in which no dot has to be doubled is passed on without a copy. It looks for CRLF alone: content with a lone CR or LF
//! must not come here (what comes in is refused or repaired, and binary content is converted first).
//!
//! RFC 5321 §4.5.2.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memmem;

/// Turns the chunks of one message into the dotted form.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stuffer {
    last: Last,
}

/// How what was passed so far ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
enum Last {
    /// At the beginning of a line.
    #[default]
    LineEnd,
    /// With a CR.
    Cr,
    /// With anything else.
    Text,
}

impl Stuffer {
    /// At the beginning of a message.
    #[must_use]
    pub fn new() -> Stuffer {
        Stuffer::default()
    }

    /// The next chunk of content as it goes over the wire: the chunk itself, unless it has dots to double.
    #[must_use]
    pub fn chunk(&mut self, chunk: Bytes) -> Bytes {
        if chunk.is_empty() {
            return chunk;
        }
        let first = match (self.last, &chunk[..]) {
            (Last::LineEnd, [b'.', ..]) => Some(0),
            (Last::Cr, [b'\n', b'.', ..]) => Some(1),
            _ => None,
        };
        self.last = match &chunk[..] {
            [.., b'\r', b'\n'] => Last::LineEnd,
            [b'\n'] if self.last == Last::Cr => Last::LineEnd,
            [.., b'\r'] => Last::Cr,
            _ => Last::Text,
        };
        let mut dots = first.into_iter().chain(memmem::find_iter(&chunk, b"\r\n.").map(|at| at + 2)).peekable();
        if dots.peek().is_none() {
            return chunk;
        }
        let mut out = BytesMut::with_capacity(chunk.len() + 16);
        let mut from = 0;
        for dot in dots {
            out.put_slice(&chunk[from..dot]);
            out.put_u8(b'.');
            from = dot;
        }
        out.put_slice(&chunk[from..]);
        out.freeze()
    }

    /// What ends the message: the lone dot, with the line end before it that the content lacks.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from_static(match self.last {
            Last::LineEnd => b".\r\n",
            Last::Cr => b"\n.\r\n",
            Last::Text => b"\r\n.\r\n",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content as it goes over the wire, cut into chunks at `cuts` (bit n: a cut before octet n).
    fn dotted(content: &[u8], cuts: u32) -> Vec<u8> {
        let mut stuffer = Stuffer::new();
        let mut wire = Vec::new();
        let mut from = 0;
        for at in 1..=content.len() {
            if at == content.len() || cuts >> at & 1 == 1 {
                wire.extend_from_slice(&stuffer.chunk(Bytes::copy_from_slice(&content[from..at])));
                from = at;
            }
        }
        wire.extend_from_slice(&stuffer.finish());
        wire
    }

    /// What RFC 5321 §4.5.2 has a receiver make of it, written as simply as can be.
    fn received(wire: &[u8]) -> (Vec<u8>, usize) {
        let mut content = Vec::new();
        let mut at = 0;
        loop {
            let line = memmem::find(&wire[at..], b"\r\n").unwrap();
            let text = &wire[at..at + line];
            at += line + 2;
            if text == b"." {
                return (content, at);
            }
            content.extend_from_slice(text.strip_prefix(b".").unwrap_or(text));
            content.extend_from_slice(b"\r\n");
        }
    }

    #[test]
    fn a_receiver_gets_back_every_short_content() {
        // All contents of these pieces, cut everywhere: an empty line, dots, a line end that is missing.
        let mut pending: Vec<Vec<u8>> = vec![Vec::new()];
        while let Some(content) = pending.pop() {
            for cuts in 0..1_u32 << content.len().min(8) {
                let wire = dotted(&content, cuts);
                let mut expected = content.clone();
                if !content.is_empty() && !content.ends_with(b"\r\n") {
                    expected.extend_from_slice(b"\r\n");
                }
                assert_eq!(received(&wire), (expected, wire.len()), "{content:?} {cuts:b}");
            }
            if content.len() < 7 {
                pending.extend([&b"."[..], b"x", b"\r\n"].iter().map(|piece| [content.as_slice(), piece].concat()));
            }
        }
    }

    #[test]
    fn nothing_is_copied_without_need() {
        let chunk = Bytes::from(b"no dot\r\nat all. Or .here\r\n".to_vec());
        let mut stuffer = Stuffer::new();
        assert_eq!(stuffer.chunk(chunk.clone()).as_ptr(), chunk.as_ptr());
        assert_eq!(stuffer.chunk(Bytes::new()), Bytes::new());
        assert_eq!(stuffer.chunk(Bytes::from_static(b".")), b".."[..]);
        assert_eq!(stuffer.finish(), b"\r\n.\r\n"[..]);
        assert_eq!(dotted(b"a\r", 0), b"a\r\n.\r\n");
    }
}
