//! The DNS, asked: mail hosts of a domain, addresses of a host.
//!
//! A thin coat over hickory-resolver, which brings retries, UDP then TCP, random ids and ports, and a cache that keeps
//! negative answers as well. What it adds is the meaning: [`DnsFault`] tells a name that does not exist from a name
//! without records from a server that did not answer, because the first two return mail to its sender and the third
//! must never do so. Whatever is in doubt (a lame server's referral, a loop of aliases, an answer without the records
//! that were asked for) counts as not answered.
//!
//! Promises: an answer or a fault within [`LOOKUP_MAX`], whatever the servers do; names beyond ASCII are asked for as
//! A-labels. Does not: judge or order what it finds ([`relay::route::mx`]). What DNSSEC proves is asked for in [`secure`].
//!
//! RFC 1035; RFC 2308 (negative answers); RFC 5891 (A-labels); `[dns] servers`, default: the system's.

mod reverse;
mod secure;

pub use reverse::PEER_NAME_MAX;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use relay::config::Dns;
use relay::route::mx::{Addresses, Answer, DnsFault, MxRecord};
use relay::route::protection::{Keys, Located};
use secure::{Proven, Secure};
use smtp::address::Domain;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// After this a look-up counts as not answered.
pub const LOOKUP_MAX: Duration = Duration::from_secs(15);
/// One try at one set of servers; three of them fit into [`LOOKUP_MAX`].
const TRY_MAX: Duration = Duration::from_millis(4_500);
/// Tries after the first one.
const RETRIES: usize = 2;
/// Answers in the cache.
const CACHE_MAX: u64 = 16_384;
/// An answer is kept at least so long, that a TTL of 0 does not mean a look-up for each message,
const TTL_MIN: Duration = Duration::from_secs(1);
/// at most so long,
const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// and "there is none" at most so long, that a domain which was just set up gets its mail soon.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(10 * 60);

/// Asks the configured name servers. Cheap to clone; clones share the cache, and the servers that are asked.
#[derive(Clone, Debug)]
pub struct Resolver {
    way: Arc<RwLock<Arc<Way>>>,
    /// Questions asked so far.
    asked: Arc<AtomicU64>,
}

/// Whom it asks now, and what they have said.
#[derive(Debug)]
struct Way {
    inner: TokioResolver,
    /// `None` if DNSSEC is off.
    secure: Option<Secure>,
}

/// The resolver could not be set up.
#[derive(Debug)]
pub struct ResolverError(String);

impl std::fmt::Display for ResolverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the DNS resolver cannot be set up: {}", self.0)
    }
}

impl std::error::Error for ResolverError {}

impl Resolver {
    /// A resolver for `[dns]`, with an empty cache. Asks nothing yet.
    ///
    /// Without servers in the settings and in the system's configuration, a server on this machine is asked, as
    /// resolv.conf(5) has it.
    ///
    /// # Errors
    /// The resolver cannot be built from these settings, or the file of trust anchors cannot be used.
    pub fn new(dns: &Dns) -> Result<Resolver, ResolverError> {
        let config = name_servers(dns);
        let builder =
            if dns.servers.is_empty() { TokioResolver::builder_tokio() } else { Ok(builder_of(config.clone())) };
        Resolver::build(builder.unwrap_or_else(|_| builder_of(config)), Secure::new(dns)?)
    }

    fn build(
        mut builder: ResolverBuilder<TokioRuntimeProvider>,
        secure: Option<Secure>,
    ) -> Result<Resolver, ResolverError> {
        set_bounds(builder.options_mut());
        let inner = builder.build().map_err(|e| ResolverError(e.to_string()))?;
        let way = Arc::new(RwLock::new(Arc::new(Way { inner, secure })));
        Ok(Resolver { way, asked: Arc::default() })
    }

    /// From now on this one and its clones ask those whom `other` asks. What is under way comes to its end.
    pub fn follow(&self, other: &Resolver) {
        let way = other.way();
        *self.way.write().unwrap_or_else(PoisonError::into_inner) = way;
    }

    fn way(&self) -> Arc<Way> {
        Arc::clone(&self.way.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same resolver, its questions counted there.
    #[must_use]
    pub fn counting(self, asked: Arc<AtomicU64>) -> Resolver {
        Resolver { asked, ..self }
    }

    fn count(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Is it known what is proven by DNSSEC?
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.way().secure.is_some()
    }

    /// The MX records of `domain`, in no order; and how far they are proven. Records that are proven wrong are no answer.
    pub async fn mx(&self, domain: &Domain) -> (Answer<MxRecord>, Located) {
        let located = |alias, secure| Located::Mx { domain: domain.clone(), alias, secure };
        let name = match absolute(domain) {
            Ok(name) => name,
            Err(fault) => return (Err(fault), located(None, false)),
        };
        let way = self.way();
        let Some(secure) = &way.secure else {
            return (self.look_up(name, RecordType::MX, mx_record).await, located(None, false));
        };
        self.count();
        let Proven { answer, secure, name: at, .. } = secure.look_up(&name, RecordType::MX, mx_record).await;
        let alias = (secure && at != name).then(|| Domain::parse(&at.to_ascii()).ok()).flatten();
        (answer, located(alias, secure))
    }

    /// What is proven of the keys by which a mail host at this port is known.
    pub async fn keys(&self, host: &Domain, port: u16) -> Keys {
        match &self.way().secure {
            Some(secure) => {
                self.count();
                secure.keys(host, port).await
            }
            None => Keys::NotAsked,
        }
    }

    /// The texts (TXT records) at a name: of each its parts joined.
    ///
    /// # Errors
    /// There are none, and why.
    pub async fn texts(&self, name: &Domain) -> Answer<Vec<u8>> {
        self.look_up(absolute(name)?, RecordType::TXT, |data| match data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        })
        .await
    }

    /// The addresses of a host which the DNS named; AAAA and A are asked for at the same time.
    pub async fn addresses(&self, name: &Domain) -> Addresses {
        self.addresses_of(name, absolute(name)).await
    }

    /// The addresses of a host which the operator named: a name without a dot is looked for in the system's search
    /// list as well, as the tools of the system do.
    pub async fn listed_addresses(&self, name: &Domain) -> Addresses {
        let query = absolute(name).map(|mut query| {
            query.set_fqdn(name.as_str().contains('.'));
            query
        });
        self.addresses_of(name, query).await
    }

    async fn addresses_of(&self, name: &Domain, query: Result<Name, DnsFault>) -> Addresses {
        let query = match query {
            Ok(query) => query,
            Err(fault) => return Addresses { name: name.clone(), v6: Err(fault.clone()), v4: Err(fault) },
        };
        let (v6, v4) = tokio::join!(
            self.look_up(query.clone(), RecordType::AAAA, |data| match data {
                RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                _ => None,
            }),
            self.look_up(query, RecordType::A, |data| match data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                _ => None,
            })
        );
        Addresses { name: name.clone(), v6, v4 }
    }

