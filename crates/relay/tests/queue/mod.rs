//! Stories about the queue: what it asks for when this and that happens. No disk, no network; the clock is moved by hand.

mod fair;
mod list;
mod orders;
mod pace;
mod told;
mod trouble;
mod world;

use relay::envelope::{Failure, FailureKind, Fate, QueueId};
use relay::parcel::{ConnectionId, Outcome, Parcel, Place, Taken};
use relay::queue::{Accepted, CALM_AFTER, Effect, Event, PARK_AFTER, ReportKind};
use relay::record::Record;
use smtp::command::Notify;
use smtp::reply::EnhancedStatus;
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use world::{World, dead, refused, server, took};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_delivered_message_is_gone() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    assert_eq!(parcel.id, id);
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [id]);
    assert_eq!(w.queue.totals().messages, 0);
}

#[test]
fn recipients_of_one_destination_travel_together_and_each_has_its_own_outcome() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test", "c@other.test", "d@far.test"]);
    let parcels = w.parcels();
    assert_eq!(parcels.len(), 2);
    let (connection, parcel, _) = parcels.iter().find(|(_, p, _)| p.recipients.len() == 2).unwrap().clone();
    assert_eq!(parcel.recipients, [0, 2]);
    w.answer_each(connection, &parcel, vec![(0, took()), (2, Err(refused(550)))]);
    let reports = w.reports();
    assert!(matches!(&reports[..], [(of, ReportKind::Failed(who))] if *of == id && who.len() == 1 && who[0].0 == 2));
    let (connection, other, _) = parcels.iter().find(|(_, p, _)| p.recipients == [1]).unwrap().clone();
    w.answer(connection, &other, took());
    assert!(w.gone.is_empty(), "the report about d is not yet accepted");
    w.apply(Event::Reported { id, recipients: vec![2], named: 1 });
    assert_eq!(w.gone, [id]);
}

#[test]
fn what_was_too_many_for_one_transaction_follows_in_the_next() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test", "c@far.test"]);
    let (connection, parcel) = w.one_parcel();
    let mut full = refused(452);
    full.status = EnhancedStatus(4, 5, 3);
    w.answer_each(connection, &parcel, vec![(0, took()), (1, Err(full.clone()))]);
    let (connection, parcel) = w.one_parcel();
    assert_eq!(parcel.recipients, [1]);
    // Alone it is an ordinary refusal: it waits, or it would go round without end.
    w.answer_each(connection, &parcel, vec![(1, Err(full))]);
    assert!(w.parcels().is_empty() && w.gone.is_empty());
    w.wait(MINUTE);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [id]);
}

#[test]
fn connections_are_used_again_up_to_messages_per_connection() {
    let mut w = World::new("");
    let mut opened = 0;
    for n in 0..45 {
        w.accept("a@local.test", &[&format!("b{n}@far.test")]);
        let mut parcels = w.parcels();
        assert_eq!(parcels.len(), 1);
        let (connection, parcel, new) = parcels.remove(0);
        opened += usize::from(new);
        w.answer(connection, &parcel, took());
        if w.asked.iter().any(|e| matches!(e, Effect::Quit { .. })) {
            w.asked.clear();
            w.apply(Event::Closed { connection, unsent: None });
        }
    }
    assert_eq!(opened, 3, "the default is 20 messages a connection");
}

#[test]
fn a_parcel_whose_connection_closed_before_it_was_tried_goes_to_another() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.apply(Event::Closed { connection, unsent: Some((id, Vec::new())) });
    let (again, second) = w.one_parcel();
    assert_ne!(again, connection);
    assert_eq!(second.recipients, parcel.recipients);
    w.answer(again, &second, took());
    assert_eq!(w.gone, [id]);
}

/// The times of all tries of a message that a host keeps putting off, and of what the sender hears.
fn timeline(more: &str, answer: impl Fn(&mut World, ConnectionId, &Parcel)) -> Vec<String> {
    let mut w = World::new(more);
    let start = w.now;
    let id = w.accept("a@local.test", &["b@far.test"]);
    let mut lines = Vec::new();
    for _ in 0..200 {
        let age = w.now.since(start);
        let minutes = age.as_secs() / 60;
        for (connection, parcel, _) in w.parcels() {
            lines.push(format!("{minutes:>4} min  try"));
            answer(&mut w, connection, &parcel);
        }
        for (_, kind) in w.reports() {
            let what = if matches!(kind, ReportKind::Delayed(_)) { "delay notice" } else { "failure report" };
            let to = kind.failed();
            lines.push(format!("{minutes:>4} min  {what}"));
            w.apply(Event::Reported { id, recipients: to, named: 1 });
        }
        if w.gone == [id] {
            lines.push(format!("{minutes:>4} min  gone"));
            return lines;
        }
        let Some(due) = w.queue.next_due() else { break };
        w.now = w.now.max(due);
        w.apply(Event::Tick);
    }
    lines.push("still there".into());
    lines
}

