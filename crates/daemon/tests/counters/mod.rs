//! Counters, plots and alarms of a running service, as operators and Prometheus see them.

use crate::harness::certificates::{Authority, Identity};
use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::operator::{done, get, mailroot};
use crate::harness::peer::{At, Mood, Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, until};
use serde_json::Value;
use std::fs;
use std::path::Path;

fn counter(config: &Path, name: &str) -> u64 {
    let list: Value = serde_json::from_str(&done(config, &["counters", "--json"])).unwrap();
    let found = list.as_array().unwrap().iter().find(|counter| counter["name"] == name);
    found.unwrap_or_else(|| panic!("no counter {name}"))["value"].as_u64().unwrap()
}

fn reaches(config: &Path, name: &str, value: u64) {
    until(SOON, &format!("{name} is {value}"), || (counter(config, name) == value).then_some(()));
}

#[test]
fn what_happens_is_counted_once_and_in_the_right_place() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::default());
    let settings = Settings::new(&site).smart_host(peer.at).messages("size_max = \"10 KB\"");
    let relay = Relay::start(&site, &settings);
    let config = &relay.config;
    let text = plain("one", "bob@far.test");
    let mut client = Client::greet(relay.at);
    assert_eq!(client.message("alice@local.test", &["bob@far.test", "carol@far.test"], &text).code, 250);
    assert_eq!(client.message("alice@local.test", &["bob@local.test"], &plain("two", "bob@local.test")).code, 250);
    assert_eq!(client.say("MAIL FROM:<alice@local.test> SIZE=99999999").code, 552);
    assert_eq!(client.say("QUIT").code, 221);
    let file = "x-sender: a@local.test\nx-receiver: bob@local.test\nFrom: a@local.test\n\nfrom pickup\n";
    fs::write(relay.folder("Pickup").join("x.eml"), file).unwrap();

    reaches(config, "mailroot_messages_received_total", 3);
    reaches(config, "mailroot_messages_sent_total", 1);
    reaches(config, "mailroot_directory_drops_total", 2);
    reaches(config, "mailroot_queue_messages", 0);
    for (name, value) in [
        ("mailroot_up", 1),
        ("mailroot_recipients_received_total", 4),
        ("mailroot_pickup_messages_total", 1),
        ("mailroot_recipients_sent_total", 2),
        ("mailroot_messages_delivered_total", 2),
        ("mailroot_refused_total", 1),
        ("mailroot_refused_other_total", 1),
        ("mailroot_messages_refused_size_total", 1),
        ("mailroot_connections_out_total", 1),
        ("mailroot_connection_errors_total", 0),
    ] {
        assert_eq!(counter(config, name), value, "{name}");
    }
    assert!(counter(config, "mailroot_connections_in_total") >= 1);
    // Our trace line comes on top.
    assert!(counter(config, "mailroot_message_bytes_sent_total") > text.len() as u64);
    let table = done(config, &["counters", "sent"]);
    assert!(table.contains("Messages Sent Total") && !table.contains("Refused"), "{table}");
}

#[test]
fn what_waits_and_what_fails_is_counted() {
    let site = Site::new();
    let script = Script::default().when(At::Rcpt, "bob", Mood::Say("550 5.1.1 unknown".into()));
    let peer = Peer::start(site.at(2, 2525), script.clone());
    let settings = Settings::new(&site)
        .smart_host(peer.at)
        .delivery("glitch_retry = { every = \"1 h\", times = 3 }")
        .delivery("retry = [\"1 h\"]");
    let relay = Relay::start(&site, &settings);
    let config = &relay.config;
    let hand_in = |to: &str| Client::greet(relay.at).message("alice@local.test", &[to], &plain("x", to));
    hand_in("bob@far.test");
    reaches(config, "mailroot_recipients_failed_total", 1);
    reaches(config, "mailroot_ndrs_generated_total", 1);
    peer.play(script.when(At::Rcpt, "carol", Mood::Say("451 4.2.1 later".into())));
    hand_in("carol@far.test");
    reaches(config, "mailroot_send_retries_total", 1);
    reaches(config, "mailroot_remote_queue_length", 1);
    reaches(config, "mailroot_remote_retry_queue_length", 1);
    assert_eq!(counter(config, "mailroot_local_queue_length"), 0);
    done(config, &["queue", "hold", "--recipient", "carol", "--yes"]);
    reaches(config, "mailroot_held_messages", 1);
    assert_eq!(counter(config, "mailroot_held_total"), 1);
}

