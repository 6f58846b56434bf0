//! From the journal to the Queue folder, and envelopes in and out of memory.

use super::message::{Lane, Lot, LotState, Message};
use super::{
    Alarm, Brief, CALM_AFTER, JOB_RETRY, PARK_AFTER, PARK_BATCH, PARK_EVERY, Queue, YOUNG_MAX, without_memory,
};
use crate::envelope::{Envelope, Fate, QueueId};
use crate::parcel::Place;
use crate::queue::Effect;
use crate::record::Record;
use crate::scheduler::LotName;
use crate::spool::ParkJob;
use smtp::time::Timestamp;
use std::cmp::Reverse;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

impl Queue {
    /// A message in the journal that waits for a later try is parked in a calm moment: many that fail at once must
    /// not take the disk from those that come and go. (If that never comes, it is parked at its age.)
    pub(super) fn want_parking(&mut self, id: QueueId) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let waits = message.lots.iter().any(|l| matches!(l.state, LotState::Waiting(_) | LotState::Held));
        let is_new = message.lane == Lane::Journal && !message.park_wanted && !message.park_noted;
        if is_new && waits {
            message.park_noted = true;
            self.for_calm.push_back(id);
        }
    }

    /// The journal is over its bound: these go first, even while they are on their way. (No segment can be used again
    /// before the oldest; one host that takes its time must not keep the journal from shrinking.)
    pub(super) fn park_oldest(&mut self, ids: &[QueueId]) {
        for id in ids.iter().rev() {
            let Some(message) = self.messages.get_mut(id) else { continue };
            if message.lane != Lane::Journal {
                continue;
            }
            message.park_flying = true;
            if !message.park_wanted {
                message.park_wanted = true;
                self.to_park.push_front(*id);
            }
        }
    }

    fn line_up_to_park(&mut self, id: QueueId) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.park_noted = false;
            if message.lane == Lane::Journal && !std::mem::replace(&mut message.park_wanted, true) {
                self.to_park.push_back(id);
            }
        }
    }

    /// Starts the next batch, if none is under way.
    pub(super) fn park(&mut self, now: Timestamp) {
        while let Some((arrived, id)) = self.young.front().copied() {
            if arrived.plus(PARK_AFTER) > now && self.young.len() <= YOUNG_MAX {
                break;
            }
            self.young.pop_front();
            self.line_up_to_park(id);
        }
        self.calm_since = self.scheduler.is_calm().then(|| self.calm_since.unwrap_or(now));
        let is_calm = self.calm_since.is_some_and(|since| since.plus(CALM_AFTER) <= now);
        // Those at the front that are gone, or in line already, are taken out at any time: there may never be a calm moment.
        while let Some(id) = self.for_calm.front().copied()
            && (is_calm || !self.messages.get(&id).is_some_and(|m| m.lane == Lane::Journal && !m.park_wanted))
        {
            self.for_calm.pop_front();
            self.line_up_to_park(id);
        }
        if self.parking > 0 || self.park_pause.is_some() || self.to_park.is_empty() {
            return;
        }
        if now < self.park_next && self.to_park.len() < PARK_BATCH {
            return;
        }
        let mut jobs = Vec::new();
        let mut later = Vec::new();
        while jobs.len() < PARK_BATCH {
            let Some(id) = self.to_park.pop_front() else { break };
            let Some(message) = self.messages.get_mut(&id) else { continue };
            if message.lane != Lane::Journal {
                continue;
            }
            if message.is_busy() && !(message.park_flying && message.is_only_flying()) {
                later.push(id);
                if later.len() >= PARK_BATCH {
                    break;
                }
                continue;
            }
            let Some(envelope) = message.envelope.clone() else { continue };
            message.lane = Lane::Parking;
            jobs.push(ParkJob { id, envelope, place: message.place.clone() });
        }
        self.to_park.extend(later);
        if jobs.is_empty() {
            // All of them are under way; look again when something has come to its end.
            return;
        }
        self.parking = jobs.len();
        self.park_progress = false;
        self.park_next = now.plus(PARK_EVERY);
        self.alarms.push(Reverse((self.park_next, Alarm::ParkNext)));
        self.effects.push(Effect::Park(jobs));
    }

    /// The batch is durable.
    pub(super) fn parked(&mut self, ids: &[QueueId], now: Timestamp) {
        self.park_progress |= !ids.is_empty();
        for id in ids {
            self.parking = self.parking.saturating_sub(1);
            let Some(message) = self.messages.get_mut(id) else { continue };
            message.lane = Lane::Folder;
            message.place = Place::File;
            if std::mem::take(&mut message.changed) {
                self.persist(*id);
            }
            self.line_up_again(*id);
            self.watch(*id);
            self.wants_go_on(*id, now);
            self.settle_down(*id);
        }
    }

    /// These could not be written: they stay in the journal and are tried again, after a pause if nothing else of their
    /// batch could be written either. (One message that cannot be read must not hold up all others.)
    pub(super) fn park_failed(&mut self, ids: &[QueueId], why: &str, now: Timestamp) {
        self.effects.push(Effect::Record(Record::Alarm {
            text: format!("{} messages could not be moved to the Queue folder: {why}", ids.len()).into(),
        }));
        for id in ids {
            self.parking = self.parking.saturating_sub(1);
            if let Some(message) = self.messages.get_mut(id) {
                message.lane = Lane::Journal;
                message.changed = false;
                self.to_park.push_back(*id);
                self.line_up_again(*id);
                // If it can never be parked, it has its end all the same.
                self.watch(*id);
                self.wants_failed(*id, why);
                self.settle_down(*id);
            }
        }
        if self.parking == 0 && !self.park_progress {
            self.park_pause = Some(now.plus(JOB_RETRY));
            self.alarms.push(Reverse((now.plus(JOB_RETRY), Alarm::Park)));
        }
    }

    /// The folder has the envelope; if it is the newest, it may leave the memory.
    pub(super) fn updated(&mut self, id: QueueId, version: u32) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if message.version == version {
            message.unwritten = false;
            self.wants_confirmed(id);
            self.settle_down(id);
        }
    }

    /// The envelope could not be written, as when the disk is full. Until it is, the folder's says less than has happened:
    /// read again, it would have reports made twice, or lose a recipient from sight.
    pub(super) fn update_failed(&mut self, id: QueueId, version: u32, why: &str, now: Timestamp) {
        self.effects.push(Effect::Record(Record::Alarm {
            text: format!("the envelope of message {id} cannot be written now, and is tried again: {why}").into(),
        }));
        // A newer one is on its way and has an answer of its own.
        if let Some(message) = self.messages.get_mut(&id)
            && message.version == version
            && !std::mem::replace(&mut message.write_set, true)
        {
            self.alarms.push(Reverse((now.plus(JOB_RETRY), Alarm::Write(id))));
            self.wants_failed(id, why);
        }
    }

    /// The time has come to try again, unless it has been written meanwhile.
    pub(super) fn write_again(&mut self, id: QueueId) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.write_set = false;
        if message.unwritten {
            self.persist(id);
        }
    }

    /// These are done with, and still in the folder: until they are gone from there a restart would deliver them again.
    pub(super) fn remove_failed(&mut self, ids: &[QueueId], why: &str, now: Timestamp) {
        self.effects.push(Effect::Record(Record::Alarm {
            text: format!(
                "{} messages that are done with could not be removed from the Queue folder, and that is tried again: {why}",
                ids.len()
            )
            .into(),
        }));
        self.alarms.extend(ids.iter().map(|id| Reverse((now.plus(JOB_RETRY), Alarm::Remove(*id)))));
    }

    /// Lots whose turn came while the message was being parked get in line again.
    fn line_up_again(&mut self, id: QueueId) {
        let Some(message) = self.messages.get(&id) else { return };
        for lot in message.lots.iter().filter(|l| l.state == LotState::Ready) {
            self.scheduler.ready(lot.destination, LotName { id, lot: lot.name }, lot.count());
        }
    }

    /// A parked message that waits keeps no envelope in memory, and one in the journal that waits no content.
    pub(super) fn slim(&mut self, id: QueueId) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if message.is_busy() || message.lots.iter().any(|l| l.state == LotState::Loading) {
            return;
        }
        if message.lane == Lane::Folder {
            if !message.unwritten
                && let Some(envelope) = message.envelope.take()
            {
                message.brief = Some(Box::new(Brief::of(&envelope, &mut self.words)));
            }
        } else if message.lots.iter().all(|l| matches!(l.state, LotState::Waiting(_) | LotState::Held)) {
            without_memory(&mut message.place);
        }
    }

    /// A parked message's envelope has been read.
    pub(super) fn loaded(&mut self, id: QueueId, envelope: io::Result<Envelope>, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.loading = false;
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(why) if is_lost(&why) => return self.unreadable(id, &why),
            Err(why) => return self.load_later(id, &why, now),
        };
        let unserved = unserved(message, &envelope);
        message.open = u32::try_from(envelope.recipients.iter().filter(|r| !r.fate.is_final()).count()).unwrap_or(0);
        message.envelope = Some(Arc::new(envelope));
        let look = std::mem::take(&mut message.look);
        let mut waiting = Vec::new();
        for lot in message.lots.iter_mut().filter(|l| l.state == LotState::Loading) {
            lot.state = LotState::Ready;
            self.scheduler.loaded(lot.destination);
            waiting.push((lot.destination, lot.name, lot.count()));
        }
        for lot in drop_served(message) {
            waiting.retain(|(_, name, _)| *name != lot.name);
            self.leave(id, &lot);
        }
        for (destination, lot, recipients) in &waiting {
            self.scheduler.ready_first(*destination, LotName { id, lot: *lot }, *recipients);
        }
        self.make_lots(id, &unserved, now);
        self.wants_go_on(id, now);
        if look {
            self.look_or_load(id, now);
        } else if waiting.is_empty() {
            self.settle_down(id);
        }
    }

    /// Its envelope cannot be read now (no more files may be open, the disk has a bad moment): it stays, and waits.
    fn load_later(&mut self, id: QueueId, why: &io::Error, now: Timestamp) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let again = now.plus(JOB_RETRY);
        for lot in message.lots.iter_mut().filter(|l| l.state == LotState::Loading) {
            lot.state = LotState::Waiting(again);
            self.scheduler.loaded(lot.destination);
            self.alarms.push(Reverse((again, Alarm::Lot(id, lot.name))));
        }
        if std::mem::take(&mut message.look) {
            self.alarms.push(Reverse((again, Alarm::Failed(id))));
        }
        self.wants_failed(id, &why.to_string());
        self.effects.push(Effect::Record(Record::Alarm {
            text: format!("the envelope of message {id} cannot be read now, and is tried again: {why}").into(),
        }));
    }

    /// Its envelope is gone or damaged: an operator removed it, or the disk lost it. The files stay as they are.
    fn unreadable(&mut self, id: QueueId, why: &io::Error) {
        let Some(message) = self.messages.remove(&id) else { return };
        for lot in &message.lots {
            self.leave(id, lot);
        }
        self.wants_failed(id, &why.to_string());
        self.effects.push(Effect::Lost(id));
        self.effects.push(Effect::Record(Record::Alarm {
            text: format!("message {id} left the queue, its envelope cannot be read: {why}").into(),
        }));
    }
}

