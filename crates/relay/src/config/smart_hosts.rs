//! `[[smart_host]]`: hosts that take mail for us, shared by all virtual servers, each under a name.
//!
//! `delivery.smart_host` and a domain's `route` name them. The port belongs to the host, the terms to the smart host, so
//! that one virtual server can send to several of them in different ways.
//!
//! IIS: Delivery tab, Advanced, Smart host; SMTP domains, Forward all mail to smart host.

use super::domains::host_port;
use super::read::{Fault, Placed, Reader, Span, Table};
use super::settings::{self, Preset, Range, Setting, Tab, Unit};
use super::terms::keys;
use super::terms::provider::Provider;
use super::terms::read::{self, Beneath, OwnWaits};
use super::terms::{Owner, Terms, Waits};
use super::{HostPort, SmartHost};
use std::sync::Arc;
use toml::de::DeValue;

/// Smart hosts of one file.
pub const SMART_HOSTS_MAX: usize = 1_000;

/// The port of hosts that name none.
const PORT: u16 = 25;

/// What stands before the name of a smart host where hosts can stand too.
pub(super) const SCHEME: &str = "smart_host:";

/// `smart_host.name`
pub static NAME: Setting = Setting {
    name: "smart_host.name",
    tab: Tab::SmartHost,
    label: "Name",
    unit: Unit::Text,
    default: Preset::Required,
    range: Range::Between(1, 64),
    help: "What `delivery.smart_host` and the `route` of a domain call it; letters, digits, hyphens and underscores. Its tokens and its pace are \
kept under this name.",
};

/// `smart_host.provider`
pub static PROVIDER: Setting = Setting {
    name: "smart_host.provider",
    tab: Tab::SmartHost,
    label: "Provider",
    unit: Unit::Choice,
    default: Preset::Follows("none"),
    range: Range::OneOf(Provider::WORDS),
    help: "Fills in `hosts`, `tls`, `pacing` and what OAuth asks for, each of which can be written all the same. `\"microsoft365\"`: \
smtp.office365.com:587 with 3 connections, 30 messages a minute, 10,000 recipients a day, 500 recipients of one message. `\"google\"`: \
smtp.gmail.com:587 with 10 connections, 2,000 messages and 3,000 recipients a day, 100 recipients of one message.",
};

/// `smart_host.hosts`
pub static HOSTS: Setting = Setting {
    name: "smart_host.hosts",
    tab: Tab::SmartHost,
    label: "Smart host",
    unit: Unit::List(&Unit::Host, 20),
    default: Preset::Follows("the provider's; without a provider it must be written"),
    range: Range::Any,
    help: "Tried in order, with port 25 where none is written; one alone may do without the list's brackets. An address stands in square \
brackets (IPv4 may do without) and is not looked up; a name is looked up as a host, not as a domain (no MX).",
};

/// `smart_host.helo_only`
pub static HELO_ONLY: Setting = Setting {
    name: "smart_host.helo_only",
    tab: Tab::SmartHost,
    label: "Send HELO instead of EHLO",
    unit: Unit::Switch,
    default: Preset::Switch(false),
    range: Range::Any,
    help: "For hosts that do not bear EHLO. There is no TLS but `\"implicit\"` then, and no authentication.",
};

/// Those settings of `[[smart_host]]` that are not terms.
pub(super) const ALL: [&Setting; 4] = [&NAME, &PROVIDER, &HOSTS, &HELO_ONLY];

/// All smart hosts of the file, and what of them depends on the virtual server.
#[derive(Default)]
pub(super) struct SmartHosts {
    entries: Vec<Entry>,
}

struct Entry {
    host: Arc<SmartHost>,
    name: Span,
    waits: OwnWaits,
}

impl SmartHosts {
    /// As they are without a virtual server's waits.
    pub(super) fn all(&self) -> Vec<Arc<SmartHost>> {
        self.entries.iter().map(|entry| entry.host.clone()).collect()
    }

    /// Is there one of this name?
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.host.name.eq_ignore_ascii_case(name))
    }

    /// The one of this name, as a virtual server with these waits uses it; or what to write instead.
    pub(super) fn get(&self, name: &str, beneath: &Waits) -> Result<Arc<SmartHost>, Fault> {
        let Some(entry) = self.find(name) else { return Err(self.unknown(name)) };
        let waits = entry.waits.over(beneath);
        if waits.is_none() {
            return Ok(entry.host.clone());
        }
        let terms = Terms { waits, ..(*entry.host.terms).clone() };
        Ok(Arc::new(SmartHost { terms: Arc::new(terms), ..(*entry.host).clone() }))
    }

    fn unknown(&self, name: &str) -> Fault {
        let names: Vec<_> = self.entries.iter().take(10).map(|entry| &*entry.host.name).collect();
        let hint = match names[..] {
            [] => format!("write [[smart_host]] with name = {name:?} at the top of the file"),
            _ => format!("those there are: {}", names.join(", ")),
        };
        Fault::new("there is no smart host of this name", hint)
    }

    /// The name that was most likely meant by a host of one label.
    pub(super) fn close_to(&self, name: &str) -> Option<&str> {
        let close = |entry: &&Entry| super::read::distance(&name.to_lowercase(), &entry.host.name.to_lowercase()) <= 2;
        self.entries.iter().find(close).map(|entry| &*entry.host.name)
    }
}

