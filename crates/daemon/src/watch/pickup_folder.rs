//! The Pickup folder and our own folder of claimed files: looking, taking, giving back, removing.
//!
//! Whoever may write into Pickup may swap a file for a link to something that only we may read, between any two of our
//! steps. So a file is opened first (never through a link, never waiting), then judged by what was *opened*, then moved;
//! and after the move it is made sure that what was moved is what was opened. From then on only the open file is read.
//!
//! Left alone, with a line in the log: links of both kinds, folders, FIFOs, sockets, devices, files that we may not read
//! or not move. A second name (a hard link) is how a program puts a finished file here, and how somebody gets at another
//! one's file; once the second name is gone, the file is one like any other.
//!
//! Left alone without a word: names that begin with a dot. That is how programs call files that they have not finished.
//!
//! Claimed files lie in `Queue/claimed` of the same home, or, where Pickup is a disk of its own (a container's volume), in
//! `Pickup/.claimed`.
//!
//! IIS: "Pickup" (a file that cannot be removed is not sent); threats: 2.9.

use super::claim::Claim;
use super::sightings::is_hidden;
use super::writers;
use crate::local::folder::{Folder, Look};
use nix::errno::Errno;
use relay::envelope::QueueId;
use std::collections::BinaryHeap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Files that one look through the folder keeps in mind; the oldest. The others come next time.
pub(crate) const SCAN_MAX: usize = 50_000;
/// Our folder beside Pickup.
const CLAIMED: &str = "Queue/claimed";
/// Our folder within Pickup.
const CLAIMED_WITHIN: &str = ".claimed";

/// Pickup, and where its files go first.
#[derive(Debug)]
pub(crate) struct PickupFolder {
    pickup: Folder,
    claimed: Vec<Arc<Folder>>,
}

/// A file that is ours now.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What its name says.
    pub claim: Claim,
    /// What was opened, and nothing else, is read.
    pub file: File,
    /// How it looked when it was taken.
    pub look: Look,
    folder: Arc<Folder>,
    /// Its name in Pickup; cut, if this is a later life and it was long.
    original: OsString,
}

/// Why a file was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// It is not there any more.
    Gone,
    /// It is being changed, or locked: later.
    Busy,
    /// It is nothing that we take.
    LeftAlone(&'static str),
    /// It cannot be opened; another one may.
    Unopened(io::Error),
    /// The disk says no; it will say the same for the next file.
    Failed(io::Error),
}

impl NotTaken {
    /// What the system's refusal to open the file means.
    fn by(e: io::Error) -> NotTaken {
        match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOENT) => NotTaken::Gone,
            Some(Errno::ELOOP) => NotTaken::LeftAlone("is a symbolic link"),
            Some(Errno::EACCES | Errno::EPERM) => NotTaken::LeftAlone("may not be read by this service"),
            Some(Errno::ENXIO | Errno::EISDIR | Errno::ENODEV) => NotTaken::LeftAlone("is no file"),
            // Somebody has a lease on it, as file servers do, or runs it.
            Some(Errno::EAGAIN | Errno::ETXTBSY | Errno::EBUSY | Errno::EINTR) => NotTaken::Busy,
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS) => {
                NotTaken::Failed(e)
            }
            _ => NotTaken::Unopened(e),
        }
    }
}

impl PickupFolder {
    /// Opens both folders below `home`; makes what is missing.
    pub fn open(home: &Path) -> io::Result<PickupFolder> {
        let pickup = Folder::open(&home.join("Pickup"))?;
        let mut claimed = vec![Arc::new(Folder::open(&home.join(CLAIMED))?)];
        if pickup.look(OsStr::new(CLAIMED_WITHIN)).is_ok() {
            claimed.push(Arc::new(Folder::open(&pickup.path().join(CLAIMED_WITHIN))?));
        }
        Ok(PickupFolder { pickup, claimed })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.pickup.path()
    }

    /// Does nobody write to it but programs on this machine?
    pub fn is_local(&self) -> bool {
        writers::is_local(&self.pickup)
    }

    /// Are both still where they were?
    pub fn is_in_place(&self) -> bool {
        self.pickup.is_in_place() && self.claimed.iter().all(|folder| folder.is_in_place())
    }

