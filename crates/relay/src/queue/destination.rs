//! What the queue learns about whole destinations, and what an operator wants of them.

use super::{Effect, Queue};
use crate::config::Terms;
use crate::config::terms::Owner;
use crate::envelope::Failure;
use crate::record::Record;
use crate::retry::Ladder;
use crate::scheduler::{DestinationId, Rest};
use crate::settle::{self, Concern};
use smtp::time::Timestamp;

impl Queue {
    pub(super) fn name_of(&self, destination: DestinationId) -> Box<str> {
        self.scheduler.name(destination).into()
    }

    /// The terms on which mail goes there; `None`: to Drop.
    pub(super) fn terms_of(&self, destination: DestinationId) -> Option<&Terms> {
        self.scheduler.target(destination).and_then(|target| target.terms())
    }

    /// Why nothing goes to the destination at present, if that is so.
    pub(super) fn cause_of_rest(&self, destination: DestinationId) -> Option<Failure> {
        if self.scheduler.is_suspended(destination) {
            return Some(settle::suspended(&self.name_of(destination)));
        }
        self.scheduler.rest(destination).map(|rest| rest.failure.clone())
    }

    pub(super) fn destination_answered(&mut self, destination: DestinationId, now: Timestamp) {
        if self.scheduler.answered(destination, now) {
            let name = self.name_of(destination);
            self.effects.push(Effect::Record(Record::DestinationUp { destination: name }));
        }
    }

    /// What an attempt brought concerns the whole destination: it rests. (Or, where it only has too many of our connections, it
    /// gets no more of them.)
    pub(super) fn destination_troubled(
        &mut self,
        destination: DestinationId,
        concern: Concern,
        failure: Failure,
        now: Timestamp,
    ) {
        let concern = match concern {
            Concern::Crowded if self.scheduler.crowded(destination, now) => return,
            Concern::Crowded => Concern::Down,
            other => other,
        };
        let Some(troubled) = self.scheduler.troubled(destination, concern, &failure, now) else { return };
        let terms = self.terms_of(destination);
        let ladder = Ladder::of(&self.server.delivery, terms);
        let wait = match (concern, terms) {
            (Concern::SlowDown, Some(terms)) => settle::slow_down(terms),
            // Each wrong log-on may count towards a lock-out.
            (Concern::Auth, _) => ladder.without_glitches().wait(troubled.failures),
            _ => ladder.wait(troubled.failures),
        };
        let until = now.plus(wait);
        self.scheduler.rest_until(destination, Rest { until, concern, failure: failure.clone() });
        let destination = self.name_of(destination);
        if matches!(concern, Concern::Tls | Concern::Auth) && troubled.is_news {
            let text = format!("mail for {destination} waits until this is mended: {}", failure.text);
            self.effects.push(Effect::Record(Record::Alarm { text: text.into() }));
        }
        let (failure, waiting) = (Box::new(failure), troubled.waiting);
        self.effects.push(Effect::Record(if concern == Concern::SlowDown {
            Record::DestinationPaused { destination, failure, until, waiting }
        } else {
            Record::DestinationDown { destination, failure, until, waiting }
        }));
    }

    /// What a log-on by these terms needs is to be had again.
    pub(super) fn log_on_mended(&mut self, owner: &Owner, now: Timestamp) {
        let mut mended = self.scheduler.on_terms_of(owner);
        mended.retain(|id| self.scheduler.rest(*id).is_some_and(|rest| rest.concern == Concern::Auth));
        self.retry_destinations(None, mended, now);
    }
}
