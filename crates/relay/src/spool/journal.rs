//! The journal: accepts messages with one write and one sync for all that wait.
//!
//! It promises: an entry that [`Journal::write`] reports as done is durable if it was a message or a `Parked` note; notes
//! about fates are written, and durable with the next sync at the latest. After a write or sync has failed the journal is
//! *poisoned*: it writes nothing more in this life, because nobody can know what the disk holds now; the next start
//! reads what is there.
//!
//! A sync takes long, and notes must not wait for it: a kill loses nothing that was written, and what is noted too late is
//! sent again. So a batch is [begun](Journal::begin), its [`Sync`] is carried out without the journal, and while that lasts
//! [`Journal::note`] writes on, in blocks that the batch does not touch. [`Journal::write`] is all of it in one call.
//!
//! A segment is used again, or removed, when all its messages are gone or parked *and* all older segments are: a note
//! stands in the same segment as its message or in a later one, so no message can rise from the dead.
//!
//! It does not batch (who calls it does), does not read, and starts no threads: what takes time (making a segment,
//! giving one back) it hands out as a [`Chore`] to be carried out elsewhere.

mod batch;
mod chore;
mod room;
mod sync;

pub use chore::{Chore, ChoreDone};
pub use sync::{Sync, Synced};

use super::frame::Kind;
use super::segment::{BLOCK, block_end};
use super::{Note, Receipt};
use crate::disk::Disk;
use crate::envelope::QueueId;
use batch::{Batch, Record, length};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io;
use sync::Covers;

/// This part of a segment is for notes alone: while the last messages that it has room for are being synced, no new one can
/// be begun, and notes must not wait.
const FOR_NOTES: u64 = 64;

/// How the journal is cut.
#[derive(Copy, Clone, Debug)]
pub struct Options {
    /// Octets of a segment.
    pub segment_size: u32,
    /// Octets of a segment that has to be made while messages wait for it.
    pub urgent_size: u32,
    /// By chance; marks the frames of this life.
    pub seed: u64,
}

impl Options {
    /// 64 MiB a segment, 4 MiB when it is urgent.
    #[must_use]
    pub fn new(seed: u64) -> Options {
        Options { segment_size: 64 << 20, urgent_size: 4 << 20, seed }
    }
}

/// A message to accept, printed and summed up by whoever hands it in: the journal's thread has better things to do.
#[derive(Clone, Debug)]
pub struct Accept {
    id: QueueId,
    text: String,
    /// Content and its check; `None`: it is in `ID.eml`, and durable there, name and all.
    content: Option<(Bytes, u32)>,
}

impl Accept {
    /// A message with its content.
    #[must_use]
    pub fn new(id: QueueId, envelope: String, content: Bytes) -> Accept {
        let check = crc32fast::hash(&content);
        Accept { id, text: envelope, content: Some((content, check)) }
    }

    /// The message's id.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// A message whose content is durable in `ID.eml` ([`super::folder::Folder::finish_content`]).
    #[must_use]
    pub fn in_file(id: QueueId, envelope: String) -> Accept {
        Accept { id, text: envelope, content: None }
    }
}

/// Something to write.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Accept a message.
    Accept(Accept),
    /// Note what became of one.
    Note(Note),
    /// Note that the folder has it now, durably.
    Parked(QueueId),
}

/// The same, borrowed.
enum Piece<'a> {
    Accept(&'a Accept),
    Note(&'a Note),
    Parked(QueueId),
}

impl<'a> From<&'a Entry> for Piece<'a> {
    fn from(entry: &'a Entry) -> Piece<'a> {
        match entry {
            Entry::Accept(accept) => Piece::Accept(accept),
            Entry::Note(note) => Piece::Note(note),
            Entry::Parked(id) => Piece::Parked(*id),
        }
    }
}

/// Where an accepted message's content stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Position {
    /// In the journal.
    Journal {
        /// The segment.
        segment: u32,
        /// Where the content begins.
        offset: u64,
        /// Its octets.
        len: u32,
    },
    /// In `ID.eml`.
    File,
}

/// Why something was not written.
#[derive(Debug)]
pub enum JournalError {
    /// A write or a sync has failed, now or earlier: nothing more is written in this life.
    Poisoned(String),
    /// There is no room for a new segment, or it could not be made; later it may go.
    NoRoom(io::Error),
}

impl std::fmt::Display for JournalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Poisoned(why) => {
                write!(f, "the journal could not be written and is closed until the next start: {why}")
            }
            Self::NoRoom(why) => write!(f, "no new journal segment can be made: {why}"),
        }
    }
}

