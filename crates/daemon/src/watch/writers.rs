//! Who holds a file open for writing, as far as this machine shows.
//!
//! The system tells when a file is closed, but only of files that it told of from the beginning. Of others — those that
//! were there before we were, that were moved in, that came while too much happened at once — somebody may hold an open
//! file and only pause. Linux shows the open files of each process below /proc: all of them to root, to others those of
//! their own processes. So the answer has two halves: who was seen, and whether everybody could be ([`Seen::everybody`]).
//! In a container, and for a folder on another computer, there are always others.
//!
//! Such a look goes through all processes, some milliseconds of work. So files are asked about many at a time, and a
//! look waits until ten times as long has passed as the last one took.
//!
//! Answers only; what follows from them is decided in [`super::sightings`].
//!
//! threats: 2.9 ("never send half").

use super::sightings::Verdict;
use crate::local::folder::Look;
use nix::sys::statfs;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The namespace in which all processes of the machine are seen (Linux: `PROC_PID_INIT_INO`).
const ALL_PROCESSES: &str = "pid:[4026531836]";
/// A look may take one part in so many of the time.
const SHARE: u32 = 10;
/// The right to write, in the mode of an entry of /proc/PID/fd.
const WRITABLE: u32 = 0o200;

/// Looks for writers, not too often.
#[derive(Debug)]
pub(crate) struct Writers {
    /// Where processes show.
    processes: PathBuf,
    /// The next look may be then.
    not_before: Instant,
}

/// What a look has shown.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The files that somebody holds open for writing.
    held: HashSet<(u64, u64)>,
    /// No process was hidden.
    pub everybody: bool,
}

impl Writers {
    pub fn new(now: Instant) -> Writers {
        Writers { processes: "/proc".into(), not_before: now }
    }

    /// Of files that look complete, keeps those that may be taken; `soon` is told when to ask again about others.
    /// `hurry`: it has been a while, and all that wait are asked about. `local`: no other computer writes to the folder.
    pub fn keep_unheld(
        &mut self,
        found: Vec<(OsString, Look, Verdict)>,
        (hurry, local): (bool, bool),
        mut soon: impl FnMut(Instant),
    ) -> Vec<(OsString, Look)> {
        let in_doubt = |verdict: &Verdict| *verdict != Verdict::Ready;
        let names: HashSet<&OsStr> = found.iter().filter(|(.., v)| in_doubt(v)).map(|(n, ..)| n.as_os_str()).collect();
        let now = Instant::now();
        let seen = match names.is_empty() {
            true => Some(Seen::default()),
            false if now < self.not_before && !hurry => {
                soon(self.not_before);
                None
            }
            false => Some(self.look(&names, now)),
        };
        let may_be_taken = |look: &Look, verdict: Verdict| match (verdict, &seen) {
            (Verdict::Ready, _) => true,
            (_, None) | (Verdict::NotBefore(_), _) => false,
            // When he closes it, the system tells.
            (_, Some(seen)) if seen.held.contains(&look.identity) => false,
            (Verdict::Unheld, _) => true,
            (Verdict::SurelyUnheld(_), Some(seen)) if seen.everybody && local => true,
            (Verdict::SurelyUnheld(at), _) => {
                soon(at);
                false
            }
        };
        let mut may_be_taken = may_be_taken;
        found.into_iter().filter(|(_, l, v)| may_be_taken(l, *v)).map(|(name, look, _)| (name, look)).collect()
    }

    #[cfg(test)]
    pub fn sees_everybody(&mut self) -> bool {
        self.look(&HashSet::new(), Instant::now()).everybody
    }

    /// Looks for those who hold files of these names.
    fn look(&mut self, names: &HashSet<&OsStr>, begin: Instant) -> Seen {
        let mut seen = Seen { held: HashSet::new(), everybody: sees_all_processes(&self.processes) };
        match fs::read_dir(&self.processes) {
            Ok(processes) => {
                let is_process = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
                for process in processes.flatten().filter(|p| is_process(&p.file_name())) {
                    match look_at(&process.path().join("fd"), names, &mut seen.held) {
                        // It has ended meanwhile.
                        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                        Err(_) => seen.everybody = false,
                        Ok(()) => {}
                    }
                }
            }
            Err(_) => seen.everybody = false,
        }
        let end = Instant::now();
        self.not_before = end + (end - begin) * SHARE;
        seen
    }
}

