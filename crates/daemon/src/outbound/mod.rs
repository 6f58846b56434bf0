//! Connections to other servers: what the scheduler decided, carried out.
//!
//! The queue says *connect*, *deliver* and *quit* ([`Outbound`]), one connection is one task ([`connection`]), and what
//! came of it goes back as events: one `Attempted` for each parcel that was tried, one `Closed` for each connection,
//! whatever happens ([`report`]).
//!
//! ```text
//!   NextHop ── candidates ── reach ──── open ──── talk ───────┐
//!              which hosts,  connect   TLS, who   smtp::client  │── words ── Failure / Taken ── report ── Event
//!              in order                we are     over a wire   │
//!   Parcel ─── message ───────────────────────────┘             │
//!              fit, convert, content                            ┘
//! ```
//!
//! Promises: nothing is lost and nothing is said to be delivered without the peer's own word; no wait without an end; no
//! task, lock or copy of the content for a message on its way over a kept connection. A server that is ourselves
//! is not connected to ([`ours`]).
//!
//! Nothing is said to a host, and no message goes, under less protection than [`crate::policy`] demands of it.
//!
//! An operator sees each connection and may end it at any time ([`crate::sessions`]): what its parcel has no answer for by then failed
//! for now.
//!
//! Does not: choose what goes where and when (`relay::scheduler`), judge failures (`relay::settle`), decide how a channel must
//! be (`relay::route::protection`) or look at certificates ([`crate::tls::client`]).
//!
//! RFC 5321 §3.3, §5.1; IIS: Delivery tab.

mod alarm;
mod candidates;
mod connection;
mod cooling;
mod login;
mod message;
mod open;
mod ours;
pub mod probe;
mod reach;
mod report;
pub mod survey;
mod talk;
#[cfg(test)]
mod tests;
#[cfg(feature = "kerberos")]
mod ticket;
#[cfg(not(feature = "kerberos"))]
#[path = "without_ticket.rs"]
mod ticket;
mod turn;
mod wire;
mod words;

pub use connection::{IDLE_KEEP, SERVE_MAX};

use crate::clock::Clock;
use crate::log::Log;
use crate::oauth::Tokens;
use crate::policy::Policies;
use crate::sessions::Registry;
use crate::store::Store;
use crate::tls::client::ClientSetups;
use connection::Command;
use cooling::Cooling;
use relay::config::VirtualServer;
use relay::parcel::{ConnectionId, Parcel};
use relay::queue::Event;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use turn::Crowd;

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
    store: Store,
    events: Sender<Event>,
    log: Log,
    tokens: Tokens,
    clock: Clock,
    /// What TLS needs; anew with each configuration.
    setups: Arc<ClientSetups>,
    cooling: Arc<Cooling>,
    /// How many wait for a place while all are taken, and who gives his.
    crowd: Arc<Crowd>,
    /// Where ACME keeps what it obtained.
    state: PathBuf,
    /// Where operators see the connections.
    sessions: Arc<Registry>,
}

/// What connections need beside the configuration.
pub struct Means {
    /// What domains publish about their hosts.
    pub policies: Policies,
    /// Where messages are.
    pub store: Store,
    /// Where what came of it goes.
    pub events: Sender<Event>,
    /// What the operator reads.
    pub log: Log,
    /// Tokens for hosts that want OAuth 2.0.
    pub tokens: Tokens,
    /// The time.
    pub clock: Clock,
    /// The folder of the service's own files.
    pub state: PathBuf,
    /// Where operators see the connections.
    pub sessions: Arc<Registry>,
}

impl Outbound {
    /// Without connections yet. Their tasks run on `runtime`.
    #[must_use]
    pub fn new(server: Arc<VirtualServer>, means: Means, runtime: Handle) -> Outbound {
        let Means { policies, store, events, log, tokens, clock, state, sessions } = means;
        let setups = Arc::new(ClientSetups::new(state.clone(), clock.clone()));
        let (cooling, crowd) = (Arc::default(), Arc::default());
        let shared =
            Shared { server, policies, store, events, log, tokens, clock, setups, cooling, crowd, state, sessions };
        Outbound { shared: Arc::new(shared), runtime, connections: HashMap::new(), sweep_at: SWEEP_MIN }
    }

    /// New connections follow this configuration from now on; open ones keep theirs.
    pub fn configure(&mut self, server: Arc<VirtualServer>) {
        let Shared { policies, store, events, log, tokens, clock, cooling, crowd, state, sessions, .. } = &*self.shared;
        self.shared = Arc::new(Shared {
            server,
            policies: policies.clone(),
            store: store.clone(),
            events: events.clone(),
            log: log.clone(),
            tokens: tokens.clone(),
            clock: clock.clone(),
            // Files may have other contents by now, and terms other owners.
            setups: Arc::new(ClientSetups::new(state.clone(), clock.clone())),
            cooling: Arc::clone(cooling),
            crowd: Arc::clone(crowd),
            state: state.clone(),
            sessions: Arc::clone(sessions),
        });
    }

    /// How many destinations wait for a place while all are taken: as many hosts that stay silent give theirs (module `turn`).
    pub fn note_waiting(&self, waiting: usize) {
        self.shared.crowd.note(waiting);
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
