//! The Access tab: who may relay.
//!
//! A list that lets everybody relay is refused here: spammers find an open relay within hours, and its operator's mail is
//! refused for weeks. Consent in writing to such a thing is a later matter.

use super::read::{Placed, Reader, Span, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use super::{Access, Network, RelayList, RelayRule};
use std::net::IpAddr;
use toml::de::DeValue;

const NETWORKS: Unit = Unit::List(&Unit::Network, 10_000);

/// `access.relay.only`
pub static ONLY: Setting = Setting {
    name: "access.relay.only",
    tab: Tab::Access,
    label: "Relay restrictions: only the list below",
    unit: NETWORKS,
    default: Preset::Text("[]"),
    range: Range::Any,
    help: "Those who may send to other domains, written as `relay = { only = [...] }`. Everybody may send to local domains and to \
remote domains with `allow_relay`. An empty list, the default as in the old service, lets nobody relay: list `127.0.0.1` for \
programs on this machine. A network larger than any organisation has (`0.0.0.0/0`) is refused: that would be an open relay.",
};

/// `access.relay.all_except`
pub static ALL_EXCEPT: Setting = Setting {
    name: "access.relay.all_except",
    tab: Tab::Access,
    label: "Relay restrictions: all except the list below",
    unit: NETWORKS,
    default: Preset::Follows("not used"),
    range: Range::Any,
    help: "Everybody but these may relay, written as `relay = { all_except = [...] }` instead of `only`. Only for a server that \
strangers cannot reach. An empty list is refused: that would be an open relay.",
};

/// `access.relay.authenticated`
pub static AUTHENTICATED: Setting = Setting {
    name: "access.relay.authenticated",
    tab: Tab::Access,
    label: "Allow all computers which successfully authenticate to relay, regardless of the list above",
    unit: Unit::Switch,
    default: Preset::Switch(true),
    range: Range::Any,
    help: "On as in the old service. It comes to life with authentication; until then nobody can authenticate.",
};

/// What was read, and where the list stands.
pub(super) fn read<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>) -> Access {
    let relay = reader.table(table, "relay", Tab::Access, "access.relay.");
    let only = reader.list(relay, &ONLY, true, Network::parse);
    let all_except = reader.list(relay, &ALL_EXCEPT, true, Network::parse);
    let authenticated = reader.switch(relay, &AUTHENTICATED);
    // A list with a fault in it is not judged: what is left of it may look open or shut without being meant so.
    let is_whole = |setting: &Setting, read: usize| {
        relay.get(setting.key()).is_some_and(|value| match value.get_ref() {
            DeValue::Array(items) => items.len() == read,
            _ => read == 1,
        })
    };
    let list = match (only, all_except) {
        (Some(_), Some(_)) => {
            reader.problems.clash(
                relay.span_of(&ALL_EXCEPT),
                "a relay list is either `only` or `all_except`",
                "leave one of them out",
                relay.place_of(&ONLY).map(|span| (span, "the other list")),
            );
            RelayList::Only(Vec::new())
        }
        (only, None) => {
            let networks = only.unwrap_or_default();
            refuse_open(reader, &networks, relay.span_of(&ONLY));
            RelayList::Only(values(networks))
        }
        (None, Some(networks)) => {
            if networks.is_empty() && is_whole(&ALL_EXCEPT, 0) {
                reader.problems.note(
                    relay.span_of(&ALL_EXCEPT),
                    "this is an open relay: all except nobody may relay",
                    "write `only = [...]` with the addresses of your own machines",
                );
            }
            RelayList::AllExcept(values(networks))
        }
    };
    Access { relay: RelayRule { list, authenticated } }
}

fn values(networks: Vec<Placed<Network>>) -> Vec<Network> {
    networks.into_iter().map(|network| network.value).collect()
}

/// The IPv6 networks that nobody outside can have: unique local and link-local addresses (RFC 4193, RFC 4291 §2.5.6).
const INNER: [(u16, u8); 2] = [(0xfc00, 7), (0xfe80, 10)];

/// Refuses networks that are larger than any organisation's, and lists that come to half of all addresses.
fn refuse_open(reader: &mut Reader<'_>, networks: &[Placed<Network>], span: Span) {
    let mut refused = false;
    for network in networks.iter().filter(|network| is_everybody(&network.value)) {
        refused = true;
        reader.problems.note(
            network.span.clone(),
            format!("this is an open relay: {} is more than your own machines", network.value),
            "list the networks of your own machines, as \"10.0.0.0/8\" or \"192.0.2.0/24\"",
        );
    }
    if refused {
        return;
    }
    for is_v4 in [true, false] {
        if share(networks, is_v4) >= 0.5 {
            let family = if is_v4 { "IPv4" } else { "IPv6" };
            reader.problems.note(
                span.clone(),
                format!("this is an open relay: the list has half of all {family} addresses or more"),
                "list the networks of your own machines only",
            );
        }
    }
}

fn is_everybody(network: &Network) -> bool {
    match network.address {
        IpAddr::V4(_) => network.prefix < 8,
        IpAddr::V6(_) => {
            let inner = INNER.iter().any(|(head, prefix)| {
                let address = IpAddr::from([*head, 0, 0, 0, 0, 0, 0, 0]);
                Network { address, prefix: *prefix }.covers(network)
            });
            network.prefix < 16 && !inner
        }
    }
}

/// The part of a family's addresses that the list has, networks within other ones not counted twice.
fn share(networks: &[Placed<Network>], is_v4: bool) -> f64 {
    let mut family: Vec<&Network> =
        networks.iter().map(|network| &network.value).filter(|network| network.address.is_ipv4() == is_v4).collect();
    // Sorted so, a network comes right after those that cover it.
    family.sort_by_key(|network| (network.address, network.prefix));
    let mut last: Option<&Network> = None;
    let mut sum = 0.0;
    for network in family {
        if last.is_none_or(|last| !last.covers(network)) {
            sum += (-f64::from(network.prefix)).exp2();
            last = Some(network);
        }
    }
    sum
}
