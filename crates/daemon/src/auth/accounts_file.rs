//! `accounts.toml` on disk: read when it changes, refused when others can read it, written whole or not at all.
//!
//! A change that cannot be taken over (broken, readable by others, gone) leaves the accounts as they were, and the
//! log says so once.

use super::AuthFault;
use super::passwords;
use crate::log::Log;
use aws_lc_rs::rand;
use relay::account::{ACCOUNTS_FILE_MAX, Accounts, PasswordHash};
use smtp::sasl::Secret;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a file is believed not to have changed.
const GLANCE: Duration = Duration::from_secs(1);

/// Accounts, and the hash of those who have none.
#[derive(Debug)]
pub(super) struct Roll {
    pub(super) accounts: Accounts,
    pub(super) nobodys: PasswordHash,
    /// Some account has one: NTLM can be offered.
    pub(super) has_nt_hashes: bool,
    /// For a file that has no salt key of its own.
    salt_key: Secret,
}

impl Roll {
    fn new(accounts: Accounts, salt_key: Secret) -> Option<Roll> {
        let has_nt_hashes = accounts.have_nt_hashes();
        Some(Roll { nobodys: passwords::nobodys(&accounts)?, has_nt_hashes, accounts, salt_key })
    }

    /// From this come the salts of those who have no account.
    pub(super) fn pretence(&self) -> &Secret {
        self.accounts.salt_key.as_ref().unwrap_or(&self.salt_key)
    }
}

/// A fresh salt key.
#[must_use]
pub fn fresh_salt_key() -> Option<Secret> {
    let mut octets = vec![0; 32];
    rand::fill(&mut octets).ok()?;
    Some(Secret::new(octets))
}

/// The file, and what was read of it last.
pub(super) struct AccountsFile {
    path: PathBuf,
    default_domain: Option<Box<str>>,
    log: Log,
    last: Mutex<Last>,
}

struct Last {
    roll: Arc<Roll>,
    /// What the file was like when it was read, or found unusable.
    seen: Option<Stamp>,
    looked: Instant,
}

/// By this a changed file is told from an unchanged one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Stamp {
        Stamp {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            mode: metadata.mode(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl AccountsFile {
    /// Reads the file for the first time. One that is not there has no accounts, unless it is `needed`.
    pub(super) fn open(
        path: &Path,
        needed: bool,
        default_domain: Option<&str>,
        log: Log,
    ) -> Result<AccountsFile, AuthFault> {
        let (accounts, seen) = match read(path, default_domain) {
            Err(AuthFault::Missing { .. }) if !needed => (Accounts::new(default_domain), None),
            read => read.map(|(accounts, stamp)| (accounts, Some(stamp)))?,
        };
        let salt_key = fresh_salt_key().ok_or(AuthFault::Chance)?;
        let roll = Roll::new(accounts, salt_key).ok_or(AuthFault::Chance)?;
        let last = Last { roll: Arc::new(roll), seen, looked: Instant::now() };
        Ok(AccountsFile {
            path: path.to_owned(),
            default_domain: default_domain.map(Into::into),
            log,
            last: Mutex::new(last),
        })
    }

    /// The accounts as they are now. Touches the disk at most once a second: not for the threads of the sockets.
    pub(super) fn now(&self) -> Arc<Roll> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.looked.elapsed() >= GLANCE {
            last.looked = Instant::now();
            let seen = fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
            if seen != last.seen {
                last.seen = seen;
                self.take_over(&mut last);
            }
        }
        Arc::clone(&last.roll)
    }

    /// The accounts as they were last read; never touches the disk.
    pub(super) fn last_read(&self) -> Arc<Roll> {
        Arc::clone(&self.last.lock().unwrap_or_else(PoisonError::into_inner).roll)
    }

    /// Must the disk be touched to know them?
    pub(super) fn is_stale(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).looked.elapsed() >= GLANCE
    }

    fn take_over(&self, last: &mut Last) {
        let read = read(&self.path, self.default_domain.as_deref());
        let salt_key = last.roll.salt_key.clone();
        let roll = |accounts| Roll::new(accounts, salt_key).ok_or(AuthFault::Chance);
        match read.and_then(|(accounts, stamp)| Ok((roll(accounts)?, stamp))) {
            Ok((roll, stamp)) => {
                *last = Last { roll: Arc::new(roll), seen: Some(stamp), looked: last.looked };
            }
            Err(fault) => self.log.alarm(format!("{fault}\nThe accounts stay as they were.")),
        }
    }

    #[cfg(test)]
    pub(super) fn look_again(&self) {
        self.last.lock().unwrap().looked = Instant::now().checked_sub(2 * GLANCE).unwrap();
    }
}

