//! `Envelope`: sender, recipients and each one's `Fate`; its text on disk.
//!
//! The text (`ID.env`, and the same in the journal) is for people as well: one `name: value` a line, versioned, ended
//! by an `end` line. [`Envelope::print`] writes it, [`Envelope::parse`] reads it back; what it looks like stands there.

mod parse;
mod print;
#[cfg(test)]
mod property;

pub use parse::NotAnEnvelope;
pub(crate) use print::kind_word;

use crate::channel::Channel;
use smtp::address::{Mailbox, ReversePath};
use smtp::command::{BodyKind, Notify, Ret};
use smtp::reply::{EnhancedStatus, Reply};
use smtp::time::Timestamp;
use std::fmt;
use std::sync::Arc;

/// A message's name, in the log, in Received, on disk: 16 hexadecimal digits. Rises with time on one server.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct QueueId(pub u64);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl QueueId {
    /// Reads what `Display` writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<QueueId> {
        (text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
            .then(|| u64::from_str_radix(text, 16).ok().map(QueueId))
            .flatten()
    }
}

/// How a message came to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Over SMTP, from this address, which called itself `helo`.
    Smtp {
        /// The client's address.
        peer: std::net::IpAddr,
        /// What it said after HELO or EHLO.
        helo: Box<str>,
        /// The account by which it had authenticated.
        account: Option<Box<str>>,
    },
    /// A file in Pickup, of this name.
    Pickup {
        /// The file's name as it was found.
        file: Box<str>,
    },
    /// A report that we made about another message.
    Report {
        /// That message.
        about: QueueId,
    },
}

/// Everything about a message but its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The sender; `Null` for reports.
    pub sender: ReversePath,
    /// When it was accepted.
    pub arrived: Timestamp,
    /// How it came.
    pub origin: Origin,
    /// Octets of the content, our trace lines included.
    pub size: u64,
    /// MAIL BODY=.
    pub body: BodyKind,
    /// MAIL SMTPUTF8.
    pub utf8: bool,
    /// MAIL RET=.
    pub ret: Option<Ret>,
    /// MAIL ENVID=, as xtext.
    pub envid: Option<Box<str>>,
    /// MAIL REQUIRETLS: goes under TLS with a verified host that offers REQUIRETLS, or not at all. A report about such a message
    /// has it too, and goes without where it must ([`Envelope::demands_tls`]).
    pub require_tls: bool,
    /// `TLS-Required: No` in its header: what the recipients' domains publish about TLS is to hold it up no longer than it takes to
    /// find that it cannot be met ([`Envelope::may_do_without_policies`]).
    pub waives_tls: bool,
    /// At least one.
    pub recipients: Vec<Recipient>,
    /// The last attempts, oldest first, at most [`ATTEMPTS_KEPT`].
    pub attempts: Vec<Attempt>,
    /// When an operator released it after it had been held: from then on it has its whole time again.
    pub released: Option<Timestamp>,
    /// Its subject, for operators ([`crate::subject`]).
    pub subject: Option<Box<str>>,
}

impl Envelope {
    /// Of a message about which nobody wishes anything: the rest is set beside it.
    #[must_use]
    pub fn new(sender: ReversePath, recipients: Vec<Recipient>, origin: Origin, now: Timestamp) -> Envelope {
        Envelope {
            sender,
            arrived: now,
            origin,
            size: 0,
            body: BodyKind::SevenBit,
            utf8: false,
            ret: None,
            envid: None,
            require_tls: false,
            waives_tls: false,
            recipients,
            attempts: Vec::new(),
            released: None,
            subject: None,
        }
    }

    /// From when on its age counts.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.released.unwrap_or(self.arrived)
    }
}

impl Envelope {
    /// May it only go where TLS is verified and REQUIRETLS is offered? A report would rather, but is not lost for it
    /// (RFC 8689 §5).
    #[must_use]
    pub fn demands_tls(&self) -> bool {
        self.require_tls && !self.sender.is_null()
    }

    /// Does it go although a published policy cannot be met? Whoever demands TLS is believed first (RFC 8689 §4.1).
    #[must_use]
    pub fn may_do_without_policies(&self) -> bool {
        self.waives_tls && !self.require_tls
    }
}

