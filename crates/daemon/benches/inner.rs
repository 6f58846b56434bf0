//! How fast the inner parts are, each alone on one thread: the dot machine, both session machines, the journal, the queue.
//!
//! `cargo bench -p daemon --bench inner`; a word behind `--` picks benchmarks by name. Criterion compares each figure with
//! that of the run before. The machines speak with canned peers in memory; the journal writes to the real disk, below
//! the build folder, because a temporary folder may be memory, where a sync costs nothing.
//!
//! What it does not say: how fast the whole is. There are no sockets, no threads that wait for one another and no other
//! server here; `bench/README.md` tells how the whole is measured.

use bytes::{Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput};
use daemon::files::Files;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use relay::config::{Config, VirtualServer};
use relay::envelope::{Envelope, Fate, Origin, QueueId, Recipient};
use relay::parcel::{ConnectionId, Outcome, Parcel, Place, Taken};
use relay::queue::{Accepted, Effect, Event, Queue};
use relay::spool::journal::{Accept, Chore, ChoreDone, Entry, Journal, Options, Written};
use relay::spool::{Note, Receipt, recover};
use smtp::address::{Domain, Mailbox, ReversePath};
use smtp::body::{BareNewlines, Decoder};
use smtp::client::{self, Addressee, Form, Protocol, Stuffer, Transaction};
use smtp::command::{BodyKind, Notify};
use smtp::server::{self, Answer, Closing, Question};
use smtp::time::Timestamp;
use std::collections::VecDeque;
use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

type Outcomes<T> = Result<T, Box<dyn Error>>;

/// Octets of a message, unless the name of the benchmark says otherwise.
const MESSAGE: usize = 10 << 10;
/// Octets that come with one read from a peer.
const READ: usize = 64 << 10;
/// When everything happens, where time does not matter.
const NOW: Timestamp = Timestamp(1_800_000_000_000);
/// Inputs made ahead, so that making them is not measured: few enough to stay in the processor's cache.
const AHEAD: BatchSize = BatchSize::NumIterations(64);

fn main() -> Outcomes<()> {
    let mut criterion = Criterion::default().configure_from_args();
    dot_machine(&mut criterion);
    stuffer(&mut criterion);
    receiving(&mut criterion)?;
    sending(&mut criterion)?;
    journal(&mut criterion)?;
    queue(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// A message of exactly so many octets, all of whose lines are `line`, but for the header and the last.
fn message(octets: usize, line: &str) -> Bytes {
    let mut text = b"From: <a@local.test>\r\nTo: <b@far.test>\r\nSubject: figures\r\n\r\n".to_vec();
    while text.len() + line.len() + 4 <= octets {
        text.extend_from_slice(line.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.resize(octets - 2, b'x');
    text.extend_from_slice(b"\r\n");
    text.into()
}

/// A message of plain lines of the usual length.
fn plain(octets: usize) -> Bytes {
    message(octets, "The quick brown fox jumps over the lazy dog; then it sits down. And waits.")
}

/// A message as it goes over the wire after DATA.
fn dotted(message: &Bytes) -> Vec<u8> {
    let mut stuffer = Stuffer::new();
    let content = stuffer.chunk(message.clone());
    [content, stuffer.finish()].concat()
}

/// Messages that the dot machine and the stuffer find easy, hard, and hardest.
fn kinds() -> [(&'static str, Bytes); 5] {
    [
        ("clean, 10 KiB", plain(MESSAGE)),
        ("clean, 1 MiB", plain(1 << 20)),
        (
            "a dot before each line, 10 KiB",
            message(MESSAGE, ".hidden files, and lines like them, begin with a dot each"),
        ),
        ("lines of one dot, 10 KiB", message(MESSAGE, ".")),
        ("lines of a dot and a letter, 10 KiB", message(MESSAGE, ".x")),
    ]
}

/// Content off the wire, as the receiving session reads it.
fn dot_machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dot machine");
    for (name, message) in kinds() {
        let wire = dotted(&message);
        group.throughput(Throughput::Bytes(wire.len() as u64));
        let ahead = if message.len() > MESSAGE { BatchSize::PerIteration } else { AHEAD };
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || BytesMut::from(wire.as_slice()),
                |wire| assert_eq!(decode(wire), message.len(), "the message came through"),
                ahead,
            );
        });
    }
    group.finish();
}

/// Octets of content, if all is well with it.
fn decode(wire: &mut BytesMut) -> usize {
    let mut decoder = Decoder::dotted(BareNewlines::Reject);
    let mut octets = 0;
    while !wire.is_empty() {
        let mut read = wire.split_to(wire.len().min(READ));
        octets += black_box(decoder.decode(&mut read)).content.len();
    }
    octets
}

/// Content onto the wire, as the sending session writes it.
fn stuffer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stuffer");
    for (name, message) in kinds() {
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut stuffer = Stuffer::new();
                (stuffer.chunk(message.clone()), stuffer.finish())
            });
        });
    }
    group.finish();
}

