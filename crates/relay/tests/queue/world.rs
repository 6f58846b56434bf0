//! The world around a queue, for the stories about it: parks, loads and updates are carried out at once, hosts answer as
//! the story says, and the clock is moved by hand.

use relay::config::{Config, VirtualServer};
use relay::envelope::{Envelope, Failure, FailureKind, Origin, QueueId, Recipient};
use relay::parcel::{ConnectionId, Outcome, Parcel, Place, Taken};
use relay::queue::ask::{Answer, Ask, AskId, Order, Selection, Tally};
use relay::queue::{Accepted, CALM_AFTER, Effect, Event, Queue, ReportKind};
use relay::spool::{Note, UpdateJob};
use smtp::address::{Mailbox, ReversePath};
use smtp::reply::{EnhancedStatus, Reply};
use smtp::time::Timestamp;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn server(more: &str) -> Arc<VirtualServer> {
    let text = format!(
        "[[virtual_server]]\nname = \"one\"\nhome = \"/var/lib/mailroot\"\n\
         [virtual_server.access]\nrelay = {{ only = [\"127.0.0.1\"] }}\n\
         [virtual_server.delivery]\nfqdn = \"relay.test\"\n{more}\n\
         [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n"
    );
    Config::parse(&text, "test.toml", "relay.test").expect("a valid configuration").servers[0].clone()
}

/// The world around a queue: the folder's envelopes, what was asked for, and the time.
pub(super) struct World {
    pub(super) queue: Queue,
    pub(super) now: Timestamp,
    pub(super) next_id: u64,
    pub(super) folder: HashMap<QueueId, Envelope>,
    /// What was asked for and not yet looked at.
    pub(super) asked: Vec<Effect>,
    pub(super) gone: Vec<QueueId>,
    pub(super) updates: usize,
    /// Why envelopes cannot be read, if they cannot.
    pub(super) load_fails: Option<io::ErrorKind>,
    pub(super) update_fails: bool,
    /// Half a second passes when what waits is to be parked in a calm moment.
    pub(super) gets_calm: bool,
    pub(super) questions: u64,
}

impl World {
    pub(super) fn new(more: &str) -> World {
        World::with(server(more))
    }

    pub(super) fn with(server: Arc<VirtualServer>) -> World {
        World {
            queue: Queue::new(server),
            now: Timestamp(1_800_000_000_000),
            next_id: 1,
            folder: HashMap::new(),
            asked: Vec::new(),
            gone: Vec::new(),
            updates: 0,
            load_fails: None,
            update_fails: false,
            gets_calm: true,
            questions: 0,
        }
    }

    /// Applies an event; parks, loads, updates and removals are carried out at once. What is parked in a calm moment gets it,
    /// unless the story is about that.
    pub(super) fn apply(&mut self, event: Event) {
        self.apply_now(event);
        let calm = self.now.plus(CALM_AFTER);
        if self.gets_calm && self.queue.waiting_for_calm() > 0 && self.queue.next_due() == Some(calm) {
            self.now = calm;
            self.apply_now(Event::Tick);
        }
    }

