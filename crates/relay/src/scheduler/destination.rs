//! A destination as the scheduler keeps it.

use super::rest::Rest;
use super::{Cargo, LotName, Target, WINDOW_FIRST};
use crate::config::Pacing;
use crate::parcel::ConnectionId;
use smtp::time::Timestamp;
use std::collections::{BTreeSet, VecDeque};

#[derive(Debug)]
pub(super) struct Destination {
    pub target: Target,
    pub name: Box<str>,
    pub pacing: Pacing,
    /// The owner whose limits it shares, if there are any.
    pub pace: Option<usize>,
    /// Lots whose own time has come, oldest first. May hold names of lots that are no more: the queue checks.
    pub ready: VecDeque<Cargo>,
    /// Lots that belong here, ready or not. At none, and no connection, the destination is forgotten.
    pub lots: BTreeSet<LotName>,
    /// How many of them an operator holds.
    pub held: usize,
    /// Connections open or opening (for Drop: lots on their way).
    pub connections: u32,
    /// Lots taken from `ready` whose envelope is being read.
    pub loading: u32,
    pub idle: Vec<ConnectionId>,
    pub window: u32,
    /// Until then the window grows no further than to this: it had said that there are too many connections.
    pub ceiling: Option<(u32, Timestamp)>,
    /// Failures in a row to reach any of its hosts.
    pub failures: u16,
    pub rest: Option<Rest>,
    /// An operator lets nothing go there.
    pub suspended: bool,
    pub rate: Rate,
    pub turn: Turn,
    /// Its name stands among the starved, once.
    pub named_starved: bool,
    /// Its name stands among those who wait for their owner, once.
    pub named_paced: bool,
}

/// Where a destination stands in line.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// Not in line: no work, or no room of its own.
    Out,
    /// In the ring.
    Ring,
    /// Waits until the total of connections has room.
    Starved,
    /// Waits until its owner's limits have room.
    Paced,
}

impl Destination {
    pub fn new(target: Target, pacing: Pacing) -> Destination {
        Destination {
            name: target.name(),
            target,
            pacing,
            pace: None,
            ready: VecDeque::new(),
            lots: BTreeSet::new(),
            held: 0,
            connections: 0,
            loading: 0,
            idle: Vec::new(),
            window: WINDOW_FIRST,
            ceiling: None,
            failures: 0,
            rest: None,
            suspended: false,
            rate: Rate::default(),
            turn: Turn::Out,
            named_starved: false,
            named_paced: false,
        }
    }

    /// It took a message: it may have one connection more.
    pub fn took(&mut self, most: u32, now: Timestamp) {
        self.rate.note(now);
        let ceiling = match self.ceiling {
            Some((ceiling, until)) if until > now => ceiling,
            _ => u32::MAX,
        };
        self.window = (self.window + 1).min(most).min(ceiling).max(1);
    }
}

/// How many messages a destination took lately, by minutes.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// The present minute's number.
    minute: i64,
    /// The present minute first.
    taken: [u32; Rate::MINUTES + 1],
}

impl Rate {
    /// Whole minutes that are looked at.
    const MINUTES: usize = 5;

    fn turn(&mut self, now: Timestamp) {
        let minute = now.0.div_euclid(60_000);
        let passed = usize::try_from(minute.saturating_sub(self.minute)).unwrap_or(0).min(self.taken.len());
        self.taken.rotate_right(passed);
        self.taken[..passed].fill(0);
        // A clock that was set back begins anew.
        self.minute = minute;
    }

    pub fn note(&mut self, now: Timestamp) {
        self.turn(now);
        self.taken[0] = self.taken[0].saturating_add(1);
    }

    /// Messages a minute, over the time since the first of those that are looked at.
    pub fn a_minute(&mut self, now: Timestamp) -> Option<f64> {
        self.turn(now);
        let first = self.taken.iter().rposition(|n| *n > 0)?;
        let taken: u32 = self.taken.iter().sum();
        let in_present = now.0.rem_euclid(60_000);
        let time =
            f64::from(u32::try_from(first).unwrap_or(0)) + f64::from(i32::try_from(in_present).unwrap_or(0)) / 60_000.0;
        Some(f64::from(taken) / time.max(1.0))
    }
}
