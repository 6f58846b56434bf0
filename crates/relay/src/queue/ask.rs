//! What an operator may ask of the queue, and what it answers.
//!
//! A question is an event ([`crate::queue::Event::Ask`]), its answer an effect ([`crate::queue::Effect::Answer`]). What concerns
//! many messages is worked at in slices, a few hundred messages each time the queue is told that time has passed, so that a
//! listing of a hundred thousand holds up no delivery. Nothing here reads a disk but [`Ask::Message`], the orders that change an
//! envelope, and a search for a recipient in messages that have too many to be kept in mind.
//!
//! An order is answered when all that it changed is durable. Messages that are under way at that moment: *hold* holds them too (what
//! the attempt does not bring across stays); *return* and *delete* leave them alone and count them.

use super::DestinationOrder;
use crate::envelope::{Envelope, QueueId};
use crate::parcel::Place;
use crate::scheduler::{DestinationId, Standing};
use smtp::time::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Messages or destinations on one page.
pub const PAGE_MAX: usize = 1_000;
/// Messages that one order names.
pub const ORDER_IDS_MAX: usize = 10_000;
/// Questions that are worked at at a time; one more is answered with [`Answer::Busy`].
pub const ASKS_MAX: usize = 64;
/// Octets of one text of a [`Filter`]; what is longer is found nowhere.
pub const FILTER_TEXT_MAX: usize = 512;
/// Messages that an order failed for and that its [`Tally`] names.
pub const TALLY_NAMED_MAX: usize = 100;

/// A question, until its answer. Whoever asks chooses it; no two open ones are the same.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AskId(pub u64);

/// A question or an order.
#[derive(Clone, PartialEq, Debug)]
pub enum Ask {
    /// Destinations with mail, connections or a suspension: [`Answer::Destinations`].
    Destinations {
        /// Only those whose name contains this (without regard to case).
        name: Option<Box<str>>,
        /// In which order.
        order: DestinationsBy,
        /// Where the page begins, or ends.
        from: DestinationsFrom,
        /// At most so many, and [`PAGE_MAX`].
        limit: usize,
    },
    /// Messages in the order of their ids, which is that of their arrival: [`Answer::Messages`].
    Messages {
        /// Which.
        filter: Filter,
        /// Only those after this one: the last of the page before.
        after: Option<QueueId>,
        /// At most so many, and [`PAGE_MAX`].
        limit: usize,
    },
    /// How many messages these are: [`Answer::Count`].
    Count(Filter),
    /// All about one message; its envelope may have to be read: [`Answer::Message`].
    Message(QueueId),
    /// An order about messages: [`Answer::Done`], with [`Answer::SoFar`] on the way.
    Order(Order, Selection),
    /// An order about all destinations of this name: [`Answer::Done`], whose tally counts the messages that it concerns.
    Destination(Box<str>, DestinationOrder),
}

/// In which order destinations are listed.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum DestinationsBy {
    /// The longest queue first.
    #[default]
    Waiting,
    /// The oldest message first.
    Age,
    /// By name.
    Name,
}

/// Which page of the destinations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum DestinationsFrom {
    /// The first one.
    #[default]
    First,
    /// The one behind this place: the last of the page before.
    After(DestinationMark),
    /// The one that ends before this place: the first of the page behind it.
    Before(DestinationMark),
}

/// A place in a listing of destinations, in the order in which it was made. It stays a place when the destination is gone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DestinationMark {
    pub(super) rank: u64,
    pub(super) name: Box<str>,
    pub(super) id: Option<DestinationId>,
}

impl DestinationMark {
    /// Reads what it prints.
    #[must_use]
    pub fn parse(text: &str) -> Option<DestinationMark> {
        let (rank, rest) = text.split_once('.')?;
        let (id, name) = rest.split_once('.')?;
        let id = match id {
            "" => None,
            id => Some(DestinationId(u32::from_str_radix(id, 16).ok()?)),
        };
        Some(DestinationMark { rank: u64::from_str_radix(rank, 16).ok()?, name: name.into(), id })
    }
}

impl fmt::Display for DestinationMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.", self.rank)?;
        if let Some(DestinationId(id)) = self.id {
            write!(f, "{id:x}")?;
        }
        write!(f, ".{}", self.name)
    }
}

/// Which messages an order concerns.
#[derive(Clone, PartialEq, Debug)]
pub enum Selection {
    /// These; at most [`ORDER_IDS_MAX`] of them.
    Ids(Vec<QueueId>),
    /// All that are in the queue when the order is given, and match when their turn comes.
    Filter(Filter),
}

/// Which messages; all of its parts must match, and nothing but `None` matches all.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Filter {
    /// The sender contains this, without regard to case; `<>` is the null sender.
    pub sender: Option<Box<str>>,
    /// One of the recipients contains this, without regard to case.
    pub recipient: Option<Box<str>>,
    /// The sender or one of the recipients contains this, without regard to case.
    pub address: Option<Box<str>>,
    /// It waits (or is held) for a destination of this name.
    pub destination: Option<Box<str>>,
    /// It is at least so old.
    pub older_than: Option<Duration>,
    /// It is at most so old.
    pub younger_than: Option<Duration>,
    /// Its last answer, or the trouble of a destination that it waits for, contains this, without regard to case.
    pub reason: Option<Box<str>>,
    /// Its subject contains this, without regard to case.
    pub subject: Option<Box<str>>,
    /// It is held, or it is not.
    pub held: Option<bool>,
    /// It stands so.
    pub state: Option<MessageState>,
}

