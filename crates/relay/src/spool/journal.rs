//! The journal: accepts messages with one write and one sync for all that wait.
//!
//! It promises: an entry that [`Journal::write`] reports as done is durable if it was a message or a `Parked` note; notes
//! about fates are written, and durable with the next sync at the latest. After a write or sync has failed the journal is
//! *poisoned*: it writes nothing more in this life, because nobody can know what the disk holds now; the next start
//! reads what is there.
//!
//! A segment is used again, or removed, when all its messages are gone or parked *and* all older segments are: a note
//! stands in the same segment as its message or in a later one, so no message can rise from the dead.
//!
//! It does not batch (who calls it does), does not read, and starts no threads: what takes time (making a segment,
//! giving one back) it hands out as a [`Chore`] to be carried out elsewhere.

mod batch;
mod chore;

pub use chore::{Chore, ChoreDone};

use super::frame::{BARE, Kind};
use super::segment::block_end;
use super::{Note, Receipt};
use crate::disk::Disk;
use crate::envelope::QueueId;
use batch::{Batch, Record, begin, length};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, IoSlice};

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

/// What [`Journal::write`] did.
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

/// A segment that recovery found.
pub(super) struct FoundSegment {
    pub number: u32,
    pub octets: u64,
    pub damaged: bool,
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
        while written.done < batch.len() {
            if let Err(trouble) = self.write_some(batch, &mut written) {
                written.trouble = Some(trouble);
                break;
            }
        }
        self.chore_failed = false;
        written
    }

    /// Makes durable what was written without a sync.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`].
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if let Some(why) = &self.poison {
            return Err(JournalError::Poisoned(why.clone()));
        }
        if self.is_dirty() { self.sync() } else { Ok(()) }
    }

    /// Has something been written that is not durable yet?
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.active.as_ref().is_some_and(|a| a.synced < a.end)
    }

    /// Writes as many entries as one segment has room for, at least one.
    fn write_some(&mut self, entries: &[Entry], written: &mut Written) -> Result<(), JournalError> {
        if let Some(why) = &self.poison {
            return Err(JournalError::Poisoned(why.clone()));
        }
        let mut batch = Batch::default();
        let mut next = written.done;
        while let Some(entry) = entries.get(next) {
            let Some(record) = self.record(entry) else {
                written.strangers.push(next);
                next += 1;
                continue;
            };
            if batch.is_empty() {
                batch.start_at(self.make_room(record.size())?);
            }
            if let Some(active) = &mut self.active {
                if batch.at + record.size() > active.len {
                    break;
                }
                batch.add(&record, active);
            }
            self.enter(&record, &mut batch);
            next += 1;
        }
        self.put(&batch)?;
        written.receipts.append(&mut batch.receipts);
        written.gone_files.append(&mut batch.gone_files);
        written.done = next;
        Ok(())
    }

    /// What to write for an entry; `None` if it is about a message that is not here.
    fn record<'a>(&self, entry: &'a Entry) -> Option<Record<'a>> {
        let bare = |kind, id| Record { kind, id, text: Cow::Borrowed(""), content: None };
        match entry {
            Entry::Accept(accept) => Some(Record {
                kind: if accept.content.is_some() { Kind::Accepted } else { Kind::AcceptedFile },
                id: accept.id,
                text: Cow::Borrowed(&accept.text),
                content: accept.content.as_ref(),
            }),
            Entry::Note(Note::Fates(id, envelope)) => self.holds(*id).then(|| Record {
                kind: Kind::Fates,
                id: *id,
                text: Cow::Owned(envelope.print()),
                content: None,
            }),
            Entry::Note(Note::Gone(id)) => self.holds(*id).then(|| bare(Kind::Gone, *id)),
            Entry::Parked(id) => self.holds(*id).then(|| bare(Kind::Parked, *id)),
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
        if let Err(error) = outcome {
            return Err(self.poisoned_by("write", &error));
        }
        if batch.must_sync { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        match self.disk.sync(&active.file) {
            Ok(()) => {
                active.synced = active.end;
                active.at = block_end(active.end);
                Ok(())
            }
            Err(error) => Err(self.poisoned_by("sync", &error)),
        }
    }

    fn poisoned_by(&mut self, deed: &str, error: &io::Error) -> JournalError {
        let why = format!("{deed}: {error}");
        self.poison = Some(why.clone());
        JournalError::Poisoned(why)
    }

    /// Sees to it that `octets` fit into the active segment; says where they go.
    fn make_room(&mut self, octets: u64) -> Result<u64, JournalError> {
        if let Some(active) = self.active.as_ref().filter(|a| a.at + octets <= a.len) {
            return Ok(active.at);
        }
        let needed = BARE as u64 + octets;
        let (number, len, file) = match self.spare.take() {
            Some(spare) if spare.1 >= needed => spare,
            unfit => {
                self.spare = unfit;
                self.make_segment(needed)?
            }
        };
        // What the next segment's first frame says of this one must be true.
        self.flush()?;
        if let Some(old) = &self.active {
            self.previous = (old.number, old.synced);
        }
        self.salt = self.salt.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        self.segments.insert(number, Segment { octets: len, living: 0, damaged: false });
        let mut active = Active { number, file, len, at: 0, end: 0, synced: 0, sequence: 0, salt: self.salt };
        let begin = begin(self.previous, &mut active);
        let outcome = self.disk.write_at(&active.file, 0, &mut [IoSlice::new(&begin)]);
        (active.at, active.end) = (begin.len() as u64, begin.len() as u64);
        self.active = Some(active);
        match outcome {
            Ok(()) => Ok(begin.len() as u64),
            Err(error) => Err(self.poisoned_by("write", &error)),
        }
    }

    /// Makes a segment here and now; used only when the spare is not ready.
    fn make_segment(&mut self, needed: u64) -> Result<(u32, u64, D::File), JournalError> {
        let len = block_end(needed.max(u64::from(self.options.urgent_size)));
        if len > u64::from(u32::MAX) {
            return Err(JournalError::NoRoom(io::ErrorKind::FileTooLarge.into()));
        }
        let number = self.take_number();
        match (Chore::Make { number, len }).run(&self.disk).outcome {
            Ok(Some(file)) => Ok((number, len, file)),
            Ok(None) => Err(JournalError::NoRoom(io::ErrorKind::Other.into())),
            Err(failed) if failed.in_sync => Err(self.poisoned_by("sync of the journal's names", &failed.error)),
            Err(failed) => Err(JournalError::NoRoom(failed.error)),
        }
    }

    fn take_number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// The next piece of work that would hold up the writing; at most one is out at a time.
    pub fn chore(&mut self) -> Option<Chore> {
        if self.chore_out || self.chore_failed || self.poison.is_some() {
            return None;
        }
        let active = self.active.as_ref().map(|a| a.number);
        let done = self.segments.iter().next().filter(|(n, s)| s.living == 0 && Some(**n) != active);
        let chore = match (done.map(|(n, s)| (*n, s.octets, s.damaged)), self.spare.is_some()) {
            (Some((number, _, true)), _) => Chore::PutAside { number },
            (Some((number, len, false)), false) if len == u64::from(self.options.segment_size) => {
                let new_number = self.take_number();
                Chore::Reuse { number, new_number, len }
            }
            (Some((number, _, false)), _) => Chore::Remove { number },
            (None, false) => {
                let number = self.take_number();
                Chore::Make { number, len: u64::from(self.options.segment_size) }
            }
            (None, true) => return None,
        };
        self.chore_out = true;
        Some(chore)
    }

    /// Takes back a chore that was carried out.
    ///
    /// # Errors
    /// It failed: [`JournalError::NoRoom`] means that it will be tried again after the next write.
    pub fn chore_done(&mut self, done: ChoreDone<D>) -> Result<(), JournalError> {
        self.chore_out = false;
        let file = match done.outcome {
            Ok(file) => file,
            Err(failed) if failed.in_sync => {
                return Err(self.poisoned_by("sync of the journal's names", &failed.error));
            }
            Err(failed) => {
                self.chore_failed = true;
                return Err(JournalError::NoRoom(failed.error));
            }
        };
        let (retired, made) = done.chore.numbers();
        if let Some(number) = retired {
            self.segments.remove(&number);
        }
        if let (Some((number, len)), Some(file)) = (made, file) {
            // While it was being made, another one may have been needed at once and got a higher number; then this
            // one comes too late to be next, and is given back as an empty segment.
            if self.active.as_ref().is_some_and(|a| a.number > number) {
                self.segments.insert(number, Segment { octets: len, living: 0, damaged: false });
            } else {
                self.spare = Some((number, len, file));
            }
        }
        Ok(())
    }
}
