//! Orders of an operator about messages: hold, release, retry, return, delete.

use super::*;
use relay::queue::ask::{Answer, Ask, AskId, Filter, MessageState, Order, Selection, Tally};

fn done(count: u64) -> Tally {
    Tally { matched: count, done: count, ..Tally::default() }
}

/// A message that waits in the folder after a first attempt.
fn parked(w: &mut World, to: &[&str]) -> QueueId {
    let id = w.accept("a@local.test", to);
    w.refuse_all_but(&[]);
    w.wait(relay::queue::CALM_AFTER);
    assert!(w.folder.contains_key(&id));
    id
}

fn fates(w: &World, id: QueueId) -> Vec<Fate> {
    w.folder[&id].recipients.iter().map(|r| r.fate.clone()).collect()
}

fn state(w: &mut World, id: QueueId) -> MessageState {
    match w.ask(Ask::Message(id)) {
        Answer::Message(Some(detail)) => detail.summary.state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_held_waits_for_weeks_and_through_restarts_until_it_is_released() {
    let mut w = World::new("");
    let id = parked(&mut w, &["b@far.test", "c@other.test"]);
    assert_eq!(w.order(Order::Hold, &[id]), done(1));
    assert_eq!(fates(&w, id), [Fate::Held, Fate::Held], "durable before it is confirmed");
    assert_eq!(state(&mut w, id), MessageState::Held);
    for _ in 0..2 {
        w.wait(10 * 24 * HOUR);
        assert!(w.parcels().is_empty() && w.reports().is_empty(), "not tried, not given up, nobody told");
        assert_eq!(w.queue.envelopes_in_memory(), 0);
        w.restart(server(""));
    }
    assert_eq!(w.tally(Ask::Order(Order::Retry, Selection::Ids(vec![id]))).not_applicable, 1, "a retry is no release");
    assert!(w.parcels().is_empty());
    assert_eq!(w.order(Order::Release, &[id]), done(1));
    assert_eq!(w.parcels().len(), 2, "at once");
    assert_eq!(w.order(Order::Release, &[id]).not_applicable, 1);
    w.restart(server(""));
    w.refuse_all_but(&[]);
    w.wait(47 * HOUR);
    assert!(!w.reports().iter().any(|(_, kind)| matches!(kind, ReportKind::Failed(_))), "it has its whole time again");
    for _ in 0..40 {
        w.refuse_all_but(&[]);
        w.wait(HOUR);
    }
    assert!(w.reports().iter().any(|(_, kind)| matches!(kind, ReportKind::Failed(_))), "and not more");
}

#[test]
fn what_is_still_in_the_journal_is_parked_first() {
    let mut w = World::new("");
    let (busy, _) = (w.accept("a@local.test", &["b@far.test"]), w.parcels());
    w.apply(Event::Destination("other.test".into(), relay::queue::DestinationOrder::Suspend));
    let id = w.accept("a@local.test", &["b@other.test"]);
    assert!(w.folder.is_empty());
    assert_eq!(w.order(Order::Hold, &[id, busy]), done(2));
    assert_eq!(fates(&w, id), [Fate::Held]);
    assert_eq!(fates(&w, busy), [Fate::Held]);
}

#[test]
fn what_is_under_way_is_held_if_the_attempt_does_not_bring_it_across() {
    for story in 0..3 {
        let mut w = World::new("");
        let id = w.accept("a@local.test", &["b@far.test", "c@far.test"]);
        let (connection, parcel) = w.one_parcel();
        assert_eq!(w.order(Order::Hold, &[id]), done(1));
        match story {
            0 => w.answer_each(connection, &parcel, vec![(0, took()), (1, Err(refused(450)))]),
            1 => w.apply(Event::Closed { connection, unsent: Some((id, Vec::new())) }),
            _ => w.not_reached(connection, &parcel, &dead()),
        }
        w.wait(100 * HOUR);
        assert!(w.parcels().is_empty() && w.reports().is_empty(), "story {story}");
        assert_eq!(fates(&w, id)[1], Fate::Held, "story {story}");
        assert_eq!(matches!(fates(&w, id)[0], Fate::Delivered { .. }), story == 0);
        assert_eq!(w.order(Order::Release, &[id]), done(1));
        let (connection, parcel) = w.one_parcel();
        assert_eq!(parcel.recipients, if story == 0 { vec![1] } else { vec![0, 1] });
        w.answer(connection, &parcel, took());
        assert_eq!(w.gone, [id]);
    }
}

#[test]
fn what_is_held_and_released_under_way_goes_on_as_if_nothing_had_been() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    assert_eq!(w.order(Order::Hold, &[id]), done(1));
    assert_eq!(w.order(Order::Release, &[id]), done(1));
    assert!(w.parcels().is_empty(), "it is under way already");
    w.answer(connection, &parcel, Err(refused(450)));
    w.wait(2 * MINUTE);
    assert_eq!(w.parcels().len(), 1);
}

#[test]
fn what_is_returned_is_reported_and_what_is_deleted_is_not() {
    let mut w = World::new("");
    let returned = parked(&mut w, &["b@far.test", "c@far.test"]);
    let deleted = parked(&mut w, &["d@far.test"]);
    let both = w.accept("a@local.test", &["e@far.test"]);
    let (connection, parcel) = w.one_parcel();
    assert_eq!(w.order(Order::Return, &[returned]), done(1));
    assert!(matches!(&fates(&w, returned)[..], [Fate::Failed(f), Fate::Failed(_)] if f.kind == FailureKind::Operator));
    let reports = w.reports();
    let [(of, ReportKind::Failed(who))] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((*of, who.len()), (returned, 2));
    w.apply(Event::Reported { id: returned, recipients: vec![0, 1], named: 2 });
    assert_eq!(w.gone, [returned]);

    assert_eq!(w.order(Order::Delete, &[deleted]), done(1));
    assert!(w.reports().is_empty());
    assert_eq!(w.gone, [returned, deleted]);
    assert!(w.asked.iter().any(|e| matches!(e, Effect::Record(Record::Deleted { recipients: 1, .. }))));

    let left_alone = Tally { matched: 2, under_way: 1, gone: 1, ..Tally::default() };
    assert_eq!(w.order(Order::Delete, &[both, QueueId(999)]), left_alone);
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [returned, deleted, both]);
    assert_eq!(w.queue.totals().messages, 0);
    w.apply(Event::Closed { connection, unsent: None });
    assert_eq!(w.queue.totals().destinations, 0);
}

