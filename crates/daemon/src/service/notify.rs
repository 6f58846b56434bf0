//! What the service manager wants to know (sd_notify): ready, reloading, stopping, alive. Silent where there is none.
//!
//! Alive is said by a task of its own, so that no work of the service's loop keeps it from being said in time; as long as the loop
//! rests, or works at something for less than [`HUNG_AFTER`]. A runtime that runs no task any more says nothing, either.

use crate::log::Log;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// A loop that has worked at one thing for so long will not come back: a slow disk, or name servers that do not answer, take less.
const HUNG_AFTER: Duration = Duration::from_secs(300);
/// How often the service manager hears that the start is going on.
pub(super) const START_EXTENDED_EVERY: Duration = Duration::from_secs(10);
/// How long it then waits for the next word.
const START_EXTENDED_BY: u32 = 60_000_000;

#[derive(Clone)]
pub(super) struct Supervisor {
    log: Log,
    watchdog: Option<Duration>,
}

/// The service's loop tells here when it works and when it rests.
pub(super) struct Pulse {
    since: Arc<watch::Sender<Option<Instant>>>,
    saying: Option<JoinHandle<()>>,
}

impl Pulse {
    pub(super) fn works(&self) {
        self.since.send_replace(Some(Instant::now()));
    }

    pub(super) fn rests(&self) {
        self.since.send_replace(None);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if let Some(saying) = &self.saying {
            saying.abort();
        }
    }
}

impl Supervisor {
    pub(super) fn from_environment(log: &Log) -> Supervisor {
        // Twice as often as it must be.
        let watchdog = sd_notify::watchdog_enabled().map(|within| (within / 2).max(Duration::from_millis(1)));
        Supervisor { log: log.clone(), watchdog }
    }

    /// Says that we are alive, from now on until what is returned is dropped.
    pub(super) fn watch(&self) -> Pulse {
        let (since, working) = watch::channel(None);
        let (supervisor, log) = (self.clone(), self.log.clone());
        let saying = self.watchdog.map(|every| {
            tokio::spawn(say_alive(every, working, log, move || supervisor.tell(&[NotifyState::Watchdog])))
        });
        Pulse { since: Arc::new(since), saying }
    }

    pub(super) fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Not ready yet, and not hanging either: a large queue may take longer to recover than a service usually has to start.
    pub(super) fn starting(&self, status: &str) {
        self.tell(&[NotifyState::ExtendTimeoutUsec(START_EXTENDED_BY), NotifyState::Status(status)]);
    }

    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        }
    }

    pub(super) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is in flight")]);
    }

    fn tell(&self, states: &[NotifyState]) {
        if let Err(error) = sd_notify::notify(states) {
            self.log.alarm(format!("The service manager (NOTIFY_SOCKET) cannot be told how Mailroot does: {error}"));
        }
    }
}

/// Says it while the loop rests, or has not worked for too long.
async fn say_alive(every: Duration, working: watch::Receiver<Option<Instant>>, log: Log, say: impl Fn()) {
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        tick.tick().await;
        let since = *working.borrow();
        let hangs = since.is_some_and(|since| since.elapsed() >= HUNG_AFTER);
        if !hangs {
            say();
        } else if !told {
            log.alarm(format!(
                "The service's own loop has worked at one thing for {} s and does not come back. The service manager's watchdog is not \
                 answered any more.",
                HUNG_AFTER.as_secs()
            ));
        }
        told = hangs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn long_work_of_the_loop_is_life_and_work_without_end_is_not() {
        let said = Arc::new(AtomicUsize::new(0));
        let (since, working) = watch::channel(None);
        let counted = Arc::clone(&said);
        let say = move || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let saying = tokio::spawn(say_alive(Duration::from_secs(10), working, Log::nowhere(), say));
        let pulse = Pulse { since: Arc::new(since), saying: Some(saying) };
        let in_time = async |seconds: u64| {
            let before = said.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            said.load(Ordering::Relaxed) - before
        };
        assert!(in_time(101).await >= 10, "it rests");
        pulse.works();
        assert!(in_time(281).await >= 28, "a slow disk");
        in_time(20).await;
        assert_eq!(in_time(100).await, 0, "it hangs");
        pulse.rests();
        assert!(in_time(101).await >= 10, "it has come back");
    }
}
