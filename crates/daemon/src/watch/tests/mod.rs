//! The pickup service on this machine's disk: writers of all kinds, and things that are no files.

mod crash;
mod disks;
mod writers;

use super::*;
use crate::local::folder::Folder;
use relay::config::Config;
use relay::envelope::{Envelope, QueueId};
use relay::parcel::Place;
use relay::queue::{Accepted, Event};
use relay::record::Level;
use relay::spool::Note;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Mutex;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LONG: Duration = Duration::from_secs(3_600);
/// Nothing is taken because of the time that has passed: only what the system tells counts.
const SIGNS_ONLY: Patience = Patience { quiet: LONG, empty: LONG, rescan: LONG, ..IMPATIENT };
const SHORT: Duration = Duration::from_millis(50);
/// Whatever is left alone for a moment is taken.
const IMPATIENT: Patience = Patience {
    quiet: SHORT,
    long_past: LONG,
    unsure: SHORT,
    open: LONG,
    empty: SHORT,
    rescan: SHORT,
    pause: SHORT,
    aside: SHORT,
};
/// For what must not happen: how long it is given to happen.
const NEVER: Duration = Duration::from_millis(400);

const MAIL: &str = "From: app@example.com\nTo: alice@example.com\nSubject: hello\n\nbody\n";

/// What the log says.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A home whose service is not running, or not any more.
struct Home {
    folder: TempDir,
    more: String,
}

/// A home at work.
struct Life {
    server: Arc<VirtualServer>,
    runtime: Runtime,
    store: Store,
    events: Receiver<Event>,
    watch: Option<Watch>,
    log: Log,
    lines: Lines,
}

fn home(more: &str) -> Home {
    let home = Home { folder: tempfile::tempdir().unwrap(), more: more.to_owned() };
    fs::create_dir_all(home.path("Pickup")).unwrap();
    home
}

impl Home {
    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join("home").join(name)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path("Pickup").join(name)).unwrap();
    }

    fn names(&self, folder: &str) -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return BTreeSet::new() };
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    fn server(&self) -> Arc<VirtualServer> {
        let text = format!("[[virtual_server]]\nname = \"test\"\nhome = \"home\"\n{}", self.more);
        let path = self.folder.path().join("mailroot.toml");
        let config = Config::parse(&text, &path.to_string_lossy(), "relay.example.com");
        config.map_err(|p| format!("{p:?}")).unwrap().servers[0].clone()
    }

    /// Opens the store; the pickup service does not run yet.
    fn open(&self) -> Life {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (server, lines, (sender, events)) = (self.server(), Lines::default(), channel());
        // A thread of the life before may still be letting go of the home.
        let mut opened = None;
        wait_until(
            || {
                opened = Store::open(&server, sender.clone()).ok();
                opened.is_some()
            },
            || "the home stays locked".into(),
        );
        let (store, _) = opened.unwrap();
        let (log, flush) = Log::start(Level::Info, Clock::start(), Box::new(lines.clone())).unwrap();
        std::mem::forget(flush);
        Life { server, runtime, store, events, watch: None, log, lines }
    }

    fn start(&self, patience: Patience) -> Life {
        let mut life = self.open();
        life.start(patience);
        life
    }

    /// The same; returns when the service listens and has looked through the folder once.
    fn start_and_look(&self, patience: Patience) -> Life {
        fs::create_dir(self.path("Pickup/no file")).unwrap();
        let life = self.start(patience);
        life.wait_for("no file in Pickup is no regular file");
        fs::remove_dir(self.path("Pickup/no file")).unwrap();
        life
    }
}

impl Life {
    fn start(&mut self, patience: Patience) {
        let (store, clock, log, local) = (self.store.clone(), Clock::start(), self.log.clone(), self.local());
        let handle = self.runtime.handle().clone();
        let watch = Watch::start_with(&self.server, store, local, clock, log, handle, patience).unwrap();
        self.watch = Some(watch);
    }

    fn local(&self) -> Local {
        let (sender, _) = channel();
        Local::start(&self.server, self.store.clone(), sender, Clock::start(), self.log.clone()).unwrap()
    }

    /// A service without its thread: its steps can be taken one by one.
    fn service(&self) -> Service {
        let (_, orders) = channel();
        let (home, log) = (self.server.home.clone(), self.log.clone());
        Service::new(home, orders, self.submitter(), self.local(), log, Arc::default(), IMPATIENT)
    }

