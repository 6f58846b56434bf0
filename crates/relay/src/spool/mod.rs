//! Messages on disk: accepted, parked, gone; and what is found after a crash.

use crate::envelope::{Envelope, QueueId};
use crate::parcel::Place;
use std::sync::Arc;

/// What the journal is told about a message that it holds. Not synced: at worst a crash delivers again.
#[derive(Clone, Debug)]
pub enum Note {
    /// Some recipients' fates have changed.
    Fates(QueueId, Arc<Envelope>),
    /// Nothing is left to do.
    Gone(QueueId),
}

/// A message to move from the journal into the Queue folder.
#[derive(Clone, Debug)]
pub struct ParkJob {
    /// The message.
    pub id: QueueId,
    /// Its envelope as it stands.
    pub envelope: Arc<Envelope>,
    /// Where its content is now; [`Place::File`] if only the envelope is still in the journal (a large message).
    pub place: Place,
}
