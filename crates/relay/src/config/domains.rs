//! Local, alias and remote domains: `[[virtual_server.domain]]`.

mod routed;

use super::open::is_everybodys;
use super::quantity::{KB, TB};
use super::read::{Fault, Placed, Reader, Span, Table, tidy};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use super::smart_hosts::SmartHosts;
use super::terms::read as own;
use super::{DefaultDomain, Delivery, DomainPattern, HostPort, RemoteDomain, RouteTo, Terms};
use smtp::address::{AddressError, Domain, Host, Mailbox};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::DeValue;

/// Domains of one virtual server: each recipient is compared with each.
pub const DOMAINS_MAX: usize = 10_000;

/// `domain.name`
pub static NAME: Setting = Setting {
    name: "domain.name",
    tab: Tab::Domain,
    label: "Name",
    unit: Unit::Pattern,
    default: Preset::Required,
    range: Range::Any,
    help: "The domain after the `@` of a recipient. An alias or remote domain may begin with `*.`: it then matches what is below the \
name, not the name itself. The longest match counts. There is exactly one default domain; if none is written it is `delivery.fqdn`.",
};

/// `domain.kind`
pub static KIND: Setting = Setting {
    name: "domain.kind",
    tab: Tab::Domain,
    label: "Local (default), alias or remote",
    unit: Unit::Choice,
    default: Preset::Required,
    range: Range::OneOf(&["default", "alias", "remote"]),
    help: "The default domain completes addresses without one and sends the reports; its mail and that of alias domains goes to Drop or to the \
default domain's `route`. A remote domain has settings for mail that goes elsewhere.",
};

/// `domain.allow_relay`
pub static ALLOW_RELAY: Setting = Setting {
    name: "domain.allow_relay",
    tab: Tab::Domain,
    label: "Allow incoming mail to be relayed to this domain",
    unit: Unit::Switch,
    default: Preset::Switch(false),
    range: Range::Any,
    help: "For remote domains: everybody who may connect may send to it, whatever the relay list says.",
};

/// `domain.route`
pub static ROUTE: Setting = Setting {
    name: "domain.route",
    tab: Tab::Domain,
    label: "Route domain: use DNS, or forward all mail to smart host",
    unit: Unit::List(&Unit::Route, 20),
    default: Preset::Follows(
        "for the default domain its Drop folder; for a remote domain as the virtual server sends everything else",
    ),
    range: Range::Any,
    help: "One of them, or a list of `smtp://` or of `lmtp://` hosts that are tried in order. `\"mx\"` looks the domain up in DNS even if \
there is a smart host; `smtp://` and `lmtp://` name the host that takes its mail; `lmtp+unix:` a socket on this machine; `smart_host:` a \
`[[smart_host]]`. An alias has the default domain's.",
};

/// `domain.helo_only`
pub static HELO_ONLY: Setting = Setting {
    name: "domain.helo_only",
    tab: Tab::Domain,
    label: "Send HELO instead of EHLO",
    unit: Unit::Switch,
    default: Preset::Switch(false),
    range: Range::Any,
    help: "For remote domains whose server does not bear EHLO.",
};

/// `domain.drop`
pub static DROP: Setting = Setting {
    name: "domain.drop",
    tab: Tab::Domain,
    label: "Drop directory",
    unit: Unit::Folder,
    default: Preset::Follows("`Drop` in the home folder"),
    range: Range::Any,
    help: "For the default domain: the folder that its mail and that of the aliases is put into, one file a message.",
};

/// `domain.quota`
pub static QUOTA: Setting = Setting {
    name: "domain.quota",
    tab: Tab::Domain,
    label: "Enable drop directory quota",
    unit: Unit::Size,
    default: Preset::Follows("ten times `messages.size_max`; none if that is unlimited"),
    range: Range::BetweenOrUnlimited(KB, 1_024 * TB),
    help: "For the default domain: while Drop holds more, its mail waits in Queue (452 4.2.2) and is tried again. The old service had this \
quota of ten messages' size.",
};

/// How many largest messages Drop holds when no quota is written.
const QUOTA_MESSAGES: u64 = 10;

/// A TLD for a name space of one's own (RFC 6761, RFC 9476 and customs); others below a TLD are strangers to each other.
const INNER_TLDS: [&str; 12] = [
    "alt",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localhost",
    "private",
    "test",
];

