//! Terms as the file has them, in `[[smart_host]]` and in a domain's table.
//!
//! What is not written is the provider's, or what lies beneath: for a domain the virtual server's own. What cannot work,
//! or would show a secret, is refused here; whether a file can be read shows when a connection is made.

use super::auth;
use super::keys::{Keys, TLS_WORDS};
use super::provider::Provider;
use super::{CertificateSource, Owner, Pacing, Terms, TlsPolicy, Waits};
use crate::config::GlitchRetry;
use crate::config::domains::ascii_mailbox;
use crate::config::read::{Fault, Reader, Span, Table};
use crate::config::settings::{Setting, Unit};
use std::net::IpAddr;
use std::time::Duration;

/// The port at which TLS begins with the first octet (RFC 8314 §7.3).
pub(in crate::config) const IMPLICIT_PORT: u16 = 465;

/// In which table the terms stand, and what holds where nothing is written.
pub(in crate::config) struct Beneath<'a> {
    pub(in crate::config) keys: &'static Keys,
    pub(in crate::config) owner: Owner,
    pub(in crate::config) provider: Option<Provider>,
    /// TLS, authorities and addresses.
    pub(in crate::config) terms: &'a Terms,
    /// The hosts as far as the file names them; empty: DNS does.
    pub(in crate::config) ports: &'a [u16],
}

/// Terms, and waits that are not yet whole.
pub(in crate::config) struct Drafted {
    pub(in crate::config) terms: Terms,
    pub(in crate::config) waits: OwnWaits,
    /// Where `auth` stands.
    pub(in crate::config) auth: Option<Span>,
}

/// One of the keys of terms that the table has, and where its value stands.
pub(in crate::config) fn written(table: Table<'_, '_>) -> Option<(&'static str, Span)> {
    KEYS.iter().find_map(|key| table.get(key).map(|value| (*key, value.span())))
}

/// The keys of a table that are about terms.
const KEYS: [&str; 11] = [
    "tls",
    "authority",
    "certificate",
    "auth",
    "pacing",
    "bind",
    "sender",
    "retry",
    "glitch_retry",
    "delay_notice",
    "expiry",
];

pub(in crate::config) fn read<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>, beneath: &Beneath<'_>) -> Drafted {
    let keys = beneath.keys;
    let tls = tls(reader, table, beneath);
    let certificate = certificate(reader, table, keys);
    let auth = auth::read(
        reader,
        table,
        &auth::Around { keys, provider: beneath.provider, tls, certificate: certificate.as_ref() },
    );
    let sender = reader.text(table, &keys.sender).and_then(|text| reader.parsed(text, &keys.sender, ascii_mailbox));
    let terms = Terms {
        owner: beneath.owner.clone(),
        tls,
        authorities: reader.folder(table, &keys.authority).or_else(|| beneath.terms.authorities.clone()),
        certificate,
        auth,
        pacing: pacing(reader, table, beneath),
        bind: bind(reader, table, &keys.bind).unwrap_or_else(|| beneath.terms.bind.clone()),
        waits: None,
        sender: sender.map(|sender| sender.value),
    };
    if tls == TlsPolicy::None {
        refuse_without_tls(reader, table, keys);
    }
    Drafted { terms, waits: OwnWaits::read(reader, table, keys), auth: table.get("auth").map(toml::Spanned::span) }
}

/// The policy of a setting, if it is written and is one.
pub(in crate::config) fn policy(reader: &mut Reader<'_>, table: Table<'_, '_>, setting: &Setting) -> Option<TlsPolicy> {
    let policies =
        [TlsPolicy::None, TlsPolicy::Opportunistic, TlsPolicy::Required, TlsPolicy::Verified, TlsPolicy::Implicit];
    reader.choice(table, setting).and_then(|i| policies.get(i).copied())
}

