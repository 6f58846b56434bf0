//! An operator at work: looks at the queue, suspends and resumes destinations, holds, releases, returns and deletes messages.
//!
//! What was confirmed must hold: [`Checks`] remembers it and looks, after each power cut, at what was found.

use crate::ledger::Ledger;
use crate::life::{Act, Life};
use relay::envelope::{Fate, QueueId};
use relay::queue::ask::{Answer, Ask, AskId, DestinationsBy, DestinationsFrom, Filter, Order, PAGE_MAX, Selection};
use relay::queue::{Accepted, DestinationOrder, Event};
use smtp::time::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

const NAMES: [&str; 5] = ["far.test", "near.test", "slow.test", "a.example", "drop"];

/// What the operator was promised.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    next: u64,
    asked: HashMap<AskId, Asked>,
    /// Confirmed as held, and nothing else ordered about them since.
    held: HashSet<QueueId>,
    /// Confirmed as deleted.
    deleted: HashSet<QueueId>,
    /// When something was last to be tried at once.
    pub retried: Option<Timestamp>,
    /// Suspended destinations.
    pub suspended: BTreeSet<String>,
}

#[derive(Debug)]
struct Asked {
    ask: Ask,
    /// Another order is or was carried out at the same time.
    overtaken: bool,
}

impl Checks {
    /// The program has ended: nobody answers.
    pub fn end(&mut self) {
        self.asked.clear();
    }

    /// What a restart finds must be as it was confirmed.
    pub fn look_at(&self, found: &HashMap<QueueId, &Accepted>, ledger: &mut Ledger) {
        for id in &self.held {
            let open = found.get(id).into_iter().flat_map(|m| &m.envelope.recipients).filter(|r| !r.fate.is_final());
            let free = open.filter(|r| matches!(r.fate, Fate::Pending { .. })).count();
            if free > 0 {
                ledger.faults.push(format!("{id} was confirmed as held, and {free} recipients are not"));
            }
        }
        for id in &self.deleted {
            if found.get(id).is_some_and(|m| m.envelope.recipients.iter().any(|r| !r.fate.is_final())) {
                ledger.faults.push(format!("{id} was confirmed as deleted, and is there"));
            }
        }
    }
}

impl Life {
    /// The operator does something.
    pub(crate) fn operate(&mut self) {
        let name = NAMES[usize::try_from(self.chance.below(NAMES.len() as u64)).unwrap_or(0)];
        let ask = match self.chance.below(8) {
            0 => self.look(),
            1 | 2 if !self.peace => {
                self.checks.suspended.insert(name.into());
                Ask::Destination(name.into(), DestinationOrder::Suspend)
            }
            1..=3 => {
                self.checks.suspended.remove(name);
                Ask::Destination(name.into(), DestinationOrder::Resume)
            }
            4 => Ask::Destination(name.into(), DestinationOrder::Retry),
            _ => {
                let orders = [Order::Hold, Order::Hold, Order::Release, Order::Retry, Order::Return, Order::Delete];
                let order = orders[usize::try_from(self.chance.below(6)).unwrap_or(0)];
                Ask::Order(order, self.some_messages(name))
            }
        };
        self.put(ask);
    }

    fn look(&mut self) -> Ask {
        let filter = self.some_filter("far.test");
        match self.chance.below(3) {
            0 => Ask::Count(filter),
            1 => Ask::Messages { filter, after: None, limit: PAGE_MAX },
            _ => Ask::Destinations {
                name: None,
                order: DestinationsBy::Age,
                from: DestinationsFrom::First,
                limit: PAGE_MAX,
            },
        }
    }

    fn some_messages(&mut self, name: &str) -> Selection {
        if self.chance.happens(50) {
            return Selection::Filter(self.some_filter(name));
        }
        let mut ids: Vec<QueueId> = self.node.queue.ids().collect();
        ids.sort_unstable();
        ids.retain(|_| self.chance.happens(40));
        Selection::Ids(ids)
    }

    fn some_filter(&mut self, name: &str) -> Filter {
        let text = |text: &str| Some(text.into());
        match self.chance.below(5) {
            0 => Filter { destination: text(name), ..Filter::default() },
            1 => Filter { recipient: text("user3-"), ..Filter::default() },
            2 => Filter { sender: text("<>"), ..Filter::default() },
            3 => Filter { older_than: Some(Duration::from_secs(600)), ..Filter::default() },
            _ => Filter { reason: text("5"), ..Filter::default() },
        }
    }

    /// With the faults gone, the operator lets everything go.
    pub(crate) fn let_go(&mut self) {
        for name in std::mem::take(&mut self.checks.suspended) {
            self.put(Ask::Destination(name.into(), DestinationOrder::Resume));
        }
        self.put(Ask::Order(Order::Release, Selection::Filter(Filter::default())));
    }

    fn put(&mut self, ask: Ask) {
        if matches!(ask, Ask::Order(Order::Retry, _) | Ask::Destination(_, DestinationOrder::Retry)) {
            self.checks.retried = Some(self.now);
        }
        if let Ask::Order(order, selection) = &ask
            && *order != Order::Retry
        {
            // From now on nobody knows, until this is confirmed.
            match selection {
                Selection::Ids(ids) => self.checks.held.retain(|id| !ids.contains(id)),
                Selection::Filter(_) => self.checks.held.clear(),
            }
            self.checks.asked.values_mut().for_each(|asked| asked.overtaken = true);
        }
        self.checks.next += 1;
        let id = AskId(self.checks.next);
        // One that is still being carried out may come after this one.
        let overtaken = self.checks.asked.values().any(|asked| matches!(asked.ask, Ask::Order(..)));
        self.checks.asked.insert(id, Asked { ask: ask.clone(), overtaken });
        self.tell(Event::Ask(id, ask));
    }

    pub(crate) fn answered(&mut self, id: AskId, answer: &Answer) {
        if !answer.is_last() {
            return;
        }
        let Some(asked) = self.checks.asked.remove(&id) else {
            return self.ledger.faults.push(format!("an answer to a question that nobody asked: {answer:?}"));
        };
        match (asked.ask, answer) {
            (Ask::Order(order, Selection::Ids(ids)), Answer::Done(tally)) => {
                let all = tally.done + tally.under_way + tally.not_applicable + tally.gone + tally.failed;
                if all != tally.matched || tally.matched != ids.len() as u64 {
                    self.ledger.faults.push(format!("{} messages were ordered about: {tally:?}", ids.len()));
                }
                let sure = tally.failed + tally.under_way + tally.not_applicable == 0 && !asked.overtaken;
                match order {
                    Order::Hold if sure => self.checks.held.extend(ids),
                    Order::Delete if sure => self.checks.deleted.extend(ids),
                    _ => {}
                }
            }
            (_, Answer::Messages { page, .. }) if !page.is_sorted_by(|a, b| a.id < b.id) => {
                self.ledger.faults.push("a page of messages is not in order".into());
            }
            (_, Answer::Failed(why)) => self.ledger.faults.push(format!("refused: {why}")),
            _ => {}
        }
    }

    /// The program starts: what the operator had suspended is told again.
    pub(crate) fn remember_suspensions(&mut self) {
        for name in self.checks.suspended.clone() {
            self.tell(Event::Destination(name.into(), DestinationOrder::Suspend));
        }
    }

    /// Plans what the operator does in a life.
    pub(crate) fn plan_operator(&mut self, within: Duration) {
        for _ in 0..self.chance.below(12) {
            let at = self.chance.below(within.as_secs());
            self.at(Duration::from_secs(at), Act::Operate);
        }
    }
}