/// One `[[virtual_server.domain]]`, read.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: Placed<DomainPattern>,
    pub(super) route: Option<RouteTo>,
    /// The hosts of the route, each where it stands.
    hosts: Vec<Placed<HostPort>>,
    /// On what terms, and where `auth` stands.
    terms: Option<Arc<Terms>>,
    auth: Option<Span>,
    allow_relay: bool,
    helo_only: bool,
    drop: Option<Placed<PathBuf>>,
    quota: Option<Option<u64>>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Default,
    Alias,
    Remote,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Default, Kind::Alias, Kind::Remote];

    fn word(self) -> &'static str {
        match self {
            Kind::Default => "default",
            Kind::Alias => "alias",
            Kind::Remote => "remote",
        }
    }
}

/// The domains of one virtual server, and where they stand.
pub(super) struct Domains {
    pub(super) default_domain: DefaultDomain,
    pub(super) aliases: Vec<DomainPattern>,
    pub(super) remotes: Vec<Arc<RemoteDomain>>,
    pub(super) drop: Option<Span>,
    /// The hosts of all routes.
    pub(super) routes: Vec<Placed<HostPort>>,
    /// Terms that have `auth`, and where it stands.
    pub(super) own_terms: Vec<Placed<Arc<Terms>>>,
}

/// What the domains need to know of the rest of their virtual server.
pub(super) struct Around<'a> {
    pub(super) home: &'a Path,
    pub(super) delivery: &'a Delivery,
    pub(super) size_max: Option<u64>,
    pub(super) smart_hosts: &'a SmartHosts,
}

pub(super) fn read<'s>(reader: &mut Reader<'s>, server: Table<'_, 's>, around: &Around<'_>) -> Domains {
    let entries = entries(reader, server, around);
    let fqdn = &around.delivery.fqdn;
    refuse_doubles(reader, &entries, fqdn);
    let default = entries.iter().find(|entry| entry.kind == Kind::Default);
    let quota = around.size_max.map(|size| size.saturating_mul(QUOTA_MESSAGES));
    let default_domain = DefaultDomain {
        name: default.map_or_else(|| fqdn.clone(), |entry| entry.name.value.name.clone()),
        route: default.and_then(|entry| entry.route.clone()),
        drop: default
            .and_then(|entry| entry.drop.as_ref())
            .map_or_else(|| tidy(&around.home.join("Drop")), |drop| drop.value.clone()),
        quota: default.and_then(|entry| entry.quota).unwrap_or(quota),
        terms: default.and_then(|entry| entry.terms.clone()),
    };
    let with_auth = |entry: &Entry| {
        let value = entry.terms.clone()?;
        Some(Placed { value, span: entry.auth.clone()? })
    };
    Domains {
        default_domain,
        aliases: of_kind(&entries, Kind::Alias).map(|entry| entry.name.value.clone()).collect(),
        remotes: of_kind(&entries, Kind::Remote).map(remote).collect(),
        drop: default.and_then(|entry| entry.drop.as_ref()).map(|drop| drop.span.clone()),
        own_terms: entries.iter().filter_map(with_auth).collect(),
        routes: entries.into_iter().flat_map(|entry| entry.hosts).collect(),
    }
}

fn of_kind(entries: &[Entry], kind: Kind) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(move |entry| entry.kind == kind)
}

fn remote(entry: &Entry) -> Arc<RemoteDomain> {
    Arc::new(RemoteDomain {
        pattern: entry.name.value.clone(),
        allow_relay: entry.allow_relay,
        route: entry.route.clone(),
        helo_only: entry.helo_only,
        terms: entry.terms.clone(),
    })
}

fn entries<'s>(reader: &mut Reader<'s>, server: Table<'_, 's>, around: &Around<'_>) -> Vec<Entry> {
    let Some(value) = server.get("domain") else { return Vec::new() };
    let items: Vec<_> = match value.get_ref() {
        DeValue::Array(items) if items.len() <= DOMAINS_MAX => items.iter().collect(),
        DeValue::Array(items) => {
            let text = format!("{} domains are too many for one virtual server", items.len());
            reader.problems.note(value.span(), text, format!("write at most {DOMAINS_MAX}"));
            return Vec::new();
        }
        _ => {
            let hint = "write [[virtual_server.domain]] for each domain, in two brackets";
            reader.problems.note(value.span(), "the domains are a list of tables", hint);
            return Vec::new();
        }
    };
    let mut entries = Vec::with_capacity(items.len());
    for item in items {
        if let DeValue::Table(table) = item.get_ref() {
            entries.extend(entry(reader, Table::new(table, &item.span()), around));
        } else {
            let hint = "write [[virtual_server.domain]] and its settings below";
            reader.problems.note(item.span(), "a domain must be a table", hint);
        }
    }
    entries
}

