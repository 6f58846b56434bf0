//! What can neither be delivered nor returned, and why: the three files that an operator finds in Badmail.
//!
//! - `ID.BAD`: the message. It begins with x-sender and x-receiver lines for those who did not get it, so that a copy put
//!   into Pickup goes to them again and to nobody else. A pickup file that could not be read lies there as it was.
//! - `ID.BDR`: the reason, for people.
//! - `ID.BDP`: the same and more, for programs: one `name: value` a line, ended by `end`.
//!
//! The names come from the queue id alone, never from the message. A message whose recipients fail at different times
//! gets one triple for each group; the group's first recipient is part of the name, so that a job done twice (because of
//! a crash in between) replaces its own files and makes no second triple.
//!
//! Texts only: the daemon writes the files. Nothing here sends a message from Badmail again, and nothing deletes one.
//!
//! IIS: Messages tab, "Badmail directory"; the codes are those that the old service is known to have written. Where
//! none is known, none is made up.

mod resend;

pub use resend::{ENVELOPE_LINES_MAX, NotResent, PROPERTIES_MAX, Properties, Resend, resend};

use crate::drop::print_sender;
use crate::envelope::{Attempt, Envelope, Origin, QueueId};
use crate::parcel::Place;
use crate::pickup::{PICKUP_CODE, Unreadable};
use smtp::address::{Mailbox, ReversePath};
use smtp::reply::clean;
use smtp::time::Timestamp;
use std::fmt::Write as _;
use std::sync::Arc;

/// The code that the old service gave for a report that could not be delivered.
pub const NDR_OF_DSN_CODE: u32 = 0xC004_02C7;

/// Why a message lies in Badmail; one counter each (IIS: "Badmailed Messages (…)").
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadmailReason {
    /// A pickup file that cannot be read as a message.
    BadPickupFile,
    /// A report that could not be delivered.
    NdrOfDsn,
    /// Too many hops, and nobody to tell.
    HopCountExceeded,
    /// No recipient.
    NoRecipients,
    /// Anything else.
    GeneralFailure,
}

impl BadmailReason {
    /// The counter's name.
    #[must_use]
    pub fn counter(self) -> &'static str {
        match self {
            Self::BadPickupFile => "Bad Pickup File",
            Self::NdrOfDsn => "NDR of DSN",
            Self::HopCountExceeded => "Hop Count Exceeded",
            Self::NoRecipients => "No Recipients",
            Self::GeneralFailure => "General Failure",
        }
    }

    /// The first sentence of the `.BDR` file.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::BadPickupFile => "This file from the Pickup folder could not be processed as a message.",
            Self::NdrOfDsn => "This report could not be delivered, and nobody is told of a report's failure.",
            Self::HopCountExceeded => {
                "This message has passed through too many hosts and could not be returned to its sender."
            }
            Self::NoRecipients => "This message has no recipients.",
            Self::GeneralFailure => "This message could neither be delivered nor returned to its sender.",
        }
    }

    /// The code that the old service is known to have given.
    #[must_use]
    pub fn code(self) -> Option<u32> {
        match self {
            Self::BadPickupFile => Some(PICKUP_CODE),
            Self::NdrOfDsn => Some(NDR_OF_DSN_CODE),
            Self::HopCountExceeded | Self::NoRecipients | Self::GeneralFailure => None,
        }
    }
}

/// A message to put into Badmail.
#[derive(Clone, Debug)]
pub struct BadmailJob {
    /// The message.
    pub id: QueueId,
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// Its content.
    pub place: Place,
    /// The recipients concerned.
    pub recipients: Vec<u32>,
    /// Why.
    pub reason: BadmailReason,
    /// Why, in words, for people.
    pub text: String,
}

/// What the `.BDR` and `.BDP` files tell.
#[derive(Clone, Debug)]
pub struct Slip<'a> {
    /// The files' name without extension.
    pub name: &'a str,
    /// Why.
    pub reason: BadmailReason,
    /// The old service's code, if it had one.
    pub code: Option<u32>,
    /// Why, in words.
    pub text: &'a str,
    /// The sender, if it is known.
    pub sender: Option<&'a ReversePath>,
    /// The recipients concerned.
    pub recipients: Vec<&'a Mailbox>,
    /// How and when the message came.
    pub origin: Option<&'a Origin>,
    /// When it came.
    pub arrived: Timestamp,
    /// Octets of the `.BAD` file's message, if they are known.
    pub size: Option<u64>,
    /// It was to go under TLS with a verified host or not at all.
    pub require_tls: bool,
    /// The last attempts at delivering it.
    pub attempts: &'a [Attempt],
    /// When it was put here.
    pub at: Timestamp,
}

