//! The disk has its bad days, hosts take their time, the configuration changes in between: nothing is stuck, nothing piles
//! up.

use super::*;
use relay::envelope::Envelope;
use relay::queue::{PARK_BATCH, PARK_EVERY};

#[test]
fn a_report_that_waits_behind_another_one_is_made_after_it() {
    let mut w = World::new("delay_notice = \"1 min\"");
    let id = w.accept("a@local.test", &["b@far.test", "c@other.test"]);
    for (connection, parcel, _) in w.parcels() {
        let result = if parcel.recipients == [0] { Err(refused(550)) } else { Err(refused(450)) };
        w.answer(connection, &parcel, result);
        w.apply(Event::Closed { connection, unsent: None });
    }
    assert_eq!(w.reports().len(), 1);
    w.apply(Event::ReportFailed { id, recipients: vec![0], why: "no room".into() });
    w.now = w.now.plus(MINUTE);
    w.apply(Event::Tick);
    let delayed = w.reports();
    assert!(matches!(&delayed[..], [(_, ReportKind::Delayed(_))]), "{delayed:?}");
    w.apply(Event::Reported { id, recipients: Vec::new(), named: 1 });
    w.wait(2 * MINUTE);
    let failed = w.reports();
    assert!(matches!(&failed[..], [(_, ReportKind::Failed(_)), ..]), "{failed:?}");
}

#[test]
fn a_slow_host_does_not_keep_a_full_journal_from_shrinking() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.apply(Event::ParkOldest(vec![id]));
    assert!(w.folder.contains_key(&id), "parked while the host takes its time");
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [id]);
    assert!(w.folder.is_empty() && w.queue.totals().messages == 0);
}

#[test]
fn what_an_attempt_brings_while_the_message_is_being_parked_is_not_forgotten() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test", "c@far.test"]);
    let lone = w.accept("a@local.test", &["d@other.test"]);
    let mut parcels = w.parcels();
    let mut effects = Vec::new();
    w.queue.apply(Event::ParkOldest(vec![id, lone]), w.now, &mut effects);
    let Some(Effect::Park(jobs)) = effects.pop() else { panic!("{effects:?}") };
    w.folder.extend(jobs.into_iter().map(|job| (job.id, (*job.envelope).clone())));
    let (connection, parcel, _) = parcels.pop().unwrap();
    w.answer(connection, &parcel, took());
    let (connection, parcel, _) = parcels.pop().unwrap();
    w.answer_each(connection, &parcel, vec![(0, took()), (1, Err(refused(450)))]);
    assert!(w.gone.is_empty(), "its files are not there yet to be removed");
    w.apply(Event::Parked(vec![id, lone]));
    assert_eq!(w.gone, [lone]);
    assert!(matches!(w.folder[&id].recipients[0].fate, Fate::Delivered { .. }), "{:?}", w.folder[&id]);
    w.wait(MINUTE);
    let (connection, parcel) = w.one_parcel();
    assert_eq!(parcel.recipients, [1]);
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [lone, id]);
}

#[test]
fn what_was_delivered_while_its_parking_failed_is_gone() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.queue.apply(Event::ParkOldest(vec![id]), w.now, &mut Vec::new());
    w.answer(connection, &parcel, took());
    w.apply(Event::ParkFailed(vec![id], "no room".into()));
    assert_eq!(w.gone, [id]);
}

#[test]
fn an_envelope_that_cannot_be_read_now_is_read_later() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, Err(refused(450)));
    w.apply(Event::Closed { connection, unsent: None });
    w.load_fails = Some(io::ErrorKind::Other);
    w.wait(3 * MINUTE);
    assert!(w.parcels().is_empty());
    assert_eq!(w.queue.totals().messages, 1, "it is still there");
    w.load_fails = None;
    w.wait(MINUTE);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [id]);
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, Err(refused(450)));
    w.folder.remove(&id);
    w.wait(2 * MINUTE);
    assert_eq!(w.queue.totals().messages, 0, "an operator has taken it away");
}

