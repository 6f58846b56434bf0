//! A message from Badmail goes into the queue again: who gets it, and where its content begins.
//!
//! A message that came from the queue lies in its `.BAD` file as it was accepted, behind the x-sender and x-receiver lines of
//! those who did not get it: it goes to these, from the same sender, unchanged ([`Resend::AsItWas`]). The lines are
//! read from the `.BAD` file itself, so that an operator can mend an address there. Anything else is a pickup file, and is read as
//! one ([`Resend::AsPickup`]); if the fault that brought it here is still in it, it stays.
//!
//! Decides only; the daemon reads, hands in and removes.

use super::BadmailReason;
use smtp::address::{Mailbox, ReversePath};
use smtp::header::scan;
use std::fmt;

/// Octets of a `.BDP` file that are read.
pub const PROPERTIES_MAX: usize = 1 << 20;
/// Octets of the x-sender and x-receiver lines of a `.BAD` file.
pub const ENVELOPE_LINES_MAX: usize = 4 << 20;

/// What a `.BDP` file says, as far as it matters to others.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Properties {
    /// The reason's counter.
    pub reason: Option<String>,
    /// Why, in words.
    pub text: Option<String>,
    /// The sender.
    pub sender: Option<String>,
    /// The recipients.
    pub recipients: Vec<String>,
    /// It goes under TLS with a verified host or not at all.
    pub require_tls: bool,
    /// When it was put there.
    pub badmailed: Option<String>,
}

impl Properties {
    /// Reads what [`super::Slip::properties`] writes; `None` for anything else, and for what was cut.
    #[must_use]
    pub fn parse(text: &str) -> Option<Properties> {
        let mut lines = text.lines();
        if lines.next() != Some("mailroot-badmail: 1") {
            return None;
        }
        let mut properties = Properties::default();
        for line in lines {
            if line == "end" {
                return Some(properties);
            }
            let (name, value) = line.split_once(": ")?;
            let value = value.to_owned();
            match name {
                "reason" => properties.reason = Some(value),
                "text" => properties.text = Some(value),
                "sender" => properties.sender = Some(value),
                "recipient" => properties.recipients.push(value),
                "require-tls" => properties.require_tls = value == "yes",
                "badmailed" => properties.badmailed = Some(value),
                _ => {}
            }
        }
        None
    }

    /// Did it come from the queue? Else it is a pickup file that could not be read.
    #[must_use]
    pub fn is_from_queue(&self) -> bool {
        self.sender.is_some() && self.reason.as_deref() != Some(BadmailReason::BadPickupFile.counter())
    }
}

/// How a message goes into the queue again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Resend {
    /// As it was accepted.
    AsItWas {
        /// The sender.
        sender: ReversePath,
        /// Those who did not get it.
        recipients: Vec<Mailbox>,
        /// Where its content begins in the file.
        content_at: usize,
    },
    /// As a pickup file.
    AsPickup,
}

/// Why it cannot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotResent {
    /// An x-sender or x-receiver line cannot be read.
    Address(String),
    /// It has no x-receiver line.
    NoRecipients,
    /// The lines do not end within [`ENVELOPE_LINES_MAX`] octets.
    TooLong,
    /// There is nothing behind them: the message itself is lost.
    NoContent,
    /// There is a `.BDP` file, but what it says cannot be read: it may be that it demands TLS.
    Properties,
}

impl fmt::Display for NotResent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(line) => write!(f, "its line '{line}' has no address; correct it in the .BAD file"),
            Self::NoRecipients => f.write_str("it has no x-receiver line, so nobody would get it"),
            Self::TooLong => write!(f, "its x-receiver lines do not end within {ENVELOPE_LINES_MAX} octets"),
            Self::NoContent => f.write_str("its content is lost; only its envelope is left"),
            Self::Properties => f.write_str(
                "its .BDP file cannot be read, so nobody knows whether the message demands TLS; correct it, or remove it to have the \
                 .BAD file read as a pickup file",
            ),
        }
    }
}

