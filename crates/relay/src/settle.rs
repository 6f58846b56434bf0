//! What the outcome of a delivery attempt means for each recipient.
//!
//! The only place that turns replies and network faults into *delivered*, *again at T* or *failed*, and that says
//! whether a fault concerns one message or its whole destination. Reads no clock and writes nothing: the queue
//! ([`crate::queue`]) carries the verdicts out, [`crate::notice`] says who is told.
//!
//! RFC 5321 §4.2.1 (4yz, 5yz), §4.5.4.1 (retry); RFC 3463; IIS: Delivery tab, Outbound.

use crate::config::Delivery;
use crate::envelope::{Failure, FailureKind};
use crate::retry::{self, Patience};
use smtp::reply::EnhancedStatus;
use smtp::time::Timestamp;
use std::time::Duration;

/// What an attempt means for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the other side's now.
    Delivered,
    /// Try again then.
    Again(Timestamp),
    /// It will not work: tell the sender.
    Failed(Failure),
}

/// Judges one recipient's failure: its `tries`-th, this one counted.
#[must_use]
pub fn failure(
    failure: &Failure,
    tries: u16,
    arrived: Timestamp,
    now: Timestamp,
    local: bool,
    policy: &Delivery,
) -> Verdict {
    if failure.is_permanent() {
        return Verdict::Failed(failure.clone());
    }
    if Patience::of(policy, local).is_over(arrived, now) {
        return Verdict::Failed(expired(Some(failure), now.since(arrived)));
    }
    Verdict::Again(now.plus(retry::wait(tries, policy)))
}

/// The failure of a recipient whose time is over: 4.4.7, as the old service reported it, with the last trouble's
/// words so that the sender learns the cause.
#[must_use]
pub fn expired(last: Option<&Failure>, age: Duration) -> Failure {
    let text = match last {
        Some(last) => format!("It could not be delivered within {}. The last attempt: {}", in_words(age), last.text),
        None => format!("It could not be delivered within {}.", in_words(age)),
    };
    Failure {
        kind: FailureKind::Expired,
        status: EnhancedStatus(4, 4, 7),
        host: last.and_then(|l| l.host.clone()),
        reply: last.and_then(|l| l.reply.clone()),
        text: text.into(),
    }
}

/// Does the failure show that the connection it came over is of no more use?
#[must_use]
pub fn ends_connection(failure: &Failure) -> bool {
    failure.kind == FailureKind::Unreachable || failure.reply.as_ref().is_some_and(|r| r.code == 421)
}

/// Did the other side only say that it takes no more recipients at once? Together with a recipient that it took,
/// another transaction at once will bring it the rest (RFC 5321 §4.5.3.1.10; IIS: "Limit number of recipients").
#[must_use]
pub fn wants_another_transaction(failure: &Failure) -> bool {
    failure.kind == FailureKind::Refused && failure.status == EnhancedStatus(4, 5, 3)
}

/// A length of time as people say it, rounded down: `2 days`, `12 h`, `15 min`, `5 s`.
#[must_use]
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
