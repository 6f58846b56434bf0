//! Records as lines: nothing is forged, all is bounded, and each reads as promised.

use super::*;
use crate::envelope::FailureKind;
use smtp::reply::EnhancedStatus;

/// Reads a line back the way a log reader would: the name, then the keys with their unquoted values.
fn read(line: &str) -> (String, Vec<(String, String)>) {
    assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line:?} is not one line of printable ASCII");
    let (name, mut rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').unwrap();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted
                    .char_indices()
                    .find(|&(_, c)| {
                        let end = c == '"' && !escaped;
                        escaped = c == '\\' && !escaped;
                        end
                    })
                    .unwrap()
                    .0;
                let (value, after) = (&quoted[..end], &quoted[end + 1..]);
                (value, after.trim_start_matches(|c: char| c == '+' || c.is_ascii_digit()))
            }
            None => after.split_at(after.find(' ').unwrap_or(after.len())),
        };
        pairs.push((key.to_owned(), value.to_owned()));
        rest = after.strip_prefix(' ').unwrap_or_else(|| {
            assert_eq!(after, "", "in {line}");
            ""
        });
    }
    (name.to_owned(), pairs)
}

fn keys(record: &Record) -> Vec<String> {
    read(&record.to_string()).1.into_iter().map(|(key, _)| key).collect()
}

fn failure(text: &str) -> Box<Failure> {
    Box::new(Failure {
        kind: FailureKind::Refused,
        status: EnhancedStatus(4, 2, 2),
        host: Some(text.into()),
        reply: Some(Reply::new(452, 2, 2, text.to_owned())),
        text: text.into(),
    })
}

/// Every kind of record, with `text` wherever somebody else chooses the words.
fn all(text: &str) -> Vec<Record> {
    let id = QueueId(0x63f1c);
    let to = Mailbox::parse("\"a b=c\\\" to=x\"@example.com").unwrap();
    let from = ReversePath::Mailbox(to.clone());
    let at = Timestamp(1_795_330_800_123);
    let peer: SocketAddr = "[2001:db8::1]:1025".parse().unwrap();
    vec![
        Record::Started { listen: vec![peer, peer], home: text.into() },
        Record::Configured,
        Record::Stopped,
        Record::Paused,
        Record::Continued { listen: vec![peer] },
        Record::Alarm { text: text.into() },
        Record::Operator { name: text.into(), from: text.into(), what: text.into() },
        Record::Connected { peer, local: peer },
        Record::Disconnected { peer, messages: 3, how: text.into() },
        Record::Accepted {
            id,
            from: from.clone(),
            size: 12,
            recipients: 1,
            peer: peer.ip(),
            helo: text.into(),
            account: Some(text.into()),
        },
        Record::PickedUp { id, file: text.into(), from: from.clone(), size: 12, recipients: 1 },
        Record::Abandoned { id, from, size: 12, recipients: 1, peer: peer.ip() },
        Record::Refused {
            peer: peer.ip(),
            command: text.into(),
            reply: Reply::new(550, 7, 1, text.to_owned()),
            by: Some("access.relay.only"),
        },
        Record::Secured {
            peer,
            version: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384",
            name: Some(text.into()),
            certificate: Some(text.into()),
        },
        Record::NotSecured { peer, why: text.into() },
        Record::InClear { host: text.into(), why: text.into() },
        Record::Waived { host: text.into(), why: text.into() },
        Record::Policy { domain: Domain::parse("x.test").unwrap(), outcome: Err(text.into()) },
        Record::Delivered {
            id,
            to: to.clone(),
            by: text.into(),
            said: text.into(),
            channel: Channel::parse("TLSv1.3 TLS_AES_256_GCM_SHA384 dane auth PLAIN").map(Arc::new),
            after_ms: 12,
        },
        Record::Sent { id, recipients: 1, size: 12, local: false },
        Record::Reached { host: text.into(), channel: None },
        Record::Unreached { failure: failure(text) },
        Record::Requeued { id, file: text.into(), from: ReversePath::Null, recipients: 1 },
        Record::Imported { id, was: id, from: ReversePath::Null, recipients: 1 },
        Record::Deferred { id, to: to.clone(), failure: failure(text), again: at, local: false },
        Record::Failed { id, to, failure: failure(text) },
        Record::Reported { id, recipients: 2 },
        Record::Badmailed { id, reason: BadmailReason::NdrOfDsn },
        Record::Held { id },
        Record::Released { id },
        Record::Deleted { id, recipients: 3 },
        Record::DestinationDown { destination: text.into(), failure: failure(text), until: at, waiting: 7 },
        Record::DestinationPaused { destination: text.into(), failure: failure(text), until: at, waiting: 7 },
        Record::DestinationSuspended { destination: text.into() },
        Record::DestinationResumed { destination: text.into() },
        Record::DestinationUp { destination: text.into() },
    ]
}