impl std::error::Error for JournalError {}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Written {
    /// So many entries, from the first, are written, and durable where they must be. The others are not in the journal,
    /// or, if it is poisoned now, nobody knows.
    pub done: usize,
    /// One for each message among those, in order.
    pub receipts: Vec<(Receipt, Position)>,
    /// Notes about messages that the journal does not hold (any more): not written.
    pub strangers: Vec<usize>,
    /// Messages whose content is in a file, and which are now durably gone: the files may go.
    pub gone_files: Vec<QueueId>,
    /// Why the rest was not written.
    pub trouble: Option<JournalError>,
}

/// Where a living message's record is.
#[derive(Copy, Clone, Debug)]
struct Home {
    segment: u32,
    in_file: bool,
}

/// A segment in use.
#[derive(Debug)]
struct Segment {
    octets: u64,
    living: usize,
    damaged: bool,
}

/// The segment being written.
struct Active<F> {
    number: u32,
    file: F,
    len: u64,
    /// The next frame goes here.
    at: u64,
    /// The last frame ends here.
    end: u64,
    /// All before this is durable.
    synced: u64,
    /// The number of the next frame.
    sequence: u32,
    salt: u64,
}

/// The journal, open for writing.
pub struct Journal<D: Disk> {
    disk: D,
    options: Options,
    messages: HashMap<QueueId, Home>,
    segments: BTreeMap<u32, Segment>,
    active: Option<Active<D::File>>,
    /// Segments before that one whose last notes are not durable yet.
    behind: Vec<D::File>,
    /// A sync is under way: nothing may be written that it might be thought to cover.
    sync_out: bool,
    /// Messages in files of their own whose end is written and not durable yet.
    gone_files: Vec<QueueId>,
    /// Made ahead, not used yet.
    spare: Option<(u32, u64, D::File)>,
    /// A chore is under way.
    chore_out: bool,
    /// A chore failed: none until something is written again.
    chore_failed: bool,
    next_number: u32,
    /// Where the segment before the active one ended.
    previous: (u32, u64),
    salt: u64,
    poison: Option<String>,
}

/// What went into one segment.
struct Put {
    entries: usize,
    must_sync: bool,
    receipts: Vec<(Receipt, Position)>,
}

/// A segment that recovery found.
pub(super) struct FoundSegment {
    pub number: u32,
    pub octets: u64,
    pub damaged: bool,
    /// All that was read from it is durable, as the next segment says.
    pub settled: bool,
}

impl<D: Disk> Journal<D> {
    /// A journal that goes on behind what was found.
    pub(super) fn new(
        disk: D,
        options: Options,
        found: &[FoundSegment],
        messages: impl Iterator<Item = (QueueId, u32, bool)>,
        spare: Option<(u32, u64, D::File)>,
        next_number: u32,
    ) -> Journal<D> {
        let segments = found
            .iter()
            .map(|f| (f.number, Segment { octets: f.octets, living: 0, damaged: f.damaged }))
            .collect::<BTreeMap<_, _>>();
        let mut journal = Journal {
            disk,
            options,
            messages: HashMap::new(),
            segments,
            active: None,
            behind: Vec::new(),
            sync_out: false,
            gone_files: Vec::new(),
            spare,
            chore_out: false,
            chore_failed: false,
            next_number,
            previous: (0, 0),
            salt: options.seed,
            poison: None,
        };
        for (id, segment, in_file) in messages {
            journal.settle_in(id, Home { segment, in_file });
        }
        journal
    }

    fn settle_in(&mut self, id: QueueId, home: Home) {
        self.messages.insert(id, home);
        if let Some(segment) = self.segments.get_mut(&home.segment) {
            segment.living += 1;
        }
    }

    fn leave(&mut self, id: QueueId) -> Option<Home> {
        let home = self.messages.remove(&id)?;
        if let Some(segment) = self.segments.get_mut(&home.segment) {
            segment.living -= 1;
        }
        Some(home)
    }

    /// Is the message here (accepted, not gone, not parked)?
    #[must_use]
    pub fn holds(&self, id: QueueId) -> bool {
        self.messages.contains_key(&id)
    }

