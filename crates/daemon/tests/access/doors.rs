//! Connection control by address, early talkers, rates, command inspection: nothing needed but the program.

use crate::harness::Site;
use crate::harness::client::{Client, Reply};
use crate::harness::mail::plain;
use crate::harness::relay::{Relay, Settings};
#[cfg(not(feature = "kerberos"))]
use crate::harness::{relay::PROGRAM, run};
#[cfg(not(feature = "kerberos"))]
use std::process::Command;
use std::time::Duration;

/// The first thing that is said to whoever connects.
fn greeting(relay: &Relay) -> Reply {
    Client::connect(relay.at).reply()
}

#[test]
fn connections_are_refused_by_address() {
    let site = Site::new();
    let settings = Settings::new(&site).access("connection = { all_except = [\"127.0.0.1\"] }");
    let mut relay = Relay::prepare(&site, &settings);
    // What connects here comes from 127.0.0.1, so the relay never greets it well.
    relay.configure(&Settings::new(&site));
    relay.up();
    relay.configure(&settings);
    relay.process().signal("HUP");
    relay.wait_for_log(&["configured"]);
    let refused = greeting(&relay);
    assert!(refused.text().starts_with("554 5.7.1 Connections from 127."), "{refused:?}");
    relay.wait_for_log(&["refused", "command=connect", "by=access.connection.all_except"]);
}

#[test]
fn who_talks_before_the_greeting_is_turned_away() {
    let site = Site::new();
    let settings = Settings::new(&site).access("relay = { only = [] }").general("greeting_delay = \"2 s\"");
    let relay = Relay::start(&site, &settings);
    let mut hasty = Client::connect(relay.at);
    hasty.send("EHLO hasty.test\r\nMAIL FROM:<a@b.test>\r\n");
    let reply = hasty.reply();
    assert!(reply.text().starts_with("554 5.5.1 "), "{reply:?}");
    assert!(hasty.try_reply().is_none());
    let mut patient = Client::connect(relay.at);
    assert!(patient.is_silent(Duration::from_millis(800)));
    assert_eq!(patient.reply().code, 220);
    assert_eq!(patient.say("EHLO patient.test").code, 250);
}

/// Those who may relay do not wait.
#[test]
fn a_listed_client_is_greeted_at_once() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site).general("greeting_delay = \"20 s\""));
    let began = std::time::Instant::now();
    assert_eq!(greeting(&relay).code, 220);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn rates_have_their_names_in_the_log() {
    let site = Site::new();
    let settings = Settings::new(&site)
        .access("relay = { only = [] }")
        .access("rate = { messages_per_address = \"3/min\", connections_at_once_per_address = 3 }");
    let relay = Relay::start(&site, &settings);
    let mut client = Client::greet(relay.at);
    for n in 0..3 {
        let reply = client.message("a@apps.test", &["b@local.test"], &plain(&format!("{n}"), "b@local.test"));
        assert_eq!(reply.code, 250, "{reply:?}");
    }
    let refused = client.say("MAIL FROM:<a@apps.test>");
    assert!(refused.text().starts_with("450 4.7.1 "), "{refused:?}");
    relay.wait_for_log(&["refused", "MAIL FROM", "by=access.rate.messages_per_address"]);
    let _more = [Client::greet(relay.at), Client::greet(relay.at)];
    let refused = greeting(&relay);
    assert!(refused.text().starts_with("421 4.7.0 "), "{refused:?}");
    relay.wait_for_log(&["refused", "by=access.rate.connections_at_once_per_address"]);
    // A place is free again when somebody has left.
    assert_eq!(client.say("QUIT").code, 221);
    assert!(client.rest().is_empty());
    crate::harness::until(crate::harness::SOON, "there is room again", || (greeting(&relay).code == 220).then_some(()));
}

/// A listed client may come as often as it likes.
#[test]
fn a_listed_client_is_not_counted() {
    let site = Site::new();
    let rate = "rate = { connections_per_address = \"2/min\", connections_at_once_per_address = 2 }";
    let relay = Relay::start(&site, &Settings::new(&site).access(rate));
    let open: Vec<Client> = (0..10).map(|_| Client::greet(relay.at)).collect();
    assert_eq!(open.len(), 10);
}

#[test]
fn what_is_switched_off_is_neither_offered_nor_taken() {
    let site = Site::new();
    let inspection = "inspection = { verbs = { EHLO = 60, MAIL = 80, RCPT = 80, DATA = 6, QUIT = 6 }, extensions = [\"SIZE\", \"PIPELINING\"] }";
    let relay = Relay::start(&site, &Settings::new(&site).access(inspection));
    let mut client = Client::connect(relay.at);
    assert_eq!(client.reply().code, 220);
    let hello = client.say("EHLO client.test");
    assert_eq!(hello.lines.len(), 3, "{hello:?}");
    for (line, answer) in [
        ("VRFY a", "502 5.5.1"),
        ("NOOP", "502 5.5.1"),
        ("STARTTLS", "502 5.5.1"),
        ("MAIL FROM:<a@b.test> BODY=8BITMIME", "555 5.5.4"),
        (&format!("MAIL FROM:<{}@b.test>", "a".repeat(59)), "250 2.1.0"),
        (&format!("RCPT TO:<{}@b.test> NOTIFY=NEVER", "a".repeat(60)), "500 5.5.2"),
        ("RCPT TO:<b@local.test>", "250 2.1.5"),
    ] {
        let reply = client.say(line);
        assert!(reply.text().starts_with(answer), "{line}: {reply:?}");
    }
}

/// P7: slow after ten errors, over after twenty.
#[test]
fn many_errors_slow_a_session_and_end_it() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site).general("errors_max = 12"));
    let mut client = Client::greet(relay.at);
    let began = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(client.say("XYZ").code, 500);
    }
    let quick = began.elapsed();
    for _ in 0..2 {
        assert_eq!(client.say("XYZ").code, 500);
    }
    assert!(began.elapsed() - quick > Duration::from_millis(1_900), "{:?}", began.elapsed() - quick);
    assert_eq!(client.say("XYZ").code, 421);
    assert!(client.try_reply().is_none());
}

/// The other side of `with_kerberos`.
#[cfg(not(feature = "kerberos"))]
#[test]
fn a_program_without_kerberos_says_so_and_the_other_methods_work() {
    let site = Site::new();
    super::make_accounts(&site);
    let wanted = "authentication = { methods = [\"GSSAPI\", \"SCRAM-SHA-256\"], keytab = \"krb5.keytab\" }";
    let relay = Relay::start(&site, &Settings::new(&site).access(wanted));
    relay.wait_for_log(&["this program was built without Kerberos", "GSSAPI is not offered"]);
    let mut client = Client::connect(relay.at);
    assert_eq!(client.reply().code, 220);
    let offered = client.say("EHLO me.test");
    assert!(offered.lines.iter().any(|line| line == "AUTH SCRAM-SHA-256"), "{offered:?}");
    let checked = run(Command::new(PROGRAM).args(["check", "--config"]).arg(&relay.config));
    let text = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success() && text.contains("'Test': GSSAPI is among the methods"), "{text}");
}
