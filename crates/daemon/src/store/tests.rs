//! The store with its threads, on this machine's disk.

use super::*;
use bytes::Bytes;
use relay::config::Config;
use relay::envelope::{Fate, Origin, Recipient};
use smtp::address::{Mailbox, ReversePath};
use smtp::time::Timestamp;
use std::collections::HashMap;
use std::time::Duration;
use tempfile::TempDir;

struct Home {
    folder: TempDir,
    server: VirtualServer,
}

fn home() -> Home {
    let folder = tempfile::tempdir().unwrap();
    let text = "[[virtual_server]]\nname = \"test\"\nhome = \"home\"\n";
    let path = folder.path().join("mailroot.toml");
    let config = Config::parse(text, path.to_str().unwrap(), "relay.test").unwrap();
    let mut server = VirtualServer::clone(&config.servers[0]);
    server.home = folder.path().join("home");
    server.queue.free_space_min = 0;
    Home { folder, server }
}

fn envelope() -> Envelope {
    let sender = ReversePath::Mailbox(Mailbox::parse("a@src.test").unwrap());
    let recipients = vec![Recipient::new(Mailbox::parse("b@dest.test").unwrap(), Timestamp(0))];
    let origin = Origin::Smtp { peer: "192.0.2.1".parse().unwrap(), helo: "client.test".into(), account: None };
    Envelope::new(sender, recipients, origin, Timestamp(1_795_330_800_123))
}

async fn accept(store: &Store, content: &[u8]) -> Result<QueueId, Reply> {
    let mut incoming = store.incoming(store.begin()?);
    for chunk in content.chunks(10_000) {
        incoming.append(Bytes::copy_from_slice(chunk)).await?;
    }
    store.commit(incoming, envelope()).await.map(|receipt| receipt.queue_id())
}

async fn whole(store: &Store, id: QueueId, place: &Place) -> Vec<u8> {
    store.content(id, place).await.unwrap().whole(u64::MAX).await.unwrap().to_vec()
}

/// A message in the journal, as the queue gets to know it.
async fn accepted(store: &Store, events: &Receiver<Event>, content: &[u8]) -> relay::queue::Accepted {
    let id = accept(store, content).await.unwrap();
    loop {
        if let Event::Accepted(all) = next(events) {
            assert_eq!(all.len(), 1);
            let message = all.into_iter().next().unwrap();
            assert_eq!(message.id, id);
            return message;
        }
    }
}

fn park_job(message: &relay::queue::Accepted) -> ParkJob {
    ParkJob { id: message.id, envelope: Arc::new(message.envelope.clone()), place: message.place.clone() }
}

/// The envelope after some failed tries.
fn tried(message: &relay::queue::Accepted, tries: u16) -> Arc<Envelope> {
    let mut envelope = message.envelope.clone();
    envelope.recipients[0].fate = Fate::Pending { tries, due: Timestamp(1) };
    Arc::new(envelope)
}

/// Waits until something is so that another thread makes so; the bound only ends a test that has failed.
async fn until(mut so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not become so");
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(Duration::from_secs(10)).unwrap()
}

