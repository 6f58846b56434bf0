//! The running virtual servers, and how they follow the configuration.
//!
//! [`Servers::carry_out`] makes what runs what the configuration says: at start, when nothing runs, and on every reload.
//! A virtual server is known by its name. New ones are started and missing ones stopped; one whose home or queue bounds
//! have changed is stopped and started again; all others go on, get the new configuration, and only their
//! changed addresses are rebound. Whatever goes wrong with one is reported in a line and leaves the others alone.
//!
//! A reload takes no virtual server out of service: one that cannot be started anew, or that could listen nowhere, goes on
//! as it was configured before, and the next reload tries again.
//!
//! What an operator has stopped stays stopped, what he has paused opens no address (the room `states`). One that has another name and
//! nothing else that matters goes on under it.
//!
//! Addresses are closed everywhere before any is opened, so that one may move from one virtual server to another.

use super::halted::Halted;
use super::limits::{inbound_share, open_files};
use super::states::Stopping;
use crate::auth::Passwords;
use crate::clock::Clock;
use crate::counters::Counts;
use crate::desk::{Desk, Premises, Reception};
use crate::dns::Resolver;
use crate::listen::{Inherited, Listeners, Sessions};
use crate::log::Log;
use crate::oauth::{self, Tokens};
use crate::policy::MtaSts;
use crate::runtime::{Commons, ServerRuntime, StartError};
use relay::admin::Direction;
use relay::config::{Config, Console, Dns, VirtualServer};
use relay::record::Record;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long a virtual server that is stopped, removed or restarted may take to finish what is in flight.
pub(super) const RELOAD_BOUND: Duration = Duration::from_secs(10);
/// What is left of a bound for the queue when the sessions have used up theirs.
const QUEUE_BOUND_MIN: Duration = Duration::from_secs(3);
/// How long sessions that are cut off have to go.
const CUT_OFF: Duration = Duration::from_millis(200);

/// A virtual server whose home is being opened, on a thread that may wait for the disk.
type Starting = JoinHandle<Result<ServerRuntime, StartError>>;

/// The running virtual servers.
pub struct Servers {
    pub(super) running: Vec<Running>,
    /// Those that are coming to their end.
    pub(super) stopping: Vec<Stopping>,
    /// What operators have stopped or paused.
    pub(super) halted: Halted,
    /// Why those do not run that should.
    pub(super) failed: HashMap<Box<str>, String>,
    /// The text of the configuration that is in force, once it is known.
    pub(super) source: Option<String>,
    /// All virtual servers of it, those that do not run as well.
    pub(super) configured: Vec<Arc<VirtualServer>>,
    pub(super) dns: Dns,
    /// How operators get in; `None`: nothing was loaded yet.
    pub(super) console: Option<Console>,
    /// Where ACME keeps what it obtained.
    pub(super) state: PathBuf,
    /// What domains publish about TLS; shared by all virtual servers.
    pub(super) mta_sts: MtaSts,
    pub(super) passwords: Passwords,
    pub(super) tokens: Tokens,
    pub(super) inherited: Inherited,
    pub(super) files: u64,
    /// What has gone wrong while the newest configuration was carried out.
    pub(super) faults: Vec<(Log, String)>,
    /// What each virtual server has counted, by its name; kept while it does not run.
    pub(super) counts: HashMap<Box<str>, Arc<Counts>>,
    pub(super) log: Log,
    pub(super) clock: Clock,
}

/// One of them.
pub struct Running {
    pub(super) server: Arc<VirtualServer>,
    pub(super) runtime: ServerRuntime,
    pub(super) reception: Reception,
    pub(super) listeners: Listeners,
    pub(super) log: Log,
}

impl Running {
    /// As it is configured.
    #[must_use]
    pub fn server(&self) -> &VirtualServer {
        &self.server
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.addresses()
    }