/// The receiving session: every question is answered yes at once. What it hands over is dropped.
fn receiving(criterion: &mut Criterion) -> Outcomes<()> {
    let folder = folder()?;
    // A real one: nothing else makes a 250 after a message.
    let receipt = a_receipt(folder.path())?;
    let names = (Domain::parse("relay.test")?, Domain::parse("local.test")?);
    let mut settings = server::Settings::new(names.0, names.1);
    // One connection carries the messages of a whole run.
    settings.session_size_max = None;
    let settings = Arc::new(settings);
    let content = dotted(&plain(MESSAGE));
    let begin = || server::Session::new(settings.clone(), Arc::default(), IpAddr::V4(Ipv4Addr::LOCALHOST), NOW);

    let mut group = per_message(criterion, "receiving session, 10 KiB");
    group.bench_function("a connection with one message", |bencher| {
        bencher.iter(|| {
            let mut session = begin();
            assert_eq!(receive(&mut session, b"EHLO client.test\r\n", &receipt), (0, None), "it says hello");
            assert_eq!(hand_in(&mut session, &content, &receipt), MESSAGE, "the message came through");
            assert_eq!(receive(&mut session, b"QUIT\r\n", &receipt), (0, Some(Closing::Quit)), "it says good-bye");
        });
    });
    let mut session = begin();
    receive(&mut session, b"EHLO client.test\r\n", &receipt);
    group.bench_function("a further message", |bencher| {
        bencher.iter(|| assert_eq!(hand_in(&mut session, &content, &receipt), MESSAGE, "the message came through"));
    });
    group.finish();
    Ok(())
}

/// One transaction, pipelined as far as a client may: the commands, then, after 354, the content. Octets taken.
fn hand_in(session: &mut server::Session, content: &[u8], receipt: &Receipt) -> usize {
    let commands = b"MAIL FROM:<a@local.test> SIZE=10240\r\nRCPT TO:<b@far.test>\r\nDATA\r\n";
    let (early, _) = receive(session, commands, receipt);
    early + receive(session, content, receipt).0
}

/// Brings one read from the peer and carries out what follows: octets of content that were committed, and the end.
fn receive(session: &mut server::Session, octets: &[u8], receipt: &Receipt) -> (usize, Option<Closing>) {
    session.receive(octets);
    let (mut content, mut committed) = (0, 0);
    while let Some(step) = session.next(NOW) {
        match step {
            server::Step::Send(replies) => drop(black_box(replies)),
            server::Step::Body(piece) => content += black_box(piece).len(),
            server::Step::Ask(Question::Begin) => session.answer(Answer::Begun),
            server::Step::Ask(Question::Commit) => {
                session.queued(receipt);
                committed = content;
            }
            server::Step::Ask(_) => session.answer(Answer::Accept),
            server::Step::Abandon | server::Step::StartTls => content = 0,
            server::Step::Close(why) => return (committed, Some(why)),
        }
    }
    (committed, None)
}

