//! Badmail, Drop and Pickup for operators: list, look, requeue, delete; and what strangers may put there.

use crate::harness::client::Client;
use crate::harness::mail::{plain, tricky};
use crate::harness::operator::{Answer, ask, done, get, mailroot};
use crate::harness::peer::{At, Mood, Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, files_ending, has, until};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

fn names(relay: &Relay) -> Vec<String> {
    let list: Value = serde_json::from_str(&done(&relay.config, &["badmail", "list", "--json"])).unwrap();
    list.as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

fn one(relay: &Relay) -> String {
    until(SOON, "a message lies in Badmail", || names(relay).pop())
}

fn bad(relay: &Relay, name: &str) -> PathBuf {
    relay.folder("Badmail").join(format!("{name}.BAD"))
}

/// Refuses everybody.
fn deaf(site: &Site) -> Peer {
    Peer::start(site.at(2, 2525), Script::default().at(At::Rcpt, Mood::Say("550 5.1.1 not here".into())))
}

#[test]
fn a_report_that_nobody_took_goes_again_to_whom_it_was_for() {
    let site = Site::new();
    let peer = deaf(&site);
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    Client::greet(relay.at).message("alice@far.test", &["bob@far.test"], &tricky("no way back"));
    let name = one(&relay);
    let list = done(&relay.config, &["badmail", "list"]);
    assert!(
        list.contains(&name) && list.contains("alice@far.test") && list.contains("refused the recipient"),
        "{list}"
    );
    let shown = done(&relay.config, &["badmail", "show", &name]);
    assert!(shown.contains("Delivery Status Notification") && shown.contains("bob@far.test"), "{shown}");

    peer.play(Script::default());
    let told = done(&relay.config, &["badmail", "requeue", &name]);
    assert!(told.starts_with("1 messages put into the queue again"), "{told}");
    let taken = until(SOON, "the report arrives", || peer.taken().pop());
    assert!(taken.mail.starts_with("<>") && taken.rcpt.iter().all(|to| to.contains("alice@far.test")), "{taken:?}");
    assert!(!has(&taken.content, "x-receiver"), "{}", String::from_utf8_lossy(&taken.content));
    let left = fs::read_dir(relay.folder("Badmail")).unwrap().count();
    assert_eq!((names(&relay).len(), left), (0, 0), "and nothing of it is left in Badmail");
    let (code, _, error) = mailroot(&relay.config, &["badmail", "requeue", &name]);
    assert!(code == 1 && error.is_empty() || error.contains("no message"), "{error}");
}

#[test]
fn a_pickup_file_stays_until_its_fault_is_mended() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    fs::write(relay.folder("Pickup").join("x.eml"), "To: bob@local.test\nBcc: hidden@local.test\n\nno From\n").unwrap();
    let name = one(&relay);
    let (code, out, _) = mailroot(&relay.config, &["badmail", "requeue", &name]);
    assert_eq!(code, 1);
    assert!(out.contains("From") && names(&relay) == [name.clone()], "{out}");
    let text = fs::read_to_string(bad(&relay, &name)).unwrap();
    fs::write(bad(&relay, &name), format!("From: a@local.test\n{text}")).unwrap();
    done(&relay.config, &["badmail", "requeue", &name]);
    let dropped = until(SOON, "it is delivered", || relay.dropped().pop());
    assert!(has(&dropped, "x-receiver: bob@local.test") && has(&dropped, "x-receiver: hidden@local.test"));
    assert!(!has(&dropped, "Bcc:"));
    assert!(names(&relay).is_empty());
}

#[test]
fn what_the_queue_does_not_take_stays_in_badmail() {
    let site = Site::new();
    let peer = deaf(&site);
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    Client::greet(relay.at).message("alice@far.test", &["bob@far.test"], &plain("x", "bob@far.test"));
    let name = one(&relay);
    let before = fs::read(bad(&relay, &name)).unwrap();
    // More than any disk has.
    done(&relay.config, &["set", "queue.free_space_min", "900 TB"]);
    let (code, out, _) = mailroot(&relay.config, &["badmail", "requeue", &name]);
    assert_eq!(code, 1);
    assert!(out.contains("452 4.3.1"), "{out}");
    assert_eq!(fs::read(bad(&relay, &name)).unwrap(), before);
    assert!(bad(&relay, &name).with_extension("BDR").exists() && bad(&relay, &name).with_extension("BDP").exists());
}