    fn apply_now(&mut self, event: Event) {
        let mut todo = vec![event];
        while let Some(event) = todo.pop() {
            let mut effects = Vec::new();
            self.queue.apply(event, self.now, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Park(jobs) => {
                        let ids = jobs.iter().map(|j| j.id).collect();
                        self.folder.extend(jobs.into_iter().map(|j| (j.id, (*j.envelope).clone())));
                        todo.push(Event::Parked(ids));
                    }
                    Effect::Load(id) => {
                        let envelope = match self.load_fails {
                            Some(kind) => Err(kind.into()),
                            None => self.folder.get(&id).cloned().ok_or(io::ErrorKind::NotFound.into()),
                        };
                        todo.push(Event::Loaded(id, envelope));
                    }
                    Effect::Update(UpdateJob { id, envelope, version }) => {
                        self.updates += 1;
                        let version = version.unwrap();
                        if self.update_fails {
                            todo.push(Event::UpdateFailed(id, version, "no room".into()));
                        } else {
                            self.folder.insert(id, (*envelope).clone());
                            todo.push(Event::Updated(id, version));
                        }
                    }
                    Effect::Remove(id) => {
                        self.folder.remove(&id);
                        self.gone.push(id);
                    }
                    Effect::Note(Note::Gone(id)) => self.gone.push(id),
                    other => self.asked.push(other),
                }
            }
        }
    }

    /// Asks, and lets the queue work until it has answered.
    pub(super) fn ask(&mut self, ask: Ask) -> Answer {
        self.questions += 1;
        let id = AskId(self.questions);
        self.apply(Event::Ask(id, ask));
        for _ in 0..10_000 {
            let is_last = |e: &Effect| matches!(e, Effect::Answer(of, answer) if *of == id && answer.is_last());
            if let Some(at) = self.asked.iter().position(is_last)
                && let Effect::Answer(_, answer) = self.asked.swap_remove(at)
            {
                return answer;
            }
            self.apply(Event::Tick);
        }
        panic!("no answer")
    }

    /// Carries an order about these messages out.
    pub(super) fn order(&mut self, order: Order, ids: &[QueueId]) -> Tally {
        self.tally(Ask::Order(order, Selection::Ids(ids.to_vec())))
    }

    pub(super) fn tally(&mut self, ask: Ask) -> Tally {
        match self.ask(ask) {
            Answer::Done(tally) => tally,
            other => panic!("{other:?}"),
        }
    }

    /// The program ends and starts again: what the folder has is found.
    pub(super) fn restart(&mut self, server: Arc<VirtualServer>) {
        self.queue = Queue::new(server);
        self.asked.clear();
        let found = self.folder.iter().map(|(id, e)| Accepted { id: *id, envelope: e.clone(), place: Place::File });
        let found = found.collect();
        self.apply(Event::Found(found));
        self.apply(Event::FoundAll);
    }

    /// Every parcel under way is put off, but for those of these recipients, which are taken.
    pub(super) fn refuse_all_but(&mut self, taken: &[u32]) {
        for (connection, parcel, _) in self.parcels() {
            let is_taken = parcel.recipients.iter().all(|index| taken.contains(index));
            self.answer(connection, &parcel, if is_taken { took() } else { Err(refused(450)) });
            self.apply(Event::Closed { connection, unsent: None });
        }
    }

    pub(super) fn envelope(&self, sender: &str, to: &[&str]) -> Envelope {
        let sender = match sender {
            "" => ReversePath::Null,
            text => ReversePath::Mailbox(Mailbox::parse(text).unwrap()),
        };
        let recipients = to.iter().map(|to| Recipient::new(Mailbox::parse(to).unwrap(), self.now)).collect();
        let origin = Origin::Pickup { file: "a.eml".into() };
        Envelope { size: 10, ..Envelope::new(sender, recipients, origin, self.now) }
    }

    pub(super) fn accept(&mut self, sender: &str, to: &[&str]) -> QueueId {
        let envelope = self.envelope(sender, to);
        self.accept_envelope(envelope)
    }

    pub(super) fn accept_envelope(&mut self, envelope: Envelope) -> QueueId {
        let id = QueueId(self.next_id);
        self.next_id += 1;
        let place = Place::Journal { segment: 1, offset: 0, len: 10, memory: None };
        self.apply(Event::Accepted(vec![Accepted { id, envelope, place }]));
        id
    }

    /// Moves the clock, tick by tick as the queue asks, until `until`.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while let Some(due) = self.queue.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.apply(Event::Tick);
        }
        self.now = end;
    }

    /// The connections and deliveries asked for since the last look.
    pub(super) fn parcels(&mut self) -> Vec<(ConnectionId, Parcel, bool)> {
        let mut found = Vec::new();
        self.asked.retain(|effect| match effect {
            Effect::Connect { connection, parcel } => {
                found.push((*connection, parcel.clone(), true));
                false
            }
            Effect::Deliver { connection, parcel } => {
                found.push((*connection, parcel.clone(), false));
                false
            }
            _ => true,
        });
        found
    }

    pub(super) fn one_parcel(&mut self) -> (ConnectionId, Parcel) {
        let mut parcels = self.parcels();
        assert_eq!(parcels.len(), 1, "one parcel expected");
        let (connection, parcel, _) = parcels.remove(0);
        (connection, parcel)
    }

    pub(super) fn reports(&mut self) -> Vec<(QueueId, ReportKind)> {
        let mut found = Vec::new();
        self.asked.retain(|effect| match effect {
            Effect::Report(job) => {
                found.push((job.id, job.kind.clone()));
                false
            }
            _ => true,
        });
        found
    }

    pub(super) fn answer(
        &mut self,
        connection: ConnectionId,
        parcel: &Parcel,
        result: impl Into<Result<Taken, Failure>>,
    ) {
        let result = result.into();
        let results = parcel.recipients.iter().map(|i| (*i, result.clone())).collect();
        self.answer_each(connection, parcel, results);
    }

    pub(super) fn answer_each(
        &mut self,
        connection: ConnectionId,
        parcel: &Parcel,
        results: Vec<(u32, Result<Taken, Failure>)>,
    ) {
        let outcome =
            Outcome { id: parcel.id, host: "mx.test [192.0.2.1]:25".into(), at: self.now, channel: None, results };
        self.apply(Event::Attempted { connection: Some(connection), outcome });
    }

    pub(super) fn not_reached(&mut self, connection: ConnectionId, parcel: &Parcel, failure: &Failure) {
        let failures = parcel.recipients.iter().map(|i| (*i, failure.clone())).collect();
        self.apply(Event::Closed { connection, unsent: Some((parcel.id, failures)) });
    }
}

pub(super) fn took() -> Result<Taken, Failure> {
    Ok(Taken { said: "250 2.0.0 ok".into(), reports: true })
}

pub(super) fn refused(code: u16) -> Failure {
    let class = u8::try_from(code / 100).unwrap();
    Failure {
        kind: FailureKind::Refused,
        status: EnhancedStatus(class, 1, 1),
        host: Some("mx.test [192.0.2.1]:25".into()),
        reply: Some(Reply::plain(code, "no")),
        text: "The other side refused it.".into(),
    }
}

pub(super) fn dead() -> Failure {
    Failure {
        kind: FailureKind::Unreachable,
        status: EnhancedStatus(4, 4, 1),
        host: None,
        reply: None,
        text: "No connection.".into(),
    }
}
