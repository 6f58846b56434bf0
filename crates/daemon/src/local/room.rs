//! How much the Drop folder holds, for its quota, without counting it for each message.
//!
//! What we write is added at once. What others take away is seen when the folder is counted anew: every
//! [`RECOUNT_EVERY`], and before a message is refused, unless that was just done. Counting a folder of a hundred
//! thousand files costs some tenths of a second, so it is never done more often than [`RECOUNT_PAUSE`] and not more
//! than a small part of the time.
//!
//! Without a quota nothing is counted.

use super::folder::Folder;
use super::staging::is_temporary;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A count is no longer trusted after this.
pub(crate) const RECOUNT_EVERY: Duration = Duration::from_secs(10);
/// The least time between two counts.
pub(crate) const RECOUNT_PAUSE: Duration = Duration::from_millis(500);
/// A count may take one part in so many of the time.
const RECOUNT_SHARE: u32 = 20;

/// What the folder holds, as far as we know.
#[derive(Debug, Default)]
pub(crate) struct Held {
    octets: u64,
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    at: Instant,
    took: Duration,
}

impl Held {
    /// Octets in the folder, before `size` more are written; `quota` is what it may hold.
    pub fn before(&mut self, folder: &Folder, quota: u64, size: u64, now: Instant) -> io::Result<u64> {
        let full = self.octets.saturating_add(size) > quota;
        let stale = self.counted.as_ref().is_none_or(|counted| {
            let (age, pause) =
                (now.saturating_duration_since(counted.at), (counted.took * RECOUNT_SHARE).max(RECOUNT_PAUSE));
            age >= pause && (full || age >= RECOUNT_EVERY)
        });
        if stale {
            self.octets = count(folder)?;
            self.counted = Some(Counted { at: now, took: now.elapsed() });
        }
        Ok(self.octets)
    }

    /// So many octets have been written there.
    pub fn add(&mut self, octets: u64) {
        self.octets = self.octets.saturating_add(octets);
    }
}

/// The octets of all files in the folder. Folders in it are none of ours, nor is what we are about to write.
fn count(folder: &Folder) -> io::Result<u64> {
    let mut sum = 0_u64;
    folder.list(|name, _| {
        if !is_temporary(name)
            && let Ok(look) = folder.look(name)
            && look.regular
        {
            sum = sum.saturating_add(look.size);
        }
        ControlFlow::Continue(())
    })?;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_take_away_is_seen_before_anything_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path()).unwrap();
        std::fs::write(home.path().join("a.eml"), [0; 600]).unwrap();
        std::fs::write(home.path().join(".0123456789abcdef.eml.tmp"), [0; 600]).unwrap();
        std::fs::create_dir(home.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", home.path().join("link")).unwrap();
        let mut held = Held::default();
        let begin = Instant::now();
        assert_eq!(held.before(&folder, 1_000, 100, begin).unwrap(), 600);
        held.add(300);
        assert_eq!(held.before(&folder, 1_000, 100, begin).unwrap(), 900, "our own are added");
        std::fs::remove_file(home.path().join("a.eml")).unwrap();
        assert_eq!(held.before(&folder, 1_000, 101, begin).unwrap(), 900, "just counted: not again");
        assert_eq!(held.before(&folder, 1_000, 100, begin + RECOUNT_EVERY / 2).unwrap(), 900, "room enough: no need");
        assert_eq!(held.before(&folder, 1_000, 101, begin + RECOUNT_EVERY / 2).unwrap(), 0, "counted before refusing");
        std::fs::write(home.path().join("b.eml"), [0; 50]).unwrap();
        assert_eq!(held.before(&folder, 1_000, 1, begin + RECOUNT_EVERY * 2).unwrap(), 50, "counted now and then");
    }
}
