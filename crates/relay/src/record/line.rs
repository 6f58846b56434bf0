//! How a record becomes one line: pairs of which no value can do harm, whoever chose it. What stands in which line is [`super`]'s to say.

use super::VALUE_MAX;
use crate::channel::{Channel, Secured};
use crate::envelope::{Failure, kind_word};
use smtp::address::ReversePath;
use std::fmt::{self, Write};

/// A log line being written: a name, then `key=value` pairs of which no value can do harm.
pub struct Line<'a> {
    out: &'a mut String,
}

impl<'a> Line<'a> {
    /// Begins a line with the name of what happened.
    #[must_use]
    pub fn new(out: &'a mut String, name: &'static str) -> Line<'a> {
        out.push_str(name);
        Line { out }
    }

    /// Appends ` key=value`, the value bounded, and quoted and escaped if it must be.
    #[allow(clippy::return_self_not_must_use)] // the last pair of a line is appended for its effect
    pub fn field(self, key: &'static str, value: &dyn fmt::Display) -> Line<'a> {
        let out = self.out;
        out.push(' ');
        out.push_str(key);
        out.push('=');
        let start = out.len();
        // Writing into a String fails only if the value's own Display does; then what came so far is shown.
        let _ = write!(out, "{value}");
        if !is_plain(&out.as_bytes()[start..]) {
            let raw = out.split_off(start);
            quote(&raw, out);
        }
        Line { out }
    }

    /// Appends ` key=value` if there is a value.
    pub(super) fn maybe<T: fmt::Display>(self, key: &'static str, value: Option<&T>) -> Line<'a> {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    pub(super) fn sender(self, from: &ReversePath) -> Line<'a> {
        match from {
            ReversePath::Null => self.field("from", &"<>"),
            ReversePath::Mailbox(mailbox) => self.field("from", mailbox),
        }
    }

    pub(super) fn channel(self, channel: Option<&Channel>) -> Line<'a> {
        let Some(Channel { tls, auth }) = channel else { return self };
        let line = match tls {
            None => self,
            Some(Secured { version, cipher, checked }) => {
                self.field("tls", version).field("cipher", cipher).field("checked", &checked.word())
            }
        };
        line.maybe("auth", auth.as_ref())
    }

    pub(super) fn failure(self, failure: &Failure) -> Line<'a> {
        let mut line = self.field("trouble", &kind_word(failure.kind)).field("status", &failure.status);
        if let Some(host) = &failure.host {
            line = line.field("by", host);
        }
        if let Some(reply) = &failure.reply {
            line = line.field("said", reply);
        }
        line.field("why", &failure.text)
    }
}

/// Needs no quotes: short, not empty, printable, and no character that has a meaning in the line.
fn is_plain(value: &[u8]) -> bool {
    !value.is_empty()
        && value.len() <= VALUE_MAX
        && value.iter().all(|b| matches!(b, b'!'..=b'~') && !matches!(b, b'"' | b'\\' | b'='))
}

/// Appends `"value"`, escaped, and `+n` if `n` octets of it did not fit.
fn quote(value: &str, out: &mut String) {
    let mut left = value.len();
    out.push('"');
    for c in value.chars() {
        if value.len() - left + c.len_utf8() > VALUE_MAX {
            break;
        }
        left -= c.len_utf8();
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            '\0'..='\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    out.push('"');
    if left > 0 {
        let _ = write!(out, "+{left}");
    }
}
