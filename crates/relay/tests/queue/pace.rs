//! Limits of smart hosts and remote domains; destinations that want less mail, cannot be reached as their terms want it, or
//! are suspended.

use super::*;
use relay::config::terms::{Owner, Waits};
use relay::config::{GlitchRetry, Pacing, Terms, VirtualServer};
use relay::queue::DestinationOrder;
use smtp::reply::Reply;
use smtp::time::Timestamp;
use std::sync::Arc;

/// The server of the stories, with these terms for all mail.
fn on(terms: Terms) -> Arc<VirtualServer> {
    let mut one = (*server("")).clone();
    one.delivery.terms = Arc::new(terms);
    Arc::new(one)
}

fn paced(pacing: Pacing) -> Terms {
    Terms { owner: Owner::SmartHost("office".into()), pacing, ..Terms::plain() }
}

fn said(code: u16, text: &'static str) -> Failure {
    let mut failure = refused(code);
    failure.status = EnhancedStatus(4, 7, 0);
    failure.reply = Some(Reply::new(code, 7, 0, text));
    failure
}

fn of_kind(kind: FailureKind, text: &str) -> Failure {
    Failure { kind, status: EnhancedStatus(5, 7, 10), host: None, reply: None, text: text.into() }
}

/// Takes all parcels that are asked for, each after `lasts`; the times at which they were given out.
fn run(w: &mut World, for_how_long: Duration, lasts: Duration) -> Vec<Timestamp> {
    let end = w.now.plus(for_how_long);
    let mut begun = Vec::new();
    let mut under_way: Vec<(Timestamp, ConnectionId, Parcel)> = Vec::new();
    loop {
        for (connection, parcel, _) in w.parcels() {
            begun.push(w.now);
            under_way.push((w.now.plus(lasts), connection, parcel));
        }
        let quits: Vec<_> = w.asked.extract_if(.., |e| matches!(e, Effect::Quit { .. })).collect();
        for effect in quits {
            if let Effect::Quit { connection } = effect {
                w.apply(Event::Closed { connection, unsent: None });
            }
        }
        let ended = under_way.iter().map(|(at, ..)| *at).min();
        let Some(next) = [w.queue.next_due(), ended].into_iter().flatten().min().filter(|at| *at <= end) else {
            return begun;
        };
        w.now = w.now.max(next);
        let (over, still): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(at, ..)| *at <= w.now);
        under_way = still;
        for (_, connection, parcel) in over {
            w.answer(connection, &parcel, took());
        }
        w.apply(Event::Tick);
    }
}

