//! The Delivery tab: when to try again, how much at a time, through whom, under which name.

use super::domains::{host_port, plain_domain};
use super::quantity::{DAY, HOUR, MINUTE};
use super::read::{Placed, Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use super::{CONNECTIONS_CEILING, Delivery, GlitchRetry, HostPort, SmartHostUse, Terms};
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
stands in square brackets (IPv4 may do without) and is not looked up; a name is looked up as a host, not as a domain (no MX). A remote domain's `route` goes first.",
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
) -> Option<(Delivery, Vec<Placed<HostPort>>)> {
    let fqdn = fqdn(reader, table, host_name);
    let seconds = |reader: &mut Reader<'s>, setting| Duration::from_secs(reader.number(table, setting));
    let port = u16::try_from(reader.number(table, &PORT)).unwrap_or(25);
    let smart_host = reader.list(table, &SMART_HOST, true, |text| host_port(text, Some(port))).unwrap_or_default();
    let glitch = reader.table(table, "glitch_retry", Tab::Delivery, "delivery.glitch_retry.");
    let smart_host_use = match reader.choice(table, &SMART_HOST_USE) {
        Some(1) => SmartHostUse::AfterDirect,
        _ => SmartHostUse::Always,
    };
    let masquerade_domain = domain(reader, table, &MASQUERADE_DOMAIN);
    let masquerade_from = reader.switch(table, &MASQUERADE_FROM);
    if masquerade_from && !table.has(&MASQUERADE_DOMAIN) {
        let text = "there is no masquerade domain to write into From";
        reader.problems.note(table.span_of(&MASQUERADE_FROM), text, "write masquerade_domain = \"example.com\"");
    }
    let delivery = Delivery {
        retry: retry(reader, table),
        glitch_retry: GlitchRetry {
            every: Duration::from_secs(reader.number(glitch, &GLITCH_EVERY)),
            times: u16::try_from(reader.number(glitch, &GLITCH_TIMES)).unwrap_or(u16::MAX),
        },
        delay_notice: seconds(reader, &DELAY_NOTICE),
        expiry: seconds(reader, &EXPIRY),
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
        smart_host: smart_host.iter().map(|host| host.value.clone()).collect(),
        smart_host_use,
        terms: Arc::new(Terms::plain()),
        mta_sts: reader.switch(table, &MTA_STS),
    };
    Some((delivery, smart_host))
}

fn retry(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Vec<Duration> {
    let default = || match RETRY.default {
        Preset::Numbers(waits) => waits.iter().copied().map(Duration::from_secs).collect(),
        _ => Vec::new(),
    };
    let Some(items) = reader.items(table, &RETRY, false) else { return default() };
    if items.is_empty() {
        reader.problems.note(
            table.span_of(&RETRY),
            "`delivery.retry` is empty",
            "write at least one wait: [\"15 min\"]",
        );
    }
    let waits: Vec<_> = items.iter().filter_map(|item| reader.quantity(item, &RETRY, Unit::Time)).collect();
    waits.into_iter().map(Duration::from_secs).collect()
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