/// Reads an accounts file that nobody else can read.
pub fn read_accounts(path: &Path, default_domain: Option<&str>) -> Result<Accounts, AuthFault> {
    read(path, default_domain).map(|(accounts, _)| accounts)
}

fn read(path: &Path, default_domain: Option<&str>) -> Result<(Accounts, Stamp), AuthFault> {
    let unreadable = |error: io::Error| AuthFault::Unreadable { path: path.to_owned(), error };
    // Not to be held up by a pipe that lies there.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(AuthFault::Missing { path: path.to_owned() });
        }
        other => other.map_err(unreadable)?,
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(AuthFault::ReadableByOthers { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(ACCOUNTS_FILE_MAX as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
    let text = std::str::from_utf8(&text).map_err(|_| unreadable(io::Error::other("it is not UTF-8")))?;
    let accounts = Accounts::parse(text, default_domain)
        .map_err(|faults| AuthFault::Broken { path: path.to_owned(), faults: faults.into() })?;
    Ok((accounts, Stamp::of(&metadata)))
}

/// An accounts file while it is changed: nobody else who asks for this one changes it meanwhile.
#[derive(Debug)]
pub struct AccountsLock {
    file: File,
    path: PathBuf,
    /// It was not there before.
    is_new: bool,
}

impl AccountsLock {
    /// Waits until nobody else changes the file. One that is not there is made, empty, if it `may_be_new`.
    ///
    /// # Errors
    /// It is not there, or cannot be opened or locked.
    pub fn wait(path: &Path, may_be_new: bool) -> Result<AccountsLock, AuthFault> {
        let unreadable = |error: io::Error| AuthFault::Unreadable { path: path.to_owned(), error };
        loop {
            let mut is_new = false;
            let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_new => {
                    is_new = true;
                    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(AuthFault::Missing { path: path.to_owned() });
                }
                opened => opened,
            };
            let file = file.map_err(unreadable)?;
            file.lock().map_err(unreadable)?;
            // Whoever had the lock before has put another file in its place.
            let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
            let locked = file.metadata().map_err(unreadable)?;
            if fs::metadata(path).is_ok_and(|now| id(&now) == id(&locked)) {
                return Ok(AccountsLock { file, path: path.to_owned(), is_new });
            }
        }
    }
}

impl Drop for AccountsLock {
    /// Leaves no empty file behind if nothing was written.
    fn drop(&mut self) {
        let is_untouched = |metadata: fs::Metadata| metadata.nlink() > 0 && metadata.len() == 0;
        if self.is_new && self.file.metadata().is_ok_and(is_untouched) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Writes the file whole or not at all, for its owner's eyes only. A file that is there keeps its owner.
pub fn write_accounts(path: &Path, text: &Secret) -> io::Result<()> {
    // A link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
    let mut new = std::ffi::OsString::from(".");
    new.push(name);
    new.push(format!(".{}.new", std::process::id()));
    let new = folder.join(new);
    // What a run that was cut short has left.
    let _ = fs::remove_file(&new);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        if let Ok(before) = fs::metadata(&path) {
            // A relay that runs as another user must still be able to read it. Without the right to do so, it is ours.
            let _ = std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()));
        }
        file.write_all(text.reveal())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
