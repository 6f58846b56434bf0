//! When to try again, when to tell the sender of a delay, when to give up: *when*, nothing else.
//!
//! IIS: Delivery tab, Outbound and Local; the waits of a glitch (three times 60 s) come before the ladder of
//! 15, 30, 60 and then every 240 minutes, each counted from the attempt before. RFC 5321 §4.5.4.1.

use crate::config::Delivery;
use smtp::time::Timestamp;
use std::time::Duration;

/// How long to wait after `tries` failures (at least one) of the same mail or destination.
#[must_use]
pub fn wait(tries: u16, delivery: &Delivery) -> Duration {
    let glitch = delivery.glitch_retry;
    if tries <= glitch.times {
        return glitch.every;
    }
    let step = usize::from(tries - glitch.times - 1);
    let last = delivery.retry.len().saturating_sub(1);
    delivery.retry.get(step.min(last)).copied().unwrap_or(glitch.every)
}

/// No wait is longer than this.
#[must_use]
pub fn longest_wait(delivery: &Delivery) -> Duration {
    delivery.retry.iter().copied().max().unwrap_or_default().max(delivery.glitch_retry.every)
}

/// The ages at which a message of one kind (local, remote) is talked about and given up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Patience {
    /// The sender hears of the delay.
    pub delay_notice: Duration,
    /// The message is given up.
    pub expiry: Duration,
}

impl Patience {
    /// For mail that goes to Drop (`local`), or on to another host.
    #[must_use]
    pub fn of(delivery: &Delivery, local: bool) -> Patience {
        if local {
            Patience { delay_notice: delivery.local_delay_notice, expiry: delivery.local_expiry }
        } else {
            Patience { delay_notice: delivery.delay_notice, expiry: delivery.expiry }
        }
    }

    /// Has a message that arrived then outlived its time?
    #[must_use]
    pub fn is_over(&self, arrived: Timestamp, now: Timestamp) -> bool {
        now >= arrived.plus(self.expiry)
    }

    /// When to look at the message next: for the notice if it is still to come (and comes before the end), else
    /// for the end.
    #[must_use]
    pub fn next_look(&self, arrived: Timestamp, noticed: bool) -> Timestamp {
        let end = arrived.plus(self.expiry);
        let notice = arrived.plus(self.delay_notice);
        if noticed || notice >= end { end } else { notice }
    }
}