    /// How many messages are here.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Octets of all segments in use.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.segments.values().map(|s| s.octets).sum()
    }

    /// The messages of the oldest segment, if that is not the one being written: when they are parked, it can go.
    #[must_use]
    pub fn oldest(&self) -> Vec<QueueId> {
        match self.segments.keys().next() {
            Some(oldest) if self.active.as_ref().is_none_or(|a| a.number != *oldest) => {
                let mut ids: Vec<_> =
                    self.messages.iter().filter(|(_, h)| h.segment == *oldest).map(|(id, _)| *id).collect();
                ids.sort_unstable();
                ids
            }
            _ => Vec::new(),
        }
    }

    /// Why nothing more is written, if it is so.
    #[must_use]
    pub fn poisoned(&self) -> Option<&str> {
        self.poison.as_deref()
    }

    /// The disk has failed elsewhere: write nothing more.
    pub fn poison(&mut self, why: String) {
        self.poison.get_or_insert(why);
    }

    /// Writes the batch, in order, and syncs it if it has a message or a `Parked` note in it.
    pub fn write(&mut self, batch: &[Entry]) -> Written {
        let mut written = Written::default();
        while written.done < batch.len() && written.trouble.is_none() {
            if let Some(sync) = self.begin(batch, &mut written) {
                let synced = sync.run(&self.disk);
                self.end(synced, &mut written);
            }
        }
        written
    }

    /// Writes as much of the batch, from `written.done` on, as one segment has room for. If a sync is needed it is handed
    /// out, and nothing of this is done before [`Journal::end`]. Not to be called while a sync is out.
    pub fn begin(&mut self, batch: &[Entry], written: &mut Written) -> Option<Sync<D>> {
        self.chore_failed = false;
        let begun = written.done;
        match self.write_some(batch.iter().skip(begun).map(Piece::from), begun, written) {
            Ok(some) if some.must_sync || !self.gone_files.is_empty() => {
                Some(self.start_sync(begun + some.entries, some.receipts))
            }
            Ok(some) => {
                written.done += some.entries;
                None
            }
            Err(trouble) => {
                written.trouble = Some(trouble);
                None
            }
        }
    }

    /// Takes back a sync that was carried out.
    pub fn end(&mut self, synced: Synced, written: &mut Written) {
        self.sync_out = false;
        if let Err(error) = synced.outcome {
            written.trouble = Some(self.poisoned_by("sync", &error));
            return;
        }
        let mut covers = synced.covers;
        if let Some(active) = &mut self.active {
            active.synced = covers.end;
        }
        written.done = covers.done;
        written.receipts.append(&mut covers.receipts);
        written.gone_files.append(&mut covers.gone_files);
    }

    /// Writes notes without syncing them, also while a sync is under way; then only as far as the segment goes, and the
    /// rest (from `done` on) has to wait.
    pub fn note(&mut self, notes: &[Note]) -> Written {
        let mut written = Written::default();
        while written.done < notes.len() {
            let begun = written.done;
            match self.write_some(notes.iter().skip(begun).map(Piece::Note), begun, &mut written) {
                Ok(some) if some.entries == 0 => break,
                Ok(some) => written.done += some.entries,
                Err(trouble) => {
                    written.trouble = Some(trouble);
                    break;
                }
            }
        }
        self.chore_failed = false;
        written
    }

    /// A sync for what was written without one, if there is such. Not to be called while a sync is out.
    pub fn begin_flush(&mut self) -> Option<Sync<D>> {
        (self.is_dirty() && self.poison.is_none()).then(|| self.start_sync(0, Vec::new()))
    }

    /// Makes durable what was written without a sync; gives the messages whose files may go.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`].
    pub fn flush(&mut self) -> Result<Vec<QueueId>, JournalError> {
        if let Some(why) = &self.poison {
            return Err(JournalError::Poisoned(why.clone()));
        }
        let mut written = Written::default();
        if let Some(sync) = self.begin_flush() {
            let synced = sync.run(&self.disk);
            self.end(synced, &mut written);
        }
        written.trouble.map_or(Ok(written.gone_files), Err)
    }

    /// Has something been written that is not durable yet?
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.behind.is_empty() || self.active.as_ref().is_some_and(|a| a.synced < a.end)
    }

    /// Must there be a sync soon, because the file of a message that is gone may go only then?
    #[must_use]
    pub fn owes_sync(&self) -> bool {
        !self.gone_files.is_empty()
    }

    /// Writes as many pieces as one segment has room for, at least one (but while a sync is under way, none if there is no
    /// room). `first` is the place of the first one in its batch.
    fn write_some<'a>(
        &mut self,
        pieces: impl Iterator<Item = Piece<'a>>,
        first: usize,
        written: &mut Written,
    ) -> Result<Put, JournalError> {
        if let Some(why) = &self.poison {
            return Err(JournalError::Poisoned(why.clone()));
        }
        let mut batch = Batch::default();
        let mut entries = 0;
        for piece in pieces {
            let Some(record) = self.record(&piece) else {
                written.strangers.push(first + entries);
                entries += 1;
                continue;
            };
            let needed = self.needed(&record);
            if batch.is_empty() {
                let Some(at) = self.make_room(needed)? else { break };
                batch.start_at(at);
            }
            if let Some(active) = &mut self.active {
                if batch.at + needed > active.len {
                    break;
                }
                batch.add(&record, active);
            }
            self.enter(&record, &mut batch);
            entries += 1;
        }
        self.put(&batch)?;
        self.gone_files.append(&mut batch.gone_files);
        Ok(Put { entries, must_sync: batch.must_sync, receipts: batch.receipts })
    }

    /// What to write for an entry; `None` if it is about a message that is not here.
    fn record<'a>(&self, piece: &Piece<'a>) -> Option<Record<'a>> {
        let bare = |kind, id| Record { kind, id, text: Cow::Borrowed(""), content: None };
        match piece {
            Piece::Accept(accept) => Some(Record {
                kind: if accept.content.is_some() { Kind::Accepted } else { Kind::AcceptedFile },
                id: accept.id,
                text: Cow::Borrowed(&accept.text),
                content: accept.content.as_ref(),
            }),
            Piece::Note(Note::Fates(id, envelope)) => self.holds(*id).then(|| Record {
                kind: Kind::Fates,
                id: *id,
                text: Cow::Owned(envelope.print()),
                content: None,
            }),
            Piece::Note(Note::Gone(id)) => self.holds(*id).then(|| bare(Kind::Gone, *id)),
            Piece::Parked(id) => self.holds(*id).then(|| bare(Kind::Parked, *id)),
        }
    }

    /// The room that must be left for it to be written.
    fn needed(&self, record: &Record<'_>) -> u64 {
        match record.kind {
            Kind::Accepted | Kind::AcceptedFile => {
                record.size() + BLOCK + u64::from(self.options.segment_size) / FOR_NOTES
            }
            _ => record.size(),
        }
    }

    /// Keeps the books. They may be ahead of the disk: if the write fails, nothing is written any more.
    fn enter(&mut self, record: &Record<'_>, batch: &mut Batch<'_>) {
        let segment = self.active.as_ref().map_or(0, |a| a.number);
        match record.kind {
            Kind::Accepted | Kind::AcceptedFile => {
                self.settle_in(record.id, Home { segment, in_file: record.content.is_none() });
                let position = match record.content {
                    None => Position::File,
                    Some((octets, _)) => {
                        Position::Journal { segment, offset: batch.at - octets.len() as u64, len: length(octets) }
                    }
                };
                batch.receipts.push((Receipt { id: record.id }, position));
                batch.must_sync = true;
            }
            Kind::Gone => {
                // The file of a large message is removed next; its record must not come back without it.
                if self.leave(record.id).is_some_and(|home| home.in_file) {
                    batch.gone_files.push(record.id);
                    batch.must_sync = true;
                }
            }
            Kind::Parked => {
                self.leave(record.id);
                batch.must_sync = true;
            }
            Kind::Fates | Kind::Begin => {}
        }
    }

    fn put(&mut self, batch: &Batch<'_>) -> Result<(), JournalError> {
        let Some(active) = self.active.as_mut().filter(|_| !batch.is_empty()) else { return Ok(()) };
        let padding = block_end(batch.at).min(active.len) - batch.at;
        let outcome = self.disk.write_at(&active.file, active.at, &mut batch.parts(padding));
        (active.at, active.end) = (batch.at, batch.at);
        outcome.map_err(|error| self.poisoned_by("write", &error))
    }

    /// What is written from now on begins in a block of its own: the sync does not cover it.
    fn start_sync(&mut self, done: usize, receipts: Vec<(Receipt, Position)>) -> Sync<D> {
        self.sync_out = true;
        let mut covers = Covers { end: 0, done, receipts, gone_files: std::mem::take(&mut self.gone_files) };
        let mut files = Vec::with_capacity(1 + self.behind.len());
        if let Some(active) = &mut self.active {
            files.push(active.file.clone());
            covers.end = active.end;
            active.at = block_end(active.end);
        }
        files.append(&mut self.behind);
        Sync { files, covers }
    }

    fn poisoned_by(&mut self, deed: &str, error: &io::Error) -> JournalError {
        let why = format!("{deed}: {error}");
        self.poison = Some(why.clone());
        JournalError::Poisoned(why)
    }
}