    fn submitter(&self) -> Submitter {
        let (store, handle) = (self.store.clone(), self.runtime.handle().clone());
        Submitter::new(&self.server, store, Clock::start(), self.log.clone(), handle, Arc::default())
    }

    /// Ends it as the service does.
    fn end(self) {
        if let Some(watch) = &self.watch {
            watch.stop();
            self.runtime.block_on(watch.ended());
        }
        self.runtime.block_on(self.store.close());
    }

    /// The next message that is accepted.
    fn accepted(&self) -> Accepted {
        self.accepted_many(1).remove(0)
    }

    /// So many messages, in the order of acceptance.
    fn accepted_many(&self, count: usize) -> Vec<Accepted> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.events.recv_timeout(Duration::from_secs(60)) {
                Ok(Event::Accepted(accepted)) => all.extend(accepted),
                Ok(_) => {}
                Err(e) => panic!("{e} after {} messages; the log: {}", all.len(), self.said()),
            }
        }
        assert_eq!(all.len(), count, "more than expected");
        all
    }

    /// Nothing is accepted for a while.
    fn nothing(&self) {
        let until = Instant::now() + NEVER;
        while let Ok(event) = self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            assert!(!matches!(event, Event::Accepted(_)), "{event:?}");
        }
    }

    fn content(&self, accepted: &Accepted) -> String {
        let content = self.runtime.block_on(async {
            let content = self.store.content(accepted.id, &accepted.place).await.unwrap();
            content.whole(1 << 30).await.unwrap()
        });
        String::from_utf8(content.to_vec()).unwrap()
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.lines.0.lock().unwrap()).into_owned()
    }

    /// Waits until the log says this.
    fn wait_for(&self, text: &str) {
        wait_until(|| self.said().contains(text), || format!("the log does not say {text:?}: {}", self.said()));
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool, why: impl Fn() -> String) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "{}", why());
        thread::sleep(Duration::from_millis(5));
    }
}

fn addresses(envelope: &Envelope) -> Vec<String> {
    envelope.recipients.iter().map(|r| r.address.to_string()).collect()
}

#[test]
fn a_file_moved_in_is_sent_at_once_and_is_gone() {
    let home = home("");
    let life = home.start_and_look(SIGNS_ONLY);
    home.put("order.eml", MAIL);
    let accepted = life.accepted();
    assert_eq!(addresses(&accepted.envelope), ["alice@example.com"]);
    assert_eq!(accepted.envelope.origin, Origin::Pickup { file: "order.eml".into() });
    let content = life.content(&accepted);
    assert!(content.starts_with("Received: from mail pickup service by relay.example.com with Mailroot id"));
    assert!(content.ends_with("\r\n\r\nbody\r\n"));
    assert_eq!(content.len() as u64, accepted.envelope.size);
    life.wait_for("picked_up id=");
    wait_until(|| home.names("Queue/claimed").is_empty(), || "the claimed file stays".into());
    assert!(home.names("Pickup").is_empty());
    life.nothing();
    life.end();
}

#[test]
fn a_writer_who_holds_the_file_open_is_waited_for() {
    let home = home("");
    // However impatient it is otherwise.
    let life = home.start_and_look(Patience { quiet: LONG, ..IMPATIENT });
    let mut file = File::options().write(true).create_new(true).open(home.path("Pickup/5f0c.eml")).unwrap();
    file.write_all(b"X-Sender: app@example.com\r\nX-Receiver: alice@example.com\r\nX-Receiver: bob@example.com\r\n")
        .unwrap();
    life.nothing();
    file.write_all(b"From: app@example.com\r\n\r\nhalf").unwrap();
    life.nothing();
    file.write_all(b" and half\r\n").unwrap();
    drop(file);
    let accepted = life.accepted();
    assert_eq!(addresses(&accepted.envelope), ["alice@example.com", "bob@example.com"]);
    assert!(life.content(&accepted).ends_with("half and half\r\n"));
    life.end();
}

