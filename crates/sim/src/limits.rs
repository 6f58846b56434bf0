//! What a peer counts: how many messages and recipients came on whose terms, and when. It knows nothing of how the scheduler
//! counts.

use relay::config::Pacing;
use relay::config::terms::Owner;
use relay::parcel::ConnectionId;
use smtp::time::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A transaction that began.
#[derive(Debug)]
struct Begun {
    at: Timestamp,
    recipients: u64,
    limits: Pacing,
    /// The life of the program in which it began.
    life: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    begun: HashMap<Owner, VecDeque<Begun>>,
    open: HashMap<ConnectionId, (Owner, Option<u32>)>,
    life: u32,
}

impl Limits {
    /// The program starts anew: it knows what went out in a day, not in the last minute.
    pub fn next_life(&mut self) {
        self.life += 1;
        self.open.clear();
    }

    /// A connection is wanted; what is wrong with that, if anything is.
    pub fn connect(&mut self, connection: ConnectionId, owner: &Owner, limits: Pacing) -> Option<String> {
        if limits == Pacing::default() {
            return None;
        }
        self.open.insert(connection, (owner.clone(), limits.connections_max));
        let theirs: Vec<Option<u32>> =
            self.open.values().filter(|(of, _)| of == owner).map(|(_, most)| *most).collect();
        let most = theirs.iter().map(|most| most.map_or(usize::MAX, |n| n as usize)).max().unwrap_or(usize::MAX);
        (theirs.len() > most).then(|| format!("{} connections on the terms of {owner}, more than {most}", theirs.len()))
    }

    /// It is over.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
    }

    /// A transaction begins; what is wrong with that, if anything is.
    pub fn begin(&mut self, owner: &Owner, limits: Pacing, recipients: usize, now: Timestamp) -> Option<String> {
        if limits == Pacing::default() {
            return None;
        }
        let recipients = recipients as u64;
        if limits.recipients_per_message.is_some_and(|most| recipients > most.into()) {
            return Some(format!("{recipients} recipients at once on the terms of {owner}: {limits:?}"));
        }
        let begun = self.begun.entry(owner.clone()).or_default();
        begun.push_back(Begun { at: now, recipients, limits, life: self.life });
        while begun.front().is_some_and(|first| now.since(first.at) >= DAY) {
            begun.pop_front();
        }
        // A limit that was changed meanwhile: the highest of those under which something went.
        let most = |of: fn(&Pacing) -> Option<u32>, span: Duration| {
            let within = begun.iter().filter(|b| now.since(b.at) < span);
            within.map(|b| of(&b.limits).map_or(u64::MAX, u64::from)).max().unwrap_or(u64::MAX)
        };
        let minute = begun.iter().filter(|b| b.life == self.life && now.since(b.at) < MINUTE).count() as u64;
        let (day, all): (u64, u64) = (begun.len() as u64, begun.iter().map(|b| b.recipients).sum());
        let broken = minute > most(|p| p.messages_per_minute, MINUTE)
            || day > most(|p| p.messages_per_day, DAY)
            || all > most(|p| p.recipients_per_day, DAY);
        broken.then(|| format!("{owner}: {minute} messages a minute, {day} a day to {all} recipients: {limits:?}"))
    }
}
