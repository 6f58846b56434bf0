//! One line from a client becomes one `Command` value, and back.
//!
//! RFC 5321 §4.1; RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 3030 (BDAT, BINARYMIME), RFC 3461 (DSN), RFC 6531 (SMTPUTF8).

use crate::address::{Mailbox, ReversePath};

/// What the content may hold (MAIL BODY=; RFC 6152, RFC 3030).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum BodyKind {
    /// Lines of ASCII: the default.
    #[default]
    SevenBit,
    /// Lines of octets.
    EightBitMime,
    /// Any octets, no lines; only by BDAT.
    BinaryMime,
}

/// How much of the message a report gives back (MAIL RET=; RFC 3461 §4.3).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header alone.
    Headers,
}

/// When the sender wants a report about a recipient (RCPT NOTIFY=; RFC 3461 §4.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Notify {
    /// Not said: on failure, and on delay as this relay is set.
    Default,
    /// NOTIFY=NEVER.
    Never,
    /// Exactly these.
    On {
        /// Delivered.
        success: bool,
        /// Failed for good.
        failure: bool,
        /// Late.
        delay: bool,
    },
}

impl Notify {
    /// Does the sender want to hear of a success?
    #[must_use]
    pub fn success(self) -> bool {
        matches!(self, Notify::On { success: true, .. })
    }
    /// Does the sender want to hear of a failure?
    #[must_use]
    pub fn failure(self) -> bool {
        matches!(self, Notify::Default | Notify::On { failure: true, .. })
    }
    /// Does the sender want to hear of a delay?
    #[must_use]
    pub fn delay(self) -> bool {
        matches!(self, Notify::Default | Notify::On { delay: true, .. })
    }
}

/// MAIL FROM with its parameters, completed and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MailFrom {
    /// The sender.
    pub sender: ReversePath,
    /// SIZE=, octets.
    pub size: Option<u64>,
    /// BODY=.
    pub body: BodyKind,
    /// SMTPUTF8 was given.
    pub utf8: bool,
    /// RET=.
    pub ret: Option<Ret>,
    /// ENVID=, still as xtext, at most 100 octets.
    pub envid: Option<Box<str>>,
}

/// RCPT TO with its parameters, completed and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RcptTo {
    /// The recipient.
    pub recipient: Mailbox,
    /// NOTIFY=.
    pub notify: Notify,
    /// ORCPT= as it came: type, semicolon, xtext; at most 500 octets.
    pub orcpt: Option<Box<str>>,
}
