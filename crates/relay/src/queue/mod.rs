//! The one owner of what waits: applies one event at a time and says what is to be done.
//!
//! [`Queue::apply`] takes an [`Event`] and the time and gives [`Effect`]s: connections to open, parcels to send,
//! notes for the journal, files to park, reports to make. It reads no clock, waits for nothing and touches no disk:
//! the daemon (and the simulator) carry effects out and bring the results back as events.
//!
//! In the fast lane a message lives in the journal and in memory: accepted, sent, gone. It is parked (moved to the
//! Queue folder) when it is older than [`PARK_AFTER`] or [`YOUNG_MAX`] came after it, and sooner if an attempt has failed for now and
//! nothing has been on its way for [`CALM_AFTER`], for then the disk has time; with that its envelope leaves the memory until its turn comes. Each recipient is at every instant in exactly one [`Fate`].
//!
//! Rooms: `message` (what is kept), `attempt` (assign, settle), `destination` (rests, orders), `lane` (park, load), `age`
//! (delays, expiry, reports), `ask` (what operators may ask), `work` (answers, in slices), `list`, `scan` and `roll` (which messages and
//! destinations), `order` (hold, release, return, delete), `brief` (what stays in mind). Which host: [`crate::route`]; whose turn: [`crate::scheduler`]; what an outcome means:
//! [`crate::settle`].

mod age;
pub mod ask;
mod attempt;
mod brief;
mod destination;
mod event;
mod lane;
mod list;
mod message;
mod order;
mod roll;
mod scan;
mod work;

pub use brief::{ADDRESSES_KEPT_MAX, ANSWER_KEPT_MAX};
pub use event::{Accepted, DestinationOrder, Effect, Event, ReportJob, ReportKind};

use crate::config::{CONNECTIONS_CEILING, VirtualServer};
use crate::envelope::{Envelope, Failure, Fate, QueueId};
use crate::parcel::Place;
use crate::record::Record;
use crate::retry::Ladder;
use crate::route::{self, Route};
use crate::scheduler::{Limits, LotName, Paced, Scheduler, Target};
use crate::spool::UpdateJob;
use brief::{Brief, Words};
use message::{Lane, Lot, LotState, Message};
use order::Want;
use smtp::time::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use work::Work;

/// A message that is still in the journal at this age is parked: a host that is away for a moment costs no files,
pub const PARK_AFTER: Duration = Duration::from_secs(10);
/// and so is the oldest once so many came after it, that their envelopes do not fill the memory.
pub const YOUNG_MAX: usize = 16_384;
/// What waits for a later try is parked before that age when nothing has been on its way for so long.
pub const CALM_AFTER: Duration = Duration::from_millis(500);
/// Batches of parking are at least so far apart, unless a whole one waits: together, their syncs cost less. (The
/// journal has the messages; nobody waits for this.)
pub const PARK_EVERY: Duration = Duration::from_millis(100);
/// Messages parked in one batch; one batch is under way at a time.
pub const PARK_BATCH: usize = 256;
/// Wait before a report or Badmail entry that could not be written is made again, and before a failed parking.
pub const JOB_RETRY: Duration = Duration::from_secs(60);

/// A time for the next try that is further ahead than the longest wait and this was written by a clock that was wrong.
const DUE_SLACK: Duration = Duration::from_secs(24 * 3_600);
/// Fewer alarms than this are not looked through for stale ones.
const ALARMS_TIDY_MIN: usize = 1_024;

/// Something to do at a time.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Alarm {
    /// A lot's wait is over.
    Lot(QueueId, u32),
    /// A message has come to the age of a notice or of its end.
    Look(QueueId),
    /// Make the reports again for recipients that failed.
    Failed(QueueId),
    /// Write the message's envelope into the folder again.
    Write(QueueId),
    /// Remove the message from the folder again.
    Remove(QueueId),
    /// Park what is too old for the journal.
    Park,
    /// The next batch may be parked.
    ParkNext,
}

