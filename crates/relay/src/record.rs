//! What happened, for the log and the counters.

use crate::envelope::{Failure, QueueId};
use smtp::address::Mailbox;

/// One thing that happened. Counters are folds of these, so that log and counters cannot disagree.
#[derive(Clone, Debug)]
pub enum Record {
    /// A recipient's mail was taken over by the next hop, or written to Drop.
    Delivered {
        /// The message.
        id: QueueId,
        /// To whom.
        to: Mailbox,
        /// The host.
        by: Box<str>,
        /// Its words.
        said: Box<str>,
        /// Milliseconds since it was accepted.
        after_ms: u64,
    },
    /// An attempt failed for now.
    Deferred {
        /// The message.
        id: QueueId,
        /// To whom.
        to: Mailbox,
        /// Why.
        failure: Box<Failure>,
        /// When it is tried again.
        again: smtp::time::Timestamp,
    },
    /// A recipient failed for good.
    Failed {
        /// The message.
        id: QueueId,
        /// To whom.
        to: Mailbox,
        /// Why.
        failure: Box<Failure>,
    },
    /// A report was accepted.
    Reported {
        /// The message it is about.
        id: QueueId,
        /// How many recipients it names.
        recipients: usize,
    },
    /// A message was put into Badmail.
    Badmailed {
        /// The message.
        id: QueueId,
        /// Why.
        reason: crate::badmail::BadmailReason,
    },
    /// A destination does not answer; nothing goes to it until then.
    DestinationDown {
        /// Which.
        destination: Box<str>,
        /// Why.
        failure: Box<Failure>,
        /// Until when.
        until: smtp::time::Timestamp,
        /// How many messages wait for it.
        waiting: usize,
    },
    /// A destination answers again.
    DestinationUp {
        /// Which.
        destination: Box<str>,
    },
}
