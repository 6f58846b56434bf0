//! Several new files in one folder, made durable together: whoever looks sees each of them whole, or not at all.
//!
//! A file is written under a temporary name that begins with a dot, and gets its own name only when its octets are on
//! disk; then the names are made durable, once for all. Programs that take files from Drop by name need not care for
//! half-written ones. What a crash leaves behind under a temporary name is swept at the next start: it was not
//! acknowledged to anybody.

use super::folder::Folder;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

/// How temporary names begin and end.
const BEGINS: &str = ".";
const ENDS: &str = ".tmp";

/// Files on their way into a folder.
#[derive(Default, Debug)]
pub(crate) struct Staging {
    names: Vec<String>,
    files: Vec<File>,
}

impl Staging {
    /// Makes the file that will be called `name`; it has no octets yet. Its number is its place in what
    /// [`Staging::publish`] gives.
    pub fn create(&mut self, folder: &Folder, name: &str) -> io::Result<(usize, File)> {
        let file = folder.create(&temporary(name))?;
        let handle = file.try_clone()?;
        self.names.push(name.to_owned());
        self.files.push(handle);
        Ok((self.names.len() - 1, file))
    }

    /// Makes all files durable and visible under their names, in the order in which they were made; says of each
    /// whether it is. Those that are marked `given_up` are taken away instead, and are an error.
    pub fn publish(self, folder: &Folder, given_up: &[usize]) -> Vec<io::Result<()>> {
        let synced = folder.sync_files(&self.files);
        drop(self.files);
        let mut results = Vec::with_capacity(self.names.len());
        for (i, name) in self.names.iter().enumerate() {
            let temporary = temporary(name);
            results.push(match &synced {
                Ok(()) if !given_up.contains(&i) => folder.rename(&temporary, folder, OsStr::new(name)),
                Ok(()) => folder.remove(&temporary).and(Err(io::ErrorKind::Interrupted.into())),
                // Whatever a second sync might say, these octets cannot be trusted any more.
                Err(e) => {
                    let _ = folder.remove(&temporary);
                    Err(again(e))
                }
            });
        }
        if results.iter().any(Result::is_ok)
            && let Err(e) = folder.sync_names()
        {
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(again(&e));
            }
        }
        results
    }
}

/// Takes away what a crash left behind.
pub(crate) fn sweep(folder: &Folder) -> io::Result<usize> {
    let mut found = Vec::new();
    folder.list(|name, _| {
        if is_temporary(name) {
            found.push(name.to_owned());
        }
        ControlFlow::Continue(())
    })?;
    for name in &found {
        folder.remove(name)?;
    }
    Ok(found.len())
}

/// Is this a name that only we make, for a moment? 16 hexadecimal digits (a queue id) must stand in it, so that no
/// other program's dot file is ever swept.
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let inner = name.strip_prefix(BEGINS.as_bytes()).and_then(|name| name.strip_suffix(ENDS.as_bytes()));
    inner.and_then(|inner| inner.get(..16)).is_some_and(|id| id.iter().all(u8::is_ascii_hexdigit))
}

fn temporary(name: &str) -> OsString {
    format!("{BEGINS}{name}{ENDS}").into()
}

/// The same error once more: `io::Error` cannot be cloned.
pub(crate) fn again(e: &io::Error) -> io::Error {
    e.raw_os_error().map_or_else(|| e.kind().into(), io::Error::from_raw_os_error)
}
