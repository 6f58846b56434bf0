//! When a token is good, when it is refreshed, and when a provider is asked again after it failed. Pure.

use smtp::time::Timestamp;
use std::time::Duration;

/// The life of a token of which nobody says how long it lives.
const LIFE_UNSAID: Duration = Duration::from_secs(600);
/// The longest life that is believed.
const LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Refreshed so long before its end …
const AHEAD: Duration = Duration::from_secs(300);
/// … and not handed out any more for the last of it: what is handed out must still be good when the host looks at it.
const MARGIN: Duration = Duration::from_secs(30);

/// From when to when a token is good.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// When it was asked for.
    pub(super) from: Timestamp,
    /// Its end.
    pub(super) to: Timestamp,
}

impl Span {
    /// Of a token that was asked for at `from` and lives so long.
    pub(super) fn new(from: Timestamp, life: Option<Duration>) -> Span {
        Span { from, to: from.plus(life.unwrap_or(LIFE_UNSAID).min(LIFE_MAX)) }
    }

    fn life(&self) -> Duration {
        self.to.since(self.from)
    }

    /// May it be handed out? Not if it comes from the future: then one of two clocks was wrong.
    pub(super) fn is_good(&self, now: Timestamp) -> bool {
        let margin = MARGIN.min(self.life() / 10);
        self.from <= now.plus(AHEAD) && now.plus(margin) < self.to
    }

    /// Is it time to refresh it? At four fifths of its life, or five minutes before its end if that is earlier; but not in its
    /// first half, however short it is.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let life = self.life();
        let after = (life * 4 / 5).min(life.saturating_sub(AHEAD)).max(life / 2);
        now >= self.from.plus(after) || now.plus(AHEAD) < self.from
    }
}

/// How a provider is spared after failures.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Backoff {
    failures: u32,
    again: Option<Timestamp>,
}

/// The first pause after the provider's own trouble, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));
/// The same after a refusal.
const PAUSE_REFUSED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(1_800));
/// The longest pause that a provider may ask for.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

impl Backoff {
    /// May it be asked at `now`?
    pub(super) fn allows(&self, now: Timestamp) -> bool {
        self.again.is_none_or(|again| now >= again)
    }

    /// It failed at `now`; `refused`: it said no; `wanted`: the pause that it asked for.
    pub(super) fn failed(&mut self, now: Timestamp, refused: bool, wanted: Option<Duration>) {
        let (first, longest) = if refused { PAUSE_REFUSED } else { PAUSE };
        let pause = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.again = Some(now.plus(pause.max(wanted.unwrap_or_default().min(RETRY_AFTER_MAX))));
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_330_800_000);

    fn after(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn span(life: u64) -> Span {
        Span::new(NOW, Some(Duration::from_secs(life)))
    }

    #[test]
    fn it_is_refreshed_ahead_of_its_end() {
        // life, due, not handed out any more
        for (life, due, over) in [(3_600, 2_880, 3_570), (1_200, 900, 1_170), (600, 300, 570), (60, 30, 54), (10, 5, 9)]
        {
            let span = span(life);
            assert!(!span.is_due(after(due - 1)) && span.is_due(after(due)), "{life}");
            assert!(span.is_good(after(due)) && span.is_good(after(over - 1)) && !span.is_good(after(over)), "{life}");
        }
        assert!(!span(0).is_good(NOW) && span(0).is_due(NOW));
        assert!(Span::new(NOW, None).is_good(after(500)));
        assert!(!span(u64::MAX).is_good(after(40 * 24 * 3_600)), "nobody is believed for ever");
    }

    #[test]
    fn a_clock_that_was_set_back_makes_it_due_and_one_that_drifts_does_not() {
        let earlier = |seconds: i64| Timestamp(NOW.0 - seconds * 1_000);
        assert!(span(3_600).is_good(earlier(60)) && !span(3_600).is_due(earlier(60)));
        assert!(!span(3_600).is_good(earlier(3_600)) && span(3_600).is_due(earlier(3_600)));
    }

    #[test]
    fn pauses_grow_and_end() {
        for (refused, pauses) in
            [(false, [5, 10, 20, 40, 80, 160, 300, 300]), (true, [60, 120, 240, 480, 960, 1_800, 1_800, 1_800])]
        {
            let mut backoff = Backoff::default();
            assert!(backoff.allows(NOW));
            for pause in pauses {
                backoff.failed(NOW, refused, None);
                assert!(!backoff.allows(after(pause - 1)) && backoff.allows(after(pause)), "{refused} {pause}");
            }
            (0..1_000).for_each(|_| backoff.failed(NOW, refused, None));
            assert!(backoff.allows(after(1_800)));
        }
        let mut backoff = Backoff::default();
        backoff.failed(NOW, false, Some(Duration::from_secs(90)));
        assert!(!backoff.allows(after(89)) && backoff.allows(after(90)));
        backoff.failed(NOW, false, Some(Duration::MAX));
        assert!(backoff.allows(after(3_600)), "nobody sends us away for days");
    }
}