/// How much waits, for the operator and for limits.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Messages in the queue.
    pub messages: usize,
    /// Connections open or opening.
    pub connections: usize,
    /// Destinations with mail or connections.
    pub destinations: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    server: Arc<VirtualServer>,
    epoch: u32,
    /// By id, which is the order of their arrival: listings and searches go along it.
    messages: BTreeMap<QueueId, Message>,
    /// Questions and orders that are being worked at, in turn.
    works: VecDeque<Work>,
    /// What somebody waits for, by message.
    wants: HashMap<QueueId, Vec<Want>>,
    /// Last answers that messages share.
    words: Words,
    scheduler: Scheduler,
    alarms: BinaryHeap<Reverse<(Timestamp, Alarm)>>,
    /// At so many alarms, those of messages that are gone are taken out.
    tidy_alarms_at: usize,
    /// Messages in the journal, oldest first; may name some that are gone.
    young: VecDeque<(Timestamp, QueueId)>,
    /// Messages in the journal that wait for a later try: parked when nothing is on its way. May name some that are gone.
    for_calm: VecDeque<QueueId>,
    /// Since when nothing is on its way.
    calm_since: Option<Timestamp>,
    /// Messages to park.
    to_park: VecDeque<QueueId>,
    parking: usize,
    /// Something of the batch under way has been parked.
    park_progress: bool,
    park_pause: Option<Timestamp>,
    /// When the next batch may be parked.
    park_next: Timestamp,
    draining: bool,
    effects: Vec<Effect>,
}

impl Queue {
    /// An empty queue of one virtual server.
    #[must_use]
    pub fn new(server: Arc<VirtualServer>) -> Queue {
        let limits = limits(&server);
        Queue {
            server,
            epoch: 0,
            messages: BTreeMap::new(),
            works: VecDeque::new(),
            wants: HashMap::new(),
            words: Words::default(),
            scheduler: Scheduler::new(limits),
            alarms: BinaryHeap::new(),
            tidy_alarms_at: ALARMS_TIDY_MIN,
            young: VecDeque::new(),
            for_calm: VecDeque::new(),
            calm_since: None,
            to_park: VecDeque::new(),
            parking: 0,
            park_progress: false,
            park_pause: None,
            park_next: Timestamp(0),
            draining: false,
            effects: Vec::new(),
        }
    }

