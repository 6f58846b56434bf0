//! Hosts that did not do a moment ago: new connections try them last, for [`COOL_DOWN`].
//!
//! So a dead host among several costs its time-out once a minute and not for each connection, and mail comes back to it by itself.
//! A host that is alone is tried all the same: when to try it again is the queue's to say.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a host that did not do is tried last.
pub(super) const COOL_DOWN: Duration = Duration::from_secs(60);
/// Hosts that are kept in mind.
const HOT_MAX: usize = 10_000;

/// See the module.
#[derive(Default, Debug)]
pub(super) struct Cooling {
    /// Until when, by [`super::candidates::Keys`].
    hot: Mutex<HashMap<Box<str>, Instant>>,
}

impl Cooling {
    /// This host did not do.
    pub(super) fn failed(&self, host: Box<str>) {
        let now = Instant::now();
        let mut hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        if hot.len() >= HOT_MAX {
            hot.retain(|_, until| *until > now);
        }
        if hot.len() < HOT_MAX {
            hot.insert(host, now + COOL_DOWN);
        }
    }

    /// This host did.
    pub(super) fn served(&self, host: &str) {
        let mut hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        hot.remove(host);
    }

    /// Is it to be tried last?
    pub(super) fn is_hot(&self, host: &str) -> bool {
        let hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        hot.get(host).is_some_and(|until| *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_cools_down_or_serves_again() {
        let cooling = Cooling::default();
        assert!(!cooling.is_hot("a:25"));
        cooling.failed("a:25".into());
        cooling.failed("b:25".into());
        assert!(cooling.is_hot("a:25") && !cooling.is_hot("a:587"));
        cooling.served("b:25");
        assert!(!cooling.is_hot("b:25"));
        tokio::time::sleep(COOL_DOWN).await;
        assert!(!cooling.is_hot("a:25"));
    }

    #[test]
    fn no_more_is_kept_in_mind_than_the_bound() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let cooling = Cooling::default();
            for host in 0..HOT_MAX + 10 {
                cooling.failed(host.to_string().into());
            }
            assert_eq!(cooling.hot.lock().unwrap().len(), HOT_MAX);
            tokio::time::sleep(COOL_DOWN).await;
            cooling.failed("late".into());
            assert_eq!(cooling.hot.lock().unwrap().len(), 1);
        });
    }
}
