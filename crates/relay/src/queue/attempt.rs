//! Assign ready lots to connections, and settle what came of each attempt.

use super::message::{Lane, LotState, Message};
use super::{Queue, no_hop};
use crate::channel::Channel;
use crate::envelope::{ATTEMPTS_KEPT, Attempt, Envelope, Failure, Fate, QueueId};
use crate::parcel::{ConnectionId, Outcome, Parcel, Taken};
use crate::queue::{Effect, ReportJob, ReportKind};
use crate::record::Record;
use crate::scheduler::{DestinationId, LotName, Target, Way};
use crate::settle::{self, Concern, Verdict};
use smtp::time::Timestamp;
use std::sync::Arc;

/// What a ready lot needs before it can travel.
enum Prepared {
    Parcel(Parcel),
    /// Its envelope is being read.
    Loading,
    /// It is no more, was routed anew, or waits for its parking.
    NotNow,
}

impl Queue {
    /// Gives work to every destination that has both work and room, in turn.
    pub(super) fn dispatch(&mut self, now: Timestamp) {
        if self.draining {
            return;
        }
        while let Some(destination) = self.scheduler.pick(now) {
            let Some(name) = self.scheduler.take(destination) else { continue };
            match self.prepare(destination, name, now) {
                Prepared::Parcel(parcel) => self.send(destination, name, parcel),
                Prepared::Loading => self.scheduler.loading(destination),
                Prepared::NotNow => {}
            }
        }
        if let Some(connection) = self.scheduler.reclaim() {
            self.effects.push(Effect::Quit { connection });
        }
    }

    fn prepare(&mut self, destination: DestinationId, name: LotName, now: Timestamp) -> Prepared {
        let epoch = self.epoch;
        let Some(message) = self.messages.get_mut(&name.id) else { return Prepared::NotNow };
        if message.lane == Lane::Parking {
            // Parking puts its lots in line again when it is done.
            return Prepared::NotNow;
        }
        let place = message.place.clone();
        let Some(envelope) = message.envelope.clone() else {
            let Some(lot) = message.lot_mut(name.lot) else { return Prepared::NotNow };
            if lot.state != LotState::Ready {
                return Prepared::NotNow;
            }
            lot.state = LotState::Loading;
            if !message.loading {
                message.loading = true;
                self.effects.push(Effect::Load(name.id));
            }
            return Prepared::Loading;
        };
        let Some(lot) = message.lot_mut(name.lot) else { return Prepared::NotNow };
        if lot.state == LotState::Ready && lot.epoch != epoch {
            self.route_anew(name.id, now);
            self.settle_down(name.id);
            return Prepared::NotNow;
        }
        if lot.state != LotState::Ready || lot.destination != destination {
            return Prepared::NotNow;
        }
        let hop = match self.scheduler.target(destination) {
            Some(Target::Hop(hop)) => hop.clone(),
            _ => no_hop(),
        };
        lot.state = LotState::Flying;
        Prepared::Parcel(Parcel { id: name.id, envelope, recipients: lot.recipients.clone(), place, hop })
    }

    /// The configuration has changed since these lots were routed: those that rest are made again.
    fn route_anew(&mut self, id: QueueId, now: Timestamp) {
        let epoch = self.epoch;
        let Some(message) = self.messages.get_mut(&id) else { return };
        let (staying, resting): (Vec<_>, Vec<_>) = std::mem::take(&mut message.lots)
            .into_iter()
            .partition(|l| matches!(l.state, LotState::Flying | LotState::Held) || l.epoch == epoch);
        message.lots = staying;
        let mut recipients: Vec<u32> = Vec::new();
        for lot in resting {
            self.leave(id, &lot);
            recipients.extend(lot.recipients);
        }
        recipients.sort_unstable();
        self.make_lots(id, &recipients, now);
    }

    fn send(&mut self, destination: DestinationId, name: LotName, parcel: Parcel) {
        let recipients = u32::try_from(parcel.recipients.len()).unwrap_or(u32::MAX);
        match self.scheduler.assign(destination, name, recipients) {
            Some(Way::Drop) => self.effects.push(Effect::Drop(parcel)),
            Some(Way::Open(connection)) => self.effects.push(Effect::Connect { connection, parcel }),
            Some(Way::Reuse(connection)) => self.effects.push(Effect::Deliver { connection, parcel }),
            None => {}
        }
    }