impl<'a> Slip<'a> {
    /// The slip for a message from the queue.
    #[must_use]
    pub fn of_job(job: &'a BadmailJob, name: &'a str, at: Timestamp) -> Slip<'a> {
        Slip {
            name,
            reason: job.reason,
            code: job.reason.code(),
            text: &job.text,
            sender: Some(&job.envelope.sender),
            recipients: addressees(&job.envelope, &job.recipients),
            origin: Some(&job.envelope.origin),
            arrived: job.envelope.arrived,
            size: Some(job.envelope.size),
            require_tls: job.envelope.require_tls,
            attempts: &job.envelope.attempts,
            at,
        }
    }

    /// The slip for a pickup file that could not be read; `text` is the reason's own words.
    #[must_use]
    pub fn of_pickup(why: &Unreadable, text: &'a str, origin: &'a Origin, name: &'a str, at: Timestamp) -> Slip<'a> {
        Slip {
            name,
            reason: why.reason(),
            code: Some(why.code()),
            text,
            sender: None,
            recipients: Vec::new(),
            origin: Some(origin),
            arrived: at,
            size: None,
            require_tls: false,
            attempts: &[],
            at,
        }
    }

    /// The `.BDR` file: lines for people, ended as Windows and Unix editors both like them.
    #[must_use]
    pub fn reason_text(&self) -> String {
        let mut out = String::new();
        line(&mut out, self.reason.sentence());
        line(&mut out, &printable(self.text));
        line(&mut out, "");
        if let Some(code) = self.code {
            line(&mut out, &format!("Code:       0x{code:08X}"));
        }
        line(&mut out, &format!("Counted as: {}", self.reason.counter()));
        if let Some(sender) = self.sender {
            line(&mut out, &format!("Sender:     {}", print_sender(sender)));
        }
        for (i, recipient) in self.recipients.iter().enumerate() {
            let label = if i == 0 { "Recipients:" } else { "           " };
            line(&mut out, &format!("{label} {recipient}"));
        }
        if let Some(origin) = self.origin {
            line(&mut out, &format!("Came:       {} {}", self.arrived.rfc3339(), origin_words(origin)));
        }
        line(&mut out, &format!("Put here:   {}", self.at.rfc3339()));
        line(
            &mut out,
            &format!("Message:    {}.BAD (copy it to Pickup to send it again, once the cause is gone)", self.name),
        );
        if !self.attempts.is_empty() {
            line(&mut out, "");
            line(&mut out, "Attempts:");
        }
        for attempt in self.attempts {
            let said = printable(&attempt.said);
            line(&mut out, &format!("  {} {}: {said}", attempt.at.rfc3339(), printable(&attempt.host)));
        }
        out
    }

    /// The `.BDP` file.
    #[must_use]
    pub fn properties(&self) -> String {
        let mut out = String::new();
        line(&mut out, "mailroot-badmail: 1");
        line(&mut out, &format!("name: {}", self.name));
        line(&mut out, &format!("reason: {}", self.reason.counter()));
        if let Some(code) = self.code {
            line(&mut out, &format!("code: 0x{code:08X}"));
        }
        line(&mut out, &format!("text: {}", printable(self.text)));
        if let Some(sender) = self.sender {
            line(&mut out, &format!("sender: {}", print_sender(sender)));
        }
        for recipient in &self.recipients {
            line(&mut out, &format!("recipient: {recipient}"));
        }
        if let Some(origin) = self.origin {
            line(&mut out, &format!("origin: {}", origin_words(origin)));
        }
        line(&mut out, &format!("arrived: {}", self.arrived.rfc3339()));
        line(&mut out, &format!("badmailed: {}", self.at.rfc3339()));
        if let Some(size) = self.size {
            line(&mut out, &format!("size: {size}"));
        }
        if self.require_tls {
            line(&mut out, "require-tls: yes");
        }
        for attempt in self.attempts {
            let said = printable(&attempt.said);
            line(&mut out, &format!("attempt: {} {} | {said}", attempt.at.rfc3339(), printable(&attempt.host)));
        }
        line(&mut out, "end");
        out
    }
}

/// The name, without extension, of what is written for these recipients of a message: the id; with the first
/// recipient's number behind it if that is not the first of all. Drop names its files by the same rule.
#[must_use]
pub fn base_name(id: QueueId, recipients: &[u32]) -> String {
    match recipients.iter().min() {
        None | Some(0) => id.to_string(),
        Some(first) => format!("{id}-{first}"),
    }
}

/// The addresses of these recipients. An index that the envelope does not have is left out.
pub(crate) fn addressees<'a>(envelope: &'a Envelope, recipients: &[u32]) -> Vec<&'a Mailbox> {
    let find = |i: &u32| envelope.recipients.get(usize::try_from(*i).ok()?).map(|r| &r.address);
    recipients.iter().filter_map(find).collect()
}

fn origin_words(origin: &Origin) -> String {
    match origin {
        Origin::Smtp { peer, helo, .. } => format!("from {} ([{peer}])", printable(helo)),
        Origin::Pickup { file } => format!("from the Pickup file {}", printable(file)),
        Origin::Report { about } => format!("made here as a report about {about}"),
    }
}

/// On one line, without control characters: peers and file names put words in here.
fn printable(text: &str) -> String {
    clean(text.as_bytes())
}

fn line(out: &mut String, text: &str) {
    let _ = write!(out, "{text}\r\n");
}
