//! One process for one home: a lock on `Queue/lock`, with the holder's process number in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Held while it lives; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Why the home is not ours.
#[derive(Debug)]
pub(super) enum NotLocked {
    /// Another process has it; its number, if it could be read.
    Held(Option<u32>),
    Io(std::io::Error),
}

impl Lock {
    pub fn take(queue: &Path) -> Result<Lock, NotLocked> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
        let mut file = options.open(queue.join("lock")).map_err(NotLocked::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.take(32).read_to_string(&mut text);
                return Err(NotLocked::Held(text.trim().parse().ok()));
            }
            Err(TryLockError::Error(error)) => return Err(NotLocked::Io(error)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(NotLocked::Io)?;
        Ok(Lock { _file: file })
    }
}
