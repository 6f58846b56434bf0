//! Questions and orders about many messages, worked at in slices.
//!
//! Each time the queue is told that time has passed, one open question gets one slice (some messages looked at, or [`SLICE`]
//! changed); the questions take turns. An order has so many messages waiting for the disk at a time that their syncs are shared, and no
//! more.

use super::ask::{
    ASKS_MAX, Answer, Ask, AskId, MessageSummary, ORDER_IDS_MAX, Order, PAGE_MAX, Selection, TALLY_NAMED_MAX, Tally,
};
use super::roll::Destinations;
use super::scan::{Scan, Scanned};
use super::{DestinationOrder, Effect, Queue};
use crate::envelope::QueueId;
use crate::record::Record;
use crate::scheduler::{DestinationId, LotName};
use smtp::time::Timestamp;
use std::collections::HashSet;

/// Messages that are changed in one slice.
const SLICE: usize = 500;
/// Messages of one order that may wait for the disk.
const ORDERED_IN_FLIGHT_MAX: u32 = 256;
/// After so many messages an order tells how far it is.
const TELL_EVERY: u64 = 250;

/// A question or order that is being worked at.
#[derive(Debug)]
pub(super) struct Work {
    /// Who waits for the answer, if anybody does.
    ask: Option<AskId>,
    task: Task,
}

#[derive(Debug)]
enum Task {
    Destinations(Destinations),
    Messages { scan: Scan, limit: usize, page: Vec<MessageSummary> },
    Count { scan: Scan, messages: u64, octets: u64 },
    Order(Ordered),
}

/// An order, so far.
#[derive(Debug)]
struct Ordered {
    order: Order,
    next: Next,
    in_flight: u32,
    told: u64,
    tally: Tally,
    /// Destinations that got their further chance: one for each order.
    probed: HashSet<DestinationId>,
}

#[derive(Debug)]
enum Next {
    Ids(std::vec::IntoIter<QueueId>),
    Filter(Scan),
    /// The lots of these destinations.
    Lots(Vec<DestinationId>, Option<LotName>),
    Nothing,
}

/// What an order came to for one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Came {
    Done,
    /// It will be known when the disk has done its part.
    Later,
    UnderWay,
    NotApplicable,
    Gone,
    Failed(Box<str>),
}

impl Work {
    /// It waits for the disk.
    fn is_blocked(&self) -> bool {
        match &self.task {
            Task::Destinations(_) => false,
            Task::Messages { scan, .. } | Task::Count { scan, .. } => scan.is_blocked(),
            Task::Order(Ordered { next: Next::Nothing, in_flight, .. }) => *in_flight > 0,
            Task::Order(Ordered { next, in_flight, .. }) => {
                *in_flight >= ORDERED_IN_FLIGHT_MAX || matches!(next, Next::Filter(scan) if scan.is_blocked())
            }
        }
    }

    pub(super) fn scan_mut(&mut self) -> Option<&mut Scan> {
        match &mut self.task {
            Task::Messages { scan, .. }
            | Task::Count { scan, .. }
            | Task::Order(Ordered { next: Next::Filter(scan), .. }) => Some(scan),
            _ => None,
        }
    }
}

impl Ordered {
    fn new(order: Order, next: Next) -> Ordered {
        Ordered { order, next, in_flight: 0, told: 0, tally: Tally::default(), probed: HashSet::new() }
    }

    fn note(&mut self, id: QueueId, came: Came) {
        let tally = &mut self.tally;
        match came {
            Came::Later => self.in_flight += 1,
            Came::Done => tally.done += 1,
            Came::UnderWay => tally.under_way += 1,
            Came::NotApplicable => tally.not_applicable += 1,
            Came::Gone => tally.gone += 1,
            Came::Failed(why) => {
                tally.failed += 1;
                if tally.failures.len() < TALLY_NAMED_MAX {
                    tally.failures.push((id, why));
                }
            }
        }
    }
}

