//! Would this relay for everybody? Such a configuration is refused, unless the operator says in so many words that he wants it.
//!
//! Judged is what connection control and relay restrictions come to *together*: a network that everybody is in, a list of all
//! except a few, a domain under which everybody can have a name, tokens that everybody can get. Where the answer depends on
//! the world (who owns a domain's names, who has an account), the operator is trusted. A sentence that is not needed is
//! refused as well: it would lie there until a later slip of the pen made it true.
//!
//! Spammers find an open relay within hours, and its operator's mail is refused for weeks.

use super::access::{ALL_EXCEPT, AUTHENTICATED, ONLY, OPEN_RELAY};
use super::domains::is_inner_name;
use super::read::{Reader, Span, Table};
use super::{AccessList, Authentication, Entry, Network, RelayRule};
use smtp::address::Domain;
use smtp::sasl::Mechanism;
use std::net::IpAddr;

/// What an operator must write who wants an open relay.
pub const THE_SENTENCE: &str = "Everybody may send mail to everybody through this server, and that is what I want";

/// Notes an open relay as a problem, unless the sentence stands there. Is it one, and meant so?
///
/// `connection` is missing where a list could not be read as a whole. `spans` are the places of the relay list's entries.
pub(super) fn judge(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    connection: Option<&AccessList>,
    (rule, spans): (&RelayRule, &[Span]),
    authentication: &Authentication,
) -> bool {
    let said = reader.text(table, &OPEN_RELAY).map(|text| (text.span, text.value == THE_SENTENCE));
    let Some(connection) = connection else { return false };
    let found = openings(table, connection, (rule, spans), authentication);
    match said {
        Some((_, true)) if !found.is_empty() => return true,
        Some((span, false)) => {
            let hint = format!("write exactly \"{THE_SENTENCE}\", or leave it out");
            reader.problems.note(span, "this is not the sentence by which one takes an open relay upon oneself", hint);
        }
        Some((span, true)) => {
            reader.problems.note(span, "this is no open relay, so the sentence is not needed", "take it out");
        }
        None => {}
    }
    for (span, text, advice) in found {
        let hint = format!("{advice}; or, if it is what you want: {} = \"{THE_SENTENCE}\"", OPEN_RELAY.key());
        reader.problems.note(span, format!("this is an open relay: {text}"), hint);
    }
    false
}