    /// Those who come in from now on are received like this.
    fn receive_by(&self, server: &Arc<VirtualServer>, reception: &Reception, clock: &Clock) {
        let (server, store) = (Arc::clone(server), self.runtime.store().clone());
        let desk = Desk::new(server, reception.clone(), store, self.log.clone(), clock.clone());
        self.listeners.set_desk(desk);
    }

    /// Its log names it, if there are several.
    fn name_in_log(&self, several: bool) {
        self.log.set_server(several.then_some(&*self.server.name));
    }

    /// Listens again where it did as it is configured; nowhere, if that is not possible any more.
    fn reopen(&mut self, clock: &Clock, inherited: &mut Inherited) -> bool {
        self.receive_by(&self.server, &self.reception, clock);
        let (usable, _) = self.reception.usable(&self.server);
        self.listeners.open_missing(&usable, inherited);
        !self.addresses().is_empty()
    }
}

impl Servers {
    /// None yet.
    #[must_use]
    pub fn new(log: Log, clock: Clock, inherited: Inherited) -> Servers {
        Servers {
            running: Vec::new(),
            stopping: Vec::new(),
            halted: Halted::default(),
            failed: HashMap::new(),
            source: None,
            configured: Vec::new(),
            dns: Dns::default(),
            console: None,
            state: PathBuf::new(),
            mta_sts: MtaSts::new(Path::new(""), log.clone(), clock.clone()),
            // One hash takes a core for a while, and memory.
            passwords: Passwords::new(std::thread::available_parallelism().map_or(1, usize::from)),
            tokens: Tokens::new(Path::new(""), log.clone(), clock.clone()),
            inherited,
            files: open_files(),
            faults: Vec::new(),
            counts: HashMap::new(),
            log,
            clock,
        }
    }

