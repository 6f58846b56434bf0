//! A next hop that plays tricks: it slips words in, takes its offers back, cannot shake hands, hangs up after each message.

use super::{hand_in, secret};
use crate::harness::certificates::{Authority, Identity};
use crate::harness::peer::{At, Mood, Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, has, until};

/// A relay that sends to this host, with a domain for each policy: `bob@required.test`.
fn relay(site: &Site, authority: &Authority, policies: &[&str]) -> Relay {
    let route = format!("route = \"smtp://[{}]:2525\"", site.ip(2));
    let trusted = format!("authority = {:?}", authority.file(site, "authority.pem"));
    let settings = policies.iter().fold(Settings::new(site), |settings, policy| {
        let tls = format!("tls = \"{policy}\"");
        let mut lines = vec![&*route, &*tls];
        if *policy == "verified" {
            lines.push(&trusted);
        }
        settings.remote(&format!("{policy}.test"), &lines)
    });
    Relay::start(site, &settings)
}

fn good(site: &Site, authority: &Authority) -> Script {
    let ip = site.ip(2).to_string();
    Script::default().tls(authority.issue(&[&ip]).server())
}

/// Nothing of a message was ever said to it.
fn heard_no_mail(peer: &Peer) {
    let commands = peer.commands();
    assert!(!commands.iter().any(|command| command.starts_with("MAIL") || command.starts_with("AUTH")), "{commands:?}");
}

/// CVE-2011-0411 from this side.
#[test]
fn words_slipped_in_behind_220_end_the_session_whatever_the_policy() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let injecting = good(&site, &authority)
        .at(At::StartTls, Mood::Say("220 2.0.0 go ahead\r\n250-peer.test\r\n250 AUTH PLAIN".to_owned()));
    let peer = Peer::start(site.at(2, 2525), injecting);
    let policies = ["opportunistic", "required", "verified"];
    let relay = relay(&site, &authority, &policies);
    for policy in policies {
        hand_in(&relay, &format!("bob@{policy}.test"), policy);
        let line = relay.wait_for_log(&["deferred", &format!("bob@{policy}.test"), "trouble=tls", "status=4.7.5"]);
        assert!(line.contains("the server spoke between its answer to STARTTLS and TLS"), "{line}");
    }
    heard_no_mail(&peer);
    assert!(!relay.log().contains(" in_clear "), "an attack is no reason to do without TLS: {}", relay.log());
    // Whoever sat between has gone.
    peer.play(good(&site, &authority));
    for policy in policies {
        assert!(peer.wait_for(policy).tls.is_some());
    }
}

/// Somebody takes the offer of STARTTLS out of the answer.
#[test]
fn an_offer_that_is_taken_out_gets_no_mail_from_those_who_demand_tls() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let peer = Peer::start(site.at(2, 2525), Script::offering(&["XXXXXXXA", "AUTH PLAIN"]));
    let policies = ["required", "verified"];
    let relay = relay(&site, &authority, &policies);
    for policy in policies {
        hand_in(&relay, &format!("bob@{policy}.test"), policy);
        let line = relay.wait_for_log(&["deferred", &format!("bob@{policy}.test"), "trouble=tls", "status=4.7.4"]);
        assert!(line.contains("does not offer TLS (STARTTLS), which is required here"), "{line}");
    }
    heard_no_mail(&peer);
    // It offers it, and then says that it does not know it.
    peer.play(good(&site, &authority).at(At::StartTls, Mood::Say("502 5.5.1 what?".to_owned())));
    for policy in policies {
        relay.wait_for_log(&["deferred", &format!("bob@{policy}.test"), "502 5.5.1 what?"]);
    }
    heard_no_mail(&peer);
    peer.play(good(&site, &authority));
    for policy in policies {
        assert!(peer.wait_for(policy).tls.is_some());
    }
}

