//! Mail that is changed on its way because the operator asked for it: From, Date, Message-ID, the sender that a smart host
//! insists on. The rest arrives octet for octet, the size that is announced is that of what is sent, and reports stay as they are.

use crate::harness::client::Client;
use crate::harness::mail::{split, values, without_trace};
use crate::harness::peer::{At, Mood, Peer, Script, Taken};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, has, until};

/// A web form's mail, as such programs write it: no Date, no Message-ID, folds in odd places, and a body of `lines` lines.
fn form(subject: &str, from: &str, lines: usize) -> Vec<u8> {
    let fields = format!("To: <office@far.test>,\r\n\t <b@far.test>\r\nSubject: {subject}\r\nX-Odd :  a  b \r\n");
    let mut mail = format!("{from}{fields}\r\n").into_bytes();
    for number in 0..lines {
        mail.extend_from_slice(format!("From: line {number} of the body, which nobody touches\r\n.\r\n").as_bytes());
    }
    mail
}

/// `SIZE=` of a MAIL line.
fn size_of(taken: &Taken) -> usize {
    let size = taken.mail.split(' ').find_map(|word| word.strip_prefix("SIZE=")).expect("SIZE in MAIL");
    size.parse().unwrap()
}

#[test]
fn a_smart_host_gets_the_sender_that_it_insists_on() {
    let site = Site::new();
    let peer = Peer::start(site.at(2, 2525), Script::offering(&["SIZE", "8BITMIME"]));
    let hosts = format!("hosts = \"[{}]:2525\"", site.ip(2));
    let settings = Settings::new(&site)
        .delivery("smart_host = \"office\"")
        .smart_host_object("office", &[&hosts, "tls = \"none\"", "sender = \"relay@office.test\""])
        .messages("size_max = \"20 MB\"");
    let relay = Relay::start(&site, &settings);
    let from = "From: \"Visitor, A\"\r\n <visitor@else.test>\r\n";
    // The second one is streamed to the disk and sent from there.
    for (subject, lines) in [("small form", 3), ("large form", 60_000)] {
        let sent = form(subject, from, lines);
        let mut client = Client::greet(relay.at);
        assert_eq!(client.message("visitor@else.test", &["office@far.test"], &sent).code, 250);
        let taken = peer.wait_for(subject);
        assert!(taken.mail.starts_with("<relay@office.test>"), "{}", taken.mail);
        assert_eq!(size_of(&taken), taken.content.len());
        let arrived = String::from_utf8(without_trace(&taken.content)).unwrap();
        let expected = String::from_utf8(sent).unwrap().replacen(
            from,
            "From: relay@office.test\r\nReply-To: \"Visitor, A\"\r\n <visitor@else.test>\r\n",
            1,
        );
        assert!(arrived == expected, "{} octets arrived, {} were expected", arrived.len(), expected.len());
    }
    // Somebody's notification has no sender, and is nobody's to change.
    let notice = form("a notice", "From: postmaster@else.test\r\n", 1);
    assert_eq!(Client::greet(relay.at).message("", &["office@far.test"], &notice).code, 250);
    let taken = peer.wait_for("a notice");
    assert!(taken.mail.starts_with("<>"), "{}", taken.mail);
    assert_eq!(without_trace(&taken.content), notice);
}

#[test]
fn sloppy_senders_are_helped_and_each_attempt_sends_the_same() {
    let site = Site::new();
    let busy = Script::offering(&["SIZE"]).at(At::Data, Mood::Say("451 4.3.0 later".to_owned()));
    let peer = Peer::start(site.at(2, 2525), busy);
    let settings = Settings::new(&site)
        .smart_host(peer.at)
        .messages("add_from = \"envelope\"")
        .messages("add_date = true")
        .messages("add_message_id = true")
        .delivery("masquerade_domain = \"mask.test\"")
        .delivery("masquerade_from = true");
    let relay = Relay::start(&site, &settings);
    let sent = form("sloppy", "", 3);
    let mut client = Client::greet(relay.at);
    assert_eq!(client.message("app@local.test", &["office@far.test"], &sent).code, 250);
    until(SOON, "the first attempt", || peer.commands().iter().any(|line| line == "DATA").then_some(()));
    // From here on it lies in the Queue folder.
    peer.play(Script::offering(&["SIZE"]));
    let taken = peer.wait_for("sloppy");
    assert!(taken.mail.starts_with("<app@mask.test>"), "{}", taken.mail);
    assert_eq!(size_of(&taken), taken.content.len());
    let (head, body) = split(&taken.content);
    assert_eq!(body, split(&sent).1);
    assert_eq!(values(head, "From"), ["app@mask.test"]);
    assert_eq!(values(head, "Date").len(), 1);
    let id = values(head, "Message-ID").remove(0);
    assert!(id.ends_with("@relay.test>") && id.len() == "<0123456789abcdef@relay.test>".len(), "{id}");
    assert!(values(head, "Received")[0].contains(&id[1..17]), "the queue id: {id}");

    let named = form("named", "From: App <app@local.test>, b@else.test\r\nDate: x\r\nMessage-ID: <1@x>\r\n", 1);
    assert_eq!(client.message("app@local.test", &["office@far.test"], &named).code, 250);
    let taken = peer.wait_for("named");
    let expected = String::from_utf8(named).unwrap().replace("app@local.test", "app@mask.test");
    assert_eq!(String::from_utf8(without_trace(&taken.content)).unwrap(), expected);
}

/// A report of our own has the null sender, whatever is asked for.
#[test]
fn our_own_reports_are_left_alone() {
    let site = Site::new();
    let refusing = Script::default().when(At::Rcpt, "gone@far.test", Mood::Say("550 5.1.1 no such user".to_owned()));
    let peer = Peer::start(site.at(2, 2525), refusing);
    let settings = Settings::new(&site)
        .smart_host(peer.at)
        .messages("rewrite_from = \"forms@else.test\"")
        .delivery("masquerade_domain = \"mask.test\"")
        .delivery("masquerade_from = true");
    let relay = Relay::start(&site, &settings);
    let sent = form("will fail", "From: v@else.test\r\n", 1);
    assert_eq!(Client::greet(relay.at).message("v@else.test", &["gone@far.test"], &sent).code, 250);
    let report = peer.wait_for("Delivery Status Notification (Failure)");
    assert!(report.mail.starts_with("<>"), "{}", report.mail);
    assert!(values(&report.content, "From")[0].contains("postmaster@local.test"));
    assert!(has(&report.content, "From: v@else.test"), "the original as it came");
}
