//! Delay notices, expiry, and the reports and Badmail entries about recipients that failed.

use super::message::{Lane, Lot, LotState};
use super::{Alarm, JOB_RETRY, Queue};
use crate::badmail::BadmailJob;
use crate::envelope::{Failure, Fate, QueueId};
use crate::notice;
use crate::queue::{Effect, ReportKind};
use crate::record::Record;
use crate::retry::Patience;
use crate::scheduler::Target;
use crate::settle;
use smtp::time::Timestamp;
use std::cmp::Reverse;
use std::sync::Arc;

/// A lot whose senders are to hear that it is late, why, and until when it is tried.
struct Late {
    lot: u32,
    cause: Option<Failure>,
    until: Timestamp,
}

impl Queue {
    /// Sets the alarm for the message's next look, once.
    pub(super) fn watch(&mut self, id: QueueId) {
        let (delivery, scheduler) = (&self.server.delivery, &self.scheduler);
        let Some(message) = self.messages.get_mut(&id).filter(|m| !m.watched) else { return };
        let look = |lot: &Lot| {
            let terms = scheduler.target(lot.destination).and_then(Target::terms);
            Patience::of(delivery, terms).next_look(message.since, lot.noticed)
        };
        // What is held does not grow old.
        let Some(at) = message.lots.iter().filter(|l| l.state != LotState::Held).map(look).min() else { return };
        message.watched = true;
        self.alarms.push(Reverse((at, Alarm::Look(id))));
    }

    /// The message has come to the age of a notice or of its end.
    pub(super) fn look(&mut self, id: QueueId, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.watched = false;
        if message.lane == Lane::Parking || message.lots.iter().any(|l| l.state == LotState::Flying) {
            // What is under way comes to its end first.
            message.watched = true;
            self.alarms.push(Reverse((now.plus(JOB_RETRY / 12), Alarm::Look(id))));
            return;
        }
        self.look_or_load(id, now);
    }

    /// Looks at the message now, or as soon as its envelope has been read.
    pub(super) fn look_or_load(&mut self, id: QueueId, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if message.envelope.is_some() {
            self.look_at(id, now);
            self.report_failed_again(id, now);
            self.watch(id);
            self.settle_down(id);
            return;
        }
        message.look = true;
        if !message.loading {
            message.loading = true;
            self.effects.push(Effect::Load(id));
        }
    }

    /// With the envelope at hand: lots that outlived their time fail, and the senders of the others may want a notice.
    pub(super) fn look_at(&mut self, id: QueueId, now: Timestamp) {
        let Some(message) = self.messages.get(&id) else { return };
        let arrived = message.since;
        let mut over = Vec::new();
        let mut late = Vec::new();
        for lot in message.lots.iter().filter(|l| !matches!(l.state, LotState::Flying | LotState::Held)) {
            let patience = Patience::of(&self.server.delivery, self.terms_of(lot.destination));
            if patience.is_over(arrived, now) {
                over.push((lot.name, self.cause_of_rest(lot.destination)));
            } else if !lot.noticed && now >= arrived.plus(patience.delay_notice) {
                let until = arrived.plus(patience.expiry);
                late.push(Late { lot: lot.name, cause: self.cause_of_rest(lot.destination), until });
            }
        }
        self.delay_notice(id, late);
        for (name, cause) in over {
            self.expire(id, name, cause.as_ref(), now);
        }
    }

