//! Where the journal writes next: segments that are begun, made ahead, and given back.

use super::batch::begin;
use super::{Active, Chore, ChoreDone, Journal, JournalError, Segment};
use crate::disk::Disk;
use crate::spool::frame::BARE;
use crate::spool::segment::block_end;
use std::io::{self, IoSlice};

impl<D: Disk> Journal<D> {
    /// Sees to it that `octets` fit into the active segment; says where they go. While a sync is under way there is no
    /// next segment: what it begins with must say how far the one before is durable.
    pub(super) fn make_room(&mut self, octets: u64) -> Result<Option<u64>, JournalError> {
        if let Some(active) = self.active.as_ref().filter(|a| a.at + octets <= a.len) {
            return Ok(Some(active.at));
        }
        if self.sync_out {
            return Ok(None);
        }
        let needed = BARE as u64 + octets;
        let (number, len, file) = match self.spare.take() {
            Some(spare) if spare.1 >= needed => spare,
            unfit => {
                self.spare = unfit;
                self.make_segment(needed)?
            }
        };
        if let Some(old) = &self.active {
            self.previous = (old.number, old.synced);
            // Its last notes become durable with the next sync, like all notes.
            if old.synced < old.end {
                self.behind.push(old.file.clone());
            }
        }
        self.salt = self.salt.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        self.segments.insert(number, Segment { octets: len, living: 0, damaged: false });
        let mut active = Active { number, file, len, at: 0, end: 0, synced: 0, sequence: 0, salt: self.salt };
        let begin = begin(self.previous, &mut active);
        let outcome = self.disk.write_at(&active.file, 0, &mut [IoSlice::new(&begin)]);
        (active.at, active.end) = (begin.len() as u64, begin.len() as u64);
        self.active = Some(active);
        match outcome {
            Ok(()) => Ok(Some(begin.len() as u64)),
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
