//! One virtual server at work: its store, queue thread, outbound connections, Drop, Badmail and Pickup.
//!
//! Threads of each virtual server: journal and folder (in [`crate::store`]), queue ([`crate::queue_thread`]), local
//! ([`crate::local`]). They talk by channels and share nothing but the configuration, which never changes in place.

pub use crate::queue_thread::{Answers, Asker};

use crate::clock::Clock;
use crate::dns::Resolver;
use crate::local::Local;
use crate::log::Log;
use crate::oauth::Tokens;
use crate::outbound::{Means, Outbound};
use crate::policy::{MtaSts, Policies};
use crate::queue_thread::{self, Glance, Hands};
use crate::reporter::Reporter;
use crate::sessions::{Numbers, Registry};
use crate::standing::Standing;
use crate::store::Store;
use crate::watch::Watch;
use relay::admin::Direction;
use relay::config::{Dns, VirtualServer};
use relay::queue::{Event, Queue, Totals};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long connections that are cut off have to tell the queue what became of their messages.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Why a virtual server does not start: a sentence that says what to do.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// What the virtual servers of one process have in common.
#[derive(Clone)]
pub struct Commons {
    /// Which name servers are asked.
    pub dns: Dns,
    /// What domains publish about TLS.
    pub mta_sts: MtaSts,
    /// Tokens for hosts that want OAuth 2.0.
    pub tokens: Tokens,
    /// The numbers of sessions.
    pub numbers: Numbers,
    /// The folder of the service's own files.
    pub state: PathBuf,
    /// The time.
    pub clock: Clock,
    /// Who runs the sockets.
    pub runtime: Handle,
}

/// A running virtual server, without its listeners ([`crate::listen`]).
pub struct ServerRuntime {
    store: Store,
    resolver: Resolver,
    events: Sender<Event>,
    asker: Asker,
    glance: Arc<Glance>,
    sessions: Arc<Registry>,
    reporter: Reporter,
    watch: Mutex<Option<Watch>>,
    queue: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl ServerRuntime {
    /// Opens the home (creating its folders), recovers what it holds, and starts to deliver.
    ///
    /// # Errors
    /// The home cannot be used, another process holds it, or the resolver cannot be set up.
    pub fn start(server: &Arc<VirtualServer>, commons: &Commons, log: &Log) -> Result<ServerRuntime, StartError> {
        let Commons { dns, mta_sts, tokens, numbers, state, clock, runtime } = commons;
        let (events, inbox) = mpsc::channel();
        let mended = events.clone();
        tokens.tell(move |owner| mended.send(Event::Mended(owner.clone())).is_ok());
        // Before the first message is told of: none may go where nothing should.
        let (standing, known) = Standing::read(&server.home.join("Queue"), log);
        known.into_iter().for_each(|event| drop(events.send(event)));
        let (store, recovery) = Store::open(server, events.clone()).map_err(|e| StartError(e.to_string()))?;
        for trouble in recovery.troubles {
            log.alarm(trouble);
        }
        // Whoever is told that we are ready may write into Pickup at once. A folder that cannot be made is told of by
        // those who work in it.
        for folder in [&server.home.join("Pickup"), &server.default_domain.drop, &server.messages.badmail] {
            let _ = std::fs::create_dir_all(folder);
        }
        let mut resolver = Resolver::new(dns).map_err(|e| StartError(e.to_string()))?;
        if let Some(counts) = log.counts() {
            resolver = resolver.counting(counts.dns());
        }
        let sessions = Registry::numbered(numbers);
        let means = Means {
            policies: Policies::new(resolver.clone(), mta_sts.clone()),
            store: store.clone(),
            events: events.clone(),
            log: log.clone(),
            tokens: tokens.clone(),
            clock: clock.clone(),
            state: state.clone(),
            sessions: Arc::clone(&sessions),
        };
        let outbound = Outbound::new(server.clone(), means, runtime.clone());
        let local =
            Local::start(server, store.clone(), events.clone(), clock.clone(), log.clone()).map_err(no_thread)?;
        let reporter = Reporter::new(server.clone(), store.clone(), events.clone(), clock.clone(), runtime.clone());
        let watch = Watch::start(server, store.clone(), local.clone(), clock.clone(), log.clone(), runtime.clone())
            .map_err(no_thread)?;
        let asker = Asker::new(events.clone());
        let hands = Hands {
            store: store.clone(),
            outbound,
            local,
            reporter: reporter.clone(),
            log: log.clone(),
            asker: asker.clone(),
            standing,
        };
        let glance = Arc::new(Glance::default());
        let queue = Queue::new(server.clone());
        let (seen, time) = (glance.clone(), clock.clone());
        let thread = std::thread::Builder::new()
            .name("queue".into())
            .spawn(move || queue_thread::run(queue, &inbox, hands, &time, &seen))
            .map_err(no_thread)?;
        let (watch, queue) = (Mutex::new(Some(watch)), Mutex::new(Some(thread)));
        Ok(ServerRuntime { store, resolver, events, asker, glance, sessions, reporter, watch, queue })
    }

    /// Where sessions hand in messages.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who answers what is asked of the DNS.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Its sessions, as operators see them.
    #[must_use]
    pub fn sessions(&self) -> &Arc<Registry> {
        &self.sessions
    }

    /// How much waits and is under way.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            messages: self.messages(),
            connections: self.glance.connections.load(Ordering::Relaxed),
            destinations: self.glance.destinations.load(Ordering::Relaxed),
        }
    }

    /// Messages that wait.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.glance.messages.load(Ordering::Relaxed)
    }

    /// Where an operator asks the queue, and gives it orders.
    #[must_use]
    pub fn asker(&self) -> &Asker {
        &self.asker
    }

    /// A new configuration holds from now on; home and folders stay as they are.
    pub fn reconfigure(&self, server: Arc<VirtualServer>) {
        self.reporter.configure(server.clone());
        if let Some(watch) = &*self.watch.lock().unwrap_or_else(PoisonError::into_inner) {
            watch.configure(server.clone());
        }
        let _ = self.events.send(Event::Configured(server));
    }

    /// Lets what is under way come to its end, at most for `bound`; what is not done by then stays in the queue on
    /// disk. To be called after the listeners and their sessions have ended. Returns how many messages wait then.
    pub async fn stop(self, bound: Duration) -> u64 {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watch) = &watch {
            watch.stop();
        }
        self.glance.drain();
        let _ = self.events.send(Event::Drain);
        if tokio::time::timeout(bound, self.glance.quiet.notified()).await.is_err() {
            // So that the queue hears what became of each message.
            self.sessions.end_all(Some(Direction::Outbound));
            let _ = tokio::time::timeout(LAST_ANSWERS, self.glance.quiet.notified()).await;
        }
        self.glance.stop();
        let _ = self.events.send(Event::Tick);
        let thread = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        if let Some(watch) = watch {
            let _ = tokio::time::timeout(bound, watch.ended()).await;
        }
        self.store.close().await;
        self.store.waiting()
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn no_thread(error: std::io::Error) -> StartError {
    StartError(format!("the system gives no thread ({error}); look at its limits on processes and memory"))
}
