//! An operator's order, carried out for one message.
//!
//! Orders that change an envelope are carried out when the Queue folder has the message, so that the folder's word makes them
//! durable: a message in the journal is parked first. While its envelope is being read, parked or written, the order waits
//! among the wants of that message.

use super::ask::{Answer, AskId, Order};
use super::message::{Lane, LotState};
use super::work::Came;
use super::{Effect, Queue};
use crate::envelope::{Envelope, Failure, Fate, QueueId};
use crate::record::Record;
use crate::scheduler::{DestinationId, LotName};
use crate::settle;
use smtp::time::Timestamp;
use std::collections::HashSet;

/// Somebody waits for something about a message.
#[derive(Clone, Debug)]
pub(super) struct Want {
    ask: Option<AskId>,
    step: Step,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Step {
    /// The order can be carried out when the folder has the message and the memory its envelope.
    Apply(Order),
    /// It has been, and is durable when the folder has this version of the envelope, or a newer one.
    Confirm,
    /// The envelope is to be shown.
    Show,
    /// The envelope is to be judged by a search.
    Judge,
}

impl Queue {
    fn want(&mut self, id: QueueId, ask: Option<AskId>, step: Step) {
        self.wants.entry(id).or_default().push(Want { ask, step });
    }

    fn load_for_want(&mut self, id: QueueId) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if !message.loading {
            message.loading = true;
            self.effects.push(Effect::Load(id));
        }
    }

    /// Answers with all about a message, when its envelope is in memory.
    pub(super) fn show(&mut self, ask: AskId, id: QueueId, now: Timestamp) {
        match self.messages.get(&id) {
            None => self.answer(Some(ask), Answer::Message(None)),
            Some(message) if message.envelope.is_some() => {
                let detail = self.detail(id, now).map(Box::new);
                self.answer(Some(ask), Answer::Message(detail));
            }
            Some(_) => {
                self.want(id, Some(ask), Step::Show);
                self.load_for_want(id);
            }
        }
    }

    /// A search waits for the envelope.
    pub(super) fn judge_later(&mut self, ask: Option<AskId>, id: QueueId) {
        self.want(id, ask, Step::Judge);
        self.load_for_want(id);
    }

    /// The message may not leave the memory: somebody waits to hear that a change of it is durable.
    pub(super) fn awaits_confirmation(&self, id: QueueId) -> bool {
        self.wants.get(&id).is_some_and(|wants| wants.iter().any(|want| want.step == Step::Confirm))
    }

    /// Tries the message now, at one of its destinations or at all. They get one further chance for the whole order.
    pub(super) fn retry_now(
        &mut self,
        id: QueueId,
        only: Option<DestinationId>,
        probed: &mut HashSet<DestinationId>,
        now: Timestamp,
    ) -> Came {
        let Some(message) = self.messages.get_mut(&id) else { return Came::Gone };
        let mut came = Came::NotApplicable;
        let mut ready = Vec::new();
        for lot in message.lots.iter_mut().filter(|lot| only.is_none_or(|only| lot.destination == only)) {
            match lot.state {
                LotState::Held => continue,
                LotState::Flying => {
                    if came == Came::NotApplicable {
                        came = Came::UnderWay;
                    }
                    continue;
                }
                LotState::Waiting(_) => {
                    lot.state = LotState::Ready;
                    ready.push((lot.destination, LotName { id, lot: lot.name }, lot.count()));
                }
                LotState::Ready | LotState::Loading => {}
            }
            came = Came::Done;
            if probed.insert(lot.destination) {
                self.scheduler.end_rest(lot.destination, now);
            }
        }
        for (destination, lot, recipients) in ready {
            self.scheduler.ready(destination, lot, recipients);
        }
        came
    }

