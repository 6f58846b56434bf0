//! Clients judged by name, with a real BIND: the name counts only where it leads back to the address.
//!
//! Loopback addresses have no name but `localhost` for a resolver, so the client comes from another address of this machine.

use crate::harness::bind::Bind;
use crate::harness::client::Client;
use crate::harness::mail::{plain, values};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Site, run_well};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

/// What the DNS has of the client.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Name {
    /// `mail.inside.test`, and back.
    Confirmed,
    /// `mail.inside.test`, which is another host's.
    Foreign,
    Missing,
}

/// A relay that asks a BIND, and an address for its client.
struct Scene {
    relay: Relay,
    client: Ipv4Addr,
    _bind: Bind,
    _site: Site,
}

impl Scene {
    /// `None`: this machine has no address beside loopback.
    fn new(name: Name, access: &str) -> Option<Scene> {
        let site = Site::new();
        let addresses = String::from_utf8(run_well(Command::new("hostname").arg("-I"))).unwrap();
        let mut addresses = addresses.split_whitespace().filter_map(|text| text.parse::<Ipv4Addr>().ok());
        let Some(client) = addresses.find(|address| !address.is_loopback()) else {
            eprintln!("not tested: this machine has no address beside loopback");
            return None;
        };
        let [a, b, c, d] = client.octets();
        let reverse =
            if name == Name::Missing { String::new() } else { format!("{d}.{c}.{b}.{a} PTR mail.inside.test.") };
        let home = if name == Name::Confirmed { client } else { Ipv4Addr::new(192, 0, 2, 1) };
        let bind = Bind::with_reverse(&site, 5, &format!("mail.inside A {home}"), &reverse);
        let relay = Relay::start(&site, &Settings::new(&site).dns(bind.at).access(access));
        Some(Scene { relay, client, _bind: bind, _site: site })
    }

    fn connect(&self) -> Client {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((self.client, 0)).into()).unwrap();
        socket.connect(&self.relay.at.into()).unwrap();
        Client::over(TcpStream::from(socket))
    }
}

#[test]
fn a_domain_on_the_relay_list_lets_in_confirmed_names_alone() {
    for (name, code) in [(Name::Confirmed, 250), (Name::Foreign, 550), (Name::Missing, 550)] {
        let Some(scene) = Scene::new(name, "relay = { only = [\"inside.test\"] }") else { return };
        let mut client = scene.connect();
        assert_eq!(client.reply().code, 220);
        assert_eq!(client.say("EHLO mail.inside.test").code, 250);
        assert_eq!(client.say("MAIL FROM:<a@inside.test>").code, 250);
        let reply = client.say("RCPT TO:<b@elsewhere.test>");
        assert_eq!(reply.code, code, "{name:?}: {reply:?}");
    }
}

#[test]
fn connections_are_refused_by_name() {
    for (name, code) in [(Name::Confirmed, 554), (Name::Foreign, 220), (Name::Missing, 220)] {
        let Some(scene) = Scene::new(name, "connection = { all_except = [\"inside.test\"] }") else { return };
        let reply = scene.connect().reply();
        assert_eq!(reply.code, code, "{name:?}: {reply:?}");
        if code == 554 {
            scene.relay.wait_for_log(&["refused", "command=connect", "by=access.connection.all_except"]);
        }
    }
}

/// The words of the old service: nothing, `unverified`, `RDNS failed`; nobody is refused for them.
#[test]
fn received_says_what_reverse_dns_says() {
    for (name, helo, note) in [
        (Name::Confirmed, "mail.inside.test", ""),
        (Name::Confirmed, "other.test", " unverified"),
        (Name::Foreign, "mail.inside.test", " unverified"),
        (Name::Missing, "mail.inside.test", " RDNS failed"),
    ] {
        let Some(scene) = Scene::new(name, "reverse_dns = true") else { return };
        let mut client = scene.connect();
        assert_eq!(client.reply().code, 220);
        assert_eq!(client.say(&format!("EHLO {helo}")).code, 250);
        let reply = client.message("a@b.test", &["b@local.test"], &plain("named", "b@local.test"));
        assert_eq!(reply.code, 250, "{reply:?}");
        let received = values(&scene.relay.wait_for_drop("named"), "received").into_iter().next().unwrap();
        assert!(received.starts_with(&format!("from {helo} ([{}]{note}) by ", scene.client)), "{received}");
    }
}
