//! Looks after the certificates of one virtual server while it runs: reads changed files again, warns of their end, has those of
//! ACME renewed ahead of it.
//!
//! Two tasks, which go with their [`Keeper`]. The first looks at the files' dates every [`LOOK_EVERY`], because watching folders misses
//! network file systems and the links that some tools turn around; a look costs a few system calls.

use super::Certificates;
use crate::certificate::acme::{self, AcmeFault, Backoff};
use crate::clock::Clock;
use crate::log::Log;
use relay::config::Acme;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks after certificates until it is dropped.
#[derive(Debug)]
pub struct Keeper {
    tasks: [JoinHandle<()>; 2],
}

impl Keeper {
    /// Begins. Only within the runtime.
    #[must_use]
    pub fn start(certificates: Arc<Certificates>, log: Log, clock: Clock) -> Keeper {
        let renewing = renew(Arc::clone(&certificates), log.clone(), clock.clone());
        Keeper { tasks: [tokio::spawn(keep(certificates, log, clock)), tokio::spawn(renewing)] }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
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

/// Renews what is due. What was obtained lies in its file then, where the first task finds it.
async fn renew(certificates: Arc<Certificates>, log: Log, clock: Clock) {
    let mut backoffs: HashMap<Acme, Backoff> = HashMap::new();
    loop {
        for due in certificates.due(clock.now()) {
            let backoff = backoffs.entry(due.clone()).or_default();
            if !backoff.allows(clock.now()) {
                continue;
            }
            let first = due.names.first().map(ToString::to_string).unwrap_or_default();
            match acme::obtain(&due, certificates.state(), None).await {
                Ok(_) => {
                    backoff.succeeded(clock.now());
                    certificates.refresh(clock.now());
                    tracing::info!("A new certificate for {first} was obtained");
                }
                // Another virtual server with the same names: what it obtains is ours, too.
                Err(AcmeFault::Busy) => {}
                Err(fault) => {
                    let again = backoff.failed(clock.now()).rfc3339();
                    log.alarm(format!("The certificate for {first} is not renewed: {fault}. Next attempt: {again}."));
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