#[test]
fn a_message_that_cannot_be_parked_holds_up_no_other_and_comes_to_its_end() {
    let mut w = World::new("");
    let bad = w.accept("a@local.test", &["b@far.test"]);
    let good = w.accept("a@local.test", &["c@other.test"]);
    let mut batches: Vec<Vec<QueueId>> = Vec::new();
    let put_off = |w: &mut World| {
        for (connection, parcel, _) in w.parcels() {
            w.answer(connection, &parcel, Err(refused(450)));
        }
    };
    let mut step = |w: &mut World, event| {
        let mut effects = Vec::new();
        w.queue.apply(event, w.now, &mut effects);
        for effect in effects {
            match effect {
                Effect::Park(jobs) => batches.push(jobs.iter().map(|job| job.id).collect()),
                other => w.asked.push(other),
            }
        }
        std::mem::take(&mut batches)
    };
    assert_eq!(step(&mut w, Event::ParkOldest(vec![bad, good])), [[bad, good]]);
    assert!(step(&mut w, Event::ParkFailed(vec![bad], "damaged".into())).is_empty());
    assert!(step(&mut w, Event::Parked(vec![good])).is_empty(), "a moment for others to come");
    w.now = w.now.plus(PARK_EVERY);
    assert_eq!(step(&mut w, Event::Tick), [[bad]], "no pause: something could be written");
    assert!(step(&mut w, Event::ParkFailed(vec![bad], "damaged".into())).is_empty(), "nothing could: a pause");
    let third = w.accept("a@local.test", &["d@third.test"]);
    assert!(step(&mut w, Event::ParkOldest(vec![third])).is_empty());
    put_off(&mut w);
    w.now = w.now.plus(MINUTE);
    assert_eq!(step(&mut w, Event::Tick), [[third, bad]]);
    step(&mut w, Event::ParkFailed(vec![bad], "damaged".into()));
    step(&mut w, Event::Parked(vec![third]));
    w.now = w.now.plus(PARK_EVERY);
    assert_eq!(step(&mut w, Event::Tick), [[bad]]);
    step(&mut w, Event::ParkFailed(vec![bad], "damaged".into()));
    for _ in 0..60 {
        put_off(&mut w);
        w.now = w.now.plus(HOUR);
        if !step(&mut w, Event::Tick).is_empty() {
            step(&mut w, Event::ParkFailed(vec![bad], "damaged".into()));
        }
    }
    let ended = w.reports().into_iter().any(|(id, kind)| id == bad && matches!(kind, ReportKind::Failed(_)));
    assert!(ended, "{}", w.queue.explain(bad));
}

#[test]
fn alarms_of_messages_that_are_gone_do_not_pile_up() {
    let mut w = World::new("delay_notice = \"20 days\"\nexpiry = \"30 days\"");
    for _ in 0..2_000 {
        w.accept("a@local.test", &["b@far.test"]);
        let (connection, parcel) = w.one_parcel();
        w.answer(connection, &parcel, Err(refused(450)));
        w.now = w.now.plus(MINUTE);
        w.apply(Event::Tick);
        let (connection, parcel) = w.one_parcel();
        w.answer(connection, &parcel, took());
        w.apply(Event::Closed { connection, unsent: None });
    }
    assert_eq!(w.queue.totals().messages, 0);
    assert!(w.queue.alarms() < 1_100, "{}", w.queue.alarms());
}

#[test]
fn mail_that_a_new_configuration_moves_to_a_dead_host_waits_without_its_envelope() {
    let mut w = World::new("smart_host = \"[192.0.2.1]\"");
    for _ in 0..50 {
        w.accept("a@local.test", &["b@far.test"]);
    }
    for (connection, parcel, _) in w.parcels() {
        w.not_reached(connection, &parcel, &dead());
    }
    w.wait(Duration::from_secs(15));
    assert_eq!(w.queue.envelopes_in_memory(), 0);
    w.apply(Event::Configured(server("smart_host = \"[192.0.2.2]\"")));
    let under_way = w.parcels().len();
    assert!(under_way > 0);
    assert_eq!(w.queue.envelopes_in_memory(), under_way);
}

#[test]
fn what_waits_in_the_folder_weighs_little() {
    let mut w = World::new("");
    w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.not_reached(connection, &parcel, &dead());
    for n in 0..1_000 {
        w.accept("a@local.test", &[&format!("b{n}@far.test")]);
    }
    w.wait(Duration::from_secs(30));
    assert_eq!(w.folder.len(), 1_001);
    assert_eq!(w.queue.envelopes_in_memory(), 0);
}

#[test]
fn an_envelope_that_cannot_be_written_stays_in_memory_until_it_is() {
    let mut w = World::new("retry = [\"1 h\"]");
    let id = w.accept("a@local.test", &["b@far.test", "c@other.test"]);
    w.refuse_all_but(&[]);
    assert!(w.folder.contains_key(&id), "parked");
    assert_eq!(w.queue.envelopes_in_memory(), 0);
    w.update_fails = true;
    w.wait(2 * MINUTE);
    w.refuse_all_but(&[0]);
    assert!(matches!(w.folder[&id].recipients[0].fate, Fate::Pending { .. }), "the disk has the old one");
    w.update_fails = false;
    w.wait(2 * MINUTE);
    w.refuse_all_but(&[]);
    assert!(matches!(w.folder[&id].recipients[0].fate, Fate::Delivered { .. }), "written when it can be");
    assert_eq!(w.queue.envelopes_in_memory(), 0, "and not kept any longer");
}

