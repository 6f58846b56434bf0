//! Connections to other servers: what the scheduler decided, carried out.
//!
//! The queue says *connect*, *deliver* and *quit* ([`Outbound`]), one connection is one task ([`connection`]), and what
//! came of it goes back as events: one `Attempted` for each parcel that was tried, one `Closed` for each connection,
//! whatever happens ([`report`]).
//!
//! ```text
//!   NextHop ── candidates ── reach ── talk ───────────────┐
//!              which hosts,  connect  smtp::client over    │── words ── Failure / Taken ── report ── Event
//!              in order               a wire               │
//!   Parcel ─── message ───────────────┘                    │
//!              fit, convert, content                       ┘
//! ```
//!
//! Promises: nothing is lost and nothing is said to be delivered without the peer's own word; no wait without an end; no
//! task, lock or copy of the content for a message on its way over a kept connection. A server that is ourselves
//! is not connected to ([`ours`]).
//!
//! Does not: choose what goes where and when (`relay::scheduler`), judge failures (`relay::settle`), know TLS yet.
//!
//! RFC 5321 §3.3, §5.1; IIS: Delivery tab.

mod candidates;
mod connection;
mod message;
mod ours;
mod reach;
mod report;
pub mod survey;
mod talk;
#[cfg(test)]
mod tests;
mod wire;
mod words;

pub use connection::IDLE_KEEP;

use crate::clock::Clock;
use crate::oauth::Tokens;
use crate::policy::Policies;
use crate::store::Store;
use connection::Command;
use relay::config::VirtualServer;
use relay::parcel::{ConnectionId, Parcel};
use relay::queue::Event;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Connections that are remembered before those that have ended are forgotten.
const SWEEP_MIN: usize = 64;

/// The outbound connections of one virtual server. Belongs to the queue's thread; never blocks.
pub struct Outbound {
    shared: Arc<Shared>,
    runtime: Handle,
    connections: HashMap<ConnectionId, UnboundedSender<Command>>,
    sweep_at: usize,
}

/// What every connection needs.
struct Shared {
    server: Arc<VirtualServer>,
    policies: Policies,
    tokens: Tokens,
    store: Store,
    events: Sender<Event>,
    clock: Clock,
}

impl Outbound {
    /// Without connections yet. Their tasks run on `runtime`; what came of them goes to `events`.
    #[must_use]
    pub fn new(
        server: Arc<VirtualServer>,
        policies: Policies,
        tokens: Tokens,
        store: Store,
        events: Sender<Event>,
        clock: Clock,
        runtime: Handle,
    ) -> Outbound {
        let shared = Arc::new(Shared { server, policies, tokens, store, events, clock });
        Outbound { shared, runtime, connections: HashMap::new(), sweep_at: SWEEP_MIN }
    }

    /// New connections follow this configuration from now on; open ones keep theirs.
    pub fn configure(&mut self, server: Arc<VirtualServer>) {
        let Shared { policies, tokens, store, events, clock, .. } = &*self.shared;
        let (policies, tokens, store) = (policies.clone(), tokens.clone(), store.clone());
        let (events, clock) = (events.clone(), clock.clone());
        self.shared = Arc::new(Shared { server, policies, tokens, store, events, clock });
    }

    /// Opens a connection to the parcel's next hop, and tries the parcel over it.
    pub fn connect(&mut self, connection: ConnectionId, parcel: Parcel) {
        if self.connections.len() >= self.sweep_at {
            self.connections.retain(|_, commands| !commands.is_closed());
            self.sweep_at = SWEEP_MIN.max(self.connections.len() * 2);
        }
        let (sender, receiver) = unbounded_channel();
        self.connections.insert(connection, sender);
        self.runtime.spawn(connection::run(self.shared.clone(), connection, parcel, receiver));
    }

    /// Tries the parcel over an open connection. If that has just ended, its `Closed` is on its way, and says for the
    /// parcel too that it was not tried.
    pub fn deliver(&mut self, connection: ConnectionId, parcel: Parcel) {
        self.tell(connection, Command::Deliver(parcel));
    }

    /// Ends an open connection politely.
    pub fn quit(&mut self, connection: ConnectionId) {
        self.tell(connection, Command::Quit);
        self.connections.remove(&connection);
    }

    fn tell(&mut self, connection: ConnectionId, command: Command) {
        let gone = self.connections.get(&connection).is_none_or(|commands| commands.send(command).is_err());
        if gone {
            self.connections.remove(&connection);
        }
    }
}