/// Adds to `held` what the process whose open files are shown in `folder` can write to, if it has one of these names.
fn look_at(folder: &Path, names: &HashSet<&OsStr>, held: &mut HashSet<(u64, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?.path();
        // The name first: only then is the file itself looked at, which may lie on a disk that does not answer.
        let Ok(target) = fs::read_link(&entry) else { continue };
        if !target.file_name().is_some_and(|name| names.contains(name)) {
            continue;
        }
        let is_writable = fs::symlink_metadata(&entry).is_ok_and(|link| link.mode() & WRITABLE != 0);
        if is_writable && let Ok(file) = fs::metadata(&entry) {
            held.insert((file.dev(), file.ino()));
        }
    }
    Ok(())
}

fn sees_all_processes(processes: &Path) -> bool {
    fs::read_link(processes.join("self/ns/pid")).is_ok_and(|namespace| namespace == Path::new(ALL_PROCESSES))
}

/// Is the folder on a disk of this machine, so that nobody writes there from another one?
pub(crate) fn is_local(folder: impl AsFd) -> bool {
    const OTHERS: [i64; 9] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB 2
        0x6573_5546, // FUSE: sshfs, and whatever else
        0x0102_1997, // 9P: a virtual machine's or container's host
        0x00c3_6400, // Ceph
        0x5346_414f, // AFS
        0x0bd0_0bd0, // Lustre
    ];
    statfs::fstatfs(folder).is_ok_and(|disk| !OTHERS.contains(&disk.filesystem_type().0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::Duration;

    const NAMES: [&str; 3] = ["closed", "read", "written"];

    fn found(folder: &Path, verdict: Verdict) -> Vec<(OsString, Look, Verdict)> {
        let look = |name: &str| Look::of_file(&File::open(folder.join(name)).unwrap()).unwrap();
        NAMES.iter().map(|name| (OsString::from(*name), look(name), verdict)).collect()
    }

    fn kept(writers: &mut Writers, found: Vec<(OsString, Look, Verdict)>, local: bool) -> Vec<OsString> {
        writers.keep_unheld(found, (true, local), |_| {}).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn who_holds_a_file_open_for_writing_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES {
            fs::write(folder.path().join(name), "text").unwrap();
        }
        let _reader = File::open(folder.path().join("read")).unwrap();
        let _writer = File::options().append(true).open(folder.path().join("written")).unwrap();
        let mut writers = Writers::new(Instant::now());
        let found = |verdict| found(folder.path(), verdict);
        assert_eq!(kept(&mut writers, found(Verdict::Unheld), false), ["closed", "read"]);
        assert_eq!(kept(&mut writers, found(Verdict::Ready), false), NAMES, "what was told is enough");
        // Another computer may hold it.
        let later = Instant::now() + Duration::from_secs(60);
        assert!(kept(&mut writers, found(Verdict::SurelyUnheld(later)), false).is_empty());
    }

    #[test]
    fn whom_one_cannot_see_one_cannot_be_sure_of() {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES {
            fs::write(folder.path().join(name), "text").unwrap();
        }
        let later = Instant::now() + Duration::from_secs(60);
        let machine = tempfile::tempdir().unwrap();
        fs::create_dir_all(machine.path().join("1/fd")).unwrap();
        fs::create_dir_all(machine.path().join("self/ns")).unwrap();
        std::os::unix::fs::symlink(ALL_PROCESSES, machine.path().join("self/ns/pid")).unwrap();
        let mut writers = Writers { processes: machine.path().into(), not_before: later };
        let doubtful = || found(folder.path(), Verdict::SurelyUnheld(later));
        assert_eq!(kept(&mut writers, doubtful(), true), NAMES);
        fs::write(machine.path().join("2"), "no folder, so it cannot be looked into").unwrap();
        assert!(kept(&mut writers, doubtful(), true).is_empty());
        fs::remove_file(machine.path().join("2")).unwrap();
        fs::remove_file(machine.path().join("self/ns/pid")).unwrap();
        assert!(kept(&mut writers, doubtful(), true).is_empty(), "a container's processes are not all");
        writers.processes = machine.path().join("nothing");
        assert!(kept(&mut writers, doubtful(), true).is_empty());
    }

    #[test]
    fn looks_have_pauses() {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES {
            fs::write(folder.path().join(name), "text").unwrap();
        }
        let mut writers = Writers::new(Instant::now());
        let found = || found(folder.path(), Verdict::Unheld);
        assert_eq!(kept(&mut writers, found(), true), NAMES);
        let later = Instant::now() + Duration::from_secs(3_600);
        writers.not_before = later;
        let mut again = None;
        assert!(writers.keep_unheld(found(), (false, true), |at| again = Some(at)).is_empty());
        assert_eq!(again, Some(later));
    }
}