fn entry<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>, around: &Around<'_>) -> Option<Entry> {
    reader.refuse_unknown(table, &super::settings::keys(Tab::Domain, "domain."), Tab::Domain.table());
    let name = reader.text(table, &NAME).and_then(|text| reader.parsed(text, &NAME, pattern));
    let kind = reader.choice(table, &KIND).and_then(|i| Kind::ALL.get(i).copied());
    let (route, hosts) = routed::read(reader, table, around);
    let allow_relay = reader.switch(table, &ALLOW_RELAY);
    let helo_only = reader.switch(table, &HELO_ONLY);
    let drop = reader.folder(table, &DROP).map(|value| Placed { value, span: table.span_of(&DROP) });
    let quota = table.has(&QUOTA).then(|| reader.limit(table, &QUOTA));
    let (name, kind) = (name?, kind?);
    refuse_misplaced(reader, table, kind);
    let (terms, auth) = match kind {
        Kind::Alias => (None, None),
        _ => routed::terms(reader, table, around, (&name.value, route.as_ref())),
    };
    if kind == Kind::Default && name.value.below {
        let hint = format!("write \"{}\", and \"{}\" as an alias", name.value.name, name.value);
        reader.problems.note(name.span.clone(), "the default domain completes addresses: it cannot be a pattern", hint);
    }
    if allow_relay && name.value.below && is_everybodys(&name.value.name) {
        let text = format!("this is nearly an open relay: everybody could send to all of {:?}", name.value.to_string());
        let hint = "name the domains that your own servers take mail for";
        reader.problems.note(name.span.clone(), text, hint);
    }
    Some(Entry { kind, name, route, hosts, terms, auth, allow_relay, helo_only, drop, quota })
}

/// Notes settings that the kind of domain does not have.
fn refuse_misplaced(reader: &mut Reader<'_>, table: Table<'_, '_>, kind: Kind) {
    let strange: &[&Setting] = match kind {
        Kind::Default => &[&ALLOW_RELAY, &HELO_ONLY],
        Kind::Alias => &[&ALLOW_RELAY, &HELO_ONLY, &ROUTE, &DROP, &QUOTA],
        Kind::Remote => &[&DROP, &QUOTA],
    };
    let without_route = kind == Kind::Default && !table.has(&ROUTE);
    if let Some((key, span)) = own::written(table).filter(|_| kind == Kind::Alias || without_route) {
        let text = match kind {
            Kind::Alias => format!("`{key}` has no meaning for kind = \"alias\""),
            _ => format!("`{key}` has no meaning without a `route`: the mail goes to the Drop folder"),
        };
        reader.problems.note(span, text, "take it out");
    }
    for setting in strange.iter().filter(|setting| table.has(setting)) {
        let text = format!("`{}` has no meaning for kind = \"{}\"", setting.key(), kind.word());
        let hint = match (kind, setting.key()) {
            (Kind::Default, "allow_relay") => "take it out; everybody may send to the default domain",
            (Kind::Alias, "allow_relay") => "take it out; everybody may send to an alias",
            (Kind::Alias, _) => "take it out; an alias is treated as the default domain is",
            _ => "take it out",
        };
        reader.problems.note(table.span_of(setting), text, hint);
    }
}

/// A single label below which nobody outside can have a name.
pub(super) fn is_inner_name(label: &str) -> bool {
    INNER_TLDS.contains(&label)
}

/// Notes a second default domain and names that stand twice.
fn refuse_doubles(reader: &mut Reader<'_>, entries: &[Entry], fqdn: &Domain) {
    let mut defaults = of_kind(entries, Kind::Default);
    if let Some(first) = defaults.next() {
        for second in defaults {
            reader.problems.clash(
                second.name.span.clone(),
                "a virtual server has only one default domain",
                "write kind = \"alias\" for the others",
                Some((first.name.span.clone(), "the first default domain")),
            );
        }
    } else if let Some(alias) = entries.iter().find(|entry| !entry.name.value.below && entry.name.value.name == *fqdn) {
        let text = format!("{fqdn} is the default domain already, because no other one is written");
        let hint = "write kind = \"default\" here, or a default domain of another name";
        reader.problems.note(alias.name.span.clone(), text, hint);
    }
    let mut seen: std::collections::HashMap<&DomainPattern, &Entry> = std::collections::HashMap::new();
    for entry in entries {
        if let Some(first) = seen.get(&entry.name.value) {
            if (first.kind, entry.kind) == (Kind::Default, Kind::Default) {
                continue;
            }
            reader.problems.clash(
                entry.name.span.clone(),
                format!("the domain {:?} stands twice", entry.name.value.to_string()),
                "leave one of them",
                Some((first.name.span.clone(), "it is here already")),
            );
        } else {
            seen.insert(&entry.name.value, entry);
        }
    }
}

