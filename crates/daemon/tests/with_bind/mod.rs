//! With a real BIND: hosts found through MX records.

use crate::harness::bind::Bind;
use crate::harness::client::Client;
use crate::harness::mail::{assert_same, plain, tricky};
use crate::harness::peer::{At, Mood, Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, has, until};

/// A relay that delivers directly, to port 2525 of whatever the zone names.
fn direct(site: &Site, zone: &str, more: impl Fn(Settings) -> Settings) -> (Bind, Relay) {
    let bind = Bind::start(site, 5, zone);
    let relay = Relay::start(site, &more(Settings::new(site).dns(bind.at).delivery("port = 2525")));
    (bind, relay)
}

fn hand_in(relay: &Relay, to: &str, content: &[u8]) {
    let reply = Client::greet(relay.at).message("alice@local.test", &[to], content);
    assert_eq!(reply.code, 250, "{reply:?}");
}

#[test]
fn the_best_mail_host_gets_the_message_whole() {
    let site = Site::new();
    let zone = format!("dest MX 20 mx2\ndest MX 10 mx1\nmx1 A {}\nmx2 A {}\n", site.ip(11), site.ip(12));
    let first = Peer::start(site.at(11, 2525), Script::offering(&["PIPELINING", "8BITMIME"]));
    let second = Peer::start(site.at(12, 2525), Script::default());
    let (_bind, relay) = direct(&site, &zone, |settings| settings);
    let sent = tricky("by mx");
    hand_in(&relay, "bob@dest.test", &sent);
    assert_same(&first.wait_for("by mx").content, &sent, "the mail host");
    assert_eq!(second.connections(), 0);
    // The best one is gone: the next takes it, at once.
    drop(first);
    hand_in(&relay, "bob@dest.test", &plain("by the second", "bob@dest.test"));
    second.wait_for("by the second");
}

#[test]
fn equal_preferences_share_the_load() {
    let site = Site::new();
    let zone = format!("dest MX 10 mx1\ndest MX 10 mx2\nmx1 A {}\nmx2 A {}\n", site.ip(11), site.ip(12));
    let first = Peer::start(site.at(11, 2525), Script::default());
    let second = Peer::start(site.at(12, 2525), Script::default());
    let (_bind, relay) = direct(&site, &zone, |s| s.messages("messages_per_connection = 1"));
    for n in 0..40 {
        hand_in(&relay, "bob@dest.test", &plain(&format!("share {n}"), "bob@dest.test"));
    }
    until(SOON, "all 40 arrive", || (first.taken_count() + second.taken_count() >= 40).then_some(()));
    // By chance one of them would get none in two of 2^40 runs.
    assert!(first.taken_count() > 0 && second.taken_count() > 0, "{} {}", first.taken_count(), second.taken_count());
}

#[test]
fn a_domain_without_mx_is_its_own_host_and_an_alias_is_followed() {
    let site = Site::new();
    let zone = format!("bare A {}\nalias CNAME real\nreal MX 10 mx1\nmx1 A {}\n", site.ip(11), site.ip(12));
    let bare = Peer::start(site.at(11, 2525), Script::default());
    let real = Peer::start(site.at(12, 2525), Script::default());
    let (_bind, relay) = direct(&site, &zone, |settings| settings);
    hand_in(&relay, "bob@bare.test", &plain("bare", "bob@bare.test"));
    hand_in(&relay, "bob@alias.test", &plain("alias", "bob@alias.test"));
    bare.wait_for("bare");
    let taken = real.wait_for("alias");
    assert!(taken.rcpt[0].starts_with("<bob@alias.test>"), "an address is not rewritten: {taken:?}");
}

#[test]
fn null_mx_and_unknown_domains_are_returned_at_once() {
    let site = Site::new();
    let zone = format!("none MX 0 .\nnone A {}\n", site.ip(11));
    let never = Peer::start(site.at(11, 2525), Script::default());
    let (_bind, relay) = direct(&site, &zone, |settings| settings);
    hand_in(&relay, "bob@none.test", &plain("null mx", "bob@none.test"));
    hand_in(&relay, "bob@absent.test", &plain("no such domain", "bob@absent.test"));
    let report = relay.wait_for_drop("Status: 5.1.10");
    assert!(has(&report, "bob@none.test"));
    let report = relay.wait_for_drop("Status: 5.1.2");
    assert!(has(&report, "bob@absent.test"));
    assert_eq!(never.connections(), 0, "a null MX must not fall back to the address");
}

#[test]
fn a_name_server_that_does_not_answer_returns_nothing() {
    let site = Site::new();
    let peer = Peer::start(site.at(11, 2525), Script::default());
    // BIND refuses to speak about what is not below `test`.
    let zone = format!("dest MX 10 mx1\nmx1 A {}\n", site.ip(11));
    let (_bind, relay) = direct(&site, &zone, |settings| settings);
    hand_in(&relay, "bob@elsewhere.example", &plain("refused", "bob@elsewhere.example"));
    until(SOON, "the message waits in Queue", || (relay.queued().0.len() == 1).then_some(()));
    let envelope = std::fs::read_to_string(&relay.queued().0[0]).unwrap();
    assert!(envelope.contains("gave no answer about elsewhere.example"), "{envelope}");
    // The rest goes on.
    hand_in(&relay, "bob@dest.test", &plain("goes on", "bob@dest.test"));
    peer.wait_for("goes on");
    assert_eq!(relay.dropped().len(), 0, "a look-up without an answer must not bounce");
}

#[test]
fn mail_that_would_come_back_to_us_is_returned() {
    let site = Site::new();
    let zone = format!("loop MX 10 us\nus A {}\nself MX 10 relay\nrelay A {}\n", site.ip(1), site.ip(1));
    let (_bind, relay) = direct(&site, &zone, |settings| settings);
    hand_in(&relay, "bob@loop.test", &plain("loop by address", "bob@loop.test"));
    hand_in(&relay, "bob@self.test", &plain("loop by name", "bob@self.test"));
    until(SOON, "two reports", || {
        let reports = relay.dropped();
        (reports.iter().filter(|report| has(report, "Status: 5.4.6")).count() == 2).then_some(())
    });
}

#[test]
fn the_next_host_is_tried_when_the_first_says_no_for_now() {
    let site = Site::new();
    let zone = format!("dest MX 10 mx1\ndest MX 20 mx2\nmx1 A {}\nmx2 A {}\n", site.ip(11), site.ip(12));
    let first = Peer::start(site.at(11, 2525), Script::default().at(At::Banner, Mood::Say("421 4.3.2 not now".into())));
    let second = Peer::start(site.at(12, 2525), Script::default());
    let (_bind, relay) = direct(&site, &zone, |settings| settings);
    hand_in(&relay, "bob@dest.test", &plain("to the second", "bob@dest.test"));
    second.wait_for("to the second");
    assert_eq!(first.taken_count(), 0);
}

#[test]
fn direct_delivery_first_and_then_the_smart_host() {
    let site = Site::new();
    let zone = format!("dead MX 10 mx1\nmx1 A {}\n", site.ip(11));
    let smart = Peer::start(site.at(12, 2525), Script::default());
    let at = smart.at;
    let (_bind, relay) = direct(&site, &zone, |s| s.smart_host(at).delivery("smart_host_use = \"after_direct\""));
    hand_in(&relay, "bob@dead.test", &plain("over the smart host", "bob@dead.test"));
    smart.wait_for("over the smart host");
}
