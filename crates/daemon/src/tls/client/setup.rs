//! What a handshake with a host needs: whom to trust, what to show of ourselves, which sessions can be taken up again.
//!
//! Made for the terms' owner and for what is demanded of the host, and kept: with it goes the memory of sessions, so that none is
//! taken up under another demand. Files are looked at again now and then; a changed file that cannot be used changes
//! nothing. A new configuration begins with an empty [`ClientSetups`].

use super::super::TlsFault;
use super::super::certificates::{Stamp, acme_file, stamp};
use super::super::keeper::LOOK_EVERY;
use super::super::load::{self, Trusted};
use super::super::provider::provider;
use super::verify::{Anybody, Bearer, Holder};
use crate::clock::Clock;
use hickory_resolver::proto::rr::Name;
use relay::channel::Checked;
use relay::config::terms::Owner;
use relay::config::{CertificateSource, Terms};
use relay::route::protection::{Because, Channel, Dane, Protection};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, Tls12Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use smtp::address::{Domain, Host};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Setups that are kept; when there are more, all are made anew. One each for owner and demand, and with DANE for each host.
const SETUPS_MAX: usize = 1_024;
/// Hosts whose sessions one setup remembers; rustls keeps up to eight tickets for each.
const HOSTS_REMEMBERED_MAX: usize = 256;

/// What one handshake needs.
#[derive(Clone)]
pub struct ClientSetup {
    made: Arc<Made>,
    name: ServerName<'static>,
    checked: Checked,
}

struct Made {
    config: Arc<ClientConfig>,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl ClientSetup {
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.made.config)
    }

    pub(super) fn verifier(&self) -> &dyn ServerCertVerifier {
        &*self.made.verifier
    }

    /// The name to ask for; an address is not sent, but stands for the host where sessions are remembered.
    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// By what the host's certificate is checked.
    #[must_use]
    pub fn checked(&self) -> Checked {
        self.checked
    }
}

impl fmt::Debug for ClientSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSetup").field("name", &self.name).field("checked", &self.checked).finish_non_exhaustive()
    }
}

/// The setups of one virtual server's outbound connections.
pub struct ClientSetups {
    /// Where ACME keeps what it obtained.
    state: PathBuf,
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    setups: HashMap<Key, Held>,
    /// The authorities that the system trusts, read when they are first needed.
    system: Option<Arc<RootCertStore>>,
}

#[derive(Clone)]
struct Held {
    made: Arc<Made>,
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    owner: Owner,
    authorities: Option<PathBuf>,
    certificate: Option<CertificateSource>,
    demand: Demand,
}

/// Whom a certificate must prove.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Demand {
    Anybody,
    /// The bearer of the name that is asked for.
    Name,
    Dane(Dane),
}

impl ClientSetups {
    /// None yet. What ACME obtained lies in the folder `state`.
    #[must_use]
    pub fn new(state: PathBuf, clock: Clock) -> ClientSetups {
        ClientSetups { state, clock, kept: Mutex::default() }
    }

    /// What a handshake under this protection needs, on these terms, with a host at `address` (none: a Unix socket).
    ///
    /// # Errors
    /// A file cannot be used, or the system trusts nobody.
    pub async fn of(
        self: &Arc<Self>,
        terms: &Terms,
        protection: &Protection,
        address: Option<IpAddr>,
    ) -> Result<ClientSetup, TlsFault> {
        let (demand, checked) = match (&protection.channel, protection.because) {
            (Channel::Clear | Channel::Opportunistic | Channel::Encrypted, _) => (Demand::Anybody, Checked::No),
            (Channel::Authority { .. }, Because::MtaSts) => (Demand::Name, Checked::MtaSts),
            (Channel::Authority { .. }, _) => (Demand::Name, Checked::Name),
            (Channel::Dane(dane), _) => (Demand::Dane(dane.clone()), Checked::Dane),
        };
        let name = match &protection.channel {
            Channel::Authority { name: Host::Literal(ip) } => ServerName::IpAddress((*ip).into()),
            Channel::Authority { name: Host::Name(name) } => name_of(name).ok_or_else(|| no_name(name))?,
            _ => {
                let known = protection.server_name.as_ref().and_then(name_of);
                known.unwrap_or_else(|| ServerName::IpAddress(address.unwrap_or(Ipv4Addr::LOCALHOST.into()).into()))
            }
        };
        let key = Key {
            owner: terms.owner.clone(),
            authorities: terms.authorities.clone(),
            certificate: terms.certificate.clone(),
            demand,
        };
        let made = match self.fresh(&key) {
            Some(made) => made,
            None => self.made_anew(key).await?,
        };
        Ok(ClientSetup { made, name, checked })
    }

