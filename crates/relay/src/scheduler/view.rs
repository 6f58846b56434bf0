//! A destination as an operator sees it.

use super::forecast::{Forecast, Outlook, forecast};
use super::{DestinationId, LotName, Rest, Scheduler};
use crate::config::terms::Owner;
use smtp::time::Timestamp;
use std::collections::HashSet;
use std::ops::Bound;

/// How a destination stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name: by it it is suspended, resumed and tried.
    pub name: Box<str>,
    /// Whose terms hold; `None`: it is the Drop folder.
    pub owner: Option<Owner>,
    /// Lots that wait for it or are under way: messages, mostly.
    pub waiting: usize,
    /// Lots that an operator holds.
    pub held: usize,
    /// The lot of the oldest message.
    pub oldest: Option<LotName>,
    /// Connections open or opening (for Drop: lots on their way).
    pub connections: u32,
    /// Those that have nothing to do.
    pub idle: u32,
    /// Failures in a row.
    pub failures: u16,
    /// Why nothing goes to it, or when it is probed again.
    pub rest: Option<Rest>,
    /// Suspended by an operator.
    pub suspended: bool,
    /// Messages that it took a minute, lately.
    pub rate: Option<f64>,
    /// Messages and recipients of its owner that count for the limits a day.
    pub today: Option<(u64, u64)>,
    /// Its owner's limits hold it up until then (or, `None` within, until something that is under way ends).
    pub paced: Option<Option<Timestamp>>,
    /// When its queue will be empty.
    pub forecast: Forecast,
}

impl Standing {
    /// Of a name under which nothing waits.
    #[must_use]
    pub fn idle(name: &str, suspended: bool) -> Standing {
        Standing {
            name: name.into(),
            owner: None,
            waiting: 0,
            held: 0,
            oldest: None,
            connections: 0,
            idle: 0,
            failures: 0,
            rest: None,
            suspended,
            rate: None,
            today: None,
            paced: None,
            forecast: Forecast::Empty,
        }
    }
}

impl Scheduler {
    /// Is this its name?
    #[must_use]
    pub fn is_named(&self, id: DestinationId, name: &str) -> bool {
        self.see(id).is_some_and(|destination| *destination.name == *name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self, id: DestinationId) -> &str {
        self.see(id).map_or("?", |destination| &destination.name)
    }

    /// How many lots belong to it, held ones among them.
    #[must_use]
    pub fn lots_count(&self, id: DestinationId) -> usize {
        self.see(id).map_or(0, |destination| destination.lots.len())
    }

    /// The lot of its oldest message.
    #[must_use]
    pub fn oldest(&self, id: DestinationId) -> Option<LotName> {
        self.see(id).and_then(|destination| destination.lots.first().copied())
    }

    /// The next lots that belong to it, at most `count`.
    #[must_use]
    pub fn lots_after(&self, id: DestinationId, after: Option<LotName>, count: usize) -> Vec<LotName> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.see(id).map_or_else(Vec::new, |d| d.lots.range((from, Bound::Unbounded)).take(count).copied().collect())
    }

    /// The destinations at `count` places of the table from this one on; and the next place, if there are more.
    #[must_use]
    pub fn from_slot(&self, at: usize, count: usize) -> (Vec<DestinationId>, Option<usize>) {
        let end = (at + count).min(self.destinations.len());
        let there = (at..end).filter(|at| self.destinations[*at].is_some());
        let ids = there.filter_map(|at| u32::try_from(at).ok()).map(DestinationId).collect();
        (ids, (end < self.destinations.len()).then_some(end))
    }

    /// Names that are suspended and for which nothing waits.
    #[must_use]
    pub fn suspended_without_mail(&self) -> Vec<Box<str>> {
        let with: HashSet<&str> =
            self.destinations.iter().flatten().filter(|d| d.suspended).map(|d| &*d.name).collect();
        self.suspended.keys().filter(|name| !with.contains(&***name)).cloned().collect()
    }

    /// Since when a name is suspended.
    #[must_use]
    pub fn suspended_since(&self, name: &str) -> Option<Timestamp> {
        self.suspended.get(name).copied()
    }

    /// An operator holds one of its lots.
    pub fn held(&mut self, id: DestinationId) {
        if let Some(destination) = self.slot(id) {
            destination.held += 1;
        }
    }

    /// And no longer.
    pub fn released(&mut self, id: DestinationId) {
        if let Some(destination) = self.slot(id) {
            destination.held = destination.held.saturating_sub(1);
        }
    }

    /// How a destination stands at `now`.
    pub fn standing(&mut self, id: DestinationId, now: Timestamp) -> Option<Standing> {
        let destination = self.destinations.get_mut(id.0 as usize)?.as_mut()?;
        let rate = destination.rate.a_minute(now);
        let pace = destination.pace.map(|at| {
            self.paces[at].turn(now);
            &self.paces[at]
        });
        let rests_until = destination.rest.as_ref().map(|rest| rest.until);
        let outlook = Outlook {
            waiting: (destination.lots.len() - destination.held.min(destination.lots.len())) as u64,
            rate,
            rests_until,
            suspended: destination.suspended,
            limits: pace.map(|pace| (&destination.pacing, pace)),
        };
        let forecast = forecast(&outlook, now);
        let first = destination.ready.front().map_or(1, |cargo| cargo.recipients);
        let paced = pace.filter(|_| !destination.ready.is_empty());
        Some(Standing {
            name: destination.name.clone(),
            owner: destination.target.terms().map(|terms| terms.owner.clone()),
            waiting: destination.lots.len().saturating_sub(destination.held),
            held: destination.held,
            oldest: destination.lots.first().copied(),
            connections: destination.connections,
            idle: u32::try_from(destination.idle.len()).unwrap_or(u32::MAX),
            failures: destination.failures,
            rest: destination.rest.clone(),
            suspended: destination.suspended,
            rate,
            today: pace.map(super::Pace::today),
            paced: paced.and_then(|pace| pace.holds_up(&destination.pacing, first)),
            forecast,
        })
    }
}
