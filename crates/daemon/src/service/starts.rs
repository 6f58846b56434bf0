//! Virtual servers that are starting, beside those that run: recovering a large queue takes a while, and nobody else waits for it.
//!
//! [`Servers::begin_start`] opens a home on a thread that may wait for the disk, after whoever had it has come to its end; the service's
//! loop goes on. [`Servers::opened`] returns when one is open, [`Servers::finish`] makes it run, as it is configured by then. What is not
//! wanted any more is [let go](Servers::let_go): it comes to its end like one that ran.
//!
//! One that was started anew by a reload and cannot be, goes on as it was configured before.

use super::Servers;
use super::limits::inbound_share;
use super::servers::{RELOAD_BOUND, Running};
use super::states::{Ended, Left, Stopping};
use crate::desk::{Desk, Reception};
use crate::dns::Resolver;
use crate::listen::{Listeners, Sessions};
use crate::log::Log;
use crate::runtime::{Commons, ServerRuntime};
use relay::config::{Dns, VirtualServer};
use relay::record::Record;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// How long whoever starts one waits to hear how it went; after that he hears that it is still starting.
pub(super) const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// One that is starting for so long is told of; the service manager waits for it no more, if another one runs,
pub(super) const START_LONG: Duration = Duration::from_secs(600);
/// and in any case no longer than this: a very large queue takes less.
pub(super) const START_LONGEST: Duration = Duration::from_secs(3_600);

/// What has gone wrong, each with the log that it belongs into.
#[derive(Default)]
pub struct Faults(pub(super) Vec<(Log, String)>);

impl Faults {
    /// Into the log; the sentences.
    pub fn tell(self) -> Vec<String> {
        self.0.iter().for_each(|(log, text)| log.alarm(text.as_str()));
        self.texts()
    }

    /// The sentences.
    #[must_use]
    pub fn texts(self) -> Vec<String> {
        self.0.into_iter().map(|(_, text)| text).collect()
    }

    /// And these.
    pub fn extend(&mut self, more: Faults) {
        self.0.extend(more.0);
    }
}

/// How a start goes.
#[derive(Clone, Default)]
pub(super) struct Course {
    /// `None`: that is not known yet.
    pub runs: Option<bool>,
    /// What has gone wrong so far.
    pub troubles: Vec<String>,
}

/// Tells how a start goes.
pub(super) struct Going(watch::Receiver<Course>);

impl Going {
    /// Waits until it is known how it went, but no longer than this; without a result only what is known so far. Whether it was told in
    /// time.
    pub async fn settled(mut self, until: Instant) -> (Course, bool) {
        // Without its sender, the service has given it up.
        let in_time = timeout_at(until, self.0.wait_for(|course| course.runs.is_some())).await.is_ok();
        let course = self.0.borrow().clone();
        (course, in_time)
    }
}

/// Starts that were begun, by name, and how each goes.
#[derive(Default)]
pub struct Starts(pub(super) Vec<(Box<str>, Going)>);

impl Starts {
    /// Is there none to wait for?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for all, but not for long: what went wrong, and the names of those that are still starting.
    pub async fn settled(self) -> (Vec<String>, Vec<Box<str>>) {
        let until = Instant::now() + TOLD_WITHIN;
        let (mut troubles, mut late) = (Vec::new(), Vec::new());
        for (name, going) in self.0 {
            let (course, in_time) = going.settled(until).await;
            troubles.extend(course.troubles);
            if !in_time {
                late.push(name);
            }
        }
        (troubles, late)
    }
}

/// One whose home is being opened.
pub(super) struct Starting {
    /// As it is configured, under the name that it has now.
    pub server: Arc<VirtualServer>,
    /// As it was when its home was begun to be opened, with what name servers.
    opened_as: (Arc<VirtualServer>, Dns),
    pub log: Log,
    since: Instant,
    /// That it takes long was told.
    is_told_of: bool,
    task: JoinHandle<Result<ServerRuntime, String>>,
    /// Nobody wants it any more.
    given_up: Arc<AtomicBool>,
    /// As it ran before; so it goes on if it cannot be started as it is configured now.
    before: Option<Arc<VirtualServer>>,
    /// This is how it ran before.
    goes_back: bool,
    /// For whoever wants to know how it goes.
    course: Progress,
}

/// Whoever wants to know how a start goes hears it here.
pub(super) type Progress = watch::Sender<Course>;

impl Starting {
    /// As it shall go on if what comes next cannot be started.
    pub(super) fn last_good(&self) -> Arc<VirtualServer> {
        Arc::clone(self.before.as_ref().unwrap_or(&self.server))
    }