    /// What is this name? Nothing, if it is gone or hidden.
    pub fn look_visible(&self, name: &OsStr) -> Option<Look> {
        if is_hidden(name) { None } else { self.pickup.look(name).ok() }
    }

    /// The names in Pickup that may be ours to take, the oldest [`SCAN_MAX`] of them in the order of their change times,
    /// and whether there are more.
    pub fn scan(&self) -> io::Result<(Vec<(OsString, Look)>, bool)> {
        self.scan_at_most(SCAN_MAX)
    }

    fn scan_at_most(&self, max: usize) -> io::Result<(Vec<(OsString, Look)>, bool)> {
        let mut oldest: BinaryHeap<(Age, OsString)> = BinaryHeap::new();
        let mut looks = std::collections::HashMap::new();
        let mut more = false;
        self.pickup.list(|name, _| {
            if is_hidden(name) {
                return ControlFlow::Continue(());
            }
            // Gone meanwhile: taken away by whoever put it there.
            let Ok(look) = self.pickup.look(name) else { return ControlFlow::Continue(()) };
            oldest.push((look.changed, name.to_owned()));
            looks.insert(name.to_owned(), look);
            if oldest.len() > max
                && let Some((_, youngest)) = oldest.pop()
            {
                looks.remove(&youngest);
                more = true;
            }
            ControlFlow::Continue(())
        })?;
        let in_order = oldest.into_sorted_vec().into_iter();
        Ok((in_order.filter_map(|(_, name)| looks.remove_entry(&name)).collect(), more))
    }

    /// Makes the file ours, for a message that will be called `id`. `judged` is what it looked like when it was found
    /// complete.
    pub fn take(&mut self, name: &OsStr, judged: &Look, id: QueueId) -> Result<Taken, NotTaken> {
        let opened = self.open_judged(name, judged)?;
        self.claim_opened(name, opened, id)
    }

    /// Opens the file and makes sure that it is the one that was judged, and that nobody holds it.
    fn open_judged(&self, name: &OsStr, judged: &Look) -> Result<(File, Look), NotTaken> {
        let file = self.pickup.open_file(name).map_err(NotTaken::by)?;
        let look = Look::of_file(&file).map_err(NotTaken::by)?;
        if let Some(why) = unfit(&look) {
            return Err(NotTaken::LeftAlone(why));
        }
        if !is_same_text(&look, judged) {
            return Err(NotTaken::Busy);
        }
        // .NET on Unix holds such a lock while it writes. Where locks are unknown (some network disks), there are none.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(NotTaken::Busy);
        }
        Ok((file, look))
    }

    /// Moves the name to our folder and makes sure that it was the opened file's.
    fn claim_opened(&mut self, name: &OsStr, (file, look): (File, Look), id: QueueId) -> Result<Taken, NotTaken> {
        let claim = Claim::new(id, name);
        let folder = self.claim_to(name, &claim.name())?;
        let taken = Taken { claim, file, look, folder, original: name.to_owned() };
        match taken.folder.look(&taken.claim.name()) {
            Ok(moved) if moved.identity == look.identity && unfit(&moved).is_none() => Ok(taken),
            // Somebody swapped it in the last moment: what we moved is not what we opened.
            _ => match self.give_back(&taken) {
                Ok(()) => Err(NotTaken::Busy),
                Err(_) => Err(NotTaken::LeftAlone("was exchanged while it was taken, and lies in Queue/claimed")),
            },
        }
    }

    /// Moves the name to our folder on the same disk.
    fn claim_to(&mut self, name: &OsStr, claimed: &OsStr) -> Result<Arc<Folder>, NotTaken> {
        let mut folder = self.claimed.last().map(Arc::clone).ok_or(NotTaken::Gone)?;
        let mut moved = self.pickup.rename(name, &folder, claimed);
        if is(&moved, Errno::EXDEV) && self.claimed.len() == 1 {
            let within = Folder::open(&self.pickup.path().join(CLAIMED_WITHIN)).map_err(NotTaken::Failed)?;
            folder = Arc::new(within);
            self.claimed.push(Arc::clone(&folder));
            moved = self.pickup.rename(name, &folder, claimed);
        }
        match moved {
            Ok(()) => Ok(folder),
            _ if is(&moved, Errno::ENOENT) => Err(NotTaken::Gone),
            _ if is(&moved, Errno::EACCES) || is(&moved, Errno::EPERM) => {
                Err(NotTaken::LeftAlone("may not be moved by this service"))
            }
            _ if is(&moved, Errno::EBUSY) => Err(NotTaken::Busy),
            Err(e) => Err(NotTaken::Failed(e)),
        }
    }

    /// Makes durable what was taken: no power cut shows these files in Pickup again.
    pub fn sync(&self) -> io::Result<()> {
        if let Some(folder) = self.claimed.last() {
            folder.sync_names()?;
        }
        self.pickup.sync_names()
    }

    /// Puts a file back under its own name, because it is not complete after all. If the name is taken by now, it stays
    /// ours, and is found again at the next start.
    pub fn give_back(&self, taken: &Taken) -> io::Result<()> {
        taken.folder.rename_new(&taken.claim.name(), &self.pickup, &taken.original)
    }

    /// The files that were claimed in an earlier life, or that could not be finished in this one, by id.
    pub fn claimed(&self) -> io::Result<Vec<(Claim, Arc<Folder>)>> {
        let mut found = Vec::new();
        for folder in &self.claimed {
            folder.list(|name, _| {
                found.extend(Claim::parse(name).map(|claim| (claim, Arc::clone(folder))));
                ControlFlow::Continue(())
            })?;
        }
        found.sort_by_key(|(claim, _)| claim.id);
        Ok(found)
    }

    /// Opens a claimed file again. `None` if it is nothing that we would have claimed.
    pub fn reopen(&self, claim: Claim, folder: &Arc<Folder>) -> io::Result<Option<Taken>> {
        let file = folder.open_file(&claim.name())?;
        let look = Look::of_file(&file)?;
        let original = claim.file.clone();
        let taken = Taken { claim, file, look, folder: Arc::clone(folder), original };
        Ok(unfit(&look).is_none().then_some(taken))
    }
}

