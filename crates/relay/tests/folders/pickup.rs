//! Pickup files: `pickup/NAME.eml` goes in, `pickup/NAME.out` says what comes of it.

use super::golden;
use bytes::Bytes;
use relay::badmail::BadmailReason;
use relay::envelope::QueueId;
use relay::pickup::{
    HEADER_MAX, PICKUP_CODE, RECIPIENTS_PER_FILE_MAX, Reader, Rules, Submission, Unreadable, trace_line,
};
use smtp::address::Domain;
use smtp::command::BodyKind;
use smtp::time::Timestamp;
use std::fmt::Write as _;

pub const NOW: Timestamp = Timestamp(1_795_330_800_123);
pub const ID: QueueId = QueueId(0x0006_4d2f_1f0a_9c00);

pub fn rules() -> Rules {
    Rules {
        default_domain: Domain::parse("example.com").unwrap(),
        fqdn: Domain::parse("relay.example.com").unwrap(),
        size_max: Some(100_000),
        hop_count_max: 15,
    }
}

/// What comes of a file that is read in chunks of `step` octets: the submission, the whole content, the body's kind.
pub fn read_in_steps(file: &[u8], rules: &Rules, step: usize) -> Result<(Submission, Vec<u8>, BodyKind), Unreadable> {
    let mut reader = Reader::new(rules, ID, NOW);
    let mut chunks = file.chunks(step).map(Bytes::copy_from_slice);
    let submission = loop {
        match chunks.next() {
            Some(chunk) => {
                if let Some(submission) = reader.header(chunk)? {
                    break submission;
                }
            }
            None => break reader.end_of_header()?,
        }
    };
    let mut content = trace_line(rules, ID, NOW).into_bytes();
    content.extend_from_slice(&submission.header);
    content.extend_from_slice(&submission.body);
    for chunk in chunks {
        content.extend_from_slice(&reader.body(chunk)?);
    }
    content.extend_from_slice(&reader.finish()?);
    Ok((submission, content, reader.body_kind()))
}

/// The same, after making sure that the steps make no difference.
pub fn read_with(file: &[u8], rules: &Rules) -> Result<(Submission, Vec<u8>, BodyKind), Unreadable> {
    let whole = read_in_steps(file, rules, 1 << 20);
    for step in [1, 7, 100] {
        match (&whole, read_in_steps(file, rules, step)) {
            (Ok((submission, content, kind)), Ok(other)) => {
                assert_eq!(String::from_utf8_lossy(content), String::from_utf8_lossy(&other.1), "in steps of {step}");
                assert_eq!((&submission.sender, &submission.recipients), (&other.0.sender, &other.0.recipients));
                assert_eq!((submission.utf8, kind), (other.0.utf8, &other.2));
            }
            (Err(_), Err(_)) => {}
            (whole, other) => panic!("{whole:?} as a whole, {other:?} in steps of {step}"),
        }
    }
    whole
}

fn read(file: &[u8]) -> Result<(Submission, Vec<u8>, BodyKind), Unreadable> {
    read_with(file, &rules())
}

fn refused(file: &[u8]) -> Unreadable {
    read(file).map(|(submission, ..)| submission).unwrap_err()
}

fn shown(file: &[u8]) -> String {
    match read(file) {
        Err(why) => format!("Badmail ({}): {why}\n", why.reason().counter()),
        Ok((submission, content, kind)) => {
            let mut out = format!("sender: {}\n", relay::drop::print_sender(&submission.sender));
            for recipient in &submission.recipients {
                let _ = writeln!(out, "recipient: {recipient}");
            }
            let _ = writeln!(out, "body: {kind:?}, utf8: {}", submission.utf8);
            out + "---\n" + &golden::lines(&content)
        }
    }
}

#[test]
fn files_become_messages_or_reasons() {
    for path in golden::files(&golden::folder("folders/pickup"), "eml") {
        let file = std::fs::read(&path).unwrap();
        golden::check(&path.with_extension("out"), &shown(&file));
        // The same file as Windows writes it, and with the last line unended.
        let crlf = String::from_utf8_lossy(&file).replace('\n', "\r\n");
        if std::str::from_utf8(&file).is_ok() {
            assert_eq!(shown(crlf.as_bytes()), shown(&file), "{} with CRLF", path.display());
            assert_eq!(shown(crlf.trim_end_matches("\r\n").as_bytes()), shown(crlf.trim_end().as_bytes()));
        }
    }
}

#[test]
fn a_lone_dot_is_a_line() {
    let file = b"From: a@b.test\nTo: c@d.test\nDate: x\nMessage-ID: <y>\n\n.\n..\n.leading\n\nlast";
    let (_, content, _) = read(file).unwrap();
    assert!(content.ends_with(b"\r\n\r\n.\r\n..\r\n.leading\r\n\r\nlast\r\n"));
}

#[test]
fn what_is_no_message_is_refused_with_a_reason() {
    assert_eq!(refused(b""), Unreadable::Empty);
    assert_eq!(refused(b"\r\n\r\n \n"), Unreadable::Empty);
    assert_eq!(refused(b"\xFF\xFEF\0r\0o\0m\0:\0"), Unreadable::Utf16);
    assert_eq!(refused(b"\xEF\xBB\xBFFrom: a@b.test\nTo: c@d.test\n\n"), Unreadable::ByteOrderMark);
    assert_eq!(refused(b"From: a@b.test\nTo: c@d.test\n\n\0"), Unreadable::Nul { line: 4 });
    assert_eq!(refused(b"From: a@b.test\nTo: c@d.test\n\nx\ry\n"), Unreadable::BareCr { line: 4 });
    assert_eq!(refused(b"hello\nFrom: a@b.test\n"), Unreadable::NoHeader);
    assert_eq!(refused(b"From: a@b.test\nTo: \xFF@d.test\n\n").reason(), BadmailReason::BadPickupFile);
    let png: Vec<u8> = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".iter().copied().chain((0..=255).cycle().take(10_000)).collect();
    assert!(read(&png).is_err());
}

