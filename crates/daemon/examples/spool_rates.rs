//! How fast the spool accepts on this machine's disk: `cargo run --release -p daemon --example spool_rates -- FOLDER`.
//!
//! Prints commits a second and the time of one commit, for a lone committer and for many at once, with messages that leave
//! at once; then the same while 100,000 messages are parked; then how long a start takes with them. Figures and how to
//! read them: docs/performance.md.

use bytes::Bytes;
use daemon::store::Store;
use relay::config::{Config, VirtualServer};
use relay::envelope::{Envelope, Fate, Origin, Recipient};
use relay::queue::Event;
use relay::spool::{Note, ParkJob};
use smtp::address::{Mailbox, ReversePath};
use smtp::command::{BodyKind, Notify};
use smtp::time::Timestamp;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CONTENT: usize = 10 << 10;
const PARKED: usize = 100_000;

fn server(home: &Path) -> Outcome<VirtualServer> {
    let text = "[[virtual_server]]\nname = \"rates\"\nhome = \"home\"\n";
    let config = Config::parse(text, "rates.toml", "rates.test").map_err(|p| format!("{} problems", p.len()))?;
    let mut server = VirtualServer::clone(&config.servers[0]);
    server.home = home.to_owned();
    Ok(server)
}

fn envelope() -> Outcome<Envelope> {
    Ok(Envelope {
        sender: ReversePath::Mailbox(Mailbox::parse("application@src.example").map_err(|e| e.to_string())?),
        arrived: Timestamp(1_795_330_800_123),
        origin: Origin::Smtp { peer: "127.0.0.1".parse()?, helo: "client.example".into(), account: None },
        size: 0,
        body: BodyKind::EightBitMime,
        utf8: false,
        ret: None,
        envid: None,
        require_tls: false,
        waives_tls: false,
        recipients: vec![Recipient {
            address: Mailbox::parse("somebody@dest.example").map_err(|e| e.to_string())?,
            orcpt: None,
            notify: Notify::Default,
            fate: Fate::Pending { tries: 0, due: Timestamp(0) },
            delay_noticed: false,
        }],
        attempts: Vec::new(),
        released: None,
        subject: None,
    })
}

async fn commit(store: Store, content: Bytes, envelope: Envelope) -> Outcome<Duration> {
    let mut incoming = store.incoming(store.begin().map_err(|r| r.to_string())?);
    incoming.append(Bytes::from_static(b"Received: by rates.test; now\r\n")).await.map_err(|r| r.to_string())?;
    incoming.append(content).await.map_err(|r| r.to_string())?;
    let start = Instant::now();
    let receipt = store.commit(incoming, envelope).await.map_err(|r| r.to_string())?;
    let time = start.elapsed();
    drop(receipt);
    Ok(time)
}

/// What the queue would do with messages that leave at once, or that wait.
fn stand_in(events: &Receiver<Event>, store: &Store, park: &AtomicBool, parked: &AtomicUsize) {
    let mut waiting: Vec<ParkJob> = Vec::new();
    let mut under_way = false;
    for event in events {
        match event {
            Event::Accepted(all) if park.load(Ordering::Relaxed) => {
                waiting.extend(all.into_iter().map(|m| ParkJob {
                    id: m.id,
                    envelope: Arc::new(m.envelope),
                    place: m.place,
                }));
            }
            Event::Accepted(all) => all.iter().for_each(|m| store.note(Note::Gone(m.id))),
            Event::Parked(ids) => {
                parked.fetch_add(ids.len(), Ordering::Relaxed);
                under_way = false;
            }
            _ => {}
        }
        if !under_way && !waiting.is_empty() {
            under_way = true;
            store.park(waiting.drain(..waiting.len().min(256)).collect());
        }
    }
}

async fn measure(store: &Store, committers: usize, time: Duration) -> Outcome<usize> {
    let content =
        Bytes::from(b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(CONTENT / 64));
    let start = Instant::now();
    let cpu = cpu_time()?;
    let tasks: Vec<_> = (0..committers)
        .map(|_| {
            let (store, content) = (store.clone(), content.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                let envelope = envelope()?;
                while start.elapsed() < time {
                    times.push(commit(store.clone(), content.clone(), envelope.clone()).await?);
                }
                Outcome::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort_unstable();
    let count = times.len();
    let at = |percent: usize| times.get(count * percent / 100).copied().unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "{committers:3} at once: {:7.0} commits/s, p50 {:.3} ms, p99 {:.3} ms, processor {:.1} us a commit",
        count as f64 / start.elapsed().as_secs_f64(),
        at(50),
        at(99),
        (cpu_time()? - cpu).as_secs_f64() * 1e6 / count as f64
    );
    Ok(count)
}

/// Processor time of this process so far.
fn cpu_time() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = std::env::args().nth(1).ok_or("say in which folder")?;
    let home = Path::new(&folder).join("spool_rates");
    let _ = std::fs::remove_dir_all(&home);
    let server = server(&home)?;
    let (sender, events) = channel();
    let (store, _) = Store::open(&server, sender)?;
    let (park, parked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let queue = {
        let (store, park, parked) = (store.clone(), park.clone(), parked.clone());
        std::thread::spawn(move || stand_in(&events, &store, &park, &parked))
    };
    println!("messages that leave at once:");
    tokio::time::sleep(Duration::from_millis(500)).await;
    for committers in [1, 2, 20, 100] {
        measure(&store, committers, Duration::from_secs(3)).await?;
    }
    println!("messages that are all parked:");
    park.store(true, Ordering::Relaxed);
    let start = Instant::now();
    let mut accepted = 0;
    while accepted < PARKED {
        accepted += measure(&store, 20, Duration::from_secs(2)).await?;
        println!("     parked {:7.0}/s so far", parked.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64());
    }
    while parked.load(Ordering::Relaxed) < accepted {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("all {accepted} parked after {:.1} s", start.elapsed().as_secs_f64());
    park.store(false, Ordering::Relaxed);
    println!("with them in the folder:");
    for committers in [1, 20] {
        measure(&store, committers, Duration::from_secs(3)).await?;
    }
    store.close().await;
    drop(store);
    drop(queue);
    let start = Instant::now();
    let (sender, events) = channel();
    let (store, recovery) = Store::open(&server, sender)?;
    println!("a start finds {} in {:.3} s", recovery.journal + recovery.folder, start.elapsed().as_secs_f64());
    while !matches!(events.recv()?, Event::FoundAll) {}
    println!("and has read all of them after {:.3} s", start.elapsed().as_secs_f64());
    store.close().await;
    std::fs::remove_dir_all(&home)?;
    Ok(())
}