    /// The host did not prove what it should: no session that was made before is taken up any more.
    pub fn forget(&self, setup: &ClientSetup) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.setups.retain(|_, held| !Arc::ptr_eq(&held.made, &setup.made));
    }

    /// What is kept, if nobody needs to look at its files now.
    fn fresh(&self, key: &Key) -> Option<Arc<Made>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let held = kept.setups.get(key)?;
        (held.stamps.is_empty() || held.looked.elapsed() < LOOK_EVERY).then(|| Arc::clone(&held.made))
    }

    /// Files are read on a thread that may wait for them.
    async fn made_anew(self: &Arc<Self>, key: Key) -> Result<Arc<Made>, TlsFault> {
        let setups = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || setups.make(key));
        work.await.unwrap_or_else(|_| Err(TlsFault::Missing { words: "TLS cannot be set up".to_owned() }))
    }

    fn make(&self, key: Key) -> Result<Arc<Made>, TlsFault> {
        let stamps = self.stamps(&key);
        let held = self.kept.lock().unwrap_or_else(PoisonError::into_inner).setups.get(&key).cloned();
        let made = match held {
            Some(held) if held.stamps == stamps => held.made,
            held => match (self.read(&key), held) {
                (Ok(made), _) => Arc::new(made),
                (Err(fault), None) => return Err(fault),
                (Err(fault), Some(held)) => {
                    tracing::warn!("A changed file is not taken over: {fault}. What was read before holds on.");
                    held.made
                }
            },
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.setups.len() >= SETUPS_MAX && !kept.setups.contains_key(&key) {
            kept.setups.clear();
        }
        kept.setups.insert(key, Held { made: Arc::clone(&made), stamps, looked: Instant::now() });
        Ok(made)
    }

    fn stamps(&self, key: &Key) -> Vec<Option<Stamp>> {
        let own = key.certificate.iter().flat_map(|source| load::files(source, &acme_file(&self.state, source)));
        let authorities = key.authorities.iter().filter(|_| key.demand == Demand::Name).cloned();
        own.chain(authorities).map(|file| stamp(&file)).collect()
    }

    fn read(&self, key: &Key) -> Result<Made, TlsFault> {
        let verifier: Arc<dyn ServerCertVerifier> = match &key.demand {
            Demand::Anybody => Arc::new(Anybody),
            Demand::Dane(dane) => Arc::new(Holder::new(dane.clone())),
            Demand::Name => {
                let bearer = Bearer::new(self.trusted(key)?);
                Arc::new(bearer.map_err(|error| unusable(&format!("the authorities cannot be used: {error}")))?)
            }
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| unusable(&format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier));
        let mut config = match &key.certificate {
            None => builder.with_no_client_auth(),
            Some(source) => {
                let pair = load::pair(source, &acme_file(&self.state, source), self.clock.now())?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair.key())))
            }
        };
        let hosts = if matches!(key.demand, Demand::Dane(_)) { 1 } else { HOSTS_REMEMBERED_MAX };
        // rustls counts eight tickets for each.
        config.resumption =
            Resumption::in_memory_sessions(hosts * 8).tls12_resumption(Tls12Resumption::SessionIdOrTickets);
        // Servers from before 2015 do not know the extended master secret; what it mends we do not use.
        config.require_ems = false;
        Ok(Made { config: Arc::new(config), verifier })
    }

    fn trusted(&self, key: &Key) -> Result<Trusted, TlsFault> {
        if let Some(file) = &key.authorities {
            return load::trusted(file);
        }
        let held = self.kept.lock().unwrap_or_else(PoisonError::into_inner).system.clone();
        let roots = match held {
            Some(roots) => roots,
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    let words =
                        "the system trusts no authorities; install ca-certificates, or name a file with authority = …";
                    return Err(unusable(words));
                }
                let roots = Arc::new(roots);
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).system = Some(Arc::clone(&roots));
                roots
            }
        };
        Ok(Trusted { roots, certificates: Vec::new(), revoked: Vec::new() })
    }
}

impl fmt::Debug for ClientSetups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSetups")
    }
}

/// The name as certificates and handshakes have it, in A-labels; `None` if it cannot be one.
pub(super) fn name_of(domain: &Domain) -> Option<ServerName<'static>> {
    if domain.is_ascii() {
        return ServerName::try_from(domain.as_str().to_owned()).ok();
    }
    let name = Name::from_utf8(domain.as_str()).ok()?.to_ascii();
    ServerName::try_from(name.strip_suffix('.').unwrap_or(&name).to_owned()).ok()
}

fn no_name(name: &Domain) -> TlsFault {
    unusable(&format!("no certificate can bear the name {name}"))
}

fn unusable(words: &str) -> TlsFault {
    TlsFault::Missing { words: words.to_owned() }
}
