//! The thread that writes the journal: takes all that waits, writes it in one go, syncs once, hands out the receipts.
//!
//! A message that comes alone is written at once. While a sync is under way the next ones gather; that is the whole
//! batching. Notes are written at once too, by the notes' thread if this one waits for the disk ([`super::books`]), and made
//! durable with the next message, or after [`LAZY_SYNC`] if none comes.

use super::books::{Books, Desk};
use super::inbox::Waited;
use super::limits;
use super::{FolderJob, Shared};
use crate::files::Files;
use bytes::Bytes;
use relay::disk::Disk;
use relay::envelope::{Envelope, QueueId};
use relay::parcel::Place;
use relay::queue::{Accepted, Event};
use relay::spool::journal::{Accept, Chore, ChoreDone, Entry, JournalError, Position, Sync, Written};
use relay::spool::{Note, Receipt};
use smtp::reply::Reply;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Notes wait at most so long to become durable: what a power cut can deliver again is bounded by it.
const LAZY_SYNC: Duration = Duration::from_millis(50);
/// How often free space is looked at while there is work.
const LOOK_BUSY: Duration = Duration::from_millis(250);
/// How long to sleep when there is nothing to do.
const IDLE: Duration = Duration::from_secs(1);
/// How often the same messages are asked to be parked.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A message to commit.
pub(super) struct Commit {
    pub accept: Accept,
    pub envelope: Envelope,
    pub memory: Option<Bytes>,
    pub reply: oneshot::Sender<Result<Receipt, Reply>>,
}

/// What the thread is told.
pub(super) enum Work {
    Commit(Box<Commit>),
    Note(Note),
    /// The folder begins to park these.
    Parking(Vec<QueueId>),
    /// The folder has these, durably.
    Parked(Vec<QueueId>),
    /// The folder could not take these.
    ParkFailed(Vec<QueueId>),
    ChoreDone(ChoreDone<Files>),
    /// The disk has failed elsewhere.
    Poison(String),
    /// The store is closing: the folder does what it has, then nothing more comes.
    Close,
}

impl Work {
    /// Does it come before the rest, whichever came earlier? Only what needs no sync, and is none the worse for it.
    pub fn is_first(&self) -> bool {
        matches!(self, Work::Note(_) | Work::Parking(_) | Work::ParkFailed(_))
    }
}

pub(super) struct JournalThread {
    pub shared: Arc<Shared>,
    pub desk: Arc<Desk>,
    pub chores: Sender<Chore>,
    /// Messages that the folder has and the journal found no room to say so: tried again.
    pub unparked: Vec<QueueId>,
    pub looked_at: Instant,
    pub asked_at: Option<Instant>,
}

impl JournalThread {
    pub fn run(mut self) {
        let mut work = Vec::new();
        self.look();
        loop {
            self.hand_out_chores();
            if let Some(pause) = self.shared.limits.pause() {
                self.shared.journal.while_away(|| std::thread::sleep(pause));
            }
            let wait = if self.desk.books().journal.is_dirty() { LAZY_SYNC } else { IDLE };
            match self.shared.journal.take(&mut work, wait) {
                Waited::Arrived => self.carry_out(&mut work),
                Waited::TimedOut => self.settle_down(),
                Waited::Closed => break,
            }
            if self.looked_at.elapsed() >= LOOK_BUSY {
                self.look();
            }
        }
        self.settle_down();
    }

    /// Nothing waits: makes durable what was only written.
    fn settle_down(&mut self) {
        self.carry_out(&mut Vec::new());
        let desk = self.desk.clone();
        let mut books = desk.books();
        let mut written = Written::default();
        if let Some(sync) = books.journal.begin_flush() {
            books = self.sync(&desk, books, sync, &mut written);
        }
        if let Some(error) = &written.trouble {
            books.trouble(&self.shared, error);
        }
        self.remove_contents(written.gone_files);
    }

    fn carry_out(&mut self, work: &mut Vec<Work>) {
        let desk = self.desk.clone();
        let mut books = desk.books();
        books.take_notes(&self.shared);
        let mut commits = Vec::new();
        let mut parked = std::mem::take(&mut self.unparked);
        let mut closing = false;
        for thing in work.drain(..) {
            match thing {
                Work::Commit(commit) => commits.push(*commit),
                Work::Parked(mut ids) => parked.append(&mut ids),
                Work::ChoreDone(done) => {
                    if let Err(error) = books.journal.chore_done(done) {
                        books.trouble(&self.shared, &error);
                    }
                }
                Work::Poison(why) => books.journal.poison(why),
                Work::Close => closing = true,
                // They come first, and elsewhere.
                Work::Note(_) | Work::Parking(_) | Work::ParkFailed(_) => {}
            }
        }
        if !commits.is_empty() || !parked.is_empty() || books.journal.owes_sync() {
            self.write(&desk, books, commits, parked);
        }
        if closing {
            // Notes about parked messages have been passed on by now.
            self.shared.folder_jobs.close();
        }
    }

