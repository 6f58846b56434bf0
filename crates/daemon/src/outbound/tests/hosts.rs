//! Which host is tried, in which order, and what follows when it does not do. Over TCP, in real time.

use super::*;
use crate::dns::fake::{A, AAAA, MX, Say, a, aaaa, mx};
use relay::config::terms::{Terms, TlsPolicy};

const OK: &str = "attempted: 0=ok(250 2.0.0 taken)\nclosed";
/// As long as a busy machine may need for a few packets to itself, and no longer than one likes to wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Two peers with one port between them: two free ports cannot be had on purpose, one on two addresses can.
fn two(first: &[&str], second: &[&str]) -> (Peer, Peer, [SocketAddr; 2]) {
    loop {
        let (one, address) = Peer::at("127.0.0.2:0".parse().unwrap(), first);
        let other = SocketAddr::from(([127, 0, 0, 3], address.port()));
        if std::net::TcpListener::bind(other).is_ok() {
            let (two, other) = Peer::at(other, second);
            return (one, two, [address, other]);
        }
    }
}

fn good() -> String {
    greet(&[]) + TAKE + BYE
}

/// An address at which nobody listens, at this port.
fn nobody(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 99], port))
}

fn mx_hop(port: u16, then: &[SocketAddr]) -> Arc<NextHop> {
    let domain = smtp::address::Domain::parse("there.test").unwrap();
    let then = then.iter().copied().map(host_port).collect();
    Arc::new(NextHop::plain(Hosts::Mx { domain, port, then }, Protocol::Esmtp))
}

/// One message this way, and no more than that.
async fn send(site: &mut Site, hop: &Arc<NextHop>) -> String {
    let connection = site.closed.len() as u64;
    site.connect(connection, message("to@there.test", CONTENT, hop));
    site.quit(connection);
    site.story().await
}

/// What makes a host not do, so that the next one has its turn.
#[tokio::test]
async fn the_next_host_has_its_turn() {
    let faults = [
        "X:",
        "R:",
        "H:",
        "S: 554 no\nC: QUIT",
        "S: 421 busy\nE:",
        "S: 220 peer.test\nC: EHLO\nX:",
        "S: 220 peer.test\nC: EHLO\nS: 451 later\nC: QUIT",
        "S: 220 peer.test\nC: EHLO\nS: 550 no\nC: HELO\nS: 550 no\nC: QUIT",
        "S: 220 peer.test\nC: EHLO\nS: 250 peer.test\nC: MAIL\nX:",
        "S: 220 peer.test\nC: EHLO\nS: 250 peer.test\nC: MAIL\nR:",
        "S: 220 peer.test\nC: EHLO\nS: 250 peer.test\nC: MAIL\nS: 421 busy\nX:",
    ];
    for fault in faults {
        let (bad, good, addresses) = two(&[fault], &[&good()]);
        let mut site = Site::with_timeout(PATIENCE, &no_dns());
        assert_eq!(send(&mut site, &listed(&addresses)).await, OK, "{fault}");
        assert_eq!((bad.seen().connections, good.seen().connections), (1, 1), "{fault}");
    }
}

#[tokio::test]
async fn a_host_that_answered_keeps_the_message() {
    for answer in [
        "C: MAIL\nS: 451 4.3.0 later\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye",
        "C: MAIL\nS: 250 ok\nC: RCPT\nS: 450 4.3.0 later\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye",
        "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nS: 451 4.3.0 later\nC: QUIT\nS: 221 bye",
    ] {
        let (_first, second, addresses) = two(&[&(greet(&[]) + answer)], &[]);
        assert_eq!(send(&mut Site::start(), &listed(&addresses)).await, "attempted: 0=Refused 4.3.0\nclosed");
        assert_eq!(second.seen().connections, 0);
    }
}

#[tokio::test]
async fn a_reset_is_a_lost_connection() {
    for (step, expected) in [
        ("", "closed: 0=Unreachable 4.4.2"),
        ("C: MAIL\n", "closed: 0=Unreachable 4.4.2"),
        ("C: MAIL\nS: 250 ok\nC: RCPT\n", "attempted: 0=Unreachable 4.4.2\nclosed"),
        ("C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\n", "attempted: 0=Unreachable 4.4.2\nclosed"),
    ] {
        let script = greet(&[]) + step + "R:";
        let (_peer, address) = Peer::at("127.0.0.1:0".parse().unwrap(), &[&script]);
        assert_eq!(send(&mut Site::start(), &listed(&[address])).await, expected, "{step}");
    }
}