    /// Carries out an order that changes the envelope, now or when its turn comes.
    pub(super) fn order_one(&mut self, ask: Option<AskId>, order: Order, id: QueueId, now: Timestamp) -> Came {
        let Some(message) = self.messages.get_mut(&id) else { return Came::Gone };
        let any = |state: LotState| message.lots.iter().any(|lot| lot.state == state);
        let flying = any(LotState::Flying);
        let answer = match order {
            Order::Return | Order::Delete if flying => Some(Came::UnderWay),
            Order::Release if !flying && !any(LotState::Held) => Some(Came::NotApplicable),
            Order::Hold | Order::Return if message.lots.is_empty() => Some(Came::NotApplicable),
            Order::Hold if message.lots.iter().all(|lot| lot.state == LotState::Held) && !message.unwritten => {
                Some(Came::Done)
            }
            _ => None,
        };
        if let Some(answer) = answer {
            return answer;
        }
        if message.lane != Lane::Folder {
            message.park_flying = true;
            if message.lane == Lane::Journal && !std::mem::replace(&mut message.park_wanted, true) {
                self.to_park.push_front(id);
            }
        } else if message.envelope.is_some() {
            if !self.apply_order(order, id, now) {
                return Came::NotApplicable;
            }
            self.want(id, ask, Step::Confirm);
            self.persist(id);
            return Came::Later;
        } else {
            self.load_for_want(id);
        }
        self.want(id, ask, Step::Apply(order));
        Came::Later
    }

    /// Changes fates and lots; false if there is nothing to change. What was under way stays so.
    fn apply_order(&mut self, order: Order, id: QueueId, now: Timestamp) -> bool {
        match order {
            Order::Hold => self.hold(id),
            Order::Release => self.release(id, now),
            Order::Return => self.give_up(id, now),
            Order::Delete => self.delete(id, now),
            Order::Retry => false,
        }
    }

    fn hold(&mut self, id: QueueId) -> bool {
        let Some(message) = self.messages.get_mut(&id) else { return false };
        let resting = message.lots.iter_mut().filter(|l| !matches!(l.state, LotState::Flying | LotState::Held));
        for lot in resting {
            if lot.state == LotState::Loading {
                self.scheduler.loaded(lot.destination);
            }
            lot.state = LotState::Held;
            self.scheduler.held(lot.destination);
        }
        let changed = change_fates(message.envelope_mut(), |fate| matches!(fate, Fate::Pending { .. }), &Fate::Held);
        if changed > 0 {
            self.effects.push(Effect::Record(Record::Held { id }));
        }
        changed > 0
    }

    fn release(&mut self, id: QueueId, now: Timestamp) -> bool {
        let Some(message) = self.messages.get_mut(&id) else { return false };
        let pending = Fate::Pending { tries: 0, due: now };
        let changed = change_fates(message.envelope_mut(), |fate| *fate == Fate::Held, &pending);
        if changed == 0 {
            return false;
        }
        if let Some(envelope) = message.envelope_mut() {
            envelope.released = Some(now);
        }
        message.since = now;
        let held: Vec<_> = message.lots.extract_if(.., |lot| lot.state == LotState::Held).collect();
        let mut recipients = Vec::new();
        for lot in held {
            self.leave(id, &lot);
            recipients.extend(lot.recipients);
        }
        recipients.sort_unstable();
        self.effects.push(Effect::Record(Record::Released { id }));
        self.make_lots(id, &recipients, now);
        self.watch(id);
        true
    }

    /// All that waits fails, and its sender is told.
    fn give_up(&mut self, id: QueueId, now: Timestamp) -> bool {
        let failure = settle::returned();
        let failed: Vec<(u32, Failure)> =
            self.take_lots(id).into_iter().map(|index| (index, failure.clone())).collect();
        let any = !failed.is_empty();
        if any {
            self.fail(id, failed, now);
        }
        any
    }

    fn delete(&mut self, id: QueueId, now: Timestamp) -> bool {
        self.take_lots(id);
        let Some(message) = self.messages.get_mut(&id) else { return false };
        let deleted = Fate::Deleted { at: now };
        let changed = change_fates(message.envelope_mut(), |fate| !fate.is_final(), &deleted);
        message.open = message.open.saturating_sub(changed);
        if changed > 0 {
            self.effects.push(Effect::Record(Record::Deleted { id, recipients: changed as usize }));
        }
        changed > 0
    }