#[test]
fn a_recipient_that_the_folder_has_and_the_memory_has_not_is_served() {
    let mut w = World::new("retry = [\"1 h\"]");
    let id = w.accept("a@local.test", &["b@far.test", "c@other.test"]);
    w.refuse_all_but(&[0]);
    w.wait(MINUTE / 2);
    // An operator mends the envelope: b is to get it once more.
    w.folder.get_mut(&id).unwrap().recipients[0].fate = Fate::Pending { tries: 0, due: w.now };
    w.wait(2 * MINUTE);
    let mut tried: Vec<u32> = w.parcels().into_iter().flat_map(|(_, parcel, _)| parcel.recipients).collect();
    tried.sort_unstable();
    assert_eq!(tried, [0, 1]);
}

#[test]
fn an_envelope_that_cannot_be_written_is_tried_once_a_minute_however_often_it_has_changed() {
    let mut w = World::new("retry = [\"1 h\"]\nglitch_retry = { times = 3, every = \"10 s\" }");
    w.accept("a@local.test", &["b@far.test", "c@other.test"]);
    w.refuse_all_but(&[]);
    w.update_fails = true;
    for _ in 0..3 {
        w.wait(MINUTE / 6);
        w.refuse_all_but(&[]);
    }
    let before = w.updates;
    w.wait(10 * MINUTE);
    assert!(w.updates - before <= 11, "{} times in ten minutes", w.updates - before);
}

#[test]
fn what_was_under_way_when_the_configuration_changed_goes_the_new_way_next_time() {
    let mut w = World::new("smart_host = \"[192.0.2.1]:25\"");
    let mut envelope = w.envelope("a@local.test", &["b@far.test", "c@far.test"]);
    envelope.recipients[1].fate = Fate::Pending { tries: 1, due: w.now.plus(MINUTE / 2) };
    let id = w.accept_envelope(envelope);
    let (slow, old) = w.one_parcel();
    w.apply(Event::Configured(server("smart_host = \"[192.0.2.2]:25\"")));
    w.wait(MINUTE);
    let (connection, other) = w.one_parcel();
    assert_ne!(other.hop, old.hop, "c has not been tried before");
    w.answer(connection, &other, took());
    w.answer(slow, &old, Err(refused(450)));
    w.apply(Event::Closed { connection: slow, unsent: None });
    w.wait(2 * MINUTE);
    let (connection, parcel) = w.one_parcel();
    assert_eq!(parcel.hop, other.hop);
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [id]);
}

#[test]
fn what_cannot_be_removed_is_removed_later() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    w.refuse_all_but(&[]);
    w.wait(MINUTE);
    w.refuse_all_but(&[0]);
    assert_eq!(w.gone, [id]);
    w.apply(Event::RemoveFailed(vec![id], "read-only".into()));
    w.wait(2 * MINUTE);
    assert_eq!(w.gone, [id, id], "tried again, once");
}

#[test]
fn a_recipient_fails_once_however_often_the_report_cannot_be_written() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, Err(refused(550)));
    for _ in 0..5 {
        assert_eq!(w.reports().len(), 1);
        w.apply(Event::ReportFailed { id, recipients: vec![0], why: "no room".into() });
        w.wait(2 * MINUTE);
    }
    let failed = w.asked.iter().filter(|e| matches!(e, Effect::Record(Record::Failed { .. }))).count();
    assert_eq!(failed, 1, "counters are folded from records");
}

#[test]
fn a_recipient_that_an_operator_has_struck_out_is_not_tried() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test", "c@far.test", "d@other.test"]);
    w.refuse_all_but(&[]);
    let now = w.now;
    let strike = |w: &mut World, index: usize| {
        let recipients = &mut w.folder.get_mut(&id).unwrap().recipients;
        recipients[index].fate = Fate::Delivered { at: now, by: "by hand".into() };
    };
    strike(&mut w, 0);
    w.wait(MINUTE);
    let mut tried: Vec<_> = w.parcels();
    let mut who: Vec<u32> = tried.iter().flat_map(|(_, parcel, _)| parcel.recipients.clone()).collect();
    who.sort_unstable();
    assert_eq!(who, [1, 2]);
    while let Some((connection, parcel, _)) = tried.pop() {
        w.answer(connection, &parcel, Err(refused(450)));
        w.apply(Event::Closed { connection, unsent: None });
    }
    strike(&mut w, 1);
    strike(&mut w, 2);
    w.wait(MINUTE);
    assert!(w.parcels().is_empty());
    assert_eq!(w.gone, [id], "nobody is left");
    assert_eq!(w.queue.totals().destinations, 0);
}

