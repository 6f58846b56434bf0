//! `mailroot explain`: would this mail be taken, and what decides?
//!
//! Loads a configuration, in force or not, and asks [`crate::explain`]. Changes nothing and asks no running service.
//!
//! Exit codes: 0 it would be taken, 1 it would be refused, 2 the question cannot be answered (a mistake in the command line or in the
//! configuration, an account file that cannot be read).

use super::{complain, say};
use crate::explain;
use crate::service::{ConfigFile, Unusable};
use clap::Args;
use relay::config::{Fingerprint, quoted};
use relay::explain::{Decision, is_accepted};
use smtp::address::Domain;
use smtp::sasl::Mechanism;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("The system gives no event queue for the DNS: {error}."))?;
    runtime.block_on(explain::answer(&loaded.config, &question.asked())).map(|answer| answer.decisions)
}

impl Question {
    fn asked(&self) -> explain::Question {
        explain::Question {
            from: self.from,
            auth: self.auth.clone(),
            method: self.method,
            tls: self.tls,
            certificate: self.certificate,
            certificate_name: self.certificate_name.clone(),
            helo: self.helo.clone(),
            name: self.name.clone(),
            sender: self.sender.clone(),
            rcpt: self.rcpt.clone(),
            server: self.server.clone(),
            port: self.port,
        }
    }
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