#[test]
fn a_message_is_not_requeued_while_nobody_knows_whether_it_demands_tls() {
    let site = Site::new();
    let peer = deaf(&site);
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    Client::greet(relay.at).message("alice@far.test", &["bob@far.test"], &plain("x", "bob@far.test"));
    let name = one(&relay);
    let properties = bad(&relay, &name).with_extension("BDP");
    let text = fs::read_to_string(&properties).unwrap();
    fs::write(&properties, &text[..text.len() / 2]).unwrap();
    let (code, out, _) = mailroot(&relay.config, &["badmail", "requeue", &name]);
    assert!(code == 1 && out.contains(".BDP file cannot be read"), "{out}");
    assert!(names(&relay) == [name.clone()] && relay.queued().0.is_empty());
    fs::write(&properties, text).unwrap();
    peer.play(Script::default());
    done(&relay.config, &["badmail", "requeue", &name]);
    until(SOON, "it arrives", || peer.taken().pop());
}

#[test]
fn a_header_that_is_not_seen_whole_waives_no_tls() {
    let site = Site::new();
    let peer = deaf(&site);
    let settings = Settings::new(&site).smart_host(peer.at).delivery("retry = [\"1 h\"]");
    let relay = Relay::start(&site, &settings.delivery("glitch_retry = { every = \"1 h\", times = 3 }"));
    Client::greet(relay.at).message("alice@far.test", &["bob@far.test"], &plain("x", "bob@far.test"));
    let from = one(&relay);
    let text = fs::read_to_string(bad(&relay, &from)).unwrap();
    let at = text.match_indices("\r\n").map(|(at, _)| at + 2).find(|at| !text[*at..].starts_with("x-")).unwrap();
    let (lines, message) = text.split_at(at);
    // Behind more than is looked at, the field may stand a second time: then nothing was said.
    let filler = format!("X-Filler: {}\r\n", "x".repeat(80)).repeat(50_000);
    for (name, filler) in [("short", ""), ("long", filler.as_str())] {
        fs::write(bad(&relay, name), format!("{lines}TLS-Required: No\r\n{filler}{message}")).unwrap();
        fs::copy(bad(&relay, &from).with_extension("BDP"), bad(&relay, name).with_extension("BDP")).unwrap();
    }
    peer.play(Script::default().at(At::Rcpt, Mood::Say("451 4.3.0 later".into())));
    let requeued = |name: &str, number: usize| {
        done(&relay.config, &["badmail", "requeue", name]);
        let parked = until(SOON, "it waits", || Some(relay.queued().0).filter(|parked| parked.len() == number));
        let waiving = parked.iter().filter(|file| fs::read_to_string(file).unwrap().contains("\ntls-required: no\n"));
        waiving.count()
    };
    assert_eq!(requeued("short", 1), 1);
    assert_eq!(requeued("long", 2), 1);
}

fn folder(server: &str, folder: &str, verb: &str, names: &[&str]) -> String {
    json!({ "command": "folder", "server": server, "folder": folder, "verb": verb, "names": names }).to_string()
}

fn order(relay: &Relay, body: &str) -> Answer {
    ask(relay, "POST", "/api/v1/commands", body)
}

