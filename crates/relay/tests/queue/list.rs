//! Listings and searches: in slices, without reading the disk, and nothing is left out.

use super::*;
use relay::queue::DestinationOrder;
use relay::queue::ask::{
    ASKS_MAX, Answer, Ask, AskId, DestinationSummary, DestinationsBy, Filter, MessageState, MessageSummary, PAGE_MAX,
};

fn page(w: &mut World, filter: Filter, after: Option<QueueId>, limit: usize) -> (Vec<MessageSummary>, bool) {
    match w.ask(Ask::Messages { filter, after, limit }) {
        Answer::Messages { page, more } => (page, more),
        other => panic!("{other:?}"),
    }
}

fn found(w: &mut World, filter: Filter) -> Vec<QueueId> {
    page(w, filter, None, PAGE_MAX).0.into_iter().map(|m| m.id).collect()
}

/// So many messages wait in the folder for a dead host.
fn with_waiting(count: u64) -> World {
    let mut w = World::new("");
    w.accept("a@local.test", &["b0@dead.test"]);
    let (connection, parcel) = w.one_parcel();
    w.not_reached(connection, &parcel, &dead());
    for n in 1..count {
        w.accept("a@local.test", &[&format!("b{n}@dead.test")]);
    }
    w.wait(Duration::from_secs(30));
    assert_eq!(w.folder.len() as u64, count);
    w
}

#[test]
fn pages_together_are_all_messages_once_in_the_order_of_their_arrival() {
    let mut w = with_waiting(2_345);
    w.load_fails = Some(io::ErrorKind::Other);
    let mut seen = Vec::new();
    loop {
        let (messages, more) = page(&mut w, Filter::default(), seen.last().copied(), 1_000);
        assert!(messages.len() <= 1_000);
        seen.extend(messages.iter().map(|m| m.id));
        if !more {
            break;
        }
    }
    let mut all: Vec<QueueId> = w.queue.ids().collect();
    all.sort_unstable();
    assert_eq!(seen, all);
}

#[test]
fn a_listing_of_many_is_made_in_slices_between_which_mail_goes_on() {
    let mut w = with_waiting(3_000);
    let mut effects = Vec::new();
    let filter = Filter { sender: Some("nobody".into()), ..Filter::default() };
    w.queue.apply(Event::Ask(AskId(1), Ask::Count(filter)), w.now, &mut effects);
    assert!(effects.is_empty() && w.queue.has_work());
    assert!(w.queue.next_due().is_some_and(|due| due <= w.now), "the next slice is wanted at once");
    w.accept("a@local.test", &["b@alive.test"]);
    assert_eq!(w.parcels().len(), 1, "mail goes on in between");
    let mut slices = 1;
    while w.queue.has_work() {
        slices += 1;
        w.queue.apply(Event::Tick, w.now, &mut effects);
    }
    assert!(slices >= 6, "{slices}");
    assert!(matches!(&effects[..], [Effect::Answer(AskId(1), Answer::Count { messages: 0, .. })]), "{effects:?}");
}

#[test]
fn a_summary_tells_what_the_envelope_told() {
    let mut w = World::new("");
    let id = w.accept("Alice@local.test", &["Bob@far.test", "carol@other.test"]);
    let before = page(&mut w, Filter::default(), None, 10).0;
    let tried = w.now;
    w.refuse_all_but(&[1]);
    assert_eq!(w.queue.envelopes_in_memory(), 0);
    w.load_fails = Some(io::ErrorKind::Other);
    let after = page(&mut w, Filter::default(), None, 10).0;
    assert_eq!(before[0].state, MessageState::UnderWay);
    let expected = MessageSummary {
        open: 1,
        state: MessageState::Waiting,
        destinations: vec!["far.test".into()],
        destinations_count: 1,
        tries: 1,
        due: Some(tried.plus(MINUTE)),
        said: Some("450 no".into()),
        ..before[0].clone()
    };
    assert_eq!(after, [expected]);
    assert_eq!((&*before[0].sender, &*before[0].recipient), ("Alice@local.test", "Bob@far.test"));
    assert_eq!((before[0].id, before[0].recipients, before[0].destinations_count), (id, 2, 2));
    w.load_fails = None;
    let Answer::Message(Some(detail)) = w.ask(Ask::Message(id)) else { panic!() };
    assert_eq!(*detail.envelope, w.folder[&id]);
    assert_eq!(detail.waits, [(0, "far.test".into(), Some(tried.plus(MINUTE)))]);
    assert!(detail.in_folder);
    assert!(matches!(w.ask(Ask::Message(QueueId(77))), Answer::Message(None)));
    assert_eq!(w.queue.envelopes_in_memory(), 0, "what was read for a look does not stay");
}

