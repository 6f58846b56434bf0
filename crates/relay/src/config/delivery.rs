//! The Delivery tab: when to try again, how much at a time, through whom, under which name.

use super::domains::{host_port, plain_domain};
use super::quantity::{DAY, HOUR, MINUTE};
use super::read::{Fault, Placed, Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use super::smart_hosts::{SCHEME, SmartHosts};
use super::terms::keys::TLS_WORDS;
use super::terms::read::{IMPLICIT_PORT, bind, ladder, policy};
use super::{
    CONNECTIONS_CEILING, Delivery, GlitchRetry, HostPort, SmartHost, SmartHostUse, Terms, Through, TlsPolicy, Waits,
};
use smtp::address::Domain;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait, notice or expiry: a month; longer than that nobody waits for a mail.
const LONGEST: u64 = 30 * DAY;

/// `delivery.retry`
pub static RETRY: Setting = Setting {
    name: "delivery.retry",
    tab: Tab::Delivery,
    label: "First, second, third and subsequent retry interval",
    unit: Unit::List(&Unit::Time, 20),
    default: Preset::Numbers(&[15 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR]),
    range: Range::Between(1, LONGEST),
    help: "Waits between attempts, each counted after the one before; the last one repeats until the message expires.",
};

/// `delivery.glitch_retry.every`
pub static GLITCH_EVERY: Setting = Setting {
    name: "delivery.glitch_retry.every",
    tab: Tab::Delivery,
    label: "Wait after a glitch (the old registry's GlitchRetrySeconds)",
    unit: Unit::Time,
    default: Preset::Number(60),
    range: Range::Between(1, HOUR),
    help: "After a busy or broken connection the first attempts follow sooner than the ladder of `delivery.retry` says. Written as \
`glitch_retry = { every = \"60 s\", times = 3 }`.",
};

/// `delivery.glitch_retry.times`
pub static GLITCH_TIMES: Setting = Setting {
    name: "delivery.glitch_retry.times",
    tab: Tab::Delivery,
    label: "How many such retries (the old SmtpRemoteRetryThreshold)",
    unit: Unit::Count,
    default: Preset::Number(3),
    range: Range::Between(0, 20),
    help: "After so many glitch retries the ladder of `delivery.retry` begins; 0 goes to it at once.",
};

/// `delivery.delay_notice`
pub static DELAY_NOTICE: Setting = Setting {
    name: "delivery.delay_notice",
    tab: Tab::Delivery,
    label: "Delay notification, outbound",
    unit: Unit::Time,
    default: Preset::Number(12 * HOUR),
    range: Range::Between(1, LONGEST),
    help: "Age at which the sender is told, once, that a message still waits. Not told at or after `delivery.expiry`.",
};

/// `delivery.expiry`
pub static EXPIRY: Setting = Setting {
    name: "delivery.expiry",
    tab: Tab::Delivery,
    label: "Expiration time-out, outbound",
    unit: Unit::Time,
    default: Preset::Number(2 * DAY),
    range: Range::Between(1, LONGEST),
    help: "Age at which a message is given up and the sender gets a non-delivery report (4.4.7).",
};

/// `delivery.local_delay_notice`
pub static LOCAL_DELAY_NOTICE: Setting = Setting {
    name: "delivery.local_delay_notice",
    tab: Tab::Delivery,
    label: "Delay notification, local",
    unit: Unit::Time,
    default: Preset::Number(12 * HOUR),
    range: Range::Between(1, LONGEST),
    help: "The same for mail that goes to the Drop folder.",
};

/// `delivery.local_expiry`
pub static LOCAL_EXPIRY: Setting = Setting {
    name: "delivery.local_expiry",
    tab: Tab::Delivery,
    label: "Expiration time-out, local",
    unit: Unit::Time,
    default: Preset::Number(2 * DAY),
    range: Range::Between(1, LONGEST),
    help: "The same for mail that goes to the Drop folder.",
};

/// `delivery.connections_max`
pub static CONNECTIONS_MAX: Setting = Setting {
    name: "delivery.connections_max",
    tab: Tab::Delivery,
    label: "Outbound connections: limit number of connections to",
    unit: Unit::Count,
    default: Preset::Number(1_000),
    range: Range::BetweenOrUnlimited(1, CONNECTIONS_CEILING as u64),
    help: "Outbound connections at a time, to all destinations together. `\"unlimited\"` means 20000, the program's own bound.",
};

/// `delivery.connections_per_domain_max`
pub static CONNECTIONS_PER_DOMAIN_MAX: Setting = Setting {
    name: "delivery.connections_per_domain_max",
    tab: Tab::Delivery,
    label: "Outbound connections: limit number of connections per domain to",
    unit: Unit::Count,
    default: Preset::Number(100),
    range: Range::BetweenOrUnlimited(1, CONNECTIONS_CEILING as u64),
    help: "Outbound connections to one destination: a domain, or a smart host.",
};

/// `delivery.timeout`
pub static TIMEOUT: Setting = Setting {
    name: "delivery.timeout",
    tab: Tab::Delivery,
    label: "Outbound connections: time-out",
    unit: Unit::Time,
    default: Preset::Number(10 * MINUTE),
    range: Range::Between(1, DAY),
    help: "Inactivity after which an outbound connection is given up. Steps for which RFC 5321 allows less time end sooner.",
};

/// `delivery.port`
pub static PORT: Setting = Setting {
    name: "delivery.port",
    tab: Tab::Delivery,
    label: "Outbound connections: TCP port",
    unit: Unit::Count,
    default: Preset::Number(25),
    range: Range::Between(1, 65_535),
    help: "Port of hosts found through MX records, and of smart hosts and routes that name none.",
};

/// `delivery.hop_count_max`
pub static HOP_COUNT_MAX: Setting = Setting {
    name: "delivery.hop_count_max",
    tab: Tab::Delivery,
    label: "Maximum hop count",
    unit: Unit::Count,
    default: Preset::Number(15),
    range: Range::Between(1, 100),
    help: "`Received` fields that a message may have; one with more goes round in circles and is refused with 554 5.4.6.",
};

/// `delivery.masquerade_domain`
pub static MASQUERADE_DOMAIN: Setting = Setting {
    name: "delivery.masquerade_domain",
    tab: Tab::Delivery,
    label: "Masquerade domain",
    unit: Unit::Domain,
    default: Preset::Follows("none"),
    range: Range::Any,
    help: "Replaces local domains in the envelope sender of outbound mail (MAIL FROM). The null sender is left alone, and so are header \
fields unless `masquerade_from` is on.",
};

/// `delivery.masquerade_from`
pub static MASQUERADE_FROM: Setting = Setting {
    name: "delivery.masquerade_from",
    tab: Tab::Delivery,
    label: "Masquerade domain: in From too",
    unit: Unit::Switch,
    default: Preset::Switch(false),
    range: Range::Any,
    help: "Replaces local domains in the `From` field too, but not in reports.",
};

/// `delivery.tls`
pub static TLS: Setting = Setting {
    name: "delivery.tls",
    tab: Tab::Delivery,
    label: "Outbound security: TLS encryption",
    unit: Unit::Choice,
    default: Preset::Text("\"opportunistic\""),
    range: Range::OneOf(TLS_WORDS),
    help: "For mail that neither a `[[smart_host]]` nor a domain has its own TLS for; the words are those of `smart_host.tls`, without `\"implicit\"`. The old service had `\"none\"` and `\"required\"`.",
};

/// `delivery.authority`
pub static AUTHORITY: Setting = Setting {
    name: "delivery.authority",
    tab: Tab::Delivery,
    label: "Outbound security: authorities",
    unit: Unit::File,
    default: Preset::Follows("the system's authorities"),
    range: Range::Any,
    help: "Certificates (PEM) of the authorities that are trusted for other servers' certificates instead.",
};

/// `delivery.bind`
pub static BIND: Setting = Setting {
    name: "delivery.bind",
    tab: Tab::Delivery,
    label: "Outbound connections: from these addresses",
    unit: Unit::List(&Unit::Address, 2),
    default: Preset::Follows("as the system chooses"),
    range: Range::Any,
    help: "Our own addresses that connections come from, at most one of each family. A host whose family has none here is not connected to. \
A `[[smart_host]]` has its own.",
};

/// `delivery.mta_sts`
pub static MTA_STS: Setting = Setting {
    name: "delivery.mta_sts",
    tab: Tab::Delivery,
    label: "Outbound security: heed what domains publish by MTA-STS",
    unit: Unit::Switch,
    default: Preset::Switch(true),
    range: Range::Any,
    help: "Where a domain's policy asks for it, its mail goes only to the hosts that the policy names, under TLS with a certificate that \
proves their name.",
};

/// `delivery.mx_loopback`
pub static MX_LOOPBACK: Setting = Setting {
    name: "delivery.mx_loopback",
    tab: Tab::Delivery,
    label: "Mail hosts that the DNS names may be on this machine",
    unit: Unit::Switch,
    default: Preset::Switch(false),
    range: Range::Any,
    help: "Whether mail is sent to 127.0.0.0/8 and ::1 when a domain's MX or address records say so. Anybody can write that into the \
DNS of a domain of his own, and so reach servers that trust this machine. A smart host or a domain's `route` may be on this machine in any case.",
};

/// `delivery.fqdn`
pub static FQDN: Setting = Setting {
    name: "delivery.fqdn",
    tab: Tab::Delivery,
    label: "Fully-qualified domain name",
    unit: Unit::Domain,
    default: Preset::Follows("the machine's name"),
    range: Range::Any,
    help: "Our name in the banner, HELO, Received, Message-ID and reports. Many servers refuse a HELO name without a dot or one \
that DNS does not know.",
};

/// `delivery.smart_host`
pub static SMART_HOST: Setting = Setting {
    name: "delivery.smart_host",
    tab: Tab::Delivery,
    label: "Smart host",
    unit: Unit::List(&Unit::Host, 20),
    default: Preset::Text("[]"),
    range: Range::Any,
    help: "Hosts that take our outbound mail, tried in order; one alone may be written without the list's brackets. An address \
stands in square brackets (IPv4 may do without) and is not looked up; a name is looked up as a host, not as a domain (no MX). Or the name of one \
`[[smart_host]]`, which has its own TLS, authentication and pace. A remote domain's `route` goes first.",
};

/// `delivery.smart_host_use`
pub static SMART_HOST_USE: Setting = Setting {
    name: "delivery.smart_host_use",
    tab: Tab::Delivery,
    label: "Attempt direct delivery before sending to smart host",
    unit: Unit::Choice,
    default: Preset::Text("\"always\""),
    range: Range::OneOf(&["always", "after_direct"]),
    help: "`\"always\"`: all mail that no remote domain routes goes to the smart host. `\"after_direct\"`: only what direct delivery \
(MX) does not get through.",
};

/// What was read, and where its smart hosts stand; nothing if we would have no name.
pub(super) fn read<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    host_name: &str,
    smart_hosts: &SmartHosts,
) -> Option<(Delivery, Vec<Placed<HostPort>>)> {
    let fqdn = fqdn(reader, table, host_name);
    let seconds = |reader: &mut Reader<'s>, setting| Duration::from_secs(reader.number(table, setting));
    let port = u16::try_from(reader.number(table, &PORT)).unwrap_or(25);
    let waits = waits(reader, table);
    let terms = terms(reader, table);
    let (smart_host, hosts) = through(reader, table, port, (smart_hosts, &waits));
    let smart_host_use = match reader.choice(table, &SMART_HOST_USE) {
        Some(1) => SmartHostUse::AfterDirect,
        _ => SmartHostUse::Always,
    };
    let masquerade_domain = domain(reader, table, &MASQUERADE_DOMAIN);
    if masquerade_domain.as_ref().is_some_and(|domain| !domain.is_ascii()) {
        let text = "hosts without SMTPUTF8 would refuse every message with this domain";
        reader.problems.note(table.span_of(&MASQUERADE_DOMAIN), text, "write it in its form with xn--");
    }
    let masquerade_from = reader.switch(table, &MASQUERADE_FROM);
    if masquerade_from && !table.has(&MASQUERADE_DOMAIN) {
        let text = "there is no masquerade domain to write into From";
        reader.problems.note(table.span_of(&MASQUERADE_FROM), text, "write masquerade_domain = \"example.com\"");
    }
    if smart_host_use == SmartHostUse::AfterDirect {
        refuse_weaker_end(reader, table, &smart_host, terms.tls);
    }
    let (mta_sts, mx_loopback) = (reader.switch(table, &MTA_STS), reader.switch(table, &MX_LOOPBACK));
    let delivery = Delivery {
        retry: waits.retry,
        glitch_retry: waits.glitch_retry,
        delay_notice: waits.delay_notice,
        expiry: waits.expiry,
        local_delay_notice: seconds(reader, &LOCAL_DELAY_NOTICE),
        local_expiry: seconds(reader, &LOCAL_EXPIRY),
        connections_max: reader.limit(table, &CONNECTIONS_MAX).and_then(|n| u32::try_from(n).ok()),
        connections_per_domain_max: reader
            .limit(table, &CONNECTIONS_PER_DOMAIN_MAX)
            .and_then(|n| u32::try_from(n).ok()),
        timeout: seconds(reader, &TIMEOUT),
        port,
        hop_count_max: u32::try_from(reader.number(table, &HOP_COUNT_MAX)).unwrap_or(u32::MAX),
        masquerade_domain,
        masquerade_from,
        fqdn: fqdn?,
        smart_host,
        smart_host_use,
        terms: Arc::new(terms),
        mta_sts,
        mx_loopback,
    };
    Some((delivery, hosts))
}

