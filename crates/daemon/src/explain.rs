//! Would this mail be taken, and what decides? For `mailroot explain`, the API and the page alike.
//!
//! Looks up what a session would look up (the account; the client's name in DNS, if a list has a domain in it), and lets
//! [`relay::explain`] ask those who judge real sessions. Changes nothing.

use crate::auth::{self, AuthFault};
use crate::dns::Resolver;
use relay::account::Accounts;
use relay::config::{Config, Fingerprint, Listener, ListenerTls, VirtualServer};
use relay::explain::{Decision, Inquiry, Logon, explain};
use relay::gate::{self, CertificateIdentity, Client, PeerName, TlsIdentity};
use smtp::address::Domain;
use smtp::sasl::Mechanism;
use std::net::IpAddr;
use std::sync::Arc;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The client's address.
    pub from: IpAddr,
    /// It authenticates as this account, with the right password.
    pub auth: Option<String>,
    /// By this method; none: the strongest that it is offered.
    pub method: Option<Mechanism>,
    /// It uses TLS.
    pub tls: bool,
    /// It shows a client certificate with this fingerprint.
    pub certificate: Option<Fingerprint>,
    /// It shows a client certificate with this name.
    pub certificate_name: Option<String>,
    /// What it says after EHLO.
    pub helo: Option<String>,
    /// Its name in DNS, confirmed; none: the DNS is asked, if a list has a domain in it.
    pub name: Option<Domain>,
    /// The sender's address.
    pub sender: String,
    /// The recipient's address.
    pub rcpt: String,
    /// The virtual server; none: the only one, or the first that fits the port.
    pub server: Option<String>,
    /// The port at which it comes in; none: the first listener, with TLS the first that has it.
    pub port: Option<u16>,
}

/// What comes of it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The virtual server that answers.
    pub server: String,
    /// Up to the first refusal.
    pub decisions: Vec<Decision>,
}

/// Every decision up to the first refusal.
///
/// # Errors
/// The question cannot be answered, and why.
pub async fn answer(config: &Config, question: &Question) -> Result<Answer, String> {
    let server = virtual_server(config, question)?;
    let listener = listener(server, question)?;
    let accounts = accounts(config, server, question)?;
    let name = match &question.name {
        Some(name) => PeerName::Confirmed(name.clone()),
        None if gate::needs_name(server) || server.access.reverse_dns => {
            let resolver = Resolver::new(&config.dns).map_err(|error| error.to_string())?;
            resolver.peer_name(question.from).await
        }
        None => PeerName::NotAsked,
    };
    let names: Vec<Box<str>> = question.certificate_name.iter().map(|name| name.as_str().into()).collect();
    // A name alone stands for a certificate whose fingerprint is on no list.
    let sha256 = question.certificate.map_or([0; 32], |print| print.0);
    let shown = question.certificate.is_some() || question.certificate_name.is_some();
    let certificate =
        shown.then_some(CertificateIdentity { sha256: &sha256, names: &names, subject: "as the question has it" });
    let uses_tls = question.tls || shown || listener.tls == ListenerTls::Implicit;
    let inquiry = Inquiry {
        client: Client {
            address: question.from,
            listener,
            name: &name,
            tls: uses_tls.then_some(TlsIdentity { certificate, exporter: true }),
            identity: None,
            helo: question.helo.as_deref(),
        },
        means: auth::means(config, server, &accounts),
        logon: question.auth.as_deref().map(|name| Logon { name, accounts: &accounts, mechanism: question.method }),
        sender: &question.sender,
        recipient: &question.rcpt,
    };
    Ok(Answer { server: server.name.to_string(), decisions: explain(server, &inquiry) })
}

fn virtual_server<'a>(config: &'a Config, question: &Question) -> Result<&'a VirtualServer, String> {
    if question.server.is_none() && config.servers.len() > 1 && question.port.is_some() {
        let has_port = |server: &&Arc<VirtualServer>| {
            question.port.is_none_or(|port| server.general.addresses().any(|address| address.port() == port))
        };
        let found = config.servers.iter().find(has_port).map(|server| &**server);
        return found.ok_or_else(|| "No virtual server listens on that port.".to_owned());
    }
    named(config, question.server.as_deref()).map(|server| &**server)
}

/// Where the client comes in.
fn listener(server: &VirtualServer, question: &Question) -> Result<Listener, String> {
    let mut all = server.general.listen.iter().copied();
    if let Some(port) = question.port {
        let found = all.find(|listener| listener.address.port() == port);
        return found.ok_or_else(|| format!("{:?} does not listen on port {port}.", server.name));
    }
    let shows = question.tls || question.certificate.is_some() || question.certificate_name.is_some();
    let with_tls = all.clone().find(|listener| shows && listener.tls != ListenerTls::Plain);
    with_tls.or_else(|| all.next()).ok_or_else(|| format!("{:?} listens nowhere.", server.name))
}

/// The accounts, if the question is about one. Whatever leaves a service without authentication leaves this without an answer.
fn accounts(config: &Config, server: &VirtualServer, question: &Question) -> Result<Accounts, String> {
    let authentication = &server.access.authentication;
    let domain = authentication.default_logon_domain.as_deref();
    if question.auth.is_none() || authentication.methods.is_empty() {
        return Ok(Accounts::new(domain));
    }
    let faults = auth::faults(config).into_iter().filter(|(name, fault)| *name == server.name && fault.is_total());
    if let Some((_, fault)) = faults.into_iter().next() {
        return Err(fault.to_string());
    }
    match auth::read_accounts(&server.access.accounts, domain) {
        Err(AuthFault::Missing { .. }) => Ok(Accounts::new(domain)),
        read => read.map_err(|fault| fault.to_string()),
    }
}

/// The virtual server of that name; without a name the only one.
pub(crate) fn named<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Arc<VirtualServer>, String> {
    let names = || config.servers.iter().map(|server| format!("{:?}", server.name)).collect::<Vec<_>>().join(", ");
    match (name, config.servers.as_slice()) {
        (Some(name), servers) => servers
            .iter()
            .find(|server| server.name.trim().eq_ignore_ascii_case(name.trim()))
            .ok_or_else(|| format!("There is no virtual server {name:?}; there are: {}", names())),
        (None, [server]) => Ok(server),
        (None, _) => Err(format!("Say which virtual server is meant: --server NAME, one of {}", names())),
    }
}
