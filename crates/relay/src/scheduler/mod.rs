//! In memory: which destination may be tried now, over which connection. Knows lots by name only.
//!
//! A *destination* is a next hop with its own queue, connections and state; a *lot* is the part of one message that
//! goes there. Fairness: destinations with work take turns, one lot a turn, so that none is slowed by another. A
//! destination that does not answer, wants less mail, or cannot be reached as its terms want it *rests* ([`rest`]):
//! nothing goes to it until its wait is over, then one connection probes; the retry state belongs to the destination, not to
//! each message (IIS: Delivery tab). A destination that has not answered yet gets few connections ([`WINDOW_FIRST`]), so that
//! a dead host holds few of the total. Smart hosts and remote domains have limits of their own ([`pace`]).
//!
//! Reads no clock. Does not know envelopes, fates or reports ([`crate::queue`] does).

mod connection;
mod destination;
mod forecast;
mod pace;
mod rest;
mod target;
mod view;

pub use forecast::Forecast;
pub use pace::Paced;
pub use rest::{Rest, Troubled};
pub use target::Target;
pub use view::Standing;

use crate::config::Pacing;
use crate::config::terms::Owner;
use crate::envelope::QueueId;
use crate::parcel::ConnectionId;
use connection::{Cargo, Connection};
use destination::{Destination, Turn};
use pace::Pace;
use smtp::time::Timestamp;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// Connections to a destination that has not yet taken a message since it was last down.
pub const WINDOW_FIRST: u32 = 5;
/// Messages over one connection while another destination waits for a place among all connections.
pub const TURN_WHILE_OTHERS_WAIT: u32 = 20;
/// Lots that may be on their way into the Drop folder at a time.
pub const DROP_IN_FLIGHT_MAX: u32 = 512;

/// A destination's place in the table; used again after the destination is forgotten.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DestinationId(pub(crate) u32);

/// The part of a message that goes to one destination.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LotName {
    /// The message.
    pub id: QueueId,
    /// Which of its lots.
    pub lot: u32,
}

/// The bounds that the configuration sets.
#[derive(Copy, Clone, Debug)]
pub struct Limits {
    /// Connections in all.
    pub connections_max: u32,
    /// Connections to one destination.
    pub per_destination_max: u32,
    /// Messages over one connection.
    pub messages_per_connection: u32,
}

/// How an assigned lot travels.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// Into Drop.
    Drop,
    /// Over a connection to be opened.
    Open(ConnectionId),
    /// Over an open connection.
    Reuse(ConnectionId),
}

/// What is to be looked at again at a time.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Wake {
    Destination(DestinationId),
    Pace(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    destinations: Vec<Option<Destination>>,
    free: Vec<u32>,
    index: HashMap<Target, DestinationId>,
    connections: HashMap<ConnectionId, Connection>,
    /// How many of them carry something.
    carrying: usize,
    /// Destinations that may have work and room, in turn.
    ring: VecDeque<DestinationId>,
    /// Destinations that have work and room of their own, but the total is reached.
    starved: VecDeque<DestinationId>,
    /// Owners with limits, and what went out on their terms.
    paces: Vec<Pace>,
    /// Those of them that may have room again for destinations that wait for it.
    released: VecDeque<usize>,
    /// Idle connections to be ended so that another destination of the same owner gets a place.
    to_quit: Vec<ConnectionId>,
    /// Suspended destinations by name, and since when.
    suspended: HashMap<Box<str>, Timestamp>,
    wakes: BinaryHeap<Reverse<(Timestamp, Wake)>>,
    /// Connections that became idle, oldest first; stale names are skipped.
    idle_order: VecDeque<ConnectionId>,
    next_connection: u64,
}

impl Scheduler {
    /// An empty scheduler.
    #[must_use]
    pub fn new(limits: Limits) -> Scheduler {
        Scheduler {
            limits,
            destinations: Vec::new(),
            free: Vec::new(),
            index: HashMap::new(),
            connections: HashMap::new(),
            carrying: 0,
            ring: VecDeque::new(),
            starved: VecDeque::new(),
            paces: Vec::new(),
            released: VecDeque::new(),
            to_quit: Vec::new(),
            suspended: HashMap::new(),
            wakes: BinaryHeap::new(),
            idle_order: VecDeque::new(),
            next_connection: 1,
        }
    }

