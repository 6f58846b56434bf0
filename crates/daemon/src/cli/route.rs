//! `mailroot route`: which hosts would take a recipient's mail, in order, how the channel to each must be, and why.
//!
//! Loads a configuration, in force or not, asks the DNS (and https, for a policy that is not kept yet) what a delivery would ask, and
//! goes along the hosts as a delivery would ([`crate::outbound::survey`]); with `--probe` it connects to each ([`crate::outbound::probe`]).
//! Sends no mail and asks no running service.
//!
//! Exit codes: 0 there is a host to try (with `--probe`: one that mail would go to), 1 there is none, 2 the question cannot be answered.

use super::explain::{UNANSWERED, USUAL_CONFIGURATION};
use super::probed;
use super::{complain, say};
use crate::clock::Clock;
use crate::dns::Resolver;
use crate::outbound::probe::probe;
use crate::outbound::survey::{Stop, Survey, survey};
use crate::policy::{Findings, MtaSts, Policies};
use crate::service::{ConfigFile, Unusable};
use crate::tls::client::ClientSetups;
use clap::Args;
use relay::config::{Dnssec, TlsPolicy, VirtualServer};
use relay::envelope::Failure;
use relay::explain::{Decision, route_of};
use relay::route::NextHop;
use relay::route::mta_sts::Policy;
use relay::route::protection::{Keys, Located};
use serde_json::{Value, json};
use smtp::address::{Domain, Mailbox};
use smtp::time::Timestamp;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Args, Debug)]
pub(super) struct Question {
    /// The recipient's address
    #[arg(value_name = "USER@DOMAIN", value_parser = mailbox)]
    recipient: Mailbox,
    /// The virtual server [default: the only one]
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// The configuration; it need not be in force
    #[arg(long, value_name = "FILE", default_value = USUAL_CONFIGURATION)]
    config: PathBuf,
    /// Connect to each host and tell what it says: greeting, extensions, certificate, and whether mail would go. Sends none
    #[arg(long)]
    probe: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    Mailbox::parse(text).map_err(|error| error.to_string())
}

/// All that there is to say.
struct Answer {
    server: Arc<VirtualServer>,
    dnssec: Dnssec,
    decision: Decision,
    /// The hosts were connected to.
    probed: bool,
    now: Timestamp,
    /// `None`: it goes to no other server.
    found: Option<(Arc<NextHop>, Survey)>,
}

impl Answer {
    fn is_reachable(&self) -> bool {
        match &self.found {
            None => self.decision.outcome.is_ok(),
            Some((_, survey)) if self.probed => {
                survey.stops.iter().any(|stop| stop.probe.as_ref().is_some_and(|probe| probe.result.is_ok()))
            }
            Some((_, survey)) => !survey.stops.is_empty(),
        }
    }
}

pub(super) fn run(question: &Question) -> ExitCode {
    match answer(question) {
        Ok(answer) => {
            say(&if question.json { format!("{:#}\n", as_json(&answer)) } else { text(&answer) });
            if answer.is_reachable() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            complain(&format!("{}\n", why.trim_end()));
            ExitCode::from(UNANSWERED)
        }
    }
}

fn answer(question: &Question) -> Result<Answer, String> {
    let loaded = ConfigFile::new(&question.config).load().map_err(|unusable: Unusable| unusable.render())?;
    let config = &loaded.config;
    let server = Arc::clone(super::virtual_server(config, question.server.as_deref())?);
    let (decision, hop) = route_of(&server, &question.recipient);
    let clock = Clock::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("The system gives no event queue for the DNS: {error}."))?;
    let found = runtime.block_on(async {
        let Some(hop) = hop else { return Ok(None) };
        let resolver = Resolver::new(&config.dns).map_err(|error| error.to_string())?;
        let policies = Policies::new(resolver, MtaSts::reading(&config.state, clock.clone()));
        let mut survey = survey(&server, &hop, &policies).await;
        if question.probe {
            let setups = Arc::new(ClientSetups::new(config.state.clone(), clock.clone()));
            for stop in &mut survey.stops {
                stop.probe = Some(probe(&server, &hop, &setups, &clock, stop).await);
            }
        }
        Ok::<_, String>(Some((hop, survey)))
    })?;
    Ok(Answer { server, dnssec: config.dns.dnssec, decision, probed: question.probe, now: clock.now(), found })
}