fn most_within(times: &[Timestamp], span: Duration) -> usize {
    times
        .iter()
        .map(|first| times.iter().filter(|t| **t >= *first && t.since(*first) < span).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn messages_a_minute_and_a_day_are_never_more_and_go_on_when_there_is_room() {
    let pacing = Pacing { messages_per_minute: Some(10), messages_per_day: Some(100), ..Pacing::default() };
    let mut w = World::with(on(paced(pacing)));
    for n in 0..180 {
        w.accept("a@local.test", &[&format!("b{n}@far{}.test", n % 3)]);
    }
    let times = run(&mut w, 40 * HOUR, Duration::from_millis(700));
    assert_eq!(times.len(), 180, "all of them in the end");
    assert_eq!(most_within(&times, MINUTE), 10);
    assert_eq!(most_within(&times, 24 * HOUR), 100);
    let first_day = times.iter().filter(|t| t.since(times[0]) < HOUR).count();
    assert_eq!(first_day, 100, "as fast as the limits allow");
    assert!(times[99].since(times[0]) < 11 * MINUTE);
}

#[test]
fn recipients_a_day_count_and_a_message_with_many_is_several() {
    let pacing = Pacing { recipients_per_message: Some(4), recipients_per_day: Some(10), ..Pacing::default() };
    let mut w = World::with(on(paced(pacing)));
    let many: Vec<String> = (0..14).map(|n| format!("b{n}@far.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let id = w.accept("", &many);
    let parcels = w.parcels();
    assert_eq!(parcels.iter().map(|(_, p, _)| p.recipients.len()).collect::<Vec<_>>(), [4, 4]);
    for (connection, parcel, _) in parcels {
        w.answer(connection, &parcel, took());
    }
    assert!(w.parcels().is_empty(), "two more would fit, and four are next");
    w.wait(23 * HOUR);
    assert!(w.parcels().is_empty());
    w.wait(2 * HOUR);
    let parcels = w.parcels();
    assert_eq!(parcels.iter().map(|(_, p, _)| p.recipients.len()).collect::<Vec<_>>(), [4, 2]);
    for (connection, parcel, _) in parcels {
        w.answer(connection, &parcel, took());
    }
    assert_eq!(w.gone, [id]);
}

#[test]
fn the_connections_of_an_owner_are_shared_by_its_destinations_in_turn() {
    let pacing = Pacing { connections_max: Some(2), messages_per_connection: Some(3), ..Pacing::default() };
    let mut w = World::with(on(paced(pacing)));
    for n in 0..40 {
        w.accept("a@local.test", &[&format!("b{n}@far{}.test", n % 8)]);
    }
    let mut open: HashMap<ConnectionId, u32> = HashMap::new();
    let mut turns: Vec<String> = Vec::new();
    while turns.len() < 40 {
        let parcels = w.parcels();
        assert!(!parcels.is_empty(), "stuck after {turns:?}");
        for (connection, parcel, new) in parcels {
            assert_eq!(new, !open.contains_key(&connection));
            *open.entry(connection).or_insert(0) += 1;
            assert!(open.len() <= 2 && open[&connection] <= 3);
            turns.push(parcel.envelope.recipients[0].address.host().to_string());
            w.answer(connection, &parcel, took());
            while let Some(at) = w.asked.iter().position(|e| matches!(e, Effect::Quit { .. })) {
                let Effect::Quit { connection } = w.asked.remove(at) else { unreachable!() };
                open.remove(&connection);
                w.apply(Event::Closed { connection, unsent: None });
            }
        }
    }
    assert_eq!(w.gone.len(), 40);
    for n in 0..8 {
        let first = turns.iter().position(|host| *host == format!("far{n}.test")).unwrap();
        assert!(first < 8 * 4, "far{n}.test waits for {first} others: {turns:?}");
    }
}

#[test]
fn what_came_back_untried_does_not_count() {
    let pacing = Pacing { messages_per_day: Some(1), ..Pacing::default() };
    let mut w = World::with(on(paced(pacing)));
    let id = w.accept("a@local.test", &["b@far.test"]);
    for _ in 0..3 {
        let (connection, _) = w.one_parcel();
        w.apply(Event::Closed { connection, unsent: Some((id, Vec::new())) });
    }
    let (connection, parcel) = w.one_parcel();
    w.not_reached(connection, &parcel, &dead());
    w.wait(MINUTE);
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, took());
    w.accept("a@local.test", &["b@far.test"]);
    assert!(w.parcels().is_empty(), "today's is used up");
}

#[test]
fn what_went_out_today_counts_after_a_reconfiguration_and_a_restart() {
    let limit = |most| on(paced(Pacing { messages_per_day: Some(most), ..Pacing::default() }));
    let mut w = World::with(limit(5));
    for n in 0..4 {
        w.accept("a@local.test", &[&format!("b{n}@far.test")]);
    }
    assert_eq!(run(&mut w, MINUTE, MINUTE / 60).len(), 4);
    w.apply(Event::Configured(limit(6)));
    for n in 0..9 {
        w.accept("a@local.test", &[&format!("c{n}@far.test")]);
    }
    assert_eq!(run(&mut w, MINUTE, MINUTE / 60).len(), 2, "six a day now, and four have gone");
    let kept = w.queue.paced(w.now);
    let mut next = World::with(limit(7));
    next.now = w.now;
    next.apply(Event::Paced(kept));
    for n in 0..9 {
        next.accept("a@local.test", &[&format!("c{n}@far.test")]);
    }
    assert_eq!(run(&mut next, HOUR, MINUTE / 60).len(), 1);
}

#[test]
fn slow_down_makes_that_destination_wait_and_no_other() {
    let terms = paced(Pacing { slow_down: Some(10 * MINUTE), ..Pacing::default() });
    let mut w = World::with(on(terms));
    let first = w.accept("a@local.test", &["b@far.test"]);
    let second = w.accept("a@local.test", &["c@far.test"]);
    let mut parcels = w.parcels();
    let (connection, parcel, _) = parcels.remove(0);
    w.answer(connection, &parcel, Err(said(451, "Too many messages, slow down")));
    w.accept("a@local.test", &["d@far.test"]);
    let (connection, parcel, _) = parcels.remove(0);
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [second], "what is under way comes to its end");
    assert!(w.parcels().is_empty(), "and does not end the pause");
    w.accept("a@local.test", &["e@near.test"]);
    assert_eq!(w.parcels().len(), 1, "another destination is not slowed");
    w.wait(9 * MINUTE);
    assert!(w.parcels().is_empty());
    w.wait(2 * MINUTE);
    let (connection, parcel) = w.one_parcel();
    assert_eq!(parcel.id, first);
    assert!(matches!(parcel.envelope.recipients[0].fate, Fate::Pending { tries: 0, .. }), "no step on its own ladder");
    w.answer(connection, &parcel, took());
    assert_eq!(w.parcels().len() + w.gone.len(), 3, "one probes, then the rest follows");
    assert!(!w.asked.iter().any(|e| matches!(e, Effect::Record(Record::DestinationDown { .. }))));
    assert!(w.asked.iter().any(|e| matches!(e, Effect::Record(Record::DestinationPaused { waiting: 2, .. }))));
}

#[test]
fn a_host_with_too_many_of_our_connections_keeps_those_that_it_has() {
    let mut w = World::new("");
    for n in 0..100 {
        w.accept("a@local.test", &[&format!("b{n}@far.test")]);
    }
    let mut parcels = w.parcels();
    assert_eq!(parcels.len(), 5);
    for _ in 0..3 {
        let (connection, parcel, _) = parcels.remove(0);
        let failures = parcel.recipients.iter().map(|i| (*i, said(421, "Too many concurrent connections"))).collect();
        w.apply(Event::Closed { connection, unsent: Some((parcel.id, failures)) });
    }
    let mut open: Vec<_> = parcels.iter().map(|(connection, ..)| *connection).collect();
    let mut delivered = 0;
    while let Some((connection, parcel, _)) = parcels.pop() {
        w.answer(connection, &parcel, took());
        delivered += 1;
        w.asked.retain(|e| !matches!(e, Effect::Record(_)));
        while let Some(at) = w.asked.iter().position(|e| matches!(e, Effect::Quit { .. })) {
            let Effect::Quit { connection } = w.asked.remove(at) else { unreachable!() };
            open.retain(|o| *o != connection);
            w.apply(Event::Closed { connection, unsent: None });
        }
        let more = w.parcels();
        open.extend(more.iter().filter(|(_, _, new)| *new).map(|(connection, ..)| *connection));
        parcels.extend(more);
        assert!(open.len() <= 2, "{open:?}");
    }
    assert_eq!(delivered, 100, "no pause, and nothing was put off");
}

/// A server may say it in the midst of a session, over the only connection or over each of several, and say it again and again.
#[test]
fn too_many_connections_said_in_a_session_is_no_reason_to_try_again_at_once() {
    for (code, text) in [
        (450, "4.7.1 too many connections from your IP"),
        (432, "4.3.2 Concurrent connections limit exceeded"),
        (421, "4.7.0 Too many concurrent SMTP connections"),
    ] {
        for connections in [1, 3] {
            let mut w = World::new("");
            for n in 0..connections {
                w.accept("a@local.test", &[&format!("b{n}@far.test")]);
            }
            let parcels = w.parcels();
            assert_eq!(parcels.len(), connections);
            for (connection, parcel, _) in parcels {
                w.answer(connection, &parcel, Err(said(code, text)));
                let is_quit = |e: &Effect| matches!(e, Effect::Quit { connection: of } if *of == connection);
                assert_eq!(w.asked.iter().any(is_quit), code != 421, "the one too many ends, {code}");
                assert!(w.parcels().is_empty(), "{code} over one of {connections}");
                w.apply(Event::Closed { connection, unsent: None });
                assert!(w.parcels().is_empty(), "{code} over one of {connections}, closed");
            }
            w.wait(MINUTE - Duration::from_secs(1));
            assert!(w.parcels().is_empty(), "{code} over each of {connections}");
            w.wait(2 * MINUTE);
            let parcels = w.parcels();
            assert_eq!(parcels.len(), 1, "one probes, {code} over each of {connections}");
            for (connection, parcel, _) in parcels {
                assert!(matches!(parcel.envelope.recipients[0].fate, Fate::Pending { tries: 0, .. }));
                w.answer(connection, &parcel, took());
            }
        }
    }
}

/// What one connection too many was told is no pause for the others, and a long queue is not shown to it message by message.
#[test]
fn what_complains_of_too_many_connections_gets_fewer() {
    let mut w = World::new("");
    for n in 0..50 {
        w.accept("a@local.test", &[&format!("b{n}@far.test")]);
    }
    let mut parcels = w.parcels();
    assert_eq!(parcels.len(), 5);
    let (connection, parcel, _) = parcels.remove(0);
    w.answer(connection, &parcel, Err(said(450, "too many connections from your IP")));
    w.apply(Event::Closed { connection, unsent: None });
    assert!(w.parcels().is_empty(), "no other in its place");
    let (connection, parcel, _) = parcels.remove(0);
    w.answer(connection, &parcel, took());
    let (again, next) = w.one_parcel();
    assert_eq!(again, connection, "the others go on");
    parcels.push((again, next, false));
    let mut complaints = 0;
    while let Some((connection, parcel, _)) = parcels.pop() {
        complaints += 1;
        w.answer(connection, &parcel, Err(said(450, "too many connections from your IP")));
        w.apply(Event::Closed { connection, unsent: None });
        parcels.extend(w.parcels());
    }
    assert_eq!(complaints, 4, "each of the others once; then the destination rests");
}

#[test]
fn mail_behind_tls_or_a_log_on_waits_and_the_alarm_is_raised_once() {
    for (kind, first_wait) in [(FailureKind::Tls, MINUTE), (FailureKind::Auth, 15 * MINUTE)] {
        let mut w = World::new("");
        let id = w.accept("a@local.test", &["b@far.test"]);
        let start = w.now;
        let mut tries = Vec::new();
        let mut report = None;
        while report.is_none() {
            for (connection, parcel, _) in w.parcels() {
                tries.push(w.now.since(start));
                w.not_reached(connection, &parcel, &of_kind(kind, "The certificate or password is wrong."));
            }
            for (_, kind) in w.reports() {
                if let ReportKind::Failed(who) = kind {
                    report = Some(who);
                } else {
                    w.apply(Event::Reported { id, recipients: Vec::new(), named: 1 });
                }
            }
            w.now = w.queue.next_due().filter(|_| report.is_none()).unwrap_or(w.now).max(w.now);
            w.apply(Event::Tick);
        }
        assert!(w.now.since(start) >= 48 * HOUR, "it has its whole time");
        let (_, failure) = &report.unwrap()[0];
        assert_eq!(failure.status, EnhancedStatus(4, 7, 10), "the report tells the cause");
        assert_eq!(tries[1], first_wait);
        let alarms = w.asked.iter().filter(|e| matches!(e, Effect::Record(Record::Alarm { .. }))).count();
        assert_eq!(alarms, 1, "{tries:?}");
    }
}

#[test]
fn a_refused_log_on_over_an_open_connection_makes_the_destination_rest() {
    let mut w = World::new("");
    for n in 0..2 {
        w.accept("a@local.test", &[&format!("b{n}@far.test")]);
    }
    let mut parcels = w.parcels();
    let (connection, parcel, _) = parcels.remove(0);
    w.answer(connection, &parcel, Err(of_kind(FailureKind::Auth, "535")));
    w.apply(Event::Closed { connection, unsent: None });
    let (connection, parcel, _) = parcels.remove(0);
    w.answer(connection, &parcel, Err(of_kind(FailureKind::Auth, "535")));
    w.apply(Event::Closed { connection, unsent: None });
    w.accept("a@local.test", &["c@near.test"]);
    assert_eq!(w.parcels().len(), 1);
    w.wait(14 * MINUTE);
    assert!(w.parcels().is_empty(), "an account may be locked after a few wrong log-ons");
    w.apply(Event::Destination("far.test".into(), DestinationOrder::Retry));
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, took());
    assert_eq!(w.parcels().len(), 1, "mended: all go");
}

#[test]
fn a_log_on_that_is_mended_wakes_those_who_wait_for_it_and_nobody_else() {
    let office = || Owner::SmartHost("office".into());
    for (kind, owner, wakes) in [
        (FailureKind::Auth, office(), true),
        (FailureKind::Auth, Owner::SmartHost("other".into()), false),
        (FailureKind::Auth, Owner::Server, false),
        (FailureKind::Tls, office(), false),
        (FailureKind::Unreachable, office(), false),
    ] {
        let mut w = World::with(on(paced(Pacing::default())));
        w.accept("a@local.test", &["b@far.test"]);
        let (connection, parcel) = w.one_parcel();
        w.not_reached(connection, &parcel, &of_kind(kind, "There is no token."));
        assert!(w.parcels().is_empty());
        w.apply(Event::Mended(owner.clone()));
        assert_eq!(w.parcels().len(), usize::from(wakes), "{kind:?} {owner}");
    }
}

#[test]
fn nothing_goes_to_a_suspended_destination_and_all_when_it_is_resumed() {
    let mut w = World::new("");
    w.apply(Event::Destination("far.test".into(), DestinationOrder::Suspend));
    let id = w.accept("a@local.test", &["b@far.test"]);
    w.accept("a@local.test", &["b@near.test"]);
    let (_, parcel) = w.one_parcel();
    assert_ne!(parcel.id, id);
    w.wait(HOUR);
    w.apply(Event::Configured(server("")));
    w.apply(Event::Destination("far.test".into(), DestinationOrder::Retry));
    assert!(w.parcels().is_empty(), "neither time nor a new configuration nor a retry wakes it");
    assert_eq!(w.queue.suspended().map(|(name, _)| name).collect::<Vec<_>>(), ["far.test"]);
    w.apply(Event::Destination("far.test".into(), DestinationOrder::Resume));
    let (connection, parcel) = w.one_parcel();
    w.answer(connection, &parcel, took());
    assert_eq!(w.gone, [id]);
    let told: Vec<_> = w
        .asked
        .iter()
        .filter(|e| {
            matches!(e, Effect::Record(Record::DestinationSuspended { .. } | Record::DestinationResumed { .. }))
        })
        .collect();
    assert_eq!(told.len(), 2);
}

#[test]
fn mail_for_a_suspended_destination_grows_old() {
    let mut w = World::new("");
    let id = w.accept("a@local.test", &["b@far.test"]);
    let (connection, parcel) = w.one_parcel();
    w.apply(Event::Destination("far.test".into(), DestinationOrder::Suspend));
    w.answer(connection, &parcel, Err(refused(450)));
    w.apply(Event::Closed { connection, unsent: None });
    w.wait(49 * HOUR);
    let reports = w.reports();
    let [(_, ReportKind::Delayed(late)), (of, ReportKind::Failed(who))] = &reports[..] else { panic!("{reports:?}") };
    assert!(late[0].1.as_ref().unwrap().text.contains("suspended"));
    assert_eq!(*of, id);
    assert!(who[0].1.text.contains("suspended"), "{:?}", who[0].1);
}

#[test]
fn a_retry_wakes_what_waits_for_a_time_of_its_own() {
    let mut w = World::new("");
    w.accept("a@local.test", &["b@far.test"]);
    w.refuse_all_but(&[]);
    assert!(w.parcels().is_empty());
    w.apply(Event::Destination("far.test".into(), DestinationOrder::Retry));
    assert_eq!(w.parcels().len(), 1);
}

#[test]
fn a_smart_host_has_waits_and_ages_of_its_own() {
    let waits = Waits {
        retry: vec![5 * MINUTE, 10 * MINUTE],
        glitch_retry: GlitchRetry { every: MINUTE / 2, times: 1 },
        delay_notice: 20 * MINUTE,
        expiry: HOUR,
    };
    let mut w = World::with(on(Terms { waits: Some(waits), ..paced(Pacing::default()) }));
    let start = w.now;
    let id = w.accept("a@local.test", &["b@far.test"]);
    let mut story = Vec::new();
    while story.last().is_none_or(|(_, what)| *what != "failed") {
        let age = w.now.since(start).as_secs();
        for (connection, parcel, _) in w.parcels() {
            story.push((age, "try"));
            w.answer(connection, &parcel, Err(refused(451)));
        }
        for (_, kind) in w.reports() {
            if let ReportKind::Delayed(late) = &kind {
                assert_eq!(late.iter().map(|(i, _, until)| (*i, *until)).collect::<Vec<_>>(), [(0, start.plus(HOUR))]);
            }
            story.push((age, if matches!(kind, ReportKind::Delayed(_)) { "delayed" } else { "failed" }));
            w.apply(Event::Reported { id, recipients: kind.failed(), named: 1 });
        }
        let Some(due) = w.queue.next_due() else { break };
        w.now = w.now.max(due);
        w.apply(Event::Tick);
    }
    let expected = [
        (0, "try"),
        (30, "try"),
        (330, "try"),
        (930, "try"),
        (1_200, "delayed"),
        (1_530, "try"),
        (2_130, "try"),
        (2_730, "try"),
        (3_330, "try"),
        (3_600, "failed"),
    ];
    assert_eq!(story, expected);
}