    /// Writes and syncs; then everybody hears what became of his.
    fn write<'a>(
        &mut self,
        desk: &'a Desk,
        mut books: MutexGuard<'a, Books>,
        commits: Vec<Commit>,
        parked: Vec<QueueId>,
    ) {
        let mut entries: Vec<Entry> = parked.iter().copied().map(Entry::Parked).collect();
        entries.extend(commits.iter().map(|commit| Entry::Accept(commit.accept.clone())));
        let mut written = Written::default();
        loop {
            if let Some(sync) = books.journal.begin(&entries, &mut written) {
                books = self.sync(desk, books, sync, &mut written);
            }
            if written.done == entries.len() || written.trouble.is_some() {
                break;
            }
        }
        let refusal = match &written.trouble {
            None => {
                books.no_room = false;
                limits::full()
            }
            Some(trouble) => {
                books.trouble(&self.shared, trouble);
                if matches!(trouble, JournalError::Poisoned(_)) { limits::poisoned() } else { limits::full() }
            }
        };
        let parked = self.parked(&mut books, parked, &written);
        // What found no room beside the sync.
        books.take_notes(&self.shared);
        let size = books.journal.size();
        drop(books);
        self.remove_contents(written.gone_files);
        self.shared.limits.set_journal(size);
        let mut receipts = written.receipts.into_iter();
        let mut accepted = Vec::new();
        for commit in commits {
            match receipts.next() {
                Some((receipt, position)) => accepted.push(self.accepted(commit, receipt, position)),
                None => self.refuse(commit, refusal.clone()),
            }
        }
        self.send((!accepted.is_empty()).then_some(Event::Accepted(accepted)));
        self.send((!parked.is_empty()).then_some(Event::Parked(parked)));
    }

    /// Waits for the disk; meanwhile the books are the notes' thread's.
    fn sync<'a>(
        &self,
        desk: &'a Desk,
        books: MutexGuard<'a, Books>,
        sync: Sync<Files>,
        written: &mut Written,
    ) -> MutexGuard<'a, Books> {
        drop(books);
        let synced = self.shared.journal.while_away(|| sync.run(&self.shared.disk));
        let mut books = desk.books();
        books.journal.end(synced, written);
        books
    }

    /// Gives those that are parked now, for the queue to hear.
    fn parked(&mut self, books: &mut Books, mut ids: Vec<QueueId>, written: &Written) -> Vec<QueueId> {
        let left = ids.split_off(written.done.min(ids.len()));
        if books.journal.poisoned().is_none() {
            self.unparked = left;
        }
        ids.iter().for_each(|id| books.parked(&self.shared, *id));
        ids
    }

    fn remove_contents(&self, ids: Vec<QueueId>) {
        if !ids.is_empty() {
            self.shared.folder_job(FolderJob::RemoveContents(ids));
        }
    }

    /// The peer's 250 first; then the queue.
    fn accepted(&self, commit: Commit, receipt: Receipt, position: Position) -> Accepted {
        let id = receipt.queue_id();
        // Nobody may be there any more to say 250; the message is accepted all the same.
        let _ = commit.reply.send(Ok(receipt));
        self.shared.limits.waiting.fetch_add(1, Ordering::Relaxed);
        let memory = commit
            .memory
            .filter(|_| self.shared.held.octets() <= self.shared.limits.memory_max.load(Ordering::Relaxed));
        let place = match position {
            Position::Journal { segment, offset, len } => Place::Journal { segment, offset, len, memory },
            Position::File => Place::File,
        };
        Accepted { id, envelope: commit.envelope, place }
    }

    fn refuse(&self, commit: Commit, reply: Reply) {
        if commit.memory.is_none() {
            self.shared.discard_content(commit.accept.id());
        }
        let _ = commit.reply.send(Err(reply));
    }

    fn send(&self, event: Option<Event>) {
        if let Some(event) = event {
            self.shared.send(event);
        }
    }

    fn hand_out_chores(&mut self) {
        if let Some(chore) = self.desk.books().journal.chore() {
            // The other end lives until this thread ends.
            let _ = self.chores.send(chore);
        }
    }

    /// Looks at the disk and at the journal's size.
    fn look(&mut self) {
        self.looked_at = Instant::now();
        match self.shared.disk.free_space() {
            Ok(space) => match self.shared.limits.look(space) {
                None => {}
                Some(true) => self.shared.alarm(format!(
                    "the disk of {} has only {} octets left, less than queue.free_space_min, or too few files: new messages are \
                     refused with 452 4.3.1 until there is room",
                    self.shared.disk.root().display(),
                    space.octets
                )),
                Some(false) => tracing::info!("the disk of {} has room again", self.shared.disk.root().display()),
            },
            Err(error) => tracing::warn!("cannot ask how much room is left: {error}"),
        }
        let size = self.desk.books().journal.size();
        self.shared.limits.set_journal(size);
        if size > self.shared.limits.journal_max.load(Ordering::Relaxed)
            && self.asked_at.is_none_or(|at| at.elapsed() > ASK_AGAIN)
        {
            let oldest = self.desk.books().journal.oldest();
            self.asked_at = Some(self.looked_at);
            self.send((!oldest.is_empty()).then_some(Event::ParkOldest(oldest)));
        }
    }
}