/// Takes recipients who by the folder's envelope wait no more out of their lots: an operator has mended the file. Gives the
/// lots that nobody is left in.
fn drop_served(message: &mut Message) -> Vec<Lot> {
    let Some(envelope) = message.envelope.as_ref() else { return Vec::new() };
    let fate = |index: u32| envelope.recipients.get(index as usize).map(|r| &r.fate);
    for lot in &mut message.lots {
        let held = lot.state == LotState::Held;
        lot.recipients.retain(|index| match fate(*index) {
            Some(Fate::Pending { .. }) => !held,
            Some(Fate::Held) => held,
            _ => false,
        });
    }
    message.lots.extract_if(.., |lot| lot.recipients.is_empty()).collect()
}

/// Recipients who wait by the folder's envelope and of whom the memory knows nothing: an operator has mended the file.
fn unserved(message: &Message, envelope: &Envelope) -> Vec<u32> {
    let known: HashSet<u32> = message.lots.iter().flat_map(|lot| lot.recipients.iter().copied()).collect();
    let open = |fate: &Fate| matches!(fate, Fate::Pending { .. } | Fate::Held);
    let waiting = (0u32..).zip(&envelope.recipients).filter(|(_, r)| open(&r.fate));
    waiting.map(|(index, _)| index).filter(|index| !known.contains(index)).collect()
}

/// Trying again would not help: the file is gone, or is no envelope.
fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge)
}