    /// One parcel was tried.
    pub(super) fn attempted(&mut self, connection: Option<ConnectionId>, outcome: Outcome, now: Timestamp) {
        let name = match connection {
            Some(connection) => self.connection_attempted(connection, &outcome, now),
            None => self.drop_attempted(outcome.id, now),
        };
        let Some(name) = name else { return };
        if self.was_the_last(name, &outcome, now) {
            return;
        }
        self.settle(name, outcome, true, now);
        self.settle_down(name.id);
    }

    /// The common case: the only recipient that was open is delivered, and nobody wants to hear of it. The message is
    /// gone without its envelope being written to, which would copy it.
    fn was_the_last(&mut self, name: LotName, outcome: &Outcome, now: Timestamp) -> bool {
        let [(index, Ok(taken))] = &outcome.results[..] else { return false };
        let Some(message) = self.messages.get(&name.id) else { return false };
        if message.lane == Lane::Parking
            || message.open != 1
            || message.jobs > 0
            || message.loading
            || message.lots.len() != 1
        {
            return false;
        }
        let Some(recipient) = message.envelope.as_ref().and_then(|e| e.recipients.get(*index as usize)) else {
            return false;
        };
        if recipient.notify.success() || recipient.fate.is_final() {
            return false;
        }
        let after_ms = age_ms(message, now);
        let (to, by, said) = (recipient.address.clone(), outcome.host.clone(), taken.said.clone());
        let (channel, size) = (outcome.channel.clone(), message.envelope.as_ref().map_or(0, |e| e.size));
        let local = message.lots.first().is_some_and(|lot| lot.local);
        self.effects.push(Effect::Record(Record::Delivered { id: name.id, to, by, said, channel, after_ms }));
        self.effects.push(Effect::Record(Record::Sent { id: name.id, recipients: 1, size, local }));
        self.forget(name.id);
        true
    }

    fn connection_attempted(&mut self, connection: ConnectionId, outcome: &Outcome, now: Timestamp) -> Option<LotName> {
        let (destination, carried) = self.scheduler.carried_by(connection)?;
        let broken = outcome.results.iter().any(|(_, r)| r.as_ref().is_err_and(settle::ends_connection));
        let took = outcome.results.iter().any(|(_, r)| r.is_ok());
        // Who says that there is one connection too many means this one.
        let is_crowded = |failure: &Failure| settle::concern(failure) == Some(Concern::Crowded);
        let surplus = !broken && outcome.results.iter().any(|(_, r)| r.as_ref().is_err_and(is_crowded));
        if self.scheduler.connection_done(connection, !broken && !surplus, took, now) || surplus {
            self.effects.push(Effect::Quit { connection });
        }
        let failures = outcome.results.iter().filter_map(|(_, result)| result.as_ref().err());
        match failures.filter_map(|f| Some((settle::concern(f)?, f))).max_by_key(|(concern, _)| *concern) {
            Some((concern, failure)) => self.destination_troubled(destination, concern, failure.clone(), now),
            // Whatever it said, it answered; what broke in mid-transaction concerns the one message.
            None if !broken => self.destination_answered(destination, now),
            None => {}
        }
        carried.filter(|name| name.id == outcome.id)
    }

    fn drop_attempted(&mut self, id: QueueId, now: Timestamp) -> Option<LotName> {
        let message = self.messages.get(&id)?;
        let lot = message.lots.iter().find(|l| l.local && l.state == LotState::Flying)?;
        let (name, destination) = (lot.name, lot.destination);
        self.scheduler.drop_done(destination, now);
        Some(LotName { id, lot: name })
    }

