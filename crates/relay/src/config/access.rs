//! The Access tab: who may connect, who may relay, and what they must show.
//!
//! Reads the tab as a whole; its parts have files of their own ([`super::peers`], [`super::certificate`],
//! [`super::authentication`], [`super::rate`], [`super::inspection`]). Whether it all comes to an open relay is judged in `open`.
//!
//! IIS: Access tab.

use super::read::{Reader, Span, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use super::{Access, AccessList, Authentication, ClientCertificates, Entry, RelayRule};
use super::{authentication, certificate, inspection, open, peers, rate};

const PEERS: Unit = Unit::List(&Unit::Peer, 10_000);
const PEERS_OR_CERTIFICATES: Unit = Unit::List(&Unit::PeerOrCertificate, 10_000);

/// `access.accounts`
pub static ACCOUNTS: Setting = Setting {
    name: "access.accounts",
    tab: Tab::Access,
    label: "File of the accounts",
    unit: Unit::File,
    default: Preset::Text("\"accounts.toml\""),
    range: Range::Any,
    help: "Accounts for authentication, written by `mailroot account add`. Read only where a method of authentication is on; several \
virtual servers may share it.",
};

/// `access.connection.only`
pub static CONNECTION_ONLY: Setting = Setting {
    name: "access.connection.only",
    tab: Tab::Access,
    label: "Connection control: only the list below",
    unit: PEERS,
    default: Preset::Follows("everybody may connect"),
    range: Range::Any,
    help: "Those who may connect, written as `connection = { only = [...] }`; everybody else gets 554 5.7.1. A domain (`example.com` is \
it and all names below it) matches an address whose name in DNS lies there and has that address; it costs a look-up for each \
connection, and matches nobody while the DNS does not answer.",
};

/// `access.connection.all_except`
pub static CONNECTION_ALL_EXCEPT: Setting = Setting {
    name: "access.connection.all_except",
    tab: Tab::Access,
    label: "Connection control: all except the list below",
    unit: PEERS,
    default: Preset::Text("[]"),
    range: Range::Any,
    help: "Those who may not connect, instead of `only`.",
};

/// `access.relay.only`
pub static ONLY: Setting = Setting {
    name: "access.relay.only",
    tab: Tab::Access,
    label: "Relay restrictions: only the list below",
    unit: PEERS_OR_CERTIFICATES,
    default: Preset::Text("[]"),
    range: Range::Any,
    help: "Those who may send to other domains, written as `relay = { only = [...] }`. Everybody may send to local domains and to \
remote domains with `allow_relay`. An empty list, the default as in the old service, lets nobody relay: list `127.0.0.1` for \
programs on this machine. A list that comes to everybody is refused: that would be an open relay.",
};

/// `access.relay.all_except`
pub static ALL_EXCEPT: Setting = Setting {
    name: "access.relay.all_except",
    tab: Tab::Access,
    label: "Relay restrictions: all except the list below",
    unit: PEERS_OR_CERTIFICATES,
    default: Preset::Follows("not used"),
    range: Range::Any,
    help: "Everybody but these may relay, written as `relay = { all_except = [...] }` instead of `only`. Refused unless `access.connection` \
keeps strangers out: that would be an open relay.",
};

/// `access.relay.authenticated`
pub static AUTHENTICATED: Setting = Setting {
    name: "access.relay.authenticated",
    tab: Tab::Access,
    label: "Allow all computers which successfully authenticate to relay, regardless of the list above",
    unit: Unit::Switch,
    default: Preset::Switch(true),
    range: Range::Any,
    help: "On as in the old service. It has no effect while no method of authentication is on.",
};

/// `access.relay.i_want_an_open_relay`
pub static OPEN_RELAY: Setting = Setting {
    name: "access.relay.i_want_an_open_relay",
    tab: Tab::Access,
    label: "Relay for everybody, knowing what that means",
    unit: Unit::Text,
    default: Preset::Follows("no"),
    range: Range::Any,
    help: "A configuration that would relay for everybody is refused, unless this is written in exactly these words: `\"Everybody may send \
mail to everybody through this server, and that is what I want\"`. For closed test networks. Spammers find an open relay within \
hours, and mail from its address is refused for weeks.",
};

/// `access.reverse_dns`
pub static REVERSE_DNS: Setting = Setting {
    name: "access.reverse_dns",
    tab: Tab::Access,
    label: "Perform reverse DNS lookup on incoming messages",
    unit: Unit::Switch,
    default: Preset::Switch(false),
    range: Range::Any,
    help: "Says in `Received` when a client's name is `unverified` or `RDNS failed`, as the old service did on its Delivery tab. It refuses \
nobody, and waits for the DNS 5 seconds at most.",
};

/// What was read.
pub(super) fn read<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>) -> Access {
    let sub = |reader: &mut Reader<'s>, key: &str, prefix: &str| reader.table(table, key, Tab::Access, prefix);
    let client_certificates = certificate::client(reader, table);
    let authentication = sub(reader, "authentication", "access.authentication.");
    let authentication = authentication::read(reader, authentication, client_certificates.as_ref());
    let (connection, relay) = lists(reader, table, &authentication, client_certificates.as_ref());
    let rate = sub(reader, "rate", "access.rate.");
    let inspection = sub(reader, "inspection", "access.inspection.");
    Access {
        accounts: reader.path_or(table, &ACCOUNTS, "accounts.toml"),
        certificates: certificate::read(reader, table),
        client_certificates,
        connection,
        relay,
        reverse_dns: reader.switch(table, &REVERSE_DNS),
        authentication,
        rate: rate::read(reader, rate),
        inspection: inspection::read(reader, inspection),
    }
}