type Opening = (Span, String, &'static str);

fn openings(
    table: Table<'_, '_>,
    connection: &AccessList,
    (rule, spans): (&RelayRule, &[Span]),
    authentication: &Authentication,
) -> Vec<Opening> {
    let mut found = match &rule.list {
        AccessList::Only(entries) => by_entries(table, connection, entries, spans),
        AccessList::AllExcept(entries) => by_exception(table, connection, entries),
    };
    if rule.authenticated
        && parts(connection).iter().any(Addresses::are_strangers)
        && let Some(issuer) = tokens_for_everybody(authentication)
    {
        let text = format!("everybody can get a token from {issuer}, and whoever authenticates may relay");
        found.push((table.span_of(&AUTHENTICATED), text, "write the issuer of your own organisation"));
    }
    found
}

fn by_entries(table: Table<'_, '_>, connection: &AccessList, entries: &[Entry], spans: &[Span]) -> Vec<Opening> {
    let parts = parts(connection);
    let may_connect = union(parts.clone());
    let advice = "list the networks of your own machines, as \"10.0.0.0/8\" or \"192.0.2.0/24\"";
    let shares: Vec<Addresses> = entries.iter().map(|entry| of_entry(entry).common(&may_connect)).collect();
    let mut found: Vec<Opening> = Vec::new();
    for ((entry, share), span) in entries.iter().zip(&shares).zip(spans) {
        // Several networks of one's own may together be larger than the largest one.
        if parts.iter().any(|part| share.common(part).are_strangers()) {
            found.push((span.clone(), format!("{entry} is more than your own machines"), advice));
        }
    }
    let all = union(shares);
    if all.are_too_many() && found.is_empty() {
        let text = "all together these are more than your own machines".to_owned();
        found.push((table.span_of(&ONLY), text, "list the networks of your own machines only"));
    }
    found
}

fn by_exception(table: Table<'_, '_>, connection: &AccessList, entries: &[Entry]) -> Vec<Opening> {
    // A name or a certificate excludes nobody for sure: strangers have none.
    let excluded = union(entries.iter().filter(|entry| matches!(entry, Entry::Network(_))).map(of_entry));
    let may_relay = excluded.others();
    let open = |part: Addresses| part.common(&may_relay);
    let parts: Vec<Addresses> = parts(connection).into_iter().map(open).collect();
    let all = union(parts.clone());
    if !(parts.iter().any(Addresses::are_strangers) || all.are_too_many()) {
        return Vec::new();
    }
    let text = if entries.is_empty() {
        "all except nobody may relay".to_owned()
    } else {
        "everybody but these may relay, and strangers may connect".to_owned()
    };
    let advice = "write `only = [...]` with the addresses of your own machines";
    vec![(table.span_of(&ALL_EXCEPT), text, advice)]
}

/// Those who may connect: one part for each entry of a list, or all at once.
fn parts(connection: &AccessList) -> Vec<Addresses> {
    match connection {
        AccessList::Only(entries) => entries.iter().map(of_entry).collect(),
        AccessList::AllExcept(entries) => {
            let networks = entries.iter().filter(|entry| matches!(entry, Entry::Network(_)));
            vec![union(networks.map(of_entry)).others()]
        }
    }
}

/// The addresses that an entry is known to have.
fn of_entry(entry: &Entry) -> Addresses {
    match entry {
        Entry::Network(network) => Addresses::of(network),
        Entry::Domain(domain) if is_everybodys(domain) => Addresses::default().others(),
        Entry::Domain(_) | Entry::Certificate(_) | Entry::CertificateName(_) => Addresses::default(),
    }
}

/// Second-level names below which everybody can register one (`co.uk`, `com.au`); the full list is longer and changes.
const REGISTRIES: [&str; 13] = ["co", "com", "net", "org", "gov", "edu", "ac", "or", "ne", "go", "gob", "mil", "nom"];

/// Can everybody have a name there?
pub(super) fn is_everybodys(domain: &Domain) -> bool {
    match domain.as_str().split_once('.') {
        None => domain.as_str() != "localhost" && !is_inner_name(domain.as_str()),
        Some((_, "arpa")) => true,
        Some((second, top)) => top.len() == 2 && REGISTRIES.contains(&second),
    }
}

/// Issuers at which everybody can have an account.
fn tokens_for_everybody(authentication: &Authentication) -> Option<&str> {
    let takes = |method: &Mechanism| matches!(method, Mechanism::Xoauth2 | Mechanism::OauthBearer);
    let issuer = &*authentication.oauth.as_ref().filter(|_| authentication.methods.iter().any(takes))?.issuer;
    let microsoft = issuer
        .strip_prefix("https://login.microsoftonline.com/")
        .map(|path| path.split('/').next().unwrap_or_default())
        .is_some_and(|tenant| {
            // The last one is the tenant of all personal accounts.
            ["common", "organizations", "consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"].contains(&tenant)
        });
    let is_public = microsoft || ["https://accounts.google.com", "https://appleid.apple.com"].contains(&issuer);
    is_public.then_some(issuer)
}

/// Addresses of both families, as ranges in order that do not touch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Addresses {
    v4: Vec<(u128, u128)>,
    v6: Vec<(u128, u128)>,
}

/// The last address of each family.
const LAST_V4: u128 = u32::MAX as u128;
const LAST_V6: u128 = u128::MAX;

/// No organisation has more IPv4 addresses in one network than a /8, or more IPv6 addresses than a /16.
const OWN_V4: u128 = 1 << 24;
const OWN_V6: u128 = 1 << 112;

/// So many networks of that size are more than several organisations together have.
const OWN_NETWORKS: u128 = 16;

/// The IPv6 networks that nobody outside can have: unique local and link-local addresses (RFC 4193, RFC 4291 §2.5.6).
const INNER_V6: [(u128, u8); 2] = [(0xfc00 << 112, 7), (0xfe80 << 112, 10)];

