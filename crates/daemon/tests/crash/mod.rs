//! `kill -9` at random moments under load: every message that was answered with 250 is delivered after a restart, and
//! what is delivered twice is bounded by what was in flight, however slow the disk is.

use crate::harness::client::{Client, stuffed};
use crate::harness::mail::plain;
use crate::harness::peer::{At, Mood, Peer, Script, Taken};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Site, files_ending, has, until};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const ROUNDS: usize = 6;
const SESSIONS: usize = 8;
const OUTBOUND: usize = 4;

/// Random enough to hit any moment; printed, so that a failure can be told.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Sends until the relay is gone; remembers the subjects that were answered with 250.
fn session(
    at: SocketAddr,
    round: usize,
    number: usize,
    to: &str,
    acknowledged: &Mutex<BTreeSet<String>>,
    over: &AtomicBool,
) {
    let Ok(stream) = TcpStream::connect(at) else { return };
    let mut client = Client::over(stream);
    let lively = |client: &mut Client, octets: &[u8], replies: usize| {
        client.try_send(octets) && (0..replies).all(|_| client.try_reply().is_some_and(|reply| reply.code < 400))
    };
    if !lively(&mut client, b"EHLO load.test\r\n", 2) {
        return;
    }
    for n in 0.. {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let subject = format!("r{round}s{number}n{n}.");
        let open = format!("MAIL FROM:<load@local.test>\r\nRCPT TO:<{to}>\r\nDATA\r\n");
        if !lively(&mut client, open.as_bytes(), 3) || !lively(&mut client, &stuffed(&plain(&subject, to)), 1) {
            return;
        }
        acknowledged.lock().unwrap().insert(subject);
    }
}

/// One round: load from several sessions, and the end at a random moment.
fn round(relay: &mut Relay, round: usize, to: &str, chance: &mut Chance, acknowledged: &Arc<Mutex<BTreeSet<String>>>) {
    let over = Arc::new(AtomicBool::new(false));
    let at = relay.at;
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|number| {
            let (acknowledged, over, to) = (Arc::clone(acknowledged), Arc::clone(&over), to.to_owned());
            std::thread::spawn(move || session(at, round, number, &to, &acknowledged, &over))
        })
        .collect();
    // On a slow disk it takes a while until there is something to lose.
    let before = acknowledged.lock().unwrap().len();
    let start = Instant::now();
    while acknowledged.lock().unwrap().len() < before + 25 && start.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_micros(chance.below(300_000)));
    relay.kill();
    over.store(true, Ordering::SeqCst);
    for session in sessions {
        session.join().unwrap();
    }
    relay.up();
}

fn seed() -> Chance {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("chance: {seed}");
    Chance(u64::from(seed) | 1)
}

/// Everything acknowledged is among `arrived`, and what came twice is bounded.
fn check(acknowledged: &BTreeSet<String>, arrived: &BTreeMap<String, usize>, kills: usize, in_flight: usize) {
    let lost: Vec<_> = acknowledged.iter().filter(|subject| !arrived.contains_key(*subject)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let twice: usize = arrived.values().map(|times| times - 1).sum();
    println!("{} acknowledged, {} arrived, {twice} of them twice", acknowledged.len(), arrived.len());
    assert!(twice <= kills * in_flight, "{twice} came twice in {kills} kills; {in_flight} may be in flight at each");
}

fn counted(subjects: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for subject in subjects {
        *counts.entry(subject).or_insert(0) += 1;
    }
    counts
}

#[test]
fn nothing_acknowledged_is_lost_on_the_way_to_a_next_hop() {
    let site = Site::new();
    let script = Script::offering(&["PIPELINING"]).at(At::End, Mood::Wait(Duration::from_millis(2)));
    let peer = Peer::start(site.at(2, 2525), script);
    let settings =
        Settings::new(&site).smart_host(peer.at).delivery(&format!("connections_per_domain_max = {OUTBOUND}"));
    let mut relay = Relay::start(&site, &settings);
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let mut chance = seed();
    for number in 0..ROUNDS {
        round(&mut relay, number, "bob@far.test", &mut chance, &acknowledged);
    }
    peer.play(Script::offering(&["PIPELINING"]));
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() > 100, "only {} messages were sent", acknowledged.len());
    until(Duration::from_secs(90), "all that was acknowledged arrives", || {
        let arrived: BTreeSet<String> = peer.taken().iter().map(Taken::subject).collect();
        acknowledged.is_subset(&arrived).then_some(())
    });
    check(&acknowledged, &counted(peer.taken().iter().map(Taken::subject)), ROUNDS, SESSIONS + OUTBOUND);
    relay.stop();
}

