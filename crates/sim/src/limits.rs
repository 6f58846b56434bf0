//! What a peer counts: how many messages and recipients came on whose terms, and when. It knows nothing of how the scheduler
//! counts.
//!
//! Beside it others count that were told of one less of a limit than the scheduler was ([`Strict`]): they must complain sooner or later, or
//! nobody would see a scheduler that sends one too many.

use relay::config::Pacing;
use relay::config::terms::Owner;
use relay::parcel::ConnectionId;
use smtp::time::Timestamp;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The limit that is one less than the scheduler was told.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Strict {
    /// `connections_max`
    Connections,
    /// `messages_per_connection`
    MessagesPerConnection,
    /// `recipients_per_message`
    RecipientsPerMessage,
    /// `messages_per_minute`
    MessagesPerMinute,
    /// `messages_per_day`
    MessagesPerDay,
    /// `recipients_per_day`
    RecipientsPerDay,
}

impl Strict {
    /// Each.
    pub const ALL: [Strict; 6] = [
        Strict::Connections,
        Strict::MessagesPerConnection,
        Strict::RecipientsPerMessage,
        Strict::MessagesPerMinute,
        Strict::MessagesPerDay,
        Strict::RecipientsPerDay,
    ];

    fn of(self, limits: Pacing) -> Pacing {
        let mut limits = limits;
        let limit = match self {
            Strict::Connections => &mut limits.connections_max,
            Strict::MessagesPerConnection => &mut limits.messages_per_connection,
            Strict::RecipientsPerMessage => &mut limits.recipients_per_message,
            Strict::MessagesPerMinute => &mut limits.messages_per_minute,
            Strict::MessagesPerDay => &mut limits.messages_per_day,
            Strict::RecipientsPerDay => &mut limits.recipients_per_day,
        };
        *limit = limit.map(|most| most - 1);
        limits
    }
}

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
#[derive(Debug)]
pub(crate) struct Limits {
    count: Count,
    strict: [Count; 6],
    /// The limits that were reached to the full.
    pub reached: BTreeSet<Strict>,
}

impl Default for Limits {
    fn default() -> Limits {
        let strict = Strict::ALL.map(|strict| Count { strict: Some(strict), ..Count::default() });
        Limits { count: Count::default(), strict, reached: BTreeSet::new() }
    }
}

impl Limits {
    /// The program starts anew: it knows what went out in a day, not in the last minute.
    pub fn next_life(&mut self) {
        self.all(|count| {
            count.next_life();
            None
        });
    }

    /// A connection is wanted; what is wrong with that, if anything is.
    pub fn connect(&mut self, connection: ConnectionId, owner: &Owner, limits: Pacing) -> Option<String> {
        self.all(|count| count.connect(connection, owner, limits))
    }

    /// It is over.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.all(|count| {
            count.closed(connection);
            None
        });
    }

    /// A transaction begins; what is wrong with that, if anything is.
    pub fn begin(
        &mut self,
        connection: ConnectionId,
        terms: (&Owner, Pacing),
        recipients: usize,
        now: Timestamp,
    ) -> Option<String> {
        self.all(|count| count.begin(connection, terms, recipients, now))
    }

    fn all(&mut self, mut tell: impl FnMut(&mut Count) -> Option<String>) -> Option<String> {
        for (count, strict) in self.strict.iter_mut().zip(Strict::ALL) {
            if tell(count).is_some() {
                self.reached.insert(strict);
            }
        }
        tell(&mut self.count)
    }
}

/// One that counts.
#[derive(Debug, Default)]
struct Count {
    begun: HashMap<Owner, VecDeque<Begun>>,
    open: HashMap<ConnectionId, Open>,
    life: u32,
    strict: Option<Strict>,
}

#[derive(Debug)]
struct Open {
    owner: Owner,
    /// How many there may be.
    most: Option<u32>,
    /// Messages over it.
    messages: u32,
}

impl Count {
    fn told(&self, limits: Pacing) -> Pacing {
        self.strict.map_or(limits, |strict| strict.of(limits))
    }

    fn next_life(&mut self) {
        self.life += 1;
        self.open.clear();
    }

    fn connect(&mut self, connection: ConnectionId, owner: &Owner, limits: Pacing) -> Option<String> {
        if limits == Pacing::default() {
            return None;
        }
        let most = self.told(limits).connections_max;
        self.open.insert(connection, Open { owner: owner.clone(), most, messages: 0 });
        let theirs: Vec<Option<u32>> =
            self.open.values().filter(|open| open.owner == *owner).map(|open| open.most).collect();
        let most = theirs.iter().map(|most| most.map_or(usize::MAX, |n| n as usize)).max().unwrap_or(usize::MAX);
        (theirs.len() > most).then(|| format!("{} connections on the terms of {owner}, more than {most}", theirs.len()))
    }

    fn closed(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
    }

    fn begin(
        &mut self,
        connection: ConnectionId,
        (owner, limits): (&Owner, Pacing),
        recipients: usize,
        now: Timestamp,
    ) -> Option<String> {
        if limits == Pacing::default() {
            return None;
        }
        let limits = self.told(limits);
        if let Some(open) = self.open.get_mut(&connection) {
            open.messages += 1;
            let carried = open.messages;
            if limits.messages_per_connection.is_some_and(|most| carried > most) {
                return Some(format!("{carried} messages over one connection on the terms of {owner}: {limits:?}"));
            }
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
