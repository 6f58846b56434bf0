//! The real [`Disk`]: a folder of this machine.
//!
//! Promises what [`relay::disk`] asks for, on Linux file systems that keep POSIX's word: a file's octets after
//! `fdatasync`, names after `fsync` of their folder. Symbolic links are not followed, new files are the service's own
//! (mode 0600). It decides nothing and retries nothing.

use relay::disk::{Disk, Space};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Parts that one `pwritev` takes.
const PARTS_MAX: usize = 1024;
/// So many files are synced one by one.
const ONE_BY_ONE_MAX: usize = 4;
/// Zeros written at a time when a file is made in advance.
const ZEROS: usize = 1 << 20;

/// A folder, with the folders below it that were named when it was opened.
#[derive(Clone)]
pub struct Files {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    /// Each folder by its name, `""` the root itself, open for syncing: an error of an earlier write-back is reported
    /// to whoever had the folder open then.
    folders: Vec<(String, File)>,
    /// `syncfs` reports octets that could not be written (Linux 5.8 and later do).
    has_honest_syncfs: bool,
}

/// Why a folder cannot be used.
#[derive(Debug)]
pub struct FolderTrouble {
    /// The folder.
    pub path: PathBuf,
    /// What was tried.
    pub deed: &'static str,
    /// What the system said.
    pub error: io::Error,
}

impl std::fmt::Display for FolderTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot {} {}: {}", self.deed, self.path.display(), self.error)?;
        match advice(&self.error) {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FolderTrouble {}

/// What an operator can do about an error of the disk.
#[must_use]
pub fn advice(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::PermissionDenied => "give the service's user read and write access to it and all below",
        io::ErrorKind::ReadOnlyFilesystem => {
            "the disk is mounted read-only; mount it for writing, and look into the system's log for why"
        }
        io::ErrorKind::StorageFull => "the disk is full; make room on it",
        io::ErrorKind::QuotaExceeded => "the quota of the service's user is used up; raise it",
        io::ErrorKind::NotADirectory => "there is a file where a folder must be; move it away",
        io::ErrorKind::NotFound => "a folder above it does not exist; create it or correct `home`",
        _ => return None,
    })
}

impl Files {
    /// Opens the folder `root`; makes it, those above it and the ones `below` it where they are missing, durably.
    ///
    /// # Errors
    /// The folder that cannot be made or read.
    pub fn open(root: &Path, below: &[&str]) -> Result<Files, FolderTrouble> {
        make_folders(root)?;
        let mut folders = Vec::new();
        for name in std::iter::once(&"").chain(below) {
            let path = root.join(name);
            make_folders(&path)?;
            let trouble = |deed| move |error| FolderTrouble { path: path.clone(), deed, error };
            let folder = File::open(root.join(name)).map_err(trouble.clone()("open the folder"))?;
            folders.push(((*name).to_owned(), folder));
        }
        let files =
            Files { inner: Arc::new(Inner { root: root.to_owned(), folders, has_honest_syncfs: has_honest_syncfs() }) };
        let trouble = |error| FolderTrouble { path: root.to_owned(), deed: "sync the folder", error };
        files.sync_names("").map_err(trouble)?;
        Ok(files)
    }

    /// The folder's path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.inner.root.join(name)
    }

    fn folder(&self, name: &str) -> io::Result<&File> {
        let found = self.inner.folders.iter().find(|(folder, _)| folder == name);
        found.map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn has_honest_syncfs() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 8)
}

/// Makes a folder and those above it, each made durable in the one above.
fn make_folders(path: &Path) -> Result<(), FolderTrouble> {
    let trouble = |deed, error| FolderTrouble { path: path.to_owned(), deed, error };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(trouble("use", io::ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(trouble("look at", error)),
    }
    if let Some(above) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        make_folders(above)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(trouble("make the folder", error)),
        _ => {}
    }
    let above = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Some file systems cannot sync a folder that is not ours to read; the folder is there all the same.
    if let Ok(above) = File::open(above) {
        above.sync_all().map_err(|error| trouble("sync the folder above", error))?;
    }
    Ok(())
}

impl Disk for Files {
    type File = Arc<File>;

    fn create(&self, name: &str) -> io::Result<Arc<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
        options.open(self.path(name)).map(Arc::new)
    }

    fn open(&self, name: &str) -> io::Result<Arc<File>> {
        OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(self.path(name)).map(Arc::new)
    }

    fn open_to_write(&self, name: &str) -> io::Result<Arc<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(nix::libc::O_NOFOLLOW).open(self.path(name)).map(Arc::new)
    }

    fn append(&self, file: &Arc<File>, octets: &[u8]) -> io::Result<()> {
        (&**file).write_all(octets)
    }

    fn write_at(&self, file: &Arc<File>, offset: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut at = offset;
        while !parts.is_empty() {
            let some = &parts[..parts.len().min(PARTS_MAX)];
            let offset = i64::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
            match nix::sys::uio::pwritev(&**file, some, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    at += count as u64;
                    IoSlice::advance_slices(&mut parts, count);
                }
                Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, file: &Arc<File>, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        while got < into.len() {
            match file.read_at(&mut into[got..], offset + got as u64) {
                Ok(0) => break,
                Ok(count) => got += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    fn len(&self, file: &Arc<File>) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn sync(&self, file: &Arc<File>) -> io::Result<()> {
        file.sync_data()
    }

    /// A few files one by one; many at once by syncing the whole file system, which costs little more than one file: 512
    /// new files took 15 ms this way and 1,000 ms one by one, on a disk that was busy beside it.
    fn sync_many(&self, files: &[Arc<File>]) -> io::Result<()> {
        if files.len() > ONE_BY_ONE_MAX && self.inner.has_honest_syncfs {
            return nix::unistd::syncfs(self.folder("")?).map_err(Into::into);
        }
        files.iter().try_for_each(|file| file.sync_data())
    }

    fn sync_names(&self, folder: &str) -> io::Result<()> {
        self.folder(folder)?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn list(&self, folder: &str, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        for entry in fs::read_dir(self.path(folder))? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Some(name) = entry.file_name().to_str()
            {
                each(name);
            }
        }
        Ok(())
    }

    fn free_space(&self) -> io::Result<Space> {
        let space = nix::sys::statvfs::fstatvfs(self.folder("")?)?;
        let files = (space.files() > 0).then(|| (space.files_available(), space.files()));
        Ok(Space { octets: space.blocks_available() * space.fragment_size(), files })
    }

    fn preallocate(&self, file: &Arc<File>, octets: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS];
        let mut at = 0;
        while at < octets {
            let count = usize::try_from(octets - at).unwrap_or(ZEROS).min(ZEROS);
            file.write_all_at(&zeros[..count], at)?;
            at += count as u64;
        }
        file.sync_all()
    }
}
