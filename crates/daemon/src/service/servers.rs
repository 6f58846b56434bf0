//! The running virtual servers, and how they follow the configuration.
//!
//! [`Servers::carry_out`] makes what runs what the configuration says: at start, when nothing runs, and on every reload.
//! A virtual server is known by its name. New ones are started and missing ones stopped; one whose home or queue bounds
//! have changed is stopped and started again; all others go on, get the new configuration, and only their
//! changed addresses are rebound. Whatever goes wrong with one is reported in a line and leaves the others alone. What has to
//! start or to stop does so beside everything else (the rooms `starts` and `states`): nothing here waits for it.
//!
//! A reload takes no virtual server out of service: one that cannot be started anew, or that could listen nowhere, goes on
//! as it was configured before, and the next reload tries again.
//!
//! What an operator has stopped stays stopped, what he has paused opens no address (the room `states`). One that has another name and
//! nothing else that matters goes on under it.
//!
//! Addresses are closed everywhere before any is opened, so that one may move from one virtual server to another.

use super::halted::{Halt, Halted};
use super::limits::open_files;
use super::starts::{Faults, Progress, Starting, Starts};
use super::states::Stopping;
use crate::auth::Passwords;
use crate::clock::Clock;
use crate::counters::Counts;
use crate::desk::{Desk, Premises, Reception};
use crate::dns::Resolver;
use crate::listen::{Inherited, Listeners};
use crate::log::Log;
use crate::oauth::{self, Tokens};
use crate::policy::MtaSts;
use crate::runtime::ServerRuntime;
use crate::sessions::Numbers;
use relay::admin::Direction;
use relay::config::{Config, Console, Dns, VirtualServer};
use relay::record::Record;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a virtual server that is stopped, removed or restarted may take to finish what is in flight.
pub(super) const RELOAD_BOUND: Duration = Duration::from_secs(10);
/// What is left of a bound for the queue when the sessions have used up theirs.
const QUEUE_BOUND_MIN: Duration = Duration::from_secs(3);
/// How long sessions that are cut off have to go.
const CUT_OFF: Duration = Duration::from_millis(200);

/// The running virtual servers.
pub struct Servers {
    pub(super) running: Vec<Running>,
    /// Those whose home is being opened.
    pub(super) starting: Vec<Starting>,
    /// Those that are coming to their end.
    pub(super) stopping: Vec<Stopping>,
    /// Told when one of them has.
    pub(super) ends: Arc<Notify>,
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
    pub(super) numbers: Numbers,
    pub(super) inherited: Inherited,
    pub(super) files: u64,
    /// What has gone wrong while the newest configuration was carried out.
    pub(super) faults: Vec<(Log, String)>,
    /// What each virtual server has counted, by its name; kept while it does not run.
    pub(super) counts: HashMap<Box<str>, Arc<Counts>>,
    pub(super) log: Log,
    pub(super) clock: Clock,
}

