//! Whoever waits for a place among all connections gets one, however much others have to send.

use super::*;

/// How many messages the others bring to their end before the latecomer, one message for a host of its own, is tried.
fn turns_until_the_latecomer_is_tried(limits: &str, hosts: usize, before: usize) -> usize {
    let mut w = World::new(limits);
    for n in 0..3_000 {
        w.accept("x@local.test", &[&format!("u{n}@busy{}.test", n % hosts)]);
    }
    let mut late = None;
    let mut open: std::collections::VecDeque<_> = w.parcels().into();
    for turn in 0..2_500 {
        if turn == before {
            late = Some(w.accept("x@local.test", &["b@late.test"]));
        }
        let (connection, parcel, _) = open.pop_front().expect("something is under way");
        if Some(parcel.id) == late {
            return turn - before;
        }
        w.answer(connection, &parcel, took());
        while let Some(at) = w.asked.iter().position(|e| matches!(e, Effect::Quit { .. })) {
            let Effect::Quit { connection } = w.asked.remove(at) else { unreachable!() };
            w.apply(Event::Closed { connection, unsent: None });
        }
        open.extend(w.parcels());
    }
    panic!("it was never tried");
}

#[test]
fn one_host_with_all_connections_makes_room_for_another() {
    for each in ["20", "\"unlimited\""] {
        let limits = format!("connections_max = 4\n[virtual_server.messages]\nmessages_per_connection = {each}\n");
        let turns = turns_until_the_latecomer_is_tried(&limits, 1, 500);
        assert!(turns <= 4 * 25, "{each}: after {turns} messages of the other");
    }
}

#[test]
fn hosts_at_their_own_limit_do_not_pass_a_place_to_each_other_for_ever() {
    let limits = "connections_max = 4\nconnections_per_domain_max = 2\n";
    let turns = turns_until_the_latecomer_is_tried(limits, 2, 500);
    assert!(turns <= 4 * 25, "after {turns} messages of the others");
}

/// The daemon gives silent hosts up sooner while this is so.
#[test]
fn it_is_crowded_while_somebody_waits_for_a_place_and_no_longer() {
    let mut w = World::new("connections_max = 4\n");
    for n in 0..4 {
        w.accept("x@local.test", &[&format!("b@silent{n}.test")]);
    }
    let silent = w.parcels();
    assert_eq!(silent.len(), 4);
    assert!(w.queue.starved() == 0, "nobody waits");
    let late = w.accept("x@local.test", &["b@late.test"]);
    assert!(w.parcels().is_empty() && w.queue.starved() == 1);
    let (connection, parcel, _) = &silent[0];
    w.not_reached(*connection, parcel, &dead());
    let (connection, parcel) = w.one_parcel();
    assert_eq!(parcel.id, late);
    assert!(w.queue.starved() == 0, "all places are taken, and nobody waits");
    w.answer(connection, &parcel, took());
    assert!(w.gone.contains(&late));
}
