//! One of the Mailroot folders as a place on disk, reached by a handle, never by its path again.
//!
//! Other programs write here and take away from here, and some of them may mean ill. So everything goes through the open
//! folder (`openat` and its family): a folder that is moved or replaced while we work does not lead us elsewhere.
//! Names given here are plain file names; a symbolic link is an object like any other, never followed; and opening
//! never waits, whatever a name turns out to be (a FIFO, a device).
//!
//! Knows nothing of messages. The spool's own disk is another matter ([`relay::disk`]).
//!
//! threats: 2.9.

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};
use nix::unistd::{LinkatFlags, UnlinkatFlags};
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// New files: for us and our group, never for everybody; the umask may take more away.
const FILE_MODE: Mode = Mode::from_bits_truncate(0o660);

/// From so many files on, one sync of the whole disk is cheaper than one for each file: measured, 16 files took 8 ms
/// that way and 66 ms one after the other.
const SYNC_AT_ONCE_FROM: usize = 3;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    handle: OwnedFd,
}

/// What a name in a folder is, looked at without opening it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Look {
    /// A regular file, and not a link, folder, FIFO, socket or device.
    pub regular: bool,
    /// How many names it has.
    pub links: u64,
    /// Its identity.
    pub identity: (u64, u64),
    /// Octets.
    pub size: u64,
    /// When its octets last changed: seconds and nanoseconds.
    pub modified: (i64, i64),
    /// When anything about it last changed, its name included where the file system counts that.
    pub changed: (i64, i64),
}

impl Look {
    fn of(stat: &FileStat) -> Look {
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        Look {
            regular: kind == SFlag::S_IFREG,
            links: stat.st_nlink,
            identity: (stat.st_dev, stat.st_ino),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// What this open file is.
    pub fn of_file(file: &File) -> io::Result<Look> {
        Ok(Look::of(&nix::sys::stat::fstat(file)?))
    }
}

impl Folder {
    /// Opens the folder; makes it, and those above it, if there is none.
    pub fn open(path: &Path) -> io::Result<Folder> {
        std::fs::create_dir_all(path)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let handle = nix::fcntl::openat(AT_FDCWD, path, flags, Mode::empty())?;
        Ok(Folder { path: path.to_owned(), handle })
    }

    /// Opens the folder if there is one; makes none.
    pub fn existing(path: &Path) -> io::Result<Option<Folder>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match nix::fcntl::openat(AT_FDCWD, path, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Folder { path: path.to_owned(), handle })),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Where it was when it was opened: for people, and for watching it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Is it still what its path leads to? Not after somebody has moved or deleted it.
    pub fn is_in_place(&self) -> bool {
        let identity = |stat: nix::Result<FileStat>| stat.map(|s| (s.st_dev, s.st_ino)).ok();
        let here = identity(nix::sys::stat::fstat(&self.handle));
        here.is_some() && here == identity(nix::sys::stat::stat(&self.path))
    }

    /// What is this name?
    pub fn look(&self, name: &OsStr) -> io::Result<Look> {
        let stat = nix::sys::stat::fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(Look::of(&stat))
    }

    /// Opens a file for reading. Neither follows a link nor waits for the other end of a FIFO.
    pub fn open_file(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(File::from(nix::fcntl::openat(&self.handle, name, flags, Mode::empty())?))
    }

    /// Makes a file for writing; one of this name that was left behind is taken away first.
    pub fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let make = || nix::fcntl::openat(&self.handle, name, flags, FILE_MODE);
        let made = match make() {
            Err(Errno::EEXIST) => {
                self.remove(name)?;
                make()
            }
            made => made,
        };
        Ok(File::from(made?))
    }

    /// Moves a name into `to`, where it replaces a file of the name that it gets.
    pub fn rename(&self, from: &OsStr, to: &Folder, name: &OsStr) -> io::Result<()> {
        Ok(nix::fcntl::renameat(&self.handle, from, &to.handle, name)?)
    }

    /// Moves a name into `to` if nothing has the name there.
    pub fn rename_new(&self, from: &OsStr, to: &Folder, name: &OsStr) -> io::Result<()> {
        nix::unistd::linkat(&self.handle, from, &to.handle, name, LinkatFlags::empty())?;
        self.remove(from)
    }

    /// Takes a name away.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(nix::unistd::unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Makes durable which names the folder has.
    pub fn sync_names(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(&self.handle)?)
    }

    /// Makes durable all files that have been written on this folder's disk, these among them: one call for many.
    pub fn sync_files(&self, files: &[File]) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if files.len() >= SYNC_AT_ONCE_FROM {
            return Ok(nix::unistd::syncfs(&self.handle)?);
        }
        files.iter().try_for_each(File::sync_all)
    }

    /// Calls `each` with every name but `.` and `..`, in no order, until it has enough.
    pub fn list(&self, mut each: impl FnMut(&OsStr, Option<Type>) -> ControlFlow<()>) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        // A handle of its own, so that each listing begins at the beginning.
        let mut dir = Dir::openat(&self.handle, c".", flags, Mode::empty())?;
        for entry in dir.iter() {
            let entry = entry?;
            let name: &CStr = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if each(OsStr::from_bytes(name.to_bytes()), entry.file_type()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.handle.as_fd()
    }
}