/// Attempts that an envelope remembers; older ones are forgotten first.
pub const ATTEMPTS_KEPT: usize = 20;

/// One recipient of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipient {
    /// The address, as given.
    pub address: Mailbox,
    /// RCPT ORCPT= as given.
    pub orcpt: Option<Box<str>>,
    /// RCPT NOTIFY=.
    pub notify: Notify,
    /// Where it stands.
    pub fate: Fate,
    /// A delay notice about this recipient has been sent (or was not wanted).
    pub delay_noticed: bool,
}

impl Recipient {
    /// One who waits from now on, and about whom the sender wishes to hear what is usual.
    #[must_use]
    pub fn new(address: Mailbox, now: Timestamp) -> Recipient {
        let fate = Fate::Pending { tries: 0, due: now };
        Recipient { address, orcpt: None, notify: Notify::Default, fate, delay_noticed: false }
    }
}

/// Where a recipient stands: in exactly one of these at every instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Queued: `tries` attempts have failed so far, the next is due then.
    Pending {
        /// Failed attempts so far.
        tries: u16,
        /// Not before this.
        due: Timestamp,
    },
    /// Queued, and not tried until an operator releases it. It does not grow old meanwhile.
    Held,
    /// Taken over by the next hop, or written to Drop.
    Delivered {
        /// When.
        at: Timestamp,
        /// The host, or `drop`.
        by: Box<str>,
    },
    /// Failed for good; the report about it is not yet accepted.
    Failed(Box<Failure>),
    /// Failed for good, and the sender has been told, or did not want to be.
    Reported {
        /// When.
        at: Timestamp,
    },
    /// Failed for good, nobody to tell: the message lies in Badmail.
    Badmail {
        /// When.
        at: Timestamp,
    },
    /// An operator has deleted it; nobody was told.
    Deleted {
        /// When.
        at: Timestamp,
    },
}

impl Fate {
    /// Nothing is left to do for this recipient.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Fate::Delivered { .. } | Fate::Reported { .. } | Fate::Badmail { .. } | Fate::Deleted { .. })
    }
}

/// What kind of trouble.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// The other side said no; `reply` has its words.
    Refused,
    /// No connection, or it broke or stalled.
    Unreachable,
    /// The name could not be resolved, does not exist, or takes no mail.
    Dns,
    /// No TLS as the terms want it: it is not offered, the handshake fails, or the certificate is wrong.
    Tls,
    /// No log-on as the terms want it: refused, not offered, or what it needs is not to be had.
    Auth,
    /// The next hop lacks an extension which this message needs.
    Unsupported,
    /// The Drop folder is over its quota.
    Quota,
    /// Our own disk or folder.
    Local,
    /// The message goes round in circles.
    Loop,
    /// Too old; `text` tells of the last attempt.
    Expired,
    /// An operator ended it.
    Operator,
}

/// Why a recipient was not reached: whose fault, in whose words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What kind of trouble.
    pub kind: FailureKind,
    /// For the report. Class 5: for good. Class 4: for now (but an expired message keeps 4.4.7).
    pub status: EnhancedStatus,
    /// The host concerned, `name [address]`, if there is one.
    pub host: Option<Box<str>>,
    /// The other side's reply, if it gave one.
    pub reply: Option<Reply>,
    /// One sentence for people: what happened, and what to do where that helps.
    pub text: Box<str>,
}

impl Failure {
    /// Will another attempt not help? (What the channel or the log-on lacks can be mended on either side: it never sends mail
    /// back at once.)
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        let waits = matches!(self.kind, FailureKind::Tls | FailureKind::Auth);
        (self.status.0 == 5 && !waits) || self.kind == FailureKind::Expired
    }
}

/// One attempt at delivery, as the operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// When it ended.
    pub at: Timestamp,
    /// `name [address]:port`, or the destination if no host was reached.
    pub host: Box<str>,
    /// Which recipients, by index.
    pub recipients: Vec<u32>,
    /// The other side's words, or what went wrong.
    pub said: Box<str>,
    /// How the channel was protected, if it was.
    pub channel: Option<Arc<Channel>>,
}
