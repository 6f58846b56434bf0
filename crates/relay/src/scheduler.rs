//! In memory: which destination may be tried now, over which connection. Knows lots by name only.
//!
//! A *destination* is a next hop with its own queue, connections and state; a *lot* is the part of one message that
//! goes there. Fairness: destinations with work take turns, one lot a turn, so that none is slowed by another. A
//! destination that does not answer is *down*: nothing goes to it until its wait is over, then one connection
//! probes; the retry state belongs to the destination, not to each message (IIS: Delivery tab). A destination that
//! has not answered yet gets few connections ([`WINDOW_FIRST`]), so that a dead host holds few of the total.
//!
//! Reads no clock. Does not know envelopes, fates or reports ([`crate::queue`] does).

use crate::envelope::{Failure, QueueId};
use crate::parcel::ConnectionId;
use crate::route::{Hosts, NextHop, Protocol};
use smtp::time::Timestamp;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

/// Connections to a destination that has not yet taken a message since it was last down.
pub const WINDOW_FIRST: u32 = 5;
/// Messages over one connection while another destination waits for a place among all connections.
pub const TURN_WHILE_OTHERS_WAIT: u32 = 20;
/// Lots that may be on their way into the Drop folder at a time.
pub const DROP_IN_FLIGHT_MAX: u32 = 512;

/// A destination's place in the table; used again after the destination is forgotten.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct DestinationId(u32);

/// The part of a message that goes to one destination.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct LotName {
    /// The message.
    pub id: QueueId,
    /// Which of its lots.
    pub lot: u32,
}

/// Where lots go.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// The Drop folder.
    Drop,
    /// Another host.
    Hop(Arc<NextHop>),
}