/// What became of a configuration that was carried out.
pub struct Carried {
    /// What could not be done.
    pub faults: Faults,
    /// What has begun to start.
    pub starts: Starts,
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
            starting: Vec::new(),
            stopping: Vec::new(),
            ends: Arc::default(),
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
            numbers: Numbers::default(),
            inherited,
            files: open_files(),
            faults: Vec::new(),
            counts: HashMap::new(),
            log,
            clock,
        }
    }

    /// Does none run or start, and not because an operator wants it so?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
            && self.starting.is_empty()
            && !self.configured.iter().any(|server| self.is_stopped(server))
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
        let starting = match self.starting.len() {
            0 => String::new(),
            more => format!("; {more} starting"),
        };
        format!("{} virtual servers, listening on {}{starting}", self.running.len(), addresses.join(" "))
    }

    /// Makes what runs what `config` says, but for what takes its time: that has begun when this returns.
    pub async fn carry_out(&mut self, config: &Config) -> Carried {
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
        let mut replaced = self.stop_outdated(config).await;
        for running in &mut self.running {
            if let Some(server) = config.servers.iter().find(|server| server.name == running.server.name) {
                running.listeners.close_others(&wanted(server)).await;
            }
        }
        self.starting.iter_mut().for_each(Starting::goes_forward);
        let mut starts = Starts::default();
        for server in &config.servers {
            if self.runs(&server.name).is_some() {
                self.follow(server).await;
            } else if self.starts(&server.name).is_none() && !self.is_stopped(server) {
                let log = self.log_of(server);
                let (before, course) = replaced.remove(&server.name).unzip();
                self.begin_start(server, &log, before);
                if let (Some(Some(course)), Some(starting)) = (course, self.starting.last_mut()) {
                    starting.set_course(course);
                }
                starts.0.push((server.name.clone(), self.when_started(self.starting.len() - 1)));
            }
        }
        self.sort();
        self.failed.retain(|name, _| config.servers.iter().any(|server| server.name == *name));
        Carried { faults: Faults(std::mem::take(&mut self.faults)), starts }
    }

    /// Those that run stand in the configuration's order.
    pub(super) fn sort(&mut self) {
        let configured = &self.configured;
        self.running.sort_by_key(|running| configured.iter().position(|other| other.name == running.server.name));
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

    /// Stops all, at most for `bound`; what is still starting then is left as it is, its queue is on disk.
    pub async fn stop(&mut self, bound: Duration) {
        let until = Instant::now() + bound;
        while !self.starting.is_empty() {
            self.let_go(0, QUEUE_BOUND_MIN);
        }
        let stopping: Vec<_> = self.running.drain(..).map(|running| tokio::spawn(stop(running, bound))).collect();
        for stopping in stopping {
            let _ = stopping.await;
        }
        if tokio::time::timeout_at(until, self.stopped()).await.is_err() {
            for left in self.stopping.iter().filter(|stopping| stopping.ended.left().is_none()) {
                self.log.alarm(format!(
                    "'{}' has not come to its end in time and is left; its queue is on disk.",
                    left.name
                ));
            }
        }
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
        for starting in &mut self.starting {
            let old = &starting.server;
            if let Some(new) = successor(old, config)
                && new.name != old.name
            {
                if let Some(counts) = self.counts.remove(&old.name) {
                    self.counts.insert(new.name.clone(), counts);
                }
                starting.rename(&new.name);
            }
            starting.log.set_server(several.then_some(&*starting.server.name));
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
            Err(_) if self.running.is_empty() && self.starting.is_empty() => self.dns.clone_from(dns),
            Err(error) => {
                let log = self.log.clone();
                self.fault(&log, format!("The changed [dns] is not used; the one from before goes on: {error}."));
            }
        }
    }

    /// Lets those stop that are not in the configuration any more, and those that must be started anew; gives these, as they were
    /// configured, and who waits for the start of one that had not started yet.
    async fn stop_outdated(&mut self, config: &Config) -> HashMap<Box<str>, (Arc<VirtualServer>, Option<Progress>)> {
        let stays = |old: &VirtualServer| {
            let new = config.servers.iter().find(|server| server.name == old.name);
            new.is_some_and(|new| !needs_restart(old, new))
        };
        let (stay, end): (Vec<_>, Vec<_>) = self.running.drain(..).partition(|running| stays(&running.server));
        self.running = stay;
        let mut ended = HashMap::new();
        for running in end {
            ended.insert(running.server.name.clone(), (Arc::clone(&running.server), None));
            self.let_stop(running).await;
        }
        while let Some(at) = self.starting.iter().position(|starting| !stays(&starting.server)) {
            let starting = &mut self.starting[at];
            let (name, last_good) = (starting.server.name.clone(), starting.last_good());
            let again = config
                .servers
                .iter()
                .any(|server| server.name == name && self.halted.of(server) != Some(Halt::Stopped));
            let course = again.then(|| starting.take_course());
            ended.insert(name, (last_good, course));
            self.let_go(at, RELOAD_BOUND);
        }
        ended
    }

    /// A log of its own, that names it if there are several.
    pub(super) fn log_of(&self, server: &VirtualServer) -> Log {
        let log = self.log.of_server(&server.name);
        if self.configured.len() <= 1 {
            log.set_server(None);
        }
        log.counting(self.counts_of(&server.name))
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

    pub(super) fn goes_on_as_before(&mut self, log: &Log, server: &VirtualServer) {
        let text = format!("'{}' goes on as it was configured before; mend this and reload again.", server.name);
        self.fault(log, text);
    }

    pub(super) fn premises(&self) -> Premises<'_> {
        Premises { state: &self.state, passwords: &self.passwords, clock: &self.clock }
    }

    /// It does not run; `false`.
    pub(super) fn fails(&mut self, log: &Log, server: &VirtualServer, text: String) -> bool {
        self.failed.insert(server.name.clone(), text.clone());
        self.fault(log, text);
        false
    }

    pub(super) fn fault(&mut self, log: &Log, text: String) {
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

/// Stops one virtual server: no new connections, then no new commands, then no new attempts. Returns how many messages wait in it.
pub(super) async fn stop(mut running: Running, bound: Duration) -> u64 {
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
    let waiting = running.runtime.stop(left).await;
    running.log.write(&Record::Stopped);
    waiting
}
