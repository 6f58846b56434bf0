//! An envelope as text: `ID.env`, and the same text in the journal.
//!
//! Made for people and programs alike:
//!
//! ```text
//! mailroot envelope 1
//! arrived: 2026-11-22T07:00:00.123Z
//! origin: smtp 192.0.2.7 printer.example.com
//! account: printer
//! sender: alice@example.com
//! size: 10240
//! subject: The minutes of Monday
//! recipient: bob@example.net
//!  notify: failure delay
//!  fate: pending tries 2 due 2026-11-22T07:15:00.000Z
//! attempt: 2026-11-22T07:00:01.500Z mx.example.net [192.0.2.9]:25
//!  recipients: 0
//!  channel: TLSv1.3 TLS_AES_256_GCM_SHA384 name auth SCRAM-SHA-256
//!  said: 451 4.3.2 try again later
//! end
//! ```
//!
//! What belongs to a recipient, a failure or an attempt is indented by one space and follows it. A line that would say
//! the default is left out. No value can make a line: control characters and the backslash are written as escapes, so
//! neither a peer's words nor a file's name can forge a recipient (CVE-2020-28026 is what happens otherwise). Reading
//! it back is in [`super::Envelope::parse`]; that nothing is lost on the way is a property test.

use super::{Attempt, Envelope, Failure, FailureKind, Fate, Origin, Recipient};
use smtp::address::ReversePath;
use smtp::command::{BodyKind, Notify, Ret};
use smtp::time::Timestamp;
use std::fmt::Write;

/// The first line; the number rises when a reader of the old form would go wrong.
pub(super) const FIRST_LINE: &str = "mailroot envelope 1";
/// The last line: whatever lacks it was cut.
pub(super) const LAST_LINE: &str = "end";
/// 9999-12-30T21:59:59.999Z, the last instant that has a four-digit year wherever one is.
const LAST_DATE: i64 = 253_402_207_199_999;

impl Envelope {
    /// The envelope as text.
    #[must_use]
    pub fn print(&self) -> String {
        let mut out = String::with_capacity(256 + 128 * (self.recipients.len() + self.attempts.len()));
        // Writing into a String cannot fail.
        let _ = self.print_into(&mut out);
        out
    }

    fn print_into(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{FIRST_LINE}")?;
        line(out, "arrived", &date(self.arrived))?;
        match &self.origin {
            Origin::Smtp { peer, helo, account } => {
                writeln!(out, "origin: smtp {peer} {}", Escaped(helo))?;
                if let Some(account) = account {
                    line(out, "account", account)?;
                }
            }
            Origin::Pickup { file } => writeln!(out, "origin: pickup {}", Escaped(file))?,
            Origin::Report { about } => writeln!(out, "origin: report {about}")?,
        }
        if let Some(released) = self.released {
            writeln!(out, "released: {}", date(released))?;
        }
        match &self.sender {
            ReversePath::Null => writeln!(out, "sender: <>")?,
            ReversePath::Mailbox(mailbox) => writeln!(out, "sender: {mailbox}")?,
        }
        writeln!(out, "size: {}", self.size)?;
        match self.body {
            BodyKind::SevenBit => {}
            BodyKind::EightBitMime => writeln!(out, "body: 8bitmime")?,
            BodyKind::BinaryMime => writeln!(out, "body: binarymime")?,
        }
        if self.utf8 {
            writeln!(out, "utf8: yes")?;
        }
        match self.ret {
            None => {}
            Some(Ret::Full) => writeln!(out, "ret: full")?,
            Some(Ret::Headers) => writeln!(out, "ret: headers")?,
        }
        if let Some(envid) = &self.envid {
            line(out, "envid", envid)?;
        }
        if self.require_tls {
            writeln!(out, "require-tls: yes")?;
        }
        if self.waives_tls {
            writeln!(out, "tls-required: no")?;
        }
        if let Some(subject) = &self.subject {
            line(out, "subject", subject)?;
        }
        let several = self.recipients.len() > 1;
        for (number, recipient) in self.recipients.iter().enumerate() {
            print_recipient(out, several.then_some(number), recipient)?;
        }
        for attempt in &self.attempts {
            print_attempt(out, attempt)?;
        }
        writeln!(out, "{LAST_LINE}")
    }
}