    /// Carries out the verdicts on one attempt. `was_let_in`: over a session, and not at the door.
    fn settle(&mut self, name: LotName, outcome: Outcome, was_let_in: bool, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&name.id) else { return };
        let Some(at) = message.lots.iter().position(|l| l.name == name.lot) else { return };
        let mut lot = message.lots.swap_remove(at);
        // What only made the whole destination wait is no step on the message's own ladder.
        let own = |failure: &Failure| settle::concern(failure).is_none();
        lot.tries =
            lot.tries.saturating_add(u16::from(outcome.results.iter().any(|(_, r)| r.as_ref().is_err_and(own))));
        let terms = self.scheduler.target(lot.destination).and_then(Target::terms);
        let arrived = message.since;
        let single = message.open == 1;
        let Some(envelope) = message.envelope_mut() else { return };
        let mut again: Vec<(u32, Timestamp, Failure)> = Vec::new();
        let mut failed: Vec<(u32, Failure)> = Vec::new();
        let mut delivered: Vec<(u32, Taken)> = Vec::new();
        remember(envelope, &outcome);
        let some_taken = outcome.results.iter().any(|(_, r)| r.is_ok());
        for (index, result) in outcome.results {
            match result {
                Ok(taken) => delivered.push((index, taken)),
                Err(failure) if some_taken && settle::wants_another_transaction(&failure) => {
                    again.push((index, now, failure));
                }
                Err(failure) => {
                    match settle::failure(&failure, lot.tries, arrived, now, terms, &self.server.delivery) {
                        // The connections that we have take what one more was not let in with.
                        Verdict::Again(_) if !was_let_in && settle::concern(&failure) == Some(Concern::Crowded) => {
                            again.push((index, now, failure));
                        }
                        Verdict::Again(due) => again.push((index, due, failure)),
                        Verdict::Failed(failure) => failed.push((index, failure)),
                        Verdict::Delivered => {}
                    }
                }
            }
        }
        let changed = !(single && failed.is_empty() && again.is_empty());
        self.deliver(name.id, &delivered, &outcome.host, outcome.channel.as_ref(), now);
        self.put_off(name.id, &lot, again, now);
        self.scheduler.discharge(lot.destination, name);
        if !failed.is_empty() {
            self.fail(name.id, failed, now);
        }
        if changed {
            self.persist(name.id);
        }
    }

    fn deliver(
        &mut self,
        id: QueueId,
        delivered: &[(u32, Taken)],
        host: &str,
        channel: Option<&Arc<Channel>>,
        now: Timestamp,
    ) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let after_ms = age_ms(message, now);
        let local = host == "drop";
        let mut relayed = Vec::new();
        let mut dropped = Vec::new();
        for (index, taken) in delivered {
            let Some(envelope) = message.envelope_mut() else { return };
            let Some(recipient) = envelope.recipients.get(*index as usize) else { continue };
            let (to, wants_report) = (recipient.address.clone(), recipient.notify.success());
            if Self::fate(envelope, *index, Fate::Delivered { at: now, by: host.into() }) {
                message.open = message.open.saturating_sub(1);
            }
            let (by, said, channel) = (host.into(), taken.said.clone(), channel.cloned());
            self.effects.push(Effect::Record(Record::Delivered { id, to, by, said, channel, after_ms }));
            if wants_report && local {
                dropped.push(*index);
            } else if wants_report && !taken.reports {
                relayed.push((*index, taken.said.clone()));
            }
        }
        let Some(envelope) = &message.envelope else { return };
        if !delivered.is_empty() {
            let (recipients, size) = (delivered.len(), envelope.size);
            self.effects.push(Effect::Record(Record::Sent { id, recipients, size, local }));
        }
        if envelope.sender.is_null() {
            return;
        }
        if !dropped.is_empty() {
            self.report(id, ReportKind::Delivered(dropped));
        }
        if !relayed.is_empty() {
            self.report(id, ReportKind::Relayed(relayed));
        }
    }

    /// The rest of a lot waits for its next try.
    fn put_off(
        &mut self,
        id: QueueId,
        lot: &super::message::Lot,
        again: Vec<(u32, Timestamp, Failure)>,
        now: Timestamp,
    ) {
        let Some(due) = again.iter().map(|(_, due, _)| *due).max() else { return };
        let Some(target) = self.scheduler.target(lot.destination).cloned() else { return };
        let Some(message) = self.messages.get_mut(&id) else { return };
        let Some(envelope) = message.envelope_mut() else { return };
        let mut recipients = Vec::with_capacity(again.len());
        let rests = self.scheduler.rest(lot.destination).map_or(due, |rest| rest.until.max(due));
        let mut held = Vec::new();
        for (index, _, failure) in again {
            if envelope.recipients.get(index as usize).is_some_and(|r| r.fate == Fate::Held) {
                held.push(index);
                continue;
            }
            Self::fate(envelope, index, Fate::Pending { tries: lot.tries, due });
            if let Some(recipient) = envelope.recipients.get(index as usize) {
                let to = recipient.address.clone();
                let failure = Box::new(failure);
                self.effects.push(Effect::Record(Record::Deferred { id, to, failure, again: rests, local: lot.local }));
            }
            recipients.push(index);
        }
        // An operator has held them while they were under way.
        if !held.is_empty() {
            self.add_lot(id, &target, held, lot.tries, None, now);
        }
        if recipients.is_empty() {
            return;
        }
        self.add_lot(id, &target, recipients, lot.tries, Some(due), now);
        // If the configuration has changed while it was under way, it is routed anew when its turn comes.
        if let Some(waits) = self.messages.get_mut(&id).and_then(|m| m.lots.last_mut()) {
            waits.epoch = lot.epoch;
        }
    }

    /// A connection is over. What it did not try goes back: to another connection, or to wait for its destination.
    pub(super) fn closed(
        &mut self,
        connection: ConnectionId,
        unsent: Option<(QueueId, Vec<(u32, Failure)>)>,
        now: Timestamp,
    ) {
        let Some((destination, carried)) = self.scheduler.connection_closed(connection) else { return };
        if let Some(name) = carried {
            match unsent {
                Some((id, failures)) if id == name.id && !failures.is_empty() => {
                    self.not_reached(destination, name, failures, now);
                    self.settle_down(name.id);
                }
                _ => self.untried(destination, name),
            }
        }
        self.scheduler.tidy(destination);
    }

    fn untried(&mut self, destination: DestinationId, name: LotName) {
        let Some(message) = self.messages.get_mut(&name.id) else { return };
        let envelope = message.envelope.clone();
        let Some(lot) = message.lot_mut(name.lot) else { return };
        let is_held = |index: &u32| {
            envelope.as_ref().and_then(|e| e.recipients.get(*index as usize)).is_some_and(|r| r.fate == Fate::Held)
        };
        if lot.recipients.iter().all(is_held) {
            lot.state = LotState::Held;
            return self.scheduler.held(destination);
        }
        lot.state = LotState::Ready;
        let recipients = lot.count();
        self.scheduler.ready_first(destination, name, recipients);
    }

    /// No host of the destination could be reached.
    fn not_reached(
        &mut self,
        destination: DestinationId,
        name: LotName,
        failures: Vec<(u32, Failure)>,
        now: Timestamp,
    ) {
        let lasting = failures.iter().find(|(_, f)| !f.is_permanent()).map(|(_, f)| f.clone());
        if let Some(failure) = lasting {
            let concern = settle::concern(&failure).unwrap_or(Concern::Down);
            self.destination_troubled(destination, concern, failure, now);
        }
        let host = self.name_of(destination);
        let results = failures.into_iter().map(|(index, failure)| (index, Err(failure))).collect();
        self.settle(name, Outcome { id: name.id, host, at: now, channel: None, results }, false, now);
    }

    pub(super) fn report(&mut self, id: QueueId, kind: ReportKind) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let Some(envelope) = message.envelope.clone() else { return };
        message.jobs += 1;
        self.effects.push(Effect::Report(ReportJob { id, envelope, place: message.place.clone(), kind }));
    }
}

