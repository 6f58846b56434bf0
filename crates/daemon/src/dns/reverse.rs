//! A client's name: reverse DNS, confirmed forwards.
//!
//! Whoever holds an address writes its PTR record as he likes, so a name counts only if it has that address itself. Asked
//! for only where somebody wants to know: a list with a domain in it, or `access.reverse_dns`. The resolver's cache serves
//! here too.
//!
//! Promises: an answer within [`PEER_NAME_MAX`]. Does not: refuse anybody ([`relay::gate`] does).
//!
//! RFC 1035 §3.5; IIS: Perform reverse DNS lookup on incoming messages.

use super::Resolver;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use relay::gate::PeerName;
use relay::route::mx::DnsFault;
use smtp::address::Domain;
use std::net::IpAddr;
use std::time::Duration;

/// After this the DNS counts as not having answered about a client.
pub const PEER_NAME_MAX: Duration = Duration::from_secs(5);
/// Names of one address that are looked at.
const NAMES_MAX: usize = 5;

impl Resolver {
    /// The name of a client, or why it has none that may be believed.
    pub async fn peer_name(&self, address: IpAddr) -> PeerName {
        let address = address.to_canonical();
        tokio::time::timeout(PEER_NAME_MAX, self.confirmed_name(address)).await.unwrap_or(PeerName::Unanswered)
    }

    async fn confirmed_name(&self, address: IpAddr) -> PeerName {
        let names = self.look_up(Name::from(address), RecordType::PTR, |data| match data {
            RData::PTR(name) => Some(name.to_ascii()),
            _ => None,
        });
        let names = match names.await {
            Ok(names) => names,
            Err(DnsFault::NoSuchName | DnsFault::NoRecords) => return PeerName::None,
            Err(DnsFault::Unanswered(_)) => return PeerName::Unanswered,
        };
        let mut otherwise = PeerName::Unconfirmed;
        // What is no name of a host (a PTR record can hold any octets) confirms nothing.
        for name in names.iter().filter_map(|name| Domain::parse(name).ok()).take(NAMES_MAX) {
            let found = self.addresses(&name).await;
            let same_family = if address.is_ipv4() { found.v4 } else { found.v6 };
            match same_family {
                Ok(addresses) if addresses.contains(&address) => return PeerName::Confirmed(name),
                Err(DnsFault::Unanswered(_)) => otherwise = PeerName::Unanswered,
                Ok(_) | Err(_) => {}
            }
        }
        otherwise
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{A, AAAA, FakeDns, PTR, Question, Say, a, aaaa, ptr};
    use super::*;
    use std::time::Instant;

    async fn named(address: &str, zone: impl Fn(&Question) -> Say + Send + Sync + 'static) -> PeerName {
        let server = FakeDns::start(zone).await;
        Resolver::new(&server.settings()).unwrap().peer_name(address.parse().unwrap()).await
    }

    fn confirmed(name: &str) -> PeerName {
        PeerName::Confirmed(Domain::parse(name).unwrap())
    }

    #[tokio::test]
    async fn a_name_counts_if_it_has_the_address() {
        let zone = |q: &Question| match (q.name.as_str(), q.kind) {
            ("1.2.0.192.in-addr.arpa", PTR) => Say::Records(vec![ptr("liar.test"), ptr("Mail.Test")]),
            ("liar.test", A) => Say::Records(vec![a("192.0.2.2")]),
            ("mail.test", A) => Say::Records(vec![a("192.0.2.9"), a("192.0.2.1")]),
            (name, PTR) if name.ends_with("8.b.d.0.1.0.0.2.ip6.arpa") => Say::Records(vec![ptr("six.test")]),
            ("six.test", AAAA) => Say::Records(vec![aaaa("2001:db8::6")]),
            _ => Say::NoSuchName,
        };
        assert_eq!(named("192.0.2.1", zone).await, confirmed("mail.test"));
        assert_eq!(named("::ffff:192.0.2.1", zone).await, confirmed("mail.test"));
        assert_eq!(named("2001:db8::6", zone).await, confirmed("six.test"));
        assert_eq!(named("2001:db8::7", zone).await, PeerName::Unconfirmed);
        assert_eq!(named("192.0.2.3", zone).await, PeerName::None);
    }

    #[tokio::test]
    async fn names_that_do_not_exist_or_are_none_confirm_nothing() {
        for name in ["gone.test", "bad name\r\n.test", "<script>.test", ""] {
            let said = named("192.0.2.1", move |q| match q.kind {
                PTR => Say::Records(vec![ptr(name)]),
                _ if q.name == "gone.test" => Say::NoSuchName,
                _ => Say::Records(vec![a("192.0.2.1")]),
            });
            assert_eq!(said.await, PeerName::Unconfirmed, "{name:?}");
        }
    }

    #[tokio::test]
    async fn doubt_is_told_apart_from_no() {
        assert_eq!(named("192.0.2.1", |_| Say::Code(2)).await, PeerName::Unanswered);
        let forward_is_dead = |q: &Question| match q.kind {
            PTR => Say::Records(vec![ptr("mail.test")]),
            _ => Say::Code(2),
        };
        assert_eq!(named("192.0.2.1", forward_is_dead).await, PeerName::Unanswered);
    }

    #[tokio::test]
    async fn a_dead_server_does_not_hold_a_client_for_longer_than_the_bound() {
        let begun = Instant::now();
        assert_eq!(named("192.0.2.1", |_| Say::Silence).await, PeerName::Unanswered);
        let waited = begun.elapsed();
        assert!(waited <= PEER_NAME_MAX + Duration::from_millis(500), "{waited:?}");
    }

    #[tokio::test]
    async fn the_second_time_nobody_is_asked() {
        let server = FakeDns::start(|q| match q.kind {
            PTR => Say::Records(vec![ptr("mail.test")]),
            A => Say::Records(vec![a("192.0.2.1")]),
            _ => Say::NoRecords,
        })
        .await;
        let resolver = Resolver::new(&server.settings()).unwrap();
        for _ in 0..3 {
            assert_eq!(resolver.peer_name("192.0.2.1".parse().unwrap()).await, confirmed("mail.test"));
        }
        let about_the_address = server.asked().iter().filter(|q| q.kind == PTR).count();
        assert_eq!(about_the_address, 1);
    }
}