#[test]
fn no_name_leads_out_of_a_folder_and_nothing_but_files_is_touched() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let secret = site.folder.write("secret.txt", "Subject: secret\n\nsecret\n");
    let badmail = relay.folder("Badmail");
    std::os::unix::fs::symlink(&secret, badmail.join("link.BAD")).unwrap();
    fs::create_dir(badmail.join("folder.BAD")).unwrap();
    assert!(Command::new("mkfifo").arg(badmail.join("fifo.BAD")).status().unwrap().success());
    fs::hard_link(&secret, badmail.join("hard.BAD")).unwrap();
    assert_eq!(get(&relay, "/api/v1/servers/Test/folders/badmail").json()["items"], json!([]));
    let begin = Instant::now();
    for name in
        ["link", "folder", "fifo", "hard", "gone", "..", "%2e%2e%2fsecret.txt", "..%2f..%2fsecret", "a%00b", "%ff"]
    {
        for end in ["", "/raw"] {
            let answer = get(&relay, &format!("/api/v1/servers/Test/folders/badmail/{name}{end}"));
            assert!((400..=503).contains(&answer.status) && answer.status != 500, "{name}: {}", answer.status);
            assert!(!answer.text().contains("secret\n"), "{name}");
        }
    }
    assert_eq!(get(&relay, "/api/v1/servers/Test/folders/queue").status, 422);
    for verb in ["requeue", "delete"] {
        for name in ["link", "fifo", "folder", "../secret", "/etc/passwd", ""] {
            let outcome = order(&relay, &folder("Test", "badmail", verb, &[name])).json();
            assert_eq!(outcome["count"], 0, "{verb} {name}: {outcome}");
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "nothing waits for the other end of a FIFO");
    assert!(badmail.join("link.BAD").is_symlink() && secret.exists());
    assert_eq!(order(&relay, &folder("Test", "drop", "requeue", &["x"])).status, 422, "only Badmail is requeued");
    assert_eq!(order(&relay, &folder("Test", "badmail", "delete", &[])).status, 422);
}

#[test]
fn drop_and_pickup_are_listed_shown_and_cleared() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let config = &relay.config;
    let text = plain("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "bob@local.test");
    Client::greet(relay.at).message("alice@apps.test", &["bob@local.test"], &text);
    let file = until(SOON, "it lies in Drop", || files_ending(&relay.folder("Drop"), ".eml").pop());
    let name = file.file_name().unwrap().to_str().unwrap();
    let list = done(config, &["folder", "list", "--folder", "drop"]);
    assert!(list.contains(name) && list.contains("Grüße") && list.contains("alice@apps.test"), "{list}");
    let shown = done(config, &["folder", "show", name, "--folder", "drop"]);
    assert!(shown.contains("Subject: Grüße\n") && shown.contains("Hello, this is"), "{shown}");
    let headers = done(config, &["folder", "show", name, "--folder", "drop", "--headers"]);
    assert!(headers.contains("Subject: Grüße") && !headers.contains("Hello"), "{headers}");
    let raw = get(&relay, &format!("/api/v1/servers/Test/folders/drop/{name}/raw"));
    assert_eq!(raw.body, fs::read(&file).unwrap());
    assert!(raw.head.contains("content-disposition: attachment") && raw.head.contains("nosniff"), "{}", raw.head);
    let (code, _, error) = mailroot(config, &["folder", "delete", name, "--folder", "drop"]);
    assert!(code == 1 && error.contains("--yes") && file.exists(), "{error}");
    done(config, &["folder", "delete", name, "--folder", "drop", "--yes"]);
    assert!(!file.exists());
    assert_eq!(done(config, &["folder", "list", "--folder", "pickup"]).lines().count(), 1);
    let log = fs::read_to_string(config.with_file_name("state").join("audit.log")).unwrap();
    assert!(log.contains(name), "the audit log has it: {log}");
}

#[test]
fn a_folder_of_thousands_comes_in_pages_and_holds_nobody_up() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let folder = relay.folder("Badmail");
    for n in 0..5_000 {
        fs::write(folder.join(format!("{n:05}.BAD")), "x-sender: <>\r\nx-receiver: a@x.test\r\n\r\nx\r\n").unwrap();
    }
    let page = get(&relay, "/api/v1/servers/Test/folders/badmail?limit=100&after=04899").json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["total"]), (100, &json!(5_000)));
    assert_eq!((&page["items"][0]["name"], &page["next"]), (&json!("04900"), &Value::Null));
    let text = done(&relay.config, &["badmail", "list", "--limit", "5"]);
    assert!(text.contains("00004") && text.contains("the first 5 of 5000"), "{text}");
    assert_eq!(done(&relay.config, &["badmail", "delete", "--all", "--yes"]), "5000 messages deleted\n");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}
