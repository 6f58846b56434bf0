//! Delivery reports: what became of a message, for people and for programs.
//!
//! A report has three parts (RFC 6522): a text that tells which address, what the other side said in its own words,
//! and what one can do; the same as fields (RFC 3464); and the original message or its header. Everything in it that
//! comes from a stranger, a remote reply, ENVID, ORCPT, the original's header, is bounded and cleaned here, so that no
//! octet of it can begin a field or end a part. A recipient beyond ASCII turns the last two parts into their
//! internationalised forms (RFC 6533).
//!
//! It does not decide who gets a report: whoever calls has made sure that the message had a sender.
//!
//! RFC 3461 §6, RFC 3464, RFC 6522, RFC 6533, RFC 3834 §5 (Auto-Submitted); IIS: delivery status notifications
//! (header order, subject, reporting name, indented addresses).

mod fields;
mod original;
mod words;

use crate::address::{Domain, Mailbox};
use crate::command::BodyKind;
use crate::convert::encode;
use crate::reply::{EnhancedStatus, Reply};
use crate::time::Timestamp;
use memchr::memmem;
use std::fmt::Write;

/// Octets of an original message that a report gives back whole; of a larger one it gives the header.
pub const ORIGINAL_MAX: usize = 100 * 1024;
/// Octets of an original's header that a report gives back.
pub const HEADER_MAX: usize = 32 * 1024;

/// Which kind of news.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Given up.
    Failed,
    /// Late; tried again.
    Delayed,
    /// Handed on to a host that makes no reports itself.
    Relayed,
    /// Delivered.
    Delivered,
}

impl Kind {
    /// The word in the subject, as the old service had it.
    fn subject(self) -> &'static str {
        match self {
            Kind::Failed => "Failure",
            Kind::Delayed => "Delay",
            Kind::Relayed => "Relay",
            Kind::Delivered => "Success",
        }
    }

    /// The value of Action (RFC 3464 §2.3.3).
    fn action(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Delayed => "delayed",
            Kind::Relayed => "relayed",
            Kind::Delivered => "delivered",
        }
    }
}

/// A report to be composed.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Which kind of news.
    pub kind: Kind,
    /// Who reports: postmaster at the default domain.
    pub from: Mailbox,
    /// The sender of the original.
    pub to: Mailbox,
    /// Our name.
    pub reporting_mta: Domain,
    /// What the host that gave us the message called itself.
    pub received_from_mta: Option<Box<str>>,
    /// When it did.
    pub arrived: Timestamp,
    /// The original's ENVID, as xtext.
    pub envid: Option<Box<str>>,
    /// At least one.
    pub recipients: Vec<About>,
    /// What is given back of the original.
    pub original: Original<'a>,
    /// The original came with SMTPUTF8.
    pub original_utf8: bool,
    /// The present time.
    pub now: Timestamp,
    /// Makes boundary and Message-ID differ from other reports of the same millisecond.
    pub seed: u64,
}

/// What became of one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// The address.
    pub address: Mailbox,
    /// ORCPT= as it came.
    pub orcpt: Option<Box<str>>,
    /// The status.
    pub status: EnhancedStatus,
    /// The other side's reply, if it gave one.
    pub reply: Option<Reply>,
    /// The other side, `name [address]`.
    pub host: Option<Box<str>>,
    /// What happened, in a sentence of ours; may be empty.
    pub text: Box<str>,
    /// When it was last tried.
    pub attempted: Option<Timestamp>,
    /// Until when it is tried again.
    pub retry_until: Option<Timestamp>,
}

/// What is given back of the original message.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Original<'a> {
    /// All of it: this is the whole message. If it is larger than [`ORIGINAL_MAX`], or cannot stand within another
    /// message, its header is given back instead; so it is when nothing has failed (RFC 3461 §4.3).
    Full(&'a [u8]),
    /// Its header: this is the message, or as much of its beginning as there is.
    Headers(&'a [u8]),
}

/// A report, ready to be accepted as a message from `<>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Composed {
    /// The message.
    pub octets: Vec<u8>,
    /// What it holds.
    pub body: BodyKind,
    /// It needs SMTPUTF8, since its own addresses are not ASCII.
    pub utf8: bool,
}

/// The status that a remote reply stands for: its own, or for a reply without one 5.5.0 or 4.5.0, as the old service
/// had it.
#[must_use]
pub fn status(reply: &Reply) -> EnhancedStatus {
    let class = if reply.is_permanent() {
        5
    } else if reply.is_transient() {
        4
    } else {
        2
    };
    match reply.status {
        Some(status) if status.0 == class => status,
        _ if class == 2 => EnhancedStatus(2, 0, 0),
        _ => EnhancedStatus(class, 5, 0),
    }
}

