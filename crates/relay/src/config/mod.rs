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
pub mod authentication;
pub mod certificate;
mod check;
pub mod console;
pub mod delivery;
mod describe;
pub mod dns;
pub mod domains;
pub mod general;
pub mod identity;
pub mod inspection;
pub mod messages;
mod network;
mod open;
mod parse;
pub mod peers;
pub mod places;
pub mod problem;
pub mod quantity;
pub mod queue;
pub mod rate;
mod read;
mod sample;
pub mod settings;
pub mod smart_hosts;
pub mod state;
pub mod terms;

pub use self::console::Console;
pub use authentication::{Authentication, Lockout, OAuth};
pub use certificate::{Acme, AcmeChallenge, CertificateSource, ClientCertificates};
pub use inspection::{AllowedVerb, Inspection};
pub use open::THE_SENTENCE;
pub use parse::{FILE_MAX, SERVERS_MAX};
pub use peers::{AccessList, Entry, Fingerprint, NoFingerprint};
pub use places::{Place, Places};
pub use problem::Problem;
pub use rate::{Rate, RateLimits};
pub use sample::quoted;
pub use terms::{ClientAuth, Pacing, Terms, TlsPolicy, Waits};

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
    /// `[state]`: the folder of what the program keeps for itself, absolute; only it may read it.
    pub state: PathBuf,
    /// `[console]`
    pub console: Console,
    /// `[[smart_host]]`, in the file's order.
    pub smart_hosts: Vec<Arc<SmartHost>>,
    /// `[[virtual_server]]`, at least one.
    pub servers: Vec<Arc<VirtualServer>>,
}

/// `[dns]`
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Dns {
    /// Resolvers to ask; empty: the system's.
    pub servers: Vec<SocketAddr>,
    /// How answers are known to be secure.
    pub dnssec: Dnssec,
    /// The keys that [`Dnssec::Validate`] begins with, absolute; `None`: the root's.
    pub trust_anchor: Option<PathBuf>,
}

/// How answers are known to be secure (DNSSEC). DANE is used whenever they can be.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Default, Debug)]
pub enum Dnssec {
    /// They are not.
    #[default]
    Off,
    /// We check the signatures ourselves.
    Validate,
    /// The resolver has checked them and says so (the AD bit); the way to it cannot be tampered with.
    TrustAd,
}

impl Config {
    /// All terms on which mail is handed on: of smart hosts, then of each virtual server and its domains.
    pub fn terms(&self) -> impl Iterator<Item = &Arc<Terms>> {
        let servers = self.servers.iter().flat_map(|server| {
            let remotes = server.remotes.iter().filter_map(|domain| domain.terms.as_ref());
            std::iter::once(&server.delivery.terms).chain(server.default_domain.terms.as_ref()).chain(remotes)
        });
        self.smart_hosts.iter().map(|host| &host.terms).chain(servers)
    }
}

/// `[[smart_host]]`: hosts that take mail for us, and on what terms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmartHost {
    /// Its name; unique.
    pub name: Box<str>,
    /// Tried in order, at least one.
    pub hosts: Vec<HostPort>,
    /// On what terms.
    pub terms: Arc<Terms>,
    /// Say HELO, not EHLO.
    pub helo_only: bool,
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
    /// Where in the file each setting stands; two virtual servers that differ only here are equal.
    pub places: Places,
}

/// The General tab.
#[derive(Clone, PartialEq, Debug)]
pub struct General {
    /// Where to listen, and how.
    pub listen: Vec<Listener>,
    /// Inbound connections at a time; `None`: no limit but `CONNECTIONS_CEILING`.
    pub connections_max: Option<u32>,
    /// Inactivity after which a session ends.
    pub timeout: Duration,
    /// What to do with a bare LF.
    pub bare_newlines: smtp::body::BareNewlines,
    /// How long a peer that may not relay waits for the greeting; who speaks before it is sent away. Zero: not at all.
    pub greeting_delay: Duration,
    /// Protocol errors of one session; at the next one it ends.
    pub errors_max: u32,
    /// Refused senders, recipients and messages since the last message; at the next one the session ends.
    pub refusals_max: u32,
}

impl General {
    /// Where to listen.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = SocketAddr> + '_ {
        self.listen.iter().map(|listener| listener.address)
    }
}

/// One address to listen on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// With or without TLS.
    pub tls: ListenerTls,
    /// Nobody may send here without having authenticated.
    pub authentication_required: bool,
}

/// TLS on a listener.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ListenerTls {
    /// None.
    Plain,
    /// Whoever wants it, by STARTTLS.
    StartTls,
    /// Nothing before STARTTLS but EHLO, HELO, NOOP and QUIT.
    StartTlsRequired,
    /// From the first octet.
    Implicit,
}