/// The sending session with its stuffer: a peer that offers PIPELINING takes everything.
fn sending(criterion: &mut Criterion) -> Outcomes<()> {
    let settings = client::Settings::plain("relay.test", Protocol::Esmtp, Duration::from_secs(600));
    let settings = Arc::new(settings);
    let content = plain(MESSAGE);
    let to = Addressee { address: Mailbox::parse("b@far.test")?, notify: Notify::Default, orcpt: None };
    let transaction = Transaction {
        sender: ReversePath::Mailbox(Mailbox::parse("a@local.test")?),
        recipients: vec![to],
        size: content.len() as u64,
        body: BodyKind::SevenBit,
        utf8: false,
        ret: None,
        envid: None,
        require_tls: false,
    };
    let begin = || {
        let mut session = client::Session::new(settings.clone(), NOW);
        session.receive(b"220 mx.far.test ESMTP ready\r\n");
        session
    };

    let mut group = per_message(criterion, "sending session, 10 KiB");
    group.bench_function("a connection with one message", |bencher| {
        let one = |transaction| {
            let mut session = begin();
            assert_eq!(send(&mut session, None, &content), End::Ready(0), "it is greeted");
            assert_eq!(send(&mut session, Some(transaction), &content), End::Ready(1), "the message is taken");
            session.quit();
            assert_eq!(send(&mut session, None, &content), End::Closed, "it says good-bye");
        };
        bencher.iter_batched(|| transaction.clone(), one, AHEAD);
    });
    let mut session = begin();
    send(&mut session, None, &content);
    group.bench_function("a further message", |bencher| {
        let one = |transaction| {
            assert_eq!(send(&mut session, Some(transaction), &content), End::Ready(1), "the message is taken");
        };
        bencher.iter_batched(|| transaction.clone(), one, AHEAD);
    });
    group.finish();
    Ok(())
}

/// Where a conversation came to.
#[derive(PartialEq, Eq, Debug)]
enum End {
    /// The session wants work; so many recipients were taken.
    Ready(usize),
    /// The session has ended.
    Closed,
    /// The session waits for what nobody will say, or has failed.
    Stuck,
}

/// Carries out the session's steps, with the peer's answer to each, until it wants work or has ended.
fn send(session: &mut client::Session, transaction: Option<Transaction>, content: &Bytes) -> End {
    if let Some(transaction) = transaction {
        session.begin(transaction);
    }
    let mut taken = 0;
    while let Some(step) = session.next(NOW) {
        match step {
            client::Step::Send(commands) => session.receive(answer(&commands)),
            client::Step::Content(Form::Dotted) => {
                let mut stuffer = Stuffer::new();
                black_box((stuffer.chunk(content.clone()), stuffer.finish()));
                session.content_sent();
                session.receive(b"250 2.6.0 0006453a1c2d8e01 queued for delivery\r\n");
            }
            client::Step::Done(results) => taken = results.iter().filter(|result| result.is_ok()).count(),
            client::Step::Ready => return End::Ready(taken),
            client::Step::Close => return End::Closed,
            // Neither chunks are offered, nor are TLS and AUTH asked for.
            client::Step::Content(Form::Chunk)
            | client::Step::Failed(_)
            | client::Step::StartTls
            | client::Step::Authenticate { .. }
            | client::Step::Challenge(_)
            | client::Step::Authenticated => return End::Stuck,
        }
    }
    End::Stuck
}

/// What the peer says to a batch of commands.
fn answer(commands: &[u8]) -> &'static [u8] {
    match commands.get(..4) {
        Some(b"EHLO") => {
            b"250-mx.far.test Hello\r\n250-PIPELINING\r\n250-SIZE 20971520\r\n250-8BITMIME\r\n\
              250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n"
        }
        Some(b"MAIL") => b"250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n354 Go on\r\n",
        _ => b"221 2.0.0 Good-bye\r\n",
    }
}

/// The journal over the real disk: one write and one sync for the messages of a batch and the ends of those before.
fn journal(criterion: &mut Criterion) -> Outcomes<()> {
    let folder = folder()?;
    let mut spool = Spool::open(folder.path())?;
    let mut group = criterion.benchmark_group("journal, 10 KiB");
    group.sampling_mode(SamplingMode::Flat);
    for count in [1, 32] {
        group.throughput(Throughput::Elements(count));
        let name = if count == 1 { "a commit alone".to_owned() } else { format!("{count} commits together") };
        group.bench_function(name, |bencher| bencher.iter_custom(|rounds| spool.write(count, rounds)));
    }
    group.finish();
    spool.close();
    Ok(())
}

