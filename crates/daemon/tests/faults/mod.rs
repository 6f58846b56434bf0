//! The disk says no, the DNS is silent, and files are out of all proportion. Needs `rustc` for the library that makes
//! `fsync` fail, which is there when these tests are built.

use crate::harness::client::Client;
use crate::harness::mail::{plain, tricky};
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Site, files, has, run_well};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The library of `sync_fault.rs`.
pub fn sync_fault(site: &Site) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/sync_fault.rs");
    let library = site.folder.join("libsync_fault.so");
    run_well(Command::new("rustc").args(["--edition", "2024", "-O", source, "-o"]).arg(&library));
    library
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::default());
    let mut relay = Relay::prepare(&site, &Settings::new(&site).smart_host(peer.at));
    let fault = site.folder.join("fault");
    let mut command = relay.command();
    command.env("LD_PRELOAD", sync_fault(&site)).env("SYNC_FAULT", &fault);
    relay.up_by(&mut command);
    let mut client = Client::greet(relay.at);
    let reply = client.message("a@local.test", &["b@far.test"], &plain("before", "b@far.test"));
    assert_eq!(reply.code, 250, "{reply:?}");
    peer.wait_for("before");
    // Begun before the fault: the journal that is made ahead may meet it first.
    client.open("a@local.test", &["b@far.test"]);
    fs::write(&fault, "").unwrap();
    client.send(crate::harness::client::stuffed(&plain("during", "b@far.test")));
    let reply = client.reply();
    assert!(reply.code == 452 && reply.text().contains("4.3.1"), "{reply:?}");
    // The disk is well again, but what it holds is not known: poisoned until a restart.
    fs::remove_file(&fault).unwrap();
    let mut client = Client::greet(relay.at);
    let replies = ["MAIL FROM:<a@local.test>", "RCPT TO:<b@far.test>", "DATA"].map(|line| client.say(line));
    let refused = replies.iter().any(|reply| reply.code == 452 && reply.text().contains("4.3.1"));
    assert!(refused, "{replies:?}");
    // The operator is told, and what to do.
    let told = relay.wait_for_log(&["Input/output error"]);
    assert!(told.contains(" alarm text=\"the journal could not be written") && told.contains("restart"), "{told}");
    relay.kill();
    relay.up();
    let reply = Client::greet(relay.at).message("a@local.test", &["b@far.test"], &plain("after", "b@far.test"));
    assert_eq!(reply.code, 250, "{reply:?}");
    peer.wait_for("after");
    assert_eq!(peer.taken().iter().filter(|taken| taken.subject() == "before").count(), 1);
}

#[test]
fn damage_in_the_queue_is_told_and_kept_and_the_rest_goes_on() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &Settings::new(&site).smart_host(site.at(2, 2525)));
    let mut client = Client::greet(relay.at);
    for n in 0..5 {
        client.message("a@local.test", &["b@far.test"], &tricky(&format!("kept {n}")));
    }
    crate::harness::until(crate::harness::SOON, "five lie in Queue", || (relay.queued().0.len() == 5).then_some(()));
    relay.kill();
    let (envelopes, contents) = relay.queued();
    fs::write(&envelopes[0], "not an envelope\n").unwrap();
    fs::write(&envelopes[1], "").unwrap();
    fs::remove_file(&contents[2]).unwrap();
    fs::write(relay.folder("Queue").join("stray.txt"), "left by somebody").unwrap();
    for segment in files(&relay.folder("Queue").join("journal")) {
        // A tail that was torn off.
        let mut octets = fs::read(&segment).unwrap();
        octets.truncate(octets.len() - octets.len() / 3);
        fs::write(&segment, octets).unwrap();
    }
    relay.up();
    let peer = Peer::start(site.at(2, 2525), Script::default());
    peer.wait_for("kept 3");
    peer.wait_for("kept 4");
    let reply = Client::greet(relay.at).message("a@local.test", &["b@far.test"], &plain("new", "b@far.test"));
    assert_eq!(reply.code, 250, "{reply:?}");
    peer.wait_for("new");
    let log = relay.log();
    for damaged in &envelopes[..3] {
        let id = damaged.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(log.contains(&id), "the damage of {id} is not told:\n{log}");
        let kept = all_files(&relay.home).into_iter().any(|path| path.to_string_lossy().contains(&id));
        assert!(kept, "{id} was thrown away");
    }
    assert!(relay.folder("Queue").join("stray.txt").exists());
}

