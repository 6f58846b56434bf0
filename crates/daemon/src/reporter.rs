//! Carries out [`relay::queue::Effect::Report`]: reads the original, composes the report, and accepts it as a new
//! message through the same store as any other. What it says is decided in [`relay::notice`].

use crate::clock::Clock;
use crate::store::Store;
use relay::config::VirtualServer;
use relay::notice;
use relay::queue::{Event, ReportJob};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Reports being composed at a time: each may hold [`notice::ORIGINAL_READ_MAX`] octets of its original.
const AT_A_TIME: usize = 16;

/// See the module.
#[derive(Clone)]
pub(crate) struct Reporter {
    server: Arc<RwLock<Arc<VirtualServer>>>,
    store: Store,
    events: Sender<Event>,
    clock: Clock,
    runtime: Handle,
    places: Arc<Semaphore>,
}

impl Reporter {
    pub fn new(
        server: Arc<VirtualServer>,
        store: Store,
        events: Sender<Event>,
        clock: Clock,
        runtime: Handle,
    ) -> Reporter {
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        Reporter { server: Arc::new(RwLock::new(server)), store, events, clock, runtime, places }
    }

    /// A new configuration holds for the reports from now on.
    pub fn configure(&self, server: Arc<VirtualServer>) {
        *self.server.write().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// Starts to make the report; [`Event::Reported`] or [`Event::ReportFailed`] follows.
    pub fn report(&self, job: ReportJob) {
        let this = self.clone();
        self.runtime.spawn(async move {
            let Ok(_place) = this.places.clone().acquire_owned().await else { return };
            let (id, recipients, named) = (job.id, job.kind.failed(), job.kind.recipients().len());
            let event = match this.make(job).await {
                Ok(()) => Event::Reported { id, recipients, named },
                Err(why) => Event::ReportFailed { id, recipients, why },
            };
            // The queue thread ends only after everything else: then nobody waits for this any more.
            let _ = this.events.send(event);
        });
    }

    async fn make(&self, job: ReportJob) -> Result<(), String> {
        let server = self.server.read().unwrap_or_else(PoisonError::into_inner).clone();
        let original = self.original(&job).await?;
        let id = self.store.begin_report().map_err(|reply| reply.one_line())?;
        let Some(notice) = notice::compose(&job, &original, &server, self.clock.now(), id.0) else { return Ok(()) };
        let mut incoming = self.store.incoming(id);
        incoming.append(notice.content.into()).await.map_err(|reply| reply.one_line())?;
        let receipt = self.store.commit(incoming, notice.envelope).await.map_err(|reply| reply.one_line())?;
        tracing::debug!("report {} about {}", receipt.queue_id(), job.id);
        Ok(())
    }

    /// The original's first octets, as many as a report may carry.
    async fn original(&self, job: &ReportJob) -> Result<Vec<u8>, String> {
        let mut content = self.store.content(job.id, &job.place).await.map_err(|e| e.to_string())?;
        let mut original = Vec::new();
        while original.len() < notice::ORIGINAL_READ_MAX {
            let Some(chunk) = content.next().await.map_err(|e| e.to_string())? else { break };
            original.extend_from_slice(&chunk);
        }
        original.truncate(notice::ORIGINAL_READ_MAX);
        Ok(original)
    }
}
