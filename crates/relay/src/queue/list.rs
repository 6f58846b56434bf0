//! Messages and destinations as listings show them, and which of them a filter means.

use super::Queue;
use super::ask::{
    DESTINATIONS_NAMED, DestinationSummary, DestinationsBy, FILTER_TEXT_MAX, Filter, MessageDetail, MessageState,
    MessageSummary,
};
use super::brief::{Needle, bounded, last_answer, make_lower, sender_of, write_addresses};
use super::message::{Lane, Lot, LotState, Message};
use crate::envelope::{Envelope, QueueId};
use crate::scheduler::{DestinationId, Standing};
use smtp::time::Timestamp;
use std::collections::HashSet;

/// A filter made ready.
#[derive(Debug)]
pub(super) struct Sieve {
    filter: Filter,
    sender: Option<Needle>,
    recipient: Option<Needle>,
    address: Option<Needle>,
    reason: Option<Needle>,
    subject: Option<Needle>,
}

/// Does a message match?
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Match {
    Yes,
    No,
    /// Only its envelope, which is on the disk, can tell.
    Unsure,
}

impl Sieve {
    pub fn new(filter: Filter) -> Sieve {
        let needle = |text: &Option<Box<str>>| text.as_deref().map(Needle::new);
        let [sender, recipient, address] = [&filter.sender, &filter.recipient, &filter.address].map(needle);
        let [reason, subject] = [&filter.reason, &filter.subject].map(needle);
        Sieve { filter, sender, recipient, address, reason, subject }
    }

    /// Nothing can match a text that is too long, or that has more than one line.
    pub fn is_vain(&self) -> bool {
        let Filter { sender, recipient, address, reason, destination, subject, .. } = &self.filter;
        let texts = [sender, recipient, address, reason, destination, subject];
        texts.into_iter().flatten().any(|text| text.len() > FILTER_TEXT_MAX || text.contains('\n'))
    }

    /// The destination that messages must wait for.
    pub fn destination(&self) -> Option<&str> {
        self.filter.destination.as_deref()
    }

    /// What the addresses of an envelope say.
    pub fn fits(&self, envelope: &Envelope) -> bool {
        let mut lines = String::new();
        write_addresses(envelope, &mut lines);
        make_lower(&mut lines);
        self.fits_lines(&lines, false) == Match::Yes
    }

    fn wants_addresses(&self) -> bool {
        self.sender.is_some() || self.recipient.is_some() || self.address.is_some()
    }

    /// `lines`: the sender, then the recipients, in lower case. `cut`: there are more recipients than these.
    fn fits_lines(&self, lines: &str, cut: bool) -> Match {
        let is_in = |needle: &Option<Needle>, text: &str| needle.as_ref().is_none_or(|needle| needle.is_in(text));
        let (sender, recipients) = lines.split_once('\n').unwrap_or((lines, ""));
        if !is_in(&self.sender, sender) {
            return Match::No;
        }
        // No line end is searched for, so what is found stands on one line.
        match is_in(&self.recipient, recipients) && is_in(&self.address, lines) {
            true => Match::Yes,
            false if cut => Match::Unsure,
            false => Match::No,
        }
    }
}