/// The next event that is not about the end of the start-up scan.
fn next_but_scan(events: &Receiver<Event>) -> Event {
    loop {
        match next(events) {
            Event::FoundAll => {}
            event => return event,
        }
    }
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_restart() {
    let home = home();
    let small = b"Subject: small\r\n\r\nhello\r\n".repeat(40);
    let large = b"0123456789abcdef".repeat(200_000);
    let (first, second);
    {
        let (sender, events) = channel();
        let (store, recovery) = Store::open(&home.server, sender).unwrap();
        assert_eq!(recovery, Recovery::default());
        first = accept(&store, &small).await.unwrap();
        second = accept(&store, &large).await.unwrap();
        assert!(first < second);
        for (id, content) in [(first, &small), (second, &large)] {
            let Event::Accepted(all) = next_but_scan(&events) else { panic!() };
            assert_eq!((all[0].id, all[0].envelope.size), (id, content.len() as u64));
            assert!(whole(&store, id, &all[0].place).await == *content);
        }
        assert_eq!(store.waiting(), 2);
        store.close().await;
        assert!(accept(&store, &small).await.is_err());
    }
    let (sender, events) = channel();
    let (store, recovery) = Store::open(&home.server, sender).unwrap();
    assert_eq!((recovery.journal, recovery.folder), (2, 0));
    let Event::Accepted(all) = next(&events) else { panic!() };
    for (message, content) in all.iter().zip([&small, &large]) {
        assert!(whole(&store, message.id, &message.place).await == *content);
    }
    let jobs = all.iter().map(|m| ParkJob { id: m.id, envelope: Arc::new(m.envelope.clone()), place: m.place.clone() });
    store.park(jobs.collect());
    let Event::Parked(ids) = next_but_scan(&events) else { panic!() };
    assert_eq!(ids, [first, second]);
    for (id, content) in [(first, &small), (second, &large)] {
        assert!(whole(&store, id, &Place::File).await == *content);
    }
    store.remove(first);
    store.note(Note::Gone(second));
    store.close().await;
    drop(store);
    let (store, recovery) = Store::open(&home.server, channel().0).unwrap();
    assert_eq!((recovery.journal, recovery.folder), (0, 0), "the late note was passed on to the folder");
    assert_eq!(store.waiting(), 0);
    drop(home.folder);
}

#[tokio::test]
async fn one_home_has_one_process() {
    let home = home();
    let (store, _) = Store::open(&home.server, channel().0).unwrap();
    let Err(error) = Store::open(&home.server, channel().0) else { panic!() };
    assert!(error.to_string().contains(&format!("in use by the process {}", std::process::id())), "{error}");
    store.close().await;
    drop(store);
    assert!(Store::open(&home.server, channel().0).is_ok());
}

/// What waits while a sync is under way is written together, and each gets its receipt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_share_their_syncs() {
    let home = home();
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|i: u32| {
            let store = store.clone();
            tokio::spawn(async move { accept(&store, format!("message {i}\r\n").as_bytes()).await.unwrap() })
        })
        .collect();
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(task.await.unwrap());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200, "no id twice");
    let (mut seen, mut batches) = (0, 0);
    while seen < 200 {
        if let Event::Accepted(all) = next(&events) {
            seen += all.len();
            batches += 1;
        }
    }
    assert!(batches < 150, "{batches} batches for 200 messages");
    store.close().await;
}

/// A note that comes while the message is being parked is newer than the envelope which the folder writes: it must not
/// get lost, whichever of the two threads is first.
#[tokio::test]
async fn a_note_overtakes_no_parking() {
    let home = home();
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    let mut fates = Vec::new();
    for tries in 1..=30 {
        let message = accepted(&store, &events, b"x\r\n").await;
        let gone = accepted(&store, &events, b"y\r\n").await;
        store.park(vec![park_job(&message), park_job(&gone)]);
        if tries % 3 == 0 {
            let Event::Parked(_) = next_but_scan(&events) else { panic!() };
        }
        store.note(Note::Fates(message.id, tried(&message, tries)));
        store.note(Note::Gone(gone.id));
        if tries % 3 != 0 {
            let Event::Parked(_) = next_but_scan(&events) else { panic!() };
        }
        fates.push((message.id, tries));
    }
    until(|| store.waiting() == 30).await;
    store.close().await;
    drop(store);
    let (sender, events) = channel();
    let (store, recovery) = Store::open(&home.server, sender).unwrap();
    assert_eq!((recovery.journal, recovery.folder), (0, 30));
    let Event::Found(all) = next(&events) else { panic!() };
    let found: Vec<_> = all
        .iter()
        .map(|m| (m.id, if let Fate::Pending { tries, .. } = m.envelope.recipients[0].fate { tries } else { 0 }))
        .collect();
    assert_eq!(found, fates);
    assert!(matches!(next(&events), Event::FoundAll));
    store.close().await;
}