/// Milliseconds since the message was accepted.
fn age_ms(message: &Message, now: Timestamp) -> u64 {
    let arrived = message.envelope.as_ref().map_or(message.since, |envelope| envelope.arrived);
    u64::try_from(now.since(arrived).as_millis()).unwrap_or(u64::MAX)
}

/// Adds the attempt to the envelope's history: one line for each different answer.
fn remember(envelope: &mut Envelope, outcome: &Outcome) {
    let mut said: Vec<(Box<str>, Vec<u32>)> = Vec::new();
    if outcome.results.iter().all(|(_, r)| r.is_ok()) && envelope.attempts.is_empty() {
        // The common case, delivered at once: its record says it all.
        return;
    }
    for (index, result) in &outcome.results {
        let words: Box<str> = match result {
            Ok(taken) => taken.said.clone(),
            Err(failure) => failure.reply.as_ref().map_or_else(|| failure.text.clone(), |r| r.one_line().into()),
        };
        match said.iter_mut().find(|(w, _)| *w == words) {
            Some((_, indexes)) => indexes.push(*index),
            None => said.push((words, vec![*index])),
        }
    }
    for (said, recipients) in said {
        let (host, channel) = (outcome.host.clone(), outcome.channel.clone());
        envelope.attempts.push(Attempt { at: outcome.at, host, recipients, said, channel });
    }
    let surplus = envelope.attempts.len().saturating_sub(ATTEMPTS_KEPT);
    envelope.attempts.drain(..surplus);
}