#[test]
fn a_handshake_that_fails_falls_back_to_clear_text_once_where_that_is_allowed() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let broken = good(&site, &authority).at(At::StartTls, Mood::SayAndCut("220 2.0.0 go ahead".to_owned())).when(
        At::Mail,
        "carol@",
        Mood::Cut,
    );
    let peer = Peer::start(site.at(2, 2525), broken);
    let policies = ["opportunistic", "required", "verified"];
    let relay = relay(&site, &authority, &policies);
    hand_in(&relay, "bob@opportunistic.test", "opportunistic");
    assert!(peer.wait_for("opportunistic").tls.is_none());
    let line = relay.wait_for_log(&[" in_clear ", &format!("[{}]:2525", site.ip(2))]);
    assert!(line.contains("hung up in the middle of the TLS handshake") || line.contains("broke"), "{line}");
    relay.wait_for_log(&["delivered", "bob@opportunistic.test"]);
    assert_eq!(peer.connections(), 2, "one that tried TLS, and one that did not");
    for policy in &policies[1..] {
        hand_in(&relay, &format!("bob@{policy}.test"), policy);
        relay.wait_for_log(&["deferred", &format!("bob@{policy}.test"), "trouble=tls", "status=4.7.5"]);
    }
    assert_eq!(relay.log().matches(" in_clear ").count(), 1, "{}", relay.log());
    assert_eq!(peer.taken_count(), 1);
    peer.play(good(&site, &authority));
    for policy in &policies[1..] {
        assert!(peer.wait_for(policy).tls.is_some());
    }
}

#[test]
fn a_host_that_hangs_up_after_each_message_gets_each_once() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let peer = Peer::start(site.at(2, 2525), good(&site, &authority).at(At::End, Mood::AnswerAndCut));
    let relay = relay(&site, &authority, &["verified"]);
    for number in 0..12 {
        hand_in(&relay, "bob@verified.test", &format!("message {number:02}"));
    }
    until(SOON, "all have come", || (peer.taken_count() >= 12).then_some(()));
    until(SOON, "Queue is empty", || relay.queued().0.is_empty().then_some(()));
    let mut subjects: Vec<String> = peer.taken().iter().map(crate::harness::peer::Taken::subject).collect();
    subjects.sort();
    let expected: Vec<String> = (0..12).map(|number| format!("message {number:02}")).collect();
    assert_eq!(subjects, expected);
    assert_eq!(peer.connections(), 12);
    assert!(!relay.log().contains("deferred"), "a goodbye is no failure: {}", relay.log());
}

/// One that takes the log-on and not the sender: that message comes back with what it means; the other mail goes on, and nobody
/// thinks that the log-on failed.
#[test]
fn a_sender_that_is_refused_after_the_log_on_is_that_messages_trouble() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let picky = Script { offers: vec!["AUTH PLAIN".to_owned()], ..good(&site, &authority) }.when(
        At::Mail,
        "alice@",
        Mood::Say("550 5.7.60 SMTP; Client does not have permissions to send as this sender".to_owned()),
    );
    let peer = Peer::start(site.at(2, 2525), picky);
    let hosts = format!("hosts = [\"[{}]:2525\"]", site.ip(2));
    let trusted = format!("authority = {:?}", authority.file(&site, "authority.pem"));
    let password = secret(&site, "password", "s3cret-word");
    let auth =
        format!("auth = {{ method = \"basic\", user = \"relay@local.test\", password = {{ file = {password:?} }} }}");
    let settings = Settings::new(&site)
        .smart_host_object("office", &[&hosts, &trusted, &auth])
        .delivery("smart_host = \"office\"");
    let relay = Relay::start(&site, &settings);
    hand_in(&relay, "bob@far.test", "not as alice");
    let report = relay.wait_for_drop("not as alice");
    let text = String::from_utf8_lossy(&report).into_owned();
    for words in ["5.7.60", "may not send as this sender", "Add-RecipientPermission", "alice@local.test"] {
        // Lines of a report are folded.
        let unfolded: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unfolded.contains(words), "{words}: {text}");
    }
    let mut client = crate::harness::client::Client::greet(relay.at);
    let content = crate::harness::mail::plain("as the relay", "bob@far.test");
    assert_eq!(client.message("relay@local.test", &["bob@far.test"], &content).code, 250);
    assert!(peer.wait_for("as the relay").tls.is_some());
    let log = relay.log();
    assert!(!log.contains("trouble=auth") && !log.contains("alarm"), "{log}");
    // AHJlbGF5QGxvY2FsLnRlc3QAczNjcmV0LXdvcmQ= is what was said to the host.
    let said = peer.commands().into_iter().find(|line| line.starts_with("AUTH PLAIN ")).unwrap();
    assert!(!log.contains("s3cret-word") && !log.contains(&said["AUTH PLAIN ".len()..]), "{log}");
    assert!(!has(&report, "s3cret-word"));
}

