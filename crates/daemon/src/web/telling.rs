//! What is told of those who are turned away, in the log and in the audit log: each of them, but not without end.
//!
//! Whoever guesses from a thousand addresses must not push out what operators did. What is not told is counted, and told with the
//! next one.

use smtp::time::Timestamp;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Refusals that are told in a minute; further ones are counted.
pub const REFUSALS_TOLD_MAX: u32 = 60;
const SPAN: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct Telling(Mutex<Window>);

#[derive(Default)]
struct Window {
    began: Option<Timestamp>,
    told: u32,
    left_out: u64,
}

impl Telling {
    /// Is this one told? Then how many before it were not.
    pub(super) fn turn(&self, now: Timestamp) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.is_none_or(|began| now.since(began) >= SPAN) {
            (window.began, window.told) = (Some(now), 0);
        }
        if window.told >= REFUSALS_TOLD_MAX {
            window.left_out += 1;
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_once() {
        let (telling, at) = (Telling::default(), Timestamp(1_000_000));
        for _ in 0..REFUSALS_TOLD_MAX {
            assert_eq!(telling.turn(at), Some(0));
        }
        for _ in 0..1_000 {
            assert_eq!(telling.turn(at.plus(Duration::from_secs(59))), None);
        }
        assert_eq!(telling.turn(at.plus(SPAN)), Some(1_000));
        assert_eq!(telling.turn(at.plus(SPAN)), Some(0));
    }
}
