//! A life of the spool, and what may be found after each moment of it.

use bytes::Bytes;
use relay::disk::sim::SimDisk;
use relay::envelope::{Envelope, Fate, Origin, QueueId, Recipient};
use relay::parcel::Place;
use relay::spool::folder::{Folder, FolderError};
use relay::spool::journal::{Accept, Entry, Journal, Options, Position, Written};
use relay::spool::{Note, ParkJob, recover};
use smtp::address::{Mailbox, ReversePath};
use smtp::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// For each message that was ever handed in: the envelopes that may be found; `None`: it may be absent.
pub type Expected = BTreeMap<QueueId, Vec<Option<Envelope>>>;

/// One step.
#[derive(Copy, Clone, Debug)]
pub enum Do {
    /// Accept these together: name and size.
    Accept(&'static [(u64, u64)]),
    /// Accept one through a file of its own.
    Large(u64, u64),
    /// Note new fates.
    Fates(u64),
    /// Note the end.
    Gone(u64),
    /// Accept these; while their sync is under way note the first steps before the disk has done it, and the others after
    /// that, before the journal hears of it.
    Beside(&'static [(u64, u64)], &'static [Do], &'static [Do]),
    /// Make notes durable.
    Flush,
    Park(&'static [u64]),
    Update(&'static [u64]),
    Remove(&'static [u64]),
    /// Throw a large message away while it comes in.
    Abandon(u64, u64),
    /// Carry out what the journal wants done beside the writing.
    Chores,
    /// End, and start again.
    Restart,
}

impl Do {
    fn name(self) -> &'static str {
        match self {
            Take(_) => "Accept",
            Large(..) => "Large",
            Fates(_) | Gone(_) => "Note",
            Beside(..) => "Beside",
            Flush => "Flush",
            Park(_) => "Park",
            Update(_) => "Update",
            Remove(_) => "Remove",
            Abandon(..) => "Abandon",
            Chores => "Chores",
            Restart => "Start",
        }
    }
}

use Do::{Abandon, Accept as Take, Beside, Chores, Fates, Flush, Gone, Large, Park, Remove, Restart, Update};

/// Accept, notes, more than one segment, and their way back.
const JOURNAL: &[Do] = &[
    Chores,
    Take(&[(1, 100), (2, 700)]),
    Fates(1),
    Take(&[(3, 9_000)]),
    Gone(2),
    Fates(1),
    Flush,
    Take(&[(4, 5_000)]),
    Gone(1),
    Gone(3),
    Chores,
    Take(&[(5, 6_000), (6, 7_000)]),
    Gone(4),
    Chores,
    Chores,
    Take(&[(7, 20)]),
    Gone(5),
    Fates(7),
    Gone(6),
    Chores,
    Take(&[(8, 30)]),
    Chores,
];

/// Notes that are written while a sync is under way, up to the end of a segment, over it, and of a message with a file of
/// its own; and what comes after them.
const BESIDE: &[Do] = &[
    Chores,
    Take(&[(1, 100), (2, 600), (3, 300)]),
    Beside(&[(4, 500)], &[Gone(1)], &[]),
    Beside(&[(5, 500)], &[], &[Gone(2), Fates(3)]),
    Take(&[(6, 100)]),
    Large(7, 2_000),
    Beside(&[(8, 700)], &[Fates(3), Gone(7)], &[Fates(4), Gone(3)]),
    Flush,
    Beside(&[(9, 100)], &[], &[Gone(4)]),
    // The next segment begins while that note is not durable.
    Take(&[(10, 9_000)]),
    Beside(&[(11, 8_000)], &[Gone(5)], &[Gone(9)]),
    Chores,
    Beside(&[(12, 9_000)], &[], &[]),
    Gone(8),
    Gone(6),
    Chores,
    Take(&[(13, 9_000), (14, 9_000)]),
    Chores,
    Restart,
    Beside(&[(15, 10)], &[Gone(10)], &[Gone(11)]),
];

/// Park, replace, remove, in batches.
const FOLDER: &[Do] = &[
    Take(&[(1, 100), (2, 700), (3, 0)]),
    Fates(2),
    Park(&[1, 2]),
    Update(&[1]),
    Remove(&[2]),
    Fates(3),
    Park(&[3]),
    Update(&[1, 3]),
    Chores,
    Remove(&[1, 3]),
];

/// Messages with a file of their own.
const LARGE: &[Do] =
    &[Large(1, 3_000), Abandon(2, 2_000), Fates(1), Large(3, 2_000), Gone(1), Park(&[3]), Update(&[3]), Remove(&[3])];

/// Several lives on one disk: what one wrote, the next one reads, and goes on.
const RESTARTS: &[Do] = &[
    Take(&[(1, 100), (2, 9_000)]),
    Large(3, 2_000),
    Gone(1),
    Restart,
    Chores,
    Take(&[(4, 100)]),
    Park(&[2]),
    Fates(4),
    Restart,
    Take(&[(5, 100)]),
    Gone(4),
    Gone(3),
    Chores,
    Chores,
    Take(&[(6, 200)]),
    Remove(&[2]),
    Restart,
    Chores,
    Take(&[(7, 200)]),
];

/// All of them.
pub const SCRIPTS: [&[Do]; 5] = [JOURNAL, BESIDE, FOLDER, LARGE, RESTARTS];

/// A start syncs the folder's names, the last segment and the one before it, if that ends with notes, before it goes by them
/// (and the journal once it has noted something, as in any other step).
pub const SYNCS_OF_A_START: usize = 3;

/// Small segments, so that a life has many.
pub fn options() -> Options {
    let mut options = Options::new(42);
    options.segment_size = 24 << 10;
    options.urgent_size = 16 << 10;
    options
}

/// A message's content follows from its name and size.
pub fn content(id: QueueId, size: u64) -> Vec<u8> {
    (0..size).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ id.0.wrapping_mul(101)) as u8).collect()
}

/// The envelope's `version`-th form.
pub fn envelope(id: QueueId, size: u64, version: u16) -> Envelope {
    let recipient = Recipient {
        fate: Fate::Pending { tries: version, due: Timestamp(0) },
        ..Recipient::new(Mailbox::parse("a@b.test").unwrap(), Timestamp(0))
    };
    let (origin, arrived) = (Origin::Pickup { file: format!("{id}.eml").into() }, Timestamp(1_795_330_800_123));
    Envelope { size, ..Envelope::new(ReversePath::Null, vec![recipient], origin, arrived) }
}

/// A life under way, or over.
pub struct Life {
    pub disk: SimDisk,
    pub journal: Journal<SimDisk>,
    pub folder: Folder<SimDisk>,
    /// What may be found if the power goes now.
    pub expected: Expected,
    /// The same at earlier moments: so many calls had been made.
    history: Vec<(u64, Expected)>,
    places: BTreeMap<QueueId, Place>,
    sizes: BTreeMap<QueueId, u64>,
    versions: BTreeMap<QueueId, u16>,
    /// Each step, and how many calls had been made before it.
    steps: Vec<(u64, &'static str)>,
    /// Noted, not yet durable.
    noted: BTreeSet<QueueId>,
    parked: BTreeSet<QueueId>,
    /// What failed, step by step; a life goes on after a fault, as the service does.
    pub failed: Vec<String>,
}

impl Life {
    /// Lives a whole life.
    pub fn live(disk: SimDisk, script: &[Do]) -> Life {
        let life = Life::try_live(disk, script).unwrap();
        assert!(life.failed.is_empty(), "{:?}", life.failed);
        life
    }

    /// Lives a life in which something may fail; `Err` if it is the start.
    pub fn try_live(disk: SimDisk, script: &[Do]) -> Result<Life, String> {
        disk.record();
        let mut life = Life::start(disk)?;
        for step in script {
            life.step(*step);
        }
        Ok(life)
    }

    /// Opens the spool.
    pub fn start(disk: SimDisk) -> Result<Life, String> {
        let recovered = recover(&disk, options()).map_err(|error| error.to_string())?;
        Ok(Life {
            disk,
            journal: recovered.journal,
            folder: recovered.folder,
            expected: Expected::new(),
            history: vec![(0, Expected::new())],
            places: BTreeMap::new(),
            sizes: BTreeMap::new(),
            versions: BTreeMap::new(),
            steps: vec![(0, "Start")],
            noted: BTreeSet::new(),
            parked: BTreeSet::new(),
            failed: Vec::new(),
        })
    }

    /// What may be found if the power goes during this call.
    pub fn expected_during(&self, call: usize) -> &Expected {
        let call = call as u64;
        let (_, expected) = self.history.iter().rev().find(|(calls, _)| *calls < call).unwrap();
        expected
    }

    /// Which step made this call.
    pub fn step_during(&self, call: usize) -> &'static str {
        self.steps.iter().rev().find(|(calls, _)| *calls < call as u64).map_or("", |(_, step)| step)
    }

    /// Takes a step, unless the spool is poisoned. What an earlier fault has made impossible is left out.
    pub fn step(&mut self, step: Do) {
        if self.journal.poisoned().is_some() {
            return;
        }
        self.steps.push((self.disk.calls(), step.name()));
        let done = match step {
            Take(messages) => self.accept(messages),
            Large(id, size) => self.large(QueueId(id), size),
            Abandon(id, size) => self.abandon(QueueId(id), size),
            Fates(_) | Gone(_) => {
                let notes = self.notes(&[step]);
                let notes: Vec<Entry> = notes.into_iter().map(Entry::Note).collect();
                self.write(&notes).map(|_| ())
            }
            Beside(messages, before, after) => self.beside(messages, before, after),
            Flush => self.flush(),
            Park(ids) => self.park(&names(ids)),
            Update(ids) => self.update(&names(ids)),
            Remove(ids) => self.remove(&names(ids)),
            Chores => self.chores(),
            Restart => self.restart(),
        };
        if let Err(why) = done {
            self.failed.push(format!("{step:?}: {why}"));
        }
    }

    /// From now on this may be found too.
    fn may(&mut self, id: QueueId, envelope: Option<Envelope>) {
        self.expected.entry(id).or_insert_with(|| vec![None]).push(envelope);
        self.remember();
    }

    /// From now on only the newest of these may be found.
    fn must(&mut self, ids: impl IntoIterator<Item = QueueId>) {
        for id in ids {
            let allowed = self.expected.get_mut(&id).unwrap();
            allowed.drain(..allowed.len() - 1);
        }
        self.remember();
    }

    fn remember(&mut self) {
        self.history.push((self.disk.calls(), self.expected.clone()));
    }

    fn newest(&mut self, id: QueueId) -> Envelope {
        let version = self.versions.entry(id).or_default();
        *version += 1;
        envelope(id, self.sizes[&id], *version)
    }

    fn current(&self, id: QueueId) -> Envelope {
        envelope(id, self.sizes[&id], self.versions.get(&id).copied().unwrap_or(0))
    }

    fn write(&mut self, entries: &[Entry]) -> Result<Vec<(QueueId, Position)>, String> {
        let written = self.journal.write(entries);
        self.wrote(written)
    }

    fn wrote(&mut self, written: Written) -> Result<Vec<(QueueId, Position)>, String> {
        if let Some(trouble) = written.trouble {
            return Err(trouble.to_string());
        }
        if !self.journal.is_dirty() {
            let noted = std::mem::take(&mut self.noted);
            self.must(noted);
        }
        self.folder.remove_contents(&written.gone_files);
        Ok(written.receipts.iter().map(|(receipt, position)| (receipt.queue_id(), *position)).collect())
    }

    fn take(&mut self, entries: &[Entry]) -> Result<(), String> {
        let written = self.journal.write(entries);
        self.took(written)
    }

    fn took(&mut self, written: Written) -> Result<(), String> {
        for (id, position) in self.wrote(written)? {
            let place = match position {
                Position::Journal { segment, offset, len } => Place::Journal { segment, offset, len, memory: None },
                Position::File => Place::File,
            };
            self.places.insert(id, place);
            self.must([id]);
        }
        Ok(())
    }

    fn beside(&mut self, messages: &[(u64, u64)], before: &[Do], after: &[Do]) -> Result<(), String> {
        let entries = self.entries(messages);
        let mut written = Written::default();
        let mut left = Vec::new();
        while written.done < entries.len() && written.trouble.is_none() {
            let Some(sync) = self.journal.begin(&entries, &mut written) else { continue };
            left.append(&mut self.note_beside(before));
            let synced = sync.run(&self.disk);
            left.append(&mut self.note_beside(after));
            self.journal.end(synced, &mut written);
        }
        self.noted.retain(|id| left.iter().all(|note| note.id() != *id));
        self.took(written)?;
        self.noted.extend(left.iter().map(Note::id));
        let left: Vec<Entry> = left.into_iter().map(Entry::Note).collect();
        self.write(&left).map(|_| ())
    }

    /// Gives the notes that were not written.
    fn note_beside(&mut self, steps: &[Do]) -> Vec<Note> {
        let mut notes = self.notes(steps);
        let written = self.journal.note(&notes);
        assert!(written.receipts.is_empty() && written.gone_files.is_empty(), "nothing is promised by a note");
        notes.split_off(written.done)
    }

    /// The notes of these steps, about messages that are still there; from now on they may be found.
    fn notes(&mut self, steps: &[Do]) -> Vec<Note> {
        let mut notes = Vec::new();
        for step in steps {
            let (Fates(id) | Gone(id)) = *step else { panic!("{step:?} is no note") };
            let id = QueueId(id);
            if !self.journal.holds(id) {
                continue;
            }
            notes.push(if matches!(step, Fates(_)) {
                let newest = self.newest(id);
                self.may(id, Some(newest.clone()));
                Note::Fates(id, Arc::new(newest))
            } else {
                self.may(id, None);
                Note::Gone(id)
            });
            self.noted.insert(id);
        }
        notes
    }

    fn accept(&mut self, messages: &[(u64, u64)]) -> Result<(), String> {
        let entries = self.entries(messages);
        self.take(&entries)
    }

    fn entries(&mut self, messages: &[(u64, u64)]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (id, size) in messages {
            let id = QueueId(*id);
            self.sizes.insert(id, *size);
            self.may(id, Some(envelope(id, *size, 0)));
            let text = envelope(id, *size, 0).print();
            entries.push(Entry::Accept(Accept::new(id, text, Bytes::from(content(id, *size)))));
        }
        entries
    }

    fn receive_large(&mut self, id: QueueId, size: u64) -> Result<relay::disk::sim::SimFile, String> {
        let file = self.folder.create_content(id).map_err(|e| e.to_string())?;
        for piece in content(id, size).chunks(1_000) {
            self.folder.append_content(&file, piece).map_err(|e| e.to_string())?;
        }
        Ok(file)
    }

    fn large(&mut self, id: QueueId, size: u64) -> Result<(), String> {
        self.sizes.insert(id, size);
        let file = self.receive_large(id, size)?;
        self.may(id, Some(envelope(id, size, 0)));
        if let Err(error) = self.folder.finish_content(&file) {
            self.journal.poison(error.to_string());
            return Err(error.to_string());
        }
        self.take(&[Entry::Accept(Accept::in_file(id, envelope(id, size, 0).print()))])
    }

    fn abandon(&mut self, id: QueueId, size: u64) -> Result<(), String> {
        self.receive_large(id, size)?;
        self.folder.remove_contents(&[id]);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        let gone_files = self.journal.flush().map_err(|e| e.to_string())?;
        self.folder.remove_contents(&gone_files);
        let noted = std::mem::take(&mut self.noted);
        self.must(noted);
        Ok(())
    }

    /// A folder that could not be synced poisons the journal.
    fn all_of(&mut self, outcome: Result<Vec<FolderError>, FolderError>) -> Result<BTreeSet<QueueId>, String> {
        match outcome {
            Ok(failed) => {
                self.failed.extend(failed.iter().map(FolderError::to_string));
                Ok(failed
                    .iter()
                    .filter_map(|f| if let FolderError::Message(id, _) = f { Some(*id) } else { None })
                    .collect())
            }
            Err(error) => {
                self.journal.poison(error.to_string());
                Err(error.to_string())
            }
        }
    }

    fn park(&mut self, ids: &[QueueId]) -> Result<(), String> {
        let ids: Vec<QueueId> = ids.iter().copied().filter(|id| self.journal.holds(*id)).collect();
        let jobs: Vec<ParkJob> = ids
            .iter()
            .map(|id| ParkJob { id: *id, envelope: Arc::new(self.current(*id)), place: self.places[id].clone() })
            .collect();
        let failed = self.all_of(self.folder.park(&jobs))?;
        let parked: Vec<QueueId> = ids.into_iter().filter(|id| !failed.contains(id)).collect();
        let entries: Vec<Entry> = parked.iter().map(|id| Entry::Parked(*id)).collect();
        self.write(&entries)?;
        self.parked.extend(parked);
        Ok(())
    }

    fn update(&mut self, ids: &[QueueId]) -> Result<(), String> {
        let mut envelopes = Vec::new();
        for id in ids.iter().filter(|id| self.parked.contains(id)).copied().collect::<Vec<_>>() {
            let newest = self.newest(id);
            self.may(id, Some(newest.clone()));
            envelopes.push((id, newest));
        }
        let failed = self.all_of(self.folder.update(envelopes.iter().map(|(id, e)| (*id, e))))?;
        self.must(envelopes.iter().map(|(id, _)| *id).filter(|id| !failed.contains(id)));
        Ok(())
    }

    fn remove(&mut self, ids: &[QueueId]) -> Result<(), String> {
        let ids: Vec<QueueId> = ids.iter().copied().filter(|id| self.parked.contains(id)).collect();
        for id in &ids {
            self.may(*id, None);
        }
        let failed = self.all_of(self.folder.remove(&ids))?;
        self.must(ids.into_iter().filter(|id| !failed.contains(id)));
        Ok(())
    }

    fn chores(&mut self) -> Result<(), String> {
        while let Some(chore) = self.journal.chore() {
            self.journal.chore_done(chore.run(&self.disk)).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Where nothing can start, nothing goes on: a start that fails counts as the end of this life.
    fn restart(&mut self) -> Result<(), String> {
        let recovered = recover(&self.disk, options()).map_err(|e| {
            self.journal.poison(e.to_string());
            e.to_string()
        })?;
        assert!(recovered.troubles.is_empty(), "{:?}", recovered.troubles);
        self.journal = recovered.journal;
        self.folder = recovered.folder;
        for message in recovered.messages {
            assert!(self.expected[&message.id].contains(&Some(message.envelope)));
            self.places.insert(message.id, message.place);
        }
        Ok(())
    }
}

fn names(ids: &[u64]) -> Vec<QueueId> {
    ids.iter().copied().map(QueueId).collect()
}
