//! From a socket or a Pickup file to Drop and to a scripted next hop: where mail goes, whole, and what the next hop's
//! answers make of it.

use crate::harness::client::Client;
use crate::harness::mail::{assert_same, plain, tricky, values};
use crate::harness::peer::{At, Mood, Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::tools::Dotnet;
use crate::harness::{SOON, Site, files, files_ending, has, until};
use std::fs;

#[test]
fn a_message_for_the_default_domain_lies_in_drop_whole() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site).alias("alias.test"));
    let sent = tricky("to drop");
    let mut client = Client::greet(relay.at);
    let reply = client.message("alice@apps.test", &["bob@local.test", "carol@ALIAS.test"], &sent);
    assert_eq!(reply.code, 250, "{reply:?}");
    let dropped = relay.wait_for_drop("to drop");
    assert_same(&dropped, &sent, "Drop");
    let text = String::from_utf8_lossy(&dropped).into_owned();
    assert!(text.starts_with("x-sender: alice@apps.test\r\nx-receiver: bob@local.test\r\n"), "{text}");
    assert_eq!(values(&dropped, "x-receiver").len(), 2, "one file for all recipients: {text}");
    let received = values(&dropped, "Received").pop().unwrap();
    assert!(received.contains("client.test") && received.contains("127."), "{received}");
    assert!(received.contains("by relay.test") && received.contains("ESMTP"), "{received}");
    assert_eq!(values(&dropped, "Return-Path"), ["alice@apps.test"], "{text}");
}

#[test]
fn a_drop_file_is_valid_pickup_input() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::default());
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    let mut client = Client::greet(relay.at);
    client.message("alice@apps.test", &["bob@local.test"], &tricky("there and back"));
    relay.wait_for_drop("there and back");
    let file = files(&relay.folder("Drop")).remove(0);
    let text = fs::read_to_string(&file).unwrap().replace("x-receiver: bob@local.test", "x-receiver: bob@far.test");
    fs::write(relay.folder("Pickup").join("again.eml"), text).unwrap();
    let taken = peer.wait_for("there and back");
    assert!(taken.rcpt[0].starts_with("<bob@far.test>"), "{taken:?}");
    assert!(!has(&taken.content, "x-receiver"), "the envelope lines must not travel on");
}

#[test]
fn a_pickup_file_held_open_and_written_in_pieces_is_sent_once_and_whole() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::offering(&["8BITMIME", "PIPELINING"]));
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    let sent = tricky("from pickup");
    let mut file =
        Dotnet::create(&relay.folder("Pickup"), "a.eml", "alice@apps.test", &["bob@far.test", "hidden@far.test"]);
    let pieces: Vec<&[u8]> = sent.chunks(sent.len() / 5 + 1).collect();
    for piece in &pieces {
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(peer.taken_count(), 0, "a half-written file was sent");
        file.write(piece);
    }
    file.close();
    let taken = peer.wait_for("from pickup");
    assert_same(&taken.content, &sent, "the next hop");
    assert_eq!(taken.rcpt.len(), 2);
    assert!(taken.mail.starts_with("<alice@apps.test>"), "{taken:?}");
    assert!(!has(&taken.content, "hidden@far.test"), "a blind recipient shows");
    until(SOON, "Pickup is empty", || files(&relay.folder("Pickup")).is_empty().then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(peer.taken_count(), 1);
}

#[test]
fn recipients_come_from_the_header_when_a_pickup_file_names_none() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::default());
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    let text = "From: alice@apps.test\nTo: Bob <bob@far.test>\nCc: carol@far.test\nBcc: dan@far.test\n\
                Subject: by header\n\nHello\n.\nafter a dot\n";
    fs::write(relay.folder("Pickup").join("x.txt"), text).unwrap();
    let taken = peer.wait_for("by header");
    assert_eq!(taken.rcpt.len(), 3, "{taken:?}");
    assert!(!has(&taken.content, "dan@far.test"), "Bcc travels on");
    assert!(has(&taken.content, "\r\nHello\r\n.\r\nafter a dot\r\n"), "{}", String::from_utf8_lossy(&taken.content));
    assert_eq!(values(&taken.content, "Date").len(), 1);
    assert_eq!(values(&taken.content, "Message-ID").len(), 1);
}