/// A disk whose sync takes for ever, mail that leaves meanwhile, and a kill: what has left is known to have left.
#[test]
fn what_leaves_while_the_disk_syncs_does_not_leave_twice() {
    let site = Site::new();
    // All is to leave before the relay thinks of parking, which waits for the disk.
    let slow = Script::default().at(At::End, Mood::Wait(Duration::from_millis(900)));
    let peer = Peer::start(site.at(2, 2525), slow);
    let settings =
        Settings::new(&site).smart_host(peer.at).delivery(&format!("connections_per_domain_max = {OUTBOUND}"));
    let mut relay = Relay::prepare(&site, &settings);
    let hold = site.folder.join("hold");
    relay.up_by(relay.command().env("LD_PRELOAD", crate::faults::sync_fault(&site)).env("SYNC_HOLD", &hold));
    let mut client = Client::greet(relay.at);
    let mut sent = BTreeSet::new();
    for n in 0..40 {
        let subject = format!("n{n}.");
        let reply = client.message("a@local.test", &["b@far.test"], &plain(&subject, "b@far.test"));
        assert_eq!(reply.code, 250, "{reply:?}");
        sent.insert(subject);
    }
    // From now on no sync ends, and there is one that waits to.
    fs::write(&hold, "").unwrap();
    client.open("a@local.test", &["b@far.test"]);
    client.send(stuffed(&plain("held.", "b@far.test")));
    assert!(client.is_silent(Duration::from_millis(300)), "the disk is not as slow as it should be");
    let before = peer.taken_count();
    peer.play(Script::default().at(At::End, Mood::Wait(Duration::from_millis(2))));
    until(Duration::from_secs(30), "all have left", || (peer.taken_count() >= sent.len()).then_some(()));
    relay.kill();
    assert!(sent.len() - before > 3 * OUTBOUND, "{before} had left before the sync: this shows nothing");
    fs::remove_file(&hold).unwrap();
    relay.up();
    // Whatever goes out again goes out before this one.
    let reply = Client::greet(relay.at).message("a@local.test", &["b@far.test"], &plain("last.", "b@far.test"));
    assert_eq!(reply.code, 250, "{reply:?}");
    peer.wait_for("last.");
    relay.stop();
    check(&sent, &counted(peer.taken().iter().map(Taken::subject)), 1, 1 + OUTBOUND);
}

#[test]
fn nothing_acknowledged_is_lost_on_the_way_to_drop() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &Settings::new(&site));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let mut chance = seed();
    for number in 0..ROUNDS {
        round(&mut relay, number, "bob@local.test", &mut chance, &acknowledged);
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    let subjects = || -> Vec<String> {
        relay.dropped().iter().map(|m| crate::harness::mail::values(m, "Subject").pop().unwrap_or_default()).collect()
    };
    until(Duration::from_secs(90), "all that was acknowledged lies in Drop", || {
        let arrived: BTreeSet<String> = subjects().into_iter().collect();
        acknowledged.is_subset(&arrived).then_some(())
    });
    // Drop files are written in batches; a batch that was written and not yet noted may come again.
    check(&acknowledged, &counted(subjects().into_iter()), ROUNDS, 64 + SESSIONS);
    // No half-written file shows: each ends as it was sent.
    for message in relay.dropped() {
        assert!(has(&message, "\r\n\r\nHello, this is r"), "{}", String::from_utf8_lossy(&message));
        assert!(message.ends_with(b".\r\n"), "{}", String::from_utf8_lossy(&message));
    }
}

#[test]
fn waiting_mail_survives_kills_and_its_schedule_with_it() {
    let site = Site::new();
    let settings =
        Settings::new(&site).smart_host(site.at(2, 2525)).delivery("glitch_retry = { every = \"1 s\", times = 3 }");
    let mut relay = Relay::start(&site, &settings);
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let mut chance = seed();
    for number in 0..3 {
        round(&mut relay, number, "bob@far.test", &mut chance, &acknowledged);
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    // Only now the next hop comes to life.
    let peer = Peer::start(site.at(2, 2525), Script::offering(&["PIPELINING"]));
    until(Duration::from_secs(90), "all that was acknowledged arrives", || {
        let arrived: BTreeSet<String> = peer.taken().iter().map(Taken::subject).collect();
        acknowledged.is_subset(&arrived).then_some(())
    });
    check(&acknowledged, &counted(peer.taken().iter().map(Taken::subject)), 3, 2);
    until(Duration::from_secs(30), "Queue is empty", || relay.queued().0.is_empty().then_some(()));
}

#[test]
fn pickup_files_are_neither_lost_nor_doubled_by_a_kill() {
    let site = Site::new();
    let script = Script::offering(&["PIPELINING"]).at(At::End, Mood::Wait(Duration::from_millis(2)));
    let peer = Peer::start(site.at(2, 2525), script);
    let settings =
        Settings::new(&site).smart_host(peer.at).delivery(&format!("connections_per_domain_max = {OUTBOUND}"));
    let mut relay = Relay::start(&site, &settings);
    let mut chance = seed();
    let mut sent = BTreeSet::new();
    for round in 0..4 {
        for n in 0..50 {
            let subject = format!("p{round}n{n}.");
            let file = site.folder.write("outside.eml", plain(&subject, "bob@far.test"));
            fs::rename(file, relay.folder("Pickup").join(format!("{round}-{n}.eml"))).unwrap();
            sent.insert(subject);
        }
        std::thread::sleep(Duration::from_micros(chance.below(300_000)));
        relay.kill();
        relay.up();
    }
    until(Duration::from_secs(90), "every file arrives", || {
        let arrived: BTreeSet<String> = peer.taken().iter().map(Taken::subject).collect();
        sent.is_subset(&arrived).then_some(())
    });
    until(Duration::from_secs(30), "Pickup is empty", || {
        files_ending(&relay.folder("Pickup"), ".eml").is_empty().then_some(())
    });
    check(&sent, &counted(peer.taken().iter().map(Taken::subject)), 4, OUTBOUND + 1);
}
