//! The thread that owns the queue: events in, effects out, one at a time.
//!
//! It takes all events that wait, applies them, and hands each effect to whoever carries it out: connections to
//! [`crate::outbound`], files to [`crate::store`] and [`crate::local`], reports to [`crate::reporter`], lines to
//! [`crate::log`]. It waits for events and for the queue's next due time, and for nothing else.
//!
//! Operators ask through an [`Asker`]: the queue answers in slices between deliveries, so an answer takes a moment, and a
//! listing holds nothing up.

use crate::clock::Clock;
use crate::local::Local;
use crate::log::Log;
use crate::outbound::Outbound;
use crate::reporter::Reporter;
use crate::standing::Standing;
use crate::store::Store;
use relay::queue::ask::{Answer, Ask, AskId};
use relay::queue::{Effect, Event, Queue, Totals};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Events applied before effects are carried out; bounds the delay of the first of them.
const BATCH: usize = 256;
/// How long questions of operators are worked at before the next batch of events: a slice of them takes a fraction of it.
const WORK_MAX: Duration = Duration::from_millis(1);
/// The longest sleep, so that a clock that was set is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Those who carry effects out.
pub(crate) struct Hands {
    pub store: Store,
    pub outbound: Outbound,
    pub local: Local,
    pub reporter: Reporter,
    pub standing: Standing,
    pub log: Log,
    pub asker: Asker,
}

/// Where the queue is asked something; clones are the same.
#[derive(Clone)]
pub struct Asker {
    events: Sender<Event>,
    next: Arc<AtomicU64>,
    /// Who waits for which answer.
    waiting: Arc<Mutex<HashMap<AskId, UnboundedSender<Answer>>>>,
}

impl Asker {
    pub(crate) fn new(events: Sender<Event>) -> Asker {
        Asker { events, next: Arc::default(), waiting: Arc::default() }
    }

    /// Asks; the answers come one by one, a last one at the end. Who drops them need not be answered any more, and an order ends
    /// with what it has begun.
    #[must_use]
    pub fn ask(&self, ask: Ask) -> Answers {
        let id = AskId(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answers) = unbounded_channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        if self.events.send(Event::Ask(id, ask)).is_err() {
            // The queue's thread has ended: so do the answers.
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        Answers { id, answers, asker: self.clone() }
    }

    fn answer(&self, id: AskId, answer: Answer) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = answer.is_last();
        if let Some(asker) = waiting.get(&id) {
            let _ = asker.send(answer);
        }
        if is_last {
            waiting.remove(&id);
        }
    }

    fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The answers to one question.
pub struct Answers {
    id: AskId,
    answers: UnboundedReceiver<Answer>,
    asker: Asker,
}

impl Answers {
    /// The next one: [`Answer::SoFar`] while an order is carried out, then the last; `None`: the queue's thread has ended.
    pub async fn next(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }

    /// The last one.
    pub async fn last(mut self) -> Option<Answer> {
        while let Some(answer) = self.next().await {
            if answer.is_last() {
                return Some(answer);
            }
        }
        None
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        let waited = self.asker.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        if waited.is_some() {
            let _ = self.asker.events.send(Event::Unask(self.id));
        }
    }
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
        let mut ordered = false;
        for event in batch.drain(..) {
            ordered |= matches!(event, Event::Destination(..) | Event::Ask(_, Ask::Destination(..)));
            if let Event::Configured(server) = &event {
                hands.outbound.configure(server.clone());
                hands.local.configure(server.clone());
            }
            queue.apply(event, now, &mut effects);
        }
        // Events that never cease must not keep operators from their answers, nor those the mail from going on.
        let begun = Instant::now();
        while queue.has_work() && begun.elapsed() < WORK_MAX {
            queue.apply(Event::Tick, now, &mut effects);
        }
        // Before whoever ordered it hears that it is done.
        hands.standing.keep(&queue, now, ordered);
        for effect in effects.drain(..) {
            hands.carry_out(effect);
        }
        hands.outbound.note_waiting(queue.starved());
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
            Effect::Answer(id, answer) => self.asker.answer(id, answer),
        }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        // Nobody answers any more.
        self.asker.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::queue::ask::{Filter, Tally};
    use std::sync::mpsc;

    fn asked(events: &Receiver<Event>) -> AskId {
        match events.try_recv() {
            Ok(Event::Ask(id, _)) => id,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn each_asker_gets_its_own_answers() {
        let (sender, events) = mpsc::channel();
        let asker = Asker::new(sender);
        let (mut first, second) = (asker.ask(Ask::Count(Filter::default())), asker.ask(Ask::Count(Filter::default())));
        let (a, b) = (asked(&events), asked(&events));
        asker.answer(b, Answer::SoFar(Tally::default()));
        asker.answer(b, Answer::Busy);
        asker.answer(a, Answer::Count { messages: 7, octets: 8 });
        assert!(matches!(first.next().await, Some(Answer::Count { messages: 7, .. })));
        assert!(first.next().await.is_none());
        assert!(matches!(second.last().await, Some(Answer::Busy)));
        assert!(events.try_recv().is_err(), "all is answered");
    }

    #[tokio::test]
    async fn who_goes_away_is_not_worked_for_and_the_end_of_the_thread_is_an_answer() {
        let (sender, events) = mpsc::channel();
        let asker = Asker::new(sender);
        drop(asker.ask(Ask::Count(Filter::default())));
        let id = asked(&events);
        assert!(matches!(events.try_recv(), Ok(Event::Unask(of)) if of == id));
        let open = asker.ask(Ask::Count(Filter::default()));
        asker.close();
        assert!(open.last().await.is_none());
        drop(events);
        assert!(asker.ask(Ask::Count(Filter::default())).last().await.is_none());
    }
}