#[test]
fn a_pickup_file_without_a_sender_lies_in_badmail_with_the_reason() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let pickup = relay.folder("Pickup");
    fs::write(pickup.join("bad.eml"), "To: bob@local.test\r\nSubject: no sender\r\n\r\nx\r\n").unwrap();
    fs::write(pickup.join("nobody.eml"), "From: bob@local.test\r\nSubject: to nobody\r\n\r\nx\r\n").unwrap();
    fs::write(pickup.join("binary.eml"), [0u8, 1, 2, 255, 254].repeat(1000)).unwrap();
    fs::write(pickup.join("empty.eml"), "").unwrap();
    // The message comes last: where it lies, its reason lies already.
    let bad = until(SOON, "three files lie in Badmail", || {
        let found = files_ending(&relay.folder("Badmail"), ".BAD");
        (found.len() >= 3).then_some(found)
    });
    let slips: Vec<_> = bad.iter().map(|message| message.with_extension("BDR")).collect();
    for slip in &slips {
        let text = fs::read_to_string(slip).unwrap();
        assert!(text.len() > 40, "{text}");
        assert!(slip.with_extension("BDP").exists(), "{}", slip.display());
    }
    assert!(slips.iter().any(|slip| fs::read_to_string(slip).unwrap().contains("From")));
    // The rest goes on; an empty file may be one that somebody is about to write.
    fs::write(pickup.join("good.eml"), plain("goes on", "bob@local.test")).unwrap();
    relay.wait_for_drop("goes on");
    assert_eq!(files(&pickup), [pickup.join("empty.eml")]);
}

#[test]
fn links_and_folders_in_pickup_are_not_followed() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let secret = site.folder.write("secret/letter.eml", plain("never to be sent", "bob@local.test"));
    let pickup = relay.folder("Pickup");
    std::os::unix::fs::symlink(&secret, pickup.join("link.eml")).unwrap();
    std::os::unix::fs::symlink(secret.parent().unwrap(), pickup.join("folder-link")).unwrap();
    fs::create_dir(pickup.join("folder")).unwrap();
    fs::write(pickup.join("folder/inner.eml"), plain("nor this", "bob@local.test")).unwrap();
    fs::write(pickup.join("good.eml"), plain("only this", "bob@local.test")).unwrap();
    relay.wait_for_drop("only this");
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(relay.dropped().len(), 1);
    assert!(secret.exists());
}

#[test]
fn each_recipient_has_its_own_outcome() {
    let site = Site::new();
    let script = Script::offering(&["PIPELINING", "ENHANCEDSTATUSCODES"])
        .when(At::Rcpt, "nobody@", Mood::Say("550 5.1.1 no such person here".into()))
        .when(At::Rcpt, "busy@", Mood::Say("451 4.2.1 busy now".into()));
    let peer = Peer::start(site.at(2, 2525), script);
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    let mut client = Client::greet(relay.at);
    let to = ["good@far.test", "nobody@far.test", "busy@far.test"];
    assert_eq!(client.message("alice@local.test", &to, &plain("mixed", "x@far.test")).code, 250);
    let taken = peer.wait_for("mixed");
    assert_eq!(taken.rcpt.len(), 1, "{taken:?}");
    // The report tells the sender of the one that failed, in the other side's words.
    let report = relay.wait_for_drop("no such person here");
    let text = String::from_utf8_lossy(&report).into_owned();
    assert!(text.starts_with("x-sender: <>") || text.starts_with("x-sender: \r\n"), "{text}");
    assert!(text.contains("report-type=delivery-status") && text.contains("Action: failed"), "{text}");
    assert!(text.contains("5.1.1") && text.contains("nobody@far.test"), "{text}");
    assert!(!text.contains("Final-Recipient: rfc822; good@far.test"), "{text}");
    assert_eq!(values(&report, "Auto-Submitted"), ["auto-replied"]);
    // The busy one is tried again, alone.
    peer.play(Script::default());
    let again =
        until(SOON, "the busy one is served", || peer.taken().into_iter().find(|t| t.rcpt[0].contains("busy@")));
    assert_eq!(again.rcpt.len(), 1, "{again:?}");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(peer.taken_count(), 2, "somebody got it twice");
}

#[test]
fn a_remote_domain_goes_its_own_way_and_the_longest_name_wins() {
    let site = Site::new();
    let smart = Peer::start(site.at(2, 2525), Script::default());
    let branch = Peer::start(site.at(3, 2525), Script::default());
    let inner = Peer::start(site.at(4, 2525), Script::default());
    let route = |peer: &Peer| format!("route = \"smtp://[{}]:{}\"", peer.at.ip(), peer.at.port());
    let settings = Settings::new(&site)
        .smart_host(smart.at)
        .remote("*.branch.test", &[&route(&branch)])
        .remote("inner.branch.test", &[&route(&inner), "helo_only = true"]);
    let relay = Relay::start(&site, &settings);
    let mut client = Client::greet(relay.at);
    let to = ["a@far.test", "b@x.branch.test", "c@inner.branch.test", "d@branch.test"];
    assert_eq!(client.message("alice@local.test", &to, &plain("ways", "x@far.test")).code, 250);
    assert!(branch.wait_for("ways").rcpt.iter().all(|to| to.contains("b@x.branch.test")));
    assert!(inner.wait_for("ways").rcpt.iter().all(|to| to.contains("c@inner.branch.test")));
    let taken = smart.wait_for("ways");
    assert_eq!(taken.rcpt.len(), 2, "recipients of one destination go together: {taken:?}");
    assert!(inner.commands().iter().any(|c| c.starts_with("HELO ")), "{:?}", inner.commands());
    assert!(!inner.commands().iter().any(|c| c.starts_with("EHLO ")), "{:?}", inner.commands());
}

