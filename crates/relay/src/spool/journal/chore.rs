//! Work on the journal's files that takes long and that no message waits for: segments made ahead and given back.
//!
//! The journal hands out one [`Chore`] at a time; whoever has a thread to spare runs it and brings the outcome back. A
//! removed or renamed segment is durably so before the chore ends: were an older segment to come back without the
//! younger one that tells its messages' end, they would all be sent again.

use crate::disk::Disk;
use crate::spool::segment::name;
use std::io;

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Chore {
    /// Make an empty segment.
    Make {
        /// Its number.
        number: u32,
        /// Its length.
        len: u64,
    },
    /// Make an empty segment of one that is needed no more: its blocks are there already.
    Reuse {
        /// The old one.
        number: u32,
        /// The new one.
        new_number: u32,
        /// Its length.
        len: u64,
    },
    /// Remove a segment that is needed no more.
    Remove {
        /// Which.
        number: u32,
    },
    /// Keep a damaged segment that is needed no more for the operator, in `damaged/`.
    PutAside {
        /// Which.
        number: u32,
    },
}

/// What came of it.
pub struct ChoreDone<D: Disk> {
    pub(super) chore: Chore,
    pub(super) outcome: Result<Option<D::File>, Failed>,
}

/// Why it failed.
pub(super) struct Failed {
    /// A sync failed: nothing is certain any more.
    pub in_sync: bool,
    pub error: io::Error,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed { in_sync: false, error }
    }
}

fn sync_names<D: Disk>(disk: &D, folder: &str) -> Result<(), Failed> {
    disk.sync_names(folder).map_err(|error| Failed { in_sync: true, error })
}

impl Chore {
    /// Carries it out; takes as long as the disk does.
    pub fn run<D: Disk>(self, disk: &D) -> ChoreDone<D> {
        let outcome = match self {
            Chore::Make { number, len } => make(disk, &name(number), len).map(Some),
            Chore::Reuse { number, new_number, .. } => reuse(disk, &name(number), &name(new_number)).map(Some),
            Chore::Remove { number } => remove(disk, &name(number)).map(|()| None),
            Chore::PutAside { number } => put_aside(disk, &name(number)).map(|()| None),
        };
        ChoreDone { chore: self, outcome }
    }

    /// The segment that is no more, and the one that is new, with its length.
    pub(super) fn numbers(&self) -> (Option<u32>, Option<(u32, u64)>) {
        match *self {
            Chore::Make { number, len } => (None, Some((number, len))),
            Chore::Reuse { number, new_number, len } => (Some(number), Some((new_number, len))),
            Chore::Remove { number } | Chore::PutAside { number } => (Some(number), None),
        }
    }
}

fn make<D: Disk>(disk: &D, name: &str, len: u64) -> Result<D::File, Failed> {
    let file = disk.create(name)?;
    if let Err(error) = disk.preallocate(&file, len) {
        // Half a segment would only take the room that is missing.
        let _ = disk.remove(name);
        return Err(error.into());
    }
    sync_names(disk, "journal")?;
    Ok(file)
}

fn reuse<D: Disk>(disk: &D, name: &str, new_name: &str) -> Result<D::File, Failed> {
    let file = disk.open_to_write(name)?;
    disk.rename(name, new_name)?;
    sync_names(disk, "journal")?;
    Ok(file)
}

fn remove<D: Disk>(disk: &D, name: &str) -> Result<(), Failed> {
    disk.remove(name)?;
    sync_names(disk, "journal")
}

fn put_aside<D: Disk>(disk: &D, name: &str) -> Result<(), Failed> {
    disk.rename(name, &name.replace("journal/", "damaged/"))?;
    sync_names(disk, "damaged")?;
    sync_names(disk, "journal")
}