#[test]
fn the_ladder_of_a_message_that_is_put_off() {
    let lines = timeline("", |w, connection, parcel| w.answer(connection, parcel, Err(refused(451))));
    let expected = [
        "   0 min  try",
        "   1 min  try",
        "   2 min  try",
        "   3 min  try",
        "  18 min  try",
        "  48 min  try",
        " 108 min  try",
        " 348 min  try",
        " 588 min  try",
        " 720 min  delay notice",
        " 828 min  try",
        "1068 min  try",
        "1308 min  try",
        "1548 min  try",
        "1788 min  try",
        "2028 min  try",
        "2268 min  try",
        "2508 min  try",
        "2748 min  try",
        "2880 min  failure report",
        "2880 min  gone",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_ladder_of_a_host_that_does_not_answer_is_the_same() {
    let lines = timeline("", |w, connection, parcel| w.not_reached(connection, parcel, &dead()));
    assert_eq!(lines.iter().filter(|l| l.ends_with("try")).count(), 18);
    assert_eq!(lines.last().map(String::as_str), Some("2880 min  gone"));
    assert!(lines.contains(&" 720 min  delay notice".to_owned()));
}

#[test]
fn nothing_goes_to_a_destination_that_is_down_and_all_when_it_answers() {
    let mut w = World::new("");
    w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.not_reached(connection, &parcel, &dead());
    for n in 0..50 {
        w.accept("a@local.test", &[&format!("b{n}@far.test")]);
    }
    assert!(w.parcels().is_empty());
    w.accept("a@local.test", &["c@alive.test"]);
    assert_eq!(w.parcels().len(), 1, "another destination is not held up");
    w.wait(MINUTE);
    let (probe, parcel) = w.one_parcel();
    w.answer(probe, &parcel, took());
    assert!(w.parcels().len() > 1, "it is up: the rest follows");
}

#[test]
fn a_dead_host_gets_few_connections_however_much_waits() {
    let mut w = World::new("");
    for n in 0..500 {
        w.accept("a@local.test", &[&format!("b{n}@dead.test")]);
    }
    assert_eq!(w.parcels().len(), 5);
}

#[test]
fn limits_hold_for_each_destination_and_in_total_and_all_get_their_turn() {
    let mut w = World::new("connections_max = 10\nconnections_per_domain_max = 3\n");
    for n in 0..20 {
        for domain in ["a.test", "b.test", "c.test", "d.test", "e.test"] {
            w.accept("x@local.test", &[&format!("u{n}@{domain}")]);
        }
    }
    let mut open: Vec<_> = w.parcels();
    assert_eq!(open.len(), 10);
    let mut delivered = 0;
    let mut live: HashMap<ConnectionId, Parcel> = HashMap::new();
    while let Some((connection, parcel, _)) = open.pop() {
        live.insert(connection, parcel);
        let mut per = HashMap::new();
        for parcel in live.values() {
            *per.entry(parcel.hop.clone()).or_insert(0) += 1;
        }
        assert!(per.values().all(|n| *n <= 3), "{per:?}");
        let parcel = live.remove(&connection).unwrap();
        w.answer(connection, &parcel, took());
        delivered += 1;
        let quits: Vec<_> = w
            .asked
            .iter()
            .filter_map(|e| if let Effect::Quit { connection } = e { Some(*connection) } else { None })
            .collect();
        w.asked.clear();
        // Parcels asked for by this answer are in `asked` too: take them before the connections close.
        for connection in quits {
            w.apply(Event::Closed { connection, unsent: None });
        }
        open.extend(w.parcels());
    }
    assert_eq!(w.gone.len(), delivered);
}

#[test]
fn what_comes_from_nobody_and_fails_goes_to_badmail() {
    let mut w = World::new("");
    let id = w.accept("", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, Err(refused(550)));
    assert!(w.reports().is_empty(), "never a report about a report");
    let badmail = w.asked.iter().filter(|e| matches!(e, Effect::Badmail(job) if job.id == id)).count();
    assert_eq!(badmail, 1);
    assert!(w.gone.is_empty());
    w.apply(Event::Badmailed { id, recipients: vec![0] });
    assert_eq!(w.gone, [id]);
}

#[test]
fn a_report_that_cannot_be_written_is_made_again() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, Err(refused(550)));
    assert_eq!(w.reports().len(), 1);
    w.apply(Event::ReportFailed { id, recipients: vec![0], why: "disk full".into() });
    assert!(w.gone.is_empty());
    w.wait(2 * MINUTE);
    assert_eq!(w.reports().len(), 1);
    w.apply(Event::Reported { id, recipients: vec![0], named: 1 });
    assert_eq!(w.gone, [id]);
}