/// What an operator wants of messages.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Order {
    /// Not to be tried until they are released. Held mail does not grow old.
    Hold,
    /// Held ones are tried again, at once, and have their whole time again.
    Release,
    /// To be tried now, if nothing but time holds them up: their destinations are given another chance.
    Retry,
    /// To be given up now: their senders get reports.
    Return,
    /// To be forgotten. Nobody is told.
    Delete,
}

/// How a message stands; of several recipients that stand differently, the first of these that is true.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum MessageState {
    /// An attempt is under way.
    UnderWay,
    /// It waits for its turn.
    Ready,
    /// It waits for a time of its own.
    Waiting,
    /// Its destination rests.
    Resting,
    /// Its destination is suspended.
    Suspended,
    /// It is held.
    Held,
    /// It has failed, and its report or its place in Badmail is being made.
    Reporting,
}

/// A message in a listing: what is in mind of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageSummary {
    /// Its id.
    pub id: QueueId,
    /// The sender; `<>` for a report.
    pub sender: Box<str>,
    /// The first recipient.
    pub recipient: Box<str>,
    /// How many recipients it has, those that are served among them.
    pub recipients: u32,
    /// Recipients that are not done with.
    pub open: u32,
    /// Octets.
    pub size: u64,
    /// Since when it counts as waiting: when it was accepted, or last released.
    pub since: Timestamp,
    /// How it stands.
    pub state: MessageState,
    /// The names of the destinations that it waits for, at most [`DESTINATIONS_NAMED`] of them.
    pub destinations: Vec<Box<str>>,
    /// How many destinations there are.
    pub destinations_count: u32,
    /// Failed attempts, of the recipients with the most.
    pub tries: u16,
    /// When it is tried next at the earliest; `None`: nothing is planned.
    pub due: Option<Timestamp>,
    /// The last answer, or the trouble of the destination that it waits for, cut at [`super::ANSWER_KEPT_MAX`] octets.
    pub said: Option<Box<str>>,
    /// Its subject, as far as it is kept.
    pub subject: Option<Box<str>>,
}

/// Destinations of one message that a listing names.
pub const DESTINATIONS_NAMED: usize = 3;

/// All about one message.
#[derive(Clone, Debug)]
pub struct MessageDetail {
    /// As in a listing.
    pub summary: MessageSummary,
    /// Its envelope: all recipients, their fates, the attempts.
    pub envelope: Arc<Envelope>,
    /// Its recipients that are not done with, by index: for which destination, and when they are tried next.
    pub waits: Vec<(u32, Box<str>, Option<Timestamp>)>,
    /// Has the Queue folder its files? (Else it is in the journal.)
    pub in_folder: bool,
    /// Where its content is to be had.
    pub place: Place,
}

/// A destination in a listing.
#[derive(Clone, Debug)]
pub struct DestinationSummary {
    /// How it stands.
    pub standing: Standing,
    /// Since when its oldest message waits.
    pub oldest: Option<Timestamp>,
    /// The last answer to its oldest message.
    pub said: Option<Box<str>>,
    /// When something goes there next at the earliest, as its oldest message stands for all; `None`: as soon as there is something, or
    /// nothing is planned.
    pub next_try: Option<Timestamp>,
    /// Since when an operator has suspended it.
    pub suspended_since: Option<Timestamp>,
}

/// What came of an order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Messages that the order concerned.
    pub matched: u64,
    /// Those for which it is done, and durable.
    pub done: u64,
    /// Those that were under way and left alone.
    pub under_way: u64,
    /// Those to which it did not apply: not held, when they should be released.
    pub not_applicable: u64,
    /// Those that are not in the queue, or have left it meanwhile.
    pub gone: u64,
    /// Those for which it failed.
    pub failed: u64,
    /// The first of them, and why.
    pub failures: Vec<(QueueId, Box<str>)>,
}

/// What the queue answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A page of destinations.
    Destinations {
        /// The page.
        page: Vec<DestinationSummary>,
        /// How many there are that match.
        total: usize,
        /// How many of them come before the page.
        before: usize,
        /// The places of its first and its last one; `None`: the page is empty.
        ends: Option<(DestinationMark, DestinationMark)>,
    },
    /// A page of messages.
    Messages {
        /// The page.
        page: Vec<MessageSummary>,
        /// There are more that match, or may be: ask for those after the last one.
        more: bool,
    },
    /// How many.
    Count {
        /// Messages.
        messages: u64,
        /// Their octets.
        octets: u64,
    },
    /// All about the message; `None`: there is none of that id.
    Message(Option<Box<MessageDetail>>),
    /// An order is being carried out; so far, this.
    SoFar(Tally),
    /// An order is carried out.
    Done(Tally),
    /// It cannot be answered now, and why.
    Failed(Box<str>),
    /// Too many questions are open.
    Busy,
}

impl Answer {
    /// No further answer to the same question comes.
    #[must_use]
    pub fn is_last(&self) -> bool {
        !matches!(self, Answer::SoFar(_))
    }
}