    async fn look_up<T>(&self, name: Name, kind: RecordType, pick: fn(&RData) -> Option<T>) -> Answer<T> {
        self.count();
        let way = self.way();
        let asked = async {
            let error = match way.inner.lookup(name.clone(), kind).await {
                Ok(lookup) => {
                    let found: Vec<T> = lookup.answers().iter().filter_map(|record| pick(&record.data)).collect();
                    return if found.is_empty() { Err(unanswered("nonsense in the answer")) } else { Ok(found) };
                }
                Err(error) => error,
            };
            if has_no_proof(&error) && way.is_alias(&name).await {
                return Err(unanswered("an alias, CNAME, that leads nowhere"));
            }
            Err(fault(&error))
        };
        match tokio::time::timeout(LOOKUP_MAX, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(unanswered("time-out")),
        }
    }
}

impl Way {
    async fn is_alias(&self, name: &Name) -> bool {
        self.inner.lookup(name.clone(), RecordType::CNAME).await.is_ok()
    }
}

/// Those of the settings; else the system's, or one on this machine.
fn name_servers(dns: &Dns) -> ResolverConfig {
    if !dns.servers.is_empty() {
        return ResolverConfig::from_name_servers(dns.servers.iter().copied().map(server).collect());
    }
    read_system_conf().map_or_else(
        |_| ResolverConfig::from_name_servers(vec![NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST))]),
        |(config, _)| config,
    )
}

fn mx_record(data: &RData) -> Option<MxRecord> {
    let RData::MX(mx) = data else { return None };
    let exchange = mx.exchange.to_ascii();
    let exchange = exchange.strip_suffix('.').unwrap_or(&exchange);
    Some(MxRecord { preference: mx.preference, exchange: exchange.into() })
}

fn builder_of(config: ResolverConfig) -> ResolverBuilder<TokioRuntimeProvider> {
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn set_bounds(options: &mut ResolverOpts) {
    options.timeout = TRY_MAX;
    options.attempts = RETRIES;
    options.cache_size = CACHE_MAX;
    options.positive_min_ttl = Some(TTL_MIN);
    options.negative_min_ttl = Some(TTL_MIN);
    options.positive_max_ttl = Some(TTL_MAX);
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
}

/// The name in A-labels; `None` if the DNS can have no such name.
pub(crate) fn ascii(domain: &Domain) -> Option<Domain> {
    if domain.is_ascii() {
        return Some(domain.clone());
    }
    Domain::parse(&absolute(domain).ok()?.to_ascii()).ok()
}

/// The name as the DNS has it, to be asked for as it stands.
fn absolute(domain: &Domain) -> Result<Name, DnsFault> {
    let name = if domain.is_ascii() { Name::from_ascii(domain.as_str()) } else { Name::from_utf8(domain.as_str()) };
    // What cannot be written in the DNS cannot exist there.
    let mut name = name.map_err(|_| DnsFault::NoSuchName)?;
    name.set_fqdn(true);
    Ok(name)
}

/// "No records", but without the zone's SOA to prove it: all that the resolver has to say about a loop of aliases too.
fn has_no_proof(error: &NetError) -> bool {
    matches!(error, NetError::Dns(DnsError::NoRecordsFound(none))
        if none.response_code == ResponseCode::NoError && none.soa.is_none())
}

fn fault(error: &NetError) -> DnsFault {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => fault_of_none(none),
        NetError::Dns(DnsError::ResponseCode(code)) => unanswered(&format!("the name server answered: {code}")),
        NetError::Timeout => unanswered("time-out"),
        NetError::NoConnections => unanswered("no name server can be reached"),
        other => unanswered(&other.to_string()),
    }
}

fn fault_of_none(none: &NoRecords) -> DnsFault {
    match none.response_code {
        ResponseCode::NXDomain => DnsFault::NoSuchName,
        // Other servers, but neither records nor the zone's SOA: a referral, from a server that does not know.
        ResponseCode::NoError if none.ns.is_some() && none.soa.is_none() => {
            unanswered("the name server does not know the domain")
        }
        ResponseCode::NoError => DnsFault::NoRecords,
        code => unanswered(&format!("the name server answered: {code}")),
    }
}

fn unanswered(why: &str) -> DnsFault {
    DnsFault::Unanswered(why.into())
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