fn tls(reader: &mut Reader<'_>, table: Table<'_, '_>, beneath: &Beneath<'_>) -> TlsPolicy {
    let setting = &beneath.keys.tls;
    let implicit = beneath.ports.iter().filter(|port| **port == IMPLICIT_PORT).count();
    let policy = policy(reader, table, setting);
    match policy {
        Some(TlsPolicy::Implicit) if beneath.ports.is_empty() => {
            let text = "mail hosts that DNS names do not speak TLS from the first octet on";
            reader.problems.note(table.span_of(setting), text, "write tls = \"verified\", or name the hosts");
        }
        Some(other) if other != TlsPolicy::Implicit && implicit > 0 => {
            let text = format!("at port {IMPLICIT_PORT} TLS begins with the first octet");
            reader.problems.note(table.span_of(setting), text, "write tls = \"implicit\", or another port");
        }
        None if implicit > 0 && implicit < beneath.ports.len() => {
            let text = format!("at port {IMPLICIT_PORT} TLS begins with the first octet, at the others it does not");
            reader.problems.note(table.span(), text, "write hosts that are spoken to in one way");
        }
        _ => {}
    }
    match policy {
        Some(policy) => policy,
        None if implicit > 0 => TlsPolicy::Implicit,
        None if beneath.provider.is_some() || table.get("auth").is_some() => TlsPolicy::Verified,
        None => beneath.terms.tls,
    }
}

/// Notes what needs EHLO, where HELO is said instead.
pub(in crate::config) fn refuse_after_helo(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    keys: &'static Keys,
    drafted: &Drafted,
    helo: Option<Span>,
) {
    let (span, text) = match (&drafted.auth, drafted.terms.tls) {
        (Some(span), _) => (span.clone(), "after HELO nobody can log on"),
        (None, TlsPolicy::Required | TlsPolicy::Verified) => {
            (table.span_of(&keys.tls), "after HELO there is no STARTTLS")
        }
        _ => return,
    };
    reader.problems.clash(span, text, "take one of them out", helo.map(|span| (span, "HELO instead of EHLO")));
}

/// Notes what has no meaning in clear text.
fn refuse_without_tls(reader: &mut Reader<'_>, table: Table<'_, '_>, keys: &'static Keys) {
    for key in [keys.authority.key(), "certificate"] {
        if let Some(value) = table.get(key) {
            let text = format!("`{key}` has no meaning beside tls = \"{}\"", TLS_WORDS[0]);
            reader.problems.note(value.span(), text, "take one of them out");
        }
    }
}

fn certificate<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>, keys: &'static Keys) -> Option<CertificateSource> {
    let value = table.get("certificate")?;
    let table = sub_table(reader, table, "certificate", &keys.certificate_file)?;
    let (pem, pfx) = (table.has(&keys.certificate_file), table.has(&keys.certificate_pfx));
    let hint = "write { file = \"…\", key = \"…\" } or { pfx = \"…\" }";
    if pem == pfx {
        reader.problems.note(value.span(), "a certificate comes from one of `file` and `pfx`", hint);
        return None;
    }
    let stray = if pem { &keys.certificate_password_file } else { &keys.certificate_key };
    if let Some(span) = table.place_of(stray) {
        let beside = if pem { "file" } else { "pfx" };
        reader.problems.note(span, format!("`{}` has no meaning beside `{beside}`", stray.key()), "take it out");
    }
    if pem {
        let file = reader.folder(table, &keys.certificate_file)?;
        let key = reader.folder(table, &keys.certificate_key).unwrap_or_else(|| file.clone());
        return Some(CertificateSource::Pem { file, key });
    }
    let file = reader.folder(table, &keys.certificate_pfx)?;
    Some(CertificateSource::Pfx { file, password_file: reader.folder(table, &keys.certificate_password_file) })
}

/// The table `key` of `parent`, whose settings have names like that of `one`; nothing if it is not there or is no table.
pub(super) fn sub_table<'t, 's>(
    reader: &mut Reader<'s>,
    parent: Table<'t, 's>,
    key: &str,
    one: &'static Setting,
) -> Option<Table<'t, 's>> {
    let prefix = one.name.strip_suffix(one.key()).unwrap_or_default();
    let table = reader.table(parent, key, one.tab, prefix);
    table.entries().is_some().then_some(table)
}

fn pacing<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>, beneath: &Beneath<'_>) -> Pacing {
    let usual = beneath.provider.map(Provider::pacing).unwrap_or_default();
    let keys = beneath.keys;
    let Some(table) = sub_table(reader, table, "pacing", &keys.connections_max) else { return usual };
    let mut limit = |setting: &Setting, usual: Option<u32>| {
        if table.has(setting) { reader.limit(table, setting).and_then(|n| u32::try_from(n).ok()) } else { usual }
    };
    let pacing = Pacing {
        connections_max: limit(&keys.connections_max, usual.connections_max),
        messages_per_connection: limit(&keys.messages_per_connection, usual.messages_per_connection),
        recipients_per_message: limit(&keys.recipients_per_message, usual.recipients_per_message),
        messages_per_minute: limit(&keys.messages_per_minute, usual.messages_per_minute),
        messages_per_day: limit(&keys.messages_per_day, usual.messages_per_day),
        recipients_per_day: limit(&keys.recipients_per_day, usual.recipients_per_day),
        slow_down: usual.slow_down,
    };
    Pacing { slow_down: time(reader, table, &keys.slow_down).or(usual.slow_down), ..pacing }
}