#[test]
fn a_clock_that_was_ahead_in_an_earlier_life_keeps_nothing_for_years() {
    let mut w = World::new("");
    let mut envelope = w.envelope("a@local.test", &["b@far.test"]);
    let years = w.now.plus(HOUR * 24 * 3_650);
    envelope.arrived = years;
    envelope.recipients[0].fate = Fate::Pending { tries: 1, due: years };
    let id = QueueId(77);
    w.folder.insert(id, envelope.clone());
    w.apply(Event::Found(vec![Accepted { id, envelope, place: Place::File }]));
    w.wait(4 * HOUR);
    for _ in 0..20 {
        w.refuse_all_but(&[]);
        w.wait(4 * HOUR);
    }
    let kinds = w.reports();
    assert!(kinds.iter().any(|(_, kind)| matches!(kind, ReportKind::Failed(_))), "given up in time: {kinds:?}");
}

#[test]
fn a_message_whose_envelope_is_lost_is_told_of() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    w.refuse_all_but(&[]);
    w.folder.remove(&id);
    w.wait(2 * MINUTE);
    assert!(w.asked.iter().any(|e| matches!(e, Effect::Lost(lost) if *lost == id)), "it counts no more");
}

#[test]
fn what_is_parked_within_a_moment_is_parked_together() {
    let mut w = World::new("");
    let parks = |w: &mut World, event: Event| {
        let mut effects = Vec::new();
        w.queue.apply(event, w.now, &mut effects);
        effects
            .into_iter()
            .filter_map(|e| if let Effect::Park(jobs) = e { Some(jobs.len()) } else { None })
            .collect::<Vec<_>>()
    };
    let some = |w: &mut World, count| (0..count).map(|_| w.accept("a@local.test", &["b@far.test"])).collect::<Vec<_>>();
    let first = some(&mut w, 1);
    assert_eq!(parks(&mut w, Event::ParkOldest(first.clone())), [1], "the first does not wait");
    parks(&mut w, Event::Parked(first));
    let few = some(&mut w, 5);
    assert!(parks(&mut w, Event::ParkOldest(few[..2].to_vec())).is_empty());
    assert!(parks(&mut w, Event::ParkOldest(few[2..].to_vec())).is_empty());
    assert_eq!(w.queue.next_due().map(|due| due <= w.now.plus(PARK_EVERY)), Some(true), "it wakes for them");
    w.now = w.now.plus(PARK_EVERY);
    assert_eq!(parks(&mut w, Event::Tick), [5]);
    parks(&mut w, Event::Parked(few));
    let many = some(&mut w, PARK_BATCH);
    assert_eq!(parks(&mut w, Event::ParkOldest(many)), [PARK_BATCH], "a whole batch does not wait");
}

/// A host that cannot be verified is of no use for a message that demands that, and is as good as ever for the others.
#[test]
fn what_demands_tls_in_vain_holds_up_no_other_mail() {
    let mut w = World::new("");
    let demanding = Envelope { require_tls: true, ..w.envelope("a@local.test", &["b@far.test"]) };
    w.accept_envelope(demanding);
    let (connection, parcel) = w.one_parcel();
    let failure = Failure { kind: FailureKind::Tls, status: EnhancedStatus(4, 7, 5), ..refused(454) };
    w.not_reached(connection, &parcel, &failure);
    assert!(w.parcels().is_empty());
    for subject in ["c@far.test", "d@far.test"] {
        w.accept("a@local.test", &[subject]);
        let (connection, parcel) = w.one_parcel();
        assert!(!parcel.envelope.require_tls);
        w.answer(connection, &parcel, took());
        assert!(w.parcels().is_empty(), "what demands TLS waits for its own time");
    }
    // And what may do without policies is the others' business as little.
    let waiving = Envelope { waives_tls: true, ..w.envelope("a@local.test", &["e@far.test"]) };
    w.accept_envelope(waiving);
    let (_, parcel) = w.one_parcel();
    assert_eq!(parcel.hop.wish, relay::route::Wish::Arrival, "on a connection of its own");
}
