//! May a new message come in? A few numbers that every session reads and the spool's threads write.
//!
//! Nothing is looked up when a message comes: free space and the journal's size are known from the last look, which the
//! journal's thread takes every quarter of a second while it works, and every second while it does not.

use relay::config::QueueBounds;
use relay::disk::Space;
use smtp::reply::Reply;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Below this part of all files that a disk can have, it counts as full.
const FILES_MIN_PERCENT: u64 = 1;
/// The journal may outgrow its bound by this factor before nothing more is accepted: parking is under way by then.
const JOURNAL_GROWTH: u64 = 8;

/// What is watched, and the bounds it is held against.
pub(super) struct Limits {
    pub bounds: QueueBounds,
    /// Nothing more is written in this life.
    poisoned: AtomicBool,
    /// Free octets at the last look; `u64::MAX` before it.
    free: AtomicU64,
    /// Too few files can be made.
    no_files: AtomicBool,
    journal: AtomicU64,
    /// Messages in journal and folder.
    pub waiting: AtomicU64,
}

impl Limits {
    pub fn new(bounds: QueueBounds, waiting: u64) -> Limits {
        Limits {
            bounds,
            poisoned: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            no_files: AtomicBool::new(false),
            journal: AtomicU64::new(0),
            waiting: AtomicU64::new(waiting),
        }
    }

    /// The reply that a new message is refused with, if it must be.
    pub fn check(&self) -> Result<(), Reply> {
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(poisoned());
        }
        if self.waiting.load(Ordering::Relaxed) >= self.bounds.messages_max {
            return Err(Reply::new(452, 3, 1, "The queue is full; try again later"));
        }
        if self.is_disk_low(self.bounds.free_space_min) || self.no_files.load(Ordering::Relaxed) {
            return Err(full());
        }
        if self.journal.load(Ordering::Relaxed) > self.bounds.journal_max.saturating_mul(JOURNAL_GROWTH) {
            return Err(Reply::new(452, 3, 1, "The queue is behind with writing; try again later"));
        }
        Ok(())
    }

    /// The same for a message of our own: a report takes the place of the message it is about, so a full queue must not
    /// keep it out, and half of the reserved room is for it.
    pub fn check_report(&self) -> Result<(), Reply> {
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(poisoned());
        }
        if self.is_disk_low(self.bounds.free_space_min / 2) { Err(full()) } else { Ok(()) }
    }

    fn is_disk_low(&self, least: u64) -> bool {
        self.free.load(Ordering::Relaxed) < least
    }

    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }

    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Takes over a look at the disk; says whether something has changed for new messages.
    pub fn look(&self, space: Space) -> Option<bool> {
        let was = self.is_disk_low(self.bounds.free_space_min) || self.no_files.load(Ordering::Relaxed);
        self.free.store(space.octets, Ordering::Relaxed);
        let no_files = space.files.is_some_and(|(free, all)| free < all / 100 * FILES_MIN_PERCENT);
        self.no_files.store(no_files, Ordering::Relaxed);
        let is = self.is_disk_low(self.bounds.free_space_min) || no_files;
        (is != was).then_some(is)
    }

    pub fn set_journal(&self, octets: u64) {
        self.journal.store(octets, Ordering::Relaxed);
    }
}

pub(super) fn poisoned() -> Reply {
    Reply::new(452, 3, 1, "The disk of the queue has failed; nothing can be accepted until it is repaired")
}

pub(super) fn full() -> Reply {
    Reply::new(452, 3, 1, "Not enough room on the disk of the queue; try again later")
}
