//! Counters: the table is sound, records add what they should, and Prometheus can read what is written.

use super::*;
use crate::channel::Channel;
use crate::envelope::{Failure, QueueId};
use smtp::address::{Mailbox, ReversePath};
use smtp::time::Timestamp;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const ID: QueueId = QueueId(7);

fn counted(records: &[Record]) -> BTreeMap<Counter, u64> {
    let mut sums = BTreeMap::new();
    for record in records {
        count(record, |counter, by| *sums.entry(counter).or_default() += by);
    }
    sums.retain(|_, sum| *sum > 0);
    sums
}

fn refusal(command: &str, code: u16, subject: u16, detail: u16, by: Option<&'static str>) -> Record {
    Record::Refused { peer: PEER, command: command.into(), reply: Reply::new(code, subject, detail, "no"), by }
}

fn failure(kind: FailureKind, reply: Option<Reply>) -> Box<Failure> {
    Box::new(Failure { kind, status: EnhancedStatus(4, 4, 1), host: None, reply, text: "x".into() })
}

#[test]
fn the_table_is_sound() {
    let mut seen = HashSet::new();
    for (place, definition) in ALL.iter().enumerate() {
        assert_eq!(definition.counter.index(), place);
        assert!(seen.insert(definition.name) && seen.insert(definition.label), "{} is there twice", definition.name);
        let rest = definition.name.strip_prefix("mailroot_").unwrap();
        assert!(rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{rest}");
        assert_eq!(definition.kind == Kind::Sum, rest.ends_with("_total"), "{rest}");
        assert!(definition.help.ends_with('.'), "{rest}");
    }
}

#[test]
fn what_comes_in_is_counted() {
    let from = ReversePath::Null;
    let accepted = Record::Accepted {
        id: ID,
        from: from.clone(),
        size: 100,
        recipients: 3,
        peer: PEER,
        helo: "x".into(),
        account: None,
    };
    let picked = Record::PickedUp { id: ID, file: "x".into(), from, size: 10, recipients: 1 };
    assert_eq!(
        counted(&[accepted, picked, Record::Reported { id: ID, recipients: 1 }]),
        BTreeMap::from([
            (Counter::MessagesReceived, 2),
            (Counter::MessageBytesReceived, 110),
            (Counter::RecipientsReceived, 4),
            (Counter::PickupMessages, 1),
            (Counter::MessagesSubmitted, 3),
            (Counter::NdrsGenerated, 1),
        ])
    );
}

#[test]
fn refusals_are_counted_by_what_and_why() {
    let records = [
        refusal("connect", 421, 7, 0, Some("access.rate.connections_per_address")),
        refusal("MAIL FROM:<a@x.test>", 552, 3, 4, None),
        refusal("RCPT TO:<a@x.test>", 550, 7, 1, Some("access.relay.only")),
        refusal("DATA", 554, 4, 6, None),
        refusal("message", 452, 3, 1, None),
        refusal("AUTH", 535, 7, 8, None),
    ];
    let sums = counted(&records);
    assert_eq!(
        sums,
        BTreeMap::from([
            (Counter::Refused, 6),
            (Counter::RefusedConnections, 1),
            (Counter::RefusedSenders, 1),
            (Counter::RefusedRecipients, 1),
            (Counter::RefusedMessages, 2),
            (Counter::RefusedOther, 1),
            (Counter::MessagesRefusedSize, 1),
            (Counter::RefusedRelay, 1),
            (Counter::RefusedRate, 1),
            (Counter::RefusedForNow, 2),
        ])
    );
}

#[test]
fn what_goes_out_is_counted() {
    let to = Mailbox::parse("a@x.test").unwrap();
    let sent = |local| Record::Sent { id: ID, recipients: 2, size: 50, local };
    let deferred = |local| Record::Deferred {
        id: ID,
        to: to.clone(),
        failure: failure(FailureKind::Unreachable, None),
        again: Timestamp(0),
        local,
    };
    let channel = Channel::parse("TLSv1.3 TLS_AES_256_GCM_SHA384 dane").map(Arc::new);
    let records = [
        sent(false),
        sent(true),
        deferred(false),
        deferred(true),
        Record::Reached { host: "x".into(), channel },
        Record::Reached { host: "x".into(), channel: None },
        Record::Unreached { failure: failure(FailureKind::Refused, Some(Reply::plain(554, "go away"))) },
        Record::Unreached { failure: failure(FailureKind::Unreachable, None) },
    ];
    assert_eq!(
        counted(&records),
        BTreeMap::from([
            (Counter::MessagesSent, 1),
            (Counter::MessageBytesSent, 50),
            (Counter::RecipientsSent, 2),
            (Counter::MessagesDelivered, 1),
            (Counter::DirectoryDrops, 1),
            (Counter::SendRetries, 1),
            (Counter::DeliveryRetries, 1),
            (Counter::ConnectionsOut, 2),
            (Counter::TlsOut, 1),
            (Counter::ConnectionErrors, 2),
            (Counter::ConnectionsOutRefused, 1),
        ])
    );
}

/// The rules of the text format, one by one, for whatever a virtual server is called.
#[test]
fn prometheus_can_read_it() {
    let servers = [
        ("Default SMTP Virtual Server".to_owned(), [Some(1); COUNTERS]),
        ("a\\b\"c\nd} 7".to_owned(), [Some(u64::MAX); COUNTERS]),
    ];
    let text = exposition(&servers);
    assert!(text.ends_with('\n') && !text.contains('\r'));
    let mut lines = text.lines();
    for definition in ALL {
        assert_eq!(lines.next().unwrap(), format!("# HELP {} {}", definition.name, definition.help));
        let kind = if definition.kind == Kind::Sum { "counter" } else { "gauge" };
        assert_eq!(lines.next().unwrap(), format!("# TYPE {} {kind}", definition.name));
        for (label, value) in [("Default SMTP Virtual Server", "1"), (r#"a\\b\"c\nd} 7"#, "18446744073709551615")] {
            assert_eq!(lines.next().unwrap(), format!("{}{{server=\"{label}\"}} {value}", definition.name));
        }
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn of_what_is_not_known_there_is_no_sample() {
    let mut values = [Some(0); COUNTERS];
    values[Counter::Queue.index()] = None;
    let text = exposition(&[("one".to_owned(), values)]);
    let samples = text.lines().filter(|line| !line.starts_with("# ")).count();
    assert!(samples == COUNTERS - 1 && !text.contains("mailroot_queue_messages{"), "{text}");
}

#[test]
fn without_virtual_servers_there_are_no_samples() {
    assert!(exposition(&[]).lines().all(|line| line.starts_with("# ")));
}
