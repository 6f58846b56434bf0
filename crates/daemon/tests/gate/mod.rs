//! At the door: no relay for a stranger whatever the address form, nothing smuggled, and a bound for everything that a
//! client can make grow.

use crate::harness::client::{Client, stuffed};
use crate::harness::mail::{plain, values};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, until};
use std::time::{Duration, Instant};

/// A relay that trusts nobody here.
fn closed(site: &Site) -> Settings {
    Settings::new(site)
        .access("relay = { only = [\"192.0.2.1\"] }")
        .smart_host(site.at(2, 2525))
        .remote("partner.test", &["allow_relay = true"])
}

/// Every way that people have tried to write a foreign address. `IP` is the relay's own address.
pub(crate) const FORMS: &[&str] = &[
    "<v@out.example>",
    "<v%out.example@local.test>",
    "<v%out.example@[IP]>",
    "<v%out.example>",
    "<v%out.example%local.test@local.test>",
    "<\"v@out.example\">",
    "<\"v%out.example\">",
    "<v@out.example@local.test>",
    "<\"v@out.example\"@local.test>",
    "<v@out.example@[IP]>",
    "<\"v@out.example\"@[IP]>",
    "<@local.test:v@out.example>",
    "<@[IP]:v@out.example>",
    "<@local.test,@out.example:v@out.example>",
    "<out.example!v>",
    "<out.example!v@local.test>",
    "<out.example!v@[IP]>",
    "<local.test!out.example!v>",
    "<local.test!v%out.example@local.test>",
    "<v@out.example.>",
    "<V@OUT.EXAMPLE>",
    "<v@[198.51.100.7]>",
    "<v@[IPv6:2001:db8::7]>",
    "<v@198.51.100.7>",
    "<v@[3325256711]>",
    "<v@notlocal.test>",
    "<v@local.test.out.example>",
    "<v@sub.local.test>",
    "<v@.out.example>",
    "<v@out.example(local.test)>",
    "<v@out.example,w@local.test>",
    "<v@out.example;w@local.test>",
    "<v@out.example w@local.test>",
    "<v@out.example> <w@local.test>",
    "<v@out.example\0@local.test>",
    "<v@out.example:25@local.test>",
    "<v\\@out.example@local.test>",
    "v@out.example",
    "<\"\"@out.example>",
    "<v\u{FF20}out.example@local.test>",
    "<v%out\u{3002}example@local.test>",
    "<v@out\u{3002}example>",
    "<v@sub.partner.test>",
    "<postmaster@out.example>",
];

#[test]
fn no_address_form_opens_the_relay_to_a_stranger() {
    let site = Site::new();
    let relay = Relay::start(&site, &closed(&site));
    let (out, ip) = ("out.example", relay.at.ip());
    let senders = ["<>", "<boss@local.test>", "<root@localhost>", "<root@[127.0.0.1]>", "<x@out.example>", "<bare>"];
    for (number, form) in FORMS.iter().enumerate() {
        let form = form.replace("IP", &ip.to_string());
        let sender = senders[number % senders.len()];
        let mut client = Client::connect(relay.at);
        assert_eq!(client.reply().code, 220);
        let hello = ["local.test", "localhost", "[127.0.0.1]"][number % 3];
        assert_eq!(client.say(&format!("EHLO {hello}")).code, 250);
        let utf8 = if form.is_ascii() { "" } else { " SMTPUTF8" };
        let reply = client.say(&format!("MAIL FROM:{sender}{utf8}"));
        assert!(reply.code == 250 || reply.code >= 500, "MAIL FROM:{sender}: {reply:?}");
        let reply = client.say(&format!("RCPT TO:{form}"));
        assert!((500..600).contains(&reply.code), "RCPT TO:{form} from {sender} ({out}): {reply:?}");
    }
    // A local address is still taken, and so is that of a domain which everybody may send to.
    let mut client = Client::greet(relay.at);
    assert_eq!(client.say("MAIL FROM:<x@out.example>").code, 250);
    assert_eq!(client.say("RCPT TO:<v@local.test>").code, 250);
    assert_eq!(client.say("RCPT TO:<v@local.test.>").code, 250);
    assert_eq!(client.say("RCPT TO:<V@LOCAL.TEST>").code, 250);
    assert_eq!(client.say("RCPT TO:<Postmaster>").code, 250);
    assert_eq!(client.say("RCPT TO:<v@partner.test>").code, 250);
    let reply = client.say("RCPT TO:<v@out.example>");
    assert_eq!(reply.code, 550);
    assert!(reply.text().contains("5.7.1"), "{reply:?}");
}

