//! What the sender hears of mail that waits, and of mail that has waited too long.

use super::world::*;
use relay::queue::{Event, ReportKind};
use smtp::reply::{EnhancedStatus, Reply};

/// What each recipient's host says, by the recipient's number.
const WORDS: [&str; 3] = ["Greylisted, come back", "The mailbox is full", "Greylisted as well"];

/// Puts each recipient off with its own words, until the message is gone; gives the reports.
fn reports_of_a_message_that_is_put_off(code: u16, status: Option<EnhancedStatus>) -> Vec<ReportKind> {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test", "c@other.test", "d@far.test"]);
    let mut reports = Vec::new();
    while w.gone.is_empty() {
        for (connection, parcel, _) in w.parcels() {
            let failure = |index: u32| {
                let mut failure = refused(code);
                failure.reply = Some(Reply { code, status, lines: vec![WORDS[index as usize].into()] });
                (index, Err(failure))
            };
            let results = parcel.recipients.iter().copied().map(failure).collect();
            w.answer_each(connection, &parcel, results);
        }
        for (_, kind) in w.reports() {
            w.apply(Event::Reported { id, recipients: kind.failed(), named: 1 });
            reports.push(kind);
        }
        w.now = w.queue.next_due().map_or(w.now, |due| due.max(w.now));
        w.apply(Event::Tick);
    }
    reports
}

#[test]
fn each_recipient_is_told_of_in_its_own_hosts_words() {
    for status in [None, Some(EnhancedStatus(4, 2, 0))] {
        let reports = reports_of_a_message_that_is_put_off(450, status);
        let mut delayed = Vec::new();
        let mut failed = Vec::new();
        for kind in &reports {
            match kind {
                ReportKind::Delayed(who) => delayed.extend(who.iter().map(|(i, f, _)| (*i, f.clone().unwrap()))),
                ReportKind::Failed(who) => failed.extend(who.iter().cloned()),
                other => panic!("{other:?}"),
            }
        }
        for (what, mut told) in [("delayed", delayed), ("failed", failed)] {
            told.sort_by_key(|(index, _)| *index);
            assert_eq!(told.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2], "{what}");
            for (index, failure) in told {
                let reply = failure.reply.unwrap_or_else(|| panic!("{what}, {index}: {}", failure.text));
                assert_eq!((reply.code, reply.status), (450, status), "{what}, {index}");
                assert_eq!(reply.lines.join(" "), WORDS[index as usize], "{what}, {index}");
                assert_eq!(failure.host.as_deref(), Some("mx.test [192.0.2.1]:25"), "{what}, {index}");
            }
        }
    }
}
