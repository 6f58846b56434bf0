//! What messages in the queue say: shown, searched for, carried out of one relay and into another.

mod transfer;

use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::operator::{done, get, mailroot};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, until};
use serde_json::Value;

/// A relay whose smart host is not there.
fn waiting(site: &Site) -> Relay {
    let settings = Settings::new(site)
        .smart_host(site.at(2, 2525))
        .delivery("glitch_retry = { every = \"1 h\", times = 3 }")
        .delivery("retry = [\"1 h\"]");
    Relay::start(site, &settings)
}

fn hand_in(relay: &Relay, to: &[&str], content: &[u8]) -> String {
    let reply = Client::greet(relay.at).message("alice@local.test", to, content);
    assert_eq!(reply.code, 250, "{reply:?}");
    // Behind the last word of the reply stands its id.
    let list: Value = serde_json::from_str(&done(&relay.config, &["queue", "list", "--json"])).unwrap();
    list.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_message_is_shown_whether_it_is_in_the_journal_or_parked() {
    let site = Site::new();
    let relay = waiting(&site);
    let config = &relay.config;
    let mut content = b"From: alice@apps.test\r\nTo: bob@far.test\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>Hello <b>Bob</b>\x1b[2J</p>\r\n\
        --b\r\nContent-Type: application/pdf; name=x.pdf\r\n\r\n"
        .to_vec();
    content.extend(b"0123456789\r\n".repeat(1_000));
    content.extend(b"--b--\r\n");
    let id = hand_in(&relay, &["bob@far.test"], &content);
    let check = |place: &str| {
        let shown = done(config, &["queue", "show", &id, "--content"]);
        assert!(shown.contains("Subject: Grüße\n") && shown.contains("Hello Bob"), "{place}: {shown}");
        assert!(shown.contains("[attachment: x.pdf]") && !shown.contains('\x1b') && !shown.contains("<p>"), "{shown}");
        let headers = done(config, &["queue", "show", &id, "--headers"]);
        assert!(headers.contains("Subject: Grüße\n") && !headers.contains("Hello"), "{place}: {headers}");
        let raw = get(&relay, &format!("/api/v1/servers/Test/queue/{id}/raw"));
        assert_eq!(raw.status, 200, "{place}");
        assert!(raw.body.ends_with(&content), "{place}: octet for octet");
        for head in
            ["content-type: message/rfc822", "content-disposition: attachment", "x-content-type-options: nosniff"]
        {
            assert!(raw.head.contains(head), "{}", raw.head);
        }
    };
    check("just accepted");
    until(SOON, "it is parked", || {
        relay.queued().0.iter().any(|file| file.to_string_lossy().contains(&id)).then_some(())
    });
    check("parked");
    let (code, _, error) = mailroot(config, &["queue", "show", "0123456789abcdef", "--content"]);
    assert!(code == 1 && error.contains("no message"), "{error}");
}

#[test]
fn messages_are_found_by_a_word_of_an_address() {
    let site = Site::new();
    let relay = waiting(&site);
    hand_in(&relay, &["bob@far.test"], &plain("one", "bob@far.test"));
    hand_in(&relay, &["carol@far.test", "dave@other.test"], &plain("two", "carol@far.test"));
    let found = |words: &[&str]| done(&relay.config, &[&["queue", "search"], words].concat()).lines().count() - 1;
    assert_eq!(found(&["BOB@"]), 1);
    assert_eq!(found(&["other.test"]), 1);
    assert_eq!(found(&["alice"]), 2);
    assert_eq!(found(&["alice", "--recipient", "dave"]), 1);
    assert_eq!(found(&["nobody"]), 0);
}