impl fmt::Display for Target {
    /// As the log and the queue's listing name a destination.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hop = match self {
            Target::Drop => return f.write_str("drop"),
            Target::Hop(hop) => hop,
        };
        if hop.protocol == Protocol::Lmtp {
            f.write_str("lmtp:")?;
        }
        match &hop.hosts {
            Hosts::Mx { domain, .. } => domain.fmt(f),
            Hosts::Listed(hosts) => {
                for (i, host) in hosts.iter().enumerate() {
                    write!(f, "{}{host}", if i == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Hosts::Literal { ip, port } => write!(f, "[{ip}]:{port}"),
            Hosts::Unix(path) => path.display().fmt(f),
        }
    }
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

/// A destination that does not answer.
#[derive(Clone, Debug)]
struct Down {
    until: Timestamp,
    failure: Failure,
}

#[derive(Debug)]
struct Destination {
    target: Target,
    /// Lots whose own time has come, oldest first. May hold names of lots that are no more: the queue checks.
    ready: VecDeque<LotName>,
    /// Lots that belong here, ready or not. At none, and no connection, the destination is forgotten.
    lots: u32,
    /// Connections open or opening (for Drop: lots on their way).
    connections: u32,
    /// Lots taken from `ready` whose envelope is being read.
    loading: u32,
    idle: Vec<ConnectionId>,
    window: u32,
    /// Failures in a row to reach any of its hosts.
    failures: u16,
    down: Option<Down>,
    turn: Turn,
    /// Its name stands among the starved, once.
    named_starved: bool,
}

/// Where a destination stands in line.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Turn {
    /// Not in line: no work, or no room of its own.
    Out,
    /// In the ring.
    Ring,
    /// Waits until the total of connections has room.
    Starved,
}

#[derive(Debug)]
struct Connection {
    destination: DestinationId,
    carried: u32,
    carries: Option<LotName>,
}

/// See the module.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    destinations: Vec<Option<Destination>>,
    free: Vec<u32>,
    index: HashMap<Target, DestinationId>,
    connections: HashMap<ConnectionId, Connection>,
    /// Destinations that may have work and room, in turn.
    ring: VecDeque<DestinationId>,
    /// Destinations that have work and room of their own, but the total is reached.
    starved: VecDeque<DestinationId>,
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
            ring: VecDeque::new(),
            starved: VecDeque::new(),
            idle_order: VecDeque::new(),
            next_connection: 1,
        }
    }

    /// New limits hold from the next assignment on; destinations that are down are given another chance now.
    pub fn reconfigure(&mut self, limits: Limits, now: Timestamp) {
        self.limits = limits;
        for slot in 0..self.destinations.len() {
            let Some(destination) = self.destinations[slot].as_mut() else { continue };
            if let Some(down) = &mut destination.down {
                down.until = now;
            }
            self.enter_ring(DestinationId(u32::try_from(slot).unwrap_or(u32::MAX)));
        }
    }

    /// Connections open or opening.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Destinations known at the moment.
    #[must_use]
    pub fn destinations(&self) -> usize {
        self.index.len()
    }

    /// A new lot belongs to `target`; gives the destination's name.
    pub fn enrol(&mut self, target: &Target) -> DestinationId {
        let id = match self.index.get(target) {
            Some(id) => *id,
            None => self.found(target.clone()),
        };
        if let Some(destination) = self.slot(id) {
            destination.lots += 1;
        }
        id
    }

    fn found(&mut self, target: Target) -> DestinationId {
        let destination = Destination {
            target: target.clone(),
            ready: VecDeque::new(),
            lots: 0,
            connections: 0,
            loading: 0,
            idle: Vec::new(),
            window: WINDOW_FIRST,
            failures: 0,
            down: None,
            turn: Turn::Out,
            named_starved: false,
        };
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

    /// A lot is done with, or belongs elsewhere now.
    pub fn discharge(&mut self, id: DestinationId) {
        if let Some(destination) = self.slot(id) {
            destination.lots = destination.lots.saturating_sub(1);
        }
        self.forget_if_unused(id);
    }

    fn forget_if_unused(&mut self, id: DestinationId) {
        let unused = self.slot(id).is_some_and(|d| d.lots == 0 && d.connections == 0);
        if unused && let Some(destination) = self.destinations[id.0 as usize].take() {
            self.index.remove(&destination.target);
            self.free.push(id.0);
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
    pub fn ready(&mut self, id: DestinationId, lot: LotName) {
        if let Some(destination) = self.slot(id) {
            destination.ready.push_back(lot);
        }
        self.enter_ring(id);
    }

    /// A lot that was taken goes first again: its envelope has been read, or its connection closed before it was tried.
    pub fn ready_first(&mut self, id: DestinationId, lot: LotName) {
        if let Some(destination) = self.slot(id) {
            destination.ready.push_front(lot);
        }
        self.enter_ring(id);
    }

    /// A lot was taken whose envelope must be read first; it holds a place until [`Scheduler::loaded`].
    pub fn loading(&mut self, id: DestinationId) {
        if let Some(destination) = self.slot(id) {
            destination.loading += 1;
        }
    }

    /// The envelope has been read, or could not be.
    pub fn loaded(&mut self, id: DestinationId) {
        if let Some(destination) = self.slot(id) {
            destination.loading = destination.loading.saturating_sub(1);
        }
        self.enter_ring(id);
    }

    fn enter_ring(&mut self, id: DestinationId) {
        let Some(destination) = self.slot(id) else { return };
        let may_reuse = destination.turn == Turn::Starved && !destination.idle.is_empty();
        if (destination.turn == Turn::Out || may_reuse) && !destination.ready.is_empty() {
            destination.turn = Turn::Ring;
            self.ring.push_back(id);
        }
    }

    /// When the total has room, the first that waits for that: whoever has just given a place back must not have it again
    /// before them. Else the next in the ring.
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
        self.ring.pop_front()
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
            };
            if let Some(destination) = self.slot(id) {
                destination.turn = turn;
            }
        }
        None
    }

    fn room(&self, id: DestinationId, now: Timestamp) -> Room {
        let Some(destination) = self.see(id) else { return Room::No };
        if destination.ready.is_empty() {
            return Room::No;
        }
        if destination.target == Target::Drop {
            let taken = destination.connections + destination.loading;
            return if taken < DROP_IN_FLIGHT_MAX { Room::Yes } else { Room::No };
        }
        let taken = destination.connections + destination.loading;
        let most = match &destination.down {
            Some(down) if down.until > now => return Room::No,
            Some(_) => 1,
            None => destination.window.min(self.limits.per_destination_max),
        };
        if (destination.idle.len() as u32) > destination.loading {
            Room::Yes
        } else if taken >= most {
            Room::No
        } else if self.connections.len() as u32 >= self.limits.connections_max {
            Room::NotInTotal
        } else {
            Room::Yes
        }
    }

    /// The oldest ready lot of a destination that was picked.
    pub fn take(&mut self, id: DestinationId) -> Option<LotName> {
        self.slot(id)?.ready.pop_front()
    }

    /// Sends the lot, taken just now, on its way.
    pub fn assign(&mut self, id: DestinationId, lot: LotName) -> Option<Way> {
        let destination = self.destinations.get_mut(id.0 as usize)?.as_mut()?;
        if destination.target == Target::Drop {
            destination.connections += 1;
            return Some(Way::Drop);
        }
        if let Some(name) = destination.idle.pop() {
            let connection = self.connections.get_mut(&name)?;
            connection.carries = Some(lot);
            return Some(Way::Reuse(name));
        }
        destination.connections += 1;
        let name = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(name, Connection { destination: id, carried: 0, carries: Some(lot) });
        Some(Way::Open(name))
    }

    /// What a connection carries.
    #[must_use]
    pub fn carried_by(&self, name: ConnectionId) -> Option<(DestinationId, Option<LotName>)> {
        self.connections.get(&name).map(|c| (c.destination, c.carries))
    }

    /// A lot for Drop was tried.
    pub fn drop_done(&mut self, id: DestinationId) {
        if let Some(destination) = self.slot(id) {
            destination.connections = destination.connections.saturating_sub(1);
        }
        self.enter_ring(id);
        self.forget_if_unused(id);
    }

    /// The connection has tried its lot. `usable`: it can carry another. Gives true if it should be ended with QUIT.
    pub fn connection_done(&mut self, name: ConnectionId, usable: bool, took: bool) -> bool {
        let per_connection = self.limits.messages_per_connection;
        let per_destination = self.limits.per_destination_max;
        let others_wait = !self.starved.is_empty();
        let Some(connection) = self.connections.get_mut(&name) else { return false };
        connection.carries = None;
        connection.carried += 1;
        let spent =
            connection.carried >= per_connection || (others_wait && connection.carried >= TURN_WHILE_OTHERS_WAIT);
        let id = connection.destination;
        let Some(destination) = self.slot(id) else { return false };
        if took {
            destination.window = (destination.window + 1).min(per_destination);
        }
        if usable && !spent {
            destination.idle.push(name);
            self.idle_order.push_back(name);
            if self.idle_order.len() > 4 * self.connections.len() + 64 {
                self.tidy_idle();
            }
        }
        self.enter_ring(id);
        usable && spent
    }

    fn tidy_idle(&mut self) {
        let connections = &self.connections;
        let mut seen = HashSet::new();
        self.idle_order.retain(|name| connections.get(name).is_some_and(|c| c.carries.is_none()) && seen.insert(*name));
    }

    /// An idle connection that may be ended so that another destination gets its place.
    pub fn reclaim(&mut self) -> Option<ConnectionId> {
        if self.starved.is_empty() {
            return None;
        }
        while let Some(name) = self.idle_order.pop_front() {
            let Some(connection) = self.connections.get(&name) else { continue };
            let id = connection.destination;
            if let Some(destination) = self.slot(id)
                && let Some(at) = destination.idle.iter().position(|n| *n == name)
            {
                destination.idle.swap_remove(at);
                return Some(name);
            }
        }
        None
    }

    /// The connection is over; gives its destination and the lot that it carried and did not try.
    pub fn connection_closed(&mut self, name: ConnectionId) -> Option<(DestinationId, Option<LotName>)> {
        let connection = self.connections.remove(&name)?;
        let id = connection.destination;
        if let Some(destination) = self.slot(id) {
            destination.connections = destination.connections.saturating_sub(1);
            destination.idle.retain(|n| *n != name);
        }
        self.enter_ring(id);
        Some((id, connection.carries))
    }

    /// After [`Scheduler::connection_closed`] and the settling of its lot: a destination without work is forgotten.
    pub fn tidy(&mut self, id: DestinationId) {
        self.forget_if_unused(id);
    }

    /// A host of the destination has answered: it is up. True if it was down before.
    pub fn answered(&mut self, id: DestinationId) -> bool {
        let Some(destination) = self.slot(id) else { return false };
        destination.failures = 0;
        let was_down = destination.down.take().is_some();
        self.enter_ring(id);
        was_down
    }

    /// No host of the destination could be reached: it is down. Gives how often in a row, and how many lots wait.
    /// A failure that comes in while it is down already (other connections opened before) counts only once.
    pub fn unreachable(&mut self, id: DestinationId, now: Timestamp) -> Option<(u16, usize)> {
        let destination = self.slot(id)?;
        if destination.down.as_ref().is_some_and(|down| down.until > now) {
            return None;
        }
        destination.failures = destination.failures.saturating_add(1);
        destination.window = WINDOW_FIRST;
        Some((destination.failures, destination.lots as usize))
    }

    /// Nothing goes to it until then.
    pub fn close_until(&mut self, id: DestinationId, until: Timestamp, failure: Failure) {
        if let Some(destination) = self.slot(id) {
            destination.down = Some(Down { until, failure });
        }
    }

    /// Until when the destination is down, and why.
    #[must_use]
    pub fn down(&self, id: DestinationId) -> Option<(Timestamp, &Failure)> {
        self.see(id)?.down.as_ref().map(|down| (down.until, &down.failure))
    }

    /// The destination's wait is over: let it have its turn.
    pub fn wake(&mut self, id: DestinationId) {
        self.enter_ring(id);
    }
}

enum Room {
    Yes,
    No,
    NotInTotal,
}
