//! A sync that the journal needs, to be carried out by whoever may wait for the disk.
//!
//! Whoever waits need not hold the journal meanwhile: notes are written beside a sync ([`super::Journal::note`]). What the
//! sync covers was written before it was handed out, and only that may be promised when it is over.

use super::Position;
use crate::disk::Disk;
use crate::envelope::QueueId;
use crate::spool::Receipt;
use std::io;

/// A sync to be carried out, with all that may be said once it has gone well.
#[must_use = "messages wait for it"]
pub struct Sync<D: Disk> {
    /// The segment being written, then older ones whose last notes are not durable yet.
    pub(super) files: Vec<D::File>,
    pub(super) covers: Covers,
}

/// What a sync makes durable, and what follows from it.
pub(super) struct Covers {
    /// The segment being written is durable up to here then.
    pub end: u64,
    /// So many entries are done then.
    pub done: usize,
    pub receipts: Vec<(Receipt, Position)>,
    pub gone_files: Vec<QueueId>,
}

/// A sync that was carried out, well or not.
#[must_use = "the journal must be told"]
pub struct Synced {
    pub(super) covers: Covers,
    pub(super) outcome: io::Result<()>,
}

impl<D: Disk> Sync<D> {
    /// Carries it out; takes as long as the disk does.
    pub fn run(self, disk: &D) -> Synced {
        let outcome = self.files.iter().try_for_each(|file| disk.sync(file));
        Synced { covers: self.covers, outcome }
    }
}