/// A bare CR or a NUL is never let in, a bare LF only where it is to be normalized.
fn is_refused(content: &[u8], policy: &str) -> bool {
    let is = |at: usize, octet: u8| content.get(at) == Some(&octet);
    let bare_cr = (0..content.len()).any(|at| is(at, b'\r') && !is(at + 1, b'\n'));
    let bare_lf = (0..content.len()).any(|at| is(at, b'\n') && (at == 0 || !is(at - 1, b'\r')));
    bare_cr || content.contains(&0) || bare_lf && policy == "reject"
}

#[test]
fn nothing_is_smuggled_whatever_stands_for_the_end() {
    let ends: &[&[u8]] = &[
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r.\n",
        b"\n.\r",
        b"\n\r.\n\r",
        b"\r\r\n.\r\r\n",
        b"\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n. \r\n",
        b"\r\n.\t\r\n",
        b"\r\0\n.\r\0\n",
        b"\x0b.\x0b",
        b"\x0c.\x0c",
        b"\xc2\x85.\xc2\x85",
        b"\xe2\x80\xa8.\xe2\x80\xa8",
        b"\n..\r\n",
    ];
    for policy in ["reject", "normalize"] {
        let site = Site::new();
        let relay = Relay::start(&site, &Settings::new(&site).general(&format!("bare_newlines = \"{policy}\"")));
        for (number, end) in ends.iter().enumerate() {
            let mut client = Client::greet(relay.at);
            client.open("outer@apps.test", &["bob@local.test"]);
            let mut octets = format!("Subject: outer {policy} {number}\r\n\r\nbefore").into_bytes();
            octets.extend_from_slice(end);
            octets.extend_from_slice(
                b"MAIL FROM:<smuggled@apps.test>\r\nRCPT TO:<victim@local.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx",
            );
            client.send(&octets);
            assert!(client.is_silent(Duration::from_millis(30)), "{end:?} ended a message ({policy})");
            client.send(b"\r\n.\r\n");
            let reply = client.reply();
            let refused = is_refused(&octets, policy);
            assert_eq!((550..=554).contains(&reply.code), refused, "{end:?} ({policy}): {reply:?}");
            assert_eq!(reply.code == 250, !refused, "{end:?} ({policy}): {reply:?}");
            // One reply for one message; whatever comes now answers the next command, or the session is over.
            if client.try_send(b"NOOP\r\n")
                && let Some(reply) = client.try_reply()
            {
                assert!(reply.code == 250 || reply.code == 421, "{end:?} ({policy}): {reply:?}");
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        for message in relay.dropped() {
            assert_eq!(values(&message, "x-sender"), ["outer@apps.test"], "a smuggled message was queued");
            let bare = message.iter().enumerate().any(|(at, &octet)| {
                octet == b'\n' && (at == 0 || message[at - 1] != b'\r')
                    || octet == b'\r' && message.get(at + 1) != Some(&b'\n')
            });
            assert!(
                !bare && !message.contains(&0),
                "a bare CR, LF or NUL was emitted: {:?}",
                String::from_utf8_lossy(&message)
            );
        }
    }
}

#[test]
fn a_pipelined_batch_is_answered_in_order_and_chunks_are_content() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let mut client = Client::greet(relay.at);
    client.send("MAIL FROM:<a@apps.test>\r\nRCPT TO:<b@local.test>\r\nRCPT TO:<bad address>\r\nDATA\r\n");
    let codes: Vec<u16> = (0..4).map(|_| client.reply().code).collect();
    assert!(codes[0] == 250 && codes[1] == 250 && codes[2] >= 500 && codes[3] == 354, "{codes:?}");
    client.send("Subject: one\r\n\r\nx\r\n.\r\nMAIL FROM:<a@apps.test>\r\nRCPT TO:<b@local.test>\r\n");
    assert_eq!([client.reply().code, client.reply().code, client.reply().code], [250, 250, 250]);
    // What looks like the end and like commands is content in a chunk.
    let chunk = "Subject: two\r\n\r\n.\r\nQUIT\r\nMAIL FROM:<smuggled@apps.test>\r\n";
    client.send(format!("BDAT {}\r\n{chunk}BDAT 0 LAST\r\n", chunk.len()));
    assert_eq!([client.reply().code, client.reply().code], [250, 250]);
    relay.wait_for_drop("Subject: one");
    let dropped = relay.wait_for_drop("Subject: two");
    assert!(crate::harness::has(&dropped, "\r\n.\r\nQUIT\r\nMAIL FROM:<smuggled@apps.test>\r\n"));
    assert_eq!(client.say("QUIT").code, 221);
}

#[test]
fn the_limits_answer_as_they_should() {
    let site = Site::new();
    let settings = Settings::new(&site)
        .messages("size_max = \"16 KB\"")
        .messages("session_size_max = \"40 KB\"")
        .messages("recipients_max = 5");
    let relay = Relay::start(&site, &settings);
    let mut client = Client::greet(relay.at);
    let reply = client.say("MAIL FROM:<a@apps.test> SIZE=16385");
    assert!(reply.code == 552 && reply.text().contains("5.3.4"), "{reply:?}");
    for size in ["-1", "abc", "", "18446744073709551616", "1000000000000000000000000000000"] {
        let reply = client.say(&format!("MAIL FROM:<a@apps.test> SIZE={size}"));
        assert!([501, 552, 555].contains(&reply.code), "SIZE={size}: {reply:?}");
    }
    // A lie about the size is found out while it is received.
    assert_eq!(client.say("MAIL FROM:<a@apps.test> SIZE=10").code, 250);
    assert_eq!(client.say("RCPT TO:<b@local.test>").code, 250);
    assert_eq!(client.say("DATA").code, 354);
    client.send(stuffed(&[plain("too big", "b@local.test"), b"0123456789abcdef\r\n".repeat(2000)].concat()));
    let reply = client.reply();
    assert!(reply.code == 552, "{reply:?}");
    // Recipients.
    let mut client = Client::greet(relay.at);
    assert_eq!(client.say("MAIL FROM:<a@apps.test>").code, 250);
    for n in 0..5 {
        assert_eq!(client.say(&format!("RCPT TO:<b{n}@local.test>")).code, 250);
    }
    let reply = client.say("RCPT TO:<b6@local.test>");
    assert!(reply.code == 452 && reply.text().contains("4.5.3"), "{reply:?}");
    assert_eq!(client.say("RSET").code, 250);
    // The session's sum.
    let twelve = [plain("in sum", "b@local.test"), b"0123456789abcdef\r\n".repeat(680)].concat();
    let codes: Vec<u16> = (0..5)
        .map_while(|_| {
            let mut octets = b"MAIL FROM:<a@apps.test>\r\nRCPT TO:<b@local.test>\r\nDATA\r\n".to_vec();
            if !client.try_send(&octets) {
                return None;
            }
            let opened: Vec<u16> = (0..3).map_while(|_| client.try_reply().map(|r| r.code)).collect();
            if opened != [250, 250, 354] {
                return Some(opened.last().copied().unwrap_or(421));
            }
            octets = stuffed(&twelve);
            client.try_send(&octets);
            client.try_reply().map(|reply| reply.code)
        })
        .collect();
    assert_eq!(&codes[..3], &[250, 250, 250], "{codes:?}");
    assert!(codes[3..].iter().all(|code| *code >= 400), "{codes:?}");
    until(SOON, "three lie in Drop", || (relay.dropped().len() == 3).then_some(()));
}

#[test]
fn lines_without_end_and_junk_are_refused_and_forgotten() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let mut client = Client::greet(relay.at);
    client.send(vec![b'x'; 1 << 20]);
    client.send("\r\n");
    let reply = client.reply();
    assert!(reply.code == 500 || reply.code == 421, "{reply:?}");
    if reply.code == 500 {
        assert_eq!(client.say("NOOP").code, 250, "the rest of the line was taken for a command");
    }
    // Other protocols at the door.
    for junk in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    ] {
        let mut client = Client::connect(relay.at);
        assert_eq!(client.reply().code, 220);
        client.send(junk);
        client.send("\r\nMAIL FROM:<a@apps.test>\r\nRCPT TO:<b@local.test>\r\n");
        let reply = client.reply();
        assert!(reply.code >= 421, "{reply:?}");
    }
    // Commands of former days.
    let mut client = Client::greet(relay.at);
    for verb in [
        "TURN",
        "DEBUG",
        "WIZ",
        "SEND FROM:<a@b.test>",
        "EXPN list",
        "XCLIENT ADDR=10.0.0.1",
        "STARTTLS",
        "AUTH PLAIN AGEAYg==",
        "ETRN x.test",
    ] {
        let reply = client.say(verb);
        assert!((500..=555).contains(&reply.code), "{verb}: {reply:?}");
    }
    // 100 unknown commands are too many.
    let mut client = Client::greet(relay.at);
    let codes: Vec<u16> = (0..100)
        .map_while(|_| client.try_send("WHAT\r\n").then(|| client.try_reply()).flatten().map(|reply| reply.code))
        .collect();
    assert!(codes.len() < 100 && codes.last() == Some(&421), "{codes:?}");
}

