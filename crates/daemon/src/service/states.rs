//! Start, stop, pause and continue: what an operator wants of one virtual server, without touching another.
//!
//! - *paused*: it does not listen; its sessions and its deliveries go on;
//! - *stopped*: neither; sessions hear 421 and have [`STOP_BOUND`] to finish, then they are cut off; what is not delivered waits in
//!   its Queue folder. It stays so over a restart, and no reload starts it;
//! - *starting*: it will run, once its queue is recovered (the room `starts`); stopping it now ends it without its having run;
//! - *failed*: it should run and does not; starting it tries again.
//!
//! Starting and stopping take their time beside everything else; whoever wants to know waits for what [`Changed::When`] brings.
//!
//! IIS: Start, Stop, Pause.

use super::Servers;
use super::halted::{FORGOTTEN, Halt};
use super::servers::{RELOAD_BOUND as STOP_BOUND, Running, stop};
use super::starts::{Going, TOLD_WITHIN};
use relay::admin::ServerVerb;
use relay::admin::view::Outcome;
use relay::config::VirtualServer;
use relay::record::Record;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// A virtual server that is coming to its end, beside those that run.
pub(super) struct Stopping {
    pub name: Box<str>,
    pub home: PathBuf,
    pub ended: Ended,
}

impl Stopping {
    /// Is it this one, or has it its home?
    pub fn concerns(&self, server: &VirtualServer) -> bool {
        self.name == server.name || self.home == server.home
    }
}

/// Tells of an end, and how many messages then wait; anybody may wait for it.
#[derive(Clone)]
pub(super) struct Ended(pub(super) watch::Receiver<Option<Left>>);

/// Messages that wait in a virtual server that has come to its end; `None`: that is not known.
pub(super) type Left = Option<u64>;

impl Ended {
    /// Returns when it has come.
    pub async fn wait(&mut self) {
        // Without its sender it has come as well, in another way.
        let _ = self.0.wait_for(Option::is_some).await;
    }

    /// Has it come, and what is left?
    pub fn left(&self) -> Option<Left> {
        let left = *self.0.borrow();
        left.or_else(|| self.0.has_changed().is_err().then_some(None))
    }
}

/// What came of it.
pub enum Changed {
    /// It is done.
    Done(Outcome),
    /// This tells when it is done; not to be waited for in the service's loop.
    When(Pin<Box<dyn Future<Output = Outcome> + Send>>),
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
            ServerVerb::Start => self.start(&server),
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

    fn start(&mut self, server: &Arc<VirtualServer>) -> Result<Changed, Unchanged> {
        let name = &server.name;
        if self.runs(name).is_some() {
            return if self.is_paused(server) {
                self.go_on(server).map(Changed::Done)
            } else {
                Ok(Changed::Done(told(format!("'{name}' runs already"), 0)))
            };
        }
        // If it is still stopping, it starts after that.
        let at = self.starts(name);
        let troubles = if self.halted.of(server).is_some() { self.remember(server, None) } else { Vec::new() };
        let at = at.unwrap_or_else(|| {
            let log = self.log_of(server);
            self.begin_start(server, &log, None);
            self.starting.len() - 1
        });
        let started = self.when_started(at);
        Ok(Changed::When(Box::pin(told_of_start(name.clone(), troubles, started))))
    }

    async fn halt(&mut self, server: &Arc<VirtualServer>) -> Changed {
        let name = &server.name;
        let (at, starts) = (self.runs(name), self.starts(name));
        if self.is_stopped(server) && at.is_none() && starts.is_none() {
            return Changed::Done(told(format!("'{name}' is stopped already"), 0));
        }
        let troubles = self.remember(server, Some(Halt::Stopped));
        if let Some(at) = starts {
            let mut ended = self.let_go(at, STOP_BOUND);
            let name = name.clone();
            return Changed::When(Box::pin(async move {
                let text = match timeout(TOLD_WITHIN, ended.wait()).await {
                    Ok(()) => format!("'{name}' is stopped; it had not started yet"),
                    Err(_) => {
                        format!("'{name}' is stopping; it had not started yet, and what it has begun comes to its end")
                    }
                };
                Outcome { troubles, ..told(text, 0) }
            }));
        }
        let Some(at) = at else {
            let text = format!("'{name}' did not run; it stays stopped");
            return Changed::Done(Outcome { troubles, ..told(text, 0) });
        };
        let running = self.running.remove(at);
        let sessions = running.runtime.sessions().count(None);
        let mut ended = self.let_stop(running).await;
        let text = format!("'{name}' is stopped; {} ended", counted(sessions));
        Changed::When(Box::pin(async move {
            ended.wait().await;
            Outcome { troubles, ..told(text, sessions) }
        }))
    }

