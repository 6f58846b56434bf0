//! May a new message come in? A few numbers that every session reads and the spool's threads write.
//!
//! Nothing is looked up when a message comes: free space and the journal's size are known from the last look, which the
//! journal's thread takes every quarter of a second while it works, and every second while it does not.

use relay::admin::alarms::DiskFacts;
use relay::config::QueueBounds;
use relay::disk::Space;
use smtp::reply::Reply;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Below this part of all files that a disk can have, it counts as full.
const FILES_MIN_PERCENT: u64 = 1;
/// The journal may outgrow its bound by this factor before accepting is slowed down: parking is under way by then.
const JOURNAL_SLOW: u64 = 4;
/// And by this one before nothing more is accepted.
const JOURNAL_FULL: u64 = 8;
/// The longest pause between two batches.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// What is watched, and the bounds it is held against.
pub(super) struct Limits {
    pub memory_max: AtomicU64,
    pub journal_max: AtomicU64,
    pub stream_over: AtomicU64,
    free_space_min: AtomicU64,
    messages_max: AtomicU64,
    /// Nothing more is written in this life.
    poisoned: AtomicBool,
    /// Free octets at the last look; `u64::MAX` before it.
    free: AtomicU64,
    /// Too few files can be made.
    no_files: AtomicBool,
    /// What the last look said.
    was_full: AtomicBool,
    journal: AtomicU64,
    /// Messages in journal and folder.
    pub waiting: AtomicU64,
}

impl Limits {
    pub fn new(bounds: QueueBounds, waiting: u64) -> Limits {
        Limits {
            memory_max: AtomicU64::new(bounds.memory_max),
            journal_max: AtomicU64::new(bounds.journal_max),
            stream_over: AtomicU64::new(bounds.stream_over),
            free_space_min: AtomicU64::new(bounds.free_space_min),
            messages_max: AtomicU64::new(bounds.messages_max),
            poisoned: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            no_files: AtomicBool::new(false),
            was_full: AtomicBool::new(false),
            journal: AtomicU64::new(0),
            waiting: AtomicU64::new(waiting),
        }
    }

    /// A new configuration holds.
    pub fn configure(&self, bounds: QueueBounds) {
        self.memory_max.store(bounds.memory_max, Ordering::Relaxed);
        self.journal_max.store(bounds.journal_max, Ordering::Relaxed);
        self.stream_over.store(bounds.stream_over, Ordering::Relaxed);
        self.free_space_min.store(bounds.free_space_min, Ordering::Relaxed);
        self.messages_max.store(bounds.messages_max, Ordering::Relaxed);
    }

    /// The reply that a new message is refused with, if it must be.
    pub fn check(&self) -> Result<(), Reply> {
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(poisoned());
        }
        if self.waiting.load(Ordering::Relaxed) >= self.messages_max.load(Ordering::Relaxed) {
            return Err(Reply::new(452, 3, 1, "The queue is full; try again later"));
        }
        if self.is_disk_full() {
            return Err(full());
        }
        if self.journal.load(Ordering::Relaxed) > self.journal_max.load(Ordering::Relaxed).saturating_mul(JOURNAL_FULL)
        {
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
        if self.is_disk_low(self.free_space_min.load(Ordering::Relaxed) / 2) { Err(full()) } else { Ok(()) }
    }

    /// For alarms.
    pub fn facts(&self) -> DiskFacts {
        let free = self.free.load(Ordering::Relaxed);
        DiskFacts {
            poisoned: self.is_poisoned(),
            free: (free != u64::MAX).then_some(free),
            reserved: self.free_space_min.load(Ordering::Relaxed),
            no_files: self.no_files.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            waiting_max: self.messages_max.load(Ordering::Relaxed),
        }
    }

    fn is_disk_full(&self) -> bool {
        self.is_disk_low(self.free_space_min.load(Ordering::Relaxed)) || self.no_files.load(Ordering::Relaxed)
    }

    fn is_disk_low(&self, least: u64) -> bool {
        self.free.load(Ordering::Relaxed) < least
    }

    /// Says whether this is new.
    pub fn poison(&self) -> bool {
        !self.poisoned.swap(true, Ordering::Relaxed)
    }

    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    /// Takes over a look at the disk; says whether something has changed for new messages: `true`, there is no room now.
    pub fn look(&self, space: Space) -> Option<bool> {
        self.free.store(space.octets, Ordering::Relaxed);
        let no_files = space.files.is_some_and(|(free, all)| free < all / 100 * FILES_MIN_PERCENT);
        self.no_files.store(no_files, Ordering::Relaxed);
        let is = self.is_disk_full();
        (self.was_full.swap(is, Ordering::Relaxed) != is).then_some(is)
    }

    /// How long to wait before the next batch, so that parking catches up: the more, the larger the journal is.
    pub fn pause(&self) -> Option<Duration> {
        let max = self.journal_max.load(Ordering::Relaxed).max(1);
        let over = self.journal.load(Ordering::Relaxed).checked_sub(max.saturating_mul(JOURNAL_SLOW))?;
        let ramp = max.saturating_mul(JOURNAL_FULL - JOURNAL_SLOW);
        Some(PAUSE_MAX.mul_f64((over as f64 / ramp as f64).min(1.0)))
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
