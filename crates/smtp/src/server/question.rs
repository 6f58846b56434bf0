//! What a session cannot decide, and how it is answered.

use crate::command::{MailFrom, RcptTo};
use crate::reply::Reply;
use crate::sasl::Mechanism;
use std::fmt;

/// What the session cannot decide.
#[derive(Clone, PartialEq, Eq)]
pub enum Question {
    /// The peer introduced itself. [`Answer::Accept`] or [`Answer::Refuse`].
    Hello {
        /// What it calls itself: visible ASCII, otherwise unchecked.
        host: Box<str>,
        /// EHLO, not HELO.
        esmtp: bool,
    },
    /// Is it who it says? [`Answer::Challenge`], [`Answer::Accept`] or [`Answer::Refuse`]. An exchange that is still open is over
    /// with this, and with [`Step::StartTls`](super::Step::StartTls).
    Auth {
        /// By which method.
        mechanism: Mechanism,
        /// Its first response, if it sent one with the command. A secret.
        initial: Option<Vec<u8>>,
    },
    /// Its response to the last challenge, a secret. Answers as for [`Question::Auth`].
    AuthResponse(Vec<u8>),
    /// May this sender send? [`Answer::Accept`] or [`Answer::Refuse`].
    Sender(MailFrom),
    /// May this recipient be written to? [`Answer::Accept`] or [`Answer::Refuse`].
    Recipient(RcptTo),
    /// Is there room for the message whose content comes now? [`Answer::Begun`] or [`Answer::Refuse`].
    Begin,
    /// The content is complete: make it durable. [`Session::queued`](super::Session::queued) or [`Answer::Refuse`].
    Commit,
}

impl fmt::Debug for Question {
    /// Without what proves who a peer is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Hello { host, esmtp } => write!(f, "Hello({host:?}, esmtp: {esmtp})"),
            Question::Auth { mechanism, initial } => write!(f, "Auth({mechanism}, initial: {})", initial.is_some()),
            Question::AuthResponse(_) => f.write_str("AuthResponse(…)"),
            Question::Sender(mail) => write!(f, "Sender({mail:?})"),
            Question::Recipient(rcpt) => write!(f, "Recipient({rcpt:?})"),
            Question::Begin => f.write_str("Begin"),
            Question::Commit => f.write_str("Commit"),
        }
    }
}

/// The driver's answer to a [`Question`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Yes, to Hello, Auth, AuthResponse, Sender and Recipient.
    Accept,
    /// No, and the peer is told so.
    Refuse(Reply),
    /// Yes, to Begin.
    Begun,
    /// Not yet, to Auth and AuthResponse: the peer is to answer this.
    Challenge(Vec<u8>),
}