/// Composes the report.
#[must_use]
pub fn compose(report: &Report<'_>) -> Composed {
    let returned = original::returned(report);
    let (fields_type, fields) = fields::fields(report);
    let text = words::text(report, returned.note);
    let text = if text.is_ascii() {
        part("text/plain; charset=us-ascii", "", text.as_bytes())
    } else {
        let encoded = encode::quoted_printable(text.as_bytes());
        part("text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable\r\n", &encoded)
    };
    let parts = [text, part(fields_type, "", fields.as_bytes()), part(returned.content_type, "", &returned.octets)];
    let eight_bit = parts.iter().any(|part| !part.is_ascii());
    let utf8 = !(report.from.is_ascii() && report.to.is_ascii());

    let boundary = boundary(report, &parts);
    let mut octets = header(report, &boundary, eight_bit).into_bytes();
    for part in &parts {
        octets.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        octets.extend_from_slice(part);
        octets.extend_from_slice(b"\r\n");
    }
    octets.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let body = if eight_bit { BodyKind::EightBitMime } else { BodyKind::SevenBit };
    Composed { octets, body, utf8 }
}

/// The header, its fields in the order of the old service.
fn header(report: &Report<'_>, boundary: &str, eight_bit: bool) -> String {
    let mut out = String::new();
    let date = report.now.rfc5322();
    let _ = write!(out, "From: {}\r\nTo: {}\r\nDate: {date}\r\nMIME-Version: 1.0\r\n", report.from, report.to);
    let _ =
        write!(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n");
    if eight_bit {
        out.push_str("Content-Transfer-Encoding: 8bit\r\n");
    }
    let (now, seed, host, subject) = (report.now.0, report.seed, &report.reporting_mta, report.kind.subject());
    let _ = write!(out, "Message-ID: <{now:x}.{seed:x}@{host}>\r\n");
    let _ = write!(out, "Subject: Delivery Status Notification ({subject})\r\nAuto-Submitted: auto-replied\r\n\r\n");
    out.push_str("This is a delivery report in MIME format: a text, the same for programs, and the message.\r\n\r\n");
    out
}

/// One part with its header; 8-bit octets are declared.
fn part(content_type: &str, encoding: &str, octets: &[u8]) -> Vec<u8> {
    let encoding = if octets.is_ascii() { encoding } else { "Content-Transfer-Encoding: 8bit\r\n" };
    let mut out = format!("Content-Type: {content_type}\r\n{encoding}\r\n").into_bytes();
    out.extend_from_slice(octets);
    out
}

/// A boundary that stands in no part.
fn boundary(report: &Report<'_>, parts: &[Vec<u8>]) -> String {
    let mut seed = report.seed;
    loop {
        let boundary = format!("=_report_{:x}_{seed:x}", report.now.0);
        if parts.iter().all(|part| memmem::find(part, boundary.as_bytes()).is_none()) {
            return boundary;
        }
        seed = seed.wrapping_add(1);
    }
}

/// Text of whatever origin on one line, fit for a field or a line of the text: no control characters, bounded.
fn one_line(text: &str, max: usize) -> String {
    let shown = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FEFF}') { '?' } else { c };
    let mut line = String::new();
    for c in text.chars().map(shown) {
        if line.len() + c.len_utf8() > max {
            line.push_str(" ...");
            break;
        }
        line.push(c);
    }
    line
}

/// Breaks a line at blanks so that no piece is longer than `width` octets where that can be, and none than
/// [`PIECE_MAX`] in any case.
fn broken(line: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in line.split(' ') {
        let mut word = word;
        if let Some(piece) = pieces.last_mut() {
            if !piece.is_empty() && piece.len() + 1 + word.len() > width {
                pieces.push(String::new());
            } else if !piece.is_empty() {
                piece.push(' ');
            }
        }
        while word.len() > PIECE_MAX {
            let cut = (0..=PIECE_MAX).rev().find(|&at| word.is_char_boundary(at)).unwrap_or(0);
            pieces.push(word[..cut].to_owned());
            pieces.push(String::new());
            word = &word[cut..];
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(word);
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Octets of a piece of a line, so that no line of a report comes near the 998 of RFC 5322 §2.1.1.
const PIECE_MAX: usize = 800;