/// A file's place in the order: older ones first, the heap's greatest is the youngest.
type Age = (i64, i64);

impl Taken {
    /// Has nobody written to it since it was taken?
    pub fn is_unchanged(&self) -> io::Result<bool> {
        Ok(is_same_text(&Look::of_file(&self.file)?, &self.look))
    }

    /// Was it written to after it was taken, in this life or the one before? Its claim's id is the time, in microseconds.
    pub fn was_written_after_its_claim(&self) -> bool {
        let (seconds, nanoseconds) = self.look.modified;
        let written = seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1_000);
        u64::try_from(written).is_ok_and(|written| written > self.claim.id.0)
    }

    /// Gives it another claim, durably: the messages that it becomes have other ids from now on.
    pub fn claim_as(&mut self, claim: Claim) -> io::Result<()> {
        self.folder.rename(&self.claim.name(), &self.folder, &claim.name())?;
        self.claim = claim;
        self.folder.sync_names()
    }

    /// Takes it away: its messages are accepted.
    pub fn remove(&self) -> io::Result<()> {
        self.folder.remove(&self.claim.name())
    }

    /// Where it is, for those who move it on.
    pub fn place(&self) -> (&Arc<Folder>, OsString) {
        (&self.folder, self.claim.name())
    }
}

/// Why such a thing is never taken; `None` for an ordinary file.
pub(crate) fn unfit(look: &Look) -> Option<&'static str> {
    match look {
        Look { regular: false, .. } => Some("is no regular file"),
        Look { links: 2.., .. } => Some("has a second name (a hard link)"),
        _ => None,
    }
}

fn is_same_text(a: &Look, b: &Look) -> bool {
    (a.identity, a.size, a.modified) == (b.identity, b.size, b.modified)
}