/// The Access tab.
#[derive(Clone, PartialEq, Debug)]
pub struct Access {
    /// The file with the accounts, absolute.
    pub accounts: PathBuf,
    /// Certificates; the first one is shown to whoever names no server, or one that is not ours.
    pub certificates: Vec<CertificateSource>,
    /// Clients are asked for a certificate of these authorities.
    pub client_certificates: Option<ClientCertificates>,
    /// Who may connect.
    pub connection: AccessList,
    /// Who may relay.
    pub relay: RelayRule,
    /// `Received` says what reverse DNS made of the client.
    pub reverse_dns: bool,
    /// How clients may prove who they are.
    pub authentication: Authentication,
    /// How often.
    pub rate: RateLimits,
    /// Which verbs and extensions.
    pub inspection: Inspection,
}

/// Relay restrictions.
#[derive(Clone, PartialEq, Debug)]
pub struct RelayRule {
    /// Who, by address, name or certificate.
    pub list: AccessList,
    /// Those who authenticate may relay, whatever the list says.
    pub authenticated: bool,
    /// The operator has written the sentence: this is an open relay, and meant so.
    pub open: bool,
}

/// An address or a network.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
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
    /// What a message that we send on gets for a `From` if it has none.
    pub add_from: AddFrom,
    /// It gets a `Date` if it has none.
    pub add_date: bool,
    /// It gets a `Message-ID` if it has none.
    pub add_message_id: bool,
    /// Replaces its `From`; `Reply-To` keeps the old one.
    pub rewrite_from: Option<Mailbox>,
}

/// What a message without a `From` gets for one.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum AddFrom {
    /// Nothing.
    #[default]
    Nothing,
    /// The envelope sender.
    Envelope,
    /// Always this.
    Fixed(Mailbox),
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
    /// And in `From`.
    pub masquerade_from: bool,
    /// Our name in banner, HELO, Received, Message-ID and reports.
    pub fqdn: Domain,
    /// Through whom mail goes that no domain's route takes.
    pub smart_host: Through,
    /// When the smart host is used.
    pub smart_host_use: SmartHostUse,
    /// On what terms mail is handed on for which there are no others.
    pub terms: Arc<Terms>,
    /// What domains publish by MTA-STS is heeded.
    pub mta_sts: bool,
    /// Mail hosts that the DNS names may have loopback addresses.
    pub mx_loopback: bool,
}

impl Delivery {
    /// The waits and ages of mail that no terms have others for.
    #[must_use]
    pub fn waits(&self) -> Waits {
        Waits {
            retry: self.retry.clone(),
            glitch_retry: self.glitch_retry,
            delay_notice: self.delay_notice,
            expiry: self.expiry,
        }
    }
}

/// `{ every = "60 s", times = 3 }`
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct GlitchRetry {
    /// The wait.
    pub every: Duration,
    /// How often, before the ladder begins.
    pub times: u16,
}

/// Through whom mail goes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Through {
    /// The hosts that DNS names for its domain.
    #[default]
    Dns,
    /// These in order, on the virtual server's own terms.
    Hosts(Vec<HostPort>),
    /// A `[[smart_host]]`.
    SmartHost(Arc<SmartHost>),
}

impl Through {
    /// The hosts, in order; empty: DNS names them.
    #[must_use]
    pub fn hosts(&self) -> &[HostPort] {
        match self {
            Through::Dns => &[],
            Through::Hosts(hosts) => hosts,
            Through::SmartHost(host) => &host.hosts,
        }
    }
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
    /// On what terms its mail goes to `route`; `None`: on the virtual server's own, or the smart host's.
    pub terms: Option<Arc<Terms>>,
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
    /// On what terms its mail goes; `None`: on those of where it goes.
    pub terms: Option<Arc<Terms>>,
}

/// The value of `route`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteTo {
    /// `mx`
    Mx,
    /// `smtp://host:port`, one or several, tried in order.
    Smtp(Vec<HostPort>),
    /// `lmtp://host:port`, one or several, tried in order.
    Lmtp(Vec<HostPort>),
    /// `lmtp+unix:/path`
    LmtpUnix(PathBuf),
    /// `smart_host:name`
    SmartHost(Arc<SmartHost>),
}

impl std::fmt::Display for RouteTo {
    /// As the file has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |scheme: &str, hosts: &[HostPort]| {
            hosts.iter().map(|host| format!("{scheme}://{host}")).collect::<Vec<_>>().join(", ")
        };
        match self {
            RouteTo::Mx => f.write_str("mx"),
            RouteTo::Smtp(hosts) => f.write_str(&list("smtp", hosts)),
            RouteTo::Lmtp(hosts) => f.write_str(&list("lmtp", hosts)),
            RouteTo::LmtpUnix(path) => write!(f, "lmtp+unix:{}", path.display()),
            RouteTo::SmartHost(host) => write!(f, "smart_host:{}", host.name),
        }
    }
}
