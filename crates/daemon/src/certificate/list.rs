//! Tells which certificates a configuration shows: names, issuer, end, where they are used; for people and for programs.

use crate::tls::load;
use crate::tls::{Particulars, Standing, acme_file};
use relay::config::{CertificateSource, Config, ListenerTls, VirtualServer};
use serde_json::{Value, json};
use smtp::time::Timestamp;
use std::path::{Path, PathBuf};

/// One certificate of the configuration.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The virtual server that shows it.
    pub server: Box<str>,
    /// `pem`, `pfx` or `acme`.
    pub kind: &'static str,
    /// The file with the certificate.
    pub file: PathBuf,
    /// What it says, or why it cannot be used.
    pub found: Result<Particulars, String>,
    /// The listeners that show it, as `0.0.0.0:465 implicit`.
    pub listeners: Vec<String>,
    /// It is shown to whoever asks for no name of another one.
    pub is_default: bool,
}

/// All certificates of a configuration, in its order.
#[must_use]
pub fn list(config: &Config) -> Vec<Listed> {
    config.servers.iter().flat_map(|server| of_server(server, &config.state)).collect()
}

/// Those of one virtual server.
#[must_use]
pub fn of_server(server: &VirtualServer, state: &Path) -> Vec<Listed> {
    let speaking = server.general.listen.iter().filter_map(|listener| {
        let how = match listener.tls {
            ListenerTls::Plain => return None,
            ListenerTls::StartTls => "starttls",
            ListenerTls::StartTlsRequired => "starttls_required",
            ListenerTls::Implicit => "implicit",
        };
        Some(format!("{} {how}", listener.address))
    });
    let listeners: Vec<String> = speaking.collect();
    let listed = |(number, source): (usize, &CertificateSource)| {
        let acme = acme_file(state, source);
        let found = load::chain(source, &acme).map_err(|fault| fault.to_string()).and_then(|chain| {
            let leaf = chain.certificates.first().and_then(|leaf| Particulars::read(leaf));
            leaf.ok_or_else(|| "the certificate cannot be read".to_owned())
        });
        Listed {
            server: server.name.clone(),
            kind: match source {
                CertificateSource::Pem { .. } => "pem",
                CertificateSource::Pfx { .. } => "pfx",
                CertificateSource::Acme(_) => "acme",
            },
            file: load::main_file(source, &acme).to_owned(),
            found,
            listeners: listeners.clone(),
            is_default: number == 0,
        }
    };
    server.access.certificates.iter().enumerate().map(listed).collect()
}

/// What is wrong at `now`, if anything is: one that cannot be used, or not at this time.
#[must_use]
pub fn fault(listed: &Listed, now: Timestamp) -> Option<String> {
    match &listed.found {
        Err(fault) => Some(fault.clone()),
        Ok(particulars) => match particulars.standing(now) {
            Standing::Valid => None,
            Standing::Expired => Some(format!(
                "{}: the certificate expired on {}; renew it",
                listed.file.display(),
                particulars.not_after.rfc3339()
            )),
            Standing::Future => Some(format!(
                "{}: the certificate holds only from {} on",
                listed.file.display(),
                particulars.not_before.rfc3339()
            )),
        },
    }
}

/// For people.
#[must_use]
pub fn as_text(list: &[Listed], now: Timestamp) -> String {
    let mut text = String::new();
    let mut server = None;
    for listed in list {
        if server != Some(&listed.server) {
            text.push_str(&format!("{}\n", listed.server));
            server = Some(&listed.server);
        }
        let mut row = |label: &str, value: &str| text.push_str(&format!("    {label:<11} {value}\n"));
        match &listed.found {
            Ok(particulars) => {
                row("names", &particulars.names.join(", "));
                let issuer = if particulars.is_self_signed() { "itself (self-signed)" } else { &*particulars.issuer };
                row("issued by", issuer);
                row("expires", &format!("{} ({})", particulars.not_after.rfc3339(), left(particulars, now)));
                row("key", &particulars.key);
                row("fingerprint", &particulars.fingerprint);
            }
            Err(fault) => row("UNUSABLE", fault),
        }
        row("file", &format!("{} ({})", listed.file.display(), listed.kind));
        let whom = if listed.is_default { "to whoever asks for no other one" } else { "to whoever asks for its names" };
        let mut at = listed.listeners.join(", ");
        if at.is_empty() {
            at.push_str("nowhere: no listener speaks TLS");
        }
        row("shown", &format!("{whom}, at {at}"));
        text.push('\n');
    }
    if list.is_empty() {
        text.push_str(
            "No virtual server has a certificate. To make one: mailroot certificate self-signed --config FILE\n",
        );
    }
    text
}

fn left(particulars: &Particulars, now: Timestamp) -> String {
    match (particulars.standing(now), particulars.days_left(now)) {
        (Standing::Future, _) => format!("not valid before {}", particulars.not_before.rfc3339()),
        (_, days) if days < 0 => "EXPIRED".to_owned(),
        (_, 1) => "1 day left".to_owned(),
        (_, days) => format!("{days} days left"),
    }
}

/// For programs.
#[must_use]
pub fn as_json(list: &[Listed], now: Timestamp) -> String {
    let value = |listed: &Listed| {
        let mut value = json!({
            "server": listed.server,
            "kind": listed.kind,
            "file": listed.file.display().to_string(),
            "listeners": listed.listeners,
            "default": listed.is_default,
            "usable": fault(listed, now).is_none(),
            "fault": fault(listed, now),
        });
        if let (Value::Object(fields), Ok(particulars)) = (&mut value, &listed.found) {
            fields.insert("names".to_owned(), json!(particulars.names));
            fields.insert("subject".to_owned(), json!(particulars.subject));
            fields.insert("issuer".to_owned(), json!(particulars.issuer));
            fields.insert("self_signed".to_owned(), json!(particulars.is_self_signed()));
            fields.insert("not_before".to_owned(), json!(particulars.not_before.rfc3339()));
            fields.insert("not_after".to_owned(), json!(particulars.not_after.rfc3339()));
            fields.insert("days_left".to_owned(), json!(particulars.days_left(now)));
            fields.insert("key".to_owned(), json!(particulars.key));
            fields.insert("fingerprint".to_owned(), json!(particulars.fingerprint));
        }
        value
    };
    let list: Vec<Value> = list.iter().map(value).collect();
    format!("{:#}\n", Value::Array(list))
}