fn is(result: &io::Result<()>, errno: Errno) -> bool {
    result.as_ref().is_err_and(|e| e.raw_os_error() == Some(errno as i32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn home() -> (tempfile::TempDir, PickupFolder) {
        let home = tempfile::tempdir().unwrap();
        let folder = PickupFolder::open(home.path()).unwrap();
        (home, folder)
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_oldest_come_first_and_no_more_than_are_kept_in_mind() {
        let (home, folder) = home();
        for name in ["c", "a", "b"] {
            fs::write(home.path().join("Pickup").join(name), "x").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        fs::write(home.path().join("Pickup/.hidden"), "x").unwrap();
        let (found, more) = folder.scan().unwrap();
        assert_eq!(found.iter().map(|(name, _)| name.to_str().unwrap()).collect::<Vec<_>>(), ["c", "a", "b"]);
        assert!(!more);
        assert_eq!(folder.scan_at_most(2).unwrap().0.len(), 2);
        let (oldest, more) = folder.scan_at_most(1).unwrap();
        assert_eq!((oldest[0].0.to_str(), oldest.len(), more), (Some("c"), 1, true));
    }

    #[test]
    fn what_was_exchanged_before_the_move_goes_back_unharmed() {
        let (home, mut folder) = home();
        let (pickup, name) = (home.path().join("Pickup"), OsStr::new("x.eml"));
        fs::write(home.path().join("other"), "somebody else's").unwrap();
        for what in ["a file", "a link", "a second name"] {
            fs::write(pickup.join(name), "mail").unwrap();
            let look = folder.look_visible(name).unwrap();
            let opened = folder.open_judged(name, &look).unwrap();
            let new = pickup.join("new");
            match what {
                "a file" => fs::write(&new, "another mail").unwrap(),
                "a link" => std::os::unix::fs::symlink("/etc/hostname", &new).unwrap(),
                _ => fs::hard_link(home.path().join("other"), &new).unwrap(),
            }
            fs::rename(&new, pickup.join(name)).unwrap();
            let exchanged = folder.look_visible(name).unwrap().identity;
            assert!(matches!(folder.claim_opened(name, opened, QueueId(1)), Err(NotTaken::Busy)), "{what}");
            assert_eq!(folder.look_visible(name).unwrap().identity, exchanged, "{what} is back");
            assert!(names(&home.path().join(CLAIMED)).is_empty(), "{what}");
            fs::remove_file(pickup.join(name)).unwrap();
        }
    }

    #[test]
    fn one_file_that_cannot_be_opened_does_not_stop_the_others() {
        let by = |errno: Errno| NotTaken::by(io::Error::from(errno));
        assert!(matches!(by(Errno::EAGAIN), NotTaken::Busy), "a lease");
        assert!(matches!(by(Errno::EIO), NotTaken::Unopened(_)));
        assert!(matches!(by(Errno::ESTALE), NotTaken::Unopened(_)));
        assert!(matches!(by(Errno::EMFILE), NotTaken::Failed(_)));
    }

    #[test]
    fn links_are_not_followed_and_a_fifo_is_not_waited_for() {
        let (home, folder) = home();
        let pickup = home.path().join("Pickup");
        fs::write(home.path().join("other"), "x").unwrap();
        std::os::unix::fs::symlink("../other", pickup.join("link")).unwrap();
        nix::unistd::mkfifo(&pickup.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(folder.pickup.open_file(OsStr::new("link")).unwrap_err().raw_os_error(), Some(Errno::ELOOP as i32));
        folder.pickup.open_file(OsStr::new("fifo")).unwrap();
        let look = folder.look_visible(OsStr::new("fifo")).unwrap();
        assert!(matches!(folder.open_judged(OsStr::new("fifo"), &look), Err(NotTaken::LeftAlone(_))));
    }

    #[test]
    fn a_file_goes_back_only_where_nothing_has_its_name() {
        let (home, mut folder) = home();
        let (path, name) = (home.path().join("Pickup/x.eml"), OsStr::new("x.eml"));
        fs::write(&path, "first").unwrap();
        let look = folder.look_visible(name).unwrap();
        let taken = folder.take(name, &look, QueueId(1)).unwrap();
        fs::write(&path, "second").unwrap();
        assert!(folder.give_back(&taken).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        fs::remove_file(&path).unwrap();
        folder.give_back(&taken).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    }
}
