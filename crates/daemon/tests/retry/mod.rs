//! The next hop dies: mail waits in Queue, is tried again on its ladder, the sender hears of the delay and then of the
//! failure, and what cannot be returned lies in Badmail.

use crate::harness::client::Client;
use crate::harness::mail::{assert_same, plain, tricky, values};
use crate::harness::peer::{At, Mood, Peer, Script, Taken};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, files, files_ending, has, until};
use std::fs;
use std::time::{Duration, Instant};

/// A relay whose days are seconds, with a smart host at which nobody listens (yet).
fn short_lived(site: &Site) -> Settings {
    Settings::new(site)
        .smart_host(site.at(2, 2525))
        .delivery("glitch_retry = { every = \"1 s\", times = 0 }")
        .delivery("retry = [\"1 s\"]")
        .delivery("delay_notice = \"2 s\"")
        .delivery("expiry = \"6 s\"")
}

fn is_report(message: &[u8], action: &str) -> bool {
    has(message, "report-type=delivery-status") && has(message, &format!("Action: {action}"))
}

#[test]
fn a_dead_next_hop_means_waiting_then_a_delay_notice_then_a_report() {
    let site = Site::new();
    let relay = Relay::start(&site, &short_lived(&site));
    let sent = tricky("nobody home");
    let start = Instant::now();
    let reply = Client::greet(relay.at).message("alice@local.test", &["bob@far.test"], &sent);
    assert_eq!(reply.code, 250, "{reply:?}");
    // It lies in Queue, readable for people.
    let (envelopes, contents) = until(SOON, "the message lies in Queue", || {
        let (envelopes, contents) = relay.queued();
        (envelopes.len() == 1 && contents.len() == 1).then_some((envelopes, contents))
    });
    assert_eq!(envelopes[0].file_stem(), contents[0].file_stem());
    assert_same(&fs::read(&contents[0]).unwrap(), &sent, "the file in Queue");
    until(SOON, "the envelope tells of an attempt at the dead host", || {
        let text = fs::read_to_string(&envelopes[0]).ok()?;
        (text.contains("bob@far.test") && text.contains(&site.ip(2).to_string())).then_some(())
    });
    let delay = until(SOON, "a delay notice", || relay.dropped().into_iter().find(|m| is_report(m, "delayed")));
    assert!(start.elapsed() >= Duration::from_secs(2), "too early: {:?}", start.elapsed());
    assert!(has(&delay, "bob@far.test") && has(&delay, "Will-Retry-Until"), "{}", String::from_utf8_lossy(&delay));
    let failure =
        until(SOON, "a report of the failure", || relay.dropped().into_iter().find(|m| is_report(m, "failed")));
    assert!(start.elapsed() >= Duration::from_secs(6), "too early: {:?}", start.elapsed());
    assert!(has(&failure, "4.4.7") && has(&failure, "bob@far.test"), "{}", String::from_utf8_lossy(&failure));
    assert!(has(&failure, "nobody home"), "the original is not in the report");
    until(SOON, "Queue is empty", || (relay.queued().0.is_empty() && relay.queued().1.is_empty()).then_some(()));
    assert_eq!(relay.dropped().len(), 2, "one notice and one report, no more");
    assert_eq!(files(&relay.folder("Badmail")).len(), 0);
}

