//! A message's subject as its envelope keeps it: decoded (RFC 2047), on one line, bounded.
//!
//! For operators who look for a message. It is a stranger's text, so whoever shows it escapes it for its place; nothing that is sent is
//! made of it.

use crate::admin::content::decoded;
use smtp::header::Header;

/// Octets of a subject that are kept.
pub const SUBJECT_KEPT_MAX: usize = 200;

/// The subject that a header gives, if it gives one that says anything.
#[must_use]
pub fn subject(header: &Header<'_>) -> Option<Box<str>> {
    let field = header.first("Subject")?;
    let mut text = String::new();
    for word in decoded(&field).split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        if text.len() > SUBJECT_KEPT_MAX {
            text.truncate(text.floor_char_boundary(SUBJECT_KEPT_MAX));
            break;
        }
    }
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::header::scan;

    fn of(header: &str) -> Option<Box<str>> {
        subject(&scan(header.as_bytes()))
    }

    #[test]
    fn it_is_decoded_and_on_one_line() {
        for (header, expected) in [
            ("From: a\r\nSUBJECT: Invoice 4711\r\n\r\n", Some("Invoice 4711")),
            ("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?iso-8859-1?q?_aus_K=F6ln?=\r\n\r\n", Some("Grüße aus Köln")),
            ("Subject: a\r\n \tb   c \r\n\r\n", Some("a b c")),
            ("Subject: =?utf-8?q?a=0D=0Ab=00=1B[31mc?=\r\n\r\n", Some("a b [31mc")),
            ("Subject: one\r\nSubject: two\r\n\r\n", Some("one")),
            ("Subject:\r\n\r\n", None),
            ("Subject: =?utf-8?q??=\r\n\r\n", None),
            ("To: b\r\n\r\nSubject: not the header\r\n", None),
        ] {
            assert_eq!(of(header).as_deref(), expected, "{header:?}");
        }
    }

    #[test]
    fn it_is_bounded() {
        let long = of(&format!("Subject: x{}\r\n\r\n", "ü".repeat(100_000))).unwrap();
        assert!(long.len() <= SUBJECT_KEPT_MAX && long.ends_with('ü'));
        assert_eq!(of(&format!("Subject: {}\r\n\r\n", "ab ".repeat(1_000))).unwrap().len(), SUBJECT_KEPT_MAX);
        let words = of(&format!("Subject: {}\r\n\r\n", "=?utf-8?q?=00?= ".repeat(10_000)));
        assert_eq!(words, None);
    }
}