    /// Does none run, and not because an operator wants it so?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty() && !self.configured.iter().any(|server| self.is_stopped(server))
    }

    /// Those that run, in the configuration's order.
    pub fn iter(&self) -> impl Iterator<Item = &Running> {
        self.running.iter()
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where passwords are checked.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// How operators get in, by the configuration that is in force.
    #[must_use]
    pub fn console(&self) -> Option<&Console> {
        self.console.as_ref()
    }

    /// In a few words, for the service manager: how many run and where they listen.
    #[must_use]
    pub fn summary(&self) -> String {
        let addresses: Vec<_> = self.running.iter().flat_map(Running::addresses).map(|a| a.to_string()).collect();
        format!("{} virtual servers, listening on {}", self.running.len(), addresses.join(" "))
    }

    /// Makes what runs what `config` says. Returns what could not be done, each in a sentence, which is in the log as well
    /// if anything runs.
    pub async fn carry_out(&mut self, config: &Config) -> Vec<String> {
        self.faults.clear();
        self.configured.clone_from(&config.servers);
        self.console = Some(config.console.clone());
        if self.state != config.state {
            // Those that run go on with the old one until they are started anew.
            self.mta_sts = MtaSts::new(&config.state, self.log.clone(), self.clock.clone());
            self.state.clone_from(&config.state);
        }
        self.tokens.configure(&config.state, &oauth::wanted(config));
        self.halted.keep_in(&config.state, &self.log);
        self.halted.follow(&config.servers, &self.log);
        self.rename(config);
        self.exchange_resolvers(&config.dns);
        self.keep_counts();
        let replaced = self.stop_outdated(config).await;
        for running in &mut self.running {
            if let Some(server) = config.servers.iter().find(|server| server.name == running.server.name) {
                running.listeners.close_others(&wanted(server)).await;
            }
        }
        for server in &config.servers {
            // One that an operator stops comes to its end beside us: nobody waits for it but who starts it again.
            if self.runs(&server.name).is_none() && !self.is_stopped(server) {
                self.stopped(Some(&server.home)).await;
            }
        }
        let starting: Vec<_> = config.servers.iter().map(|server| self.start_unless_running(server)).collect();
        let share = inbound_share(self.files, config.servers.len());
        for (server, starting) in config.servers.iter().zip(starting) {
            match starting {
                Some((log, starting)) => {
                    let old = replaced.iter().find(|old| old.name == server.name);
                    if !self.finish_start(server, &log, share, starting).await
                        && let Some(old) = old
                    {
                        let starting = self.begin_start(old, &log);
                        if self.finish_start(old, &log, share, starting).await {
                            self.goes_on_as_before(&log, old);
                        }
                    }
                }
                None => self.follow(server).await,
            }
        }
        let place = |running: &Running| config.servers.iter().position(|server| server.name == running.server.name);
        self.running.sort_by_key(place);
        self.failed.retain(|name, _| config.servers.iter().any(|server| server.name == *name));
        let faults = std::mem::take(&mut self.faults);
        if !self.is_empty() {
            faults.iter().for_each(|(log, text)| log.alarm(text.as_str()));
        }
        faults.into_iter().map(|(_, text)| text).collect()
    }

    /// Sockets that were handed over and that no virtual server listens on are worth a word; those of one that shall not listen now
    /// refuse connections.
    pub fn report_unused_sockets(&mut self) {
        for server in &self.configured {
            if self.halted.of(server).is_some() {
                wanted(server).into_iter().for_each(|address| self.inherited.rest(address));
            }
        }
        let known: Vec<_> = self.configured.iter().flat_map(|server| wanted(server)).collect();
        for address in self.inherited.unused().into_iter().filter(|address| !known.contains(address)) {
            self.log.alarm(format!(
                "The service manager handed over a socket for {address}, but no virtual server has it under general.listen; \
                 nobody answers there."
            ));
        }
    }

    /// Stops all, at most for `bound`.
    pub async fn stop(&mut self, bound: Duration) {
        let stopping: Vec<_> = self.running.drain(..).map(|running| tokio::spawn(stop(running, bound))).collect();
        for stopping in stopping {
            let _ = stopping.await;
        }
        self.stopped(None).await;
    }

    /// Virtual servers that have another name now, and otherwise what cannot be exchanged as before, go on under it.
    fn rename(&mut self, config: &Config) {
        let several = config.servers.len() > 1;
        for running in &mut self.running {
            let old = &running.server;
            if let Some(new) = successor(old, config)
                && new.name != old.name
            {
                if let Some(counts) = self.counts.remove(&old.name) {
                    self.counts.insert(new.name.clone(), counts);
                }
                running.server = Arc::new(VirtualServer { name: new.name.clone(), ..(**old).clone() });
                running.runtime.reconfigure(Arc::clone(new));
            }
            running.name_in_log(several);
        }
    }

    /// Other name servers are asked from now on, by those that run too; unless that is not possible.
    fn exchange_resolvers(&mut self, dns: &Dns) {
        if self.dns == *dns {
            return;
        }
        match Resolver::new(dns) {
            Ok(resolver) => {
                self.running.iter().for_each(|running| running.runtime.resolver().follow(&resolver));
                self.dns.clone_from(dns);
            }
            // Those that are to be started say it for themselves.
            Err(_) if self.running.is_empty() => self.dns.clone_from(dns),
            Err(error) => {
                let log = self.log.clone();
                self.fault(&log, format!("The changed [dns] is not used; the one from before goes on: {error}."));
            }
        }
    }

    /// Stops those that are not in the configuration any more, and those that must be started anew; gives the latter, as
    /// they were configured.
    async fn stop_outdated(&mut self, config: &Config) -> Vec<Arc<VirtualServer>> {
        let stays = |running: &Running| {
            let new = config.servers.iter().find(|server| server.name == running.server.name);
            new.is_some_and(|new| !needs_restart(&running.server, new))
        };
        let (stay, end): (Vec<_>, Vec<_>) = self.running.drain(..).partition(stays);
        self.running = stay;
        let ended: Vec<_> = end.iter().map(|running| Arc::clone(&running.server)).collect();
        let mut restarted = Vec::new();
        for running in end {
            let is_removed = !config.servers.iter().any(|server| server.name == running.server.name);
            let done = self.let_stop(running).await;
            // Who is removed may take its time; who is started anew comes first.
            restarted.extend((!is_removed).then_some(done));
        }
        for done in restarted {
            let _ = done.await;
        }
        ended
    }

    /// Begins to open the home of a virtual server that does not run. Recovery may take a while; all do it at once.
    fn start_unless_running(&self, server: &Arc<VirtualServer>) -> Option<(Log, Starting)> {
        if self.runs(&server.name).is_some() || self.is_stopped(server) {
            return None;
        }
        let log = self.log_of(server);
        let starting = self.begin_start(server, &log);
        Some((log, starting))
    }

    /// A log of its own, that names it if there are several.
    pub(super) fn log_of(&self, server: &VirtualServer) -> Log {
        let log = self.log.of_server(&server.name);
        if self.configured.len() <= 1 {
            log.set_server(None);
        }
        log.counting(self.counts_of(&server.name))
    }

    pub(super) fn begin_start(&self, server: &Arc<VirtualServer>, log: &Log) -> Starting {
        let commons = Commons {
            dns: self.dns.clone(),
            mta_sts: self.mta_sts.clone(),
            tokens: self.tokens.clone(),
            state: self.state.clone(),
            clock: self.clock.clone(),
            runtime: Handle::current(),
        };
        let (server, log) = (Arc::clone(server), log.clone());
        tokio::task::spawn_blocking(move || ServerRuntime::start(&server, &commons, &log))
    }

    /// Does it run now?
    pub(super) async fn finish_start(
        &mut self,
        server: &Arc<VirtualServer>,
        log: &Log,
        share: usize,
        starting: Starting,
    ) -> bool {
        let (name, log) = (&server.name, log.clone());
        let runtime = match starting.await {
            Ok(Ok(runtime)) => runtime,
            Ok(Err(error)) => {
                return self.fails(&log, server, format!("'{name}' is not started: {error}"));
            }
            Err(_) => {
                return self.fails(&log, server, format!("'{name}' is not started, by a fault in Mailroot itself."));
            }
        };
        let (reception, mut faults) = Reception::open(server, &self.premises(), runtime.resolver().clone(), &log, None);
        let is_paused = self.is_paused(server);
        let (usable, unusable) = if is_paused { Default::default() } else { reception.usable(server) };
        faults.extend(unusable);
        let store = runtime.store().clone();
        let desk = Desk::new(Arc::clone(server), reception.clone(), store, log.clone(), self.clock.clone());
        let sessions = Sessions::listed(share, Arc::clone(runtime.sessions()));
        let listeners = Listeners::new(desk, sessions);
        let mut running = Running { server: Arc::clone(server), runtime, reception, listeners, log };
        let unopened = running.listeners.open_missing(&usable, &mut self.inherited);
        faults.extend(unopened.iter().map(ToString::to_string));
        faults.iter().for_each(|fault| self.fault(&running.log, format!("'{name}': {fault}.")));
        if running.addresses().is_empty() && !faults.is_empty() && !is_paused {
            let log = running.log.clone();
            running.runtime.stop(RELOAD_BOUND).await;
            let why = faults.iter().map(|fault| format!("{fault}.")).collect::<Vec<_>>().join(" ");
            self.fails(&log, server, format!("'{name}' is not started, because it can listen nowhere."));
            self.failed.insert(name.clone(), why);
            return false;
        }
        self.failed.remove(name);
        let home = server.home.display().to_string().into();
        running.log.write(&Record::Started { listen: running.addresses(), home });
        if is_paused {
            running.log.write(&Record::Paused);
        }
        self.running.push(running);
        true
    }

    /// Gives a running virtual server its new configuration. What could not be made ready before is tried again, whether
    /// its configuration has changed or not.
    async fn follow(&mut self, server: &Arc<VirtualServer>) {
        let Some(at) = self.running.iter().position(|running| running.server.name == server.name) else { return };
        let running = &self.running[at];
        let (log, resolver) = (running.log.clone(), running.runtime.resolver().clone());
        let before = Some(&running.reception);
        let (reception, mut faults) = Reception::open(server, &self.premises(), resolver, &log, before);
        let is_paused = self.is_paused(server);
        let (usable, unusable) = if is_paused { Default::default() } else { reception.usable(server) };
        faults.extend(unusable);
        let clock = &self.clock;
        let running = &mut self.running[at];
        running.receive_by(server, &reception, clock);
        running.listeners.close_others(&usable).await;
        let unopened = running.listeners.open_missing(&usable, &mut self.inherited);
        faults.extend(unopened.iter().map(ToString::to_string));
        let has_moved_out = running.addresses().is_empty() && !faults.is_empty() && !is_paused;
        let goes_back = has_moved_out && running.reopen(clock, &mut self.inherited);
        if !goes_back {
            running.reception = reception;
            if running.server != *server {
                running.server = Arc::clone(server);
                running.runtime.reconfigure(Arc::clone(server));
                running.log.write(&Record::Configured);
            }
        }
        faults.iter().for_each(|fault| self.fault(&log, format!("'{}': {fault}.", server.name)));
        if goes_back {
            self.goes_on_as_before(&log, server);
        }
    }

    fn goes_on_as_before(&mut self, log: &Log, server: &VirtualServer) {
        let text = format!("'{}' goes on as it was configured before; mend this and reload again.", server.name);
        self.fault(log, text);
    }

    fn premises(&self) -> Premises<'_> {
        Premises { state: &self.state, passwords: &self.passwords, clock: &self.clock }
    }

    /// It does not run; `false`.
    fn fails(&mut self, log: &Log, server: &VirtualServer, text: String) -> bool {
        self.failed.insert(server.name.clone(), text.clone());
        self.fault(log, text);
        false
    }

    fn fault(&mut self, log: &Log, text: String) {
        self.faults.push((log.clone(), text));
    }
}