#[tokio::test]
async fn what_may_work_tomorrow_goes_before_what_is_for_good() {
    for (first, second, expected) in [
        ("S: 521 5.7.1 no", "S: 451 4.7.1 later", "4.7.1"),
        ("S: 451 4.7.1 later", "S: 521 5.7.1 no", "4.7.1"),
        ("S: 521 5.7.1 no", "S: 521 5.7.2 no", "5.7.2"),
        ("S: 521 5.7.1 no", "S: 554 5.7.2 no", "4.7.2"),
    ] {
        let (_one, _two, addresses) = two(&[first], &[second]);
        let story = send(&mut Site::start(), &listed(&addresses)).await;
        assert_eq!(story, format!("closed: 0=Refused {expected}"));
    }
}

#[tokio::test]
async fn a_call_that_nobody_answers_has_an_end() {
    // A full backlog: the kernel answers no further call.
    let full = tokio::net::TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.4:0".parse().unwrap()).unwrap();
    let listener = full.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let call = tokio::net::TcpStream::connect(address);
        crowd.push(tokio::time::timeout(Duration::from_millis(200), call).await);
    }
    assert!(crowd.last().unwrap().is_err(), "the backlog is not full");
    let (_peer, open) = Peer::at("127.0.0.1:0".parse().unwrap(), &[&good()]);
    let mut site = Site::with_timeout(PATIENCE, &no_dns());
    assert_eq!(send(&mut site, &listed(&[address])).await, "closed: 0=Unreachable 4.4.1");
    assert_eq!(send(&mut site, &listed(&[address, open])).await, OK);
}