/// The confirmation comes after the folder's, and the files go after that.
#[test]
fn a_deletion_is_durable_before_it_is_confirmed() {
    let mut w = World::new("");
    let id = parked(&mut w, &["b@far.test"]);
    let mut effects = Vec::new();
    let ask = Ask::Order(Order::Delete, Selection::Ids(vec![id]));
    w.queue.apply(Event::Ask(AskId(1), ask), w.now, &mut effects);
    w.queue.apply(Event::Tick, w.now, &mut effects);
    assert!(matches!(&effects[..], [Effect::Load(of)] if *of == id), "{effects:?}");
    effects.clear();
    w.queue.apply(Event::Loaded(id, Ok(w.folder[&id].clone())), w.now, &mut effects);
    let update =
        effects.iter().find_map(|e| if let Effect::Update(job) = e { Some(job.clone()) } else { None }).unwrap();
    assert!(matches!(update.envelope.recipients[0].fate, Fate::Deleted { .. }));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Answer(..) | Effect::Remove(_))), "{effects:?}");
    effects.clear();
    w.queue.apply(Event::Tick, w.now, &mut effects);
    assert!(effects.is_empty(), "{effects:?}");
    w.queue.apply(Event::Updated(id, update.version.unwrap()), w.now, &mut effects);
    assert!(matches!(&effects[..], [Effect::Remove(of)] if *of == id), "{effects:?}");
    w.queue.apply(Event::Tick, w.now, &mut effects);
    assert!(matches!(&effects[1], Effect::Answer(AskId(1), Answer::Done(tally)) if *tally == done(1)), "{effects:?}");
    // A crash before the files are gone: the next start takes them away.
    w.folder.insert(id, (*update.envelope).clone());
    w.restart(server(""));
    assert_eq!(w.gone, [id]);
    assert!(w.parcels().is_empty() && w.reports().is_empty());
}

#[test]
fn an_order_that_cannot_be_made_durable_says_so() {
    let mut w = World::new("");
    let id = parked(&mut w, &["b@far.test"]);
    w.load_fails = Some(io::ErrorKind::Other);
    let tally = w.order(Order::Hold, &[id]);
    assert_eq!((tally.failed, tally.failures.len()), (1, 1), "{tally:?}");
    w.load_fails = None;
    w.wait(10 * MINUTE);
    w.refuse_all_but(&[]);
    w.update_fails = true;
    let tally = w.order(Order::Hold, &[id]);
    assert!(tally.failures[0].1.contains("not yet on the disk"), "{tally:?}");
    w.update_fails = false;
    w.wait(2 * MINUTE);
    assert_eq!(fates(&w, id), [Fate::Held], "written when it can be");
    assert!(w.parcels().is_empty());
}

#[test]
fn a_retry_gives_each_destination_one_further_chance() {
    let mut w = World::new("");
    let first = w.accept("a@local.test", &["b@dead.test"]);
    let (connection, parcel) = w.one_parcel();
    w.not_reached(connection, &parcel, &dead());
    for n in 0..1_500 {
        w.accept("a@local.test", &[&format!("b{n}@dead.test")]);
    }
    let late = parked(&mut w, &["b@late.test"]);
    w.wait(Duration::from_secs(20));
    assert!(w.parcels().is_empty());
    let ask = Ask::Order(Order::Retry, Selection::Filter(Filter::default()));
    w.apply(Event::Ask(AskId(99), ask));
    let mut tried = Vec::new();
    for _ in 0..20 {
        for (connection, parcel, _) in w.parcels() {
            tried.push(parcel.id);
            w.not_reached(connection, &parcel, &dead());
        }
        w.apply(Event::Tick);
    }
    assert_eq!(tried.len(), 2, "one probe for each, whatever their slices: {tried:?}");
    assert!(tried.contains(&late) && !tried.contains(&first));
    assert!(w.asked.iter().any(|e| matches!(e, Effect::Answer(_, Answer::Done(tally)) if tally.done == 1_502)));
}

