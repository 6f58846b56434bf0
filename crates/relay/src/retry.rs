//! When to try again, when to tell the sender of a delay, when to give up: *when*, nothing else.
//!
//! IIS: Delivery tab, Outbound and Local; the waits of a glitch (three times 60 s) come before the ladder of
//! 15, 30, 60 and then every 240 minutes, each counted from the attempt before. A smart host or a remote domain may have waits
//! and ages of its own ([`Terms::waits`]). RFC 5321 §4.5.4.1.

use crate::config::{Delivery, GlitchRetry, Terms};
use smtp::time::Timestamp;
use std::time::Duration;

/// The waits between attempts.
#[derive(Copy, Clone, Debug)]
pub struct Ladder<'a> {
    glitch: GlitchRetry,
    retry: &'a [Duration],
}

impl<'a> Ladder<'a> {
    /// For mail that goes to another host on these terms; `None`: to Drop.
    #[must_use]
    pub fn of(delivery: &'a Delivery, terms: Option<&'a Terms>) -> Ladder<'a> {
        match terms.and_then(|terms| terms.waits.as_ref()) {
            Some(waits) => Ladder { glitch: waits.glitch_retry, retry: &waits.retry },
            None => Ladder { glitch: delivery.glitch_retry, retry: &delivery.retry },
        }
    }

    /// Without the quick attempts after a glitch: for trouble that does not go away by itself, where each attempt may cost.
    #[must_use]
    pub fn without_glitches(self) -> Ladder<'a> {
        Ladder { glitch: GlitchRetry { times: 0, ..self.glitch }, ..self }
    }

    /// How long to wait after `tries` failures (at least one) of the same mail or destination.
    #[must_use]
    pub fn wait(&self, tries: u16) -> Duration {
        let glitch = self.glitch;
        if tries <= glitch.times {
            return glitch.every;
        }
        let step = usize::from(tries - glitch.times - 1);
        let last = self.retry.len().saturating_sub(1);
        self.retry.get(step.min(last)).copied().unwrap_or(glitch.every)
    }

    /// No wait is longer than this.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.retry.iter().copied().max().unwrap_or_default().max(self.glitch.every)
    }
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
    /// For mail that goes to another host on these terms; `None`: to Drop.
    #[must_use]
    pub fn of(delivery: &Delivery, terms: Option<&Terms>) -> Patience {
        match terms {
            None => Patience { delay_notice: delivery.local_delay_notice, expiry: delivery.local_expiry },
            Some(Terms { waits: Some(waits), .. }) => {
                Patience { delay_notice: waits.delay_notice, expiry: waits.expiry }
            }
            Some(_) => Patience { delay_notice: delivery.delay_notice, expiry: delivery.expiry },
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

#[cfg(test)]
mod tests {
    use super::*;

    const GLITCH: GlitchRetry = GlitchRetry { every: Duration::from_secs(60), times: 3 };

    #[test]
    fn glitches_come_first_and_the_last_wait_repeats() {
        let minutes = [15, 30, 60, 240].map(|m| Duration::from_secs(m * 60));
        let ladder = Ladder { glitch: GLITCH, retry: &minutes };
        let waits: Vec<u64> = (1..=9).map(|tries| ladder.wait(tries).as_secs() / 60).collect();
        assert_eq!(waits, [1, 1, 1, 15, 30, 60, 240, 240, 240]);
        let waits: Vec<u64> = (1..=5).map(|tries| ladder.without_glitches().wait(tries).as_secs() / 60).collect();
        assert_eq!(waits, [15, 30, 60, 240, 240]);
        assert_eq!(ladder.longest().as_secs(), 240 * 60);
    }
}