#[test]
fn a_file_under_a_lock_is_waited_for() {
    let home = home("");
    home.put("locked.eml", MAIL);
    let file = File::open(home.path("Pickup/locked.eml")).unwrap();
    file.lock_shared().unwrap();
    let life = home.start(IMPATIENT);
    life.nothing();
    file.unlock().unwrap();
    life.accepted();
    life.end();
}

#[test]
fn what_lay_there_before_the_start_is_sent_in_order() {
    let home = home("");
    for n in 0..300 {
        // Names in another order than time.
        home.put(&format!("{}.eml", 999 - n), MAIL.replace("hello", &format!("number {n}")));
        if n % 50 == 0 {
            thread::sleep(Duration::from_millis(20));
        }
    }
    let mut by_time: Vec<_> = fs::read_dir(home.path("Pickup")).unwrap().map(|e| e.unwrap()).collect();
    let age = |e: &fs::DirEntry| {
        use std::os::unix::fs::MetadataExt;
        let m = e.metadata().unwrap();
        (m.ctime(), m.ctime_nsec(), e.file_name())
    };
    by_time.sort_by_key(age);
    let life = home.start(IMPATIENT);
    let mut accepted = life.accepted_many(300);
    accepted.sort_by_key(|a| a.id);
    for (entry, accepted) in by_time.iter().zip(&accepted) {
        let file = entry.file_name().to_string_lossy().into_owned();
        assert_eq!(accepted.envelope.origin, Origin::Pickup { file: file.into() });
    }
    life.end();
}

