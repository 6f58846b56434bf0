//! Reports against golden files, and what holds for every report whatever a stranger put into it.
//!
//! `BLESS=1 cargo test -p smtp` writes the files, to be looked at in the diff.

use smtp::address::{Domain, Mailbox};
use smtp::command::BodyKind;
use smtp::header::scan;
use smtp::reply::{EnhancedStatus, Reply};
use smtp::report::{About, Composed, HEADER_MAX, Kind, ORIGINAL_MAX, Original, Report, compose};
use smtp::time::Timestamp;
use std::path::Path;

const NOW: Timestamp = Timestamp(1_795_330_800_123);
const ARRIVED: Timestamp = Timestamp(1_795_158_000_000);
const ORIGINAL: &[u8] = b"Received: from app.example.com ([192.0.2.7]) by relay.example.com with ESMTP id 0000000000000abc;\r\n\
    \tFri, 20 Nov 2026 07:00:00 +0000\r\nFrom: Alice <alice@example.com>\r\nTo: bob@example.net\r\nSubject: minutes\r\n\
    Message-ID: <1@app.example.com>\r\nDate: Fri, 20 Nov 2026 07:00:00 +0000\r\n\r\nSee you on Monday.\r\n.\r\nAlice\r\n";

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

fn about(address: &str, status: EnhancedStatus) -> About {
    About {
        address: mailbox(address),
        orcpt: None,
        status,
        reply: None,
        host: None,
        text: "".into(),
        attempted: None,
        retry_until: None,
    }
}

fn report(kind: Kind, recipients: Vec<About>) -> Report<'static> {
    Report {
        kind,
        from: mailbox("postmaster@example.com"),
        to: mailbox("alice@example.com"),
        reporting_mta: Domain::parse("relay.example.com").unwrap(),
        received_from_mta: Some("app.example.com".into()),
        arrived: ARRIVED,
        envid: None,
        recipients,
        original: Original::Full(ORIGINAL),
        original_utf8: false,
        now: NOW,
        seed: 0x2a,
    }
}

/// A recipient whom a remote host refused.
fn refused(address: &str) -> About {
    let mut reply = Reply::new(550, 1, 1, "<bob@example.net>: Recipient address rejected: User unknown in local table");
    reply.lines.push("See https://example.net/help for what that means, and whom to ask about it if you must.".into());
    About {
        reply: Some(reply),
        host: Some("mx.example.net [192.0.2.25]:25".into()),
        text: "The mail server refused this recipient.".into(),
        attempted: Some(NOW),
        ..about(address, EnhancedStatus(5, 1, 1))
    }
}

fn golden(name: &str, report: &Report<'_>) -> Composed {
    let composed = compose(report);
    check(&composed);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report").join(format!("{name}.eml"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &composed.octets).unwrap();
    }
    let expected = std::fs::read(&path).unwrap_or_default();
    assert!(
        composed.octets == expected,
        "{name}.eml differs:\n{}",
        String::from_utf8_lossy(&composed.octets).replace('\r', "")
    );
    composed
}

/// What holds for every report.
fn check(composed: &Composed) {
    let octets = &composed.octets;
    for line in octets.split_inclusive(|&b| b == b'\n') {
        let text = line.strip_suffix(b"\r\n").expect("a line ends with CRLF");
        assert!(text.len() <= 998 && !text.contains(&b'\r') && !text.contains(&0), "{text:?}");
    }
    let header = scan(octets);
    assert!(header.octets().is_ascii() || composed.utf8);
    let names: Vec<_> = header.fields().map(|f| String::from_utf8_lossy(f.name).into_owned()).collect();
    let mut expected =
        vec!["From", "To", "Date", "MIME-Version", "Content-Type", "Message-ID", "Subject", "Auto-Submitted"];
    if composed.body == BodyKind::EightBitMime {
        expected.insert(5, "Content-Transfer-Encoding");
    }
    assert_eq!(names, expected);
    assert_eq!(octets.is_ascii() || composed.utf8, composed.body == BodyKind::SevenBit || composed.utf8);
    assert_eq!(parts(composed).len(), 3);
}

