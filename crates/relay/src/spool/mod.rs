//! Messages on disk: accepted, parked, gone; and what is found after a crash.
//!
//! # Two lanes
//!
//! **The journal** ([`journal`]) is the fast lane. Whatever waits is written in one go and synced once (*group
//! commit*); only then does each message get its [`Receipt`], and only a receipt makes a 250. What becomes of a message
//! is noted behind it; when nothing in a segment is needed any more, the segment is used again.
//!
//! **The folder** ([`folder`]) is the slow lane: what could not be delivered at once is *parked* there, as a plain
//! message `ID.eml` beside its readable envelope `ID.env`. A parked message exists if and only if its `ID.env` does.
//! A large message is streamed into its `ID.eml` while it comes in, and the journal only names it.
//!
//! | state | `.eml` | `.env.new` | `.env` | meaning | after a crash |
//! |---|---|---|---|---|---|
//! | S0 | – | – | – | nothing | – |
//! | S1 | + | – | – | being received, being parked, or just removed | swept, unless the journal names it |
//! | S2 | + | + | – | being parked | swept (the journal still has the message) |
//! | S3 | + | – | + | **parked** | read |
//! | S4 | + | + | + | envelope being replaced | `.env` is read, `.env.new` swept |
//!
//! Nothing else can be left by a crash; whatever else is found is damage, moved to `damaged/` and told of, never
//! removed.
//!
//! # Who calls
//!
//! Everything here is synchronous, over a [`crate::disk::Disk`]; the daemon gives journal and folder a thread each.
//! [`recover()`] reads what an earlier life left and returns both. Nothing here decides what happens to a message.

pub mod content;
pub mod folder;
mod frame;
pub mod journal;
mod recover;
mod segment;

pub use recover::{Recovered, Scan, SpoolError, recover};

use crate::envelope::{Envelope, QueueId};
use crate::parcel::Place;
use std::sync::Arc;

/// Proof that a message is durable: only the journal makes one, and only after the sync that covered it.
#[derive(Debug)]
#[must_use = "the peer waits for its 250"]
pub struct Receipt {
    id: QueueId,
}

impl Receipt {
    /// The message.
    #[must_use]
    pub fn queue_id(&self) -> QueueId {
        self.id
    }
}

impl smtp::server::Durable for Receipt {
    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// What the journal is told about a message that it holds. Not synced at once: at worst a crash delivers again.
#[derive(Clone, Debug)]
pub enum Note {
    /// Some recipients' fates have changed.
    Fates(QueueId, Arc<Envelope>),
    /// Nothing is left to do.
    Gone(QueueId),
}

impl Note {
    /// The message that it is about.
    #[must_use]
    pub fn id(&self) -> QueueId {
        match self {
            Note::Fates(id, _) | Note::Gone(id) => *id,
        }
    }
}

/// A parked message whose envelope is to be replaced.
#[derive(Clone, Debug)]
pub struct UpdateJob {
    /// The message.
    pub id: QueueId,
    /// Its envelope as it stands.
    pub envelope: Arc<Envelope>,
    /// How often its envelope has been replaced before. Tells answers apart; `None`: nobody waits for one.
    pub version: Option<u32>,
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
