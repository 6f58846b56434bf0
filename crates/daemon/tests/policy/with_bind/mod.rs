//! DANE by signed zones of a real BIND, towards hosts whose certificates fit, and do not.

mod as_root;
mod waived;

use crate::harness::Site;
use crate::harness::certificates::{Authority, Identity};
use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::signed::{Signed, Signing, Zone};
use std::net::Ipv4Addr;

fn settings(site: &Site, signed: &Signed) -> Settings {
    Settings::new(site)
        .dns(signed.bind.at)
        .dns_more("dnssec = \"validate\"")
        .dns_more(&format!("trust_anchor = \"{}\"", signed.anchor.display()))
        .delivery("port = 2525")
        .delivery("mta_sts = false")
}

/// A zone `NAME` with one host `mx`, and these records of its keys.
fn zone(name: &'static str, ip: Ipv4Addr, keys: &[String]) -> Zone {
    let mut records = format!("@ MX 10 mx\nmx A {ip}\n");
    keys.iter().for_each(|key| records.push_str(&format!("_2525._tcp.mx TLSA {key}\n")));
    Zone::new(name, Signing::Nsec, records)
}

fn hand_in(relay: &Relay, to: &str) {
    let reply = Client::greet(relay.at).message("alice@local.test", &[to], &plain(to, to));
    assert_eq!(reply.code, 250, "{reply:?}");
}

/// Waits until the message to `to` has been put off because of TLS.
fn waits(relay: &Relay, to: &str) {
    relay.wait_for_log(&["deferred", &format!("to={to}"), "trouble=tls", "status=4.7."]);
}

/// Nothing of a message was ever said to it.
fn heard_no_mail(peer: &Peer) {
    let commands = peer.commands();
    assert!(!commands.iter().any(|command| command.starts_with("MAIL")), "{commands:?}");
}

#[test]
fn mail_goes_where_the_key_is_the_published_one_and_nowhere_else() {
    let site = Site::new();
    let authority = Authority::new("Nobody's");
    // Under DANE-EE neither names nor dates count.
    let odd = authority.expired(&["elsewhere.test"]);
    let other = Identity::self_signed(&["mx.other.test"]);
    let signed = Signed::start(
        &site,
        5,
        vec![
            zone("good.test", site.ip(11), &[odd.tlsa()]),
            zone("roll.test", site.ip(12), &[Identity::self_signed(&["x.test"]).tlsa(), other.tlsa()]),
            zone("wrong.test", site.ip(13), &[odd.tlsa()]),
            zone("bare.test", site.ip(14), &[odd.tlsa()]),
        ],
    );
    let good = Peer::start(site.at(11, 2525), Script::default().tls(odd.server()));
    let roll = Peer::start(site.at(12, 2525), Script::default().tls(other.server()));
    let wrong = Peer::start(site.at(13, 2525), Script::default().tls(other.server()));
    let bare = Peer::start(site.at(14, 2525), Script::default());
    let relay = Relay::start(&site, &settings(&site, &signed));
    for domain in ["good", "roll", "wrong", "bare"] {
        hand_in(&relay, &format!("bob@{domain}.test"));
    }
    assert_eq!(good.wait_for("bob@good").tls.as_deref(), Some("mx.good.test"), "under TLS, and asked for by name");
    assert_eq!(roll.wait_for("bob@roll").tls.as_deref(), Some("mx.roll.test"), "one key of several is enough");
    let line = relay.wait_for_log(&["delivered", "bob@good.test"]);
    assert!(line.contains("checked=dane"), "{line}");
    for (domain, peer) in [("wrong", &wrong), ("bare", &bare)] {
        waits(&relay, &format!("bob@{domain}.test"));
        heard_no_mail(peer);
    }
    // Its owner mends it: the mail goes.
    wrong.play(Script::default().tls(odd.server()));
    assert!(wrong.wait_for("bob@wrong").tls.is_some());
}