    /// How much waits.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            messages: self.messages.len(),
            connections: self.scheduler.connections(),
            destinations: self.scheduler.destinations(),
        }
    }

    /// How many destinations wait because all connections are taken.
    #[must_use]
    pub fn starved(&self) -> usize {
        self.scheduler.starved()
    }

    /// Ids of all messages that the queue knows (checks and listings).
    pub fn ids(&self) -> impl Iterator<Item = QueueId> + '_ {
        self.messages.keys().copied()
    }

    /// What the queue has of a message, for whoever hunts a fault.
    #[must_use]
    pub fn explain(&self, id: QueueId) -> String {
        format!("{:?}", self.messages.get(&id))
    }

    /// What went out on the terms of each owner that has limits: for the daemon to keep, and to tell the next life
    /// ([`Event::Paced`]).
    #[must_use]
    pub fn paced(&self, now: Timestamp) -> Vec<Paced> {
        self.scheduler.paced(now)
    }

    /// Names of suspended destinations, and since when: for the daemon to keep, and to tell the next life.
    pub fn suspended(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.scheduler.suspended()
    }

    /// Messages whose envelope is in memory: those in the journal, and those under way.
    #[must_use]
    pub fn envelopes_in_memory(&self) -> usize {
        self.messages.values().filter(|m| m.envelope.is_some()).count()
    }

    /// Messages that are to be parked in a calm moment, stale ones among them.
    #[must_use]
    pub fn waiting_for_calm(&self) -> usize {
        self.for_calm.len()
    }

    /// Alarms that are set, stale ones among them.
    #[must_use]
    pub fn alarms(&self) -> usize {
        self.alarms.len() + self.scheduler.wakes()
    }

    /// Is nothing under way? (While draining: all that was in flight has come to its end.)
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.scheduler.connections() == 0 && self.parking == 0 && self.messages.values().all(|m| !m.is_busy())
    }

    /// Has the folder the newest envelope of all that it keeps? (If not, a restart may tell or deliver something again.)
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let removing = self.alarms.iter().any(|Reverse((_, alarm))| matches!(alarm, Alarm::Remove(_)));
        !removing && self.messages.values().all(|m| !m.unwritten)
    }

    /// When [`Event::Tick`] is wanted at the latest; `None`: nothing is timed.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let alarm = self.alarms.peek().map(|Reverse((at, _))| *at);
        let young = self.young.front().map(|(arrived, _)| arrived.plus(PARK_AFTER));
        let calm = if self.for_calm.is_empty() { None } else { self.calm_since.map(|since| since.plus(CALM_AFTER)) };
        // What is being worked at goes on at once.
        let work = self.has_work().then_some(Timestamp(0));
        [alarm, young, calm, self.scheduler.next_due(), work].into_iter().flatten().min()
    }

    /// Takes in what happened at `now`; what is to be done is appended to `effects`.
    pub fn apply(&mut self, event: Event, now: Timestamp, effects: &mut Vec<Effect>) {
        std::mem::swap(&mut self.effects, effects);
        self.take_in(event, now);
        self.alarms_due(now);
        self.scheduler.wake(now);
        self.dispatch(now);
        self.park(now);
        self.tidy_alarms();
        std::mem::swap(&mut self.effects, effects);
    }

    fn take_in(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Accepted(messages) => {
                for message in messages {
                    self.accept(message, Lane::Journal, now);
                }
            }
            Event::Found(messages) => {
                for message in messages {
                    self.accept(message, Lane::Folder, now);
                }
            }
            Event::FoundAll => {}
            Event::Tick => self.work(now),
            Event::Ask(id, ask) => self.ask(id, ask, now),
            Event::Unask(id) => self.unask(id),
            Event::Parked(ids) => self.parked(&ids, now),
            Event::ParkFailed(ids, why) => self.park_failed(&ids, &why, now),
            Event::Updated(id, version) => self.updated(id, version),
            Event::UpdateFailed(id, version, why) => self.update_failed(id, version, &why, now),
            Event::RemoveFailed(ids, why) => self.remove_failed(&ids, &why, now),
            Event::ParkOldest(ids) => self.park_oldest(&ids),
            Event::Loaded(id, envelope) => self.loaded(id, envelope, now),
            Event::Attempted { connection, outcome } => self.attempted(connection, outcome, now),
            Event::Closed { connection, unsent } => self.closed(connection, unsent, now),
            Event::Reported { id, recipients, named } => {
                self.effects.push(Effect::Record(Record::Reported { id, recipients: named }));
                self.told(id, &recipients, &Fate::Reported { at: now });
            }
            Event::Badmailed { id, recipients } => self.told(id, &recipients, &Fate::Badmail { at: now }),
            Event::ReportFailed { id, .. } | Event::BadmailFailed { id, .. } => self.job_failed(id, now),
            Event::Alarm(text) => self.effects.push(Effect::Record(crate::record::Record::Alarm { text: text.into() })),
            Event::Configured(server) => self.configure(server, now),
            Event::Destination(name, order) => self.order_destination(None, &name, order, now),
            Event::Mended(owner) => self.log_on_mended(&owner, now),
            Event::Paced(paced) => paced.iter().for_each(|paced| self.scheduler.resume_pace(paced)),
            Event::Drain => self.draining = true,
        }
    }

    fn configure(&mut self, server: Arc<VirtualServer>, now: Timestamp) {
        self.scheduler.reconfigure(limits(&server), now);
        self.server = server;
        // Lots are routed anew when their turn comes.
        self.epoch += 1;
    }

    fn accept(&mut self, accepted: Accepted, lane: Lane, now: Timestamp) {
        let Accepted { id, envelope, place } = accepted;
        if self.messages.contains_key(&id) {
            return;
        }
        let open = envelope.recipients.iter().filter(|r| !r.fate.is_final()).count();
        // A clock that was ahead in an earlier life must not keep a message for longer than its time.
        let since = envelope.since().min(now);
        let message = Message {
            envelope: Some(Arc::new(envelope)),
            place,
            lane,
            brief: None,
            since,
            lots: Vec::new(),
            next_lot: 0,
            open: u32::try_from(open).unwrap_or(u32::MAX),
            jobs: 0,
            loading: false,
            look: false,
            watched: false,
            park_wanted: false,
            park_noted: false,
            park_flying: false,
            changed: false,
            version: 0,
            unwritten: false,
            write_set: false,
        };
        self.messages.insert(id, message);
        if lane == Lane::Journal {
            self.young.push_back((now, id));
        }
        let everybody: Vec<u32> = (0u32..).take(self.recipients_of(id)).collect();
        self.make_lots(id, &everybody, now);
        self.report_failed_again(id, now);
        if lane == Lane::Folder {
            self.watch(id);
        }
        self.settle_down(id);
    }

    fn recipients_of(&self, id: QueueId) -> usize {
        self.messages.get(&id).and_then(|m| m.envelope.as_ref()).map_or(0, |e| e.recipients.len())
    }

    /// Routes these recipients, as far as they are pending or held, and puts them in their destinations' queues.
    fn make_lots(&mut self, id: QueueId, recipients: &[u32], now: Timestamp) {
        let Some(message) = self.messages.get(&id) else { return };
        let Some(envelope) = message.envelope.clone() else { return };
        let mut groups: Vec<Group> = Vec::new();
        let mut refused: Vec<(u32, Failure)> = Vec::new();
        for &index in recipients {
            let Some(recipient) = envelope.recipients.get(index as usize) else { continue };
            let (tries, due, held) = match recipient.fate {
                Fate::Pending { tries, due } => (tries, due, false),
                Fate::Held => (0, now, true),
                _ => continue,
            };
            let target = match route::route(&self.server, &recipient.address) {
                Route::Drop => Target::Drop,
                Route::Hop(hop) => Target::Hop(hop.wished(&envelope)),
                Route::Refuse(failure) => {
                    refused.push((index, failure));
                    continue;
                }
            };
            // Those of one destination travel together, as many as it takes at a time; one that waits longer than the others
            // does not hold them up. What is due by now is due now: each recipient of a session came a little later than the
            // one before. And what is due in years was written down when the clock was wrong.
            let longest = Ladder::of(&self.server.delivery, target.terms()).longest();
            let due = due.clamp(now, now.plus(longest + DUE_SLACK));
            let most = target.recipients_max();
            let terms = (tries, due, held);
            match groups.iter_mut().find(|g| g.terms == terms && g.target == target && g.recipients.len() < most) {
                Some(group) => group.recipients.push(index),
                None => groups.push(Group { target, recipients: vec![index], terms }),
            }
        }
        for Group { target, recipients, terms: (tries, due, held) } in groups {
            self.add_lot(id, &target, recipients, tries, (!held).then_some(due), now);
        }
        if !refused.is_empty() {
            self.fail(id, refused, now);
            self.persist(id);
        }
    }

    /// `due`: when it may be tried; `None`: it is held.
    fn add_lot(
        &mut self,
        id: QueueId,
        target: &Target,
        recipients: Vec<u32>,
        tries: u16,
        due: Option<Timestamp>,
        now: Timestamp,
    ) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let name = message.next_lot;
        let destination = self.scheduler.enrol(target, LotName { id, lot: name });
        message.next_lot = message.next_lot.wrapping_add(1);
        let state = match due {
            None => LotState::Held,
            Some(due) if due > now => LotState::Waiting(due),
            Some(_) => LotState::Ready,
        };
        let (local, epoch) = (*target == Target::Drop, self.epoch);
        let count = u32::try_from(recipients.len()).unwrap_or(u32::MAX);
        let noticed = message.have_been_told(&recipients);
        message.lots.push(Lot { name, destination, local, noticed, recipients, tries, state, epoch });
        match state {
            LotState::Held => self.scheduler.held(destination),
            LotState::Waiting(due) => self.alarms.push(Reverse((due, Alarm::Lot(id, name)))),
            _ => self.scheduler.ready(destination, LotName { id, lot: name }, count),
        }
    }

    fn alarms_due(&mut self, now: Timestamp) {
        while let Some(Reverse((at, _))) = self.alarms.peek() {
            if *at > now {
                break;
            }
            let Some(Reverse((_, alarm))) = self.alarms.pop() else { break };
            match alarm {
                Alarm::Lot(id, lot) => self.lot_due(LotName { id, lot }, now),
                Alarm::Look(id) => self.look(id, now),
                Alarm::Failed(id) => self.look_or_load(id, now),
                Alarm::Write(id) => self.write_again(id),
                Alarm::Remove(id) => self.effects.push(Effect::Remove(id)),
                Alarm::Park => self.park_pause = None,
                // What waits is parked at the end of every event.
                Alarm::ParkNext => {}
            }
        }
    }

    /// A message's alarm for its notice or end is half a day ahead or more; most messages are gone long before.
    fn tidy_alarms(&mut self) {
        if self.alarms.len() < self.tidy_alarms_at {
            return;
        }
        let messages = &self.messages;
        self.alarms.retain(|Reverse((_, alarm))| match alarm {
            Alarm::Lot(id, _) | Alarm::Look(id) | Alarm::Failed(id) | Alarm::Write(id) => messages.contains_key(id),
            Alarm::Park | Alarm::ParkNext | Alarm::Remove(_) => true,
        });
        self.tidy_alarms_at = ALARMS_TIDY_MIN + 2 * self.alarms.len();
        self.alarms.shrink_to(self.tidy_alarms_at);
    }

    fn lot_due(&mut self, name: LotName, now: Timestamp) {
        let Some(lot) = self.messages.get_mut(&name.id).and_then(|m| m.lot_mut(name.lot)) else { return };
        if let LotState::Waiting(due) = lot.state
            && due <= now
        {
            lot.state = LotState::Ready;
            let (destination, recipients) = (lot.destination, lot.count());
            self.scheduler.ready(destination, name, recipients);
        }
    }

    /// Makes a change of fates durable: in the folder now, in the journal as a note.
    fn persist(&mut self, id: QueueId) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let Some(envelope) = message.envelope.clone() else { return };
        message.changed = message.lane == Lane::Parking;
        match message.lane {
            Lane::Folder => {
                message.version = message.version.wrapping_add(1);
                message.unwritten = true;
                self.effects.push(Effect::Update(UpdateJob { id, envelope, version: Some(message.version) }));
            }
            Lane::Journal | Lane::Parking => {
                self.effects.push(Effect::Note(crate::spool::Note::Fates(id, envelope)));
            }
        }
    }

    /// After something was done for a message: it is gone if nothing is left, else it may leave the memory.
    fn settle_down(&mut self, id: QueueId) {
        let Some(message) = self.messages.get(&id) else { return };
        if message.open == 0 && !message.is_busy() && message.lane != Lane::Parking && !self.awaits_confirmation(id) {
            self.forget(id);
            return;
        }
        self.want_parking(id);
        self.slim(id);
    }

    fn forget(&mut self, id: QueueId) {
        let Some(message) = self.messages.remove(&id) else { return };
        for lot in &message.lots {
            self.leave(id, lot);
        }
        self.wants_gone(id);
        self.effects.push(match message.lane {
            Lane::Folder => Effect::Remove(id),
            Lane::Journal | Lane::Parking => Effect::Note(crate::spool::Note::Gone(id)),
        });
    }

    /// A lot is done with.
    fn leave(&mut self, id: QueueId, lot: &Lot) {
        match lot.state {
            LotState::Loading => self.scheduler.loaded(lot.destination),
            LotState::Held => self.scheduler.released(lot.destination),
            _ => {}
        }
        self.scheduler.discharge(lot.destination, LotName { id, lot: lot.name });
    }

    fn fate(envelope: &mut Envelope, index: u32, fate: Fate) -> bool {
        let Some(recipient) = envelope.recipients.get_mut(index as usize) else { return false };
        let closes = !recipient.fate.is_final() && fate.is_final();
        recipient.fate = fate;
        closes
    }
}

/// Recipients of one message that can travel together.
struct Group {
    target: Target,
    recipients: Vec<u32>,
    /// Attempts so far, when the next is due, and whether an operator holds them.
    terms: (u16, Timestamp, bool),
}

fn limits(server: &VirtualServer) -> Limits {
    Limits {
        connections_max: server.delivery.connections_max.unwrap_or(CONNECTIONS_CEILING),
        per_destination_max: server.delivery.connections_per_domain_max.unwrap_or(CONNECTIONS_CEILING),
        messages_per_connection: server.messages.messages_per_connection.unwrap_or(u32::MAX),
    }
}

/// The hop named in a parcel for Drop: no host.
fn no_hop() -> Arc<route::NextHop> {
    Arc::new(route::NextHop::plain(route::Hosts::Listed(Vec::new()), route::Protocol::Esmtp))
}

/// Content held in memory is let go where the disk has it too.
fn without_memory(place: &mut Place) {
    if let Place::Journal { memory, .. } = place {
        *memory = None;
    }
}
