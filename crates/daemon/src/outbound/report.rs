//! What a connection owes the queue: one [`Event::Attempted`] for each parcel that was tried, one [`Event::Closed`] at its end.
//!
//! Kept by a value that pays when it is dropped, so that neither a panic nor a runtime that shuts down leaves a message
//! waiting for an answer that never comes. A parcel that a panic interrupted counts as tried and failed for now: given
//! back as untried it would be taken up again at once, and for ever if it is the cause.

use super::words;
use crate::clock::Clock;
use relay::channel::Channel;
use relay::envelope::{Failure, QueueId};
use relay::parcel::{ConnectionId, Outcome, Parcel, Taken};
use relay::queue::Event;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// See the module.
pub(super) struct Report {
    connection: ConnectionId,
    events: Sender<Event>,
    clock: Clock,
    /// The parcel that the connection has in hand, and its recipients.
    held: Option<(QueueId, Vec<u32>)>,
    /// Why nobody was reached with it.
    failure: Option<Failure>,
}

impl Report {
    pub(super) fn new(connection: ConnectionId, events: Sender<Event>, clock: Clock) -> Report {
        Report { connection, events, clock, held: None, failure: None }
    }

    /// The connection has this parcel in hand from now on. Without another word it comes back as untried.
    pub(super) fn hold(&mut self, parcel: &Parcel) {
        self.held = Some((parcel.id, parcel.recipients.clone()));
    }

    /// The parcel in hand was tried.
    pub(super) fn attempted(
        &mut self,
        host: &str,
        channel: Option<&Arc<Channel>>,
        results: Vec<(u32, Result<Taken, Failure>)>,
    ) {
        let Some((id, _)) = self.held.take() else { return };
        let outcome = Outcome { id, host: host.into(), at: self.clock.now(), channel: channel.cloned(), results };
        self.send(Event::Attempted { connection: Some(self.connection), outcome });
    }

    /// Nobody could be reached with the parcel in hand.
    pub(super) fn not_reached(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    fn send(&self, event: Event) {
        // An error means that the queue's thread has ended; what it knew is on the disk.
        let _ = self.events.send(event);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some((_, recipients)) = &self.held
        {
            let failure = words::local("An internal error interrupted the attempt; it is in the log.".to_owned());
            let results = recipients.iter().map(|index| (*index, Err(failure.clone()))).collect();
            self.attempted("(internal error)", None, results);
        }
        let failure = self.failure.take();
        let unsent = self.held.take().map(|(id, recipients)| {
            let each = failure.map(|f| recipients.into_iter().map(|index| (index, f.clone())).collect());
            (id, each.unwrap_or_default())
        });
        self.send(Event::Closed { connection: self.connection, unsent });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::tests::parcel;
    use std::sync::mpsc;

    fn events(with: impl FnOnce(&mut Report)) -> Vec<Event> {
        let (sender, receiver) = mpsc::channel();
        let mut report = Report::new(ConnectionId(7), sender, Clock::start());
        with(&mut report);
        drop(report);
        receiver.try_iter().collect()
    }

    #[test]
    fn an_idle_connection_closes_without_a_parcel() {
        assert!(matches!(events(|_| ()).as_slice(), [Event::Closed { connection: ConnectionId(7), unsent: None }]));
    }

    #[test]
    fn a_parcel_that_was_not_tried_comes_back() {
        let events = events(|report| report.hold(&parcel("a@x.test")));
        let [Event::Closed { unsent: Some((_, failures)), .. }] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(failures, &[]);
    }

    #[test]
    fn a_parcel_that_nobody_took_comes_back_with_the_reason_for_each() {
        let events = events(|report| {
            report.hold(&parcel("a@x.test, b@x.test"));
            report.not_reached(words::local("x".into()));
        });
        let [Event::Closed { unsent: Some((_, failures)), .. }] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(failures.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_panic_is_an_attempt_that_failed_for_now() {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut report = Report::new(ConnectionId(7), sender, Clock::start());
            report.hold(&parcel("a@x.test"));
            panic!("planted");
        });
        assert!(thread.join().is_err());
        let events: Vec<Event> = receiver.try_iter().collect();
        let [Event::Attempted { outcome, .. }, Event::Closed { unsent: None, .. }] = events.as_slice() else {
            panic!("{events:?}")
        };
        let (0, Err(failure)) = &outcome.results[0] else { panic!("{outcome:?}") };
        assert!(!failure.is_permanent());
    }
}
