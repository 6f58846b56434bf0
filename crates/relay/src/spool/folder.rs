//! The Queue folder: parked messages, and the content of large ones.
//!
//! A parked message is `ID.eml` and `ID.env`; it exists if and only if its `.env` does. The steps below are those of
//! the table in [`crate::spool`]; each sync in them is needed, and the test `crash` shows it by leaving each out.
//!
//! It works in batches: the syncs, which cost most, are shared. After a sync has failed ([`FolderError::Sync`]) nothing
//! that was under way is certain; the caller stops writing altogether and lets the next start find out.

use super::ParkJob;
use super::content::{file_name, read_journal};
use crate::disk::{self, Disk};
use crate::envelope::{Envelope, QueueId};
use crate::parcel::Place;
use std::io;

/// An envelope's text is at most this long: a million recipients.
const ENVELOPE_MAX: u64 = 256 << 20;

/// Why the folder could not do it.
#[derive(Debug)]
pub enum FolderError {
    /// A sync has failed: stop.
    Sync(io::Error),
    /// For this message it failed; nothing of it was left half done.
    Message(QueueId, String),
}

impl std::fmt::Display for FolderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sync(error) => write!(f, "the Queue folder could not be synced: {error}"),
            Self::Message(id, why) => write!(f, "message {id}: {why}"),
        }
    }
}

impl std::error::Error for FolderError {}

/// The Queue folder of a disk.
#[derive(Clone)]
pub struct Folder<D: Disk> {
    disk: D,
}

/// `ID.env`
pub(super) fn envelope_name(id: QueueId) -> String {
    format!("{id}.env")
}

/// `ID.env.new`
pub(super) fn new_envelope_name(id: QueueId) -> String {
    format!("{id}.env.new")
}

impl<D: Disk> Folder<D> {
    /// The folder.
    #[must_use]
    pub fn new(disk: D) -> Folder<D> {
        Folder { disk }
    }

    /// Moves messages here: S0 → S3 (or S1 → S3 for a large one). Says for each that could not be moved why; the others
    /// are durable. The journal still has all of them until it is told.
    ///
    /// # Errors
    /// [`FolderError::Sync`].
    pub fn park(&self, jobs: &[ParkJob]) -> Result<Vec<FolderError>, FolderError> {
        let mut failed = Vec::new();
        let mut files = Vec::with_capacity(2 * jobs.len());
        let mut written = Vec::with_capacity(jobs.len());
        for job in jobs {
            let before = files.len();
            match self.write_both(job, &mut files) {
                Ok(()) => written.push(job),
                Err(error) => {
                    files.truncate(before);
                    self.undo(job);
                    failed.push(FolderError::Message(job.id, error.to_string()));
                }
            }
        }
        self.disk.sync_many(&files).map_err(FolderError::Sync)?;
        drop(files);
        // Without this a name `.env` could be on disk and its `.eml` not.
        self.disk.sync_names("").map_err(FolderError::Sync)?;
        for job in written {
            if let Err(error) = self.disk.rename(&new_envelope_name(job.id), &envelope_name(job.id)) {
                self.undo(job);
                failed.push(FolderError::Message(job.id, error.to_string()));
            }
        }
        self.disk.sync_names("").map_err(FolderError::Sync)?;
        Ok(failed)
    }

    fn write_both(&self, job: &ParkJob, files: &mut Vec<D::File>) -> io::Result<()> {
        match &job.place {
            Place::File => {}
            Place::Journal { memory: Some(content), .. } => files.push(self.write_new(&file_name(job.id), content)?),
            Place::Journal { segment, offset, len, memory: None } => {
                let content = read_journal(&self.disk, *segment, *offset, *len)?;
                files.push(self.write_new(&file_name(job.id), &content)?);
            }
        }
        files.push(self.write_new(&new_envelope_name(job.id), job.envelope.print().as_bytes())?);
        Ok(())
    }