impl Queue {
    /// Does the message match, as far as is known without its envelope? `buffer` is for texts, one after the other.
    pub(super) fn matches(&self, message: &Message, sieve: &Sieve, buffer: &mut String, now: Timestamp) -> Match {
        let filter = &sieve.filter;
        let age = now.since(message.since);
        if filter.older_than.is_some_and(|least| age < least) || filter.younger_than.is_some_and(|most| age > most) {
            return Match::No;
        }
        let state = || self.state(message, now);
        let is_held = || state() == MessageState::Held;
        if filter.state.is_some_and(|wanted| state() != wanted) || filter.held.is_some_and(|held| held != is_held()) {
            return Match::No;
        }
        if let Some(name) = &filter.destination
            && !message.lots.iter().any(|lot| self.scheduler.is_named(lot.destination, name))
        {
            return Match::No;
        }
        if let Some(reason) = &sieve.reason
            && !self.answers(message).any(|said| reason.is_in_any_case(said, buffer))
        {
            return Match::No;
        }
        if let Some(part) = &sieve.subject
            && !subject_of(message).is_some_and(|subject| part.is_in_any_case(subject, buffer))
        {
            return Match::No;
        }
        if !sieve.wants_addresses() {
            return Match::Yes;
        }
        buffer.clear();
        let cut = match (&message.envelope, &message.brief) {
            (Some(envelope), _) => {
                write_addresses(envelope, buffer);
                false
            }
            (None, Some(brief)) => {
                buffer.push_str(brief.addresses());
                brief.cut
            }
            (None, None) => return Match::Unsure,
        };
        make_lower(buffer);
        sieve.fits_lines(buffer, cut)
    }

    /// The message's own last answer, and the troubles of the destinations that it waits for.
    fn answers<'a>(&'a self, message: &'a Message) -> impl Iterator<Item = &'a str> {
        let own = match (&message.envelope, &message.brief) {
            (Some(envelope), _) => last_answer(envelope),
            (None, brief) => brief.as_ref().and_then(|brief| brief.said.as_deref()),
        };
        let troubles = message.lots.iter().filter_map(|lot| self.scheduler.rest(lot.destination));
        own.into_iter().chain(troubles.map(|rest| &*rest.failure.text))
    }

    fn state(&self, message: &Message, now: Timestamp) -> MessageState {
        message.lots.iter().map(|lot| self.lot_state(lot, now)).min().unwrap_or(MessageState::Reporting)
    }

    fn lot_state(&self, lot: &Lot, now: Timestamp) -> MessageState {
        match lot.state {
            LotState::Flying => MessageState::UnderWay,
            LotState::Held => MessageState::Held,
            _ if self.scheduler.is_suspended(lot.destination) => MessageState::Suspended,
            _ if self.scheduler.rest(lot.destination).is_some_and(|rest| rest.until > now) => MessageState::Resting,
            LotState::Ready | LotState::Loading => MessageState::Ready,
            LotState::Waiting(_) => MessageState::Waiting,
        }
    }

    /// When the lot is tried next at the earliest.
    fn tried_next(&self, lot: &Lot, now: Timestamp) -> Option<Timestamp> {
        let own = match lot.state {
            LotState::Held | LotState::Flying => return None,
            LotState::Waiting(due) => due,
            LotState::Ready | LotState::Loading => now,
        };
        if self.scheduler.is_suspended(lot.destination) {
            return None;
        }
        Some(self.scheduler.rest(lot.destination).map_or(own, |rest| own.max(rest.until)))
    }

