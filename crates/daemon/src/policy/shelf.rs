//! Policies on disk, so that a restart forgets none: one small file for each domain, under its name, in the state folder.

use crate::certificate::place::{self, Readers};
use relay::route::mta_sts::{Kept, POLICY_MAX};
use smtp::address::Domain;
use smtp::time::Timestamp;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Policies that are kept on disk.
pub(super) const KEPT_MAX: usize = 10_000;
/// A file longer than that is none of ours.
const FILE_MAX: u64 = 2 * POLICY_MAX as u64;

/// The folder. All of this waits for the disk.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
    /// How many there may be; none are written if it is 0.
    room: usize,
}

impl Shelf {
    /// Below the state folder, with room for so many.
    pub(super) fn new(state: &Path, room: usize) -> Shelf {
        Shelf { folder: state.join("mta-sts"), room }
    }

    /// What is kept of a domain; `None` for a file that is not there, or cannot be understood.
    pub(super) fn find(&self, domain: &Domain, now: Timestamp) -> Option<Kept> {
        read(&self.folder.join(domain.as_str()), now)
    }

    /// Keeps a policy, if there is room.
    ///
    /// # Errors
    /// It cannot be written, and what to do.
    pub(super) fn keep(&self, domain: &Domain, kept: &Kept, now: Timestamp) -> Result<(), String> {
        if self.room == 0 {
            return Ok(());
        }
        let what =
            |error: &dyn std::fmt::Display| format!("The MTA-STS policies cannot be kept for a restart: {error}.");
        place::private_folder(&self.folder).map_err(|fault| what(&fault))?;
        let file = self.folder.join(domain.as_str());
        if !file.exists() && !self.has_room(now) {
            return Err(what(&format_args!("there are {} in {}", self.room, self.folder.display())));
        }
        place::write(&file, kept.print().as_bytes(), Readers::Owner).map_err(|fault| what(&fault))
    }

    /// Is there room, perhaps when those are gone whose time is over, and what is no policy?
    fn has_room(&self, now: Timestamp) -> bool {
        let files = || fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        if files().count() < self.room {
            return true;
        }
        for file in files() {
            if read(&file.path(), now).is_none_or(|kept| !kept.holds(now)) {
                let _ = fs::remove_file(file.path());
            }
        }
        files().count() < self.room
    }
}

fn read(file: &Path, now: Timestamp) -> Option<Kept> {
    let mut text = String::new();
    File::open(file).ok()?.take(FILE_MAX).read_to_string(&mut text).ok()?;
    Kept::parse(&text, now)
}
