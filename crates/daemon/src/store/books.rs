//! The journal with what is known about its messages: the journal's thread and the notes' thread keep it in turn.
//!
//! Promises that what is noted of a message is in the journal, or is a job for the folder, in the order in which it was
//! noted, whichever of the two threads comes first. Held only while something is written, never while the disk syncs.

use super::journal_thread::Work;
use super::{FolderJob, Shared};
use crate::files::{Files, advice};
use relay::envelope::QueueId;
use relay::spool::journal::{Journal, JournalError, Written};
use relay::spool::{Note, UpdateJob};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the two threads take in turn.
pub(super) struct Desk {
    books: Mutex<Books>,
}

impl Desk {
    pub fn new(journal: Journal<Files>) -> Desk {
        let (unwritten, parking) = (Vec::new(), HashMap::new());
        Desk { books: Mutex::new(Books { journal, unwritten, parking, no_room: false }) }
    }

    /// A thread that panicked leaves the books as they were before or after one entry.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(super) struct Books {
    pub journal: Journal<Files>,
    /// Notes that found no room: they must not be lost, they are tried again.
    pub unwritten: Vec<Note>,
    /// Messages on their way to the folder, each with the last note that came meanwhile: the envelope which the folder
    /// writes is older than that.
    parking: HashMap<QueueId, Option<Note>>,
    /// That there is no room has been told.
    pub no_room: bool,
}

impl Books {
    /// Writes what has come of messages, as far as there is room. Syncs nothing. It is taken out of the inbox with the books
    /// in hand: what is in neither of them would be overtaken by what comes later.
    pub fn take_notes(&mut self, shared: &Shared) {
        for thing in shared.journal.take_first() {
            match thing {
                Work::Note(note) => {
                    match self.parking.get_mut(&note.id()) {
                        // Nothing comes after the end.
                        Some(Some(Note::Gone(_))) => continue,
                        Some(last) => *last = Some(note.clone()),
                        None => {}
                    }
                    self.unwritten.push(note);
                }
                Work::Parking(ids) => self.parking.extend(ids.into_iter().map(|id| (id, None))),
                Work::ParkFailed(ids) => ids.iter().for_each(|id| drop(self.parking.remove(id))),
                // The others do not come here.
                Work::Commit(_) | Work::Parked(_) | Work::ChoreDone(_) | Work::Poison(_) | Work::Close => {}
            }
        }
        if !self.unwritten.is_empty() {
            self.write_notes(shared);
        }
    }

    fn write_notes(&mut self, shared: &Shared) {
        let Written { done, strangers, trouble, .. } = self.journal.note(&self.unwritten);
        let mut strangers = strangers.into_iter().peekable();
        for (i, note) in std::mem::take(&mut self.unwritten).into_iter().enumerate() {
            if strangers.next_if_eq(&i).is_some() {
                self.late(shared, note);
            } else if i >= done {
                self.unwritten.push(note);
            } else if let Note::Gone(_) = note {
                shared.one_less();
            }
        }
        match trouble {
            Some(trouble) => self.trouble(shared, &trouble),
            None => self.no_room = false,
        }
    }

    /// A note about a message that is not here (any more).
    fn late(&self, shared: &Shared, note: Note) {
        if let Note::Gone(_) = note {
            shared.one_less();
        }
        // That it is parked is being synced: then it is passed on.
        if !self.parking.contains_key(&note.id()) {
            forward(shared, note);
        }
    }

    /// The folder has the message: what was noted meanwhile is for the folder.
    pub fn parked(&mut self, shared: &Shared, id: QueueId) {
        if let Some(Some(note)) = self.parking.remove(&id) {
            forward(shared, note);
        }
    }

    /// Told of once, until a write has gone well again.
    pub fn trouble(&mut self, shared: &Shared, error: &JournalError) {
        match error {
            JournalError::Poisoned(_) => {
                self.unwritten.clear();
                shared.fail(&error.to_string());
            }
            JournalError::NoRoom(cause) if !self.no_room => {
                self.no_room = true;
                shared.alarm(format!("{error}{}", advice(cause).map(|a| format!(" ({a})")).unwrap_or_default()));
            }
            JournalError::NoRoom(_) => {}
        }
    }
}

/// What is noted of a parked message is a job for the folder.
fn forward(shared: &Shared, note: Note) {
    shared.folder_job(match note {
        Note::Fates(id, envelope) => FolderJob::Update(UpdateJob { id, envelope, version: None }),
        Note::Gone(id) => FolderJob::Remove(id),
    });
}

/// The thread that writes notes while the journal's own thread waits for the disk: a kill loses nothing that was written,
/// and what it loses is sent again.
pub(super) struct NotesThread {
    pub shared: Arc<Shared>,
    pub desk: Arc<Desk>,
}

impl NotesThread {
    pub fn run(self) {
        while self.shared.journal.wait_to_help() {
            self.desk.books().take_notes(&self.shared);
        }
    }
}