#[test]
fn lines_read_as_promised() {
    let id = QueueId(0x0006_3f1c_2d3e_4f50);
    let to = Mailbox::parse("carol@example.com").unwrap();
    let line = Record::Delivered {
        id,
        to: to.clone(),
        by: "mx.example.com [192.0.2.1]:25".into(),
        said: "250 2.0.0 Ok".into(),
        channel: None,
        after_ms: 12,
    };
    assert_eq!(
        line.to_string(),
        "delivered id=00063f1c2d3e4f50 to=carol@example.com by=\"mx.example.com [192.0.2.1]:25\" said=\"250 2.0.0 Ok\" after=12ms"
    );
    let line = Record::Accepted {
        id,
        from: ReversePath::Null,
        size: 10_240,
        recipients: 2,
        peer: "192.0.2.7".parse().unwrap(),
        helo: "[192.0.2.7]".into(),
        account: None,
    };
    assert_eq!(
        line.to_string(),
        "accepted id=00063f1c2d3e4f50 from=<> size=10240 recipients=2 peer=192.0.2.7 helo=[192.0.2.7]"
    );
    let line = Record::Deferred { id, to, failure: failure("full"), again: Timestamp(1_795_330_800_123), local: false };
    assert_eq!(
        line.to_string(),
        "deferred id=00063f1c2d3e4f50 to=carol@example.com trouble=refused status=4.2.2 by=full \
         said=\"452 4.2.2 full\" why=full again=2026-11-22T07:00:00.123Z"
    );
    assert_eq!(Record::Stopped.to_string(), "stopped");
}

#[test]
fn no_value_forges_a_line_a_key_or_an_escape_sequence() {
    let plain: Vec<_> = all("plain").iter().map(keys).collect();
    let hostile = [
        "x\r\n2026-11-22T07:00:00.123Z delivered id=1",
        "x\nfailed id=1",
        "\x1b[31m\x1b]0;title\x07",
        "\0\t\x0b\x7f",
        "\u{85}\u{2028}\u{2029}\u{202e}\u{9b}31m",
        "a id=2 to=nobody",
        "\" id=2 x=\"",
        "\\\" id=2 x=\\\"",
        "\\",
        "id=2",
        "b\u{fc}cher \u{1f4e7}",
        "",
    ];
    for text in hostile {
        for (record, plain) in all(text).iter().zip(&plain) {
            assert_eq!(&keys(record), plain, "{record}");
        }
    }
}

#[test]
fn values_are_bounded_and_say_what_was_left_out() {
    for text in ["x".repeat(100_000), "\0".repeat(100_000), "\u{10ffff}".repeat(100_000)] {
        for record in all(&text) {
            assert!(record.to_string().len() < 8_192, "{} octets", record.to_string().len());
        }
        let line = Record::Alarm { text: text.as_str().into() }.to_string();
        assert!(line.ends_with(&format!("\"+{}", text.len() - VALUE_MAX)), "{line}");
    }
    let fits = "x".repeat(VALUE_MAX);
    assert_eq!(Record::Alarm { text: fits.as_str().into() }.to_string(), format!("alarm text={fits}"));
}

#[test]
fn escapes_can_be_told_apart() {
    let alarm = |text: &str| Record::Alarm { text: text.into() }.to_string();
    assert_eq!(alarm("a\r\n\tb"), r#"alarm text="a\r\n\tb""#);
    assert_eq!(alarm(r"a\r\n\tb"), r#"alarm text="a\\r\\n\\tb""#);
    assert_eq!(alarm("\x1b\0\u{2028}\u{fc}"), r#"alarm text="\x1b\x00\u{2028}\u{fc}""#);
    assert_eq!(alarm(""), r#"alarm text="""#);
}

#[test]
fn who_reads_what() {
    assert_eq!(Record::Stopped.level(), Level::Quiet);
    let debug = all("x").iter().filter(|r| r.level() == Level::Debug).count();
    assert_eq!(debug, 6, "connections, and what the counters alone want, are for debugging");
    assert!(Level::Quiet < Level::Info && Level::Info < Level::Debug);
}