#[tokio::test]
async fn mail_hosts_are_found_and_tried_in_order() {
    let (best, _second, [address, _]) = two(&["S: 421 busy\nE:"], &[&good()]);
    let port = address.port();
    let dns = FakeDns::start(|q| match (q.name.as_str(), q.kind) {
        ("there.test", MX) => Say::Records(vec![mx(20, "b.test"), mx(10, "a.test"), mx(30, "c.test")]),
        ("a.test", A) => Say::Records(vec![a("127.0.0.2")]),
        ("b.test", A) => Say::Records(vec![a("127.0.0.3")]),
        _ => Say::NoRecords,
    })
    .await;
    let mut site = Site::with_dns(&dns);
    site.connect(1, message("to@there.test", CONTENT, &mx_hop(port, &[])));
    site.quit(1);
    let event = loop {
        match site.events.try_recv() {
            Ok(event) => break event,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let Event::Attempted { outcome, .. } = event else { panic!("{event:?}") };
    assert_eq!(&*outcome.host, format!("b.test [127.0.0.3]:{port}"));
    assert!(!dns.asked().iter().any(|q| q.name == "c.test"), "the worse one is not even looked up");
    assert_eq!(best.seen().connections, 1);
}

#[tokio::test]
async fn equally_preferred_hosts_share_the_work() {
    let dns = FakeDns::start(|q| match (q.name.as_str(), q.kind) {
        ("there.test", MX) => Say::Records(vec![mx(10, "a.test"), mx(10, "b.test")]),
        ("a.test", A) => Say::Records(vec![a("127.0.0.2")]),
        ("b.test", A) => Say::Records(vec![a("127.0.0.3")]),
        _ => Say::NoRecords,
    })
    .await;
    let (good, count) = (good(), 20);
    let scripts = vec![&*good; count];
    let (one, two, [address, _]) = two(&scripts, &scripts);
    let mut site = Site::with_dns(&dns);
    for _ in 0..count {
        assert_eq!(send(&mut site, &mx_hop(address.port(), &[])).await, OK);
    }
    let shares = (one.seen().connections, two.seen().connections);
    assert_eq!(shares.0 + shares.1, count);
    assert!(shares.0 > 0 && shares.1 > 0, "{shares:?}: one chance in half a million");
}

#[tokio::test]
async fn the_other_family_is_tried_as_well() {
    let (_peer, address) = Peer::at("127.0.0.2:0".parse().unwrap(), &[&good()]);
    let dns = FakeDns::start(|q| match q.kind {
        AAAA => Say::Records(vec![aaaa("::1")]),
        A => Say::Records(vec![a("127.0.0.2")]),
        _ => Say::NoRecords,
    })
    .await;
    // Without MX records: the domain itself.
    assert_eq!(send(&mut Site::with_dns(&dns), &mx_hop(address.port(), &[])).await, OK);
}

#[tokio::test]
async fn direct_delivery_that_fails_and_the_smart_host_after_it() {
    let one = || Say::Records(vec![mx(10, "a.test")]);
    let none = || Say::NoRecords;
    type Says = fn() -> Say;
    let cases: [(&str, Says, Says, &str, usize); 8] = [
        ("no such domain", || Say::NoSuchName, none, "Dns 5.1.2", 1),
        ("no records at all", none, none, "Dns 5.1.2", 1),
        ("servers in trouble", || Say::Code(2), none, "Dns 4.4.3", 1),
        ("hosts without address", one, none, "Dns 5.4.4", 1),
        ("hosts that do not answer", one, || Say::Records(vec![a("127.0.0.99")]), "Unreachable 4.4.1", 1),
        ("addresses of nobody", one, || Say::Records(vec![a("0.0.0.0")]), "Dns 5.4.4", 1),
        ("no mail wanted", || Say::Records(vec![mx(0, "")]), none, "Dns 5.1.10", 0),
        ("ourselves", one, || Say::Records(vec![a("127.0.0.1")]), "Loop 5.4.6", 0),
    ];
    for (what, about_mx, about_a, expected, by_smart_host) in cases {
        let dns = FakeDns::start(move |q| match q.kind {
            MX => about_mx(),
            A => about_a(),
            _ => Say::NoRecords,
        })
        .await;
        let (smart, address) = Peer::at("127.0.0.1:0".parse().unwrap(), &[&good()]);
        let mut site = Site::with_dns(&dns);
        assert_eq!(send(&mut site, &mx_hop(2, &[])).await, format!("closed: 0={expected}"), "{what}");
        send(&mut site, &mx_hop(2, &[address])).await;
        assert_eq!(smart.seen().contents.len(), by_smart_host, "{what}: the smart host");
    }
}

/// What the hosts that DNS names must not have in clear text does not go so to the smart host either: whether they fail or cannot be
/// called, and whether it offers TLS or is not to be asked for it.
#[tokio::test]
async fn the_smart_host_gets_nothing_in_clear_text_that_the_hosts_before_it_must_not_have_so() {
    let plain = |tls| Arc::new(Terms { tls, ..Terms::plain() });
    for (demanded, of_smart_host, expected, taken) in [
        (TlsPolicy::Required, TlsPolicy::Opportunistic, "closed: 0=Tls 4.7.4", 0),
        (TlsPolicy::Required, TlsPolicy::None, "closed: 0=Tls 4.7.4", 0),
        (TlsPolicy::Opportunistic, TlsPolicy::None, OK, 1),
    ] {
        for answers in [true, false] {
            let refuses = "S: 451 later\nC: QUIT".to_owned();
            let hello = if demanded == TlsPolicy::Required { greet(&[]) + "C: QUIT" } else { refuses };
            let (direct, smart, addresses) =
                two(&[&hello], &[&if taken == 1 { good() } else { greet(&[]) + "C: QUIT" }]);
            let dns = FakeDns::start(move |q| match q.kind {
                MX => Say::Records(vec![mx(10, "a.test")]),
                A => Say::Records(vec![a(if answers { "127.0.0.2" } else { "127.0.0.99" })]),
                _ => Say::NoRecords,
            })
            .await;
            let hop = Arc::unwrap_or_clone(mx_hop(addresses[0].port(), &addresses[1..]));
            let hop = NextHop { terms: plain(demanded), then_terms: Some(plain(of_smart_host)), ..hop };
            let mut site = Site::with_dns(&dns);
            let told = send(&mut site, &Arc::new(hop)).await;
            assert_eq!(told, expected, "{demanded:?}, then {of_smart_host:?}");
            assert_eq!((direct.seen().connections, smart.seen().contents.len()), (usize::from(answers), taken));
        }
    }
}

#[tokio::test]
async fn a_smart_host_by_name_needs_no_mx() {
    let (_peer, address) = Peer::at("127.0.0.2:0".parse().unwrap(), &[&good()]);
    let dns = FakeDns::start(|q| match (q.name.as_str(), q.kind) {
        ("smart.test", A) => Say::Records(vec![a("127.0.0.99"), a("127.0.0.2")]),
        ("smart.test", MX) => Say::Records(vec![mx(1, "elsewhere.test")]),
        _ => Say::NoRecords,
    })
    .await;
    let host = |name: &str| HostPort { host: Host::parse(name).unwrap(), port: address.port() };
    let hop = |hosts: Vec<HostPort>| Arc::new(NextHop::plain(Hosts::Listed(hosts), Protocol::Esmtp));
    let mut site = Site::with_dns(&dns);
    assert_eq!(send(&mut site, &hop(vec![host("absent.test"), host("smart.test")])).await, OK);
    assert!(!dns.asked().iter().any(|q| q.kind == MX));
    assert_eq!(send(&mut site, &hop(vec![host("absent.test")])).await, "closed: 0=Dns 4.4.4");
}

#[tokio::test]
async fn an_address_needs_no_dns() {
    let (_peer, address) = Peer::at("127.0.0.1:0".parse().unwrap(), &[&good()]);
    let dns = FakeDns::start(|_| Say::NoSuchName).await;
    let hosts = Hosts::Literal { ip: address.ip(), port: address.port() };
    let hop = Arc::new(NextHop::plain(hosts, Protocol::Esmtp));
    assert_eq!(send(&mut Site::with_dns(&dns), &hop).await, OK);
    assert_eq!(dns.asked(), []);
}

/// The site of these tests listens at 127.0.0.1:2.
#[tokio::test]
async fn this_server_is_never_connected_to() {
    let mut site = Site::start();
    let ourselves: SocketAddr = "127.0.0.1:2".parse().unwrap();
    assert_eq!(send(&mut site, &listed(&[ourselves])).await, "closed: 0=Loop 5.4.6");
    let literal = Hosts::Literal { ip: ourselves.ip(), port: ourselves.port() };
    let literal = Arc::new(NextHop::plain(literal, Protocol::Esmtp));
    assert_eq!(send(&mut site, &literal).await, "closed: 0=Loop 5.4.6");
    // Another one in the list is not a loop.
    let (_peer, address) = Peer::at("127.0.0.1:0".parse().unwrap(), &[&good()]);
    assert_eq!(send(&mut site, &listed(&[ourselves, address])).await, OK);
    assert_eq!(send(&mut site, &listed(&[ourselves, nobody(2)])).await, "closed: 0=Unreachable 4.4.1");
}

#[tokio::test]
async fn an_address_of_nobody_is_not_connected_to() {
    for ip in ["0.0.0.0", "255.255.255.255", "224.0.0.1"] {
        let hosts = Hosts::Literal { ip: ip.parse().unwrap(), port: 25 };
        let hop = Arc::new(NextHop::plain(hosts, Protocol::Esmtp));
        assert_eq!(send(&mut Site::start(), &hop).await, "closed: 0=Dns 5.4.4", "{ip}");
    }
}

#[tokio::test]
async fn a_unix_socket_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = Hosts::Unix(folder.path().join("lmtp"));
    let hop = Arc::new(NextHop::plain(hosts, Protocol::Lmtp));
    assert_eq!(send(&mut Site::start(), &hop).await, "closed: 0=Unreachable 4.4.1");
}

#[tokio::test]
async fn a_route_without_hosts_is_no_end() {
    assert_eq!(send(&mut Site::start(), &listed(&[])).await, "closed: 0=Local 4.3.5");
}

/// The host alone gets the time that the standard gives it; one among others gets less.
#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_greet_is_left_sooner_when_there_are_others() {
    for (has_others, patience) in [(true, 60), (false, 300)] {
        let peer = Peer::start(&["H:"]);
        let site = Site::start();
        let shared = &site.outbound.shared;
        let address = candidates::Address::Unix(peer.label().into());
        let host = smtp::address::Host::parse("peer.test").unwrap();
        let protection = relay::route::protection::Protection::of_terms(relay::config::TlsPolicy::None, &host);
        let addresses = [address].into();
        let terms = Arc::new(relay::config::Terms::plain());
        let candidate = candidates::Candidate {
            host: None,
            port: 0,
            addresses,
            terms,
            protection: protection.into(),
            waived: None,
        };
        let parcel = message("to@there.test", CONTENT, &peer.hop());
        let entry = shared.sessions.outbound("there.test".into(), shared.clock.now());
        let began = tokio::time::Instant::now();
        let until = began + Duration::from_secs(1_000);
        let turn = shared.crowd.turn("there.test", 10);
        let tried = connection::at_host((shared, &entry), &turn, &parcel, candidate, has_others, until);
        let Err(failures) = tried.await else { panic!("a host that says nothing") };
        let [failure] = &failures[..] else { panic!("{failures:?}") };
        assert_eq!(failure.status.to_string(), "4.4.2");
        assert_eq!(began.elapsed().as_secs(), patience);
    }
}
