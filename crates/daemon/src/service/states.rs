//! Start, stop, pause and continue: what an operator wants of one virtual server, without touching another.
//!
//! - *paused*: it does not listen; its sessions and its deliveries go on;
//! - *stopped*: neither; sessions hear 421 and have [`STOP_BOUND`] to finish, then they are cut off; what is not delivered waits in
//!   its Queue folder. It stays so over a restart, and no reload starts it;
//! - *failed*: it should run and does not; starting it tries again.
//!
//! Stopping takes its time beside everything else; whoever wants to know waits for [`Stopping::done`].
//!
//! IIS: Start, Stop, Pause.

use super::Servers;
use super::halted::{FORGOTTEN, Halt};
use super::limits::inbound_share;
use super::servers::{RELOAD_BOUND as STOP_BOUND, Running, stop};
use relay::admin::ServerVerb;
use relay::admin::view::Outcome;
use relay::config::VirtualServer;
use relay::record::Record;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A virtual server that is coming to its end, beside those that run.
pub(super) struct Stopping {
    pub name: Box<str>,
    pub home: PathBuf,
    pub task: JoinHandle<()>,
}

/// What came of it.
pub enum Changed {
    /// It is done.
    Done(Outcome),
    /// It will be, when the other end is dropped.
    When(oneshot::Receiver<()>, Outcome),
}

/// Why not.
#[derive(Debug)]
pub enum Unchanged {
    /// There is none of that name.
    Missing,
    /// Not in this state; a sentence.
    NotNow(String),
}

impl Servers {
    /// Does it.
    ///
    /// # Errors
    /// There is no such virtual server, or it cannot be done in its state.
    pub async fn change_state(&mut self, name: &str, verb: ServerVerb) -> Result<Changed, Unchanged> {
        let server = self.configured.iter().find(|server| &*server.name == name).cloned();
        let server = server.ok_or(Unchanged::Missing)?;
        match verb {
            ServerVerb::Start => self.start(&server).await.map(Changed::Done),
            ServerVerb::Stop => Ok(self.halt(&server).await),
            ServerVerb::Pause => self.pause(&server).await.map(Changed::Done),
            ServerVerb::Continue => self.go_on(&server).map(Changed::Done),
        }
    }

    /// What it would mean, in a sentence, and how many sessions it would end.
    #[must_use]
    pub fn preview(&self, name: &str, verb: ServerVerb) -> Option<Outcome> {
        self.configured.iter().find(|server| &*server.name == name)?;
        let sessions = self.runs(name).map_or(0, |at| self.running[at].runtime.sessions().count(None));
        Some(match verb {
            ServerVerb::Stop => told(format!("'{name}' would stop, and {} would end", counted(sessions)), sessions),
            ServerVerb::Pause => {
                told(format!("'{name}' would take no new connections; {} would go on", counted(sessions)), 0)
            }
            ServerVerb::Start => told(format!("'{name}' would start"), 0),
            ServerVerb::Continue => told(format!("'{name}' would take connections again"), 0),
        })
    }

    /// Where it is among those that run.
    pub(super) fn runs(&self, name: &str) -> Option<usize> {
        self.running.iter().position(|running| &*running.server.name == name)
    }

    pub(super) fn is_paused(&self, server: &VirtualServer) -> bool {
        self.halted.of(server) == Some(Halt::Paused)
    }

    pub(super) fn is_stopped(&self, server: &VirtualServer) -> bool {
        self.halted.of(server) == Some(Halt::Stopped)
    }

    async fn start(&mut self, server: &Arc<VirtualServer>) -> Result<Outcome, Unchanged> {
        let name = &server.name;
        if self.runs(name).is_some() {
            return if self.is_paused(server) {
                self.go_on(server)
            } else {
                Ok(told(format!("'{name}' runs already"), 0))
            };
        }
        if self.is_stopping(server) {
            return Err(Unchanged::NotNow(format!("'{name}' is still stopping; try again in a moment")));
        }
        let mut troubles = self.remember(server, None);
        self.faults.clear();
        let log = self.log_of(server);
        let share = inbound_share(self.files, self.configured.len());
        let starting = self.begin_start(server, &log);
        let runs = self.finish_start(server, &log, share, starting).await;
        let configured = self.configured.clone();
        self.running.sort_by_key(|running| configured.iter().position(|other| other.name == running.server.name));
        let faults = std::mem::take(&mut self.faults);
        faults.iter().for_each(|(log, text)| log.alarm(text.as_str()));
        troubles.extend(faults.into_iter().map(|(_, text)| text));
        let text = if runs { format!("'{name}' runs") } else { format!("'{name}' could not be started") };
        Ok(Outcome { troubles, ..told(text, 0) })
    }

