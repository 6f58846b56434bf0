//! What time it is, for everybody: a clock that never goes back and never jumps.
//!
//! The system's time is read once, at start; from then on the monotonic clock tells how much has passed. So a time that
//! an operator, a hypervisor or a leap sets wrongly for a moment neither expires the queue nor makes a deadline wait for hours.
//! [`Clock::resynchronise`], called about once a minute, follows *small* drifts (up to [`SMALL`]): forwards by at most
//! [`FORWARD_STEP`] a call, backwards by standing still for at most [`BACKWARD_STEP`]. A larger difference is
//! reported and not followed; a restart takes it over. Timers use [`Clock::instant`], which knows only the monotonic clock.

use smtp::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A difference from the system's time up to this is followed.
pub const SMALL: Duration = Duration::from_secs(60);
/// How much of it is made up for at a time when our clock is behind.
pub const FORWARD_STEP: Duration = Duration::from_secs(1);
/// For how long our clock stands still at a time when it is ahead.
pub const BACKWARD_STEP: Duration = Duration::from_millis(100);
/// What [`Clock::instant`] gives for "never": longer than any process runs, near enough for every timer.
const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The time. Cheap to clone and to ask; all clones agree.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The monotonic clock at start.
    started: Instant,
    /// What to add to the milliseconds since `started`; moved by `resynchronise` alone.
    offset: AtomicI64,
    /// No time before this is told any more: where the clock stood when it was last set back.
    floor: AtomicI64,
}

/// What [`Clock::resynchronise`] found.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Drift {
    /// Within a few milliseconds.
    None,
    /// Milliseconds by which the system was ahead (behind, if negative) of us; being followed.
    Small(i64),
    /// The same; too much to be a drift, not followed.
    Large(i64),
}

impl Clock {
    /// A clock that begins at the system's time.
    #[must_use]
    pub fn start() -> Clock {
        Clock::starting_at(system_time())
    }

    /// A clock that begins at `at` (tests).
    #[must_use]
    pub fn starting_at(at: Timestamp) -> Clock {
        let shared = Shared { started: Instant::now(), offset: AtomicI64::new(at.0), floor: AtomicI64::new(i64::MIN) };
        Clock { shared: Arc::new(shared) }
    }

    /// Now. Never before an earlier answer.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        // In this order: whoever sees a lowered offset also sees the floor that goes with it, and whoever sees the old one
        // has read the monotonic clock before the floor was taken from it.
        let elapsed = self.elapsed_ms();
        let offset = self.shared.offset.load(Ordering::Acquire);
        let floor = self.shared.floor.load(Ordering::Relaxed);
        Timestamp(elapsed.saturating_add(offset).max(floor))
    }

    /// When a timer that is due at `at` must fire: an instant of the monotonic clock, at most ten years ahead.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        let offset = self.shared.offset.load(Ordering::Relaxed);
        let after = at.since(Timestamp(offset));
        let latest = self.shared.started.elapsed() + FAR;
        self.shared.started + after.min(latest)
    }

    /// Follows the system's time if it differs by little. To be called about once a minute, by one caller.
    pub fn resynchronise(&self) -> Drift {
        self.follow(system_time())
    }

    fn follow(&self, system: Timestamp) -> Drift {
        let now = self.now();
        let ahead = system.0.saturating_sub(now.0);
        if ahead.unsigned_abs() > millis(SMALL).unsigned_abs() {
            return Drift::Large(ahead);
        }
        if ahead.abs() <= 5 {
            return Drift::None;
        }
        let step = ahead.clamp(-millis(BACKWARD_STEP), millis(FORWARD_STEP));
        if step < 0 {
            // A few milliseconds on top, for those who ask between this line and the next.
            self.shared.floor.store(now.0.saturating_add(5), Ordering::Relaxed);
        }
        self.shared.offset.fetch_add(step, Ordering::Release);
        Drift::Small(ahead)
    }

    /// As if so much time had passed.
    #[cfg(test)]
    pub(crate) fn jump(&self, by: Duration) {
        self.shared.offset.fetch_add(millis(by), Ordering::Release);
    }

    fn elapsed_ms(&self) -> i64 {
        millis(self.shared.started.elapsed())
    }
}

fn system_time() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp(millis(since)),
        Err(before) => Timestamp(-millis(before.duration())),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_795_330_800_000);

    fn near(a: Timestamp, b: Timestamp) -> bool {
        (a.0 - b.0).abs() < 500
    }

    #[test]
    fn it_begins_at_the_systems_time_and_goes_on() {
        let clock = Clock::start();
        assert!(near(clock.now(), system_time()));
        let copy = clock.clone();
        let before = clock.now();
        assert!(copy.now() >= before);
    }

    #[test]
    fn it_never_goes_back() {
        let clock = Clock::starting_at(START);
        let mut last = clock.now();
        for _ in 0..200 {
            let system = Timestamp(clock.now().0 - 50_000);
            assert!(matches!(clock.follow(system), Drift::Small(_)));
            let now = clock.now();
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
        }
        // … and it does stand still meanwhile: 200 steps of 100 ms have been taken off.
        assert!(clock.elapsed_ms() + clock.shared.offset.load(Ordering::Relaxed) < START.0 - 10_000);
    }

    #[test]
    fn small_drifts_are_followed_in_steps() {
        let clock = Clock::starting_at(START);
        let system = Timestamp(clock.now().0 + 30_000);
        assert!(matches!(clock.follow(system), Drift::Small(29_000..=30_000)));
        assert!(near(clock.now(), START.plus(FORWARD_STEP)), "one step, not all at once");
        for _ in 0..40 {
            clock.follow(system);
        }
        assert!(near(clock.now(), system));
        assert_eq!(clock.follow(clock.now()), Drift::None);
    }

    #[test]
    fn a_jump_is_reported_and_not_followed() {
        let clock = Clock::starting_at(START);
        for jump in [3_600_000, -3_600_000, 61_000, i64::MAX, i64::MIN + START.0 + 10_000_000] {
            let found = clock.follow(Timestamp(START.0.saturating_add(jump)));
            assert!(matches!(found, Drift::Large(_)), "{jump}: {found:?}");
            assert!(near(clock.now(), START));
        }
    }

    #[test]
    fn timers_fire_neither_early_nor_never() {
        let clock = Clock::starting_at(START);
        let due = clock.now().plus(Duration::from_secs(2));
        let instant = clock.instant(due);
        let wait = instant - Instant::now();
        assert!(wait > Duration::from_millis(1_900) && wait <= Duration::from_millis(2_000), "{wait:?}");
        assert!(clock.instant(Timestamp(0)) <= Instant::now() + Duration::from_millis(1));
        let far = clock.instant(Timestamp::NEVER) - Instant::now();
        assert!(far > Duration::from_secs(365 * 24 * 3600), "{far:?}");
    }
}