    async fn pause(&mut self, server: &Arc<VirtualServer>) -> Result<Outcome, Unchanged> {
        let name = &server.name;
        if self.starts(name).is_some() {
            let text = format!("'{name}' is starting; it will take no connections until it is continued");
            return Ok(Outcome { troubles: self.remember(server, Some(Halt::Paused)), ..told(text, 0) });
        }
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
        if self.starts(name).is_some() {
            let troubles = if self.is_paused(server) { self.remember(server, None) } else { Vec::new() };
            let text = format!("'{name}' is starting; it will take connections when it runs");
            return Ok(Outcome { troubles, ..told(text, 0) });
        }
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

    /// Lets it come to its end beside the others.
    pub(super) async fn let_stop(&mut self, mut running: Running) -> Ended {
        // At once, for whoever wants its addresses next.
        running.listeners.close().await;
        self.inherited.take_back(running.listeners.closed());
        let server = Arc::clone(&running.server);
        self.let_end(&server, async move { Some(stop(running, STOP_BOUND).await) })
    }

    /// Is it, or whoever has its home, coming to its end?
    pub(super) fn is_stopping(&self, server: &VirtualServer) -> bool {
        self.stopping.iter().any(|stopping| stopping.concerns(server) && stopping.ended.left().is_none())
    }

    /// Returns when one has come to its end; [`Servers::forget_ended`] is to be called then.
    pub(super) fn some_end(&self) -> impl Future<Output = ()> + Send + use<> {
        let ends = Arc::clone(&self.ends);
        async move { ends.notified().await }
    }

    /// Forgets those that have come to their end, but for what waits in them.
    pub(super) fn forget_ended(&mut self) {
        for at in (0..self.stopping.len()).rev() {
            if let Some(left) = self.stopping[at].ended.left() {
                let Stopping { home, .. } = self.stopping.swap_remove(at);
                self.keep_left(&home, left);
            }
        }
    }

    fn keep_left(&mut self, home: &Path, left: Left) {
        if let Some(left) = left
            && let Err(error) = self.halted.note_left(home, left)
        {
            let text = format!("How much mail waits in {} cannot be written down: {error}.", home.display());
            self.log.alarm(text);
        }
    }

    /// Returns when none is coming to its end any more.
    pub(super) async fn stopped(&mut self) {
        for stopping in &mut self.stopping {
            stopping.ended.wait().await;
        }
        self.forget_ended();
    }
}

/// Waits for a start, but not for long.
async fn told_of_start(name: Box<str>, mut troubles: Vec<String>, going: Going) -> Outcome {
    let (course, in_time) = going.settled(Instant::now() + TOLD_WITHIN).await;
    troubles.extend(course.troubles);
    let text = match course.runs {
        Some(true) => format!("'{name}' runs"),
        None if !in_time => format!("'{name}' is still starting"),
        ended => {
            if ended.is_none() {
                troubles.push("The service is ending.".into());
            }
            format!("'{name}' could not be started")
        }
    };
    Outcome { troubles, ..told(text, 0) }
}

fn told(text: String, count: usize) -> Outcome {
    Outcome { text, count: count as u64, ..Outcome::default() }
}

fn counted(sessions: usize) -> String {
    if sessions == 1 { "1 session".into() } else { format!("{sessions} sessions") }
}