/// A folder for the journal, on a real disk.
fn folder() -> Outcomes<TempDir> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    if statfs(folder.path())?.filesystem_type() == TMPFS_MAGIC {
        return Err("the build folder is in memory, where a sync costs nothing: set CARGO_TARGET_DIR to a disk".into());
    }
    Ok(folder)
}

fn open_journal(folder: &Path) -> Outcomes<(Files, Journal<Files>)> {
    let disk = Files::open(folder, &["journal", "damaged"])?;
    let recovered = recover(&disk, Options::new(1))?;
    Ok((disk, recovered.journal))
}

/// The proof that a message is on disk.
fn a_receipt(folder: &Path) -> Outcomes<Receipt> {
    let (_, mut journal) = open_journal(folder)?;
    let accept = Accept::new(QueueId(1), envelope("b@far.test", NOW)?.print(), plain(MESSAGE));
    let mut written = journal.write(&[Entry::Accept(accept)]);
    Ok(written.receipts.pop().ok_or("the journal took no message")?.0)
}

/// A journal with the thread that makes its segments ahead, as in the service.
struct Spool {
    journal: Journal<Files>,
    chores: Sender<Chore>,
    done: Receiver<ChoreDone<Files>>,
    thread: JoinHandle<()>,
    next_id: u64,
    envelope: String,
    content: Bytes,
    /// The ends of the messages of the batch before.
    ends: Vec<Entry>,
}

impl Spool {
    fn open(folder: &Path) -> Outcomes<Spool> {
        let (disk, journal) = open_journal(folder)?;
        let (chores, to_do) = channel::<Chore>();
        let (report, done) = channel();
        let thread = std::thread::spawn(move || {
            for chore in to_do {
                if report.send(chore.run(&disk)).is_err() {
                    return;
                }
            }
        });
        let envelope = envelope("b@far.test", NOW)?.print();
        let ends = Vec::new();
        Ok(Spool { journal, chores, done, thread, next_id: 1, envelope, content: plain(MESSAGE), ends })
    }

    /// How long so many batches of `count` messages take, without the making of them.
    fn write(&mut self, count: u64, rounds: u64) -> Duration {
        let mut time = Duration::ZERO;
        for _ in 0..rounds {
            let entries = self.batch(count);
            let begun = Instant::now();
            let written = self.journal.write(&entries);
            self.change_chores();
            time += begun.elapsed();
            check(&written, count, entries.len());
        }
        time
    }

    /// The ends of the messages before, and new messages.
    fn batch(&mut self, count: u64) -> Vec<Entry> {
        let ids = self.next_id..self.next_id + count;
        self.next_id = ids.end;
        let ends = ids.clone().map(|id| Entry::Note(Note::Gone(QueueId(id)))).collect();
        let mut entries = std::mem::replace(&mut self.ends, ends);
        entries
            .extend(ids.map(|id| Entry::Accept(Accept::new(QueueId(id), self.envelope.clone(), self.content.clone()))));
        entries
    }

    fn change_chores(&mut self) {
        while let Ok(done) = self.done.try_recv() {
            assert!(self.journal.chore_done(done).is_ok(), "a segment is made ahead");
        }
        if let Some(chore) = self.journal.chore() {
            assert!(self.chores.send(chore).is_ok(), "the thread lives");
        }
    }

    fn close(self) {
        drop(self.chores);
        assert!(self.thread.join().is_ok(), "the thread ends well");
    }
}

fn check(written: &Written, messages: u64, entries: usize) {
    assert!(written.trouble.is_none(), "{:?}", written.trouble);
    assert!(written.strangers.is_empty(), "every end is that of a message in the journal");
    assert_eq!((written.receipts.len() as u64, written.done), (messages, entries), "all is durable");
}

