//! The part that gives the original back: whole, or its header.
//!
//! A message may stand within another only if it consists of lines that may stand there: content with a NUL, a lone CR
//! or LF, or an over-long line is given back by its header alone, and that header is mended.
//!
//! RFC 3461 §4.3 and §6.2 (RET); RFC 6522 §4 (text/rfc822-headers); RFC 6533 §6 (message/global).

use super::{HEADER_MAX, Kind, ORIGINAL_MAX, Original, Report};
use crate::header::scan;
use memchr::memchr;

/// Octets of a line within a message (RFC 5322 §2.1.1), without its end.
const LINE_MAX: usize = 998;

/// What is given back.
pub(super) struct Returned {
    pub(super) content_type: &'static str,
    pub(super) octets: Vec<u8>,
    /// What the text says about it.
    pub(super) note: &'static str,
}

pub(super) fn returned(report: &Report<'_>) -> Returned {
    let (octets, why) = match report.original {
        Original::Full(octets) if report.kind != Kind::Failed => (octets, HEADER),
        Original::Full(octets) if octets.len() > ORIGINAL_MAX => (octets, TOO_LARGE),
        Original::Full(octets) if !is_lines(octets) => (octets, NOT_LINES),
        Original::Full(octets) => {
            let content_type = if report.original_utf8 { "message/global" } else { "message/rfc822" };
            return Returned { content_type, octets: octets.to_vec(), note: WHOLE };
        }
        Original::Headers(octets) => (octets, HEADER),
    };
    let content_type = if report.original_utf8 { "message/global-headers" } else { "text/rfc822-headers" };
    Returned { content_type, octets: mended_header(octets), note: why }
}

const WHOLE: &str = "Your message is attached.";
const HEADER: &str = "The header of your message is attached.";
const TOO_LARGE: &str = "The header of your message is attached; the message itself is too large to be returned.";
const NOT_LINES: &str =
    "The header of your message is attached; the message itself has a form that cannot be returned.";

/// Only CRLF lines of a permitted length, the last one complete.
fn is_lines(octets: &[u8]) -> bool {
    let mut rest = octets;
    while let Some(end) = memchr(b'\n', rest) {
        let Some(line) = rest[..end].strip_suffix(b"\r") else { return false };
        if line.len() > LINE_MAX || line.iter().any(|b| matches!(b, b'\r' | 0)) {
            return false;
        }
        rest = &rest[end + 1..];
    }
    rest.is_empty()
}

/// The header's first fields that fit, line by line, with CRLF behind each, controls replaced, long lines cut.
fn mended_header(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in scan(octets).fields() {
        let whole = &octets[field.span];
        if out.len() + whole.len() > HEADER_MAX {
            break;
        }
        for line in whole.split(|&b| b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            out.extend(line.iter().take(LINE_MAX).map(|&b| if b < b' ' && b != b'\t' || b == 0x7f { b'?' } else { b }));
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_can_be_returned_whole() {
        for good in [&b""[..], b"a\r\n", b"\r\n\r\n", b"a\r\n.\r\n", &[&[b'x'; 998][..], b"\r\n"].concat()] {
            assert!(is_lines(good), "{good:?}");
        }
        for bad in [&b"a"[..], b"a\n", b"a\r\nb\nc\r\n", b"a\rb\r\n", b"a\0\r\n", &[&[b'x'; 999][..], b"\r\n"].concat()]
        {
            assert!(!is_lines(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_header_is_mended_and_bounded() {
        assert_eq!(mended_header(b"A: b\n c\x00\nB: d\re\r\n\r\nbody\r\n"), b"A: b\r\n c?\r\nB: d?e\r\n");
        let long = [b"A: b\r\nX: ".as_slice(), &[b'x'; 5_000], b"\r\n\r\n"].concat();
        assert!(mended_header(&long).split(|&b| b == b'\n').all(|line| line.len() <= LINE_MAX + 1));
        let many = b"Received: from somewhere\r\n".repeat(20_000);
        assert!((HEADER_MAX - 100..=HEADER_MAX).contains(&mended_header(&many).len()));
    }
}