fn text(answer: &Answer) -> String {
    let mut text = format!("{}", answer.decision);
    // Writing to a String cannot fail.
    let _ = match &answer.found {
        None => Ok(()),
        Some((hop, survey)) => write_survey(&mut text, answer, hop, survey),
    };
    text
}

fn write_survey(out: &mut String, answer: &Answer, hop: &NextHop, survey: &Survey) -> std::fmt::Result {
    let terms = &hop.terms;
    writeln!(out, "terms           of {}: tls = \"{}\"", terms.owner, tls_word(terms.tls))?;
    if let Some(Located::Mx { alias, secure, .. }) = &survey.mx {
        let proven = if *secure { "proven by DNSSEC" } else { not_proven(answer.dnssec) };
        match alias {
            Some(alias) => writeln!(out, "MX records      {proven}; the domain is an alias of {alias}")?,
            None => writeln!(out, "MX records      {proven}")?,
        }
    }
    for (domain, policy) in policies(survey) {
        let hosts: Vec<String> = policy.hosts.iter().map(ToString::to_string).collect();
        writeln!(out, "MTA-STS         of {domain}: {}, its hosts {}", policy.mode.word(), hosts.join(", "))?;
    }
    if !answer.server.delivery.mta_sts {
        writeln!(out, "MTA-STS         is not heeded: delivery.mta_sts = false")?;
    }
    for (at, (name, stops)) in hosts(survey).into_iter().enumerate() {
        let shown = name.map_or("(no name)", Domain::as_str);
        writeln!(out, "\n{}. {shown}", at + 1)?;
        if let Some(stop) = stops.first() {
            writeln!(out, "    {}", stop.protection)?;
        }
        if let Some(findings) = name.and_then(|name| findings(survey, name)) {
            write_keys(out, &findings.keys)?;
        }
        for stop in stops {
            writeln!(out, "    {}", stop.label)?;
            if let Some(probe) = &stop.probe {
                probed::write(out, probe, answer.now)?;
            }
        }
    }
    if !survey.failures.is_empty() {
        writeln!(out, "\nnot used")?;
        for failure in &survey.failures {
            writeln!(out, "    {} {}", failure.status, failure.text)?;
        }
    }
    if survey.stops.is_empty() {
        writeln!(out, "\nThere is no host to send this to.")?;
    }
    Ok(())
}

fn write_keys(out: &mut String, keys: &Keys) -> std::fmt::Result {
    match keys {
        Keys::NotAsked => Ok(()),
        Keys::Insecure => writeln!(out, "    TLSA records: the host is not signed"),
        Keys::None => writeln!(out, "    TLSA records: none, as DNSSEC proves"),
        Keys::Failed(why) => writeln!(out, "    TLSA records: no answer that counts: {why}"),
        Keys::Found { base, records } => {
            for record in records {
                let usable = if record.usable().is_some() { "" } else { " (of no use for mail)" };
                writeln!(out, "    TLSA of {base}: {record}{usable}")?;
            }
            Ok(())
        }
    }
}

fn not_proven(dnssec: Dnssec) -> &'static str {
    match dnssec {
        Dnssec::Off => "not proven: dns.dnssec = \"off\", so that DANE is not used",
        Dnssec::Validate | Dnssec::TrustAd => "not proven: they are not signed",
    }
}

fn tls_word(tls: TlsPolicy) -> &'static str {
    match tls {
        TlsPolicy::None => "none",
        TlsPolicy::Opportunistic => "opportunistic",
        TlsPolicy::Required => "required",
        TlsPolicy::Verified => "verified",
        TlsPolicy::Implicit => "implicit",
    }
}

/// The addresses that would be tried, by host.
fn hosts(survey: &Survey) -> Vec<(Option<&Domain>, Vec<&Stop>)> {
    let mut hosts: Vec<(Option<&Domain>, Vec<&Stop>)> = Vec::new();
    for stop in &survey.stops {
        match hosts.last_mut() {
            Some((name, stops)) if name.is_some() && *name == stop.name.as_ref() => stops.push(stop),
            _ => hosts.push((stop.name.as_ref(), vec![stop])),
        }
    }
    hosts
}