#[test]
fn every_reason_has_the_old_code_and_words_that_say_what_to_do() {
    let why = refused(b"To: a@b.test\n\n");
    assert_eq!(why, Unreadable::NoFrom);
    assert_eq!((why.code(), why.reason()), (PICKUP_CODE, BadmailReason::BadPickupFile));
    assert!(why.to_string().contains("add one"), "{why}");
    assert_eq!(refused(b"From: a@b.test\n\n").reason(), BadmailReason::NoRecipients);
    let hops = [b"Received: x\n".repeat(16), b"From: a@b.test\nTo: a@b.test\n\n".to_vec()].concat();
    assert_eq!(refused(&hops), Unreadable::TooManyHops { hops: 16, max: 15 });
    assert_eq!(refused(&hops).reason(), BadmailReason::HopCountExceeded);
    assert!(read(&hops[12..]).is_ok(), "15 hops are allowed");
}

#[test]
fn the_size_limit_holds_for_the_message() {
    let header = b"From: a@b.test\r\nTo: c@d.test\r\nDate: x\r\nMessage-ID: <y>\r\n\r\n";
    let file = |body: usize| [header.as_slice(), &b"12345678\r\n".repeat(body)].concat();
    let exact = Rules { size_max: Some(header.len() as u64 + 1_000), ..rules() };
    assert!(read_with(&file(100), &exact).is_ok());
    let one_less = Rules { size_max: exact.size_max.map(|max| max - 1), ..rules() };
    assert!(read_with(&file(100), &one_less).is_err());
    assert_eq!(
        read_with(&[file(100), b"x".to_vec()].concat(), &exact).unwrap_err(),
        Unreadable::TooLarge { max: header.len() as u64 + 1_000 }
    );
    assert!(read_with(&file(100_000), &Rules { size_max: None, ..rules() }).is_ok());
    // x-receiver lines are no part of the message.
    let receivers = b"x-receiver: someone-with-a-name@d.test\r\n".repeat(500);
    assert!(read_with(&[receivers, file(100)].concat(), &exact).is_ok());
    assert!(exact.admit(10 << 30).is_err());
    assert!(exact.admit(HEADER_MAX as u64).is_ok());
}

#[test]
fn ten_thousand_recipients_are_read_in_order() {
    let mut file: String = (0..10_000).map(|n| format!("X-Receiver: user{n}@d.test\r\n")).collect();
    file.push_str("X-Receiver: user0@D.test\r\nFrom: a@b.test\r\n\r\nhello\r\n");
    let (submission, content, _) = read_in_steps(file.as_bytes(), &rules(), 4096).unwrap();
    assert_eq!(submission.recipients.len(), 10_000);
    assert_eq!(submission.recipients[9_999].to_string(), "user9999@d.test");
    assert!(content.len() < 400);
    let listed: String = (0..10_000).map(|n| format!("User {n} <user{n}@d.test>,\r\n ")).collect();
    let file = format!("From: a@b.test\r\nBcc: {listed}\r\n\r\nhello\r\n");
    let (other, content, _) = read_in_steps(file.as_bytes(), &rules(), 4096).unwrap();
    assert_eq!(other.recipients, submission.recipients);
    assert!(content.len() < 400);
}

#[test]
fn a_header_without_end_is_refused_in_time() {
    let endless = b"X: y\n".repeat(HEADER_MAX / 5 + 10);
    assert_eq!(read_in_steps(&endless, &rules(), 4096).unwrap_err(), Unreadable::HeaderTooLong);
    let one_line = [b"X: ".to_vec(), vec![b'y'; HEADER_MAX]].concat();
    assert_eq!(read_in_steps(&one_line, &rules(), 4096).unwrap_err(), Unreadable::HeaderTooLong);
    let no_field = [b"A: b\n".to_vec(), vec![b'y'; HEADER_MAX + 1]].concat();
    assert_eq!(read_in_steps(&no_field, &rules(), 4096).unwrap_err(), Unreadable::HeaderTooLong);
    let unlimited = Rules { size_max: None, ..rules() };
    let crowd: String = (0..=RECIPIENTS_PER_FILE_MAX).map(|n| format!("X-Receiver: user{n}@d.test\n")).collect();
    let crowd = crowd + "From: a@b.test\n\n";
    assert_eq!(read_in_steps(crowd.as_bytes(), &unlimited, 1 << 16).unwrap_err(), Unreadable::TooManyRecipients);
}

#[test]
fn the_envelope_is_the_files() {
    let (submission, content, kind) = read(b"From: a@b.test\nTo: c@d.test, e@f.test\n\nhello\n").unwrap();
    let envelope = submission.envelope(&submission.recipients[..1], "x.eml", content.len() as u64, kind, NOW);
    assert_eq!(envelope.recipients.len(), 1);
    assert_eq!(envelope.recipients[0].address.to_string(), "c@d.test");
    assert_eq!(envelope.origin, relay::envelope::Origin::Pickup { file: "x.eml".into() });
    assert_eq!(envelope.arrived, NOW);
    assert!(!envelope.may_do_without_policies());
    let (submission, ..) = read(b"From: a@b.test\nTLS-Required: no\nTo: c@d.test\n\nhello\n").unwrap();
    let envelope = submission.envelope(&submission.recipients, "x.eml", 7, kind, NOW);
    assert!(envelope.may_do_without_policies());
    assert!(!relay::envelope::Envelope { require_tls: true, ..envelope }.may_do_without_policies());
}
