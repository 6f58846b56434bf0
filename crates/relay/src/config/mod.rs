//! What the operator wants: one file, parsed and checked as a whole, kept as a snapshot that never changes.
//!
//! [`Config::parse`] turns `mailroot.toml` into a [`Config`] or into all its problems, each with line, caret and what to
//! write instead. Every setting is declared once, in the file of its property tab, and listed in [`settings::ALL`]. A
//! bad file yields no configuration at all, so it can never replace a good one.
//!
//! Whoever works with a `Config` takes its values for granted: names are parsed, folders absolute, ranges kept, no two
//! listeners overlap, no relay list is open to the world. Nothing here reads a disk or resolves a name.
//!
//! IIS: the property tabs of a virtual server, with the defaults that setup wrote.

pub mod access;
mod check;
pub mod delivery;
mod describe;
pub mod dns;
pub mod domains;
pub mod general;
pub mod identity;
pub mod messages;
mod network;
mod parse;
pub mod problem;
pub mod quantity;
pub mod queue;
mod read;
mod sample;
pub mod settings;

pub use parse::{FILE_MAX, SERVERS_MAX};
pub use problem::Problem;

use smtp::address::{Domain, Host, Mailbox};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Inbound, or outbound, connections of one virtual server where "no limit" is set.
pub const CONNECTIONS_CEILING: u32 = 20_000;

/// `mailroot.toml`, checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[dns]`
    pub dns: Dns,
    /// `[[virtual_server]]`, at least one.
    pub servers: Vec<Arc<VirtualServer>>,
}

/// `[dns]`
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Dns {
    /// Resolvers to ask; empty: the system's.
    pub servers: Vec<SocketAddr>,
}

/// `[[virtual_server]]`
#[derive(Clone, PartialEq, Debug)]
pub struct VirtualServer {
    /// Its name; unique.
    pub name: Box<str>,
    /// Its folder, absolute (made so against the configuration's folder): Pickup, Drop, Queue and Badmail live here.
    pub home: PathBuf,
    /// The General tab.
    pub general: General,
    /// The Access tab.
    pub access: Access,
    /// The Messages tab.
    pub messages: Messages,
    /// The Delivery tab.
    pub delivery: Delivery,
    /// The bounds of the queue on disk and in memory.
    pub queue: QueueBounds,
    /// The default domain.
    pub default_domain: DefaultDomain,
    /// Alias domains.
    pub aliases: Vec<DomainPattern>,
    /// Remote domains, in the file's order.
    pub remotes: Vec<Arc<RemoteDomain>>,
}

/// The General tab.
#[derive(Clone, PartialEq, Debug)]
pub struct General {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Inbound connections at a time; `None`: no limit but `CONNECTIONS_CEILING`.
    pub connections_max: Option<u32>,
    /// Inactivity after which a session ends.
    pub timeout: Duration,
    /// What to do with a bare LF.
    pub bare_newlines: smtp::body::BareNewlines,
}

/// The Access tab.
#[derive(Clone, PartialEq, Debug)]
pub struct Access {
    /// Who may relay.
    pub relay: RelayRule,
}

/// Relay restrictions.
#[derive(Clone, PartialEq, Debug)]
pub struct RelayRule {
    /// The list's sense.
    pub list: RelayList,
    /// Those who authenticate may relay, whatever the list says.
    pub authenticated: bool,
}

/// "Only the list below" or "all except the list below".
#[derive(Clone, PartialEq, Debug)]
pub enum RelayList {
    /// Only these.
    Only(Vec<Network>),
    /// All but these.
    AllExcept(Vec<Network>),
}

/// An address or a network.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// The network's address.
    pub address: IpAddr,
    /// Its length in bits.
    pub prefix: u8,
}