/// Reads all of them; what lies beneath a smart host is nobody's: every virtual server may use it.
pub(super) fn read<'s>(reader: &mut Reader<'s>, root: Table<'_, 's>) -> SmartHosts {
    let Some(value) = root.get("smart_host") else { return SmartHosts::default() };
    let items = match value.get_ref() {
        DeValue::Array(items) if items.len() <= SMART_HOSTS_MAX => items,
        DeValue::Array(items) => {
            let text = format!("{} smart hosts are too many", items.len());
            reader.problems.note(value.span(), text, format!("write at most {SMART_HOSTS_MAX}"));
            return SmartHosts::default();
        }
        DeValue::String(_) => {
            let hint = "write smart_host = … below [virtual_server.delivery]";
            reader.problems.note(value.span(), "at the top of the file smart hosts are tables", hint);
            return SmartHosts::default();
        }
        _ => {
            let hint = "write [[smart_host]] for each of them, in two brackets";
            reader.problems.note(value.span(), "the smart hosts are a list of tables", hint);
            return SmartHosts::default();
        }
    };
    let mut hosts = SmartHosts::default();
    for item in items {
        let DeValue::Table(table) = item.get_ref() else {
            let hint = "write [[smart_host]] and its settings below";
            reader.problems.note(item.span(), "a smart host must be a table", hint);
            continue;
        };
        let Some(entry) = entry(reader, Table::new(table, &item.span())) else { continue };
        if let Some(first) = hosts.find(&entry.host.name) {
            let related = Some((first.name.clone(), "the first one"));
            let text = format!("two smart hosts have the name {:?}", entry.host.name);
            reader.problems.clash(entry.name.clone(), text, "give each its own name", related);
        } else {
            hosts.entries.push(entry);
        }
    }
    hosts
}

fn entry<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>) -> Option<Entry> {
    reader.refuse_unknown(table, &settings::keys(Tab::SmartHost, "smart_host."), Tab::SmartHost.table());
    let name = reader.text(table, &NAME).and_then(|text| reader.parsed(text, &NAME, name));
    let provider = reader.choice(table, &PROVIDER).and_then(|i| Provider::ALL.get(i).copied());
    let hosts = hosts(reader, table, provider);
    let ports: Vec<u16> = hosts.iter().map(|host| host.port).collect();
    let owner = Owner::SmartHost(name.as_ref().map(|name| name.value.clone()).unwrap_or_default());
    let plain = Terms::plain();
    let beneath = Beneath { keys: &keys::SMART_HOST, owner, provider, terms: &plain, ports: &ports };
    let drafted = read::read(reader, table, &beneath);
    let helo_only = reader.switch(table, &HELO_ONLY);
    if helo_only {
        read::refuse_after_helo(reader, table, &keys::SMART_HOST, &drafted, table.place_of(&HELO_ONLY));
    }
    let name = name?;
    let host = SmartHost { name: name.value, hosts, terms: Arc::new(drafted.terms), helo_only };
    Some(Entry { host: Arc::new(host), name: name.span, waits: drafted.waits })
}

fn name(text: &str) -> Result<Box<str>, Fault> {
    if text.len() > 64 || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Err(Fault::new(
            "a name has letters, digits, hyphens and underscores, at most 64",
            "write a short one, as \"office\"",
        ));
    }
    Ok(text.into())
}

fn hosts(reader: &mut Reader<'_>, table: Table<'_, '_>, provider: Option<Provider>) -> Vec<HostPort> {
    match reader.list(table, &HOSTS, true, |text| host_port(text, Some(PORT))) {
        Some(hosts) => {
            if matches!(table.get(HOSTS.key()).map(toml::Spanned::get_ref), Some(DeValue::Array(items)) if items.is_empty())
            {
                let hint = "write hosts = [\"smtp.example.com:587\"]";
                reader.problems.note(table.span_of(&HOSTS), "a smart host has at least one host", hint);
            }
            hosts.into_iter().map(|host: Placed<HostPort>| host.value).collect()
        }
        None if table.has(&HOSTS) => Vec::new(),
        None => {
            let usual = provider.and_then(Provider::host).map(|(host, port)| HostPort { host, port });
            if usual.is_none() && !table.has(&PROVIDER) {
                let hint = "write hosts = [\"smtp.example.com:587\"], or a provider";
                reader.problems.note(table.span(), "`smart_host.hosts` is missing", hint);
            }
            usual.into_iter().collect()
        }
    }
}