#[test]
fn the_second_smart_host_takes_over_when_the_first_is_dead() {
    let site = Site::new();
    let second = Peer::start(site.at(3, 2525), Script::default());
    let line = format!("smart_host = [\"[{}]:2525\", \"[{}]:2525\"]", site.ip(2), site.ip(3));
    let relay = Relay::start(&site, &Settings::new(&site).delivery(&line));
    let mut client = Client::greet(relay.at);
    assert_eq!(client.message("alice@local.test", &["a@far.test"], &plain("second", "a@far.test")).code, 250);
    second.wait_for("second");
}

#[test]
fn connections_are_reused_and_bounded() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::offering(&["PIPELINING"]));
    let settings = Settings::new(&site)
        .smart_host(peer.at)
        .delivery("connections_per_domain_max = 3")
        .messages("messages_per_connection = 20");
    let relay = Relay::start(&site, &settings);
    let mut client = Client::greet(relay.at);
    for n in 0..200 {
        assert_eq!(client.message("a@apps.test", &["b@far.test"], &plain(&format!("m{n}"), "b@far.test")).code, 250);
    }
    until(SOON, "all 200 arrive", || (peer.taken_count() >= 200).then_some(()));
    assert_eq!(peer.taken_count(), 200);
    assert!(peer.most_open() <= 3, "{} connections at a time", peer.most_open());
    let mut per_connection = std::collections::BTreeMap::new();
    for taken in peer.taken() {
        *per_connection.entry(taken.connection).or_insert(0) += 1;
    }
    assert!(per_connection.values().all(|n| *n <= 20), "{per_connection:?}");
    assert!(peer.connections() <= 60, "{} connections for 200 messages", peer.connections());
}

#[test]
fn a_message_that_needs_what_the_next_hop_lacks_is_converted_or_returned() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::default());
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    let mut client = Client::greet(relay.at);
    let eight = "From: a@apps.test\r\nTo: b@far.test\r\nSubject: eight bits\r\nMIME-Version: 1.0\r\n\
                 Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n";
    client.send("MAIL FROM:<alice@local.test> BODY=8BITMIME\r\nRCPT TO:<b@far.test>\r\nDATA\r\n");
    assert_eq!([client.reply().code, client.reply().code, client.reply().code], [250, 250, 354]);
    client.send(crate::harness::client::stuffed(eight.as_bytes()));
    assert_eq!(client.reply().code, 250);
    let taken = peer.wait_for("eight bits");
    assert!(taken.content.is_ascii(), "8-bit content to a next hop that never offered it");
    assert!(
        has(&taken.content, "Gr=C3=BC=C3=9Fe") || has(&taken.content, "R3LDvMOfZQ"),
        "{}",
        String::from_utf8_lossy(&taken.content)
    );
    // What cannot be said without SMTPUTF8 comes back.
    let reply = client.say("MAIL FROM:<alice@local.test> SMTPUTF8");
    assert_eq!(reply.code, 250, "{reply:?}");
    assert_eq!(client.say("RCPT TO:<müller@far.test>").code, 250);
    assert_eq!(client.say("DATA").code, 354);
    client.send("Subject: umlaut\r\n\r\nx\r\n.\r\n");
    assert_eq!(client.reply().code, 250);
    let report = relay.wait_for_drop("5.6.7");
    assert!(has(&report, "SMTPUTF8"), "{}", String::from_utf8_lossy(&report));
    assert!(peer.commands().iter().all(|command| command.is_ascii()));
}

#[test]
fn dsn_wishes_are_passed_on_or_fulfilled() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::offering(&["DSN", "PIPELINING"]));
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    let mut client = Client::greet(relay.at);
    let mut hand_in = |subject: &str| {
        assert_eq!(client.say("MAIL FROM:<alice@local.test> RET=HDRS ENVID=QQ314159").code, 250);
        assert_eq!(client.say("RCPT TO:<b@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+40old.test").code, 250);
        assert_eq!(client.say("DATA").code, 354);
        client.send(crate::harness::client::stuffed(&plain(subject, "b@far.test")));
        assert_eq!(client.reply().code, 250);
    };
    hand_in("passed on");
    let taken = peer.wait_for("passed on");
    assert!(taken.mail.contains("RET=HDRS") && taken.mail.contains("ENVID=QQ314159"), "{taken:?}");
    assert!(
        taken.rcpt[0].contains("NOTIFY=SUCCESS,FAILURE") && taken.rcpt[0].contains("ORCPT=rfc822;Bob+40old.test"),
        "{taken:?}"
    );
    assert_eq!(relay.dropped().len(), 0, "the next hop reports, not we");
    // A next hop without DSN: we say that it was relayed.
    peer.play(Script::default());
    std::thread::sleep(std::time::Duration::from_secs(3));
    hand_in("relayed");
    let report = relay.wait_for_drop("Action: relayed");
    assert!(
        has(&report, "QQ314159") && has(&report, "Bob@old.test") | has(&report, "Bob+40old.test"),
        "{}",
        String::from_utf8_lossy(&report)
    );
}