/// The number is for whoever reads the attempts, which name recipients so.
fn print_recipient(out: &mut String, number: Option<usize>, recipient: &Recipient) -> std::fmt::Result {
    writeln!(out, "recipient: {}", recipient.address)?;
    if let Some(number) = number {
        writeln!(out, " number: {number}")?;
    }
    if let Some(orcpt) = &recipient.orcpt {
        line(out, " orcpt", orcpt)?;
    }
    match recipient.notify {
        Notify::Default => {}
        Notify::Never => writeln!(out, " notify: never")?,
        Notify::On { success, failure, delay } => {
            out.push_str(" notify:");
            for (wanted, word) in [(success, " success"), (failure, " failure"), (delay, " delay")] {
                out.push_str(if wanted { word } else { "" });
            }
            out.push('\n');
        }
    }
    if recipient.delay_noticed {
        writeln!(out, " delay-noticed: yes")?;
    }
    match &recipient.fate {
        Fate::Pending { tries, due } => writeln!(out, " fate: pending tries {tries} due {}", date(*due)),
        Fate::Held => writeln!(out, " fate: held"),
        Fate::Delivered { at, by } => writeln!(out, " fate: delivered {} {}", date(*at), Escaped(by)),
        Fate::Reported { at } => writeln!(out, " fate: reported {}", date(*at)),
        Fate::Badmail { at } => writeln!(out, " fate: badmail {}", date(*at)),
        Fate::Deleted { at } => writeln!(out, " fate: deleted {}", date(*at)),
        Fate::Failed(failure) => print_failure(out, failure),
    }
}

fn print_failure(out: &mut String, failure: &Failure) -> std::fmt::Result {
    writeln!(out, " fate: failed {} {}", kind_word(failure.kind), failure.status)?;
    if let Some(host) = &failure.host {
        line(out, " failed-host", host)?;
    }
    if let Some(reply) = &failure.reply {
        match reply.status {
            None => writeln!(out, " failed-reply: {}", reply.code)?,
            Some(status) => writeln!(out, " failed-reply: {} {status}", reply.code)?,
        }
        for text in &reply.lines {
            line(out, " failed-said", text)?;
        }
    }
    line(out, " failed-text", &failure.text)
}

fn print_attempt(out: &mut String, attempt: &Attempt) -> std::fmt::Result {
    writeln!(out, "attempt: {} {}", date(attempt.at), Escaped(&attempt.host))?;
    out.push_str(" recipients:");
    let mut rest = attempt.recipients.as_slice();
    while let Some(&first) = rest.first() {
        let run = run_length(rest);
        match run {
            1 => write!(out, " {first}")?,
            _ => write!(out, " {first}-{}", rest[run - 1])?,
        }
        rest = &rest[run..];
    }
    out.push('\n');
    if let Some(channel) = &attempt.channel {
        line(out, " channel", &channel.to_string())?;
    }
    line(out, " said", &attempt.said)
}

/// How many of the first numbers follow each other, as `3 4 5`: they are written as a range.
fn run_length(numbers: &[u32]) -> usize {
    1 + numbers.windows(2).take_while(|pair| pair[0].checked_add(1) == Some(pair[1])).count()
}

fn line(out: &mut String, name: &str, value: &str) -> std::fmt::Result {
    writeln!(out, "{name}: {}", Escaped(value))
}

/// RFC 3339 for every instant that has such a date; milliseconds for the others ("never").
fn date(at: Timestamp) -> String {
    if (0..=LAST_DATE).contains(&at.0) { at.rfc3339() } else { format!("{}ms", at.0) }
}

pub(crate) fn kind_word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Refused => "refused",
        FailureKind::Unreachable => "unreachable",
        FailureKind::Dns => "dns",
        FailureKind::Tls => "tls",
        FailureKind::Auth => "auth",
        FailureKind::Unsupported => "unsupported",
        FailureKind::Quota => "quota",
        FailureKind::Local => "local",
        FailureKind::Loop => "loop",
        FailureKind::Expired => "expired",
        FailureKind::Operator => "operator",
    }
}

/// A value on one line, whatever is in it.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut plain_from = 0;
        for (at, c) in self.0.char_indices().filter(|(_, c)| needs_escape(*c)) {
            f.write_str(&self.0[plain_from..at])?;
            match c {
                '\\' => f.write_str("\\\\")?,
                c => write!(f, "\\u{{{:x}}}", u32::from(c))?,
            }
            plain_from = at + c.len_utf8();
        }
        f.write_str(&self.0[plain_from..])
    }
}

/// The backslash, control characters, and what some editors take for a line's end.
fn needs_escape(c: char) -> bool {
    c == '\\' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}