/// Where a virtual server listens.
fn wanted(server: &VirtualServer) -> Vec<SocketAddr> {
    server.general.addresses().collect()
}

/// Who it is in this configuration: by its name; else by its home, if that and the bounds of its queue stay as they are.
pub(super) fn successor<'c>(old: &VirtualServer, config: &'c Config) -> Option<&'c Arc<VirtualServer>> {
    let by_name = config.servers.iter().find(|new| new.name == old.name);
    by_name.or_else(|| config.servers.iter().find(|new| !needs_restart(old, new)))
}

/// What a virtual server's store cannot exchange while it is open.
pub(super) fn needs_restart(old: &VirtualServer, new: &VirtualServer) -> bool {
    old.home != new.home || old.queue != new.queue
}

/// Stops one virtual server: no new connections, then no new commands, then no new attempts.
pub(super) async fn stop(mut running: Running, bound: Duration) {
    let until = Instant::now() + bound;
    running.listeners.close().await;
    let sessions = Arc::clone(running.listeners.sessions());
    sessions.drain();
    let in_time = tokio::time::timeout_at(until - QUEUE_BOUND_MIN.min(bound), sessions.emptied()).await;
    if in_time.is_err() {
        running.log.alarm(format!("{} sessions did not end in time and are cut off.", sessions.open()));
        sessions.registry().end_all(Some(Direction::Inbound));
        let _ = tokio::time::timeout(CUT_OFF, sessions.emptied()).await;
    }
    let left = until.saturating_duration_since(Instant::now()).max(QUEUE_BOUND_MIN);
    running.runtime.stop(left).await;
    running.log.write(&Record::Stopped);
}