/// A time, if it is written.
fn time(reader: &mut Reader<'_>, table: Table<'_, '_>, setting: &Setting) -> Option<Duration> {
    let value = table.get(setting.key())?;
    reader.quantity(value, setting, Unit::Time).map(Duration::from_secs)
}

/// Our own addresses, at most one of each family; `None`: not written.
pub(in crate::config) fn bind(reader: &mut Reader<'_>, table: Table<'_, '_>, setting: &Setting) -> Option<Vec<IpAddr>> {
    let addresses = reader.list(table, setting, true, own_address)?;
    let mut kept: Vec<(IpAddr, Span)> = Vec::new();
    for address in addresses {
        match kept.iter().find(|(ip, _)| ip.is_ipv4() == address.value.is_ipv4()) {
            Some((first, span)) => reader.problems.clash(
                address.span,
                format!("`{}` has two addresses of one family", setting.name),
                "leave one of them",
                Some((
                    span.clone(),
                    if first.is_ipv4() { "an IPv4 address already" } else { "an IPv6 address already" },
                )),
            ),
            None => kept.push((address.value, address.span)),
        }
    }
    Some(kept.into_iter().map(|(ip, _)| ip).collect())
}

fn own_address(text: &str) -> Result<IpAddr, Fault> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() => {
            Err(Fault::new("no connection comes from there", "write an address of this machine, or leave it out"))
        }
        Ok(ip) => Ok(ip.to_canonical()),
        Err(_) => Err(Fault::new("it is no address", "write an address of this machine, as \"192.0.2.1\"")),
    }
}

/// Waits and ages as far as they are written.
#[derive(Default)]
pub(in crate::config) struct OwnWaits {
    retry: Option<Vec<Duration>>,
    every: Option<Duration>,
    times: Option<u16>,
    delay_notice: Option<Duration>,
    expiry: Option<Duration>,
}

impl OwnWaits {
    fn read<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>, keys: &'static Keys) -> OwnWaits {
        let glitch = sub_table(reader, table, "glitch_retry", &keys.glitch_every);
        let times = glitch.and_then(|glitch| glitch.get(keys.glitch_times.key()));
        let times = times.and_then(|value| reader.quantity(value, &keys.glitch_times, Unit::Count));
        OwnWaits {
            retry: ladder(reader, table, &keys.retry),
            every: glitch.and_then(|glitch| time(reader, glitch, &keys.glitch_every)),
            times: times.and_then(|times| u16::try_from(times).ok()),
            delay_notice: time(reader, table, &keys.delay_notice),
            expiry: time(reader, table, &keys.expiry),
        }
    }

    /// Whole, with the virtual server's where they say nothing; `None`: they say nothing at all.
    pub(in crate::config) fn over(&self, beneath: &Waits) -> Option<Waits> {
        let is_silent = self.retry.is_none()
            && self.every.is_none()
            && self.times.is_none()
            && self.delay_notice.is_none()
            && self.expiry.is_none();
        (!is_silent).then(|| Waits {
            retry: self.retry.clone().unwrap_or_else(|| beneath.retry.clone()),
            glitch_retry: GlitchRetry {
                every: self.every.unwrap_or(beneath.glitch_retry.every),
                times: self.times.unwrap_or(beneath.glitch_retry.times),
            },
            delay_notice: self.delay_notice.unwrap_or(beneath.delay_notice),
            expiry: self.expiry.unwrap_or(beneath.expiry),
        })
    }
}

/// Waits between attempts, if they are written: at least one.
pub(in crate::config) fn ladder(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    setting: &Setting,
) -> Option<Vec<Duration>> {
    let items = reader.items(table, setting, false)?;
    if items.is_empty() {
        let text = format!("`{}` is empty", setting.name);
        reader.problems.note(table.span_of(setting), text, "write at least one wait: [\"15 min\"]");
    }
    let waits: Vec<_> = items.iter().filter_map(|item| reader.quantity(item, setting, Unit::Time)).collect();
    Some(waits.into_iter().map(Duration::from_secs).collect())
}