#[test]
fn notify_never_is_silent_and_success_is_told_when_the_next_hop_will_not() {
    let mut w = World::new("");
    let mut envelope = w.envelope("a@local.test", &["b@far.test", "c@far.test"]);
    envelope.recipients[0].notify = Notify::Never;
    envelope.recipients[1].notify = Notify::On { success: true, failure: false, delay: false };
    let id = w.accept_envelope(envelope);
    let (connection, parcel) = w.one_parcel();
    let plain = Ok(Taken { said: "250 ok".into(), reports: false });
    w.answer_each(connection, &parcel, vec![(0, Err(refused(550))), (1, plain)]);
    let reports = w.reports();
    assert!(matches!(&reports[..], [(_, ReportKind::Relayed(who))] if who.len() == 1 && who[0].0 == 1), "{reports:?}");
    w.apply(Event::Reported { id, recipients: reports[0].1.failed(), named: reports[0].1.recipients().len() });
    assert_eq!(w.gone, [id]);
    let told = |e: &Effect| matches!(e, Effect::Record(Record::Reported { id: of, recipients: 1 }) if *of == id);
    assert!(w.asked.iter().any(told), "the log says how many recipients the report names: {:?}", w.asked);
}

#[test]
fn a_failed_message_is_parked_and_read_again_when_its_time_comes() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, Err(refused(451)));
    assert!(w.folder.contains_key(&id), "parked after its first failure");
    assert!(matches!(w.folder[&id].recipients[0].fate, Fate::Pending { tries: 1, .. }));
    assert_eq!(w.folder[&id].attempts.len(), 1);
    w.wait(MINUTE);
    let (connection, parcel) = w.one_parcel();
    assert!(matches!(parcel.place, Place::File));
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [id]);
    assert!(w.folder.is_empty());
}

#[test]
fn a_failed_message_is_parked_when_nothing_is_on_its_way_or_at_its_age() {
    let mut w = World::new("");
    w.gets_calm = false;
    let first = w.accept("a@local.test", &["b@far.test"]);
    let (failing, first_parcel) = w.one_parcel();
    let second = w.accept("a@local.test", &["c@other.test"]);
    let (slow, second_parcel) = w.one_parcel();
    w.answer(failing, &first_parcel, Err(refused(451)));
    assert!(w.folder.is_empty(), "the disk is for what comes and goes");
    w.answer(slow, &second_parcel, took());
    assert_eq!(w.gone, [second]);
    w.wait(CALM_AFTER / 2);
    assert!(w.folder.is_empty(), "there may be more in a moment");
    w.wait(CALM_AFTER / 2);
    assert!(w.folder.contains_key(&first), "the way is free");

    let mut w = World::new("");
    w.gets_calm = false;
    let first = w.accept("a@local.test", &["b@far.test"]);
    let (failing, first_parcel) = w.one_parcel();
    w.accept("a@local.test", &["c@other.test"]);
    w.one_parcel();
    w.answer(failing, &first_parcel, Err(refused(451)));
    w.wait(PARK_AFTER);
    assert!(w.folder.contains_key(&first), "whatever is on its way");

    let mut w = World::new("");
    w.gets_calm = false;
    let first = w.accept("a@local.test", &["b@far.test"]);
    let (failing, first_parcel) = w.one_parcel();
    w.accept("a@local.test", &["c@other.test"]);
    let (broken, _) = w.one_parcel();
    w.answer(failing, &first_parcel, Err(refused(451)));
    w.apply(Event::Closed { connection: broken, unsent: None });
    let again = w.one_parcel();
    assert!(w.folder.is_empty(), "what a lost connection carried is on its way again");
    w.answer(again.0, &again.1, took());
    w.wait(CALM_AFTER);
    assert!(w.folder.contains_key(&first));
}