fn all_files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = files(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(all_files(&entry.path()));
        }
    }
    found
}

#[test]
fn large_messages_stream_through_and_memory_stays_small() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::offering(&["SIZE 200000000"]));
    let settings = Settings::new(&site)
        .smart_host(peer.at)
        .messages("size_max = \"100 MB\"")
        .messages("session_size_max = \"500 MB\"");
    let mut relay = Relay::start(&site, &settings);
    let line = b"0123456789 the quick brown fox jumps over the lazy dog and comes back again......\r\n";
    let big = [plain("huge", "b@far.test"), line.repeat(60 * 1024 * 1024 / line.len())].concat();
    let reply = Client::greet(relay.at).message("a@local.test", &["b@far.test"], &big);
    assert_eq!(reply.code, 250, "{reply:?}");
    let taken = crate::harness::until(std::time::Duration::from_secs(60), "it arrives", || {
        (peer.taken_count() == 1).then(|| peer.taken().remove(0))
    });
    crate::harness::mail::assert_same(&taken.content, &big, "the next hop");
    let status = fs::read_to_string(format!("/proc/{}/status", relay.process().0.id())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    let peak: usize = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 50 * 1024, "{peak} KB at the peak for a message of 60 MB");
    assert!(has(&taken.content, "huge"));
}

#[test]
fn a_silent_name_server_holds_up_only_what_needs_it() {
    let site = Site::new();
    // It takes questions and never answers.
    let _silent = std::net::UdpSocket::bind(site.at(250, 5353)).unwrap();
    let peer = Peer::start(site.at(2, 2525), Script::default());
    let route = format!("route = \"smtp://[{}]:{}\"", peer.at.ip(), peer.at.port());
    let relay = Relay::start(&site, &Settings::new(&site).remote("near.test", &[&route]));
    let mut client = Client::greet(relay.at);
    for n in 0..20 {
        let reply = client.message("a@local.test", &[&format!("b@far{n}.test")], &plain("far", "b@far.test"));
        assert_eq!(reply.code, 250, "{reply:?}");
    }
    let start = std::time::Instant::now();
    client.message("a@local.test", &["b@near.test"], &plain("near", "b@near.test"));
    peer.wait_for("near");
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    let minute = std::time::Duration::from_secs(60);
    crate::harness::until(minute, "the others wait in Queue", || (relay.queued().0.len() == 20).then_some(()));
    assert_eq!(relay.dropped().len(), 0, "silence of the DNS must not bounce mail");
}

#[test]
fn a_pickup_file_with_ten_thousand_recipients_and_a_huge_one_are_sent() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::offering(&["PIPELINING"]));
    let settings = Settings::new(&site).smart_host(peer.at).messages("size_max = \"100 MB\"");
    let relay = Relay::start(&site, &settings);
    let mut many = String::from("x-sender: a@local.test\r\n");
    for n in 0..10_000 {
        many.push_str(&format!("x-receiver: r{n}@far.test\r\n"));
    }
    let many = [many.into_bytes(), plain("to many", "list@far.test")].concat();
    let huge = [plain("huge", "b@far.test"), b"all work and no play\r\n".repeat(1_000_000)].concat();
    for (name, content) in [("many.eml", many), ("huge.eml", huge.clone())] {
        let file = site.folder.write(name, content);
        fs::rename(file, relay.folder("Pickup").join(name)).unwrap();
    }
    // A hundred messages, each with a sync of its own on a disk that others use, too.
    crate::harness::until(std::time::Duration::from_secs(240), "all recipients are served", || {
        let to_many = peer.taken().iter().filter(|t| t.subject() == "to many").map(|t| t.rcpt.len()).sum::<usize>();
        (to_many == 10_000).then_some(())
    });
    let taken = peer.wait_for("huge");
    crate::harness::mail::assert_same(&taken.content, &huge, "the next hop");
}