#[test]
fn an_authority_that_is_published_signs_for_the_host_or_its_domain() {
    let site = Site::new();
    let (authority, stranger) = (Authority::new("Published"), Authority::new("Stranger"));
    let names = ["host", "domain", "other", "stranger", "old"];
    let zones: Vec<Zone> = ["host.test", "domain.test", "other.test", "stranger.test", "old.test"]
        .into_iter()
        .zip(11..)
        .map(|(name, host)| zone(name, site.ip(host), &[authority.tlsa()]))
        .collect();
    let signed = Signed::start(&site, 5, zones);
    let shown = [
        authority.issue(&["mx.host.test"]),
        authority.issue(&["domain.test"]),
        authority.issue(&["mx.elsewhere.test"]),
        stranger.issue(&["mx.stranger.test"]),
        authority.expired(&["mx.old.test"]),
    ];
    let peers: Vec<Peer> = shown
        .iter()
        .zip(11..)
        .map(|(identity, host)| Peer::start(site.at(host, 2525), Script::default().tls(identity.server())))
        .collect();
    let relay = Relay::start(&site, &settings(&site, &signed));
    for name in names {
        hand_in(&relay, &format!("bob@{name}.test"));
    }
    for (name, peer) in names.iter().zip(&peers).take(2) {
        assert!(peer.wait_for(&format!("bob@{name}")).tls.is_some());
    }
    for (name, peer) in names.iter().zip(&peers).skip(2) {
        waits(&relay, &format!("bob@{name}.test"));
        heard_no_mail(peer);
    }
}

#[test]
fn keys_of_no_use_ask_for_tls_and_unsigned_ones_for_nothing() {
    let site = Site::new();
    let shown = Identity::self_signed(&["elsewhere.test"]);
    let wrong = Identity::self_signed(&["x.test"]).tlsa();
    let pkix = |hash: &str| hash.replacen("3 1 1", "1 1 1", 1);
    let mut unsigned = zone("unsigned.test", site.ip(13), std::slice::from_ref(&wrong));
    unsigned.signing = Signing::None;
    let signed = Signed::start(
        &site,
        5,
        vec![
            zone("pkix.test", site.ip(11), &[pkix(&wrong)]),
            zone("pkixbare.test", site.ip(12), &[pkix(&wrong)]),
            unsigned,
        ],
    );
    let pkix = Peer::start(site.at(11, 2525), Script::default().tls(shown.server()));
    let bare = Peer::start(site.at(12, 2525), Script::default());
    let unsigned = Peer::start(site.at(13, 2525), Script::default());
    let relay = Relay::start(&site, &settings(&site, &signed));
    for domain in ["pkix", "pkixbare", "unsigned"] {
        hand_in(&relay, &format!("bob@{domain}.test"));
    }
    assert!(pkix.wait_for("bob@pkix.test").tls.is_some());
    assert!(unsigned.wait_for("bob@unsigned").tls.is_none());
    waits(&relay, "bob@pkixbare.test");
    heard_no_mail(&bare);
}

#[test]
fn the_next_host_takes_what_the_first_may_not_have() {
    let site = Site::new();
    let shown = Identity::self_signed(&["elsewhere.test"]);
    let (a, b, c) = (site.ip(11), site.ip(12), site.ip(13));
    let records = format!(
        "@ MX 10 lies\n@ MX 20 wrong\n@ MX 30 right\nlies A {a}\nwrong A {b}\nright A {c}\n\
         _2525._tcp.lies TLSA 3 1 1 4444444444444444444444444444444444444444444444444444444444444444\n\
         _2525._tcp.wrong TLSA {}\n_2525._tcp.right TLSA {}\n",
        Identity::self_signed(&["x.test"]).tlsa(),
        shown.tlsa()
    );
    let zone = Zone::new("three.test", Signing::Nsec3, records).lie("444444444444444444", "555555555555555555");
    let signed = Signed::start(&site, 5, vec![zone]);
    let peers = [11, 12, 13].map(|host| Peer::start(site.at(host, 2525), Script::default().tls(shown.server())));
    let relay = Relay::start(&site, &settings(&site, &signed));
    hand_in(&relay, "bob@three.test");
    assert_eq!(peers[2].wait_for("bob@three").tls.as_deref(), Some("right.three.test"));
    assert_eq!(peers[0].connections(), 0, "whose keys cannot be had is not connected to");
    heard_no_mail(&peers[1]);
}
