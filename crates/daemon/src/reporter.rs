//! Carries out [`relay::queue::Effect::Report`]: reads the original, composes the report, and accepts it as a new
//! message through the same store as any other. What it says is decided in [`relay::notice`].

use crate::clock::Clock;
use crate::store::{Store, is_lost};
use relay::config::VirtualServer;
use relay::notice;
use relay::queue::{Event, ReportJob};
use std::io;
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
        let original = match self.original(&job).await {
            // The sender is told without it, rather than never.
            Err(error) if is_lost(&error) => Vec::new(),
            original => original.map_err(|error| error.to_string())?,
        };
        let id = self.store.begin_report().map_err(|reply| reply.one_line())?;
        let Some(notice) = notice::compose(&job, &original, &server, self.clock.now(), id.0) else { return Ok(()) };
        let mut incoming = self.store.incoming(id);
        incoming.append(notice.content.into()).await.map_err(|reply| reply.one_line())?;
        let receipt = self.store.commit(incoming, notice.envelope).await.map_err(|reply| reply.one_line())?;
        tracing::debug!("report {} about {}", receipt.queue_id(), job.id);
        Ok(())
    }

    /// The original's first octets, as many as a report may carry.
    async fn original(&self, job: &ReportJob) -> io::Result<Vec<u8>> {
        let mut content = self.store.content(job.id, &job.place).await?;
        let mut original = Vec::new();
        while original.len() < notice::ORIGINAL_READ_MAX {
            let Some(chunk) = content.next().await? else { break };
            original.extend_from_slice(&chunk);
        }
        original.truncate(notice::ORIGINAL_READ_MAX);
        Ok(original)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::config::Config;
    use relay::envelope::{Envelope, Origin, QueueId, Recipient};
    use relay::parcel::Place;
    use relay::queue::ReportKind;
    use smtp::address::{Mailbox, ReversePath};

    use smtp::time::Timestamp;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[tokio::test]
    async fn a_sender_is_told_even_if_the_content_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mailroot.toml");
        let text = "[[virtual_server]]\nname = \"test\"\nhome = \"home\"\n";
        let config = Config::parse(text, path.to_str().unwrap(), "relay.test").unwrap();
        let (sender, events) = channel();
        let (store, _) = Store::open(&config.servers[0], sender.clone()).unwrap();
        let server = config.servers[0].clone();
        let reporter = Reporter::new(server, store, sender, Clock::start(), Handle::current());
        let sender = ReversePath::Mailbox(Mailbox::parse("a@src.test").unwrap());
        let recipients = vec![Recipient::new(Mailbox::parse("b@dest.test").unwrap(), Timestamp(0))];
        let (origin, arrived) = (Origin::Pickup { file: "x".into() }, Timestamp(1_795_330_800_123));
        let envelope = Envelope { size: 10, ..Envelope::new(sender, recipients, origin, arrived) };
        let kind = ReportKind::Delayed(vec![(0, None, Timestamp(0))]);
        reporter.report(ReportJob { id: QueueId(1), envelope: Arc::new(envelope), place: Place::File, kind });
        let told = tokio::task::spawn_blocking(move || {
            loop {
                match events.recv_timeout(Duration::from_secs(20)).unwrap() {
                    Event::FoundAll | Event::Accepted(_) => {}
                    event => return event,
                }
            }
        });
        let told = told.await.unwrap();
        assert!(matches!(told, Event::Reported { id: QueueId(1), .. }), "{told:?}");
    }
}