/// A log-on that is refused is shown once; the mail waits, one alarm tells, and the password's file is read anew.
#[test]
fn a_log_on_that_is_refused_holds_the_mail_until_the_password_is_right() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let strict = |words: &str| {
        let script = Script { offers: vec!["AUTH PLAIN".to_owned()], ..good(&site, &authority) };
        if words.is_empty() { script } else { script.at(At::Auth, Mood::Say(words.to_owned())) }
    };
    let peer = Peer::start(site.at(2, 2525), strict("535 5.7.8 wrong"));
    let hosts = format!("hosts = [\"[{}]:2525\"]", site.ip(2));
    let trusted = format!("authority = {:?}", authority.file(&site, "authority.pem"));
    let password = secret(&site, "password", "s3cret-word");
    let auth = format!("auth = {{ method = \"basic\", user = \"relay\", password = {{ file = {password:?} }} }}");
    let settings = Settings::new(&site)
        .smart_host_object("office", &[&hosts, &trusted, &auth])
        .delivery("smart_host = \"office\"");
    let relay = Relay::start(&site, &settings);
    hand_in(&relay, "bob@far.test", "held");
    let line = relay.wait_for_log(&["deferred", "bob@far.test", "trouble=auth", "status=4.7.8"]);
    assert!(line.contains("refused to log us on"), "{line}");
    assert!(!peer.commands().iter().any(|line| line.starts_with("MAIL")), "{:?}", peer.commands());
    assert!(relay.dropped().is_empty(), "nobody is told that it failed");
    // The same file, with another password.
    secret(&site, "password", "other-word");
    peer.play(strict(""));
    peer.wait_for("held");
    let said = peer.commands();
    let last = said.iter().rev().find(|line| line.starts_with("AUTH PLAIN ")).unwrap();
    // \0relay\0other-word
    assert_eq!(last, "AUTH PLAIN AHJlbGF5AG90aGVyLXdvcmQ=");
    assert!(!relay.log().contains("-word"), "{}", relay.log());
}

/// Nobody can be verified by an address alone if the certificate does not bear it.
#[test]
fn an_address_is_a_name_as_well() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let named = authority.issue(&["mail.test"]);
    let peer = Peer::start(site.at(2, 2525), Script::default().tls(named.server()));
    let relay = relay(&site, &authority, &["verified"]);
    hand_in(&relay, "bob@verified.test", "to an address");
    let line = relay.wait_for_log(&["deferred", "bob@verified.test", "trouble=tls"]);
    assert!(line.contains(&format!("not for {}", site.ip(2))), "{line}");
    heard_no_mail(&peer);
    let nobody = Identity::self_signed(&[&site.ip(2).to_string()]);
    peer.play(Script::default().tls(nobody.server()));
    relay.wait_for_log(&["deferred", "bob@verified.test", "self-signed"]);
    heard_no_mail(&peer);
    peer.play(good(&site, &authority));
    assert!(peer.wait_for("to an address").tls.is_some());
}