/// The queue: a message is accepted, given to a connection, taken by the next hop, and gone.
fn queue(criterion: &mut Criterion) -> Outcomes<()> {
    let server = virtual_server()?;
    let mut group = per_message(criterion, "queue");
    for (name, count, hops) in [("a message alone", 1, 1), ("32 messages for 8 next hops", 32, 8)] {
        group.throughput(Throughput::Elements(count));
        let envelopes =
            (0..hops).map(|hop| envelope(&format!("b@far{hop}.test"), NOW)).collect::<Outcomes<Vec<_>>>()?;
        let mut lane = Lane { queue: Queue::new(server.clone()), events: VecDeque::new(), effects: Vec::new() };
        let mut next_id = 0;
        group.bench_function(name, |bencher| {
            let arrivals = || {
                let ids = next_id..next_id + count;
                next_id = ids.end;
                // Ten thousand messages a second, so that what the queue keeps for a while does not grow for ever.
                let now = NOW.plus(Duration::from_millis(next_id / 10));
                (ids.zip(envelopes.iter().cycle()).map(|(id, envelope)| arrival(id, envelope, now)).collect(), now)
            };
            let live = |(arrivals, now)| assert_eq!(lane.live(arrivals, now), count, "all are gone");
            bencher.iter_batched(arrivals, live, AHEAD);
        });
    }
    group.finish();
    Ok(())
}

fn arrival(id: u64, envelope: &Envelope, now: Timestamp) -> Accepted {
    let mut envelope = envelope.clone();
    envelope.arrived = now;
    envelope.recipients.iter_mut().for_each(|to| to.fate = Fate::Pending { tries: 0, due: now });
    let place = Place::Journal { segment: 1, offset: 4096, len: 10 << 10, memory: None };
    Accepted { id: QueueId(id), envelope, place }
}

/// The queue, with a world around it that carries out everything at once and with success.
struct Lane {
    queue: Queue,
    events: VecDeque<Event>,
    effects: Vec<Effect>,
}

impl Lane {
    /// Lives until nothing is left to do; says how many messages went.
    fn live(&mut self, arrivals: Vec<Accepted>, now: Timestamp) -> u64 {
        let mut gone = 0;
        self.events.push_back(Event::Accepted(arrivals));
        while let Some(event) = self.events.pop_front() {
            self.queue.apply(event, now, &mut self.effects);
            for effect in self.effects.drain(..) {
                match effect {
                    Effect::Connect { connection, parcel } | Effect::Deliver { connection, parcel } => {
                        self.events.push_back(taken(connection, &parcel, now));
                    }
                    Effect::Quit { connection } => self.events.push_back(Event::Closed { connection, unsent: None }),
                    Effect::Note(Note::Gone(_)) => gone += 1,
                    other => drop(black_box(other)),
                }
            }
        }
        gone
    }
}

/// The next hop took the parcel.
fn taken(connection: ConnectionId, parcel: &Parcel, at: Timestamp) -> Event {
    let said = || Ok(Taken { said: "250 2.6.0 0006453a1c2d8e01 queued for delivery".into(), reports: false });
    let results = parcel.recipients.iter().map(|index| (*index, said())).collect();
    let outcome = Outcome { id: parcel.id, host: "mx.far.test [192.0.2.1]:25".into(), at, channel: None, results };
    Event::Attempted { connection: Some(connection), outcome }
}

fn virtual_server() -> Outcomes<Arc<VirtualServer>> {
    let text = "[[virtual_server]]\nname = \"one\"\nhome = \"/var/lib/mailroot\"\n\
                [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n";
    let config = Config::parse(text, "inner.toml", "relay.test")
        .map_err(|problems| problems.iter().map(|problem| problem.render(text)).collect::<String>())?;
    Ok(config.servers.first().ok_or("no virtual server")?.clone())
}

/// An envelope with one recipient.
fn envelope(to: &str, now: Timestamp) -> Outcomes<Envelope> {
    let recipient = Recipient {
        address: Mailbox::parse(to)?,
        orcpt: None,
        notify: Notify::Default,
        fate: Fate::Pending { tries: 0, due: now },
        delay_noticed: false,
    };
    Ok(Envelope {
        sender: ReversePath::Mailbox(Mailbox::parse("a@local.test")?),
        arrived: now,
        origin: Origin::Smtp { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), helo: "client.test".into(), account: None },
        size: MESSAGE as u64,
        body: BodyKind::SevenBit,
        utf8: false,
        ret: None,
        envid: None,
        require_tls: false,
        waives_tls: false,
        recipients: vec![recipient],
        attempts: Vec::new(),
        released: None,
        subject: None,
    })
}

/// A group whose figures are messages a second.
fn per_message<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group
}