/// How the `.BAD` file that begins with `head` goes into the queue again. `head` is the whole file, or at least
/// [`ENVELOPE_LINES_MAX`] octets of it.
///
/// # Errors
/// It cannot.
pub fn resend(properties: Option<&Properties>, head: &[u8]) -> Result<Resend, NotResent> {
    if !properties.is_some_and(Properties::is_from_queue) {
        return Ok(Resend::AsPickup);
    }
    let (mut sender, mut recipients, mut content_at) = (None, Vec::new(), 0);
    for field in scan(head).fields().take_while(|field| field.is("x-sender") || field.is("x-receiver")) {
        let fault =
            || NotResent::Address(smtp::reply::clean(&head[field.span.clone()]).trim_end_matches('?').to_owned());
        let text = std::str::from_utf8(field.value.trim_ascii()).map_err(|_| fault())?;
        if field.is("x-receiver") {
            recipients.push(Mailbox::parse(text).map_err(|_| fault())?);
        } else if text == "<>" {
            sender = Some(ReversePath::Null);
        } else {
            sender = Some(ReversePath::Mailbox(Mailbox::parse(text).map_err(|_| fault())?));
        }
        content_at = field.span.end;
        if content_at >= ENVELOPE_LINES_MAX {
            return Err(NotResent::TooLong);
        }
    }
    if recipients.is_empty() {
        return Err(NotResent::NoRecipients);
    }
    if content_at >= head.len() {
        return Err(NotResent::NoContent);
    }
    // Without the line nobody can be told of a failure, which is what `<>` says.
    Ok(Resend::AsItWas { sender: sender.unwrap_or(ReversePath::Null), recipients, content_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::badmail::BadmailJob;
    use crate::badmail::Slip;
    use crate::drop::envelope_lines;
    use crate::envelope::{Envelope, Origin, QueueId, Recipient};
    use crate::parcel::Place;
    use crate::pickup::Unreadable;
    use smtp::time::Timestamp;
    use std::sync::Arc;

    const ENVELOPE: &str = "mailroot-envelope: 1\n";

    fn envelope() -> Envelope {
        let sender = ReversePath::Mailbox(Mailbox::parse("a@x.test").unwrap());
        let recipient = |address: &str| Recipient::new(Mailbox::parse(address).unwrap(), Timestamp(0));
        let recipients = vec![recipient("b@x.test"), recipient("\"c d\"@x.test")];
        let envelope = Envelope::new(sender, recipients, Origin::Report { about: QueueId(1) }, Timestamp(0));
        Envelope { size: 10, require_tls: true, ..envelope }
    }

    fn from_queue() -> (Properties, Vec<u8>) {
        let job = BadmailJob {
            id: QueueId(7),
            envelope: Arc::new(envelope()),
            place: Place::File,
            recipients: vec![1],
            reason: BadmailReason::NdrOfDsn,
            text: "No.".into(),
        };
        let properties = Properties::parse(&Slip::of_job(&job, "7", Timestamp(0)).properties()).unwrap();
        (properties, envelope_lines(&job.envelope, &job.recipients).into_bytes())
    }

    #[test]
    fn what_came_from_the_queue_goes_to_those_who_did_not_get_it() {
        let (properties, mut file) = from_queue();
        assert_eq!((properties.reason.as_deref(), properties.text.as_deref()), (Some("NDR of DSN"), Some("No.")));
        assert!(properties.require_tls, "what it demands is not forgotten here");
        assert_eq!(resend(Some(&properties), &file), Err(NotResent::NoContent));
        let lines = file.len();
        file.extend(b"Subject: x\r\nx-receiver: mallory@x.test\r\n\r\nbody\r\n");
        let Ok(Resend::AsItWas { sender, recipients, content_at }) = resend(Some(&properties), &file) else { panic!() };
        assert_eq!(sender, ReversePath::Mailbox(Mailbox::parse("a@x.test").unwrap()));
        assert_eq!(recipients, [Mailbox::parse("\"c d\"@x.test").unwrap()], "and a field further down changes nothing");
        assert_eq!(content_at, lines);
    }

    #[test]
    fn an_address_that_was_mended_badly_is_told() {
        let (properties, _) = from_queue();
        let file = b"x-sender: <>\r\nx-receiver: nobody\r\n\r\nx";
        let Err(NotResent::Address(line)) = resend(Some(&properties), file) else { panic!() };
        assert!(line.starts_with("x-receiver: nobody"), "{line}");
        assert_eq!(resend(Some(&properties), b"Subject: x\r\n\r\n"), Err(NotResent::NoRecipients));
    }

    #[test]
    fn anything_else_is_a_pickup_file() {
        let file = b"x-sender: a@x.test\r\nx-receiver: b@x.test\r\nSubject: a bare \r here\r\n\r\n";
        assert_eq!(resend(None, file), Ok(Resend::AsPickup));
        let origin = Origin::Pickup { file: "x".into() };
        let slip = Slip::of_pickup(&Unreadable::NoFrom, "No From.", &origin, "7", Timestamp(0)).properties();
        let properties = Properties::parse(&slip).unwrap();
        assert_eq!(resend(Some(&properties), file), Ok(Resend::AsPickup));
        for broken in ["", ENVELOPE, "mailroot-badmail: 1\nsender: a@x.test\n", "mailroot-badmail: 1\nwhat\nend\n"] {
            assert_eq!(Properties::parse(broken), None, "{broken}");
        }
    }
}
