//! What can neither be delivered nor returned, and why.

use crate::envelope::{Envelope, QueueId};
use crate::parcel::Place;
use std::sync::Arc;

/// Why a message lies in Badmail; one counter each (IIS: "Badmailed Messages (…)").
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadmailReason {
    /// A pickup file that cannot be read as a message.
    BadPickupFile,
    /// A report that could not be delivered.
    NdrOfDsn,
    /// Too many hops, and nobody to tell.
    HopCountExceeded,
    /// No recipient.
    NoRecipients,
    /// Anything else.
    GeneralFailure,
}

/// A message to put into Badmail.
#[derive(Clone, Debug)]
pub struct BadmailJob {
    /// The message.
    pub id: QueueId,
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// Its content.
    pub place: Place,
    /// The recipients concerned.
    pub recipients: Vec<u32>,
    /// Why.
    pub reason: BadmailReason,
    /// Why, in words, for people.
    pub text: String,
}
