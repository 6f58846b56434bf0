//! Work for operators that waits for the disk: on threads of its own, so that no socket waits, and little of it at a time.

use super::transfer::Imports;
use super::{Control, Fault, ending};
use relay::admin::view::Alarm;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{Mutex, Semaphore};

/// Folders, messages and certificates that are read for operators at the same time; whoever wants more waits.
pub const READERS_MAX: usize = 4;

/// See the module.
pub(super) struct Work {
    readers: Semaphore,
    /// One order about files at a time: a message that two operators requeue goes once.
    pub(super) files: Arc<Mutex<()>>,
    /// One import into a queue at a time.
    pub(super) imports: Imports,
    /// The alarms as they were gathered last.
    pub(super) alarms: Mutex<Option<(Instant, Arc<[Alarm]>)>>,
}

impl Default for Work {
    fn default() -> Work {
        Work {
            readers: Semaphore::new(READERS_MAX),
            files: Arc::default(),
            imports: Imports::default(),
            alarms: Mutex::default(),
        }
    }
}

impl Control {
    /// Carries out what waits for the disk.
    pub(super) async fn on_a_thread<T: Send + 'static>(
        &self,
        deed: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let _permit = self.house.work.readers.acquire().await.map_err(|_| ending())?;
        let done = tokio::task::spawn_blocking(deed).await;
        done.map_err(|_| {
            Fault::Unavailable("a fault in Mailroot itself kept this from being done; it is in the log".into())
        })
    }
}