/// Notes a demand that the hosts which DNS names would meet, and not the smart host that takes what does not get through to them. A
/// domain's own demand is looked at where it stands.
fn refuse_weaker_end(reader: &mut Reader<'_>, table: Table<'_, '_>, smart_host: &Through, demanded: TlsPolicy) {
    let Through::SmartHost(host) = smart_host else { return };
    if TlsPolicy::Opportunistic.is_weaker_than(demanded) && host.terms.tls.is_weaker_than(demanded) {
        let text =
            format!("what does not get through directly goes to the smart host {}, which demands less TLS", host.name);
        let hint = "write the same tls for that smart host, or take smart_host_use out";
        reader.problems.note(table.span_of(&TLS), text, hint);
    }
}

fn waits<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>) -> Waits {
    let glitch = reader.table(table, "glitch_retry", Tab::Delivery, "delivery.glitch_retry.");
    let usual = || match RETRY.default {
        Preset::Numbers(waits) => waits.iter().copied().map(Duration::from_secs).collect(),
        _ => Vec::new(),
    };
    Waits {
        retry: ladder(reader, table, &RETRY).unwrap_or_else(usual),
        glitch_retry: GlitchRetry {
            every: Duration::from_secs(reader.number(glitch, &GLITCH_EVERY)),
            times: u16::try_from(reader.number(glitch, &GLITCH_TIMES)).unwrap_or(u16::MAX),
        },
        delay_notice: Duration::from_secs(reader.number(table, &DELAY_NOTICE)),
        expiry: Duration::from_secs(reader.number(table, &EXPIRY)),
    }
}

