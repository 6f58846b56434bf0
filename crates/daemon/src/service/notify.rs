//! What the service manager wants to know (sd_notify): ready, reloading, stopping, alive. Silent where there is none.

use crate::log::Log;
use sd_notify::NotifyState;
use std::time::Duration;

/// Longer than any process runs: no watchdog.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) struct Supervisor {
    log: Log,
    watchdog: Option<Duration>,
}

impl Supervisor {
    pub(super) fn from_environment(log: &Log) -> Supervisor {
        // Twice as often as it must be.
        let watchdog = sd_notify::watchdog_enabled().map(|within| (within / 2).max(Duration::from_millis(1)));
        Supervisor { log: log.clone(), watchdog }
    }

    /// How often [`Supervisor::alive`] must be called.
    pub(super) fn watchdog_every(&self) -> Duration {
        self.watchdog.unwrap_or(NEVER)
    }

    pub(super) fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
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

    pub(super) fn alive(&self) {
        if self.watchdog.is_some() {
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&self, states: &[NotifyState]) {
        if let Err(error) = sd_notify::notify(states) {
            self.log.alarm(format!("The service manager (NOTIFY_SOCKET) cannot be told how Mailroot does: {error}"));
        }
    }
}