    async fn halt(&mut self, server: &Arc<VirtualServer>) -> Changed {
        let name = &server.name;
        let before = self.halted.of(server);
        if before == Some(Halt::Stopped) && self.runs(name).is_none() {
            return Changed::Done(told(format!("'{name}' is stopped already"), 0));
        }
        let troubles = self.remember(server, Some(Halt::Stopped));
        let Some(at) = self.runs(name) else {
            let text = format!("'{name}' did not run; it stays stopped");
            return Changed::Done(Outcome { troubles, ..told(text, 0) });
        };
        let running = self.running.remove(at);
        let sessions = running.runtime.sessions().count(None);
        let done = self.let_stop(running).await;
        let text = format!("'{name}' is stopped; {} ended", counted(sessions));
        Changed::When(done, Outcome { troubles, ..told(text, sessions) })
    }

    async fn pause(&mut self, server: &Arc<VirtualServer>) -> Result<Outcome, Unchanged> {
        let name = &server.name;
        let Some(at) = self.runs(name) else {
            return Err(Unchanged::NotNow(format!("'{name}' does not run, so it cannot be paused; start it first")));
        };
        if self.is_paused(server) {
            return Ok(told(format!("'{name}' is paused already"), 0));
        }
        let troubles = self.remember(server, Some(Halt::Paused));
        let running = &mut self.running[at];
        running.listeners.close().await;
        self.inherited.take_back(running.listeners.closed());
        running.log.write(&Record::Paused);
        let sessions = running.runtime.sessions().count(None);
        let goes = if sessions == 1 { "goes" } else { "go" };
        let text = format!("'{name}' is paused: no new connections; {} {goes} on", counted(sessions));
        Ok(Outcome { troubles, ..told(text, 0) })
    }

    fn go_on(&mut self, server: &Arc<VirtualServer>) -> Result<Outcome, Unchanged> {
        let name = &server.name;
        let Some(at) = self.runs(name) else {
            return Err(Unchanged::NotNow(format!("'{name}' does not run; start it")));
        };
        if !self.is_paused(server) {
            return Ok(told(format!("'{name}' runs already"), 0));
        }
        let mut troubles = self.remember(server, None);
        let running = &mut self.running[at];
        let (usable, unusable) = running.reception.usable(&running.server);
        troubles.extend(unusable.iter().map(|fault| format!("'{name}': {fault}.")));
        let unopened = running.listeners.open_missing(&usable, &mut self.inherited);
        troubles.extend(unopened.iter().map(|fault| format!("'{name}': {fault}.")));
        troubles.iter().for_each(|trouble| running.log.alarm(trouble.as_str()));
        running.log.write(&Record::Continued { listen: running.addresses() });
        Ok(Outcome { troubles, ..told(format!("'{name}' takes connections again"), 0) })
    }

    /// Keeps it for the next life; what is to be said if that is not possible.
    fn remember(&mut self, server: &VirtualServer, state: Option<Halt>) -> Vec<String> {
        let written = self.halted.set(server, state);
        written.err().map(|error| format!("This cannot be written down: {error}. {FORGOTTEN}")).into_iter().collect()
    }

    /// Lets it come to its end beside the others. The other end of what is returned is dropped when it has.
    pub(super) async fn let_stop(&mut self, mut running: Running) -> oneshot::Receiver<()> {
        let (name, home) = (running.server.name.clone(), running.server.home.clone());
        let (ended, done) = oneshot::channel::<()>();
        // At once, for whoever wants its addresses next.
        running.listeners.close().await;
        self.inherited.take_back(running.listeners.closed());
        let task = tokio::spawn(async move {
            stop(running, STOP_BOUND).await;
            drop(ended);
        });
        self.stopping.retain(|stopping| !stopping.task.is_finished());
        self.stopping.push(Stopping { name, home, task });
        done
    }

    /// Is it, or whoever has its home, coming to its end?
    pub(super) fn is_stopping(&self, server: &VirtualServer) -> bool {
        let is_it = |stopping: &Stopping| stopping.name == server.name || stopping.home == server.home;
        self.stopping.iter().any(|stopping| is_it(stopping) && !stopping.task.is_finished())
    }

    /// Returns when none is coming to its end any more that has this home (`None`: any home).
    pub(super) async fn stopped(&mut self, home: Option<&PathBuf>) {
        let is_it = |stopping: &Stopping| home.is_none_or(|home| stopping.home == *home);
        let (wanted, others) = std::mem::take(&mut self.stopping).into_iter().partition(is_it);
        self.stopping = others;
        let wanted: Vec<Stopping> = wanted;
        for stopping in wanted {
            let _ = stopping.task.await;
        }
    }
}

fn told(text: String, count: usize) -> Outcome {
    Outcome { text, count: count as u64, ..Outcome::default() }
}

fn counted(sessions: usize) -> String {
    if sessions == 1 { "1 session".into() } else { format!("{sessions} sessions") }
}
