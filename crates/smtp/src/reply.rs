//! `Reply`: a code, an enhanced status and lines of text; printed for a peer, read from a peer.
//!
//! What a peer sends is bounded and cleaned here, so that it may stand in a report, a log or a page:
//! at most [`LINES_MAX`] lines of at most [`LINE_MAX`] octets, control characters replaced by `?`.
//!
//! RFC 5321 §4.2, RFC 2034, RFC 3463.

use std::borrow::Cow;
use std::fmt;

/// Lines of a reply that are kept; further ones are read and dropped.
pub const LINES_MAX: usize = 50;
/// Octets of a reply line's text that are kept (RFC 5321 §4.5.3.1.5 allows 512 with code and CRLF).
pub const LINE_MAX: usize = 512;

/// An enhanced mail system status code: class, subject, detail (RFC 3463).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct EnhancedStatus(pub u8, pub u16, pub u16);

impl EnhancedStatus {
    /// Reads `5.7.1`; `None` if it is not class 2, 4 or 5 with two numbers up to 999.
    #[must_use]
    pub fn parse(text: &str) -> Option<EnhancedStatus> {
        let mut parts = text.split('.');
        let number = |s: &str| {
            (!s.is_empty() && s.len() <= 3 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<u16>().ok())
        };
        let class = match parts.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let subject = number(parts.next()?)??;
        let detail = number(parts.next()?)??;
        parts.next().is_none().then_some(EnhancedStatus(class, subject, detail))
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What one side of a session answers: code, enhanced status where there is one, and text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The three-digit code, 200 to 599.
    pub code: u16,
    /// The enhanced status, if the reply has one (it has none for 220, 354, EHLO and 214).
    pub status: Option<EnhancedStatus>,
    /// The text, one item a line, without code, status and line end; at least one item.
    pub lines: Vec<Cow<'static, str>>,
}

impl Reply {
    /// A reply without an enhanced status.
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code, status: None, lines: vec![text.into()] }
    }

    /// A reply with the enhanced status `class.subject.detail`, the class taken from the code.
    pub fn new(code: u16, subject: u16, detail: u16, text: impl Into<Cow<'static, str>>) -> Reply {
        let class = u8::try_from(code / 100).unwrap_or(5);
        Reply { code, status: Some(EnhancedStatus(class, subject, detail)), lines: vec![text.into()] }
    }

    /// 2yz: done.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 4yz: may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5yz: will not succeed.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// Appends the reply as it goes over the wire, each line with code, status and CRLF.
    pub fn print(&self, out: &mut impl Extend<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (i, line) in self.lines.iter().enumerate() {
            let code = [
                b'0' + u8::try_from(self.code / 100 % 10).unwrap_or(5),
                b'0' + u8::try_from(self.code / 10 % 10).unwrap_or(0),
                b'0' + u8::try_from(self.code % 10).unwrap_or(0),
                if i == last { b' ' } else { b'-' },
            ];
            out.extend(code);
            if let Some(status) = self.status {
                out.extend(status.to_string().into_bytes());
                out.extend([b' ']);
            }
            out.extend(line.bytes());
            out.extend(*b"\r\n");
        }
    }

    /// The reply on one line, as reports and logs show it: `550 5.1.1 no such user / try again`.
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut text = self.code.to_string();
        if let Some(status) = self.status {
            text.push_str(&format!(" {status}"));
        }
        for (i, line) in self.lines.iter().filter(|l| !l.is_empty()).enumerate() {
            text.push_str(if i == 0 { " " } else { " / " });
            text.push_str(line);
        }
        text
    }

    /// Reads what [`Reply::one_line`] writes; `None` for what does not begin as a reply does.
    #[must_use]
    pub fn parse(text: &str) -> Option<Reply> {
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let is_code = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
        let code = code.parse().ok().filter(|code| is_code && (200..600).contains(code))?;
        let (first, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = EnhancedStatus::parse(first);
        let words = if status.is_some() { words } else { rest };
        Some(Reply { code, status, lines: words.split(" / ").map(|line| line.to_owned().into()).collect() })
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())
    }
}

/// A line that is no reply line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAReply {
    /// The line as it came, cleaned and cut.
    pub line: String,
}

/// Puts a peer's reply together, line by line.
#[derive(Default, Debug)]
pub struct ReplyReader {
    open: Option<Reply>,
}