impl Queue {
    /// Is there a question that [`super::Event::Tick`] would bring further?
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.works.iter().any(|work| !work.is_blocked())
    }

    pub(super) fn ask(&mut self, id: AskId, ask: Ask, now: Timestamp) {
        if self.works.len() >= ASKS_MAX {
            return self.answer(Some(id), Answer::Busy);
        }
        let task = match ask {
            Ask::Message(message) => return self.show(id, message, now),
            Ask::Destinations { name, order, from, limit } => {
                Task::Destinations(Destinations::new(name.as_deref(), order, from, limit))
            }
            Ask::Messages { filter, after, limit } => {
                Task::Messages { scan: self.scan_of(filter, after), limit: limit.clamp(1, PAGE_MAX), page: Vec::new() }
            }
            Ask::Count(filter) => Task::Count { scan: self.scan_of(filter, None), messages: 0, octets: 0 },
            Ask::Order(_, Selection::Ids(ids)) if ids.len() > ORDER_IDS_MAX => {
                let why = format!("An order names at most {ORDER_IDS_MAX} messages.");
                return self.answer(Some(id), Answer::Failed(why.into()));
            }
            Ask::Order(order, Selection::Ids(mut ids)) => {
                ids.sort_unstable();
                ids.dedup();
                Task::Order(Ordered::new(order, Next::Ids(ids.into_iter())))
            }
            Ask::Order(order, Selection::Filter(filter)) => {
                Task::Order(Ordered::new(order, Next::Filter(self.scan_of(filter, None))))
            }
            Ask::Destination(name, order) => return self.order_destination(Some(id), &name, order, now),
        };
        self.works.push_back(Work { ask: Some(id), task });
    }

    /// An operator's word about a destination; `ask`: somebody waits for an answer.
    pub(super) fn order_destination(
        &mut self,
        ask: Option<AskId>,
        name: &str,
        order: DestinationOrder,
        now: Timestamp,
    ) {
        let destinations = self.scheduler.named(name);
        let lots: usize = destinations.iter().map(|id| self.scheduler.lots_count(*id)).sum();
        let record = match order {
            DestinationOrder::Suspend => {
                self.scheduler.suspend(name, now).then(|| Record::DestinationSuspended { destination: name.into() })
            }
            DestinationOrder::Resume => {
                self.scheduler.resume(name, now).then(|| Record::DestinationResumed { destination: name.into() })
            }
            DestinationOrder::Retry => return self.retry_destinations(ask, destinations, now),
        };
        self.effects.extend(record.map(Effect::Record));
        let tally = Tally { matched: lots as u64, done: lots as u64, ..Tally::default() };
        self.answer(ask, Answer::Done(tally));
    }

    /// All that waits for these destinations is tried now.
    pub(super) fn retry_destinations(&mut self, ask: Option<AskId>, destinations: Vec<DestinationId>, now: Timestamp) {
        for id in &destinations {
            self.scheduler.end_rest(*id, now);
        }
        let mut ordered = Ordered::new(Order::Retry, Next::Lots(destinations.clone(), None));
        ordered.probed.extend(destinations);
        self.works.push_back(Work { ask, task: Task::Order(ordered) });
        self.work(now);
    }

    /// Nobody waits for the answer any more. What an order has begun comes to its end; it begins nothing new.
    pub(super) fn unask(&mut self, id: AskId) {
        for work in self.works.iter_mut().filter(|work| work.ask == Some(id)) {
            if let Task::Order(ordered) = &mut work.task {
                ordered.next = Next::Nothing;
            }
        }
        self.works.retain(|work| work.ask != Some(id) || matches!(work.task, Task::Order(_)));
    }

    pub(super) fn answer(&mut self, ask: Option<AskId>, answer: Answer) {
        self.effects.extend(ask.map(|id| Effect::Answer(id, answer)));
    }

    /// One slice of the next question that does not wait for the disk.
    pub(super) fn work(&mut self, now: Timestamp) {
        for _ in 0..self.works.len() {
            let Some(mut work) = self.works.pop_front() else { return };
            if work.is_blocked() {
                self.works.push_back(work);
                continue;
            }
            let answer = match &mut work.task {
                Task::Destinations(listing) => self.list_destinations(listing, now),
                Task::Messages { scan, limit, page } => self.list_messages(work.ask, scan, *limit, page, now),
                Task::Count { scan, messages, octets } => {
                    let scanned = self.scan(work.ask, scan, usize::MAX, now, |queue, id| {
                        *messages += 1;
                        *octets += queue.size_of(id);
                        true
                    });
                    let (messages, octets) = (*messages, *octets);
                    (scanned == Scanned::All).then_some(Answer::Count { messages, octets })
                }
                Task::Order(ordered) => self.go_on(work.ask, ordered, now),
            };
            match answer {
                Some(answer) => self.answer(work.ask, answer),
                None => self.works.push_back(work),
            }
            return;
        }
    }

    fn list_messages(
        &mut self,
        ask: Option<AskId>,
        scan: &mut Scan,
        limit: usize,
        page: &mut Vec<MessageSummary>,
        now: Timestamp,
    ) -> Option<Answer> {
        let scanned = self.scan(ask, scan, limit - page.len(), now, |queue, id| {
            page.extend(queue.summary(id, now));
            page.len() < limit
        });
        let more = scan.has_more();
        match scanned {
            Scanned::Part => None,
            Scanned::Enough => Some(Answer::Messages { page: std::mem::take(page), more }),
            Scanned::All => Some(Answer::Messages { page: std::mem::take(page), more: false }),
        }
    }

    /// Carries an order on.
    fn go_on(&mut self, ask: Option<AskId>, ordered: &mut Ordered, now: Timestamp) -> Option<Answer> {
        let mut next = std::mem::replace(&mut ordered.next, Next::Nothing);
        let over = match &mut next {
            Next::Nothing => true,
            Next::Ids(ids) => {
                let mut left = SLICE;
                while left > 0
                    && ordered.in_flight < ORDERED_IN_FLIGHT_MAX
                    && let Some(id) = ids.next()
                {
                    left -= 1;
                    self.carry_out(ask, ordered, id, now);
                }
                ids.len() == 0
            }
            Next::Filter(scan) => {
                let scanned = self.scan(ask, scan, SLICE, now, |queue, id| {
                    queue.carry_out(ask, ordered, id, now);
                    ordered.in_flight < ORDERED_IN_FLIGHT_MAX
                });
                scanned == Scanned::All
            }
            Next::Lots(destinations, after) => match destinations.last().copied() {
                None => true,
                Some(destination) => {
                    let lots = self.scheduler.lots_after(destination, *after, SLICE);
                    *after = lots.last().copied();
                    if after.is_none() {
                        destinations.pop();
                    }
                    for lot in lots {
                        ordered.tally.matched += 1;
                        let came = self.retry_now(lot.id, Some(destination), &mut ordered.probed, now);
                        ordered.note(lot.id, came);
                    }
                    false
                }
            },
        };
        if !over {
            ordered.next = next;
        } else if ordered.in_flight == 0 {
            return Some(Answer::Done(std::mem::take(&mut ordered.tally)));
        }
        let tally = &ordered.tally;
        if tally.matched >= ordered.told + TELL_EVERY {
            ordered.told = tally.matched;
            let so_far = Answer::SoFar(tally.clone());
            self.answer(ask, so_far);
        }
        None
    }

    fn carry_out(&mut self, ask: Option<AskId>, ordered: &mut Ordered, id: QueueId, now: Timestamp) {
        ordered.tally.matched += 1;
        let came = if ordered.order == Order::Retry {
            self.retry_now(id, None, &mut ordered.probed, now)
        } else {
            self.order_one(ask, ordered.order, id, now)
        };
        ordered.note(id, came);
    }

    /// What is being worked at for this asker, or for nobody.
    pub(super) fn works_of(&mut self, ask: Option<AskId>) -> impl Iterator<Item = &mut Work> {
        self.works.iter_mut().filter(move |work| work.ask == ask)
    }

    /// What an order that waited for the disk has come to for a message.
    pub(super) fn came(&mut self, ask: Option<AskId>, id: QueueId, came: Came) {
        for work in self.works_of(ask) {
            if let Task::Order(ordered) = &mut work.task {
                ordered.in_flight = ordered.in_flight.saturating_sub(1);
                return ordered.note(id, came);
            }
        }
    }
}
