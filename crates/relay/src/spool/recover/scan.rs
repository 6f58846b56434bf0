//! The Queue folder at start: what is there, what is swept, and the parked messages, slice by slice.

use super::super::content::file_name;
use super::super::folder::{Folder, envelope_name, new_envelope_name};
use super::{SpoolError, cannot};
use crate::disk::Disk;
use crate::envelope::QueueId;
use crate::parcel::Place;
use crate::queue::Accepted;
use std::collections::BTreeMap;
use std::io;

/// `ID.eml` is there.
pub(super) const CONTENT: u8 = 1;
/// `ID.env` is there.
pub(super) const ENVELOPE: u8 = 2;
/// `ID.env.new` is there.
const NEW_ENVELOPE: u8 = 4;

/// Which files each message has in the folder.
pub(super) struct Listing(BTreeMap<QueueId, u8>);

impl Listing {
    pub fn read<D: Disk>(disk: &D) -> Result<Listing, SpoolError> {
        let mut files = BTreeMap::new();
        disk.list("", &mut |name| {
            // Names that are not ours are left alone.
            let Some((id, kind)) = name.split_once('.') else { return };
            let kind = match kind {
                "eml" => CONTENT,
                "env" => ENVELOPE,
                "env.new" => NEW_ENVELOPE,
                _ => return,
            };
            if let Some(id) = QueueId::parse(id) {
                *files.entry(id).or_insert(0) |= kind;
            }
        })
        .map_err(cannot("read the Queue folder"))?;
        Ok(Listing(files))
    }

    pub fn has(&self, id: QueueId, kind: u8) -> bool {
        self.0.get(&id).is_some_and(|kinds| kinds & kind != 0)
    }

    pub fn forget(&mut self, id: QueueId, kind: u8) {
        if let Some(kinds) = self.0.get_mut(&id) {
            *kinds &= !kind;
        }
    }

    pub fn highest(&self) -> QueueId {
        self.0.keys().next_back().copied().unwrap_or_default()
    }

    /// Removes what states S1, S2 and S4 leave. What cannot be removed now is swept at the next start.
    pub fn sweep<D: Disk>(self, disk: &D, journal_names: impl Fn(QueueId) -> bool) -> Scan {
        let mut parked = Vec::new();
        for (id, kinds) in self.0 {
            if kinds & NEW_ENVELOPE != 0 {
                let _ = disk.remove(&new_envelope_name(id));
            }
            if kinds & ENVELOPE != 0 {
                parked.push(id);
            } else if kinds & CONTENT != 0 && !journal_names(id) {
                let _ = disk.remove(&file_name(id));
            }
        }
        Scan { parked, ..Scan::default() }
    }
}

/// The parked messages that an earlier life left, to be read slice by slice.
#[derive(Debug, Default)]
pub struct Scan {
    parked: Vec<QueueId>,
    next: usize,
    /// Those that could not be read, and why the last of them.
    unread: Vec<QueueId>,
    trouble: Option<String>,
}

impl Scan {
    /// How many there are still to read.
    #[must_use]
    pub fn left(&self) -> usize {
        self.parked.len() - self.next
    }

    /// Reads the next `count`. What is damaged is put aside, and the operator is to be told. What cannot be read now (no
    /// permission, too many open files, a disk with a bad moment) is no damage: it stays for [`Scan::again`].
    pub fn slice<D: Disk>(
        &mut self,
        disk: &D,
        folder: &Folder<D>,
        count: usize,
        troubles: &mut Vec<String>,
    ) -> Vec<Accepted> {
        let mut found = Vec::with_capacity(count.min(self.left()));
        while found.len() < count
            && let Some(id) = self.parked.get(self.next).copied()
        {
            self.next += 1;
            let error = match read_parked(folder, id) {
                Ok(message) => {
                    found.push(message);
                    continue;
                }
                Err(error) if is_damage(&error) => {
                    match put_aside(disk, &[envelope_name(id), file_name(id)], &error.to_string()) {
                        Ok(aside) => {
                            troubles.push(aside);
                            continue;
                        }
                        Err(why) => why.to_string(),
                    }
                }
                Err(error) => format!("{}: {error}", envelope_name(id)),
            };
            self.unread.push(id);
            self.trouble = Some(error);
        }
        found
    }

    /// How many could not be read so far, and why the last of them.
    #[must_use]
    pub fn unread(&self) -> Option<(usize, &str)> {
        self.trouble.as_deref().map(|why| (self.unread.len(), why))
    }

    /// Those are to be read once more.
    pub fn again(&mut self) {
        self.parked = std::mem::take(&mut self.unread);
        self.next = 0;
        self.trouble = None;
    }
}

/// Reading it once more would bring the same.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge)
}

/// A parked message, if its files are what they should be.
fn read_parked<D: Disk>(folder: &Folder<D>, id: QueueId) -> io::Result<Accepted> {
    let envelope = folder.load(id)?;
    let (_, len) =
        folder.open_content(id).map_err(|error| io::Error::new(error.kind(), format!("{id}.eml: {error}")))?;
    if len != envelope.size {
        let why = format!("{id}.eml has {len} octets, {id}.env says {}", envelope.size);
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(Accepted { id, envelope, place: Place::File })
}

/// Moves damaged files to `damaged/`; says what an operator needs to know.
pub(super) fn put_aside<D: Disk>(disk: &D, names: &[String], why: &str) -> Result<String, SpoolError> {
    for name in names {
        match disk.rename(name, &format!("damaged/{name}")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome.map_err(cannot(format!("move {name} to damaged/")))?,
        }
    }
    disk.sync_names("damaged").map_err(cannot("sync the folder damaged"))?;
    disk.sync_names("").map_err(cannot("sync the Queue folder"))?;
    Ok(format!("{why}; moved to damaged/: {}", names.join(", ")))
}