fn findings<'a>(survey: &'a Survey, name: &Domain) -> Option<&'a Findings> {
    survey.findings.iter().find(|(known, _)| known == name).map(|(_, findings)| findings)
}

/// The policies that hold, each once, with whose they are.
fn policies(survey: &Survey) -> Vec<(&Domain, &Policy)> {
    let mut found: Vec<(&Domain, &Policy)> = Vec::new();
    for (name, findings) in &survey.findings {
        let Some(policy) = &findings.policy else { continue };
        let domain = match &survey.mx {
            Some(Located::Mx { domain, .. }) => domain,
            _ => name,
        };
        if !found.contains(&(domain, policy)) {
            found.push((domain, policy));
        }
    }
    found
}

fn as_json(answer: &Answer) -> Value {
    let decision = &answer.decision;
    let (goes_to, refused) = match &decision.outcome {
        Ok(words) => (Some(words.as_str()), None),
        Err(reply) => (None, Some(reply.one_line())),
    };
    let (file, line) = decision.place.as_ref().map_or((None, None), |(file, line)| (Some(file), Some(line)));
    let route = json!({
        "outcome": goes_to, "reply": refused, "because": decision.words, "setting": decision.setting,
        "value": decision.value, "file": file, "line": line,
    });
    let mut whole = json!({
        "recipient": decision.asked, "server": &*answer.server.name, "route": route, "reachable": answer.is_reachable(),
    });
    if let Some((hop, survey)) = &answer.found {
        let hosts: Vec<Value> =
            hosts(survey).into_iter().map(|(name, stops)| host_json(survey, name, &stops)).collect();
        whole["owner"] = hop.terms.owner.to_string().into();
        whole["tls"] = tls_word(hop.terms.tls).into();
        whole["mx"] = match &survey.mx {
            Some(Located::Mx { domain, alias, secure }) => json!({
                "domain": domain.as_str(), "alias": alias.as_ref().map(Domain::as_str), "secure": secure,
            }),
            _ => Value::Null,
        };
        whole["mta_sts"] = policies(survey).into_iter().map(|(domain, policy)| policy_json(domain, policy)).collect();
        whole["hosts"] = hosts.into();
        whole["not_used"] = survey.failures.iter().map(failure_json).collect();
    }
    whole
}

fn policy_json(domain: &Domain, policy: &Policy) -> Value {
    let hosts: Vec<String> = policy.hosts.iter().map(ToString::to_string).collect();
    json!({
        "domain": domain.as_str(), "mode": policy.mode.word(), "max_age": policy.max_age.as_secs(), "mx": hosts,
    })
}

fn host_json(survey: &Survey, name: Option<&Domain>, stops: &[&Stop]) -> Value {
    let keys = name.and_then(|name| findings(survey, name)).map(|findings| &findings.keys);
    let (state, records) = match keys {
        None | Some(Keys::NotAsked) => ("not asked", Vec::new()),
        Some(Keys::Insecure) => ("not signed", Vec::new()),
        Some(Keys::None) => ("none", Vec::new()),
        Some(Keys::Failed(_)) => ("failed", Vec::new()),
        Some(Keys::Found { records, .. }) => ("found", records.iter().map(ToString::to_string).collect()),
    };
    json!({
        "name": name.map(Domain::as_str),
        "addresses": stops.iter().map(|stop| &*stop.label).collect::<Vec<_>>(),
        "protection": stops.first().map(|stop| stop.protection.to_string()),
        "clear_text": stops.first().map(|stop| stop.protection.allows_clear_text()),
        "authenticated": stops.first().map(|stop| stop.protection.is_authenticated()),
        "tlsa": { "state": state, "records": records },
        "probes": stops.iter().filter_map(|stop| Some(probed::as_json(&stop.label, stop.probe.as_ref()?))).collect::<Vec<_>>(),
    })
}

fn failure_json(failure: &Failure) -> Value {
    json!({ "host": failure.host, "status": failure.status.to_string(), "text": failure.text })
}