/// `example.com` or `*.example.com`.
fn pattern(text: &str) -> Result<DomainPattern, Fault> {
    match text.strip_prefix("*.") {
        Some(name) => Ok(DomainPattern { name: plain_domain(name)?, below: true }),
        None if text == "*" => Err(Fault::new(
            "it would match every domain",
            "leave it out: what no domain matches goes to the smart host, or to the hosts that DNS names",
        )),
        None if text.starts_with('.') => {
            Err(Fault::new("a pattern begins with an asterisk", format!("write \"*{text}\"")))
        }
        None if text.contains('*') => {
            Err(Fault::new("an asterisk stands for whole labels, at the beginning only", "write \"*.example.com\""))
        }
        None => Ok(DomainPattern { name: plain_domain(text)?, below: false }),
    }
}

/// A domain name and nothing else.
pub(super) fn plain_domain(text: &str) -> Result<Domain, Fault> {
    if let Some((_, after)) = text.split_once('@') {
        return Err(Fault::new("it is an address", format!("write what follows the @: {after:?}")));
    }
    Domain::parse(text).map_err(|error| Fault::new(error.to_string(), "write a name, as \"example.com\""))
}

/// A mailbox with its domain.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, Fault> {
    Mailbox::parse(text).map_err(|error| {
        let hint = match error {
            AddressError::NoDomain => format!("write it with its domain: \"{text}@example.com\""),
            _ => "write one address without brackets, as \"postmaster@example.com\"".to_owned(),
        };
        Fault::new(error.to_string(), hint)
    })
}

/// A mailbox that every host can take: with one beyond ASCII each message would need SMTPUTF8.
pub(super) fn ascii_mailbox(text: &str) -> Result<Mailbox, Fault> {
    match mailbox(text)? {
        mailbox if mailbox.is_ascii() => Ok(mailbox),
        _ => Err(Fault::new(
            "hosts without SMTPUTF8 would refuse every message with it",
            "write an address in ASCII; a domain in its form with xn--",
        )),
    }
}

/// `name`, `[address]`, either with `:port`; without one it is `port`, which must then be there. An IPv4 address needs no
/// brackets, since no name looks like one.
pub(super) fn host_port(text: &str, port: Option<u16>) -> Result<HostPort, Fault> {
    if text.contains([',', ';', ' ']) {
        return Err(Fault::new("it is more than one host", "write a list: [\"one.example.com\", \"two.example.com\"]"));
    }
    if text.contains('@') {
        return Err(Fault::new(
            "a user and a password do not belong here",
            "write the host alone, with or without a port",
        ));
    }
    if text.contains("://") {
        return Err(Fault::new("it is no host", "write the name, with or without a port: \"relay.example.com:25\""));
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Err(Fault::new("an IPv6 address stands in brackets", format!("write \"[{ip}]\" or \"[{ip}]:25\"")));
    }
    let (host, written) = match text.rsplit_once(':') {
        Some((host, number)) if !number.ends_with(']') => (host, Some(number)),
        _ => (text, None),
    };
    let port = match written {
        None => port
            .ok_or_else(|| Fault::new("the port is missing", format!("write \"lmtp://{text}:24\", or its own port")))?,
        Some(number) => number.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| {
            Fault::new("what follows the colon is no port", "write a port from 1 to 65535, or leave it out")
        })?,
    };
    let host = host_of(host)?;
    if matches!(&host, Host::Literal(ip) if ip.is_unspecified() || ip.is_multicast()) {
        return Err(Fault::new("no host has this address", "write the host's own address"));
    }
    Ok(HostPort { host, port })
}

/// A name or an address in brackets, where the tag `IPv6:` may be left out; an IPv4 address also without.
fn host_of(text: &str) -> Result<Host, Fault> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address: Option<IpAddr> = match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    if let Some(ip) = address {
        return Ok(Host::Literal(ip.to_canonical()));
    }
    Host::parse(text).map_err(|error| {
        Fault::new(
            error.to_string(),
            "write a name, as \"relay.example.com\", or an address in brackets, as \"[192.0.2.1]\"",
        )
    })
}