#[test]
fn what_is_to_be_parked_in_a_calm_moment_does_not_pile_up_if_none_comes() {
    let mut w = World::new("");
    w.accept("a@local.test", &["b@slow.test"]);
    w.one_parcel();
    for n in 0..60 {
        w.accept("a@local.test", &[&format!("b@d{n}.test")]);
        let (connection, parcel) = w.one_parcel();
        w.answer(connection, &parcel, Err(refused(451)));
        w.wait(Duration::from_secs(1));
    }
    assert!((9..=12).contains(&w.queue.waiting_for_calm()), "{}", w.queue.waiting_for_calm());
    assert!(w.folder.len() >= 48, "{}", w.folder.len());
}

#[test]
fn an_old_message_in_the_journal_is_parked_while_it_waits_for_its_turn() {
    let mut w = World::new("");
    let first = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.not_reached(connection, &parcel, &dead());
    let second = w.accept("a@local.test", &["c@far.test"]);
    assert!(w.folder.contains_key(&first) && !w.folder.contains_key(&second));
    w.wait(Duration::from_secs(11));
    assert!(w.folder.contains_key(&second));
    w.wait(MINUTE);
    let (connection, parcel) = w.one_parcel();
    assert_eq!(parcel.id, second, "what has not failed yet goes first");
    w.answer(connection, &parcel, took());
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [second, first]);
}

#[test]
fn after_a_restart_schedules_go_on_and_unreported_failures_are_reported() {
    let mut w = World::new("");
    let mut envelope = w.envelope("a@local.test", &["b@far.test", "c@far.test"]);
    let due = w.now.plus(HOUR);
    envelope.recipients[0].fate = Fate::Pending { tries: 5, due };
    envelope.recipients[1].fate = Fate::Failed(Box::new(refused(550)));
    let id = QueueId(77);
    w.folder.insert(id, envelope.clone());
    w.apply(Event::Found(vec![Accepted { id, envelope, place: Place::File }]));
    assert!(w.parcels().is_empty());
    assert_eq!(w.reports().len(), 1);
    w.apply(Event::Reported { id, recipients: vec![1], named: 1 });
    assert!(matches!(w.folder[&id].recipients[1].fate, Fate::Reported { .. }), "and that is durable");
    w.wait(HOUR - MINUTE);
    assert!(w.parcels().is_empty(), "no attempt before its due time");
    w.wait(2 * MINUTE);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, Err(refused(451)));
    assert!(matches!(w.folder[&id].recipients[0].fate, Fate::Pending { tries: 6, .. }));
}

#[test]
fn a_new_smart_host_takes_over_what_waits_for_the_old_one() {
    let mut w = World::new("smart_host = \"[192.0.2.1]:25\"\n");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.not_reached(connection, &parcel, &dead());
    w.wait(Duration::from_secs(20));
    w.apply(Event::Configured(server("smart_host = \"[192.0.2.2]:25\"\n")));
    w.wait(MINUTE);
    let (connection, second) = w.one_parcel();
    assert_ne!(second.hop, parcel.hop);
    w.answer(connection, &second, took());
    assert_eq!(w.gone, [id]);
}

#[test]
fn local_mail_goes_to_drop_and_waits_when_the_quota_is_full() {
    let mut w = World::new("");
    let id = w.accept("a@far.test", &["b@local.test"]);
    assert!(matches!(&w.asked[..], [Effect::Drop(parcel)] if parcel.id == id));
    w.asked.clear();
    let full = Failure {
        kind: FailureKind::Quota,
        status: EnhancedStatus(4, 2, 2),
        host: None,
        reply: None,
        text: "Drop is full.".into(),
    };
    let outcome =
        |w: &World, result| Outcome { id, host: "drop".into(), at: w.now, channel: None, results: vec![(0, result)] };
    let first = outcome(&w, Err(full));
    w.apply(Event::Attempted { connection: None, outcome: first });
    assert!(w.folder.contains_key(&id));
    w.asked.clear();
    w.wait(MINUTE);
    assert!(w.asked.iter().any(|e| matches!(e, Effect::Drop(_))));
    let second = outcome(&w, took());
    w.apply(Event::Attempted { connection: None, outcome: second });
    assert_eq!(w.gone, [id]);
}

#[test]
fn while_draining_nothing_new_is_tried() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.apply(Event::Drain);
    w.accept("a@local.test", &["c@far.test"]);
    assert!(w.parcels().is_empty());
    assert!(!w.queue.is_quiet());
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [id]);
    w.apply(Event::Closed { connection, unsent: None });
    assert!(w.queue.is_quiet());
}