    /// Takes all lots off the message; gives their recipients.
    fn take_lots(&mut self, id: QueueId) -> Vec<u32> {
        let Some(message) = self.messages.get_mut(&id) else { return Vec::new() };
        let mut recipients = Vec::new();
        for lot in std::mem::take(&mut message.lots) {
            self.leave(id, &lot);
            recipients.extend(lot.recipients);
        }
        recipients
    }

    // --- what the disk has done ----------------------------------------------------------------------------------

    fn wants_of(&mut self, id: QueueId, which: impl Fn(Step) -> bool) -> Vec<Want> {
        if self.wants.is_empty() {
            return Vec::new();
        }
        let Some(wants) = self.wants.get_mut(&id) else { return Vec::new() };
        let due = wants.extract_if(.., |want| which(want.step)).collect();
        if wants.is_empty() {
            self.wants.remove(&id);
        }
        due
    }

    /// The folder has the message, or the memory its envelope: what waits for that goes on.
    pub(super) fn wants_go_on(&mut self, id: QueueId, now: Timestamp) {
        let has_envelope = self.messages.get(&id).is_some_and(|message| message.envelope.is_some());
        let can = |step| match step {
            Step::Apply(_) => true,
            Step::Show | Step::Judge => has_envelope,
            Step::Confirm => false,
        };
        for Want { ask, step } in self.wants_of(id, can) {
            match step {
                Step::Apply(order) => {
                    let came = self.order_one(ask, order, id, now);
                    if came != Came::Later {
                        self.came(ask, id, came);
                    }
                }
                Step::Judge => {
                    let envelope = self.messages.get(&id).and_then(|message| message.envelope.clone());
                    self.judged(ask, id, envelope.as_deref());
                }
                Step::Show => {
                    let detail = self.detail(id, now).map(Box::new);
                    self.answer(ask, Answer::Message(detail));
                }
                Step::Confirm => {}
            }
        }
    }

    /// The folder has the newest envelope.
    pub(super) fn wants_confirmed(&mut self, id: QueueId) {
        for Want { ask, .. } in self.wants_of(id, |step| step == Step::Confirm) {
            self.came(ask, id, Came::Done);
        }
    }

    /// The message could not be parked, its envelope not be read or not be written: orders for it have failed. (A change that
    /// could not be written is kept in memory, and written when that is possible.)
    pub(super) fn wants_failed(&mut self, id: QueueId, why: &str) {
        for Want { ask, step } in self.wants_of(id, |_| true) {
            match step {
                Step::Apply(_) => self.came(ask, id, Came::Failed(why.into())),
                Step::Confirm => {
                    let why = format!("done, but not yet on the disk: {why}");
                    self.came(ask, id, Came::Failed(why.into()));
                }
                Step::Judge => self.judged(ask, id, None),
                Step::Show => {
                    let why = format!("The envelope of message {id} cannot be read now: {why}");
                    self.answer(ask, Answer::Failed(why.into()));
                }
            }
        }
    }

    /// The message has left the queue.
    pub(super) fn wants_gone(&mut self, id: QueueId) {
        for Want { ask, step } in self.wants_of(id, |_| true) {
            match step {
                Step::Apply(_) => self.came(ask, id, Came::Gone),
                Step::Confirm => self.came(ask, id, Came::Done),
                Step::Judge => self.judged(ask, id, None),
                Step::Show => self.answer(ask, Answer::Message(None)),
            }
        }
    }
}

/// Gives all recipients of a fate that is to change the new one; how many.
fn change_fates(envelope: Option<&mut Envelope>, which: impl Fn(&Fate) -> bool, new: &Fate) -> u32 {
    let Some(envelope) = envelope else { return 0 };
    let mut changed = 0;
    for recipient in envelope.recipients.iter_mut().filter(|r| which(&r.fate)) {
        recipient.fate = new.clone();
        changed += 1;
    }
    changed
}
