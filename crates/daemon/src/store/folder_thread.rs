//! The thread that works in the Queue folder: parks, replaces, removes, loads; and reads what was there at start.
//!
//! Jobs are done in the order they came; neighbours of one kind share their syncs. Between jobs it reads the folder in
//! slices.

use super::inbox::Waited;
use super::journal_thread::Work;
use super::{FolderJob, Shared};
use crate::files::Files;
use relay::envelope::QueueId;
use relay::queue::Event;
use relay::spool::folder::FolderError;
use relay::spool::{ParkJob, Scan, UpdateJob};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages parked with one pair of syncs.
const PARK_BATCH: usize = 256;
/// Parked messages read at a time at start.
const SCAN_SLICE: usize = 256;
/// Messages that could not be read are tried again after this.
const SCAN_AGAIN: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(60) };
/// How long to sleep when there is nothing to do.
const IDLE: Duration = Duration::from_secs(60);

pub(super) struct FolderThread {
    pub shared: Arc<Shared>,
    pub scan: Option<Scan>,
    /// When what the scan could not read is tried again.
    pub again_at: Option<Instant>,
}

impl FolderThread {
    pub fn run(mut self) {
        let mut jobs = Vec::new();
        loop {
            let wait = match (&self.scan, self.again_at) {
                (Some(_), None) => Duration::ZERO,
                (_, Some(at)) => at.saturating_duration_since(Instant::now()),
                (None, None) => IDLE,
            };
            match self.shared.folder_jobs.take(&mut jobs, wait) {
                Waited::Arrived => self.carry_out(&mut jobs),
                Waited::TimedOut => {}
                Waited::Closed => break,
            }
            self.read_slice();
        }
        // What has been parked last is noted before the journal's thread sees this.
        self.shared.journal.close();
    }

    fn read_slice(&mut self) {
        if self.again_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        let Some(mut scan) = self.scan.take() else { return };
        if self.again_at.take().is_some() {
            scan.again();
        }
        let mut troubles = Vec::new();
        let found = scan.slice::<Files>(&self.shared.disk, &self.shared.folder, SCAN_SLICE, &mut troubles);
        for trouble in troubles {
            self.shared.one_less();
            self.shared.alarm(format!("damage in the Queue folder: {trouble}"));
        }
        if !found.is_empty() {
            self.shared.send(Event::Found(found));
        }
        if scan.left() > 0 {
            self.scan = Some(scan);
            return;
        }
        self.shared.send(Event::FoundAll);
        if let Some((count, why)) = scan.unread() {
            self.shared.alarm(format!(
                "{count} messages in the Queue folder cannot be read now, and wait until they can: {why}"
            ));
            self.again_at = Some(Instant::now() + SCAN_AGAIN);
            self.scan = Some(scan);
        }
    }

    fn carry_out(&mut self, jobs: &mut Vec<FolderJob>) {
        let mut jobs = jobs.drain(..).peekable();
        while let Some(job) = jobs.next() {
            match job {
                FolderJob::Park(mut all) => {
                    while let Some(FolderJob::Park(more)) = jobs.next_if(|j| matches!(j, FolderJob::Park(_))) {
                        all.extend(more);
                    }
                    for some in all.chunks(PARK_BATCH) {
                        self.park(some);
                    }
                }
                FolderJob::Update(first) => {
                    let mut seen = HashSet::from([first.id]);
                    let mut all = vec![first];
                    // The same message twice must be two batches: the second replaces the first.
                    while let Some(FolderJob::Update(job)) = jobs.next_if(
                        |j| matches!(j, FolderJob::Update(job) if all.len() < PARK_BATCH && seen.insert(job.id)),
                    ) {
                        all.push(job);
                    }
                    self.update(&all);
                }
                FolderJob::Remove(id) => {
                    let mut all = vec![id];
                    while let Some(FolderJob::Remove(id)) = jobs.next_if(|j| matches!(j, FolderJob::Remove(_))) {
                        all.push(id);
                    }
                    self.remove(&all);
                }
                FolderJob::Load(id) => {
                    let loaded = self.shared.folder.load(id);
                    self.shared.send(Event::Loaded(id, loaded));
                }
                FolderJob::RemoveContents(ids) => self.shared.folder.remove_contents(&ids),
            }
        }
    }

    fn park(&self, jobs: &[ParkJob]) {
        if self.shared.limits.is_poisoned() {
            return;
        }
        match self.shared.folder.park(jobs) {
            Ok(failed) => {
                let mut lost = HashSet::new();
                for error in failed {
                    if let FolderError::Message(id, why) = error {
                        lost.insert(id);
                        self.shared.journal_work(Work::ParkFailed(vec![id]));
                        self.shared.send(Event::ParkFailed(vec![id], why));
                    }
                }
                let parked = jobs.iter().map(|job| job.id).filter(|id| !lost.contains(id)).collect();
                self.shared.journal_work(Work::Parked(parked));
            }
            Err(error) => self.shared.poison(&error.to_string()),
        }
    }

    fn update(&self, jobs: &[UpdateJob]) {
        if self.shared.limits.is_poisoned() {
            return;
        }
        let failed = match self.shared.folder.update(jobs.iter().map(|job| (job.id, &*job.envelope))) {
            Ok(failed) => failed,
            Err(error) => return self.shared.poison(&error.to_string()),
        };
        let mut why: HashMap<QueueId, String> = HashMap::new();
        for error in failed {
            match error {
                FolderError::Message(id, text) => _ = why.insert(id, text),
                FolderError::Sync(_) => return self.shared.poison(&error.to_string()),
            }
        }
        for UpdateJob { id, version, .. } in jobs {
            match (version, why.remove(id)) {
                (Some(version), None) => self.shared.send(Event::Updated(*id, *version)),
                (Some(version), Some(why)) => self.shared.send(Event::UpdateFailed(*id, *version, why)),
                // The queue writes it anew when it hears that the message is parked.
                (None, Some(why)) => self.shared.alarm(format!("the Queue folder: message {id}: {why}")),
                (None, None) => {}
            }
        }
    }

    fn remove(&self, ids: &[QueueId]) {
        if self.shared.limits.is_poisoned() {
            return;
        }
        let failed = match self.shared.folder.remove(ids) {
            Ok(failed) => failed,
            Err(error) => return self.shared.poison(&error.to_string()),
        };
        let Some(why) = failed.first().map(ToString::to_string) else { return };
        let still_there = failed.into_iter().filter_map(|error| match error {
            FolderError::Message(id, _) => Some(id),
            FolderError::Sync(_) => None,
        });
        let still_there: Vec<QueueId> = still_there.collect();
        self.shared.more(still_there.len());
        self.shared.send(Event::RemoveFailed(still_there, why));
    }
}