/// The parts, each with its header.
fn parts(composed: &Composed) -> Vec<Vec<u8>> {
    let text = &composed.octets;
    let content_type = scan(text).first("Content-Type").unwrap().text();
    let boundary = content_type.split("boundary=\"").nth(1).unwrap().strip_suffix('"').unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut rest = &text[..];
    while let Some(at) = memchr::memmem::find(rest, delimiter.as_bytes()) {
        found.push(rest[..at].to_vec());
        rest = &rest[at + delimiter.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    found.remove(0);
    found.into_iter().map(|part| part.strip_prefix(b"\r\n").unwrap().to_vec()).collect()
}

#[test]
fn a_refused_recipient() {
    let mut bob = refused("bob@example.net");
    bob.orcpt = Some("rfc822;Bob+2Bsales@example.net".into());
    let composed = golden("refused", &Report { envid: Some("QQ314+2B159".into()), ..report(Kind::Failed, vec![bob]) });
    assert_eq!((composed.body, composed.utf8), (BodyKind::SevenBit, false));
    assert!(parts(&composed)[2].ends_with(&ORIGINAL[..ORIGINAL.len()]));
}

#[test]
fn an_expired_message() {
    let bob = About {
        text: "The mail server could not be reached for 2 days: no connection to mx.example.net [192.0.2.25]:25 within 30 s."
            .into(),
        host: Some("mx.example.net [192.0.2.25]:25".into()),
        attempted: Some(NOW),
        ..about("bob@example.net", EnhancedStatus(4, 4, 7))
    };
    golden("expired", &report(Kind::Failed, vec![bob]));
}

#[test]
fn a_delayed_message() {
    let bob = About {
        text: "The mail server does not answer.".into(),
        retry_until: Some(NOW.plus(std::time::Duration::from_secs(36 * 3600))),
        ..about("bob@example.net", EnhancedStatus(4, 4, 7))
    };
    golden("delayed", &report(Kind::Delayed, vec![bob]));
}

#[test]
fn a_relayed_and_a_delivered_message() {
    let bob = About {
        reply: Some(Reply::new(250, 0, 0, "Ok: queued as 4711")),
        host: Some("mx.example.net [192.0.2.25]:25".into()),
        ..about("bob@example.net", EnhancedStatus(2, 0, 0))
    };
    golden("relayed", &report(Kind::Relayed, vec![bob]));
    golden("delivered", &report(Kind::Delivered, vec![about("bob@example.com", EnhancedStatus(2, 1, 5))]));
}

#[test]
fn many_recipients_with_several_fates() {
    let mut all: Vec<About> = ["bob", "carol", "dave"].map(|name| refused(&format!("{name}@example.net"))).into();
    all.push(About {
        text: "The domain example.invalid does not exist.".into(),
        ..about("erin@example.invalid", EnhancedStatus(5, 1, 2))
    });
    all.push(refused("frank@example.net"));
    let headers = Report { original: Original::Headers(ORIGINAL), ..report(Kind::Failed, all) };
    golden("many", &headers);

    let crowd = (0..10_000).map(|i| refused(&format!("user{i}@example.net"))).collect();
    let composed = compose(&report(Kind::Failed, crowd));
    check(&composed);
    assert!(composed.octets.len() < 10_000 * 500);
}

#[test]
fn an_address_beyond_ascii() {
    let mut bob = refused("büro@bücher.example");
    bob.orcpt = Some("utf-8;b\\x{FC}ro@b\\x{FC}cher.example".into());
    bob.reply = Some(Reply::new(553, 1, 1, "büro ist unbekannt"));
    let original = "From: Alice <alice@example.com>\r\nTo: Büro <büro@bücher.example>\r\n\r\nGrüße\r\n";
    let mut report = Report {
        original: Original::Full(original.as_bytes()),
        original_utf8: true,
        ..report(Kind::Failed, vec![bob])
    };
    let composed = golden("utf8", &report);
    assert_eq!((composed.body, composed.utf8), (BodyKind::EightBitMime, false));
    report.to = mailbox("alicé@example.com");
    report.original = Original::Headers(original.as_bytes());
    let composed = golden("utf8-headers", &report);
    assert_eq!((composed.body, composed.utf8), (BodyKind::EightBitMime, true));
}

#[test]
fn foreign_words_alone_do_not_need_eight_bits() {
    let mut bob = refused("bob@example.net");
    bob.reply = Some(Reply::new(550, 1, 1, "Empfänger unbekannt"));
    let composed = compose(&report(Kind::Failed, vec![bob]));
    check(&composed);
    assert_eq!((composed.body, composed.utf8), (BodyKind::SevenBit, false));
    let text = String::from_utf8(composed.octets).unwrap();
    assert!(text.contains("550 5.1.1 Empf=C3=A4nger unbekannt\r\n"));
    assert!(text.contains("Diagnostic-Code: smtp;550 5.1.1 Empf?nger unbekannt\r\n"));
}

#[test]
fn a_reply_has_a_status_in_any_case() {
    for (reply, expected) in [
        (Reply::new(550, 7, 1, ""), "5.7.1"),
        (Reply::plain(550, ""), "5.5.0"),
        (Reply::plain(451, ""), "4.5.0"),
        (Reply::plain(250, ""), "2.0.0"),
        (Reply { status: Some(EnhancedStatus(4, 2, 2)), ..Reply::plain(550, "") }, "5.5.0"),
    ] {
        assert_eq!(smtp::report::status(&reply).to_string(), expected);
    }
}

#[test]
fn an_original_of_octets() {
    let original = "Subject: x\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n".as_bytes();
    let report = Report { original: Original::Full(original), ..report(Kind::Failed, vec![refused("b@example.net")]) };
    let composed = golden("eight-bit", &report);
    assert_eq!((composed.body, composed.utf8), (BodyKind::EightBitMime, false));
    let converted = smtp::convert::to_seven_bit(&composed.octets).unwrap();
    assert!(converted.is_ascii(), "and it can be converted for a next hop without 8BITMIME");
}

#[test]
fn what_cannot_be_returned_whole_is_returned_by_its_header() {
    let huge = [b"Subject: huge\r\n\r\n".as_slice(), &b"0123456789\r\n".repeat(ORIGINAL_MAX / 12)].concat();
    let composed = golden(
        "huge",
        &Report { original: Original::Full(&huge), ..report(Kind::Failed, vec![refused("b@example.net")]) },
    );
    assert!(composed.octets.len() < 4_000);
    for content in
        [&b"Subject: x\r\n\r\nbare\nnewline\r\n"[..], b"Subject: x\r\n\r\nnul\0\r\n", b"Subject: x\r\n\r\ncut"]
    {
        let report =
            Report { original: Original::Full(content), ..report(Kind::Failed, vec![refused("b@example.net")]) };
        let composed = compose(&report);
        check(&composed);
        assert!(parts(&composed)[2].starts_with(b"Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n"));
    }
    let header = b"X-Junk: 0123456789\r\n".repeat(100_000);
    let report =
        Report { original: Original::Headers(&header), ..report(Kind::Delayed, vec![refused("b@example.net")]) };
    assert!(parts(&compose(&report))[2].len() < HEADER_MAX + 100);
}

#[test]
fn a_stranger_cannot_write_into_a_report() {
    let evil = "x\r\nBcc: victim@example.org\r\n\r\n--=_report_1a\r\n\u{1b}[31m\u{0}\u{2028}<script>%n";
    let mut bob = refused("bob@example.net");
    bob.orcpt = Some("rfc822;bob+0D+0ABcc:+20victim@example.org".into());
    bob.host = Some(format!("mx {evil}").into());
    bob.text = evil.into();
    bob.reply = Some(Reply { code: 550, status: None, lines: vec![evil.into(), evil.repeat(500).into()] });
    bob.status = EnhancedStatus(5, 5, 0);
    let original = format!("Subject: {}\r\n\r\n--=_report_19e\r\n", "x".repeat(990));
    let report = Report {
        received_from_mta: Some(evil.into()),
        envid: Some("a+0D+0AAction:+20delivered".into()),
        original: Original::Full(original.as_bytes()),
        ..report(Kind::Failed, vec![bob])
    };
    let composed = golden("hostile", &report);
    let parts = parts(&composed);
    let fields = scan(&parts[1]);
    let fields = scan(&parts[1][fields.body_at()..]);
    assert_eq!(fields.fields().filter(|field| field.is("Action")).count(), 0, "the first group has none");
    assert!(!String::from_utf8_lossy(&composed.octets).contains("\r\nBcc"));
    for (i, reply) in [evil.repeat(10_000), "word ".repeat(20_000), "ü".repeat(50_000)].iter().enumerate() {
        let mut bob = refused("bob@example.net");
        bob.reply = Some(Reply { code: 550, status: None, lines: vec![reply.clone().into(); 50] });
        bob.host = Some(reply.as_str().into());
        bob.text = reply.as_str().into();
        let report = Report { recipients: vec![bob], received_from_mta: Some(reply.as_str().into()), ..report.clone() };
        let composed = compose(&report);
        check(&composed);
        assert!(composed.octets.len() < 80_000, "{i}: {}", composed.octets.len());
    }
}

#[test]
fn a_boundary_stands_in_no_part() {
    let mut report = report(Kind::Failed, vec![refused("b@example.net")]);
    let first = format!("=_report_{:x}_{:x}", NOW.0, report.seed);
    let original = format!("Subject: x\r\n\r\n--{first}--\r\n");
    report.original = Original::Full(original.as_bytes());
    let composed = compose(&report);
    check(&composed);
    assert!(String::from_utf8_lossy(&composed.octets).contains(&format!("boundary=\"=_report_{:x}_2b\"", NOW.0)));
}
