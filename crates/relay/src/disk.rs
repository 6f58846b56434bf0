//! What the spool needs from a disk, and nothing else: every durable thing passes through these verbs.
//!
//! The daemon has the real one over a folder; [`sim`] has one that lies as disks may: it loses, tears and reorders
//! whatever was not synced, and can fail at any call. Code over this trait knows no clock, no threads and no paths
//! outside its folder.
//!
//! Names are relative to the folder, with at most one `/` (`journal/00000001.log`). The folders themselves exist
//! before the disk is handed out.
//!
//! **What is durable when**, as POSIX promises it and no more: octets of a file after [`Disk::sync`] of that file; a
//! file's *name* (made, changed or removed) after [`Disk::sync_names`] of its folder. Until then a power cut may keep
//! or lose each change by itself, in any combination; a rename is kept or lost as a whole. After a sync has failed
//! nothing that it covered can be trusted again, and a second sync that succeeds proves nothing.

pub mod sim;

use std::io::{self, IoSlice};

/// Room that is left.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Space {
    /// Octets that we may still write.
    pub octets: u64,
    /// Files that may still be made (inodes), and how many the disk can have at all; `None` where there is no such bound.
    pub files: Option<(u64, u64)>,
}

/// A folder on a disk.
pub trait Disk: Clone + 'static {
    /// An open file; clones are the same file.
    type File: Clone + 'static;

    /// Makes a file, open for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]; or what the disk says.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading. A symbolic link is not followed.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]; or what the disk says.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file for reading and writing. A symbolic link is not followed.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]; or what the disk says.
    fn open_to_write(&self, name: &str) -> io::Result<Self::File>;

    /// Writes all octets behind the last ones that were appended through this open file.
    ///
    /// # Errors
    /// What the disk says; some of the octets may have been written.
    fn append(&self, file: &Self::File, octets: &[u8]) -> io::Result<()>;

    /// Writes all parts, one behind the other, from `offset` on.
    ///
    /// # Errors
    /// What the disk says; some of the octets may have been written.
    fn write_at(&self, file: &Self::File, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Reads from `offset` on until `into` is full or the file ends; says how many octets came.
    ///
    /// # Errors
    /// What the disk says.
    fn read_at(&self, file: &Self::File, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// The file's length.
    ///
    /// # Errors
    /// What the disk says.
    fn len(&self, file: &Self::File) -> io::Result<u64>;

    /// Makes the file's octets and length durable (not its name).
    ///
    /// # Errors
    /// What the disk says: the octets are lost, whatever a later call says.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// [`Disk::sync`] for many files at once, cheaper than one after the other where the disk can.
    ///
    /// # Errors
    /// As [`Disk::sync`], for any of them.
    fn sync_many(&self, files: &[Self::File]) -> io::Result<()>;

    /// Makes durable what names the folder (`""` or `"journal"`) has and no longer has.
    ///
    /// # Errors
    /// What the disk says.
    fn sync_names(&self, folder: &str) -> io::Result<()>;

    /// Gives the file another name; a file that had that name is gone.
    ///
    /// # Errors
    /// What the disk says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes the name away.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`]; or what the disk says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Calls `each` with the name of each file in the folder, in no order, without the folder's own name before it.
    /// Folders, links and names that are not UTF-8 are passed over: the spool makes none.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self, folder: &str, each: &mut dyn FnMut(&str)) -> io::Result<()>;

    /// How much room is left.
    ///
    /// # Errors
    /// What the disk says.
    fn free_space(&self) -> io::Result<Space>;

    /// Gives a new file this length, in zeros that are really written, and makes that durable: later writes into it need
    /// no new blocks, so that syncing them is cheap. A matter of speed only: a file without it is as safe.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::StorageFull`] if there is no room.
    fn preallocate(&self, file: &Self::File, octets: u64) -> io::Result<()>;
}

/// Reads a whole file of at most `max` octets.
///
/// # Errors
/// What the disk says; [`io::ErrorKind::FileTooLarge`] if it is longer.
pub fn read<D: Disk>(disk: &D, name: &str, max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(name)?;
    let len = disk.len(&file)?;
    if len > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{len} octets, more than {max}")));
    }
    let mut octets = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?];
    let got = disk.read_at(&file, 0, &mut octets)?;
    octets.truncate(got);
    Ok(octets)
}
