//! A destination as an operator sees it.

use super::forecast::{Forecast, Outlook, forecast};
use super::{DestinationId, LotName, Rest, Scheduler};
use crate::config::terms::Owner;
use smtp::time::Timestamp;

/// How a destination stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name: by it it is suspended, resumed and tried.
    pub name: Box<str>,
    /// Whose terms hold; `None`: it is the Drop folder.
    pub owner: Option<Owner>,
    /// Lots that belong to it: messages, mostly.
    pub waiting: usize,
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

impl Scheduler {
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
            waiting: destination.lots.len() as u64,
            rate,
            rests_until,
            suspended: destination.suspended,
            limits: pace.map(|pace| (&destination.pacing, pace)),
        };
        let forecast = forecast(&outlook, now);
        let first = destination.ready.front().map_or(1, |cargo| cargo.recipients);
        let paced = pace.filter(|_| !destination.lots.is_empty());
        Some(Standing {
            name: destination.target.name(),
            owner: destination.target.terms().map(|terms| terms.owner.clone()),
            waiting: destination.lots.len(),
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
