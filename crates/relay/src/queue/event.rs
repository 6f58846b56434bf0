//! What can happen to the queue, and what it can ask for.

use super::ask::{Answer, Ask, AskId};
use crate::badmail::BadmailJob;
use crate::config::VirtualServer;
use crate::config::terms::Owner;
use crate::envelope::{Envelope, Failure, QueueId};
use crate::parcel::{ConnectionId, Outcome, Parcel, Place};
use crate::record::Record;
use crate::scheduler::Paced;
use crate::spool::{Note, ParkJob, UpdateJob};
use smtp::time::Timestamp;
use std::io;
use std::sync::Arc;

/// A message that the spool holds.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id.
    pub id: QueueId,
    /// Its envelope.
    pub envelope: Envelope,
    /// Where its content is.
    pub place: Place,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Committed just now, or found in the journal at start.
    Accepted(Vec<Accepted>),
    /// Found in the Queue folder at start; comes in slices.
    Found(Vec<Accepted>),
    /// The Queue folder has been read to its end.
    FoundAll,
    /// These are parked: files and the journal's note are durable.
    Parked(Vec<QueueId>),
    /// These could not be parked, and why; they stay in the journal.
    ParkFailed(Vec<QueueId>, String),
    /// The folder has this version of the message's envelope.
    Updated(QueueId, u32),
    /// The folder still has an older envelope than this version, and why; to be tried again.
    UpdateFailed(QueueId, u32, String),
    /// These could not be removed from the folder, and why: a restart would find them again. To be tried again.
    RemoveFailed(Vec<QueueId>, String),
    /// The journal has grown past its bound: these, its oldest, are to be parked, whatever they wait for. Comes again while
    /// the journal is too large; ids that are gone by now, or on their way, are to be passed over.
    ParkOldest(Vec<QueueId>),
    /// The disk has failed, is full, or holds damage: a sentence for the operator, which goes into the log as it is.
    Alarm(String),
    /// A parked message's envelope, asked for with [`Effect::Load`].
    Loaded(QueueId, io::Result<Envelope>),
    /// One parcel was tried.
    Attempted {
        /// Over this connection; `None` for Drop.
        connection: Option<ConnectionId>,
        /// What came of it.
        outcome: Outcome,
    },
    /// The connection is over. A parcel that it held and did not try comes back in `unsent`: with the failures if
    /// no host could be reached, with none if it may simply be given to another connection.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// The parcel that was not tried: message, and per recipient why.
        unsent: Option<(QueueId, Vec<(u32, Failure)>)>,
    },
    /// The report about these recipients is accepted (durable), or none was wanted by the time it was made.
    Reported {
        /// The message that the report is about.
        id: QueueId,
        /// Its recipients that failed ([`ReportKind::failed`]); none for notices of delay or success.
        recipients: Vec<u32>,
        /// How many recipients it names, failed or not.
        named: usize,
    },
    /// The report could not be accepted now; try again later.
    ReportFailed {
        /// The message that failed.
        id: QueueId,
        /// Its recipients.
        recipients: Vec<u32>,
        /// Why.
        why: String,
    },
    /// The message lies in Badmail for these recipients (durable).
    Badmailed {
        /// The message.
        id: QueueId,
        /// Its recipients.
        recipients: Vec<u32>,
    },
    /// Badmail could not be written; try again later.
    BadmailFailed {
        /// The message.
        id: QueueId,
        /// Its recipients.
        recipients: Vec<u32>,
        /// Why.
        why: String,
    },
    /// A new configuration holds from now on.
    Configured(Arc<VirtualServer>),
    /// An operator's word about all destinations of this name, whether mail waits for them or not, to which nobody wants an
    /// answer: what was suspended in an earlier life is told again at start.
    Destination(Box<str>, DestinationOrder),
    /// What a log-on needs is to be had again, by these terms: destinations that rest for the want of it are tried now.
    Mended(Owner),
    /// An operator asks something, or gives an order: [`Effect::Answer`].
    Ask(AskId, Ask),
    /// Nobody waits for the answer any more. What an order has begun is finished.
    Unask(AskId),
    /// What an earlier life had sent to those who have limits a day ([`super::Queue::paced`]).
    Paced(Vec<Paced>),
    /// Time has passed.
    Tick,
    /// No new attempts from now on: the service is stopping.
    Drain,
}

/// What an operator wants of a destination.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum DestinationOrder {
    /// Nothing goes there until it is resumed. What is under way comes to its end; what waits grows older.
    Suspend,
    /// Mail goes there again, and at once.
    Resume,
    /// All that waits for it, or for a time of its own, is tried now.
    Retry,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Open a connection to the parcel's next hop and try the parcel over it.
    Connect {
        /// Its name from now on.
        connection: ConnectionId,
        /// The first parcel.
        parcel: Parcel,
    },
    /// Try this parcel over an open connection.
    Deliver {
        /// Which.
        connection: ConnectionId,
        /// The next parcel.
        parcel: Parcel,
    },
    /// Say QUIT and close.
    Quit {
        /// Which.
        connection: ConnectionId,
    },
    /// Write the parcel into the Drop folder.
    Drop(Parcel),
    /// Put the message into Badmail.
    Badmail(BadmailJob),
    /// Compose a report and accept it as a new message.
    Report(ReportJob),
    /// Tell the journal.
    Note(Note),
    /// Move messages out of the journal into the Queue folder.
    Park(Vec<ParkJob>),
    /// Replace a parked message's envelope; [`Event::Updated`] or [`Event::UpdateFailed`] tells of it.
    Update(UpdateJob),
    /// Remove a parked message; only [`Event::RemoveFailed`] tells of it.
    Remove(QueueId),
    /// A parked message has left the queue because its envelope is lost; whatever files it has stay as they are.
    Lost(QueueId),
    /// Read a parked message's envelope.
    Load(QueueId),
    /// The answer to a question; further ones follow if it is not the last ([`Answer::is_last`]).
    Answer(AskId, Answer),
    /// Write a line into the log, and count.
    Record(Record),
}

/// A report to make.
#[derive(Clone, Debug)]
pub struct ReportJob {
    /// The message it is about.
    pub id: QueueId,
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// Its content.
    pub place: Place,
    /// Which report.
    pub kind: ReportKind,
}

/// Which report, about which recipients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReportKind {
    /// Failed for good.
    Failed(Vec<(u32, Failure)>),
    /// Late; the last trouble, if there was one, and until when it is tried.
    Delayed(Vec<(u32, Option<Failure>, Timestamp)>),
    /// Handed to a host that makes no reports itself, by that host's words.
    Relayed(Vec<(u32, Box<str>)>),
    /// Written to Drop.
    Delivered(Vec<u32>),
}

impl ReportKind {
    /// The recipients that failed, if it is a report of failure: it closes their cases.
    #[must_use]
    pub fn failed(&self) -> Vec<u32> {
        match self {
            ReportKind::Failed(who) => who.iter().map(|(index, _)| *index).collect(),
            ReportKind::Delayed(_) | ReportKind::Relayed(_) | ReportKind::Delivered(_) => Vec::new(),
        }
    }

    /// All recipients that the report names.
    #[must_use]
    pub fn recipients(&self) -> Vec<u32> {
        match self {
            ReportKind::Failed(who) => who.iter().map(|(index, _)| *index).collect(),
            ReportKind::Delayed(who) => who.iter().map(|(index, ..)| *index).collect(),
            ReportKind::Relayed(who) => who.iter().map(|(index, _)| *index).collect(),
            ReportKind::Delivered(who) => who.clone(),
        }
    }
}