#[test]
fn what_cannot_be_returned_lies_in_badmail() {
    let site = Site::new();
    let script = Script::default().at(At::Rcpt, Mood::Say("550 5.1.1 not here either".into()));
    let peer = Peer::start(site.at(2, 2525), script);
    let relay = Relay::start(&site, &short_lived(&site));
    // The sender cannot be reached either: the report about bob is refused, too.
    let reply = Client::greet(relay.at).message("alice@far.test", &["bob@far.test"], &tricky("no way back"));
    assert_eq!(reply.code, 250, "{reply:?}");
    let slip = until(SOON, "the report lies in Badmail", || files_ending(&relay.folder("Badmail"), ".BDR").pop());
    let reason = fs::read_to_string(&slip).unwrap();
    assert!(reason.contains("alice@far.test") && reason.contains("not here either"), "{reason}");
    let bad = fs::read(slip.with_extension("BAD")).unwrap();
    assert!(is_report(&bad, "failed") && has(&bad, "bob@far.test"), "{}", String::from_utf8_lossy(&bad));
    assert!(slip.with_extension("BDP").exists());
    until(SOON, "Queue is empty", || relay.queued().0.is_empty().then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    // Mail from <> that fails is not reported at all.
    assert_eq!(files_ending(&relay.folder("Badmail"), ".BDR").len(), 1);
    let senders: Vec<String> = peer.commands().into_iter().filter(|c| c.starts_with("MAIL")).collect();
    assert!(senders.iter().any(|mail| mail.starts_with("MAIL FROM:<>")), "{senders:?}");
    assert_eq!(senders.len(), 2, "a report about a report: {senders:?}");
}

#[test]
fn a_copy_of_each_report_goes_to_whom_the_operator_named() {
    let site = Site::new();
    let script = Script::default().at(At::Rcpt, Mood::Say("550 5.1.1 unknown".into()));
    let _peer = Peer::start(site.at(2, 2525), script);
    let relay = Relay::start(&site, &short_lived(&site).messages("ndr_copy_to = \"watch@local.test\""));
    Client::greet(relay.at).message("alice@local.test", &["bob@far.test"], &plain("copied", "bob@far.test"));
    until(SOON, "the copy", || {
        relay.dropped().into_iter().find(|m| has(m, "watch@local.test") && is_report(m, "failed"))
    });
    until(SOON, "the report", || relay.dropped().into_iter().find(|m| has(m, "x-receiver: alice@local.test")));
}

#[test]
fn mail_arrives_when_the_next_hop_is_back_and_is_not_hammered_before() {
    let site = Site::new();
    let script = Script::default().at(At::Mail, Mood::Say("451 4.3.0 try later".into()));
    let peer = Peer::start(site.at(2, 2525), script);
    let settings = short_lived(&site)
        .delivery("retry = [\"1 s\", \"2 s\"]")
        .delivery("expiry = \"60 s\"")
        .delivery("delay_notice = \"50 s\"");
    let relay = Relay::start(&site, &settings);
    Client::greet(relay.at).message("alice@local.test", &["bob@far.test"], &tricky("patience"));
    std::thread::sleep(Duration::from_secs(4));
    let attempts = peer.commands().iter().filter(|command| command.starts_with("MAIL")).count();
    assert!((2..=4).contains(&attempts), "{attempts} attempts in 4 s on a ladder of 1, 2, 2 … s");
    peer.play(Script::default());
    assert_same(&peer.wait_for("patience").content, &tricky("patience"), "the next hop");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(peer.taken_count(), 1);
    assert_eq!(relay.dropped().len(), 0);
}

#[test]
fn a_next_hop_that_cuts_stalls_or_lies_at_any_step_costs_no_mail() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::default());
    let settings = Settings::new(&site)
        .smart_host(peer.at)
        .delivery("glitch_retry = { every = \"1 s\", times = 20 }")
        .delivery("timeout = \"1 s\"");
    let relay = Relay::start(&site, &settings);
    let steps = [At::Banner, At::Hello, At::Mail, At::Rcpt, At::Data, At::End];
    let moods = [
        Mood::Cut,
        Mood::Stall,
        Mood::Say("421 4.3.2 closing".into()),
        Mood::Say("250-never ends".into()),
        Mood::Say("garbage \u{1}\u{2}".into()),
        Mood::Say("999 what".into()),
        Mood::Say(format!("450 {}", "x".repeat(70_000))),
    ];
    let mut number = 0;
    let mut everything: Vec<(At, Mood)> =
        steps.into_iter().flat_map(|step| moods.iter().map(move |mood| (step, mood.clone()))).collect();
    everything.push((At::End, Mood::TakeAndCut));
    for (step, mood) in everything {
        number += 1;
        let subject = format!("trouble {number:03}.");
        peer.play(Script::offering(&["PIPELINING"]).at(step, mood));
        Client::greet(relay.at).message("alice@local.test", &["bob@far.test"], &plain(&subject, "bob@far.test"));
        std::thread::sleep(Duration::from_millis(60));
    }
    peer.play(Script::offering(&["PIPELINING"]));
    until(Duration::from_secs(60), "everything arrives in the end", || {
        let subjects: std::collections::BTreeSet<String> = peer.taken().iter().map(Taken::subject).collect();
        let lost = (1..=number).filter(|n| !subjects.contains(&format!("trouble {n:03}."))).count();
        (lost == 0).then_some(())
    });
    until(SOON, "Queue is empty", || relay.queued().0.is_empty().then_some(()));
    assert_eq!(relay.dropped().len(), 0, "nothing of this is for good");
}

#[test]
fn one_dead_host_does_not_slow_the_rest() {
    let site = Site::new();
    let peer = Peer::start(site.at(3, 2525), Script::default());
    let stalled = Peer::start(site.at(2, 2525), Script::default().at(At::Banner, Mood::Stall));
    let settings = Settings::new(&site)
        .remote("stalled.test", &[&format!("route = \"smtp://[{}]:2525\"", site.ip(2))])
        .remote("well.test", &[&format!("route = \"smtp://[{}]:2525\"", site.ip(3))])
        .delivery("connections_max = 8")
        .delivery("connections_per_domain_max = 4");
    let relay = Relay::start(&site, &settings);
    let mut client = Client::greet(relay.at);
    for n in 0..50 {
        client.message("a@local.test", &["b@stalled.test"], &plain(&format!("stuck {n}"), "b@stalled.test"));
    }
    let start = Instant::now();
    for n in 0..50 {
        client.message("a@local.test", &["b@well.test"], &plain(&format!("well {n}"), "b@well.test"));
    }
    until(SOON, "the mail for the living arrives", || (peer.taken_count() == 50).then_some(()));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(stalled.most_open() <= 4);
}

#[test]
fn a_full_drop_folder_means_waiting() {
    let site = Site::new();
    let settings = short_lived(&site).local("quota = \"20 KB\"").delivery("local_expiry = \"60 s\"");
    let relay = Relay::start(&site, &settings);
    let big = [plain("big", "b@local.test"), vec![b'x'; 900], b"\r\n".to_vec()].concat();
    let mut client = Client::greet(relay.at);
    for _ in 0..40 {
        assert_eq!(client.message("a@apps.test", &["b@local.test"], &big).code, 250);
    }
    until(SOON, "some wait in Queue", || (relay.queued().0.len() > 5).then_some(()));
    let envelope = fs::read_to_string(&relay.queued().0[0]).unwrap();
    assert!(envelope.contains("4.2.2"), "{envelope}");
    let mut seen = 0;
    until(SOON, "all 40 came to Drop when room was made", || {
        for path in files_ending(&relay.folder("Drop"), ".eml") {
            assert_eq!(values(&fs::read(&path).unwrap(), "Subject"), ["big"]);
            fs::remove_file(path).unwrap();
            seen += 1;
        }
        (seen == 40).then_some(())
    });
}
