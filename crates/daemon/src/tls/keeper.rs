//! Looks after the certificates of one virtual server while it runs: reads changed files again, warns of their end.
//!
//! One task, which goes with its [`Keeper`]. It looks at the files' dates every [`LOOK_EVERY`], because watching folders misses
//! network file systems and the links that some tools turn around; a look costs a few system calls.

use super::Certificates;
use crate::clock::Clock;
use crate::log::Log;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks after certificates until it is dropped.
#[derive(Debug)]
pub struct Keeper {
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins. Only within the runtime.
    #[must_use]
    pub fn start(certificates: Arc<Certificates>, log: Log, clock: Clock) -> Keeper {
        Keeper { task: tokio::spawn(keep(certificates, log, clock)) }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(certificates: Arc<Certificates>, log: Log, clock: Clock) {
    loop {
        let (looked_at, now) = (Arc::clone(&certificates), clock.now());
        // The files may lie on a disk that makes one wait.
        let look = tokio::task::spawn_blocking(move || (looked_at.refresh(now), looked_at.warnings(now)));
        if let Ok((refreshed, warnings)) = look.await {
            for fault in refreshed.into_iter().flatten() {
                log.alarm(format!("A certificate is not taken over: {fault}. What was shown before is shown on."));
            }
            warnings.into_iter().for_each(|warning| log.alarm(warning));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