/// Connection control and relay restrictions, judged together.
fn lists<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    authentication: &Authentication,
    client_certificates: Option<&ClientCertificates>,
) -> (AccessList, RelayRule) {
    let connection_table = reader.table(table, "connection", Tab::Access, "access.connection.");
    let connection = list(reader, connection_table, [&CONNECTION_ONLY, &CONNECTION_ALL_EXCEPT]);
    let relay_table = reader.table(table, "relay", Tab::Access, "access.relay.");
    let relay = list(reader, relay_table, [&ONLY, &ALL_EXCEPT]);
    let authenticated = reader.switch(relay_table, &AUTHENTICATED);
    let is_certificate = |entry: &Entry| matches!(entry, Entry::Certificate(_) | Entry::CertificateName(_));
    if client_certificates.is_none() && relay.list.iter().any(|list| list.entries().iter().any(is_certificate)) {
        let hint = "write access.client_certificate = { authority = \"tls/clients.pem\" } as well";
        let setting = if relay_table.has(&ONLY) { &ONLY } else { &ALL_EXCEPT };
        reader.problems.note(relay_table.span_of(setting), "clients are not asked for certificates", hint);
    }
    // A list with a fault in it is not judged: what is left of it may look open or shut without being meant so.
    let judged = connection.is_whole && relay.is_whole;
    let connection = connection.list.unwrap_or_else(|| AccessList::AllExcept(Vec::new()));
    let list = relay.list.unwrap_or_else(|| AccessList::Only(Vec::new()));
    let mut rule = RelayRule { list, authenticated, open: false };
    let judged = judged.then_some(&connection);
    rule.open = open::judge(reader, relay_table, judged, (&rule, &relay.spans), authentication);
    (connection, rule)
}

/// A list that was read.
struct Read {
    /// `None`: it is not written.
    list: Option<AccessList>,
    /// Where its entries stand.
    spans: Vec<Span>,
    /// Everything in it could be read.
    is_whole: bool,
}

fn list(reader: &mut Reader<'_>, table: Table<'_, '_>, [only, all_except]: [&'static Setting; 2]) -> Read {
    let read = |draft: peers::Draft, sense: fn(Vec<Entry>) -> AccessList| {
        let (entries, spans) = draft.entries.into_iter().map(|entry| (entry.value, entry.span)).unzip();
        Read { list: Some(sense(entries)), spans, is_whole: draft.is_whole }
    };
    match (peers::read(reader, table, only), peers::read(reader, table, all_except)) {
        (Some(_), Some(_)) => {
            reader.problems.clash(
                table.span_of(all_except),
                "a list is either `only` or `all_except`",
                "leave one of them out",
                table.place_of(only).map(|span| (span, "the other list")),
            );
            Read { list: None, spans: Vec::new(), is_whole: false }
        }
        (Some(draft), None) => read(draft, AccessList::Only),
        (None, Some(draft)) => read(draft, AccessList::AllExcept),
        (None, None) => Read { list: None, spans: Vec::new(), is_whole: !table.has(only) && !table.has(all_except) },
    }
}
