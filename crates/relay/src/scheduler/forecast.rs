//! When a destination's queue will be empty, as far as that can be told from what it took lately and from its limits.
//!
//! A guess for people, never a promise: it assumes that nothing more comes, and that the destination goes on as in the last
//! minutes. Pure; [`super::view`] gathers what it needs.

use super::pace::Pace;
use crate::config::Pacing;
use smtp::time::Timestamp;
use std::time::Duration;

/// A forecast further ahead than this says nothing that an operator could use.
const FAR: Duration = Duration::from_secs(30 * 86_400);

/// When the queue of a destination will be empty.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Forecast {
    /// Nothing waits.
    Empty,
    /// About then.
    At(Timestamp),
    /// Not within a month, as things are.
    Far,
    /// It has taken nothing lately, and nobody knows when it will.
    Unknown,
    /// Not before an operator resumes it.
    Suspended,
}

/// What a forecast is made of.
#[derive(Debug)]
pub(super) struct Outlook<'a> {
    /// Messages that wait or are under way.
    pub waiting: u64,
    /// Messages taken a minute, lately.
    pub rate: Option<f64>,
    /// Nothing goes there before this.
    pub rests_until: Option<Timestamp>,
    pub suspended: bool,
    /// Its owner's limits, and what counts for them; after `Pace::turn`.
    pub limits: Option<(&'a Pacing, &'a Pace)>,
}

/// See the module.
pub(super) fn forecast(outlook: &Outlook<'_>, now: Timestamp) -> Forecast {
    if outlook.waiting == 0 {
        return Forecast::Empty;
    }
    if outlook.suspended {
        return Forecast::Suspended;
    }
    let start = outlook.rests_until.unwrap_or(now).max(now);
    let by_limits = outlook.limits.and_then(|(pacing, pace)| pace.when_all(pacing, outlook.waiting, start));
    let by_rate = outlook.rate.map(|rate| start.plus(minutes(outlook.waiting as f64 / rate.max(1e-6))));
    let Some(at) = by_limits.max(by_rate) else { return Forecast::Unknown };
    if by_rate.is_none() && outlook.rests_until.is_some() {
        // It does not answer; what its limits would allow is no news.
        return Forecast::Unknown;
    }
    if at.since(now) > FAR { Forecast::Far } else { Forecast::At(at) }
}

/// So many minutes; at most a little more than [`FAR`].
pub(super) fn minutes(count: f64) -> Duration {
    Duration::from_secs_f64((count * 60.0).clamp(0.0, 2.0 * FAR.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::terms::Owner;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn at(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn plain(waiting: u64, rate: Option<f64>) -> Outlook<'static> {
        Outlook { waiting, rate, rests_until: None, suspended: false, limits: None }
    }

    #[test]
    fn without_limits_the_rate_decides() {
        assert_eq!(forecast(&plain(0, None), NOW), Forecast::Empty);
        assert_eq!(forecast(&plain(120, Some(60.0)), NOW), Forecast::At(at(120)));
        assert_eq!(forecast(&plain(120, None), NOW), Forecast::Unknown);
        assert_eq!(forecast(&plain(1_000_000, Some(0.2)), NOW), Forecast::Far);
        assert_eq!(forecast(&Outlook { suspended: true, ..plain(1, Some(1.0)) }, NOW), Forecast::Suspended);
        let rests = Outlook { rests_until: Some(at(600)), ..plain(60, Some(60.0)) };
        assert_eq!(forecast(&rests, NOW), Forecast::At(at(660)));
    }

    #[test]
    fn a_days_limit_makes_the_rest_wait_for_tomorrow() {
        let pacing = Pacing { messages_per_day: Some(1_000), messages_per_minute: Some(30), ..Pacing::default() };
        let mut pace = Pace::new(Owner::Server);
        for _ in 0..600 {
            pace.begin(1);
            pace.ended(1, NOW);
        }
        pace.turn(at(61));
        let limited = |waiting| Outlook { limits: Some((&pacing, &pace)), ..plain(waiting, None) };
        let Forecast::At(soon) = forecast(&limited(300), at(61)) else { panic!() };
        assert!(soon >= at(61 + 540) && soon <= at(61 + 660), "30 a minute: {soon:?}");
        let Forecast::At(tomorrow) = forecast(&limited(900), at(61)) else { panic!() };
        assert!(tomorrow >= at(86_400) && tomorrow <= at(86_400 + 1_800), "{tomorrow:?}");
        let Forecast::At(later) = forecast(&limited(2_500), at(61)) else { panic!() };
        assert!(later >= at(3 * 86_400) && later <= at(3 * 86_400 + 1_800), "{later:?}");
        // Slower than the limits: the rate decides.
        let slow = Outlook { rate: Some(1.0), ..limited(300) };
        assert_eq!(forecast(&slow, at(61)), Forecast::At(at(61 + 300 * 60)));
    }

    #[test]
    fn recipients_count_as_they_did_lately() {
        let pacing = Pacing { recipients_per_day: Some(1_000), ..Pacing::default() };
        let mut pace = Pace::new(Owner::Server);
        for _ in 0..10 {
            pace.begin(50);
            pace.ended(50, NOW);
        }
        let limited = |waiting| Outlook { limits: Some((&pacing, &pace)), ..plain(waiting, Some(6_000.0)) };
        assert!(matches!(forecast(&limited(10), NOW), Forecast::At(t) if t < at(60)));
        assert!(matches!(forecast(&limited(11), NOW), Forecast::At(t) if t >= at(86_400)));
    }
}
