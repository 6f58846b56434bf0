//! Puts certificates and keys into files: whole or not at all, keys for their owner alone.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Who may read a new file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Readers {
    /// Everybody: certificates, requests.
    Everybody,
    /// The owner alone: keys.
    Owner,
}

/// Why a file was not written.
#[derive(Debug)]
pub struct PlaceFault {
    file: PathBuf,
    error: io::Error,
}

impl fmt::Display for PlaceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.error.kind() == ErrorKind::AlreadyExists {
            write!(f, "{} is there already; name another place, or say --force to replace it", self.file.display())
        } else {
            write!(f, "{} cannot be written: {}", self.file.display(), self.error)
        }
    }
}

impl std::error::Error for PlaceFault {}

/// Makes a folder that its owner alone may enter, unless it is there.
///
/// # Errors
/// It cannot be made.
pub fn private_folder(folder: &Path) -> Result<(), PlaceFault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| PlaceFault { file: folder.to_owned(), error })
}

/// Fails if one of the files is there and may not be replaced.
///
/// # Errors
/// It is there.
pub fn refuse_existing(files: &[&Path], replace: bool) -> Result<(), PlaceFault> {
    match files.iter().find(|file| !replace && file.exists()) {
        Some(file) => Err(PlaceFault { file: (*file).to_owned(), error: ErrorKind::AlreadyExists.into() }),
        None => Ok(()),
    }
}

/// Writes a file under another name and gives it its own when it is safe on the disk. Whoever reads it sees the old or the
/// new one, never a part. Its folder must be there.
///
/// # Errors
/// It cannot be written; an old one is as it was.
pub fn write(file: &Path, octets: &[u8], readers: Readers) -> Result<(), PlaceFault> {
    write_new(file, octets, readers).map_err(|error| PlaceFault { file: file.to_owned(), error })
}

fn write_new(file: &Path, octets: &[u8], readers: Readers) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = file.with_file_name(name);
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    // What a run that was cut short has left, perhaps with another mode.
    let _ = fs::remove_file(&new);
    let mut written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    let outcome = written.write_all(octets).and_then(|()| written.sync_all()).and_then(|()| fs::rename(&new, file));
    if outcome.is_err() {
        let _ = fs::remove_file(&new);
        return outcome;
    }
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_a_key_is_its_owners() {
        let folder = tempfile::TempDir::new().unwrap();
        let inner = folder.path().join("state/acme");
        private_folder(&inner).unwrap();
        let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner), 0o700);
        assert_eq!(mode(inner.parent().unwrap()), 0o700);
        let file = inner.join("mx.key");
        fs::write(&file, "old").unwrap();
        assert_eq!(mode(&file), 0o644);
        write(&file, b"new", Readers::Owner).unwrap();
        assert_eq!((mode(&file), fs::read(&file).unwrap()), (0o600, b"new".to_vec()));
        write(&file, b"newer", Readers::Everybody).unwrap();
        assert_eq!(mode(&file), 0o644);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "nothing else is left there");
        assert!(refuse_existing(&[&file], true).is_ok());
        let refused = refuse_existing(&[&inner.join("none"), &file], false).unwrap_err().to_string();
        assert!(refused.contains("mx.key is there already") && refused.contains("--force"), "{refused}");
        // A folder stands in the way: the write fails and leaves nothing behind.
        assert!(write(&inner, b"x", Readers::Owner).is_err());
        assert_eq!(fs::read_dir(inner.parent().unwrap()).unwrap().count(), 1);
        assert!(write(&inner.join("no/such/folder"), b"x", Readers::Owner).is_err());
    }
}
