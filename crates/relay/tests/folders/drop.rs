//! Drop files: what they look like, and that Pickup takes them back as they are.

use super::golden;
use super::pickup::{ID, NOW, read_with, rules};
use bytes::Bytes;
use relay::drop::{Composer, HEADER_HELD_MAX, file_name};
use relay::envelope::{Envelope, Origin, Recipient};
use smtp::address::{Mailbox, ReversePath};

pub fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
    let recipients = recipients.iter().map(|address| Recipient::new(Mailbox::parse(address).unwrap(), NOW)).collect();
    let sender = Mailbox::parse(sender).map_or(ReversePath::Null, ReversePath::Mailbox);
    let origin = Origin::Smtp { peer: "192.0.2.7".parse().unwrap(), helo: "app.example.com".into(), account: None };
    Envelope::new(sender, recipients, origin, NOW)
}

/// The file for these recipients, its content handed over in chunks of `step` octets.
fn compose(envelope: &Envelope, recipients: &[u32], content: &[u8], step: usize) -> Vec<u8> {
    let (lines, mut composer) = Composer::new(envelope, recipients);
    let mut out = vec![Bytes::from(lines)];
    for chunk in content.chunks(step) {
        composer.next(Bytes::copy_from_slice(chunk), &mut out);
    }
    composer.finish(&mut out);
    out.concat()
}

const CONTENT: &[u8] = b"Received: from app.example.com ([192.0.2.7]) by relay.example.com with ESMTP id 1;\r\n\
    \tSun, 22 Nov 2026 07:00:00 +0000\r\n\
    From: app@example.com\r\nTo: alice@example.com\r\nDate: x\r\nMessage-ID: <y@z>\r\nSubject: hello\r\n\r\n\
    .\r\nTo: this is body\r\n\r\nlast\r\n";

#[test]
fn the_file_is_as_the_old_service_wrote_it() {
    let envelope = envelope("app@example.com", &["alice@example.com", "far@example.net", "bob@alias.example"]);
    let file = compose(&envelope, &[0, 2], CONTENT, 1 << 20);
    golden::check(&golden::folder("folders/drop").join("message.out"), &golden::lines(&file));
    let report = compose(&self::envelope("", &["postmaster@example.com"]), &[0], CONTENT, 1 << 20);
    golden::check(&golden::folder("folders/drop").join("report.out"), &golden::lines(&report));
    for step in [1, 7, 100] {
        assert_eq!(compose(&envelope, &[0, 2], CONTENT, step), file, "in steps of {step}");
    }
}

#[test]
fn the_closing_lines_stand_at_the_end_of_whatever_header_there_is() {
    let envelope = envelope("app@example.com", &["alice@example.com"]);
    for (content, before, after) in [
        (&b"A: b\r\n\r\nbody\r\n"[..], &b"A: b\r\n"[..], &b"\r\nbody\r\n"[..]),
        (b"A: b\r\n", b"A: b\r\n", b""),
        (b"A: b\r\n\r\n", b"A: b\r\n", b"\r\n"),
        (b"A: b\r\nno field\r\n", b"A: b\r\n", b"\r\nno field\r\n"),
        (b"A: b\r\n fold\r\n\r\n\r\n", b"A: b\r\n fold\r\n", b"\r\n\r\n"),
        (b"\r\nbody\r\n", b"", b"\r\nbody\r\n"),
        (b"body\r\n", b"", b"\r\nbody\r\n"),
        (b"", b"", b""),
    ] {
        for step in [1, 2, 3, 4096] {
            let file = compose(&envelope, &[0], content, step);
            let text = String::from_utf8(file.clone()).unwrap();
            let (head, tail) = text.split_once("Return-Path: app@example.com\r\nX-OriginalArrivalTime: ").unwrap();
            assert!(head.as_bytes().ends_with(before), "{text:?}");
            assert_eq!(
                head.len(),
                "x-sender: app@example.com\r\nx-receiver: alice@example.com\r\n".len() + before.len()
            );
            assert_eq!(tail.split_once("\r\n").unwrap().1.as_bytes(), after, "{text:?} in steps of {step}");
        }
    }
}

#[test]
fn a_header_too_long_to_hold_gets_them_between_two_fields() {
    let field = b"X-Long: 0123456789\r\n";
    let header = field.repeat(HEADER_HELD_MAX / field.len() * 2);
    let content = [header.as_slice(), b"\r\nbody\r\n"].concat();
    let envelope = envelope("app@example.com", &["alice@example.com"]);
    let file = String::from_utf8(compose(&envelope, &[0], &content, 65_536)).unwrap();
    let at = file.find("Return-Path:").unwrap();
    assert!(file[..at].ends_with("X-Long: 0123456789\r\n"));
    let closing = file[at..].lines().take(2).map(|line| line.len() + 2).sum::<usize>();
    assert!(file[at + closing..].starts_with("X-Long: 0123456789\r\n"));
    let lines = file.find("X-Long").unwrap();
    assert_eq!(file[lines..at].to_owned() + &file[at + closing..], String::from_utf8(content).unwrap());
}

#[test]
fn pickup_takes_a_drop_file_back() {
    let addresses =
        ["alice@example.com", "\"a, b\"@example.com", "o'neil/x@example.com", "küche@bücher.example", "x@[192.0.2.1]"];
    for sender in ["app@example.com", "\"quoted @ sender\"@example.com", ""] {
        let envelope = envelope(sender, &addresses);
        let file = compose(&envelope, &[0, 1, 3, 4], CONTENT, 1 << 20);
        let (submission, content, _) = read_with(&file, &rules()).unwrap();
        assert_eq!(submission.sender, envelope.sender);
        let expected: Vec<_> = [0, 1, 3, 4].map(|i: usize| envelope.recipients[i].address.clone()).into();
        assert_eq!(submission.recipients, expected);
        assert!(submission.utf8);
        assert!(!String::from_utf8(content).unwrap().contains("x-receiver"));
    }
}

#[test]
fn names_come_from_the_id_alone() {
    assert_eq!(file_name(ID, &[0, 1, 2]), "00064d2f1f0a9c00.eml");
    assert_eq!(file_name(ID, &[7, 3]), "00064d2f1f0a9c00-3.eml");
}