    fn delay_notice(&mut self, id: QueueId, late: Vec<Late>) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let mut tell = Vec::new();
        let mut changed = false;
        for Late { lot, cause, until } in late {
            let Some(lot) = message.lots.iter_mut().find(|l| l.name == lot) else { continue };
            let Some(envelope) = message.envelope.as_mut().map(Arc::make_mut) else { return };
            lot.noticed = true;
            for index in notice::wants_delay_notice(envelope, &lot.recipients) {
                let cause = cause.clone().or_else(|| settle::last_trouble(envelope, index));
                tell.push((index, cause, until));
            }
            for index in &lot.recipients {
                if let Some(recipient) = envelope.recipients.get_mut(*index as usize) {
                    changed |= !recipient.delay_noticed;
                    recipient.delay_noticed = true;
                }
            }
        }
        if !tell.is_empty() {
            self.report(id, ReportKind::Delayed(tell));
        }
        if changed {
            self.persist(id);
        }
    }

    fn expire(&mut self, id: QueueId, lot: u32, cause: Option<&Failure>, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let Some(at) = message.lots.iter().position(|l| l.name == lot) else { return };
        let lot = message.lots.swap_remove(at);
        let age = now.since(message.since);
        let envelope = message.envelope.as_ref();
        let failure = |index: u32| {
            let last = if cause.is_some() { None } else { envelope.and_then(|e| settle::last_trouble(e, index)) };
            (index, settle::expired(cause.or(last.as_ref()), age))
        };
        let failed = lot.recipients.iter().copied().map(failure).collect();
        self.leave(id, &lot);
        self.fail(id, failed, now);
        self.persist(id);
    }

    /// Recipients that failed for good: tell the sender, or put the message into Badmail, or keep silent.
    pub(super) fn fail(&mut self, id: QueueId, failed: Vec<(u32, Failure)>, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let Some(envelope) = message.envelope_mut() else { return };
        for (index, failure) in &failed {
            Self::fate(envelope, *index, Fate::Failed(Box::new(failure.clone())));
            if let Some(recipient) = envelope.recipients.get(*index as usize) {
                let (to, failure) = (recipient.address.clone(), Box::new(failure.clone()));
                self.effects.push(Effect::Record(Record::Failed { id, to, failure }));
            }
        }
        self.tell_of_failures(id, failed, now);
    }

    fn tell_of_failures(&mut self, id: QueueId, failed: Vec<(u32, Failure)>, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let Some(envelope) = message.envelope_mut() else { return };
        let notices = notice::of_failures(envelope, failed);
        let mut closed = 0;
        for index in notices.silent {
            closed += u32::from(Self::fate(envelope, index, Fate::Reported { at: now }));
        }
        message.open = message.open.saturating_sub(closed);
        if !notices.report.is_empty() {
            self.report(id, ReportKind::Failed(notices.report));
        }
        if let Some((_, first)) = notices.badmail.first().cloned() {
            self.badmail(id, notices.badmail.iter().map(|(index, _)| *index).collect(), &first);
        }
    }

    fn badmail(&mut self, id: QueueId, recipients: Vec<u32>, failure: &Failure) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let Some(envelope) = message.envelope.clone() else { return };
        message.jobs += 1;
        let reason = notice::badmail_reason(&envelope, failure);
        let text = failure.reply.as_ref().map_or_else(
            || failure.text.to_string(),
            |reply| format!("{} The other side said: {}", failure.text, reply.one_line()),
        );
        let place = message.place.clone();
        self.effects.push(Effect::Badmail(BadmailJob { id, envelope, place, recipients, reason, text }));
        self.effects.push(Effect::Record(Record::Badmailed { id, reason }));
    }

    /// The report about these recipients is accepted, or the message lies in Badmail for them. (For notices of delay
    /// or success, whose recipients are not failed, only the job is done.)
    pub(super) fn told(&mut self, id: QueueId, recipients: &[u32], fate: &Fate) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.jobs = message.jobs.saturating_sub(1);
        let mut changed = false;
        for index in recipients {
            let Some(envelope) = message.envelope_mut() else { break };
            let failed = envelope.recipients.get(*index as usize).is_some_and(|r| matches!(r.fate, Fate::Failed(_)));
            if failed && Self::fate(envelope, *index, fate.clone()) {
                message.open = message.open.saturating_sub(1);
                changed = true;
            }
        }
        let more = message.open > 0;
        if changed && more {
            self.persist(id);
        }
        self.settle_down(id);
    }

    /// A report or Badmail entry could not be written now. Notices of delay and success are not tried again.
    pub(super) fn job_failed(&mut self, id: QueueId, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.jobs = message.jobs.saturating_sub(1);
        let failed =
            message.envelope.as_ref().is_some_and(|e| e.recipients.iter().any(|r| matches!(r.fate, Fate::Failed(_))));
        if failed {
            self.alarms.push(Reverse((now.plus(JOB_RETRY), Alarm::Failed(id))));
        } else {
            self.settle_down(id);
        }
    }

    /// Recipients that failed and whose report is not yet accepted: after a restart, or when it could not be written.
    pub(super) fn report_failed_again(&mut self, id: QueueId, now: Timestamp) {
        let Some(message) = self.messages.get(&id) else { return };
        let Some(envelope) = message.envelope.as_ref() else { return };
        let failed: Vec<(u32, Failure)> = (0u32..)
            .zip(&envelope.recipients)
            .filter_map(|(index, r)| match &r.fate {
                Fate::Failed(failure) => Some((index, (**failure).clone())),
                _ => None,
            })
            .collect();
        if failed.is_empty() {
            return;
        }
        if message.jobs > 0 {
            // What is being made may be just that; if not, it has its turn then.
            self.alarms.push(Reverse((now.plus(JOB_RETRY), Alarm::Failed(id))));
        } else {
            // That they failed has been logged, and counted, when they did.
            self.tell_of_failures(id, failed, now);
        }
    }
}