    /// New limits hold from the next assignment on; destinations that rest are given another chance now.
    pub fn reconfigure(&mut self, limits: Limits, now: Timestamp) {
        self.limits = limits;
        for id in self.those(|_| true) {
            self.end_rest(id, now);
        }
    }

    /// Those for which this is true, in the order of the table.
    fn those(&self, which: impl Fn(&Destination) -> bool) -> Vec<DestinationId> {
        let numbered = (0u32..).zip(&self.destinations);
        numbered.filter(|(_, d)| d.as_ref().is_some_and(&which)).map(|(id, _)| DestinationId(id)).collect()
    }

    /// Connections open or opening.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Is nothing on its way to another host?
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.carrying == 0
    }

    /// How many destinations wait for a place, if all are taken.
    #[must_use]
    pub fn starved(&self) -> usize {
        let is_full = self.connections.len() >= self.limits.connections_max as usize;
        if is_full { self.starved.len() } else { 0 }
    }

    /// Destinations known at the moment.
    #[must_use]
    pub fn destinations(&self) -> usize {
        self.index.len()
    }

    /// Times that are set to look at something again, stale ones among them.
    #[must_use]
    pub fn wakes(&self) -> usize {
        self.wakes.len()
    }

    /// When [`Scheduler::wake`] is wanted.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.wakes.peek().map(|Reverse((at, _))| *at)
    }

    /// Time has passed: waits that are over end.
    pub fn wake(&mut self, now: Timestamp) {
        while let Some(Reverse((at, _))) = self.wakes.peek()
            && *at <= now
        {
            let Some(Reverse((_, wake))) = self.wakes.pop() else { break };
            match wake {
                Wake::Destination(id) => self.enter_ring(id),
                Wake::Pace(pace) => {
                    self.paces[pace].wake = None;
                    self.release(pace);
                }
            }
        }
    }

    fn wake_at(&mut self, at: Timestamp, wake: Wake) {
        self.wakes.push(Reverse((at, wake)));
    }

    /// A new lot belongs to `target`; gives the destination's name.
    pub fn enrol(&mut self, target: &Target, lot: LotName) -> DestinationId {
        let id = match self.index.get(target) {
            Some(id) => *id,
            None => self.found(target.clone()),
        };
        if let Some(destination) = self.slot(id) {
            destination.lots.insert(lot);
        }
        id
    }

    fn found(&mut self, target: Target) -> DestinationId {
        let pacing = target.terms().map(|terms| terms.pacing).unwrap_or_default();
        let mut destination = Destination::new(target.clone(), pacing);
        if pacing != Pacing::default() {
            destination.pace = target.terms().map(|terms| self.pace_of(&terms.owner));
        }
        if let Some(at) = destination.pace {
            self.paces[at].destinations += 1;
        }
        destination.suspended = self.suspended.contains_key(&destination.name);
        let id = match self.free.pop() {
            Some(slot) => DestinationId(slot),
            None => {
                self.destinations.push(None);
                DestinationId(u32::try_from(self.destinations.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.destinations[id.0 as usize] = Some(destination);
        self.index.insert(target, id);
        id
    }

    fn pace_of(&mut self, owner: &Owner) -> usize {
        let known = self.paces.iter().position(|pace| pace.owner == *owner);
        let at = known.or_else(|| self.paces.iter().position(Pace::is_blank)).unwrap_or(self.paces.len());
        match self.paces.get_mut(at) {
            Some(pace) if pace.owner == *owner => {}
            Some(blank) => blank.begin_anew(owner.clone()),
            None => self.paces.push(Pace::new(owner.clone())),
        }
        at
    }

    /// A lot is done with, or belongs elsewhere now.
    pub fn discharge(&mut self, id: DestinationId, lot: LotName) {
        if let Some(destination) = self.slot(id) {
            destination.lots.remove(&lot);
        }
        self.forget_if_unused(id);
    }

    fn forget_if_unused(&mut self, id: DestinationId) {
        let unused = self.slot(id).is_some_and(|d| d.lots.is_empty() && d.connections == 0);
        if unused && let Some(destination) = self.destinations[id.0 as usize].take() {
            self.index.remove(&destination.target);
            self.free.push(id.0);
            if let Some(at) = destination.pace {
                self.paces[at].destinations -= 1;
            }
        }
    }

    fn slot(&mut self, id: DestinationId) -> Option<&mut Destination> {
        self.destinations.get_mut(id.0 as usize).and_then(Option::as_mut)
    }

    fn see(&self, id: DestinationId) -> Option<&Destination> {
        self.destinations.get(id.0 as usize).and_then(Option::as_ref)
    }

    /// Where a destination's mail goes.
    #[must_use]
    pub fn target(&self, id: DestinationId) -> Option<&Target> {
        self.see(id).map(|d| &d.target)
    }

    /// The lot's own time has come: it waits for its turn.
    pub fn ready(&mut self, id: DestinationId, lot: LotName, recipients: u32) {
        if let Some(destination) = self.slot(id) {
            destination.ready.push_back(Cargo { lot, recipients });
        }
        self.enter_ring(id);
    }

    /// A lot that was taken goes first again: its envelope has been read, or its connection closed before it was tried.
    pub fn ready_first(&mut self, id: DestinationId, lot: LotName, recipients: u32) {
        if let Some(destination) = self.slot(id) {
            destination.ready.push_front(Cargo { lot, recipients });
        }
        self.enter_ring(id);
    }

    /// A lot was taken whose envelope must be read first; it holds a place until [`Scheduler::loaded`].
    pub fn loading(&mut self, id: DestinationId) {
        if let Some(destination) = self.slot(id) {
            destination.loading += 1;
            if let Some(pace) = destination.pace {
                self.paces[pace].begin(1);
            }
        }
    }

    /// The envelope has been read, or could not be.
    pub fn loaded(&mut self, id: DestinationId) {
        if let Some(destination) = self.slot(id) {
            destination.loading = destination.loading.saturating_sub(1);
            if let Some(pace) = destination.pace {
                self.paces[pace].untried(1);
                self.release(pace);
            }
        }
        self.enter_ring(id);
    }

    fn enter_ring(&mut self, id: DestinationId) {
        let Some(destination) = self.slot(id) else { return };
        let may_reuse = matches!(destination.turn, Turn::Starved | Turn::Paced) && !destination.idle.is_empty();
        if (destination.turn == Turn::Out || may_reuse) && !destination.ready.is_empty() {
            destination.turn = Turn::Ring;
            self.ring.push_back(id);
        }
    }

    /// When the total has room, the first that waits for that: whoever has just given a place back must not have it again
    /// before them. Then those whose owner has room again. Else the next in the ring.
    fn next_in_line(&mut self) -> Option<DestinationId> {
        while (self.connections.len() as u32) < self.limits.connections_max
            && let Some(id) = self.starved.pop_front()
        {
            // A name is stale when the destination got its turn in another way, or is forgotten.
            if let Some(destination) = self.slot(id) {
                destination.named_starved = false;
                if destination.turn == Turn::Starved {
                    destination.turn = Turn::Ring;
                    return Some(id);
                }
            }
        }
        while let Some(&at) = self.released.front() {
            if let Some(id) = self.next_paced(at) {
                return Some(id);
            }
            self.released.pop_front();
            self.paces[at].listed = false;
        }
        self.ring.pop_front()
    }

    /// The first that waits for its owner, as long as that may have room.
    fn next_paced(&mut self, at: usize) -> Option<DestinationId> {
        while self.paces[at].open
            && let Some(id) = self.paces[at].waiting.pop_front()
        {
            if let Some(destination) = self.slot(id).filter(|d| d.pace == Some(at)) {
                destination.named_paced = false;
                if destination.turn == Turn::Paced {
                    destination.turn = Turn::Ring;
                    return Some(id);
                }
            }
        }
        None
    }

    /// An owner may have room again.
    fn release(&mut self, at: usize) {
        let pace = &mut self.paces[at];
        pace.open = true;
        if !pace.waiting.is_empty() && !std::mem::replace(&mut pace.listed, true) {
            self.released.push_back(at);
        }
    }

    /// The next destination in turn that has a ready lot and room for it.
    pub fn pick(&mut self, now: Timestamp) -> Option<DestinationId> {
        while let Some(id) = self.next_in_line() {
            let turn = match self.room(id, now) {
                Room::Yes => {
                    self.ring.push_back(id);
                    return Some(id);
                }
                Room::No => Turn::Out,
                Room::NotInTotal => {
                    // Whoever goes on over the connections that it has keeps its old place in this line.
                    if self.slot(id).is_some_and(|d| !std::mem::replace(&mut d.named_starved, true)) {
                        self.starved.push_back(id);
                    }
                    Turn::Starved
                }
                Room::NotInPace(at, until) => {
                    self.wait_for_pace(id, at, until);
                    Turn::Paced
                }
            };
            if let Some(destination) = self.slot(id) {
                destination.turn = turn;
            }
        }
        None
    }

    fn wait_for_pace(&mut self, id: DestinationId, at: usize, until: pace::Room) {
        if self.slot(id).is_some_and(|d| !std::mem::replace(&mut d.named_paced, true)) {
            self.paces[at].waiting.push_back(id);
        }
        self.paces[at].open = false;
        match until {
            pace::Room::At(time) if self.paces[at].wake.is_none_or(|set| set > time) => {
                self.paces[at].wake = Some(time);
                self.wake_at(time, Wake::Pace(at));
            }
            pace::Room::WhenOneCloses if self.paces[at].idle > 0 => self.quit_one_of(at),
            _ => {}
        }
    }

    fn room(&mut self, id: DestinationId, now: Timestamp) -> Room {
        let Some(destination) = self.destinations.get_mut(id.0 as usize).and_then(Option::as_mut) else {
            return Room::No;
        };
        let Some(first) = destination.ready.front() else { return Room::No };
        if destination.suspended {
            return Room::No;
        }
        let taken = destination.connections + destination.loading;
        if destination.target == Target::Drop {
            return if taken < DROP_IN_FLIGHT_MAX { Room::Yes } else { Room::No };
        }
        let idle = destination.idle.len() as u32;
        let most = match &destination.rest {
            Some(rest) if rest.until > now => return Room::No,
            // One probes, over whatever connection.
            Some(_) if taken > idle => return Room::No,
            _ => destination.window.min(self.limits.per_destination_max),
        };
        let reuses = idle > destination.loading;
        if !reuses && taken >= most {
            return Room::No;
        }
        if let Some(at) = destination.pace {
            let pace = &mut self.paces[at];
            pace.turn(now);
            match pace.room(&destination.pacing, first.recipients, !reuses) {
                pace::Room::Now => {}
                until => return Room::NotInPace(at, until),
            }
        }
        if reuses || (self.connections.len() as u32) < self.limits.connections_max {
            Room::Yes
        } else {
            Room::NotInTotal
        }
    }

    /// The oldest ready lot of a destination that was picked.
    pub fn take(&mut self, id: DestinationId) -> Option<LotName> {
        self.slot(id)?.ready.pop_front().map(|cargo| cargo.lot)
    }

    /// After [`Scheduler::connection_closed`] and the settling of its lot: a destination without work is forgotten.
    pub fn tidy(&mut self, id: DestinationId) {
        self.forget_if_unused(id);
    }

    /// What went out on each owner's terms; what is under way counts as gone out now.
    #[must_use]
    pub fn paced(&self, now: Timestamp) -> Vec<Paced> {
        self.paces.iter().map(|pace| pace.paced(now)).filter(|paced| !paced.ended.is_empty()).collect()
    }

    /// What an earlier life had sent counts as well.
    pub fn resume_pace(&mut self, paced: &Paced) {
        let at = self.pace_of(&paced.owner);
        self.paces[at].resume(paced);
    }
}

enum Room {
    Yes,
    No,
    NotInTotal,
    NotInPace(usize, pace::Room),
}