    /// It is known by another name from now on.
    pub(super) fn rename(&mut self, name: &str) {
        for server in std::iter::once(&mut self.server).chain(&mut self.before) {
            *server = Arc::new(VirtualServer { name: name.into(), ..(**server).clone() });
        }
    }

    /// A newer configuration came that it can start by: what it goes back to is not wanted any more, unless that cannot listen.
    pub(super) fn goes_forward(&mut self) {
        if std::mem::take(&mut self.goes_back) {
            self.before = Some(Arc::clone(&self.server));
        }
    }

    /// Whoever wants to know how it goes hears of the one that takes its place.
    pub(super) fn take_course(&mut self) -> Progress {
        let course = std::mem::take(&mut self.course);
        course.send_modify(|course| course.troubles.clear());
        course
    }

    pub(super) fn set_course(&mut self, course: Progress) {
        self.course = course;
    }
}

/// One whose home is open, or cannot be opened.
pub struct Opened {
    starting: Starting,
    result: Result<ServerRuntime, String>,
}

impl Servers {
    /// Is any starting?
    #[must_use]
    pub fn is_starting(&self) -> bool {
        !self.starting.is_empty()
    }

    /// Is any starting that is worth waiting for?
    pub(super) fn is_start_awaited(&self) -> bool {
        let patience = if self.running.is_empty() { START_LONGEST } else { START_LONG };
        self.starting.iter().any(|starting| starting.since.elapsed() < patience)
    }

    /// Tells of those that take too long, each once.
    pub(super) fn tell_of_long_starts(&mut self) {
        for starting in &mut self.starting {
            if !starting.is_told_of && starting.since.elapsed() >= START_LONG {
                starting.is_told_of = true;
                let (name, home) = (&starting.server.name, starting.server.home.display());
                starting.log.alarm(format!(
                    "'{name}' has been starting for {} minutes. Look whether the disk, or the file server, answers where {home} lies; \
                     if it does, a very large queue may take so long. Stopping '{name}' gives it up.",
                    START_LONG.as_secs() / 60
                ));
            }
        }
    }

    /// Where it is among those that are starting.
    pub(super) fn starts(&self, name: &str) -> Option<usize> {
        self.starting.iter().position(|starting| &*starting.server.name == name)
    }

    /// Begins to start it, beside everything else. `before`: as it ran before.
    pub(super) fn begin_start(&mut self, server: &Arc<VirtualServer>, log: &Log, before: Option<Arc<VirtualServer>>) {
        let commons = Commons {
            dns: self.dns.clone(),
            mta_sts: self.mta_sts.clone(),
            tokens: self.tokens.clone(),
            numbers: self.numbers.clone(),
            state: self.state.clone(),
            clock: self.clock.clone(),
            runtime: Handle::current(),
        };
        let ends: Vec<_> =
            self.stopping.iter().filter(|stopping| stopping.concerns(server)).map(|one| one.ended.clone()).collect();
        let given_up = Arc::new(AtomicBool::new(false));
        let (opened_as, its_log, is_unwanted) = (Arc::clone(server), log.clone(), Arc::clone(&given_up));
        let task = tokio::spawn(async move {
            for mut end in ends {
                end.wait().await;
            }
            let open = move || {
                if is_unwanted.load(Ordering::Relaxed) {
                    return Err(", because it is not wanted any more".to_owned());
                }
                ServerRuntime::start(&opened_as, &commons, &its_log).map_err(|error| format!(": {error}"))
            };
            let opened = tokio::task::spawn_blocking(open).await;
            opened.unwrap_or_else(|_| Err(", by a fault in Mailroot itself.".into()))
        });
        self.starting.push(Starting {
            server: Arc::clone(server),
            opened_as: (Arc::clone(server), self.dns.clone()),
            log: log.clone(),
            since: Instant::now(),
            is_told_of: false,
            task,
            given_up,
            before,
            goes_back: false,
            course: Progress::default(),
        });
    }

    /// Tells how the start of one that is starting goes.
    pub(super) fn when_started(&self, at: usize) -> Going {
        Going(self.starting[at].course.subscribe())
    }

