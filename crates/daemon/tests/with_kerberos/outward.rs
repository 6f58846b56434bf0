//! Our own ticket, shown to the next hop: another relay, whose keytab the same centre made.

use super::{Realm, environment};
use crate::harness::bind::Bind;
use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, run_well, until};
use std::process::Command;

/// A relay that logs on at `relay.test` by the key in this file, as `alice`.
fn sender(realm: &Realm, site: &Site, bind: &Bind, port: u16, keytab: &str) -> Relay {
    let auth = format!("auth = {{ method = \"gssapi\", keytab = {:?}, principal = \"alice\" }}", realm.path(keytab));
    let hosts = format!("hosts = [\"relay.test:{port}\"]");
    let settings = Settings::new(site)
        .dns(bind.at)
        .delivery("fqdn = \"client.test\"")
        .delivery("retry = [\"2 s\"]")
        .smart_host_object("windows", &[&hosts, "tls = \"none\"", &auth])
        .delivery("smart_host = \"windows\"");
    let mut relay = Relay::prepare(site, &settings);
    let mut command = environment(relay.command(), &realm.site);
    relay.up_by(command.env_remove("KRB5CCNAME"));
    relay
}

#[test]
fn a_ticket_of_ours_opens_the_next_hop() {
    let realm = Realm::start();
    let hub = {
        let settings = realm.settings("smtp.keytab").alias("hub.test");
        let mut hub = Relay::prepare(&realm.site, &settings);
        realm.add_account();
        hub.up_by(&mut environment(hub.command(), &realm.site));
        hub
    };
    let site = Site::new();
    let bind = Bind::start(&site, 5, &format!("relay A {}\n", hub.at.ip()));
    // No key yet: the mail waits, and nothing is said to anybody.
    let relay = sender(&realm, &site, &bind, hub.at.port(), "alice.keytab");
    let content = plain("by ticket", "bob@hub.test");
    assert_eq!(Client::greet(relay.at).message("alice@local.test", &["bob@hub.test"], &content).code, 250);
    let line = relay.wait_for_log(&["deferred", "bob@hub.test", "trouble=auth"]);
    assert!(line.contains("there is no Kerberos ticket for it") || line.contains("alice.keytab"), "{line}");
    assert!(!hub.log().contains("logon"), "{}", hub.log());
    // `-norandkey`: the password stays good.
    let query = format!("ktadd -norandkey -k {} alice", realm.path("alice.keytab").display());
    run_well(environment(Command::new("kadmin.local"), &realm.site).args(["-r", super::REALM, "-q", &query]));
    super::set_mode(&realm.path("alice.keytab"), 0o600);
    let line = relay.wait_for_log(&["delivered", "bob@hub.test"]);
    assert!(line.contains(" auth=GSSAPI "), "{line}");
    hub.wait_for_drop("Subject: by ticket");
    hub.wait_for_log(&[" logon account=alice method=GSSAPI peer=127."]);
    until(SOON, "Queue is empty", || relay.queued().0.is_empty().then_some(()));
}

/// Whoever has no key of the service cannot be it: nothing is handed to him.
#[test]
fn a_next_hop_that_has_another_key_gets_no_mail() {
    let realm = Realm::start();
    let settings = realm.settings("other.keytab").alias("hub.test");
    let settings = settings.delivery("fqdn = \"other.test\"");
    let mut hub = Relay::prepare(&realm.site, &settings);
    realm.add_account();
    hub.up_by(&mut environment(hub.command(), &realm.site));
    let query = format!("ktadd -norandkey -k {} alice", realm.path("alice.keytab").display());
    run_well(environment(Command::new("kadmin.local"), &realm.site).args(["-r", super::REALM, "-q", &query]));
    super::set_mode(&realm.path("alice.keytab"), 0o600);
    let site = Site::new();
    let bind = Bind::start(&site, 5, &format!("relay A {}\n", hub.at.ip()));
    let relay = sender(&realm, &site, &bind, hub.at.port(), "alice.keytab");
    let content = plain("for another", "bob@hub.test");
    assert_eq!(Client::greet(relay.at).message("alice@local.test", &["bob@hub.test"], &content).code, 250);
    relay.wait_for_log(&["deferred", "bob@hub.test", "trouble=auth"]);
    hub.wait_for_log(&["method=GSSAPI", "why=token"]);
    until(SOON, "the message lies in Queue", || (relay.queued().0.len() == 1).then_some(()));
    assert!(hub.dropped().is_empty() && relay.dropped().is_empty());
}
