//! Destinations that rest: why, until when, and what wakes them; and those that an operator has suspended.
//!
//! A rest ends by a probe after its wait, or at once: by any answer, if the trouble was that nobody answered; by an operator;
//! by a new configuration. What an operator has suspended stays so until the operator says otherwise, under its name: also while
//! no mail waits for it.

use super::{DestinationId, Scheduler, WINDOW_FIRST, Wake};
use crate::config::terms::Owner;
use crate::envelope::Failure;
use crate::settle::Concern;
use smtp::time::Timestamp;
use std::time::Duration;

/// Why nothing goes to a destination for now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rest {
    /// Until then; after it one connection probes.
    pub until: Timestamp,
    /// What kind of trouble it is.
    pub concern: Concern,
    /// What was said, or what happened.
    pub failure: Failure,
}

/// A destination is in trouble that was not known yet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Troubled {
    /// The how-manieth time in a row.
    pub failures: u16,
    /// Lots that wait for it.
    pub waiting: usize,
    /// Its last trouble was another one, or it had none.
    pub is_news: bool,
}

/// How long a destination that complained of too many connections gets no more than it then had.
const CEILING_KEPT: Duration = Duration::from_secs(10 * 60);

impl Scheduler {
    /// A host of the destination has answered: it is up. True if it was resting before. Who rests because it said so rests on,
    /// whatever an older connection still brings to its end.
    pub fn answered(&mut self, id: DestinationId, now: Timestamp) -> bool {
        let Some(destination) = self.slot(id) else { return false };
        if destination.rest.as_ref().is_some_and(|rest| rest.concern != Concern::Down && rest.until > now) {
            return false;
        }
        destination.failures = 0;
        let was_resting = destination.rest.take().is_some();
        self.enter_ring(id);
        was_resting
    }

    /// The destination is in trouble. Nothing, if that is known: a failure that comes in while it rests already (over other
    /// connections, opened before) counts only once, unless it is the graver one.
    pub fn troubled(
        &mut self,
        id: DestinationId,
        concern: Concern,
        failure: &Failure,
        now: Timestamp,
    ) -> Option<Troubled> {
        let destination = self.slot(id)?;
        let before = destination.rest.as_ref();
        if before.is_some_and(|rest| rest.until > now && rest.concern >= concern) {
            return None;
        }
        let is_news = before.is_none_or(|rest| rest.concern != concern || rest.failure.text != failure.text);
        let goes_on = before.is_some_and(|rest| rest.concern == concern);
        destination.failures = if goes_on { destination.failures.saturating_add(1) } else { 1 };
        destination.window = WINDOW_FIRST;
        Some(Troubled { failures: destination.failures, waiting: destination.lots.len(), is_news })
    }

    /// Nothing goes to it until then.
    pub fn rest_until(&mut self, id: DestinationId, rest: Rest) {
        let until = rest.until;
        if let Some(destination) = self.slot(id) {
            destination.rest = Some(rest);
            self.wake_at(until, Wake::Destination(id));
        }
    }

    /// The destination has complained of too many connections. If it has others beside the one that it said so over, it gets no
    /// more than those for a while; gives false if it has not.
    pub fn crowded(&mut self, id: DestinationId, now: Timestamp) -> bool {
        let others = self.of_use(id);
        let Some(destination) = self.slot(id) else { return false };
        if others == 0 {
            return false;
        }
        destination.window = destination.window.min(others);
        destination.ceiling = Some((others, now.plus(CEILING_KEPT)));
        true
    }

    /// Why the destination rests, if it does; also while a probe is under way.
    #[must_use]
    pub fn rest(&self, id: DestinationId) -> Option<&Rest> {
        self.see(id)?.rest.as_ref()
    }

    /// The destination's wait is over now: one connection probes.
    pub fn end_rest(&mut self, id: DestinationId, now: Timestamp) {
        if let Some(rest) = self.slot(id).and_then(|d| d.rest.as_mut()) {
            rest.until = rest.until.min(now);
        }
        self.enter_ring(id);
    }

    /// All destinations of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<DestinationId> {
        self.those(|destination| *destination.name == *name)
    }

    /// All destinations where mail goes on the terms of this owner.
    #[must_use]
    pub fn on_terms_of(&self, owner: &Owner) -> Vec<DestinationId> {
        self.those(|destination| destination.target.terms().is_some_and(|terms| terms.owner == *owner))
    }

    /// Nothing goes to destinations of this name from now on; what is under way comes to its end. False if it was so before.
    pub fn suspend(&mut self, name: &str, now: Timestamp) -> bool {
        if self.suspended.contains_key(name) {
            return false;
        }
        self.suspended.insert(name.into(), now);
        for id in self.named(name) {
            if let Some(destination) = self.slot(id) {
                destination.suspended = true;
            }
        }
        true
    }

    /// Mail goes there again, and at once. False if it was not suspended.
    pub fn resume(&mut self, name: &str, now: Timestamp) -> bool {
        if self.suspended.remove(name).is_none() {
            return false;
        }
        for id in self.named(name) {
            if let Some(destination) = self.slot(id) {
                destination.suspended = false;
            }
            self.end_rest(id, now);
        }
        true
    }

    /// Has an operator suspended it?
    #[must_use]
    pub fn is_suspended(&self, id: DestinationId) -> bool {
        self.see(id).is_some_and(|destination| destination.suspended)
    }

    /// Names of suspended destinations, and since when.
    pub fn suspended(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.suspended.iter().map(|(name, since)| (&**name, *since))
    }
}