#[test]
fn prometheus_reads_all_of_them_with_the_virtual_server() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    Client::greet(relay.at).message("a@local.test", &["b@local.test"], &plain("x", "b@local.test"));
    reaches(&relay.config, "mailroot_messages_received_total", 1);
    let answer = get(&relay, "/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    let text = answer.text();
    assert!(text.contains("# TYPE mailroot_messages_received_total counter\n"), "{text}");
    assert!(text.contains("\nmailroot_messages_received_total{server=\"Test\"} 1\n"), "{text}");
    assert!(text.contains("\nmailroot_up{server=\"Test\"} 1\n"), "{text}");
}

#[test]
fn plots_have_their_points() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    for address in ["/api/v1/servers/Test/series", "/api/v1/series"] {
        let series = until(SOON, "the first point", || {
            let series = get(&relay, address).json();
            (!series["at"].as_array().unwrap().is_empty()).then_some(series)
        });
        let points = series["at"].as_array().unwrap().len();
        let lines = series["lines"].as_array().unwrap();
        assert_eq!(lines.len(), 6);
        assert!(lines.iter().all(|line| line["values"].as_array().unwrap().len() == points), "{series}");
    }
    assert_eq!(get(&relay, "/api/v1/servers/Other/series").status, 404);
}

#[test]
fn alarms_come_with_their_cause_and_go_with_it() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let config = &relay.config;
    assert_eq!(done(config, &["alarms"]), "No alarms.\n");
    fs::write(relay.folder("Pickup").join("bad.eml"), "To: b@local.test\n\nno From field\n").unwrap();
    let told = until(SOON, "Badmail is told of", || {
        let (code, out, _) = mailroot(config, &["alarms"]);
        (code == 3).then_some(out)
    });
    assert!(told.contains("1 message lies in Badmail") && told.contains("mailroot badmail list"), "{told}");
    let text = fs::read_to_string(config).unwrap();
    fs::write(config, format!("# Ours.\n{text}")).unwrap();
    until(SOON, "the edit is told of", || mailroot(config, &["alarms"]).1.contains("config reload").then_some(()));
    done(config, &["config", "reload"]);
    done(config, &["badmail", "delete", "--all", "--yes"]);
    until(SOON, "they are gone", || (mailroot(config, &["alarms"]).1 == "No alarms.\n").then_some(()));
}

#[test]
fn a_certificate_that_is_over_and_a_port_that_is_taken_are_urgent() {
    let site = Site::new();
    let authority = Authority::new("Test CA");
    let files = |name: &str, identity: Identity| {
        let (certificate, key) = identity.files(&site, name);
        format!("{{ file = \"{}\", key = \"{}\" }}", certificate.display(), key.display())
    };
    let good = files("good", authority.issue(&["relay.test"]));
    let over = files("over", authority.expired(&["old.test"]));
    let mut settings = Settings::new(&site).access(&format!("certificate = [{good}, {over}]"));
    let taken = std::net::TcpListener::bind(site.at(1, 2527)).unwrap();
    settings.listen.push(site.at(1, 2527).to_string());
    let relay = Relay::start(&site, &settings);
    let (code, out, _) = mailroot(&relay.config, &["alarms", "--json"]);
    assert_eq!(code, 3);
    let alarms: Value = serde_json::from_str(&out).unwrap();
    let of = |kind: &str| alarms.as_array().unwrap().iter().find(|alarm| alarm["kind"] == kind).cloned();
    let certificate = of("certificate").unwrap_or_else(|| panic!("{alarms}"));
    assert!(certificate["text"].as_str().unwrap().contains("expired"), "{certificate}");
    let server = of("server").unwrap_or_else(|| panic!("{alarms}"));
    assert_eq!(server["urgent"], true, "{server}");
    drop(taken);
}
