//! The thread that owns the queue: events in, effects out, one at a time.
//!
//! It takes all events that wait, applies them, and hands each effect to whoever carries it out: connections to
//! [`crate::outbound`], files to [`crate::store`] and [`crate::local`], reports to [`crate::reporter`], lines to
//! [`crate::log`]. It waits for events and for the queue's next due time, and for nothing else.

use crate::clock::Clock;
use crate::local::Local;
use crate::log::Log;
use crate::outbound::Outbound;
use crate::reporter::Reporter;
use crate::store::Store;
use relay::queue::{Effect, Event, Queue, Totals};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::Notify;

/// Events applied before effects are carried out; bounds the delay of the first of them.
const BATCH: usize = 256;
/// The longest sleep, so that a clock that was set is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Those who carry effects out.
pub(crate) struct Hands {
    pub store: Store,
    pub outbound: Outbound,
    pub local: Local,
    pub reporter: Reporter,
    pub log: Log,
}

/// What others may see of the queue without asking it, and how it is told to end.
#[derive(Default)]
pub(crate) struct Glance {
    pub messages: AtomicUsize,
    pub connections: AtomicUsize,
    pub destinations: AtomicUsize,
    draining: AtomicBool,
    stop: AtomicBool,
    /// Rung when the queue is draining and nothing is under way any more.
    pub quiet: Notify,
}

impl Glance {
    fn note(&self, totals: Totals) {
        self.messages.store(totals.messages, Ordering::Relaxed);
        self.connections.store(totals.connections, Ordering::Relaxed);
        self.destinations.store(totals.destinations, Ordering::Relaxed);
    }

    /// The thread ends at the next event.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// From now on the thread looks after each event whether all is quiet.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}

/// Runs until [`Glance::stop`] or until nobody can send events any more.
pub(crate) fn run(mut queue: Queue, events: &Receiver<Event>, mut hands: Hands, clock: &Clock, glance: &Arc<Glance>) {
    let mut effects = Vec::new();
    let mut batch = Vec::with_capacity(BATCH);
    while !glance.stop.load(Ordering::Acquire) {
        let sleep = queue.next_due().map_or(SLEEP_MAX, |due| due.since(clock.now()).min(SLEEP_MAX));
        match events.recv_timeout(sleep) {
            Ok(event) => batch.push(event),
            Err(RecvTimeoutError::Timeout) => batch.push(Event::Tick),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while batch.len() < BATCH {
            match events.try_recv() {
                Ok(event) => batch.push(event),
                Err(_) => break,
            }
        }
        let now = clock.now();
        for event in batch.drain(..) {
            if let Event::Configured(server) = &event {
                hands.outbound.configure(server.clone());
                hands.local.configure(server.clone());
            }
            queue.apply(event, now, &mut effects);
        }
        for effect in effects.drain(..) {
            hands.carry_out(effect);
        }
        glance.note(queue.totals());
        if glance.draining.load(Ordering::Acquire) && queue.is_quiet() {
            glance.quiet.notify_one();
        }
    }
}

impl Hands {
    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { connection, parcel } => self.outbound.connect(connection, parcel),
            Effect::Deliver { connection, parcel } => self.outbound.deliver(connection, parcel),
            Effect::Quit { connection } => self.outbound.quit(connection),
            Effect::Drop(parcel) => self.local.drop_into(parcel),
            Effect::Badmail(job) => self.local.badmail(job),
            Effect::Report(job) => self.reporter.report(job),
            Effect::Note(note) => self.store.note(note),
            Effect::Park(jobs) => self.store.park(jobs),
            Effect::Update(job) => self.store.update(job),
            Effect::Remove(id) => self.store.remove(id),
            Effect::Lost(id) => self.store.lost(id),
            Effect::Load(id) => self.store.load(id),
            Effect::Record(record) => self.log.write(&record),
        }
    }
}
