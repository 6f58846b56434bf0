//! The spool with its threads: what the rest of the service sees of the disk.
//!
//! A [`Store`] belongs to one virtual server and its home. Sessions hand messages in ([`Store::begin`], [`Incoming`],
//! [`Store::commit`]) and wait without holding a thread; the queue's notes and folder jobs are handed over and done in
//! order; what comes of them returns as [`Event`]s. Four threads do the work: one writes the journal, one writes notes into it
//! while that one waits for the disk, one works in the Queue folder, one makes journal segments ahead.
//!
//! How it is laid out on disk, and what is promised, stands in [`relay::spool`].

mod books;
mod content;
mod folder_thread;
mod inbox;
mod incoming;
mod journal_thread;
mod limits;
mod lock;
mod memory;

pub use content::Content;
pub(crate) use content::is_lost;
pub use incoming::{HEAD_MAX, Incoming};

use crate::files::{Files, FolderTrouble, advice};
use books::{Desk, NotesThread};
use folder_thread::FolderThread;
use inbox::Inbox;
use incoming::on_a_thread;
use journal_thread::{Commit, JournalThread, Work};
use limits::Limits;
use lock::{Lock, NotLocked};
use memory::Held;
use relay::admin::alarms::DiskFacts;
use relay::config::{QueueBounds, VirtualServer};
use relay::envelope::{Envelope, QueueId};
use relay::parcel::Place;
use relay::queue::Event;
use relay::spool::folder::Folder;
use relay::spool::journal::{Chore, Options};
use relay::spool::{Note, ParkJob, Receipt, SpoolError, UpdateJob, recover};
use smtp::reply::Reply;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Segments that the journal's bound is made of.
const SEGMENTS: u64 = 8;
/// A segment is at least and at most so long.
const SEGMENT_SIZES: (u64, u64) = (4 << 20, 64 << 20);

/// A home's spool. Cloning is cheap; all clones are the same.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    running: Arc<Running>,
}

/// What sessions and threads share.
struct Shared {
    disk: Files,
    folder: Folder<Files>,
    limits: Limits,
    held: Held,
    last_id: AtomicU64,
    /// The ids that the journal told of when it was opened, in order.
    known: Box<[QueueId]>,
    journal: Inbox<Work>,
    folder_jobs: Inbox<FolderJob>,
    events: Sender<Event>,
}

/// What ends with the store.
struct Running {
    threads: Mutex<Vec<JoinHandle<()>>>,
    shared: Arc<Shared>,
    /// Held until the threads have ended.
    lock: Mutex<Option<Lock>>,
}

/// Something to do in the Queue folder.
enum FolderJob {
    Park(Vec<ParkJob>),
    Update(UpdateJob),
    Remove(QueueId),
    Load(QueueId),
    RemoveContents(Vec<QueueId>),
}

/// What was found when the store was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Messages in the journal; they are on their way to the queue.
    pub journal: usize,
    /// Messages in the folder; they will follow.
    pub folder: usize,
    /// Damage, and where it was put: for the operator.
    pub troubles: Vec<String>,
}