/// The Messages tab.
#[derive(Clone, PartialEq, Debug)]
pub struct Messages {
    /// Octets of a message; `None`: no limit.
    pub size_max: Option<u64>,
    /// Octets of all messages of one session; `None`: no limit.
    pub session_size_max: Option<u64>,
    /// Messages on one outbound connection; `None`: no limit.
    pub messages_per_connection: Option<u32>,
    /// Recipients of one message.
    pub recipients_max: u32,
    /// Gets a copy of each non-delivery report.
    pub ndr_copy_to: Option<Mailbox>,
    /// The Badmail folder, absolute.
    pub badmail: PathBuf,
}

/// The Delivery tab.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// Waits between attempts; the last one repeats.
    pub retry: Vec<Duration>,
    /// First waits after a glitch.
    pub glitch_retry: GlitchRetry,
    /// Age at which the sender hears of a delay.
    pub delay_notice: Duration,
    /// Age at which a message is given up.
    pub expiry: Duration,
    /// The same for local delivery.
    pub local_delay_notice: Duration,
    /// The same for local delivery.
    pub local_expiry: Duration,
    /// Outbound connections at a time; `None`: no limit but `CONNECTIONS_CEILING`.
    pub connections_max: Option<u32>,
    /// Outbound connections to one destination.
    pub connections_per_domain_max: Option<u32>,
    /// Inactivity after which an outbound connection ends.
    pub timeout: Duration,
    /// Port of hosts found through MX records, and of smart hosts given without one.
    pub port: u16,
    /// `Received` fields a message may have.
    pub hop_count_max: u32,
    /// Replaces local domains in the envelope sender.
    pub masquerade_domain: Option<Domain>,
    /// Our name in banner, HELO, Received, Message-ID and reports.
    pub fqdn: Domain,
    /// Tried in order.
    pub smart_host: Vec<HostPort>,
    /// When the smart host is used.
    pub smart_host_use: SmartHostUse,
}

/// `{ every = "60 s", times = 3 }`
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct GlitchRetry {
    /// The wait.
    pub every: Duration,
    /// How often, before the ladder begins.
    pub times: u16,
}

/// When the smart host is used.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SmartHostUse {
    /// For all mail that no remote domain routes.
    Always,
    /// When direct delivery does not get through.
    AfterDirect,
}

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostPort {
    /// A name, or an address (which is not looked up).
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Bounds of the queue (`[virtual_server.queue]`).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct QueueBounds {
    /// Content of waiting messages held in memory, octets.
    pub memory_max: u64,
    /// The journal's size at which the oldest messages are parked, octets.
    pub journal_max: u64,
    /// Free space below which nothing is accepted, octets.
    pub free_space_min: u64,
    /// A message over this is streamed into its own file while it is received, octets.
    pub stream_over: u64,
    /// Messages waiting; at this many nothing more is accepted.
    pub messages_max: u64,
}

/// The default domain.
#[derive(Clone, PartialEq, Debug)]
pub struct DefaultDomain {
    /// Its name: completes bare addresses, `postmaster@` it sends the reports.
    pub name: Domain,
    /// Where its mail (and the aliases') goes: `None`: Drop.
    pub route: Option<RouteTo>,
    /// The Drop folder, absolute.
    pub drop: PathBuf,
    /// Octets that Drop may hold; `None`: no quota.
    pub quota: Option<u64>,
}

/// `example.com` or `*.example.com`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DomainPattern {
    /// The name without the asterisk.
    pub name: Domain,
    /// It began with `*.`: matches what is below the name, not the name itself.
    pub below: bool,
}

impl std::fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

/// A remote domain.
#[derive(Clone, PartialEq, Debug)]
pub struct RemoteDomain {
    /// What it matches.
    pub pattern: DomainPattern,
    /// Anybody who may connect may send to it.
    pub allow_relay: bool,
    /// Where its mail goes; overrides the smart host. `None`: as the virtual server sends.
    pub route: Option<RouteTo>,
    /// Say HELO, not EHLO.
    pub helo_only: bool,
}

/// The value of `route`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum RouteTo {
    /// `mx`
    Mx,
    /// `smtp://host:port`
    Smtp(HostPort),
    /// `lmtp://host:port`
    Lmtp(HostPort),
    /// `lmtp+unix:/path`
    LmtpUnix(PathBuf),
}