    /// The next one whose home is open, or cannot be opened; to be [finished](Servers::finish). Waits for ever while none is starting.
    pub async fn opened(&mut self) -> Opened {
        poll_fn(|context| {
            for at in 0..self.starting.len() {
                if let Poll::Ready(ended) = Pin::new(&mut self.starting[at].task).poll(context) {
                    let result = ended.unwrap_or_else(|_| Err(", by a fault in Mailroot itself.".into()));
                    return Poll::Ready(Opened { starting: self.starting.remove(at), result });
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Makes it run, or says why that cannot be. Nothing in here takes long.
    pub async fn finish(&mut self, opened: Opened) -> Faults {
        let Opened { mut starting, result } = opened;
        self.faults.clear();
        let runs = self.run(&starting, result).await;
        let (log, server) = (starting.log.clone(), Arc::clone(&starting.server));
        if runs && starting.goes_back {
            self.goes_on_as_before(&log, &server);
        }
        let faults = Faults(std::mem::take(&mut self.faults));
        let texts = faults.0.iter().map(|(_, text)| text.clone());
        starting.course.send_modify(|course| course.troubles.extend(texts));
        if !runs && let Some(before) = starting.before.take() {
            self.begin_start(&before, &log, None);
            if let Some(again) = self.starting.last_mut() {
                again.goes_back = true;
                again.course = starting.course;
            }
            return faults;
        }
        starting.course.send_modify(|course| course.runs = Some(runs));
        faults
    }

    /// Does it run now?
    async fn run(&mut self, starting: &Starting, result: Result<ServerRuntime, String>) -> bool {
        let (name, log) = (&starting.server.name, starting.log.clone());
        let runtime = match result {
            Ok(runtime) => runtime,
            Err(why) => return self.fails(&log, &starting.server, format!("'{name}' is not started{why}")),
        };
        // It may have been configured in another way meanwhile.
        let newest = self.configured.iter().find(|server| server.name == *name).filter(|_| !starting.goes_back);
        let server = &Arc::clone(newest.unwrap_or(&starting.server));
        let (opened_as, dns) = &starting.opened_as;
        if !Arc::ptr_eq(server, opened_as) {
            runtime.reconfigure(Arc::clone(server));
        }
        if *dns != self.dns
            && let Ok(resolver) = Resolver::new(&self.dns)
        {
            runtime.resolver().follow(&resolver);
        }
        let (reception, mut faults) = Reception::open(server, &self.premises(), runtime.resolver().clone(), &log, None);
        let is_paused = self.is_paused(server);
        let (usable, unusable) = if is_paused { Default::default() } else { reception.usable(server) };
        faults.extend(unusable);
        let store = runtime.store().clone();
        let desk = Desk::new(Arc::clone(server), reception.clone(), store, log.clone(), self.clock.clone());
        let share = inbound_share(self.files, self.configured.len());
        let sessions = Sessions::listed(share, Arc::clone(runtime.sessions()));
        let listeners = Listeners::new(desk, sessions);
        let mut running = Running { server: Arc::clone(server), runtime, reception, listeners, log };
        let unopened = running.listeners.open_missing(&usable, &mut self.inherited);
        faults.extend(unopened.iter().map(ToString::to_string));
        faults.iter().for_each(|fault| self.fault(&running.log, format!("'{name}': {fault}.")));
        if running.addresses().is_empty() && !faults.is_empty() && !is_paused {
            let log = running.log.clone();
            let runtime = running.runtime;
            self.let_end(server, async move { Some(runtime.stop(RELOAD_BOUND).await) });
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
        self.sort();
        true
    }

    /// Gives up the start of one: it comes to its end beside the others, as soon as it can.
    pub(super) fn let_go(&mut self, at: usize, bound: Duration) -> Ended {
        let Starting { server, task, given_up, course, .. } = self.starting.remove(at);
        given_up.store(true, Ordering::Relaxed);
        course.send_modify(|course| {
            course.runs = Some(false);
            course.troubles.push(format!("'{}' was stopped before it had started.", server.name));
        });
        self.let_end(&server, async move {
            match task.await {
                Ok(Ok(runtime)) => Some(runtime.stop(bound).await),
                _ => None,
            }
        })
    }

    /// Lets something of this virtual server come to its end beside everything else; `end` gives what then waits in its queue, if
    /// that is known.
    pub(super) fn let_end(
        &mut self,
        server: &VirtualServer,
        end: impl Future<Output = Left> + Send + 'static,
    ) -> Ended {
        let (tell, told) = watch::channel(None);
        let ends = Arc::clone(&self.ends);
        tokio::spawn(async move {
            let left = end.await;
            let _ = tell.send(Some(left));
            ends.notify_one();
        });
        self.forget_ended();
        let (name, home, ended) = (server.name.clone(), server.home.clone(), Ended(told));
        self.stopping.push(Stopping { name, home, ended: ended.clone() });
        ended
    }
}