/// Why a home cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it.
    Locked {
        /// The home.
        home: PathBuf,
        /// Its number, if it could be read.
        pid: Option<u32>,
    },
    /// A folder cannot be made, read or written.
    Folder(FolderTrouble),
    /// What is there cannot be read, or not be put in order.
    Spool(PathBuf, SpoolError),
    /// A thread cannot be started.
    Thread(io::Error),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locked { home, pid: Some(pid) } => {
                write!(
                    f,
                    "{} is in use by the process {pid}; end that one, or give this one another `home`",
                    home.display()
                )
            }
            Self::Locked { home, pid: None } => {
                write!(
                    f,
                    "{} is in use by another process; end that one, or give this one another `home`",
                    home.display()
                )
            }
            Self::Folder(trouble) => trouble.fmt(f),
            Self::Spool(path, error @ SpoolError::Disk { error: cause, .. }) => {
                let advice = advice(cause).map(|a| format!(" ({a})")).unwrap_or_default();
                write!(f, "the queue in {} cannot be opened: {error}{advice}", path.display())
            }
            Self::Thread(error) => write!(f, "a thread cannot be started: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl Store {
    /// Opens the home's queue: locks it, reads the journal, starts the threads. What was in the journal is sent to the
    /// queue before this returns; what is in the folder follows slice by slice.
    ///
    /// # Errors
    /// The home is in use or cannot be used.
    pub fn open(server: &VirtualServer, events: Sender<Event>) -> Result<(Store, Recovery), StoreError> {
        let root = server.home.join("Queue");
        let disk = Files::open(&root, &["journal", "damaged"]).map_err(StoreError::Folder)?;
        let lock = Lock::take(&root).map_err(|error| match error {
            NotLocked::Held(pid) => StoreError::Locked { home: server.home.clone(), pid },
            NotLocked::Io(error) => {
                StoreError::Folder(FolderTrouble { path: root.join("lock"), deed: "lock the file", error })
            }
        })?;
        let found = recover(&disk, options(&server.queue)).map_err(|error| StoreError::Spool(root, error))?;
        let troubles = found.troubles.iter().chain(&found.doubts).cloned().collect();
        let recovery = Recovery { journal: found.messages.len(), folder: found.scan.left(), troubles };
        let shared = Arc::new(Shared {
            disk,
            folder: found.folder,
            limits: Limits::new(server.queue, (recovery.journal + recovery.folder) as u64),
            held: Held::default(),
            last_id: AtomicU64::new(found.highest.0),
            known: found.known.into(),
            journal: Inbox::new(),
            folder_jobs: Inbox::new(),
            events,
        });
        if !found.messages.is_empty() {
            shared.send(Event::Accepted(found.messages));
        }
        let (chores, chore_list) = channel();
        let desk = Arc::new(Desk::new(found.journal));
        let notes = NotesThread { shared: shared.clone(), desk: desk.clone() };
        let journal = JournalThread {
            shared: shared.clone(),
            desk,
            chores,
            unparked: Vec::new(),
            looked_at: Instant::now(),
            asked_at: None,
        };
        let folder = FolderThread { shared: shared.clone(), scan: Some(found.scan), again_at: None };
        let of_chores = shared.clone();
        let threads = vec![
            start("journal", move || journal.run())?,
            start("notes", move || notes.run())?,
            start("folder", move || folder.run())?,
            start("segments", move || run_chores(&of_chores, &chore_list))?,
        ];
        let running = Running { threads: Mutex::new(threads), shared: shared.clone(), lock: Mutex::new(Some(lock)) };
        Ok((Store { shared, running: Arc::new(running) }, recovery))
    }

    /// A new configuration holds: its bounds from now on. (Segments keep the size they were opened with.)
    pub fn configure(&self, server: &VirtualServer) {
        self.shared.limits.configure(server.queue);
    }

    /// The id for a new message, if one may come in.
    ///
    /// # Errors
    /// The reply to give: 452 4.3.1 when the disk is full or has failed, or the queue is full.
    pub fn begin(&self) -> Result<QueueId, Reply> {
        self.shared.limits.check().map(|()| self.shared.next_id())
    }

    /// The id for a report of our own: a full queue does not keep it out, because with it another message may leave.
    ///
    /// # Errors
    /// The reply, for the log: the disk is full or has failed.
    pub fn begin_report(&self) -> Result<QueueId, Reply> {
        self.shared.limits.check_report().map(|()| self.shared.next_id())
    }

    /// Ids in a row for `count` messages that are handed in one after the other; the first of them.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub fn begin_many(&self, count: u32) -> Result<QueueId, Reply> {
        self.shared.limits.check().map(|()| self.shared.next_ids(count))
    }

    /// Was this message accepted in an earlier life? Told of those that the journal still tells of, whatever has become
    /// of them since; so only for one that was handed in just before that life ended.
    #[must_use]
    pub fn knows(&self, id: QueueId) -> bool {
        self.shared.known.binary_search(&id).is_ok()
    }

    /// A place for the content of the message `id`, which [`Store::begin`] gave.
    #[must_use]
    pub fn incoming(&self, id: QueueId) -> Incoming {
        Incoming::new(self.shared.clone(), id)
    }

    /// Accepts the message: returns when it is durable. `envelope.size` is set to what came in.
    ///
    /// # Errors
    /// The reply to give; the message is not accepted.
    pub async fn commit(&self, incoming: Incoming, mut envelope: Envelope) -> Result<Receipt, Reply> {
        envelope.size = incoming.len();
        let (accept, memory) = incoming.finish(envelope.print()).await?;
        let (reply, answer) = oneshot::channel();
        let commit = Box::new(Commit { accept, envelope, memory, reply });
        if let Err(Work::Commit(commit)) = self.shared.journal.push(Work::Commit(commit)) {
            if commit.memory.is_none() {
                self.shared.discard_content(commit.accept.id());
            }
            return Err(Reply::new(421, 3, 2, "The service is stopping; try again later"));
        }
        answer.await.unwrap_or_else(|_| Err(limits::poisoned()))
    }

    /// Tells the journal what became of a message that it holds (or held: what is parked by now is passed on).
    pub fn note(&self, note: Note) {
        self.shared.journal_work(Work::Note(note));
    }

    /// Moves messages into the folder; `Event::Parked` or `Event::ParkFailed` tells of each.
    pub fn park(&self, jobs: Vec<ParkJob>) {
        self.shared.journal_work(Work::Parking(jobs.iter().map(|job| job.id).collect()));
        self.shared.folder_job(FolderJob::Park(jobs));
    }

    /// Replaces a parked message's envelope; `Event::Updated` or `Event::UpdateFailed` tells of it.
    pub fn update(&self, job: UpdateJob) {
        self.shared.folder_job(FolderJob::Update(job));
    }

    /// A parked message waits no more although it was not removed; its files, if there are any, stay.
    pub fn lost(&self, id: QueueId) {
        tracing::debug!("message {id} is counted no more");
        self.shared.one_less();
    }

    /// Removes a parked message; `Event::RemoveFailed` tells if that cannot be done, and then it still counts as waiting.
    pub fn remove(&self, id: QueueId) {
        self.shared.one_less();
        self.shared.folder_job(FolderJob::Remove(id));
    }

    /// Reads a parked message's envelope; `Event::Loaded` brings it.
    pub fn load(&self, id: QueueId) {
        self.shared.folder_job(FolderJob::Load(id));
    }

    /// A message's content; from memory without waiting.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn content(&self, id: QueueId, place: &Place) -> io::Result<Content> {
        if let Place::Journal { memory: Some(content), .. } = place {
            return Ok(Content::from(content.clone()));
        }
        let (shared, place) = (self.shared.clone(), place.clone());
        on_a_thread(move || Content::open(&shared, id, &place)).await
    }

    /// The same for threads that may wait for the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn content_blocking(&self, id: QueueId, place: &Place) -> io::Result<Content> {
        Content::open(&self.shared, id, place)
    }

    /// Octets of message content held in memory now.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.shared.held.octets()
    }

    /// How the disk stands, and how full the queue is, by the last look.
    #[must_use]
    pub fn disk(&self) -> DiskFacts {
        self.shared.limits.facts()
    }

    /// Messages that wait, in journal and folder.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.shared.limits.waiting.load(Ordering::Relaxed)
    }

    /// Does what was handed over, makes all notes durable, ends the threads. What is committed after this is refused.
    pub async fn close(&self) {
        let running = self.running.clone();
        let _ = on_a_thread(move || {
            running.stop();
            Ok(())
        })
        .await;
    }
}