#[test]
fn each_part_of_a_filter_finds_what_it_says() {
    let mut w = World::new("");
    let old = w.accept("Alice@local.test", &["bob@far.test"]);
    w.refuse_all_but(&[]);
    w.wait(HOUR);
    w.refuse_all_but(&[]);
    let dead_one = w.accept("", &["carol@dead.test"]);
    for (connection, parcel, _) in w.parcels() {
        w.not_reached(connection, &parcel, &dead());
    }
    let waiting = w.accept("dave@local.test", &["erin@dead.test"]);
    w.wait(MINUTE / 2);
    let text = |text: &str| Some(text.into());
    let all = Filter::default();
    assert_eq!(found(&mut w, all.clone()), [old, dead_one, waiting]);
    for (filter, expected) in [
        (Filter { sender: text("ALICE@"), ..all.clone() }, vec![old]),
        (Filter { sender: text("<>"), ..all.clone() }, vec![dead_one]),
        (Filter { recipient: text("@DEAD"), ..all.clone() }, vec![dead_one, waiting]),
        (Filter { recipient: text("alice"), ..all.clone() }, vec![]),
        (Filter { address: text("local.test"), ..all.clone() }, vec![old, waiting]),
        (Filter { destination: text("dead.test"), ..all.clone() }, vec![dead_one, waiting]),
        (Filter { destination: text("dead"), ..all.clone() }, vec![]),
        (Filter { older_than: Some(HOUR), ..all.clone() }, vec![old]),
        (Filter { younger_than: Some(HOUR), ..all.clone() }, vec![dead_one, waiting]),
        (Filter { reason: text("450"), ..all.clone() }, vec![old]),
        (Filter { reason: text("no connection"), ..all.clone() }, vec![dead_one, waiting]),
        (Filter { state: Some(MessageState::Resting), ..all.clone() }, vec![dead_one, waiting]),
        (Filter { state: Some(MessageState::Waiting), ..all.clone() }, vec![old]),
        (Filter { recipient: text(&"x".repeat(600)), ..all.clone() }, vec![]),
        (Filter { recipient: text("erin"), sender: text("dave"), ..all.clone() }, vec![waiting]),
    ] {
        assert_eq!(found(&mut w, filter.clone()), expected, "{filter:?}");
    }
}

/// More recipients than are kept in mind: the envelope is read, and only then.
#[test]
fn a_search_finds_the_last_of_many_recipients() {
    let mut w = World::new("");
    let many: Vec<String> = (0..60).map(|n| format!("recipient{n}@far.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = w.accept("a@local.test", &many);
    w.accept("a@local.test", &["b@far.test"]);
    w.refuse_all_but(&[]);
    let by = |text: &str| Filter { recipient: Some(text.into()), ..Filter::default() };
    assert_eq!(found(&mut w, by("recipient59@")), [long]);
    assert_eq!(found(&mut w, by("recipient60@")), []);
    w.load_fails = Some(io::ErrorKind::Other);
    assert_eq!(found(&mut w, by("recipient3@")), [long], "no need to read");
    assert_eq!(found(&mut w, by("recipient59@")), [], "what cannot be read is not found, and holds nothing up");
}

fn destinations(
    w: &mut World,
    by: DestinationsBy,
    name: &str,
    skip: usize,
    limit: usize,
) -> (Vec<DestinationSummary>, usize) {
    let name = (!name.is_empty()).then(|| name.into());
    match w.ask(Ask::Destinations { name, order: by, skip, limit }) {
        Answer::Destinations { page, total } => (page, total),
        other => panic!("{other:?}"),
    }
}

#[test]
fn destinations_are_listed_by_what_an_operator_looks_for() {
    let mut w = World::new("");
    w.apply(Event::Destination("quiet.test".into(), DestinationOrder::Suspend));
    for n in 0..700 {
        w.accept("a@local.test", &[&format!("b@host{n:03}.test")]);
    }
    for _ in 0..3 {
        w.accept("a@local.test", &["b@busy.test"]);
    }
    w.apply(Event::Destination("host005.test".into(), DestinationOrder::Suspend));
    let names = |page: &[DestinationSummary]| page.iter().map(|d| d.standing.name.to_string()).collect::<Vec<_>>();
    let (first, total) = destinations(&mut w, DestinationsBy::Waiting, "", 0, 3);
    assert_eq!((names(&first), total), (["busy.test", "host000.test", "host001.test"].map(Into::into).into(), 702));
    assert_eq!(first[0].standing.waiting, 3);
    assert_eq!(first[0].oldest, Some(w.now));
    let (old, _) = destinations(&mut w, DestinationsBy::Age, "", 1, 2);
    assert_eq!(names(&old), ["host001.test", "host002.test"]);
    let (by_name, total) = destinations(&mut w, DestinationsBy::Name, "HOST00", 4, 100);
    assert_eq!(
        (names(&by_name).join(" "), total),
        ((4..10).map(|n| format!("host00{n}.test")).collect::<Vec<_>>().join(" "), 10)
    );
    assert!(by_name[1].standing.suspended && by_name[1].suspended_since == Some(w.now));
    let (quiet, _) = destinations(&mut w, DestinationsBy::Waiting, "quiet", 0, 10);
    assert!(quiet[0].standing.suspended && quiet[0].standing.waiting == 0);
    let (all, _) = destinations(&mut w, DestinationsBy::Waiting, "", 0, 1_000);
    assert_eq!(all.len(), 702);
    assert_eq!(all.last().map(|d| &*d.standing.name), Some("quiet.test"));
}

#[test]
fn a_destination_tells_its_trouble_and_its_next_try() {
    let mut w = with_waiting(50);
    let (page, _) = destinations(&mut w, DestinationsBy::Waiting, "dead", 0, 1);
    let rest = page[0].standing.rest.clone().unwrap();
    assert_eq!(&*rest.failure.text, "No connection.");
    assert_eq!((page[0].next_try, page[0].standing.failures, page[0].standing.waiting), (Some(rest.until), 1, 50));
}

#[test]
fn too_many_questions_are_refused_and_those_that_nobody_waits_for_are_dropped() {
    let mut w = with_waiting(2_000);
    let mut effects = Vec::new();
    let count = || Ask::Count(Filter::default());
    for n in 0..=ASKS_MAX {
        w.queue.apply(Event::Ask(AskId(n as u64), count()), w.now, &mut effects);
    }
    assert!(matches!(&effects[..], [Effect::Answer(AskId(64), Answer::Busy)]), "{effects:?}");
    for n in 0..ASKS_MAX {
        w.queue.apply(Event::Unask(AskId(n as u64)), w.now, &mut effects);
    }
    assert!(!w.queue.has_work());
    assert_eq!(effects.len(), 1);
}
