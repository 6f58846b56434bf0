//! The thread that writes the journal: takes all that waits, writes it in one go, syncs once, hands out the receipts.
//!
//! A message that comes alone is written at once. While a sync is under way the next ones gather; that is the whole
//! batching. Notes are written at once too, and made durable with the next message, or after [`LAZY_SYNC`] if none comes.

use super::inbox::Waited;
use super::limits;
use super::{FolderJob, Shared};
use crate::files::{Files, advice};
use bytes::Bytes;
use relay::disk::Disk;
use relay::envelope::{Envelope, QueueId};
use relay::parcel::Place;
use relay::queue::{Accepted, Event};
use relay::spool::journal::{Accept, Chore, ChoreDone, Entry, Journal, JournalError, Position};
use relay::spool::{Note, Receipt, UpdateJob};
use smtp::reply::Reply;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
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

/// What became of an entry must reach somebody.
enum Owed {
    Commit(Box<Commit>),
    Note,
    Parked,
}

pub(super) struct JournalThread {
    pub shared: Arc<Shared>,
    pub journal: Journal<Files>,
    pub chores: Sender<Chore>,
    /// Entries that found no room: notes must not be lost, they are tried again.
    pub unwritten: Vec<Entry>,
    /// Messages on their way to the folder, each with the last note that came meanwhile: the envelope which the folder
    /// writes is older than that.
    pub parking: HashMap<QueueId, Option<Note>>,
    /// That there is no room has been told.
    pub no_room: bool,
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
                std::thread::sleep(pause);
            }
            let wait = if self.journal.is_dirty() { LAZY_SYNC } else { IDLE };
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
        if !self.unwritten.is_empty() {
            self.carry_out(&mut Vec::new());
        }
        if let Err(error) = self.journal.flush() {
            self.trouble(&error);
        }
    }

    fn carry_out(&mut self, work: &mut Vec<Work>) {
        let mut entries = std::mem::take(&mut self.unwritten);
        let mut closing = false;
        let mut owed: Vec<Owed> = entries.iter().map(|e| if is_note(e) { Owed::Note } else { Owed::Parked }).collect();
        for thing in work.drain(..) {
            match thing {
                Work::Commit(commit) => {
                    entries.push(Entry::Accept(commit.accept.clone()));
                    owed.push(Owed::Commit(commit));
                }
                Work::Note(note) => {
                    if let Some(last) = self.parking.get_mut(&note.id()) {
                        *last = Some(note.clone());
                    }
                    entries.push(Entry::Note(note));
                    owed.push(Owed::Note);
                }
                Work::Parking(ids) => self.parking.extend(ids.into_iter().map(|id| (id, None))),
                Work::ParkFailed(ids) => ids.iter().for_each(|id| drop(self.parking.remove(id))),
                Work::Parked(ids) => {
                    owed.extend(ids.iter().map(|_| Owed::Parked));
                    entries.extend(ids.into_iter().map(Entry::Parked));
                }
                Work::ChoreDone(done) => {
                    if let Err(error) = self.journal.chore_done(done) {
                        self.trouble(&error);
                    }
                }
                Work::Poison(why) => self.journal.poison(why),
                Work::Close => closing = true,
            }
        }
        if !entries.is_empty() {
            self.write(entries, owed);
        }
        if closing {
            // Notes about parked messages have been passed on by now.
            self.shared.folder_jobs.close();
        }
    }

    fn write(&mut self, entries: Vec<Entry>, owed: Vec<Owed>) {
        let mut written = self.journal.write(&entries);
        let refusal = match &written.trouble {
            None => {
                self.no_room = false;
                limits::full()
            }
            Some(trouble) => {
                self.trouble(trouble);
                if matches!(trouble, JournalError::Poisoned(_)) { limits::poisoned() } else { limits::full() }
            }
        };
        let mut receipts = std::mem::take(&mut written.receipts).into_iter();
        let (mut accepted, mut parked) = (Vec::new(), Vec::new());
        let mut strangers = std::mem::take(&mut written.strangers).into_iter().peekable();
        for (i, (entry, owed)) in entries.into_iter().zip(owed).enumerate() {
            let is_stranger = strangers.next_if_eq(&i).is_some();
            match (owed, entry) {
                (Owed::Commit(commit), _) if i < written.done => {
                    if let Some((receipt, position)) = receipts.next() {
                        accepted.push(self.accepted(*commit, receipt, position));
                    }
                }
                (Owed::Commit(commit), entry) => self.refuse(*commit, &entry, refusal.clone()),
                (Owed::Note, Entry::Note(note)) if is_stranger => self.late(note),
                (_, Entry::Parked(id)) if i < written.done => {
                    if let Some(Some(note)) = self.parking.remove(&id) {
                        self.forward(note);
                    }
                    parked.push(id);
                }
                (_, entry) if i < written.done => self.noted(&entry),
                (_, entry) => self.unwritten.push(entry),
            }
        }
        if self.journal.poisoned().is_some() {
            self.unwritten.clear();
        }
        let gone_files = written.gone_files;
        if !gone_files.is_empty() {
            self.shared.folder_job(FolderJob::RemoveContents(gone_files));
        }
        self.shared.limits.set_journal(self.journal.size());
        self.send((!accepted.is_empty()).then_some(Event::Accepted(accepted)));
        self.send((!parked.is_empty()).then_some(Event::Parked(parked)));
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

    fn refuse(&self, commit: Commit, entry: &Entry, reply: Reply) {
        if let (Entry::Accept(accept), None) = (entry, &commit.memory) {
            self.shared.discard_content(accept.id());
        }
        let _ = commit.reply.send(Err(reply));
    }

    fn noted(&self, entry: &Entry) {
        if let Entry::Note(Note::Gone(_)) = entry {
            self.shared.one_less();
        }
    }

    /// A note about a message that is not here (any more).
    fn late(&self, note: Note) {
        if self.parking.contains_key(&note.id()) {
            // Its end has been noted already; once it is parked it is removed.
            return;
        }
        if let Note::Gone(_) = note {
            self.shared.one_less();
        }
        self.forward(note);
    }

    /// What is noted of a parked message is a job for the folder.
    fn forward(&self, note: Note) {
        self.shared.folder_job(match note {
            Note::Fates(id, envelope) => FolderJob::Update(UpdateJob { id, envelope, version: None }),
            Note::Gone(id) => FolderJob::Remove(id),
        });
    }

    fn send(&self, event: Option<Event>) {
        if let Some(event) = event {
            self.shared.send(event);
        }
    }

    fn hand_out_chores(&mut self) {
        if let Some(chore) = self.journal.chore() {
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
        let size = self.journal.size();
        self.shared.limits.set_journal(size);
        if size > self.shared.limits.journal_max.load(Ordering::Relaxed)
            && self.asked_at.is_none_or(|at| at.elapsed() > ASK_AGAIN)
        {
            let oldest = self.journal.oldest();
            self.asked_at = Some(self.looked_at);
            self.send((!oldest.is_empty()).then_some(Event::ParkOldest(oldest)));
        }
    }

    /// Told of once, until a write has gone well again.
    fn trouble(&mut self, error: &JournalError) {
        match error {
            JournalError::Poisoned(_) => self.shared.fail(&error.to_string()),
            JournalError::NoRoom(cause) if !self.no_room => {
                self.no_room = true;
                self.shared.alarm(format!("{error}{}", advice(cause).map(|a| format!(" ({a})")).unwrap_or_default()));
            }
            JournalError::NoRoom(_) => {}
        }
    }
}

fn is_note(entry: &Entry) -> bool {
    matches!(entry, Entry::Note(_))
}