/// What was noted survives a kill: it is written when nothing else waits, without a commit that carries it along.
#[tokio::test]
async fn a_lone_note_is_written_at_once() {
    let home = home();
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    let message = accepted(&store, &events, b"x\r\n").await;
    store.note(Note::Gone(message.id));
    until(|| store.waiting() == 0).await;
    // As a kill leaves it: the files as they are now, the store not closed.
    let copy = home.folder.path().join("copy");
    copy_folder(&home.server.home.join("Queue"), &copy.join("Queue"));
    let mut server = home.server.clone();
    server.home = copy;
    let (after, recovery) = Store::open(&server, channel().0).unwrap();
    assert_eq!((recovery.journal, recovery.folder), (0, 0));
    after.close().await;
    store.close().await;
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_large_message_streams_into_its_file() {
    let mut home = home();
    home.server.queue.stream_over = 100_000;
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    let queue = home.server.home.join("Queue");
    let id = store.begin().unwrap();
    let mut incoming = store.incoming(id);
    let chunk = Bytes::from(vec![b'x'; 60_000]);
    incoming.append(chunk.clone()).await.unwrap();
    assert!(!queue.join(format!("{id}.eml")).exists());
    for _ in 0..20 {
        incoming.append(chunk.clone()).await.unwrap();
    }
    assert_eq!((incoming.len(), incoming.head().len()), (21 * 60_000, HEAD_MAX));
    assert!(
        std::fs::metadata(queue.join(format!("{id}.eml"))).unwrap().len() > 500_000,
        "it is on its way to the disk"
    );
    assert!(store.memory() < 700_000, "{} octets are held", store.memory());
    let receipt = store.commit(incoming, envelope()).await.unwrap();
    assert_eq!(receipt.queue_id(), id);
    let Event::Accepted(all) = next_but_scan(&events) else { panic!() };
    assert!(matches!(all[0].place, Place::File));
    assert_eq!(all[0].envelope.size, 21 * 60_000);
    assert!(whole(&store, id, &Place::File).await == vec![b'x'; 21 * 60_000]);
    store.note(Note::Gone(id));
    until(|| !queue.join(format!("{id}.eml")).exists()).await;
    assert_eq!(store.memory(), 0);
    // One that is thrown away leaves nothing.
    let id = store.begin().unwrap();
    let mut incoming = store.incoming(id);
    for _ in 0..10 {
        incoming.append(chunk.clone()).await.unwrap();
    }
    assert!(queue.join(format!("{id}.eml")).exists());
    drop(incoming);
    until(|| !queue.join(format!("{id}.eml")).exists()).await;
    store.close().await;
}

#[tokio::test]
async fn content_in_memory_is_bounded_and_counted() {
    let mut home = home();
    home.server.queue.memory_max = 50_000;
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    let content = b"0123456789abcdef\r\n".repeat(1_000);
    let mut messages = Vec::new();
    for _ in 0..6 {
        messages.push(accepted(&store, &events, &content).await);
    }
    let in_memory = |m: &relay::queue::Accepted| matches!(m.place, Place::Journal { memory: Some(_), .. });
    assert!(in_memory(&messages[0]) && !in_memory(&messages[5]));
    assert!(store.memory() <= 50_000 + content.len() as u64 * 2, "{}", store.memory());
    for message in &messages {
        assert!(whole(&store, message.id, &message.place).await == content, "from the disk if not from memory");
    }
    // When memory is short, what is more than a little goes to a file of its own.
    let large = accepted(&store, &events, &content.repeat(5)).await;
    assert!(matches!(large.place, Place::File));
    drop(messages);
    assert_eq!(store.memory(), 0, "what nobody holds is not counted");
    let message = accepted(&store, &events, &content).await;
    assert!(in_memory(&message));
    store.close().await;
}

#[tokio::test]
async fn a_full_disk_and_a_full_queue_refuse_and_recover() {
    let mut home = home();
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    accepted(&store, &events, b"x").await;
    home.server.queue.free_space_min = u64::MAX;
    store.configure(&home.server);
    until(|| events.try_iter().any(|e| matches!(e, Event::Alarm(text) if text.contains("free_space_min")))).await;
    let reply = store.begin().unwrap_err();
    assert_eq!((reply.code, reply.status.unwrap().to_string().as_str()), (452, "4.3.1"));
    home.server.queue.free_space_min = 0;
    home.server.queue.messages_max = 1;
    store.configure(&home.server);
    let reply = store.begin().unwrap_err();
    assert!(reply.to_string().contains("queue is full"), "{reply}");
    assert!(store.begin_report().is_ok(), "a report makes room for what it reports");
    home.server.queue.messages_max = 2;
    store.configure(&home.server);
    assert!(store.begin().is_ok());
    store.close().await;
}

/// The journal grows past its bound: the oldest messages are asked to be parked, and when they are, their segments go.
#[tokio::test]
async fn an_old_journal_asks_for_parking() {
    let mut home = home();
    home.server.queue.journal_max = 16 << 20;
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    let content = vec![b'x'; 900_000];
    let mut messages = HashMap::new();
    let mut asked = Vec::new();
    while asked.is_empty() {
        accept(&store, &content).await.unwrap();
        for event in events.try_iter() {
            match event {
                Event::Accepted(all) => messages.extend(all.into_iter().map(|m| (m.id, m))),
                Event::ParkOldest(ids) => asked = ids,
                _ => {}
            }
        }
        assert!(messages.len() < 200, "nobody asks");
    }
    let oldest = messages.keys().min().unwrap();
    assert_eq!(asked.first(), Some(oldest));
    let journal = home.server.home.join("Queue/journal");
    let segments = || std::fs::read_dir(&journal).unwrap().map(|e| e.unwrap().file_name());
    let first = segments().min().unwrap();
    store.park(asked.iter().map(|id| park_job(&messages[id])).collect());
    until(|| segments().all(|name| name != first)).await;
    store.close().await;
}

/// A failed sync of a file in the folder ends all accepting; a restart has everything.
#[tokio::test]
async fn poison_from_the_folder_reaches_the_sessions() {
    let home = home();
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    accepted(&store, &events, b"x").await;
    let id = store.begin().unwrap();
    let incoming = store.incoming(id);
    store.shared.poison("the Queue folder could not be synced: a test");
    store.shared.poison("and again");
    let alarms = || events.try_iter().filter(|e| matches!(e, Event::Alarm(text) if text.contains("452"))).count();
    assert_eq!(alarms(), 1, "the operator is told, once");
    let reply = store.begin().unwrap_err();
    assert_eq!((reply.code, reply.status.unwrap().to_string().as_str()), (452, "4.3.1"));
    let reply = store.commit(incoming, envelope()).await.unwrap_err();
    assert_eq!(reply.code, 452, "one that had begun is refused too");
    store.close().await;
    drop(store);
    let (store, recovery) = Store::open(&home.server, channel().0).unwrap();
    assert_eq!(recovery.journal, 1);
    store.close().await;
}

#[tokio::test]
async fn the_folder_is_read_in_slices() {
    let home = home();
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    let mut jobs = Vec::new();
    for _ in 0..600 {
        jobs.push(park_job(&accepted(&store, &events, b"x\r\n").await));
    }
    store.park(jobs);
    let mut parked = 0;
    while parked < 600 {
        if let Event::Parked(ids) = next(&events) {
            parked += ids.len();
        }
    }
    store.close().await;
    drop(store);
    // One of them is damaged in the meantime.
    let queue = home.server.home.join("Queue");
    let some =
        std::fs::read_dir(&queue).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension() == Some("env".as_ref()));
    std::fs::write(some.unwrap(), b"").unwrap();
    let (sender, events) = channel();
    let (store, recovery) = Store::open(&home.server, sender).unwrap();
    assert_eq!((recovery.journal, recovery.folder), (0, 600));
    let (mut slices, mut alarms) = (Vec::new(), Vec::new());
    loop {
        match next(&events) {
            Event::Found(all) => slices.push(all.len()),
            Event::FoundAll => break,
            Event::Alarm(text) => alarms.push(text),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((slices.iter().sum::<usize>(), slices.len()), (599, 3));
    assert_eq!(store.waiting(), 599);
    assert!(alarms.len() == 1 && alarms[0].contains("damaged/"), "{alarms:?}");
    assert_eq!(std::fs::read_dir(queue.join("damaged")).unwrap().count(), 2);
    store.close().await;
}

#[test]
fn a_home_that_cannot_be_used_says_what_to_do() {
    let mut home = home();
    std::fs::write(home.folder.path().join("file"), b"").unwrap();
    home.server.home = home.folder.path().join("file");
    let Err(error) = Store::open(&home.server, channel().0) else { panic!() };
    assert!(error.to_string().contains("move it away"), "{error}");
    home.server.home = "/proc/no/such".into();
    let Err(error) = Store::open(&home.server, channel().0) else { panic!() };
    assert!(error.to_string().contains("/proc/no"), "{error}");
    assert_eq!(advice(&io::ErrorKind::ReadOnlyFilesystem.into()).map(|a| a.contains("read-only")), Some(true));
}

#[tokio::test]
async fn a_closed_store_holds_its_home_no_longer_whoever_still_has_it() {
    let home = home();
    let (events, _inbox) = channel();
    let (store, _) = Store::open(&home.server, events.clone()).unwrap();
    let lingers = store.clone();
    assert!(matches!(Store::open(&home.server, events.clone()), Err(StoreError::Locked { .. })));
    store.close().await;
    let (again, _) = Store::open(&home.server, events).unwrap();
    accept(&again, b"content").await.unwrap();
    assert_eq!(accept(&lingers, b"too late").await.unwrap_err().code, 421);
}

/// Parks `count` messages and closes the store; gives the Queue folder.
async fn parked(home: &Home, count: usize) -> (PathBuf, Vec<QueueId>) {
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    let mut jobs = Vec::new();
    for _ in 0..count {
        jobs.push(park_job(&accepted(&store, &events, b"x\r\n").await));
    }
    let ids: Vec<QueueId> = jobs.iter().map(|job| job.id).collect();
    store.park(jobs);
    let mut parked = 0;
    while parked < count {
        if let Event::Parked(ids) = next(&events) {
            parked += ids.len();
        }
    }
    store.close().await;
    (home.server.home.join("Queue"), ids)
}

#[tokio::test]
async fn a_message_that_cannot_be_read_at_start_is_no_damage_and_is_read_later() {
    let home = home();
    let (queue, ids) = parked(&home, 2).await;
    let name = queue.join(format!("{}.eml", ids[0]));
    // A link is not followed, whoever asks.
    let aside = home.folder.path().join("aside");
    std::fs::rename(&name, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &name).unwrap();
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    let found = |event| match event {
        Event::Found(all) => Some(all.iter().map(|m| m.id).collect::<Vec<_>>()),
        _ => None,
    };
    assert_eq!(found(next(&events)), Some(vec![ids[1]]));
    assert!(matches!(next(&events), Event::FoundAll));
    assert!(
        matches!(next(&events), Event::Alarm(text) if text.contains("1 messages in the Queue folder cannot be read now"))
    );
    assert_eq!(store.waiting(), 2);
    std::fs::rename(&aside, &name).unwrap();
    loop {
        if let Some(ids_found) = found(next(&events)) {
            assert_eq!(ids_found, [ids[0]]);
            break;
        }
    }
    assert_eq!(std::fs::read_dir(queue.join("damaged")).unwrap().count(), 0);
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_removed_is_told_of_and_counts_on() {
    let home = home();
    let (queue, ids) = parked(&home, 1).await;
    let (sender, events) = channel();
    let (store, _) = Store::open(&home.server, sender).unwrap();
    while !matches!(next(&events), Event::FoundAll) {}
    let name = queue.join(format!("{}.env", ids[0]));
    std::fs::remove_file(&name).unwrap();
    std::fs::create_dir(&name).unwrap();
    store.remove(ids[0]);
    assert!(matches!(next(&events), Event::RemoveFailed(all, _) if all == ids));
    assert_eq!(store.waiting(), 1);
    std::fs::remove_dir(&name).unwrap();
    store.remove(ids[0]);
    until(|| !queue.join(format!("{}.eml", ids[0])).exists()).await;
    assert_eq!(store.waiting(), 0);
    store.close().await;
}
