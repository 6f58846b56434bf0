//! What goes to one next hop in one transaction, and what came of it.

use crate::channel::Channel;
use crate::envelope::{Envelope, Failure, QueueId};
use crate::route::NextHop;
use bytes::Bytes;
use smtp::time::Timestamp;
use std::sync::Arc;

/// Where a message's content is to be had.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the journal; `memory` has the content while the memory bound allows.
    Journal {
        /// Number of the segment that holds the record.
        segment: u32,
        /// Where the content begins in it.
        offset: u64,
        /// Octets of the content.
        len: u32,
        /// The content, if it is still held in memory.
        memory: Option<Bytes>,
    },
    /// In `Queue/ID.eml`: a large message, or one that was parked.
    File,
}

/// The recipients of one message that go to one next hop together.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The message.
    pub id: QueueId,
    /// Its envelope, with everybody in it.
    pub envelope: Arc<Envelope>,
    /// Which of its recipients, by index.
    pub recipients: Vec<u32>,
    /// Where the content is.
    pub place: Place,
    /// Where it goes.
    pub hop: Arc<NextHop>,
}

/// A connection that the scheduler asked for; never used twice in one life of the program.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnectionId(pub u64);

/// A recipient that the other side took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Its words.
    pub said: Box<str>,
    /// It also took over the duty to report success (it offered DSN and was told NOTIFY).
    pub reports: bool,
}

/// What one attempt at one parcel brought.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The message.
    pub id: QueueId,
    /// `name [address]:port` of the host that answered last; the destination if none was reached; `drop` for Drop.
    pub host: Box<str>,
    /// When it ended.
    pub at: Timestamp,
    /// How the channel was protected, if it was.
    pub channel: Option<Arc<Channel>>,
    /// One item for each recipient of the parcel, by index into the envelope.
    pub results: Vec<(u32, Result<Taken, Failure>)>,
}
