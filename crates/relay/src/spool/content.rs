//! A message's content, read back from where it is.
//!
//! Content in the journal is small (larger messages have a file of their own) and is checked against its checksum
//! each time: what does not match is not handed out.

use super::frame::CHECK;
use super::segment;
use crate::disk::Disk;
use crate::envelope::QueueId;
use std::io;

/// `ID.eml`
#[must_use]
pub fn file_name(id: QueueId) -> String {
    format!("{id}.eml")
}

/// Reads content that stands in the journal.
///
/// # Errors
/// What the disk says; [`io::ErrorKind::InvalidData`] if the octets are not those that were written.
pub fn read_journal<D: Disk>(disk: &D, segment: u32, offset: u64, len: u32) -> io::Result<Vec<u8>> {
    let damaged = || {
        let name = segment::name(segment);
        io::Error::new(io::ErrorKind::InvalidData, format!("{name} is damaged at octet {offset}"))
    };
    let file = disk.open(&segment::name(segment))?;
    let from = offset.checked_sub(CHECK as u64).ok_or_else(damaged)?;
    let mut octets = vec![0; CHECK + usize::try_from(len).map_err(|_| damaged())?];
    if disk.read_at(&file, from, &mut octets)? < octets.len() {
        return Err(damaged());
    }
    let content = octets.split_off(CHECK);
    if crc32fast::hash(&content).to_le_bytes() == octets[..] { Ok(content) } else { Err(damaged()) }
}