/// The virtual server's own terms.
fn terms(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Terms {
    let plain = Terms::plain();
    let tls = policy(reader, table, &TLS).unwrap_or(plain.tls);
    if tls == TlsPolicy::Implicit {
        let text = "mail hosts that DNS names do not speak TLS from the first octet on";
        reader.problems.note(
            table.span_of(&TLS),
            text,
            "write \"verified\" here, and \"implicit\" in a [[smart_host]]",
        );
    }
    Terms {
        tls,
        authorities: reader.folder(table, &AUTHORITY),
        bind: bind(reader, table, &BIND).unwrap_or_default(),
        ..plain
    }
}

/// `delivery.smart_host`: hosts, or the name of one `[[smart_host]]`; and where each host stands.
fn through<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    port: u16,
    (smart_hosts, waits): (&SmartHosts, &Waits),
) -> (Through, Vec<Placed<HostPort>>) {
    let parse = |text: &str| match text.strip_prefix(SCHEME).or(smart_hosts.has(text).then_some(text)) {
        Some(name) => smart_hosts.get(name, waits).map(Named::SmartHost),
        None => plain_host(text, port, smart_hosts).map(Named::Host),
    };
    let items = reader.list(table, &SMART_HOST, true, parse).unwrap_or_default();
    let mut hosts = Vec::new();
    for item in &items {
        match &item.value {
            Named::Host(host) => hosts.push(Placed { value: host.clone(), span: item.span.clone() }),
            Named::SmartHost(one) if items.len() == 1 => {
                let placed = |host: &HostPort| Placed { value: host.clone(), span: item.span.clone() };
                return (Through::SmartHost(Arc::clone(one)), one.hosts.iter().map(placed).collect());
            }
            Named::SmartHost(one) => {
                let text = format!("{:?} is a [[smart_host]]: it stands alone, with its hosts in order", &*one.name);
                reader.problems.note(item.span.clone(), text, "write its name alone, or hosts only");
            }
        }
    }
    let through = match hosts.is_empty() {
        true => Through::Dns,
        false => Through::Hosts(hosts.iter().map(|host| host.value.clone()).collect()),
    };
    (through, hosts)
}