    /// Writes a new file; one that is left from an attempt which failed is replaced.
    fn write_new(&self, name: &str, octets: &[u8]) -> io::Result<D::File> {
        let file = match self.disk.create(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(name)?;
                self.disk.create(name)?
            }
            outcome => outcome?,
        };
        self.disk.append(&file, octets)?;
        Ok(file)
    }

    /// Takes back what a failed park left; what cannot be taken back now is swept at the next start.
    fn undo(&self, job: &ParkJob) {
        let _ = self.disk.remove(&new_envelope_name(job.id));
        if !matches!(job.place, Place::File) {
            let _ = self.disk.remove(&file_name(job.id));
        }
    }

    /// Replaces envelopes: S3 → S4 → S3. Says for each that could not be replaced why; it keeps its old envelope.
    ///
    /// # Errors
    /// [`FolderError::Sync`].
    pub fn update<'a>(
        &self,
        envelopes: impl IntoIterator<Item = (QueueId, &'a Envelope)>,
    ) -> Result<Vec<FolderError>, FolderError> {
        let mut failed = Vec::new();
        let (mut files, mut ids) = (Vec::new(), Vec::new());
        for (id, envelope) in envelopes {
            match self.write_new(&new_envelope_name(id), envelope.print().as_bytes()) {
                Ok(file) => {
                    files.push(file);
                    ids.push(id);
                }
                Err(error) => {
                    let _ = self.disk.remove(&new_envelope_name(id));
                    failed.push(FolderError::Message(id, error.to_string()));
                }
            }
        }
        self.disk.sync_many(&files).map_err(FolderError::Sync)?;
        for id in ids {
            if let Err(error) = self.disk.rename(&new_envelope_name(id), &envelope_name(id)) {
                let _ = self.disk.remove(&new_envelope_name(id));
                failed.push(FolderError::Message(id, error.to_string()));
            }
        }
        self.disk.sync_names("").map_err(FolderError::Sync)?;
        Ok(failed)
    }

    /// Removes messages: S3 → S1 → S0.
    ///
    /// # Errors
    /// [`FolderError::Sync`].
    pub fn remove(&self, ids: &[QueueId]) -> Result<Vec<FolderError>, FolderError> {
        let mut failed = Vec::new();
        let mut gone = Vec::with_capacity(ids.len());
        for id in ids {
            match self.disk.remove(&envelope_name(*id)) {
                Ok(()) => gone.push(*id),
                Err(error) if error.kind() == io::ErrorKind::NotFound => gone.push(*id),
                Err(error) => failed.push(FolderError::Message(*id, error.to_string())),
            }
        }
        // Without this a message without content could come back.
        self.disk.sync_names("").map_err(FolderError::Sync)?;
        self.remove_contents(&gone);
        Ok(failed)
    }

    /// Removes the `.eml` of messages that are durably gone. One that cannot be removed is swept at the next start.
    pub fn remove_contents(&self, ids: &[QueueId]) {
        for id in ids {
            let _ = self.disk.remove(&file_name(*id));
        }
    }

    /// Reads a parked message's envelope.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::InvalidData`] if it is no envelope.
    pub fn load(&self, id: QueueId) -> io::Result<Envelope> {
        let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{id}.env: {why}"));
        let octets = disk::read(&self.disk, &envelope_name(id), ENVELOPE_MAX)?;
        let text = String::from_utf8(octets).map_err(|error| damaged(error.to_string()))?;
        Envelope::parse(&text).map_err(|error| damaged(error.to_string()))
    }

    /// Begins the `.eml` of a large message: S0 → S1.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create_content(&self, id: QueueId) -> io::Result<D::File> {
        self.disk.create(&file_name(id))
    }

    /// Adds to it.
    ///
    /// # Errors
    /// What the disk says; the message cannot be accepted then.
    pub fn append_content(&self, file: &D::File, octets: &[u8]) -> io::Result<()> {
        self.disk.append(file, octets)
    }

    /// Makes it durable, name and all; only then may the journal name it.
    ///
    /// # Errors
    /// [`FolderError::Sync`].
    pub fn finish_content(&self, file: &D::File) -> Result<(), FolderError> {
        self.disk.sync(file).map_err(FolderError::Sync)?;
        self.disk.sync_names("").map_err(FolderError::Sync)
    }

    /// Opens an `.eml` for reading; says how long it is.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open_content(&self, id: QueueId) -> io::Result<(D::File, u64)> {
        let file = self.disk.open(&file_name(id))?;
        let len = self.disk.len(&file)?;
        Ok((file, len))
    }
}
