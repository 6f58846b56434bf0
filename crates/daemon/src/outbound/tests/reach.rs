//! How a host is reached: addresses that race, our own addresses, hosts that cool down.

use super::identities::terms;
use super::tls::on;
use super::*;
use crate::dns::fake::{A, Say, a};
use relay::config::terms::{Owner, Terms, TlsPolicy};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const OK: &str = "attempted: 0=ok(250 2.0.0 taken)\nclosed";

/// An address at which the kernel answers no call, and what keeps it so.
async fn silent(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let call = TcpStream::connect(listener.local_addr().unwrap());
        crowd.extend(tokio::time::timeout(Duration::from_millis(200), call).await.map(Result::unwrap));
    }
    (listener, crowd)
}

fn good() -> String {
    greet(&[]) + TAKE + BYE
}

async fn send(site: &mut Site, hop: &Arc<NextHop>) -> String {
    let connection = site.closed.len() as u64;
    site.connect(connection, message("to@there.test", CONTENT, hop));
    site.quit(connection);
    site.story().await
}

/// One address of a host leads nowhere, as IPv6 often does: that costs a quarter of a second.
#[tokio::test]
async fn an_address_that_does_not_answer_does_not_hold_up_the_others() {
    let (peer, address) = Peer::at("127.0.0.1:0".parse().unwrap(), &[&good()]);
    let _silent = silent(SocketAddr::from(([127, 0, 0, 4], address.port()))).await;
    let dns = FakeDns::start(|q| match q.kind {
        A => Say::Records(vec![a("127.0.0.4"), a("127.0.0.1")]),
        _ => Say::NoRecords,
    })
    .await;
    let host = HostPort { host: Host::parse("two.test").unwrap(), port: address.port() };
    let mut site = Site::with_dns(&dns);
    let began = std::time::Instant::now();
    let story = send(&mut site, &Arc::new(NextHop::plain(Hosts::Listed(vec![host]), Protocol::Esmtp))).await;
    assert_eq!((&*story, peer.seen().connections), (OK, 1));
    // A busy machine is given some time; a call that has to time out takes ten seconds.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn connections_come_from_our_own_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let from =
        |bind: &[&str]| Terms { bind: bind.iter().map(|ip| ip.parse().unwrap()).collect(), ..terms(TlsPolicy::None) };
    let mut site = Site::start();
    site.connect(1, message("to@there.test", CONTENT, &on(from(&["2001:db8::1", "127.0.0.9"]), &[address])));
    let (_, caller) = listener.accept().await.unwrap();
    assert_eq!(caller.ip().to_string(), "127.0.0.9");

    for (bind, words) in [
        ("192.0.2.1", "from 192.0.2.1 (bind): Cannot assign requested address. Is that an address of this machine?"),
        ("2001:db8::1", "the addresses that connections must come from (bind) are of another family"),
    ] {
        let mut site = Site::start();
        site.connect(1, message("to@there.test", CONTENT, &on(from(&[bind]), &[address])));
        let event = site.raw_event().await;
        assert_eq!(show(&event), "closed: 0=Unreachable 4.3.5");
        let Event::Closed { unsent: Some((_, failures)), .. } = event else { panic!() };
        assert!(failures[0].1.text.contains(words), "{}", failures[0].1.text);
    }
}

/// A host that did not do has its turn after those that do, until it has cooled down; alone it is tried all the same.
#[tokio::test]
async fn mail_comes_back_to_the_first_host_when_it_has_cooled_down() {
    let (first, address) =
        Peer::at("127.0.0.2:0".parse().unwrap(), &["S: 421 busy\nX:", &good(), "S: 421 busy\nX:", &good()]);
    let (second, other) = Peer::at("127.0.0.3:0".parse().unwrap(), &[&good(), &good(), "S: 421 busy\nX:"]);
    let hop = on(terms(TlsPolicy::None), &[address, other]);
    let mut site = Site::start();
    let counts = || (first.seen().connections, second.seen().connections);
    assert_eq!((send(&mut site, &hop).await, counts()), (OK.to_owned(), (1, 1)));
    assert_eq!((send(&mut site, &hop).await, counts()), (OK.to_owned(), (1, 2)), "the first is left alone for a while");
    // The second fails now, and the first is tried after all: it serves, and is the first again.
    assert_eq!((send(&mut site, &hop).await, counts()), (OK.to_owned(), (2, 3)));
    assert!(!site.outbound.shared.cooling.is_hot(&format!("[{}]:{}", address.ip(), address.port())));
    let alone = on(terms(TlsPolicy::None), &[address]);
    assert_eq!(send(&mut site, &alone).await, "closed: 0=Refused 4.3.2");
    assert_eq!((send(&mut site, &alone).await, counts()), (OK.to_owned(), (4, 3)));
}

/// What one message demands in vain makes the host no worse for others.
#[tokio::test]
async fn a_host_whose_tls_does_not_do_for_some_mail_keeps_its_place_for_the_rest() {
    let (first, address) = Peer::at("127.0.0.2:0".parse().unwrap(), &[&(greet(&[]) + "C: QUIT"), &good()]);
    let (second, other) = Peer::at("127.0.0.3:0".parse().unwrap(), &[&(greet(&[]) + "C: QUIT")]);
    let plain = on(terms(TlsPolicy::None), &[address, other]);
    let owner = Owner::Domain("strict.test".into());
    let strict = on(Terms { owner, ..terms(TlsPolicy::Required) }, &[address, other]);
    let mut site = Site::start();
    assert_eq!(send(&mut site, &strict).await, "closed: 0=Tls 4.7.4");
    assert_eq!(send(&mut site, &plain).await, OK);
    assert_eq!((first.seen().connections, second.seen().connections), (2, 1));
}
