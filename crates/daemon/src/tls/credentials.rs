//! The certificates that a listener shows, and which of them a client gets to see.
//!
//! A client that asks for a name (SNI, RFC 6066 §3) gets the certificate with exactly that name, else one with a wildcard
//! that covers it, else the first one: a client that cannot check our name had better have a channel than none. Among
//! equals, one whose key the client understands. A set never changes; a reload makes a new one, and sessions keep theirs.

use super::TlsFault;
use super::clients::Clients;
use super::facts::end_point;
use super::provider::provider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::fmt;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How many tickets a TLS 1.3 client gets for shorter handshakes later. A mail client has one connection after the other.
const TICKETS: usize = 1;

/// A certificate with its key, ready to be shown.
pub struct Pair {
    key: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    end_point: Arc<[u8]>,
}

impl Pair {
    /// The names are those of the certificate; it must be readable.
    ///
    /// # Errors
    /// The certificate is none.
    pub fn new(key: CertifiedKey) -> Result<Pair, x509_parser::error::X509Error> {
        let leaf = key.cert.first().map(AsRef::as_ref).unwrap_or_default();
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|error| match error {
            x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
            x509_parser::nom::Err::Incomplete(_) => x509_parser::error::X509Error::InvalidCertificate,
        })?;
        let names = names_of(&certificate);
        let end_point = end_point(leaf);
        Ok(Pair { key: Arc::new(key), names, end_point })
    }

    /// The DNS names in the certificate, in lower case; a wildcard as `*.example.com`.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Chain and key.
    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }

    /// The certificate itself, DER.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.key.cert.first().map(AsRef::as_ref).unwrap_or_default()
    }

    fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|own| **own == *name)
    }

    fn is_wild_for(&self, name: &str) -> bool {
        let Some((_, parent)) = name.split_once('.') else { return false };
        self.names.iter().any(|own| own.strip_prefix("*.") == Some(parent))
    }
}

impl fmt::Debug for Pair {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The DNS names of a certificate: its alternative names, or, as old ones have none, the common name.
pub(crate) fn names_of(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let alternative = certificate.subject_alternative_name().ok().flatten().map(|names| &names.value.general_names);
    let mut names: Vec<Box<str>> = Vec::new();
    for name in alternative.into_iter().flatten() {
        if let GeneralName::DNSName(name) = name {
            names.push(name.to_ascii_lowercase().into());
        }
    }
    if names.is_empty() {
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(|name| name.to_ascii_lowercase().into()));
    }
    names
}

/// One pair with everything that a handshake with it needs.
pub(super) struct Shown {
    pair: Arc<Pair>,
    config: Arc<ServerConfig>,
    clients: Option<Clients>,
}

impl Shown {
    pub(super) fn clients(&self) -> Option<Clients> {
        self.clients.clone()
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    pub(super) fn end_point(&self) -> Arc<[u8]> {
        Arc::clone(&self.pair.end_point)
    }
}

/// What a listener shows: certificates, the first of which is the default, and whom it asks for theirs.
pub struct Credentials {
    shown: Vec<Shown>,
}

impl Credentials {
    /// A set of pairs, and those who issue certificates to our clients, if these are asked for one.
    ///
    /// # Errors
    /// There is no pair, or nobody issues certificates to our clients, or the system gives no random numbers.
    pub fn new(pairs: Vec<Arc<Pair>>, authority: Option<rustls::RootCertStore>) -> Result<Credentials, TlsFault> {
        let missing = |words: &str| TlsFault::Missing { words: words.to_owned() };
        if pairs.is_empty() {
            return Err(missing("there is no certificate; make one with: mailroot certificate self-signed"));
        }
        let clients = authority.map(Clients::of).transpose()?;
        let verifier = clients.as_ref().map_or_else(WebPkiClientVerifier::no_client_auth, Clients::lenient);
        let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()
            .map_err(|error| missing(&format!("the system gives no random numbers: {error}")))?;
        let mut shown = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let mut config = config_for(&pair, Arc::clone(&verifier))?;
            // One for all pairs: the clients of all are verified alike, and a ticket is bound to the name asked for.
            config.ticketer = Arc::clone(&ticketer);
            shown.push(Shown { pair, config: Arc::new(config), clients: clients.clone() });
        }
        Ok(Credentials { shown })
    }

    /// A set for one protocol alone (ALPN, RFC 7301).
    ///
    /// # Errors
    /// There is no pair, or the system gives no random numbers.
    pub(crate) fn for_protocol(pairs: Vec<Arc<Pair>>, protocol: &[u8]) -> Result<Credentials, TlsFault> {
        let mut credentials = Credentials::new(pairs, None)?;
        for shown in &mut credentials.shown {
            Arc::make_mut(&mut shown.config).alpn_protocols = vec![protocol.to_vec()];
        }
        Ok(credentials)
    }

    /// What a stream needs that begins like this; `None`: there is no certificate.
    pub(crate) fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.choose(hello).map(Shown::config)
    }

    /// The pairs, the default first.
    pub fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.shown.iter().map(|shown| &*shown.pair)
    }

    /// The pair for a client that says this.
    pub(super) fn choose(&self, hello: &ClientHello<'_>) -> Option<&Shown> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let of = |test: &dyn Fn(&Pair, &str) -> bool| -> Option<&Shown> {
            let name = name.as_deref()?;
            let mut fitting = self.shown.iter().filter(|shown| test(&shown.pair, name)).peekable();
            let first = fitting.peek().copied();
            let schemes = hello.signature_schemes();
            fitting.find(|shown| shown.pair.key.key.choose_scheme(schemes).is_some()).or(first)
        };
        of(&Pair::is_named).or_else(|| of(&Pair::is_wild_for)).or_else(|| self.shown.first())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs()).finish()
    }
}

fn config_for(pair: &Pair, verifier: Arc<dyn ClientCertVerifier>) -> Result<ServerConfig, TlsFault> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TlsFault::Missing { words: format!("TLS cannot be set up: {error}") })?;
    let resolver = SingleCertAndKey::from(Arc::clone(&pair.key));
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(resolver));
    // Tickets make later handshakes cheaper and cost us no memory; a session cache would.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS;
    // Our order of ciphers, which puts the cheap one first: all that we offer are good.
    config.ignore_client_order = true;
    // Printers and programs from before 2015 do not know the extended master secret. What makes it needful (RFC 7627 §1),
    // renegotiation and the exporter of TLS 1.2, there is not here.
    config.require_ems = false;
    Ok(config)
}
