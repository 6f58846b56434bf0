//! Listings and searches: in slices, without reading the disk, and nothing is left out.

use super::*;
use relay::queue::DestinationOrder;
use relay::queue::ask::{
    ASKS_MAX, Answer, Ask, AskId, DestinationMark, DestinationSummary, DestinationsBy, DestinationsFrom, Filter,
    MessageState, MessageSummary, Order, PAGE_MAX, Selection,
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
    assert!((2..=4).contains(&slices), "{slices}: some 2,000 messages at a time");
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
        (Filter { held: Some(true), ..all.clone() }, vec![]),
        (Filter { held: Some(false), ..all.clone() }, vec![old, dead_one, waiting]),
        (Filter { recipient: text(&"x".repeat(600)), ..all.clone() }, vec![]),
        (Filter { recipient: text("erin"), sender: text("dave"), ..all.clone() }, vec![waiting]),
    ] {
        assert_eq!(found(&mut w, filter.clone()), expected, "{filter:?}");
    }
}

/// Whether the envelope is in memory or on the disk.
#[test]
fn a_search_by_subject_finds_what_it_says_and_reads_no_disk() {
    let mut w = World::new("");
    let with = |w: &mut World, subject: &str| {
        let mut envelope = w.envelope("a@local.test", &["b@far.test"]);
        envelope.subject = Some(subject.into());
        w.accept_envelope(envelope)
    };
    let invoice = with(&mut w, "Invoice 4711: Grüße aus KÖLN");
    let other = with(&mut w, "Invoice 4712");
    let without = w.accept("a@local.test", &["b@far.test"]);
    w.load_fails = Some(io::ErrorKind::Other);
    for in_folder in [false, true] {
        if in_folder {
            (0..3).for_each(|_| w.refuse_all_but(&[]));
            assert_eq!(w.queue.envelopes_in_memory(), 0);
        }
        for (text, expected) in [
            ("invoice", vec![invoice, other]),
            ("4711", vec![invoice]),
            ("GRÜSSE", vec![]),
            ("grüße aus köln", vec![invoice]),
            ("a@local", vec![]),
            ("", vec![invoice, other]),
        ] {
            let filter = Filter { subject: Some(text.into()), ..Filter::default() };
            assert_eq!(found(&mut w, filter), expected, "{text}, {in_folder}");
        }
        let shown = page(&mut w, Filter::default(), None, 10).0;
        assert_eq!(shown[1].subject.as_deref(), Some("Invoice 4712"));
        assert_eq!((shown[2].id, shown[2].subject.as_deref()), (without, None));
    }
    // What is counted is what an order takes.
    w.load_fails = None;
    let by = Filter { subject: Some("invoice".into()), ..Filter::default() };
    assert!(matches!(w.ask(Ask::Count(by.clone())), Answer::Count { messages: 2, .. }));
    let tally = w.tally(Ask::Order(Order::Delete, Selection::Filter(by)));
    assert_eq!((tally.matched, tally.done), (2, 2));
    assert_eq!(w.queue.ids().collect::<Vec<_>>(), [without]);
}

/// What somebody who clicks at a destination pays for is what waits there, whatever waits elsewhere.
#[test]
fn a_search_for_a_destination_looks_at_nothing_else() {
    let mut w = with_waiting(5_000);
    let few = w.accept("a@local.test", &["b@few.test"]);
    for n in 0..20 {
        w.accept("a@local.test", &[&format!("c{n}@dead.test")]);
    }
    let by = |name: &str| Filter { destination: Some(name.into()), ..Filter::default() };
    for (name, slices_max) in [("few.test", 1), ("nowhere.test", 1), ("dead.test", 3)] {
        let mut effects = Vec::new();
        w.queue.apply(Event::Ask(AskId(7), Ask::Count(by(name))), w.now, &mut effects);
        let mut slices = 0;
        while w.queue.has_work() {
            slices += 1;
            w.queue.apply(Event::Tick, w.now, &mut effects);
        }
        assert!(slices <= slices_max, "{name}: {slices}");
    }
    assert_eq!(found(&mut w, by("few.test")), [few]);
    assert_eq!(found(&mut w, by("nowhere.test")), []);
    let mut seen = Vec::new();
    loop {
        let (messages, more) = page(&mut w, by("dead.test"), seen.last().copied(), 999);
        seen.extend(messages.iter().map(|m| m.id));
        if !more {
            break;
        }
    }
    let mut all: Vec<QueueId> = w.queue.ids().filter(|id| *id != few).collect();
    all.sort_unstable();
    assert_eq!(seen, all, "in order, each once");
}