#[test]
fn many_are_ordered_in_slices_and_few_wait_for_the_disk_at_a_time() {
    let mut w = World::new("");
    let dead_one = w.accept("a@local.test", &["b@dead.test"]);
    let (connection, parcel) = w.one_parcel();
    w.not_reached(connection, &parcel, &dead());
    for n in 0..2_000 {
        w.accept("a@local.test", &[&format!("b{n}@dead.test")]);
    }
    w.wait(Duration::from_secs(20));
    assert_eq!(w.folder.len(), 2_001);
    let filter = Filter { recipient: Some("B1".into()), ..Filter::default() };
    let matching = (0..2_000).filter(|n| n.to_string().starts_with('1')).count() as u64;
    assert!(matches!(w.ask(Ask::Count(filter.clone())), Answer::Count { messages, .. } if messages == matching));

    let mut effects = Vec::new();
    w.queue.apply(Event::Ask(AskId(1), Ask::Order(Order::Hold, Selection::Filter(filter))), w.now, &mut effects);
    let later = w.accept("a@local.test", &["b1@dead.test"]);
    let (mut most, mut told) = (0, 0);
    let tally = loop {
        let waiting = effects.iter().filter(|e| matches!(e, Effect::Load(_) | Effect::Update(_))).count();
        most = most.max(waiting);
        let mut next = Vec::new();
        for effect in std::mem::take(&mut effects) {
            let event = match effect {
                Effect::Load(id) => Event::Loaded(id, Ok(w.folder[&id].clone())),
                Effect::Update(job) => {
                    w.folder.insert(job.id, (*job.envelope).clone());
                    Event::Updated(job.id, job.version.unwrap())
                }
                other => {
                    next.push(other);
                    continue;
                }
            };
            w.queue.apply(event, w.now, &mut next);
        }
        w.queue.apply(Event::Tick, w.now, &mut next);
        let answers = next.extract_if(.., |e| matches!(e, Effect::Answer(..))).collect::<Vec<_>>();
        effects = next.into_iter().filter(|e| matches!(e, Effect::Load(_) | Effect::Update(_))).collect();
        let mut last = None;
        for answer in answers {
            match answer {
                Effect::Answer(_, Answer::Done(tally)) => last = Some(tally),
                _ => told += 1,
            }
        }
        if let Some(tally) = last {
            break tally;
        }
    };
    assert_eq!(tally, done(matching), "what comes after the order is not concerned");
    assert!(most <= 256 && most > 100, "{most}");
    assert_eq!(told, matching / 250, "it tells how far it is");
    let held = w.folder.values().filter(|e| e.recipients[0].fate == Fate::Held).count() as u64;
    assert_eq!(held, matching);
    assert!(!w.folder.get(&later).is_some_and(|e| e.recipients[0].fate == Fate::Held));
    let _ = dead_one;
}

#[test]
fn held_mail_belongs_to_its_destination() {
    let mut w = World::new("");
    let id = parked(&mut w, &["b@far.test"]);
    parked(&mut w, &["b@other.test"]);
    let of = |name: &str| Filter { destination: Some(name.into()), ..Filter::default() };
    assert_eq!(w.tally(Ask::Order(Order::Hold, Selection::Filter(of("far.test")))), done(1));
    w.restart(server(""));
    for held in [true, false] {
        let filter = Filter { held: Some(held), ..Filter::default() };
        assert!(matches!(w.ask(Ask::Count(filter)), Answer::Count { messages: 1, .. }), "{held}");
    }
    let held = Filter { state: Some(MessageState::Held), ..of("far.test") };
    assert_eq!(w.tally(Ask::Order(Order::Release, Selection::Filter(held))), done(1));
    assert!(w.parcels().iter().any(|(_, parcel, _)| parcel.id == id));
}

#[test]
fn an_operator_who_holds_by_hand_in_the_folder_is_understood() {
    let mut w = World::new("");
    let id = parked(&mut w, &["b@far.test"]);
    w.folder.get_mut(&id).unwrap().recipients[0].fate = Fate::Held;
    w.wait(24 * HOUR);
    assert!(w.parcels().is_empty());
    assert_eq!(state(&mut w, id), MessageState::Held);
    assert_eq!(w.order(Order::Release, &[id]), done(1));
    assert_eq!(w.parcels().len(), 1);
}
