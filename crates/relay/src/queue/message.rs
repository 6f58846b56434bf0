//! One message as the queue keeps it in memory, and its lots.
//!
//! A parked message that waits keeps no envelope in memory: what stays is some two hundred octets and does not grow
//! with the size of the content or the number of recipients' attempts.

use super::brief::Brief;
use crate::envelope::Envelope;
use crate::parcel::Place;
use crate::scheduler::DestinationId;
use smtp::time::Timestamp;
use std::sync::Arc;

/// Which of the spool's lanes holds the message.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Lane {
    /// The journal.
    Journal,
    /// On its way from the journal to the folder; nothing new is begun with it meanwhile. What was under way before may
    /// come to its end.
    Parking,
    /// The Queue folder.
    Folder,
}

/// What a lot is doing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum LotState {
    /// Its time has come; it is in its destination's queue.
    Ready,
    /// Not before this.
    Waiting(Timestamp),
    /// Taken from the queue; its envelope is being read.
    Loading,
    /// Under way.
    Flying,
    /// Not before an operator says so.
    Held,
}

/// The recipients of a message that share a destination.
#[derive(Debug)]
pub(super) struct Lot {
    pub name: u32,
    pub destination: DestinationId,
    pub local: bool,
    /// Every sender who wants to hear of a delay of these has heard.
    pub noticed: bool,
    pub recipients: Vec<u32>,
    pub tries: u16,
    pub state: LotState,
    /// The configuration it was routed by.
    pub epoch: u32,
}

impl Lot {
    /// How many recipients.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.recipients.len()).unwrap_or(u32::MAX)
    }
}

#[derive(Debug)]
pub(super) struct Message {
    /// `None` while the message waits in the folder.
    pub envelope: Option<Arc<Envelope>>,
    pub place: Place,
    pub lane: Lane,
    /// What is in mind of its envelope while that is not in memory; made when it leaves it for the first time.
    pub brief: Option<Box<Brief>>,
    /// From when on its age counts.
    pub since: Timestamp,
    pub lots: Vec<Lot>,
    pub next_lot: u32,
    /// Recipients without a final fate.
    pub open: u32,
    /// Reports and Badmail entries being made.
    pub jobs: u32,
    /// Its envelope is being read.
    pub loading: bool,
    /// It is to be looked at (delay, expiry) as soon as its envelope is there.
    pub look: bool,
    /// An alarm for that look is set.
    pub watched: bool,
    /// It has been put in line for parking.
    pub park_wanted: bool,
    /// It is to be parked when nothing is on its way.
    pub park_noted: bool,
    /// It is to be parked even while it is on its way.
    pub park_flying: bool,
    /// Its envelope has changed since it went to be parked: the folder has the older one.
    pub changed: bool,
    /// How often its envelope in the folder has been replaced, or was to be.
    pub version: u32,
    /// The folder's envelope is older than the one in memory, which therefore stays there.
    pub unwritten: bool,
    /// An alarm for writing it again is set.
    pub write_set: bool,
}

impl Message {
    pub(super) fn lot_mut(&mut self, name: u32) -> Option<&mut Lot> {
        self.lots.iter_mut().find(|l| l.name == name)
    }

    /// Something outside works on it.
    pub(super) fn is_busy(&self) -> bool {
        self.jobs > 0 || self.loading || self.lots.iter().any(|l| l.state == LotState::Flying)
    }

    /// Nothing but attempts is under way.
    pub(super) fn is_only_flying(&self) -> bool {
        self.jobs == 0 && !self.loading
    }

    /// Its envelope, to be changed; `None` while it is not in memory.
    pub(super) fn envelope_mut(&mut self) -> Option<&mut Envelope> {
        self.envelope.as_mut().map(Arc::make_mut)
    }

    /// Have the senders of all these been told of the delay? (Or do not want to be.)
    pub(super) fn have_been_told(&self, recipients: &[u32]) -> bool {
        let Some(envelope) = &self.envelope else { return false };
        let told = |index: &u32| envelope.recipients.get(*index as usize).is_none_or(|r| r.delay_noticed);
        recipients.iter().all(told)
    }
}
