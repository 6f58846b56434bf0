//! Who is on a list.
//!
//! An address matches whatever clothes it comes in (IPv4 within IPv6 is IPv4). A domain matches a name that reverse DNS has
//! confirmed, a certificate one that was verified; what is not known matches nothing, and nobody gets in by being unknown.

use super::{Client, PeerName};
use crate::config::{AccessList, Entry, VirtualServer};
use crate::reason::{Reason, Value};

/// The first entry of the list that the client is, with its number.
pub(super) fn find<'a>(list: &'a AccessList, client: &Client<'_>) -> Option<(usize, &'a Entry)> {
    let name = client.name.confirmed();
    let certificate = client.tls.and_then(|tls| tls.certificate);
    list.entries().iter().enumerate().find(|(_, entry)| match entry {
        Entry::Network(network) => network.contains(client.address),
        Entry::Domain(domain) => name.is_some_and(|name| name.is_within(domain)),
        Entry::Certificate(print) => certificate.is_some_and(|shown| *shown.sha256 == print.0),
        Entry::CertificateName(name) => {
            certificate.is_some_and(|shown| shown.names.iter().any(|has| has.eq_ignore_ascii_case(name)))
        }
    })
}

/// Might the client be on the list, if only its name were known?
pub(super) fn is_unknown(list: &AccessList, client: &Client<'_>) -> bool {
    let nameless = matches!(client.name, PeerName::NotAsked | PeerName::Unanswered);
    nameless && list.needs_name() && find(list, client).is_none()
}

/// May this client relay to any domain? Either way, what decided.
pub(super) fn relay<'a>(server: &'a VirtualServer, client: &Client<'_>) -> Result<Reason<'a>, Reason<'a>> {
    let rule = &server.access.relay;
    let found = find(&rule.list, client);
    let entry = |setting, (index, entry): (usize, &'a Entry), words| {
        Reason::setting(server, setting, Value::Entry(entry), words).item(index)
    };
    let whole = |setting, words| Reason::setting(server, setting, Value::List(&rule.list), words);
    let listed = match (&rule.list, found) {
        (AccessList::Only(_), Some(found)) => {
            Ok(entry("access.relay.only", found, "the client is on the list of those who may relay"))
        }
        (AccessList::Only(_), None) => {
            Err(whole("access.relay.only", "the client is not on the list of those who may relay"))
        }
        // As long as it is not known, it may be one of those on the list.
        (AccessList::AllExcept(_), None) if is_unknown(&rule.list, client) => {
            Err(whole("access.relay.all_except", "the list has a domain, and the client's name is not known"))
        }
        (AccessList::AllExcept(_), None) => {
            Ok(whole("access.relay.all_except", "all may relay but those on the list, and the client is not on it"))
        }
        (AccessList::AllExcept(_), Some(found)) => {
            Err(entry("access.relay.all_except", found, "the client is on the list of those who may not relay"))
        }
    };
    match (listed, client.identity) {
        (Err(_), Some(_)) if rule.authenticated => {
            let words = "whoever has authenticated may relay";
            Ok(Reason::setting(server, "access.relay.authenticated", Value::Switch(true), words))
        }
        (listed, _) => listed,
    }
}