impl Shared {
    fn next_id(&self) -> QueueId {
        self.next_ids(1)
    }

    /// The first of `count` ids in a row, above all that were ever given.
    fn next_ids(&self, count: u32) -> QueueId {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_micros()).unwrap_or(0);
        let first = |last: u64| now.max(last.saturating_add(1));
        let next = |last: u64| Some(first(last).saturating_add(u64::from(count.max(1)) - 1));
        let last = self.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_else(|last| last);
        QueueId(first(last))
    }

    /// The folder's thread ends after all who send to it; what comes even later, the next start sweeps.
    fn folder_job(&self, job: FolderJob) {
        let _ = self.folder_jobs.push(job);
    }

    /// After the end of the journal's thread a note is lost: the next start delivers again what it was about.
    fn journal_work(&self, work: Work) {
        let _ = if work.is_first() { self.journal.push_first(work) } else { self.journal.push(work) };
    }

    fn discard_content(&self, id: QueueId) {
        self.folder_job(FolderJob::RemoveContents(vec![id]));
    }

    fn one_less(&self) {
        self.limits.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    fn more(&self, count: usize) {
        self.limits.waiting.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The queue's thread may have ended before us; what it would do, the next start does.
    fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Something that the operator should mend.
    fn alarm(&self, text: String) {
        self.send(Event::Alarm(text));
    }

    /// The disk has failed outside the journal: nothing may be written any more.
    fn poison(&self, why: &str) {
        self.fail(why);
        self.journal_work(Work::Poison(why.to_owned()));
    }

    /// From now on nothing is accepted in this life; told once.
    fn fail(&self, why: &str) {
        if self.limits.poison() {
            self.alarm(format!(
                "{why}; new messages are refused with 452 4.3.1. Look into the system's log for the disk's error, then \
                 restart: what was accepted is still there"
            ));
        }
    }
}

impl Running {
    /// The journal passes on what it has for the folder, the folder ends, then the journal.
    fn stop(&self) {
        self.shared.journal_work(Work::Close);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
        // Nothing is written any more. A session or connection that lingers still has the store: it must not keep the
        // next one, after a reload, from this home.
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new().name(name.into()).spawn(run).map_err(StoreError::Thread)
}

fn run_chores(shared: &Shared, chores: &Receiver<Chore>) {
    for chore in chores {
        let done = chore.run(&shared.disk);
        shared.journal_work(Work::ChoreDone(done));
    }
}

fn options(bounds: &QueueBounds) -> Options {
    let (least, most) = SEGMENT_SIZES;
    let size = (bounds.journal_max / SEGMENTS).clamp(least, most) / 4096 * 4096;
    let mut options = Options::new(RandomState::new().build_hasher().finish());
    options.segment_size = u32::try_from(size).unwrap_or(64 << 20);
    options
}

#[cfg(test)]
mod tests;
