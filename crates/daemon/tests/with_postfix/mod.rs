//! With a real Postfix, as next hop and as client. Needs root.

use crate::harness::bind::Bind;
use crate::harness::client::{Client, stuffed};
use crate::harness::mail::{assert_same, plain, tricky, values};
use crate::harness::postfix::{Postfix, Postfixed};
use crate::harness::relay::{Relay, Settings};
use crate::harness::tools::{Dotnet, curl, python, swaks};
use crate::harness::{SOON, Site, has, until};

#[test]
fn postfix_itself_takes_messages_whole() {
    let site = Site::new();
    let postfix = Postfix::start(&site, 2, &Postfixed::default());
    let sent = tricky("postfix by swaks");
    let output = swaks(&site, postfix.at, "a@apps.test", "b@dest.test", &sent, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_same(&postfix.wait_for("postfix by swaks"), &sent, "Postfix's mailbox");
    let sent = tricky("postfix by curl");
    curl(&site, postfix.at, "a@apps.test", &["b@dest.test", "c@dest.test"], &sent);
    assert_same(&postfix.wait_for("postfix by curl"), &sent, "Postfix's mailbox");
    let sent = tricky("postfix by smtplib");
    python(&site, postfix.at, &sent, "s.sendmail('a@apps.test', ['b@dest.test'], content)");
    assert_same(&postfix.wait_for("postfix by smtplib"), &sent, "Postfix's mailbox");
}

#[test]
fn every_client_reaches_postfix_through_the_smart_host() {
    let site = Site::new();
    let postfix = Postfix::start(&site, 2, &Postfixed::default());
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(postfix.at));
    let sent = tricky("by swaks");
    let output = swaks(&site, relay.at, "a@apps.test", "b@dest.test", &sent, &["--pipeline"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let sent_by_curl = tricky("by curl");
    curl(&site, relay.at, "a@apps.test", &["b@dest.test", "c@dest.test"], &sent_by_curl);
    let sent_by_python = tricky("by smtplib");
    python(&site, relay.at, &sent_by_python, "s.sendmail('a@apps.test', ['b@dest.test'], content)");
    let sent_by_dotnet = tricky("by dotnet");
    let mut file = Dotnet::create(&relay.folder("Pickup"), "1.eml", "a@apps.test", &["b@dest.test"]);
    for piece in sent_by_dotnet.chunks(200) {
        file.write(piece);
    }
    file.close();
    assert_same(&postfix.wait_for("by swaks"), &sent, "Postfix's mailbox");
    assert_same(&postfix.wait_for("by curl"), &sent_by_curl, "Postfix's mailbox");
    assert_same(&postfix.wait_for("by smtplib"), &sent_by_python, "Postfix's mailbox");
    assert_same(&postfix.wait_for("by dotnet"), &sent_by_dotnet, "Postfix's mailbox");
    let received = values(&postfix.wait_for("by swaks"), "Received");
    assert_eq!(received.len(), 2, "{received:?}");
    assert!(received[1].contains("from swaks.test") && received[1].contains("by relay.test"), "{received:?}");
}

#[test]
fn postfix_is_found_through_mx_records() {
    let site = Site::new();
    let postfix = Postfix::start(&site, 2, &Postfixed::default());
    let bind = Bind::start(&site, 5, &format!("dest MX 10 mail\nmail A {}\n", postfix.at.ip()));
    let relay = Relay::start(&site, &Settings::new(&site).dns(bind.at).delivery("port = 2525"));
    let sent = tricky("by mx to postfix");
    let output = swaks(&site, relay.at, "a@apps.test", "b@dest.test", &sent, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_same(&postfix.wait_for("by mx to postfix"), &sent, "Postfix's mailbox");
}

#[test]
fn mail_waits_in_queue_while_postfix_is_down_and_arrives_when_it_is_back() {
    let site = Site::new();
    let mut postfix = Postfix::start(&site, 2, &Postfixed::default());
    let mut relay = Relay::start(&site, &Settings::new(&site).smart_host(postfix.at));
    postfix.down();
    let mut client = Client::greet(relay.at);
    for n in 0..20 {
        let reply = client.message("a@apps.test", &["b@dest.test"], &tricky(&format!("waits {n:02}")));
        assert_eq!(reply.code, 250, "{reply:?}");
    }
    until(SOON, "20 messages lie in Queue", || {
        let (envelopes, contents) = relay.queued();
        (envelopes.len() == 20 && contents.len() == 20).then_some(())
    });
    let (envelopes, contents) = relay.queued();
    let envelope = std::fs::read_to_string(&envelopes[0]).unwrap();
    assert!(envelope.contains("a@apps.test") && envelope.contains("b@dest.test"), "{envelope}");
    assert!(has(&std::fs::read(&contents[0]).unwrap(), "Subject: waits "), "the .eml is the plain message");
    // A restart in between changes nothing.
    relay.stop();
    relay.up();
    postfix.up();
    for n in 0..20 {
        let subject = format!("waits {n:02}");
        assert_same(&postfix.wait_for(&subject), &tricky(&subject), "Postfix's mailbox");
    }
    assert_eq!(postfix.mailbox().len(), 20);
    until(SOON, "Queue is empty", || (relay.queued().0.is_empty() && relay.queued().1.is_empty()).then_some(()));
}

#[test]
fn postfix_is_a_client_of_ours() {
    let site = Site::new();
    let settings = Settings::new(&site).alias("via.test");
    let relay = Relay::start(&site, &settings);
    let postfix = Postfix::start(&site, 2, &Postfixed { via: Some(relay.at), ..Postfixed::default() });
    let sent = tricky("from postfix");
    curl(&site, postfix.at, "a@apps.test", &["bob@via.test", "carol@via.test"], &sent);
    let dropped = relay.wait_for_drop("from postfix");
    assert_same(&dropped, &sent, "Drop");
    assert_eq!(values(&dropped, "x-receiver").len(), 2);
    // Eight bits, UTF-8 addresses and wishes for reports, as Postfix passes them on.
    let program = "
s.ehlo()
content = 'From: jörg@apps.test\\r\\nTo: müller@via.test\\r\\nSubject: through postfix\\r\\n\\r\\nGrüße\\r\\n'.encode()
s.sendmail('jörg@apps.test', ['müller@via.test'], content, mail_options=['SMTPUTF8', 'BODY=8BITMIME'])
plain = b'Subject: dsn through postfix\\r\\n\\r\\nx\\r\\n'
s.sendmail('a@dest.test', ['b@via.test'], plain, mail_options=['ENVID=abc', 'RET=HDRS'], rcpt_options=['NOTIFY=SUCCESS'])
";
    python(&site, postfix.at, b"", program);
    let dropped = relay.wait_for_drop("Subject: through postfix");
    assert!(has(&dropped, "x-receiver: müller@via.test"), "{}", String::from_utf8_lossy(&dropped));
    assert!(has(&dropped, "\r\nGrüße\r\n"), "{}", String::from_utf8_lossy(&dropped));
    relay.wait_for_drop("dsn through postfix");
}

#[test]
fn eight_bits_utf8_and_binary_go_through_to_postfix() {
    let site = Site::new();
    let postfix = Postfix::start(&site, 2, &Postfixed::default());
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(postfix.at));
    let mut client = Client::greet(relay.at);
    let head = "From: j@apps.test\r\nTo: m@dest.test\r\nMIME-Version: 1.0\r\n";
    let utf8 = format!(
        "{head}Subject: Grüße 1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nschön\r\n"
    );
    assert_eq!(client.say("MAIL FROM:<jörg@apps.test> SMTPUTF8 BODY=8BITMIME").code, 250);
    assert_eq!(client.say("RCPT TO:<müller@dest.test>").code, 250);
    assert_eq!(client.say("DATA").code, 354);
    client.send(stuffed(utf8.as_bytes()));
    assert_eq!(client.reply().code, 250);
    assert_same(&postfix.wait_for("Grüße 1"), utf8.as_bytes(), "Postfix's mailbox");
    // Binary content in chunks, which Postfix does not take as binary: it is converted.
    let body: Vec<u8> = (0u8..=255).cycle().take(3000).collect();
    let mut binary = format!(
        "{head}Subject: binary 2\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    )
    .into_bytes();
    binary.extend_from_slice(&body);
    assert_eq!(client.say("MAIL FROM:<a@apps.test> BODY=BINARYMIME").code, 250);
    assert_eq!(client.say("RCPT TO:<b@dest.test>").code, 250);
    for (n, chunk) in binary.chunks(1000).enumerate() {
        let last = if (n + 1) * 1000 >= binary.len() { " LAST" } else { "" };
        client.send(format!("BDAT {}{last}\r\n", chunk.len()));
        client.send(chunk);
        let reply = client.reply();
        assert_eq!(reply.code, 250, "{reply:?}");
    }
    let arrived = postfix.wait_for("binary 2");
    assert_eq!(values(&arrived, "Content-Transfer-Encoding"), ["base64"]);
    let text = String::from_utf8_lossy(&arrived).replace("\r\n", "\n");
    let encoded = text.split_once("\n\n").unwrap().1.replace('\n', "");
    let file = site.folder.write("encoded", encoded);
    let decoded = crate::harness::run_well(std::process::Command::new("base64").arg("-d").arg(file));
    assert!(decoded == body, "{} octets came out of {}", decoded.len(), body.len());
    // A refusal by Postfix comes back as a report in its words.
    let reply = client.message("alice@local.test", &["b@dest.test"], &plain("sent on", "b@dest.test"));
    assert_eq!(reply.code, 250);
    postfix.wait_for("sent on");
}

#[test]
fn a_refusal_by_postfix_comes_back_in_its_words() {
    let site = Site::new();
    let main = "smtpd_recipient_restrictions = check_recipient_access inline:{ { nobody@dest.test = 550 5.1.1 gone fishing } }, permit_mynetworks, reject\n";
    let postfix = Postfix::start(&site, 2, &Postfixed { main: main.into(), ..Postfixed::default() });
    let relay = Relay::start(&site, &Settings::new(&site).smart_host(postfix.at));
    let mut client = Client::greet(relay.at);
    let to = ["nobody@dest.test", "bob@dest.test"];
    assert_eq!(client.message("alice@local.test", &to, &tricky("half refused")).code, 250);
    postfix.wait_for("half refused");
    let report = relay.wait_for_drop("gone fishing");
    let text = String::from_utf8_lossy(&report).into_owned();
    assert!(text.contains("Status: 5.1.1") && text.contains("nobody@dest.test"), "{text}");
    assert!(!text.contains("bob@dest.test\r\nAction"), "{text}");
}