enum Named {
    Host(HostPort),
    SmartHost(Arc<SmartHost>),
}

/// A host that is meant as one, and that STARTTLS can be spoken with.
fn plain_host(text: &str, port: u16, smart_hosts: &SmartHosts) -> Result<HostPort, Fault> {
    if !text.contains(['.', ':', '['])
        && let Some(name) = smart_hosts.close_to(text)
    {
        return Err(Fault::new(
            "there is no smart host of this name",
            format!("did you mean {name:?}? For a host write its port too: \"{text}:{port}\""),
        ));
    }
    match host_port(text, Some(port))? {
        host if host.port == IMPLICIT_PORT => Err(Fault::new(
            format!("at port {IMPLICIT_PORT} TLS begins with the first octet"),
            format!("write a [[smart_host]] with hosts = [\"{text}\"] and tls = \"implicit\", and its name here"),
        )),
        host => Ok(host),
    }
}

fn domain(reader: &mut Reader<'_>, table: Table<'_, '_>, setting: &Setting) -> Option<Domain> {
    let text = reader.text(table, setting)?;
    Some(reader.parsed(text, setting, plain_domain)?.value)
}

fn fqdn(reader: &mut Reader<'_>, table: Table<'_, '_>, host_name: &str) -> Option<Domain> {
    if table.has(&FQDN) {
        return domain(reader, table, &FQDN);
    }
    let name = Domain::parse(host_name).ok();
    if name.is_none() {
        reader.problems.note(
            table.span(),
            format!("`delivery.fqdn` is missing, and this machine's name {host_name:?} is no domain name"),
            "write fqdn = \"relay.example.com\" below [virtual_server.delivery]",
        );
    }
    name
}
