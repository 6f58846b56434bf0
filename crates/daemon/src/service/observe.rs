//! What operators see of the virtual servers, and what they change by the configuration.

use super::servers::{Carried, Running, needs_restart, successor};
use super::{Loaded, Servers};
use crate::control::Versions;
use crate::counters::Counts;
use crate::log::Log;
use crate::oauth::Tokens;
use crate::runtime::Answers;
use crate::sessions::Registry;
use crate::store::Store;
use relay::admin::view::{ServerState, ServerView};
use relay::config::{Config, VirtualServer};
use relay::queue::ask::Ask;
use std::path::Path;
use std::sync::Arc;

/// A virtual server, as far as work for operators needs it.
#[derive(Clone)]
pub struct Site {
    /// As it is configured.
    pub server: Arc<VirtualServer>,
    /// As operators see it.
    pub view: ServerView,
    /// Its queue's store; none: it does not run.
    pub store: Option<Store>,
    /// Its log.
    pub log: Log,
    /// What it has counted.
    pub counts: Arc<Counts>,
}

impl Servers {
    /// One virtual server.
    #[must_use]
    pub fn site(&self, name: &str) -> Option<Site> {
        let server = self.configured.iter().find(|server| &*server.name == name)?;
        let running = self.running.iter().find(|running| running.server.name == server.name);
        Some(Site {
            server: Arc::clone(server),
            view: self.view(server),
            store: running.map(|running| running.runtime.store().clone()),
            log: running.map_or(&self.log, |running| &running.log).clone(),
            counts: self.counts_of(name),
        })
    }

    /// All virtual servers, in the configuration's order.
    #[must_use]
    pub fn sites(&self) -> Vec<Site> {
        self.configured.iter().filter_map(|server| self.site(&server.name)).collect()
    }

    /// Where tokens are.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Makes what runs what was loaded, but for what takes its time: that has begun when this returns.
    pub async fn take_over(&mut self, loaded: &Loaded) -> Carried {
        let carried = self.carry_out(&loaded.config).await;
        self.source = Some(loaded.source.clone());
        carried
    }

    /// The text of the configuration that is in force.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The folder of what the program keeps for itself.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Earlier configurations.
    #[must_use]
    pub fn versions(&self) -> Versions {
        Versions::at(&self.state)
    }

    /// Asks the queue of a running virtual server something, or gives it an order.
    #[must_use]
    pub fn ask(&self, name: &str, ask: Ask) -> Option<Answers> {
        let running = self.running.iter().find(|running| &*running.server.name == name)?;
        Some(running.runtime.asker().ask(ask))
    }

    /// Those that are configured have counts from now on, and no others.
    pub(super) fn keep_counts(&mut self) {
        let configured = &self.configured;
        self.counts.retain(|name, _| configured.iter().any(|server| server.name == *name));
        for server in configured {
            self.counts.entry(server.name.clone()).or_default();
        }
    }

    /// What a virtual server has counted.
    #[must_use]
    pub fn counts_of(&self, name: &str) -> Arc<Counts> {
        self.counts.get(name).cloned().unwrap_or_default()
    }

    /// Takes a point of each virtual server's hour.
    pub fn sample(&self) {
        let now = self.clock.now();
        for server in &self.configured {
            self.counts_of(&server.name).sample(now, &self.view(server));
        }
    }

    /// The sessions of a virtual server; `None`: there is none of that name; within: `None`: it does not run.
    #[must_use]
    pub fn sessions(&self, name: &str) -> Option<Option<Arc<Registry>>> {
        self.configured.iter().find(|server| &*server.name == name)?;
        Some(self.runs(name).map(|at| Arc::clone(self.running[at].runtime.sessions())))
    }

    /// All virtual servers, in the configuration's order.
    #[must_use]
    pub fn views(&self) -> Vec<ServerView> {
        self.configured.iter().map(|server| self.view(server)).collect()
    }

    fn view(&self, server: &VirtualServer) -> ServerView {
        let running = self.running.iter().find(|running| running.server.name == server.name);
        let listen: Vec<String> =
            running.map(Running::addresses).unwrap_or_default().iter().map(ToString::to_string).collect();
        let (is_paused, is_stopped) = (self.is_paused(server), self.is_stopped(server));
        let state = match running {
            Some(_) if is_paused => ServerState::Paused,
            Some(_) => ServerState::Running,
            None if self.starts(&server.name).is_some() => ServerState::Starting,
            None if is_stopped => ServerState::Stopped,
            None => ServerState::Failed,
        };
        let totals = running.map(|running| running.runtime.totals()).unwrap_or_default();
        let mut trouble = Vec::new();
        if state == ServerState::Failed {
            let why = self.failed.get(&server.name).cloned();
            trouble.push(why.unwrap_or_else(|| "it does not run; the log says why".to_owned()));
        }
        if state == ServerState::Stopped && self.is_stopping(server) {
            trouble.push("it is still stopping".to_owned());
        }
        let missing = server.general.listen.len().saturating_sub(listen.len());
        if state == ServerState::Running && missing > 0 {
            trouble.push(format!("{missing} of its addresses are not open; the log says why"));
        }
        ServerView {
            name: server.name.to_string(),
            state,
            trouble,
            listen,
            home: server.home.display().to_string(),
            fqdn: server.delivery.fqdn.to_string(),
            sessions_in: running.map_or(0, |running| running.listeners.sessions().open() as u64),
            sessions_out: totals.connections as u64,
            queue: match running {
                Some(_) => Some(totals.messages as u64),
                None => self.halted.left(server),
            },
            destinations: totals.destinations as u64,
        }
    }

    /// What a new configuration would restart or rebind, in words.
    #[must_use]
    pub fn restarts(&self, config: &Config) -> Vec<String> {
        let mut words = Vec::new();
        if self.dns != config.dns {
            words.push("other name servers are asked".into());
        }
        let starting = self.starting.iter().map(|starting| &starting.server);
        let running = self.running.iter().map(|running| &running.server);
        for old in running.clone().chain(starting.clone()) {
            let Some(new) = successor(old, config) else {
                words.push(format!("'{}' is stopped", old.name));
                continue;
            };
            if needs_restart(old, new) {
                words.push(format!("'{}' is restarted: its sessions end", old.name));
                continue;
            }
            if new.name != old.name {
                words.push(format!("'{}' goes on as '{}'", old.name, new.name));
            }
            let (before, after): (Vec<_>, Vec<_>) =
                (old.general.addresses().collect(), new.general.addresses().collect());
            let closed = before.iter().filter(|address| !after.contains(address));
            words.extend(closed.map(|address| format!("'{}' listens no more on {address}", old.name)));
            let opened = after.iter().filter(|address| !before.contains(address));
            words.extend(opened.map(|address| format!("'{}' listens on {address}", old.name)));
        }
        let is_successor = |new: &VirtualServer| {
            running
                .clone()
                .chain(starting.clone())
                .any(|old| successor(old, config).is_some_and(|next| next.name == new.name))
        };
        let new = config.servers.iter().filter(|new| !is_successor(new) && !self.is_stopped(new));
        words.extend(new.map(|new| format!("'{}' is started", new.name)));
        words
    }
}
