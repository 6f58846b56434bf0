//! `mailroot explain`: would this mail be taken, and what decides?
//!
//! Loads a configuration, in force or not, looks up what a session would look up (the account; the client's name in DNS, if a
//! list has a domain in it), and lets [`relay::explain`] ask those who judge real sessions. Changes nothing and asks no
//! running service.
//!
//! Exit codes: 0 it would be taken, 1 it would be refused, 2 the question cannot be answered (a mistake in the command line or in the
//! configuration, an account file that cannot be read).

use super::{complain, say};
use crate::auth::{self, AuthFault};
use crate::dns::Resolver;
use crate::service::{ConfigFile, Unusable};
use clap::Args;
use relay::account::Accounts;
use relay::config::{Config, Fingerprint, Listener, ListenerTls, VirtualServer, quoted};
use relay::explain::{Decision, Inquiry, Logon, explain, is_accepted};
use relay::gate::{self, CertificateIdentity, Client, PeerName, TlsIdentity};
use smtp::address::Domain;
use smtp::sasl::Mechanism;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Where the configuration lies when nobody says.
pub(super) const USUAL_CONFIGURATION: &str = "/etc/mailroot/mailroot.toml";

/// The question could not be answered.
pub(super) const UNANSWERED: u8 = 2;

#[derive(Args, Debug)]
pub(super) struct Question {
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    from: IpAddr,
    /// It authenticates as this account, with the right password
    #[arg(long, value_name = "USER")]
    auth: Option<String>,
    /// It authenticates by this method [default: the strongest that it is offered]
    #[arg(long, value_name = "METHOD", requires = "auth", value_parser = mechanism)]
    method: Option<Mechanism>,
    /// It uses TLS
    #[arg(long)]
    tls: bool,
    /// It shows a client certificate with this fingerprint, sha256:…
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    certificate: Option<Fingerprint>,
    /// It shows a client certificate with this name
    #[arg(long, value_name = "NAME")]
    certificate_name: Option<String>,
    /// What it says after EHLO
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    /// Its name in DNS, confirmed [default: ask the DNS, if a list has a domain in it]
    #[arg(long, value_name = "NAME", value_parser = domain)]
    name: Option<Domain>,
    /// The sender's address; <> for a report
    #[arg(long, value_name = "SENDER")]
    sender: String,
    /// The recipient's address
    #[arg(long, value_name = "RECIPIENT")]
    rcpt: String,
    /// The virtual server [default: the only one, or the first that fits the port]
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// The port at which it comes in [default: the first listener; with --tls the first that has TLS]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The configuration; it need not be in force
    #[arg(long, value_name = "FILE", default_value = USUAL_CONFIGURATION)]
    config: PathBuf,
    /// Print the decisions as JSON
    #[arg(long)]
    json: bool,
}

fn mechanism(text: &str) -> Result<Mechanism, String> {
    let known = || Mechanism::SERVED.map(Mechanism::name).join(", ");
    Mechanism::parse_served(text).ok_or_else(|| format!("there is no such method; write one of {}", known()))
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    text.parse().map_err(|error: relay::config::NoFingerprint| error.to_string())
}

pub(super) fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}

pub(super) fn run(question: &Question) -> ExitCode {
    match answer(question) {
        Ok(decisions) => {
            say(&if question.json { json(&decisions) } else { text(&decisions) });
            if is_accepted(&decisions) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            complain(&format!("{}\n", why.trim_end()));
            ExitCode::from(UNANSWERED)
        }
    }
}

fn answer(question: &Question) -> Result<Vec<Decision>, String> {
    let loaded = ConfigFile::new(&question.config).load().map_err(|unusable: Unusable| unusable.render())?;
    let server = virtual_server(&loaded.config, question)?;
    let listener = listener(server, question)?;
    let accounts = accounts(&loaded.config, server, question)?;
    let name = match &question.name {
        Some(name) => PeerName::Confirmed(name.clone()),
        None if gate::needs_name(server) || server.access.reverse_dns => ask(&loaded.config, question.from)?,
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
        means: auth::means(&loaded.config, server, &accounts),
        logon: question.auth.as_deref().map(|name| Logon { name, accounts: &accounts, mechanism: question.method }),
        sender: &question.sender,
        recipient: &question.rcpt,
    };
    Ok(explain(server, &inquiry))
}

fn virtual_server<'a>(config: &'a Config, question: &Question) -> Result<&'a VirtualServer, String> {
    if question.server.is_none() && config.servers.len() > 1 && question.port.is_some() {
        let has_port = |server: &&Arc<VirtualServer>| {
            question.port.is_none_or(|port| server.general.addresses().any(|address| address.port() == port))
        };
        let found = config.servers.iter().find(has_port).map(|server| &**server);
        return found.ok_or_else(|| "No virtual server listens on that port.".to_owned());
    }
    super::virtual_server(config, question.server.as_deref()).map(|server| &**server)
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

/// What the DNS says of the client.
fn ask(config: &Config, address: IpAddr) -> Result<PeerName, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("The system gives no event queue for the DNS: {error}."))?;
    runtime.block_on(async {
        let resolver = Resolver::new(&config.dns).map_err(|error| error.to_string())?;
        Ok(resolver.peer_name(address).await)
    })
}

fn text(decisions: &[Decision]) -> String {
    let mut text = String::new();
    for decision in decisions {
        // Writing to a String cannot fail.
        let _ = write!(text, "{decision}");
    }
    text.push_str(if is_accepted(decisions) {
        "\nThe mail would be taken.\n"
    } else {
        "\nThe mail would be refused.\n"
    });
    text
}

/// `{"accepted": …, "decisions": [{"stage": …, …}]}`
fn json(decisions: &[Decision]) -> String {
    let mut items = Vec::new();
    for decision in decisions {
        let mut fields = vec![
            ("stage", quoted(decision.stage.name())),
            ("asked", quoted(&decision.asked)),
            ("accepted", decision.outcome.is_ok().to_string()),
        ];
        match &decision.outcome {
            Ok(words) => fields.push(("outcome", quoted(words))),
            Err(reply) => fields.push(("reply", quoted(&reply.one_line()))),
        }
        fields.push(("because", quoted(&decision.words)));
        let or_null = |text: &str| if text.is_empty() { "null".to_owned() } else { quoted(text) };
        fields.push(("setting", or_null(decision.setting)));
        fields.push(("value", or_null(&decision.value)));
        let (file, line) = match &decision.place {
            Some((file, line)) => (quoted(file), line.to_string()),
            None => ("null".to_owned(), "null".to_owned()),
        };
        fields.extend([("file", file), ("line", line)]);
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}: {value}", quoted(name))).collect();
        items.push(format!("    {{{}}}", fields.join(", ")));
    }
    format!("{{\n  \"accepted\": {},\n  \"decisions\": [\n{}\n  ]\n}}\n", is_accepted(decisions), items.join(",\n"))
}
