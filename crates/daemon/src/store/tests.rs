//! The store with its threads, on this machine's disk.

use super::*;
use bytes::Bytes;
use relay::config::Config;
use relay::envelope::{Fate, Origin, Recipient};
use smtp::address::{Mailbox, ReversePath};
use smtp::command::{BodyKind, Notify};
use smtp::time::Timestamp;
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
    Envelope {
        sender: ReversePath::Mailbox(Mailbox::parse("a@src.test").unwrap()),
        arrived: Timestamp(1_795_330_800_123),
        origin: Origin::Smtp { peer: "192.0.2.1".parse().unwrap(), helo: "client.test".into() },
        size: 0,
        body: BodyKind::SevenBit,
        utf8: false,
        ret: None,
        envid: None,
        recipients: vec![Recipient {
            address: Mailbox::parse("b@dest.test").unwrap(),
            orcpt: None,
            notify: Notify::Default,
            fate: Fate::Pending { tries: 0, due: Timestamp(0) },
            delay_noticed: false,
        }],
        attempts: Vec::new(),
    }
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