#[test]
fn a_full_house_says_421_and_opens_again() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site).general("connections_max = 3"));
    // The harness's own look at the banner may still be closing.
    let inside: Vec<Client> = until(SOON, "three get in", || {
        let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(relay.at)).collect();
        clients.iter_mut().all(|client| client.try_reply().is_some_and(|r| r.code == 220)).then_some(clients)
    });
    let mut fourth = Client::connect(relay.at);
    let reply = fourth.reply();
    assert!(reply.code == 421 && reply.text().contains("4.3.2"), "{reply:?}");
    assert!(fourth.try_reply().is_none(), "it stays open");
    drop(inside);
    until(SOON, "somebody gets in again", || Client::connect(relay.at).try_reply().filter(|reply| reply.code == 220));
}

#[test]
fn whoever_is_silent_or_too_slow_is_sent_away_and_the_rest_is_served() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site).general("timeout = \"2 s\""));
    let start = Instant::now();
    let mut silent = Client::greet(relay.at);
    let mut in_data = Client::greet(relay.at);
    in_data.open("a@apps.test", &["b@local.test"]);
    in_data.send("Subject: never finished\r\n");
    let mut trickle = Client::connect(relay.at);
    assert_eq!(trickle.reply().code, 220);
    let trickler = std::thread::spawn(move || {
        // One octet now and then must not keep a session alive for ever.
        let start = Instant::now();
        for octet in b"EHLO this.is.a.very.slow.client.that.never.ends.test".iter().cycle() {
            if !trickle.try_send([*octet]) || start.elapsed() > Duration::from_secs(25) {
                break;
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        start.elapsed()
    });
    let crowd: Vec<Client> = (0..60).map(|_| Client::connect(relay.at)).collect();
    // Somebody who means it is served at once.
    let hurry = Instant::now();
    let reply = Client::greet(relay.at).message("a@apps.test", &["b@local.test"], &plain("served", "b@local.test"));
    assert_eq!(reply.code, 250);
    assert!(hurry.elapsed() < Duration::from_secs(2), "{:?}", hurry.elapsed());
    assert_eq!(silent.try_reply().map(|reply| reply.code), Some(421));
    assert!(silent.try_reply().is_none());
    assert!(in_data.try_reply().is_none_or(|reply| reply.code == 421));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let patience = trickler.join().unwrap();
    assert!(patience < Duration::from_secs(20), "a trickle kept a session for {patience:?}");
    drop(crowd);
    relay.wait_for_drop("served");
    assert_eq!(relay.dropped().len(), 1, "an unfinished message was queued");
}

#[test]
fn who_floods_without_reading_is_held_back() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site).general("timeout = \"3 s\""));
    let mut client = Client::greet(relay.at);
    let flood = b"NOOP\r\n".repeat(20_000);
    client.try_send(&flood);
    let answered = client.rest().split(|&b| b == b'\n').count();
    assert!(answered <= 20_001, "{answered}");
    // The relay is well.
    assert_eq!(Client::greet(relay.at).say("NOOP").code, 250);
}

#[test]
fn a_message_that_went_round_too_often_is_refused() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let mut content = b"Received: from a by b; Sat, 1 Mar 2025 10:00:00 +0100\r\n".repeat(120);
    content.extend_from_slice(&plain("round and round", "b@local.test"));
    let reply = Client::greet(relay.at).message("a@apps.test", &["b@local.test"], &content);
    assert!(reply.code == 554 && reply.text().contains("5.4.6"), "{reply:?}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(relay.dropped().len(), 0);
}