    /// A message as a listing shows it.
    pub(super) fn summary(&self, id: QueueId, now: Timestamp) -> Option<MessageSummary> {
        let message = self.messages.get(&id)?;
        let (sender, recipient, recipients, size): (Box<str>, Box<str>, u32, u64) =
            match (&message.envelope, &message.brief) {
                (Some(envelope), _) => (
                    sender_of(envelope).into(),
                    envelope.recipients.first().map_or_else(Box::default, |r| r.address.to_string().into()),
                    u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX),
                    envelope.size,
                ),
                (None, Some(brief)) => (
                    brief.sender().into(),
                    brief.recipients().next().unwrap_or_default().into(),
                    brief.recipients,
                    brief.size,
                ),
                (None, None) => Default::default(),
            };
        let destinations: HashSet<DestinationId> = message.lots.iter().map(|lot| lot.destination).collect();
        let mut names: Vec<Box<str>> =
            destinations.iter().take(DESTINATIONS_NAMED).map(|destination| self.name_of(*destination)).collect();
        names.sort();
        Some(MessageSummary {
            id,
            sender,
            recipient,
            recipients,
            open: message.open,
            size,
            since: message.since,
            state: self.state(message, now),
            destinations: names,
            destinations_count: u32::try_from(destinations.len()).unwrap_or(u32::MAX),
            tries: message.lots.iter().map(|lot| lot.tries).max().unwrap_or(0),
            due: message.lots.iter().filter_map(|lot| self.tried_next(lot, now)).min(),
            said: self.answers(message).next().map(|said| bounded(said).into()),
            subject: subject_of(message).map(Into::into),
        })
    }

    /// Octets of a message.
    pub(super) fn size_of(&self, id: QueueId) -> u64 {
        let Some(message) = self.messages.get(&id) else { return 0 };
        let known = message.envelope.as_ref().map(|envelope| envelope.size);
        known.or_else(|| message.brief.as_ref().map(|brief| brief.size)).unwrap_or(0)
    }

    /// All about a message whose envelope is in memory.
    pub(super) fn detail(&self, id: QueueId, now: Timestamp) -> Option<MessageDetail> {
        let summary = self.summary(id, now)?;
        let message = self.messages.get(&id)?;
        let envelope = message.envelope.clone()?;
        let mut waits: Vec<(u32, Box<str>, Option<Timestamp>)> = Vec::new();
        for lot in &message.lots {
            let (name, due) = (self.name_of(lot.destination), self.tried_next(lot, now));
            waits.extend(lot.recipients.iter().map(|index| (*index, name.clone(), due)));
        }
        waits.sort_by_key(|(index, ..)| *index);
        let place = message.place.clone();
        Some(MessageDetail { summary, envelope, waits, in_folder: message.lane == Lane::Folder, place })
    }

    /// Where a destination stands in the order of a listing; the least comes first.
    pub(super) fn rank(&self, destination: DestinationId, by: DestinationsBy) -> (u64, Box<str>) {
        let name = self.name_of(destination);
        let first = match by {
            DestinationsBy::Name => 0,
            DestinationsBy::Waiting => u64::MAX - self.scheduler.lots_count(destination) as u64,
            DestinationsBy::Age => self.scheduler.oldest(destination).map_or(u64::MAX, |lot| lot.id.0),
        };
        (first, name)
    }

    /// A destination as a listing shows it.
    pub(super) fn destination_summary(
        &mut self,
        id: Option<DestinationId>,
        name: &str,
        now: Timestamp,
    ) -> Option<DestinationSummary> {
        // It may have been forgotten since the listing began.
        let standing = match id.filter(|id| self.scheduler.is_named(*id, name)) {
            Some(id) => self.scheduler.standing(id, now)?,
            None => Standing::idle(name, self.scheduler.suspended_since(name).is_some()),
        };
        let first = standing.oldest.and_then(|lot| self.messages.get(&lot.id));
        let rests = standing.rest.as_ref().map(|rest| rest.until);
        // Where it is not the destination that rests, its mail may: the oldest stands for all.
        let lots = first.into_iter().flat_map(|message| &message.lots).filter(|lot| Some(lot.destination) == id);
        let own = lots.filter_map(|lot| self.tried_next(lot, now)).min().filter(|due| *due > now);
        let next_try = if standing.suspended { None } else { rests.max(standing.paced.flatten()).or(own) };
        let said = first.and_then(|message| self.answers(message).next()).map(|said| bounded(said).into());
        let oldest = first.map(|message| message.since);
        let suspended_since = self.scheduler.suspended_since(&standing.name);
        Some(DestinationSummary { standing, oldest, said, next_try, suspended_since })
    }
}

fn subject_of(message: &Message) -> Option<&str> {
    match (&message.envelope, &message.brief) {
        (Some(envelope), _) => envelope.subject.as_deref(),
        (None, brief) => brief.as_ref().and_then(|brief| brief.subject.as_deref()),
    }
}