#[test]
fn what_is_no_ordinary_file_is_left_alone_and_told_of_once() {
    let home = home("");
    let pickup = home.path("Pickup");
    fs::write(home.path("secret"), MAIL).unwrap();
    std::os::unix::fs::symlink(home.path("secret"), pickup.join("link.eml")).unwrap();
    std::os::unix::fs::symlink("/nowhere", pickup.join("dangling.eml")).unwrap();
    fs::hard_link(home.path("secret"), pickup.join("second-name.eml")).unwrap();
    fs::create_dir(pickup.join("folder.eml")).unwrap();
    nix::unistd::mkfifo(&pickup.join("fifo.eml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(pickup.join("socket.eml")).unwrap();
    fs::write(pickup.join(".hidden.eml"), MAIL).unwrap();
    let life = home.start(IMPATIENT);
    life.wait_for("socket.eml in Pickup");
    home.put("good.eml", MAIL);
    life.accepted();
    for name in ["link", "dangling", "folder", "fifo", "socket"] {
        life.wait_for(&format!("{name}.eml in Pickup is no regular file"));
    }
    thread::sleep(SHORT * 4);
    assert_eq!(life.said().matches("left alone").count(), 5, "{}", life.said());
    assert_eq!(home.names("Pickup").len(), 7);
    // Once the other name is gone it is a file like any other.
    fs::remove_file(home.path("secret")).unwrap();
    assert_eq!(life.accepted().envelope.origin, Origin::Pickup { file: "second-name.eml".into() });
    drop(socket);
    life.end();
}

#[test]
fn names_mean_nothing() {
    let home = home("");
    let long = "n".repeat(255);
    let names: [&[u8]; 8] =
        [b"a\nb", b"-rf", b"CON", b"x.eml:stream", b"\xff\xfe.eml", b"'; rm *", b"%s%n", long.as_bytes()];
    for name in names {
        fs::write(home.path("Pickup").join(OsStr::from_bytes(name)), MAIL).unwrap();
    }
    let life = home.start(IMPATIENT);
    life.accepted_many(names.len());
    wait_until(|| home.names("Pickup").is_empty() && home.names("Queue/claimed").is_empty(), || "files stay".into());
    assert!(!life.said().contains("\nb"), "{}", life.said());
    life.end();
}

#[test]
fn read_only_files_are_sent_once() {
    let home = home("");
    home.put("read-only.eml", MAIL);
    let mut rights = fs::metadata(home.path("Pickup/read-only.eml")).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(home.path("Pickup/read-only.eml"), rights).unwrap();
    let life = home.start(IMPATIENT);
    life.accepted();
    life.end();
    let life = home.start(IMPATIENT);
    assert_eq!(life.accepted_many(1).len(), 1, "the same one, found in the journal");
    life.nothing();
    life.end();
}

#[test]
fn what_is_no_message_goes_into_badmail_with_the_reason() {
    let home = home("");
    let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    home.put("no-from.eml", "To: alice@example.com\n\nbody\n");
    home.put("nobody.eml", "From: app@example.com\n\nbody\n");
    home.put("binary.eml", &binary);
    home.put("empty.eml", "");
    home.put("late-nul.eml", [MAIL.as_bytes(), &b"line\n".repeat(100_000), b"\0"].concat());
    let huge = File::create(home.path("new")).unwrap();
    huge.set_len(10 << 30).unwrap();
    drop(huge);
    fs::rename(home.path("new"), home.path("Pickup/huge.eml")).unwrap();
    home.put("good.eml", MAIL);
    let life = home.start(IMPATIENT);
    life.accepted();
    for name in ["no-from", "nobody", "binary", "empty", "late-nul", "huge"] {
        life.wait_for(&format!("Pickup file {name}.eml is in Badmail"));
    }
    life.wait_for("The header has no From field");
    life.wait_for("The file is empty");
    life.wait_for("over the limit of 2097152 octets");
    life.nothing();
    assert_eq!(home.names("Badmail").len(), 18);
    assert!(home.names("Pickup").is_empty() && home.names("Queue/claimed").is_empty());
    assert!(!home.names("Queue").iter().any(|name| name.ends_with(".eml")), "{:?}", home.names("Queue"));
    let bad: Vec<_> = home.names("Badmail").into_iter().filter(|name| name.ends_with(".BAD")).collect();
    assert!(bad.iter().any(|name| fs::metadata(home.path("Badmail").join(name)).unwrap().len() == 10 << 30));
    assert!(bad.iter().any(|name| fs::read(home.path("Badmail").join(name)).is_ok_and(|octets| octets == binary)));
    life.end();
}

#[test]
fn ten_thousand_recipients_become_a_hundred_messages() {
    let home = home("");
    let receivers: String = (0..10_000).map(|n| format!("X-Receiver: user{n}@example.net\r\n")).collect();
    home.put("everybody.eml", receivers + "From: app@example.com\r\n\r\nhello\r\n");
    let life = home.start(IMPATIENT);
    let mut accepted = life.accepted_many(100);
    accepted.sort_by_key(|a| a.id);
    let everybody: Vec<String> = accepted.iter().flat_map(|a| addresses(&a.envelope)).collect();
    assert_eq!(everybody, (0..10_000).map(|n| format!("user{n}@example.net")).collect::<Vec<_>>());
    let id = |a: &Accepted| life.content(a).lines().find(|l| l.starts_with("Message-ID")).unwrap().to_owned();
    assert_eq!(id(&accepted[0]), id(&accepted[99]), "it is one message to those who get it");
    wait_until(|| home.names("Queue/claimed").is_empty(), || "the file stays".into());
    life.end();
}

#[test]
fn ids_in_a_row_are_given_to_nobody_else() {
    let home = home("");
    let life = home.open();
    // So many that the clock, which ids follow, does not overtake them meanwhile.
    let first = life.store.begin_many(1_000_000_000).unwrap();
    assert_eq!(life.store.begin().unwrap().0, first.0 + 1_000_000_000);
    life.end();
}

#[test]
fn a_large_file_is_streamed() {
    let home =
        home("[virtual_server.messages]\nsize_max = \"none\"\nsession_size_max = \"none\"\nrecipients_max = 2\n");
    let body = "0123456789abcdef\n".repeat(300_000);
    home.put("large.eml", format!("From: app@example.com\nTo: a@x.test, b@x.test, c@x.test\n\n{body}"));
    let life = home.start(IMPATIENT);
    let accepted = life.accepted_many(2);
    for message in &accepted {
        assert!(matches!(message.place, Place::File));
        let content = life.content(message);
        assert_eq!(content.len() as u64, message.envelope.size);
        assert!(content.split_once("\r\n\r\n").unwrap().1 == body.replace('\n', "\r\n"));
    }
    life.end();
}

#[test]
fn when_nothing_is_accepted_files_wait() {
    let home = home("[virtual_server.queue]\nmessages_max = 1000\n");
    let mut life = home.open();
    // The queue is full.
    let filler = home.path("filler.eml");
    fs::write(&filler, MAIL).unwrap();
    let mut submitter = life.submitter();
    fs::rename(&filler, home.path("Pickup/filler.eml")).unwrap();
    let mut folder = PickupFolder::open(&home.path("")).unwrap();
    let mut taken = vec![take(&mut folder, "filler.eml", submitter.begin().unwrap())];
    assert!(matches!(submitter.submit(&mut taken)[..], [Fate::Accepted]));
    let first = life.accepted();
    taken[0].remove().unwrap();
    for n in 0..999 {
        let id = life.store.begin().unwrap();
        let (store, envelope) = (life.store.clone(), first.envelope.clone());
        // All at once, so that they share syncs.
        life.runtime.spawn(async move {
            let mut incoming = store.incoming(id);
            incoming.append(format!("Subject: {n}\r\n\r\n").into()).await.unwrap();
            let _ = store.commit(incoming, envelope).await.unwrap();
        });
    }
    let fillers = life.accepted_many(999);
    home.put("waits.eml", MAIL);
    life.start(IMPATIENT);
    life.wait_for("Pickup waits: 452 4.3.1");
    life.nothing();
    assert_eq!(home.names("Pickup").len(), 1);
    for filler in fillers {
        life.store.note(Note::Gone(filler.id));
    }
    life.accepted();
    life.end();
}

#[test]
fn a_deleted_folder_is_made_again() {
    let home = home("");
    let life = home.start(IMPATIENT);
    home.put("first.eml", MAIL);
    life.accepted();
    for folder in ["Pickup", "Queue/claimed"] {
        wait_until(|| home.names("Queue/claimed").is_empty(), || "the claimed file stays".into());
        fs::remove_dir_all(home.path(folder)).unwrap();
        wait_until(|| home.path(folder).is_dir(), || format!("{folder} is not made again"));
        home.put("another.eml", MAIL);
        life.accepted();
    }
    life.end();
}

/// Takes this file of Pickup as the service would.
fn take(folder: &mut PickupFolder, name: &str, id: QueueId) -> Taken {
    let look = folder.look_visible(OsStr::new(name)).unwrap();
    folder.take(OsStr::new(name), &look, id).unwrap()
}

#[test]
fn a_swap_in_the_last_moment_never_lets_us_read_elsewhere() {
    let home = home("");
    let secret = home.path("secret");
    fs::write(&secret, "root:secret\n").unwrap();
    let (name, link, file) = (home.path("Pickup/x.eml"), home.path("link"), home.path("file"));
    let over = Arc::new(AtomicBool::new(false));
    let swapper = thread::spawn({
        let (over, secret, name) = (over.clone(), secret.clone(), name.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                let _ = fs::write(&file, MAIL);
                let _ = fs::rename(&file, &name);
                let _ = std::os::unix::fs::symlink(&secret, &link);
                let _ = fs::rename(&link, &name);
                let _ = fs::hard_link(&secret, &link);
                let _ = fs::rename(&link, &name);
                let _ = fs::remove_file(&name);
            }
        }
    });
    let mut folder = PickupFolder::open(&home.path("")).unwrap();
    let (mut taken, mut refused) = (0_u64, 0_u64);
    let until = Instant::now() + Duration::from_secs(60);
    while (taken + refused < 10_000 || taken == 0 || refused == 0) && Instant::now() < until {
        let Some(look) = folder.look_visible(OsStr::new("x.eml")) else { continue };
        match folder.take(OsStr::new("x.eml"), &look, QueueId(taken)) {
            Ok(file) => {
                let text = io::read_to_string(&file.file).unwrap();
                assert!(text.is_empty() || MAIL.starts_with(&text), "{text:?}");
                file.remove().unwrap();
                taken += 1;
            }
            Err(NotTaken::Failed(e)) => panic!("{e}"),
            Err(_) => refused += 1,
        }
    }
    over.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "root:secret\n");
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused: no race happened");
}

#[test]
fn a_folder_with_more_files_than_are_kept_in_mind_is_worked_through() {
    let home = home("");
    let pickup = Folder::open(&home.path("Pickup")).unwrap();
    for n in 0..2_000 {
        fs::write(pickup.path().join(format!("{n}.eml")), MAIL).unwrap();
    }
    let life = home.start(IMPATIENT);
    life.accepted_many(2_000);
    wait_until(|| home.names("Pickup").is_empty(), || "files stay".into());
    life.end();
}