impl ReplyReader {
    /// Takes one line without its line end. `Ok(Some)` when the reply is complete.
    ///
    /// # Errors
    /// The line does not begin with three digits and a space, a hyphen or the line's end, or its code differs
    /// from the lines before.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, NotAReply> {
        let bad = || NotAReply { line: clean(line) };
        let code = match line {
            [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => return Err(bad()),
        };
        let more = match line.get(3) {
            None | Some(b' ') => false,
            Some(b'-') => true,
            Some(_) => return Err(bad()),
        };
        let text = clean(line.get(4..).unwrap_or_default());
        let (status, text) = split_status(code, text);
        let reply = self.open.get_or_insert_with(|| Reply { code, status, lines: Vec::new() });
        if reply.code != code {
            self.open = None;
            return Err(bad());
        }
        if reply.lines.len() < LINES_MAX {
            reply.lines.push(text.into());
        }
        Ok(if more { None } else { self.open.take() })
    }
}

/// A leading status of the code's class is taken off the text.
fn split_status(code: u16, text: String) -> (Option<EnhancedStatus>, String) {
    let (first, rest) = text.split_once(' ').unwrap_or((&text, ""));
    match EnhancedStatus::parse(first) {
        Some(status) if u16::from(status.0) == code / 100 => (Some(status), rest.trim_start().to_owned()),
        _ => (None, text),
    }
}

/// Text from a peer, fit to show: valid UTF-8, no control characters, at most [`LINE_MAX`] octets.
#[must_use]
pub fn clean(octets: &[u8]) -> String {
    let cut = &octets[..octets.len().min(LINE_MAX)];
    String::from_utf8_lossy(cut)
        .chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFFD}') { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Option<Reply>, NotAReply> {
        let mut reader = ReplyReader::default();
        let mut got = Ok(None);
        for line in lines {
            got = reader.line(line.as_bytes());
        }
        got
    }

    #[test]
    fn replies_print_and_read_back() {
        let mut reply = Reply::new(550, 7, 1, "Unable to relay for a@b.test");
        reply.lines.push("Ask the administrator".into());
        let mut wire = Vec::new();
        reply.print(&mut wire);
        assert_eq!(wire, b"550-5.7.1 Unable to relay for a@b.test\r\n550 5.7.1 Ask the administrator\r\n");
        let lines: Vec<_> = std::str::from_utf8(&wire).unwrap().lines().collect();
        let back = read(&lines).unwrap().unwrap();
        assert_eq!(back.code, 550);
        assert_eq!(back.status, Some(EnhancedStatus(5, 7, 1)));
        assert_eq!(back.lines[0], "Unable to relay for a@b.test");
    }

    #[test]
    fn one_line_reads_back() {
        for line in ["450 4.2.0 Greylisted / come back", "451 no status", "421", "554 5.7.1"] {
            assert_eq!(Reply::parse(line).map(|reply| reply.one_line()).as_deref(), Some(line));
        }
        let several = Reply::parse("450 4.2.0 one / two").unwrap();
        assert_eq!((several.status, several.lines.len()), (Some(EnhancedStatus(4, 2, 0)), 2));
        for none in ["", "No connection to mx.test: refused.", "4500 x", "+50 x", "650 x", "45"] {
            assert_eq!(Reply::parse(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        assert!(read(&["hello"]).is_err());
        assert!(read(&["650 x"]).is_err());
        assert!(read(&["250x"]).is_err());
        assert!(read(&["250-a", "550 b"]).is_err());
        assert_eq!(read(&["250"]).unwrap().unwrap().lines[0], "");
    }

    #[test]
    fn hostile_replies_are_cut_and_cleaned() {
        let mut reader = ReplyReader::default();
        for _ in 0..10_000 {
            assert_eq!(reader.line(b"550-\x1b[31mred\x00").unwrap(), None);
        }
        let reply = reader.line(&[b"550 ".as_slice(), &[b'x'; 100_000]].concat()).unwrap().unwrap();
        assert_eq!(reply.lines.len(), LINES_MAX);
        assert_eq!(reply.lines[0], "?[31mred?");
        assert!(reply.lines.iter().all(|l| l.len() <= LINE_MAX));
    }

    #[test]
    fn a_status_of_another_class_is_text() {
        assert_eq!(read(&["550 4.2.2 full"]).unwrap().unwrap().status, None);
        assert_eq!(EnhancedStatus::parse("5.7.1234"), None);
        assert_eq!(EnhancedStatus::parse("5.7"), None);
        assert_eq!(EnhancedStatus::parse("3.0.0"), None);
    }
}