impl Addresses {
    fn of(network: &Network) -> Addresses {
        let range = |first: u128, free: u32| {
            let size = 1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
            vec![(first, first.saturating_add(size))]
        };
        match network.address {
            IpAddr::V4(ip) => {
                Addresses { v4: range(u128::from(ip.to_bits()), 32 - u32::from(network.prefix)), v6: Vec::new() }
            }
            IpAddr::V6(ip) => Addresses { v4: Vec::new(), v6: range(ip.to_bits(), 128 - u32::from(network.prefix)) },
        }
    }

    /// All addresses but these.
    fn others(&self) -> Addresses {
        Addresses { v4: gaps(&self.v4, LAST_V4), v6: gaps(&self.v6, LAST_V6) }
    }

    /// Those that are in both.
    fn common(&self, other: &Addresses) -> Addresses {
        Addresses { v4: overlap(&self.v4, &other.v4), v6: overlap(&self.v6, &other.v6) }
    }

    /// More than one organisation can have in one network: there are strangers among them.
    fn are_strangers(&self) -> bool {
        self.are_more_than(1)
    }

    /// More than anybody's networks can have together.
    fn are_too_many(&self) -> bool {
        self.are_more_than(OWN_NETWORKS)
    }

    fn are_more_than(&self, networks: u128) -> bool {
        let v4 = merged([self.v4.clone(), self.translated()].concat());
        count(&v4) > networks * OWN_V4 || count(&self.outer_v6()) > networks * OWN_V6
    }

    /// The IPv4 addresses whose hosts come in these IPv6 clothes: by 6to4 (RFC 3056 §2), by a translator (RFC 6052 §2.1), by Teredo
    /// (RFC 4380 §4). What looks like one network there is the whole world.
    fn translated(&self) -> Vec<(u128, u128)> {
        let within = |first: u128, prefix: u32| overlap(&self.v6, &[(first, first + (u128::MAX >> prefix))]);
        let low = |address: u128| address & LAST_V4;
        let by_6to4 = within(0x2002 << 112, 16).into_iter().map(|(first, last)| (low(first >> 80), low(last >> 80)));
        let by_translator = within(0x0064_ff9b << 96, 96).into_iter().map(|(first, last)| (low(first), low(last)));
        let by_teredo = within(0x2001_0000 << 96, 32).into_iter().map(|(first, last)| {
            // The client's address is written with each bit turned over.
            if first >> 32 == last >> 32 { (low(!last), low(!first)) } else { (0, LAST_V4) }
        });
        by_6to4.chain(by_translator).chain(by_teredo).collect()
    }

    fn outer_v6(&self) -> Vec<(u128, u128)> {
        let inner = INNER_V6.map(|(first, prefix)| (first, first + ((1u128 << (128 - prefix)) - 1)));
        overlap(&self.v6, &gaps(&inner, LAST_V6))
    }
}

fn union(sets: impl IntoIterator<Item = Addresses>) -> Addresses {
    let mut all = Addresses::default();
    for set in sets {
        all.v4.extend(set.v4);
        all.v6.extend(set.v6);
    }
    Addresses { v4: merged(all.v4), v6: merged(all.v6) }
}

fn merged(mut ranges: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn gaps(ranges: &[(u128, u128)], end: u128) -> Vec<(u128, u128)> {
    let mut gaps = Vec::with_capacity(ranges.len() + 1);
    let mut next = Some(0);
    for (first, last) in ranges {
        if let Some(start) = next.filter(|start| start < first) {
            gaps.push((start, first - 1));
        }
        next = last.checked_add(1);
    }
    gaps.extend(next.filter(|start| *start <= end).map(|start| (start, end)));
    gaps
}

fn overlap(a: &[(u128, u128)], b: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let (mut i, mut j, mut common) = (0, 0, Vec::new());
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (first, last) = (x.0.max(y.0), x.1.min(y.1));
        if first <= last {
            common.push((first, last));
        }
        if x.1 < y.1 { i += 1 } else { j += 1 }
    }
    common
}

/// How many addresses; all of IPv6 counts one too few, which no rule notices.
fn count(ranges: &[(u128, u128)]) -> u128 {
    ranges.iter().fold(0, |sum: u128, (first, last)| sum.saturating_add(last - first).saturating_add(1))
}
