//! Connections: what they carry, when they are idle, when they have carried enough.

use super::{DestinationId, LotName, Scheduler, TURN_WHILE_OTHERS_WAIT, Target, Way};
use crate::parcel::ConnectionId;
use smtp::time::Timestamp;
use std::collections::HashSet;

/// What a connection carries.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Cargo {
    pub lot: LotName,
    pub recipients: u32,
}

#[derive(Debug)]
pub(super) struct Connection {
    destination: DestinationId,
    pub pace: Option<usize>,
    carried: u32,
    carries: Option<Cargo>,
}

impl Scheduler {
    /// Sends the lot, taken just now, on its way.
    pub fn assign(&mut self, id: DestinationId, lot: LotName, recipients: u32) -> Option<Way> {
        let destination = self.destinations.get_mut(id.0 as usize)?.as_mut()?;
        if destination.target == Target::Drop {
            destination.connections += 1;
            return Some(Way::Drop);
        }
        let carries = Some(Cargo { lot, recipients });
        self.carrying += 1;
        let at = destination.pace;
        if let Some(at) = at {
            self.paces[at].begin(recipients);
        }
        if let Some(name) = destination.idle.pop() {
            if let Some(at) = at {
                self.paces[at].idle -= 1;
            }
            let connection = self.connections.get_mut(&name)?;
            connection.carries = carries;
            return Some(Way::Reuse(name));
        }
        destination.connections += 1;
        if let Some(at) = at {
            self.paces[at].connections += 1;
        }
        let name = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.connections.insert(name, Connection { destination: id, pace: at, carried: 0, carries });
        Some(Way::Open(name))
    }

    /// What a connection carries.
    #[must_use]
    pub fn carried_by(&self, name: ConnectionId) -> Option<(DestinationId, Option<LotName>)> {
        self.connections.get(&name).map(|c| (c.destination, c.carries.map(|cargo| cargo.lot)))
    }

    /// Connections of the destination that carry something or can: not those that are about to end.
    pub(super) fn of_use(&self, id: DestinationId) -> u32 {
        let carrying = self.connections.values().filter(|c| c.destination == id && c.carries.is_some()).count();
        let all = carrying + self.see(id).map_or(0, |destination| destination.idle.len());
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// A lot for Drop was tried.
    pub fn drop_done(&mut self, id: DestinationId, now: Timestamp) {
        if let Some(destination) = self.slot(id) {
            destination.connections = destination.connections.saturating_sub(1);
            destination.rate.note(now);
        }
        self.enter_ring(id);
        self.forget_if_unused(id);
    }

    /// The connection has tried its lot. `usable`: it can carry another. Gives true if it should be ended with QUIT.
    pub fn connection_done(&mut self, name: ConnectionId, usable: bool, took: bool, now: Timestamp) -> bool {
        let limits = self.limits;
        let others_wait = !self.starved.is_empty();
        let Some(connection) = self.connections.get_mut(&name) else { return false };
        let carried = connection.carries.take();
        self.carrying -= usize::from(carried.is_some());
        connection.carried += 1;
        let (id, pace, carried_so_far) = (connection.destination, connection.pace, connection.carried);
        if let (Some(at), Some(cargo)) = (pace, carried) {
            self.paces[at].ended(cargo.recipients, now);
        }
        let Some(destination) = self.slot(id) else { return false };
        let own = destination.pacing.messages_per_connection.unwrap_or(u32::MAX);
        let spent = carried_so_far >= limits.messages_per_connection.min(own)
            || (others_wait && carried_so_far >= TURN_WHILE_OTHERS_WAIT);
        if took {
            destination.took(limits.per_destination_max, now);
        }
        if usable && !spent {
            destination.idle.push(name);
            self.idle_order.push_back(name);
            if let Some(at) = pace {
                self.paces[at].idle += 1;
            }
            if self.idle_order.len() > 4 * self.connections.len() + 64 {
                self.tidy_idle();
            }
        }
        if let Some(at) = pace {
            self.release(at);
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
        if let Some(name) = self.to_quit.pop() {
            return Some(name);
        }
        if self.starved.is_empty() {
            return None;
        }
        while let Some(name) = self.idle_order.pop_front() {
            if self.no_longer_idle(name) {
                return Some(name);
            }
        }
        None
    }

    /// Of the connections on this owner's terms the one that has been idle for longest is to be ended.
    pub(super) fn quit_one_of(&mut self, at: usize) {
        let of_this = |name: &ConnectionId| self.connections.get(name).is_some_and(|c| c.pace == Some(at));
        let names: Vec<ConnectionId> = self.idle_order.iter().filter(|name| of_this(name)).copied().collect();
        if let Some(name) = names.into_iter().find(|name| self.no_longer_idle(*name)) {
            self.to_quit.push(name);
        }
    }

    /// Takes a connection out of its destination's idle ones; false if it is not among them.
    fn no_longer_idle(&mut self, name: ConnectionId) -> bool {
        let Some(connection) = self.connections.get(&name) else { return false };
        let (id, pace) = (connection.destination, connection.pace);
        let Some(destination) = self.slot(id) else { return false };
        let Some(at) = destination.idle.iter().position(|n| *n == name) else { return false };
        destination.idle.swap_remove(at);
        if let Some(pace) = pace {
            self.paces[pace].idle -= 1;
        }
        true
    }

    /// The connection is over; gives its destination and the lot that it carried and did not try.
    pub fn connection_closed(&mut self, name: ConnectionId) -> Option<(DestinationId, Option<LotName>)> {
        self.no_longer_idle(name);
        let connection = self.connections.remove(&name)?;
        self.carrying -= usize::from(connection.carries.is_some());
        let id = connection.destination;
        if let Some(destination) = self.slot(id) {
            destination.connections = destination.connections.saturating_sub(1);
        }
        if let Some(at) = connection.pace {
            self.paces[at].connections = self.paces[at].connections.saturating_sub(1);
            if let Some(cargo) = connection.carries {
                self.paces[at].untried(cargo.recipients);
            }
            self.release(at);
        }
        self.enter_ring(id);
        Some((id, connection.carries.map(|cargo| cargo.lot)))
    }
}