/// A listing does no more work than it shows.
#[test]
fn a_page_of_many_that_match_takes_one_slice() {
    let mut w = with_waiting(5_000);
    let mut effects = Vec::new();
    let ask = Ask::Messages { filter: Filter::default(), after: None, limit: 100 };
    w.queue.apply(Event::Ask(AskId(7), ask), w.now, &mut effects);
    w.queue.apply(Event::Tick, w.now, &mut effects);
    assert!(!w.queue.has_work());
    assert!(matches!(&effects[..], [Effect::Answer(_, Answer::Messages { page, more: true })] if page.len() == 100));
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

fn destinations_from(
    w: &mut World,
    order: DestinationsBy,
    name: &str,
    from: DestinationsFrom,
    limit: usize,
) -> (Vec<DestinationSummary>, usize, usize, Option<(DestinationMark, DestinationMark)>) {
    let name = (!name.is_empty()).then(|| name.into());
    match w.ask(Ask::Destinations { name, order, from, limit }) {
        Answer::Destinations { page, total, before, ends } => (page, total, before, ends),
        other => panic!("{other:?}"),
    }
}

fn destinations(w: &mut World, by: DestinationsBy, name: &str, limit: usize) -> (Vec<DestinationSummary>, usize) {
    let (page, total, before, _) = destinations_from(w, by, name, DestinationsFrom::First, limit);
    assert_eq!(before, 0);
    (page, total)
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
    let (first, total) = destinations(&mut w, DestinationsBy::Waiting, "", 3);
    assert_eq!((names(&first), total), (["busy.test", "host000.test", "host001.test"].map(Into::into).into(), 702));
    assert_eq!(first[0].standing.waiting, 3);
    assert_eq!(first[0].oldest, Some(w.now));
    let (old, _) = destinations(&mut w, DestinationsBy::Age, "", 2);
    assert_eq!(names(&old), ["host000.test", "host001.test"]);
    let (by_name, total) = destinations(&mut w, DestinationsBy::Name, "HOST00", 100);
    assert_eq!(
        (names(&by_name).join(" "), total),
        ((0..10).map(|n| format!("host00{n}.test")).collect::<Vec<_>>().join(" "), 10)
    );
    assert!(by_name[5].standing.suspended && by_name[5].suspended_since == Some(w.now));
    let (quiet, _) = destinations(&mut w, DestinationsBy::Waiting, "quiet", 10);
    assert!(quiet[0].standing.suspended && quiet[0].standing.waiting == 0);
    let (all, _) = destinations(&mut w, DestinationsBy::Waiting, "", 1_000);
    assert_eq!(all.len(), 702);
    assert_eq!(all.last().map(|d| &*d.standing.name), Some("quiet.test"));
}

#[test]
fn pages_of_destinations_leave_none_out_and_go_back_again() {
    let mut w = World::new("");
    for n in 0..2_300 {
        w.accept("a@local.test", &[&format!("b@host{n:04}.test")]);
    }
    w.apply(Event::Destination("quiet.test".into(), DestinationOrder::Suspend));
    for by in [DestinationsBy::Waiting, DestinationsBy::Name, DestinationsBy::Age] {
        let (mut seen, mut from) = (Vec::new(), DestinationsFrom::First);
        let mut pages = Vec::new();
        while let (page, 2_301, before, Some((first, last))) = destinations_from(&mut w, by, "", from, 1_000) {
            assert_eq!(before, seen.len(), "{by:?}");
            let names: Vec<Box<str>> = page.into_iter().map(|one| one.standing.name).collect();
            seen.extend(names.clone());
            pages.push((first, names));
            // As a program carries it about.
            from = DestinationsFrom::After(DestinationMark::parse(&last.to_string()).unwrap());
        }
        assert_eq!(pages.iter().map(|(_, names)| names.len()).collect::<Vec<_>>(), [1_000, 1_000, 301], "{by:?}");
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 2_301, "{by:?}: each once");
        // And back.
        for pair in pages.windows(2).rev() {
            let from = DestinationsFrom::Before(pair[1].0.clone());
            let (page, _, before, _) = destinations_from(&mut w, by, "", from, 1_000);
            let names: Vec<Box<str>> = page.into_iter().map(|one| one.standing.name).collect();
            assert_eq!(names, pair[0].1, "{by:?}");
            assert_eq!(Some(&seen[before]), names.first());
        }
    }
}

#[test]
fn what_comes_and_goes_between_two_pages_moves_no_page() {
    let mut w = World::new("");
    for n in 10..30 {
        w.accept("a@local.test", &[&format!("b@host{n}.test")]);
    }
    let (_, _, _, ends) = destinations_from(&mut w, DestinationsBy::Name, "", DestinationsFrom::First, 10);
    let mark = ends.unwrap().1;
    // The last one of the page goes, and one comes before it.
    let is_last = |parcel: &Parcel| parcel.envelope.recipients[0].address.to_string() == "b@host19.test";
    let (connection, parcel, _) = w.parcels().into_iter().find(|(_, parcel, _)| is_last(parcel)).unwrap();
    w.answer(connection, &parcel, took());
    w.apply(Event::Closed { connection, unsent: None });
    w.accept("a@local.test", &["b@host00.test"]);
    let (page, total, before, _) =
        destinations_from(&mut w, DestinationsBy::Name, "", DestinationsFrom::After(mark), 10);
    assert_eq!((&*page[0].standing.name, page.len(), total), ("host20.test", 10, before + 10));
}

#[test]
fn a_mark_reads_as_it_prints() {
    for text in ["", "x", "1.2", "zz.1.far.test", "1.zz.far.test", "1.-1.far.test", "10000000000000000.1.x"] {
        assert_eq!(DestinationMark::parse(text), None, "{text}");
    }
    for text in ["fffffffffffffffe.1f.far.test", "0..quiet.test", "1.0."] {
        assert_eq!(DestinationMark::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn a_destination_tells_its_trouble_and_its_next_try() {
    let mut w = with_waiting(50);
    let (page, _) = destinations(&mut w, DestinationsBy::Waiting, "dead", 1);
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
