//! What an earlier life left: the journal read to its end, the folder listed, both put in order.
//!
//! It promises: each message that was acknowledged and is not gone is found exactly once, in the journal's list or in
//! the folder's [`Scan`]; what was torn by a power cut is cut off or swept; what is damaged is reported, kept aside
//! and never removed, and whatever is readable around it is found. Doing it twice, or being cut off in the middle and
//! doing it again, finds the same.
//!
//! Envelopes of parked messages are not read here: there may be a hundred thousand of them. [`Scan`] reads them in slices
//! while mail is accepted again.

mod scan;

pub use scan::Scan;

use super::folder::{Folder, envelope_name};
use super::frame::Kind;
use super::journal::{Entry, FoundSegment, Journal, Options};
use super::segment;
use crate::disk::Disk;
use crate::envelope::{Envelope, QueueId};
use crate::parcel::Place;
use crate::queue::Accepted;
use scan::{CONTENT, ENVELOPE, Listing};
use std::collections::{BTreeMap, HashMap};
use std::io;

/// What was found; ready to go on.
pub struct Recovered<D: Disk> {
    /// The journal, open for writing.
    pub journal: Journal<D>,
    /// The folder.
    pub folder: Folder<D>,
    /// The messages that are in the journal.
    pub messages: Vec<Accepted>,
    /// The messages that are in the folder, to be read.
    pub scan: Scan,
    /// The highest message id of all that was ever here, as far as one can see.
    pub highest: QueueId,
    /// The ids of all messages that the journal tells of, those that are gone or parked by now among them, in order: whoever
    /// handed one in and does not remember the answer need not do it again.
    pub known: Vec<QueueId>,
    /// What the operator must know: damage, and where it was put.
    pub troubles: Vec<String>,
    /// The same of what may be damage, or what a power cut left of a write that was promised to nobody: there is no telling.
    pub doubts: Vec<String>,
}

/// Why the spool cannot be used.
#[derive(Debug)]
pub enum SpoolError {
    /// A folder or file could not be read or written.
    Disk {
        /// What was done, with which name.
        deed: String,
        /// What the disk said.
        error: io::Error,
    },
}

impl std::fmt::Display for SpoolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk { deed, error } => write!(f, "cannot {deed}: {error}"),
        }
    }
}

impl std::error::Error for SpoolError {}

/// Puts the deed's name to a disk's error.
pub(super) fn cannot(deed: impl Into<String>) -> impl FnOnce(io::Error) -> SpoolError {
    move |error| SpoolError::Disk { deed: deed.into(), error }
}

/// A message whose record stands in the journal.
struct Found {
    segment: u32,
    place: Place,
    text: Box<str>,
}

#[derive(Default)]
struct JournalFound {
    messages: HashMap<QueueId, Found>,
    segments: Vec<FoundSegment>,
    /// Files without a frame that look so: made ahead, never used.
    unused: Vec<(u32, u64)>,
    highest: QueueId,
    known: Vec<QueueId>,
    troubles: Vec<String>,
    doubts: Vec<String>,
}

/// Reads what is there and puts it in order.
///
/// # Errors
/// The folders cannot be read, or what must be written cannot.
pub fn recover<D: Disk>(disk: &D, options: Options) -> Result<Recovered<D>, SpoolError> {
    let mut listing = Listing::read(disk)?;
    let mut found = read_journal(disk)?;
    settle(disk, &found)?;
    let folder = Folder::new(disk.clone());
    let mut troubles = std::mem::take(&mut found.troubles);
    let doubts = std::mem::take(&mut found.doubts);
    let mut known = std::mem::take(&mut found.known);
    known.sort_unstable();
    known.dedup();
    let mut messages = Vec::new();
    let mut in_folder = Vec::new();
    let mut ids: Vec<QueueId> = found.messages.keys().copied().collect();
    ids.sort_unstable();
    for id in ids {
        let Some(record) = found.messages.get(&id) else { continue };
        match place_of(disk, &folder, id, record, &mut listing, &mut troubles)? {
            Whereabouts::Folder => in_folder.push(id),
            Whereabouts::Journal(envelope) => {
                messages.push(Accepted { id, envelope: *envelope, place: record.place.clone() });
            }
            Whereabouts::Damaged => {
                found.messages.remove(&id);
                known.retain(|known| *known != id);
            }
        }
    }
    let highest = found.highest.max(listing.highest());
    let mut journal = open_journal(disk, options, found)?;
    // Were the journal not told, these would rise again once they are delivered and removed from the folder.
    let notes: Vec<Entry> = in_folder.into_iter().map(Entry::Parked).collect();
    if let Some(trouble) = journal.write(&notes).trouble {
        return Err(SpoolError::Disk {
            deed: "write into the journal".into(),
            error: io::Error::other(trouble.to_string()),
        });
    }
    let scan =
        listing.sweep(disk, |id| messages.binary_search_by_key(&id, |m| m.id).is_ok_and(|i| is_file(&messages[i])));
    Ok(Recovered { journal, folder, messages, scan, highest, known, troubles, doubts })
}

/// Makes durable what was read: after a kill without a power cut it may only be in the system's memory yet. What this
/// start goes by must not be gone at the next one.
fn settle<D: Disk>(disk: &D, found: &JournalFound) -> Result<(), SpoolError> {
    disk.sync_names("").map_err(cannot("sync the Queue folder"))?;
    for segment in found.segments.iter().rev().filter(|s| !s.settled) {
        let name = segment::name(segment.number);
        let file = disk.open_to_write(&name).map_err(cannot(format!("write into {name}")))?;
        disk.sync(&file).map_err(cannot(format!("sync {name}")))?;
    }
    Ok(())
}

fn is_file(message: &Accepted) -> bool {
    matches!(message.place, Place::File)
}

enum Whereabouts {
    Folder,
    Journal(Box<Envelope>),
    Damaged,
}

/// Where a message is that the journal names.
fn place_of<D: Disk>(
    disk: &D,
    folder: &Folder<D>,
    id: QueueId,
    record: &Found,
    listing: &mut Listing,
    troubles: &mut Vec<String>,
) -> Result<Whereabouts, SpoolError> {
    // It was parked, but the journal had not yet been told: the folder is as new or newer. (Both files were synced
    // before the `.env` got its name, so one that cannot be read is damage, and the journal still has the message.)
    if listing.has(id, ENVELOPE) {
        match folder.load(id) {
            Ok(_) => return Ok(Whereabouts::Folder),
            Err(error) => {
                troubles.push(scan::put_aside(disk, &[envelope_name(id)], &error.to_string())?);
                listing.forget(id, ENVELOPE);
            }
        }
    }
    let envelope = match Envelope::parse(&record.text) {
        Ok(envelope) => envelope,
        Err(error) => {
            troubles.push(format!("the journal's record of message {id} is not understood: {error}"));
            return Ok(Whereabouts::Damaged);
        }
    };
    if is_in_file(record) && !listing.has(id, CONTENT) {
        let lost = format!("damaged/{}", envelope_name(id));
        write_aside(disk, &lost, &record.text)?;
        troubles.push(format!("the content {id}.eml of an accepted message is missing; its envelope is in {lost}"));
        return Ok(Whereabouts::Damaged);
    }
    Ok(Whereabouts::Journal(Box::new(envelope)))
}

fn is_in_file(record: &Found) -> bool {
    matches!(record.place, Place::File)
}

/// Keeps an envelope whose content is lost; a later start may come here again.
fn write_aside<D: Disk>(disk: &D, name: &str, text: &str) -> Result<(), SpoolError> {
    let file = match disk.create(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        outcome => outcome.map_err(cannot(format!("make {name}")))?,
    };
    let written = disk.append(&file, text.as_bytes()).and_then(|()| disk.sync(&file));
    written.and_then(|()| disk.sync_names("damaged")).map_err(cannot(format!("write {name}")))
}

fn read_journal<D: Disk>(disk: &D) -> Result<JournalFound, SpoolError> {
    let mut numbers = Vec::new();
    disk.list("journal", &mut |name| numbers.extend(segment::number(name)))
        .map_err(cannot("read the folder journal"))?;
    numbers.sort_unstable();
    // Each segment's first frame says up to where the one before was durable.
    let mut durable = BTreeMap::new();
    for number in &numbers {
        let begin = segment::begin(disk, *number).map_err(cannot(format!("read {}", segment::name(*number))))?;
        durable.extend(begin.as_ref().and_then(segment::end_of_previous));
    }
    let mut found = JournalFound::default();
    let mut octets = Vec::new();
    for number in numbers {
        let end = durable.get(&number).copied().unwrap_or(0);
        let read =
            segment::read(disk, number, end, &mut octets).map_err(cannot(format!("read {}", segment::name(number))))?;
        take_segment(read, end, &mut found);
    }
    Ok(found)
}

/// Follows what a segment tells, frame by frame; up to `durable` it was so in an earlier life already.
fn take_segment(read: segment::Read, durable: u64, found: &mut JournalFound) {
    if read.frames.is_empty() && read.damage.is_empty() {
        if read.begins_unused {
            found.unused.push((read.number, read.len));
            return;
        }
        found.doubts.push(format!(
            "{} has no record that can be read: the first write into it was cut, or it is damaged, and then what was accepted \
             there is lost; the file will be kept in damaged/",
            segment::name(read.number)
        ));
        let (number, octets) = (read.number, read.len);
        found.segments.push(FoundSegment { number, octets, damaged: true, settled: true });
        return;
    }
    for hole in &read.damage {
        found.troubles.push(format!(
            "{} is damaged from octet {} to {}: whatever was accepted there is lost; the file will be kept in damaged/",
            segment::name(read.number),
            hole.start,
            hole.end
        ));
    }
    let settled = read.frames.last().is_none_or(|(head, _)| head.end() <= durable);
    for (head, text) in read.frames {
        if head.kind != Kind::Begin {
            found.highest = found.highest.max(head.id);
            found.known.push(head.id);
        }
        match head.kind {
            Kind::Begin => {}
            Kind::Accepted => {
                let place = Place::Journal {
                    segment: read.number,
                    offset: head.content_at(),
                    len: head.content_len,
                    memory: None,
                };
                found.messages.entry(head.id).or_insert(Found { segment: read.number, place, text });
            }
            Kind::AcceptedFile => {
                found.messages.entry(head.id).or_insert(Found { segment: read.number, place: Place::File, text });
            }
            Kind::Fates => {
                if let Some(message) = found.messages.get_mut(&head.id) {
                    message.text = text;
                }
            }
            Kind::Gone | Kind::Parked => {
                found.messages.remove(&head.id);
            }
        }
    }
    let damaged = !read.damage.is_empty();
    found.segments.push(FoundSegment { number: read.number, octets: read.len, damaged, settled });
}

/// The journal goes on in a new segment: what an earlier life wrote is not touched.
fn open_journal<D: Disk>(disk: &D, options: Options, found: JournalFound) -> Result<Journal<D>, SpoolError> {
    let last_used = found.segments.last().map_or(0, |s| s.number);
    let mut next_number = last_used + 1;
    let mut segments = found.segments;
    let mut spare = None;
    for (number, len) in found.unused {
        next_number = next_number.max(number + 1);
        if number > last_used && spare.is_none() && len == u64::from(options.segment_size) {
            let name = segment::name(number);
            let file = disk.open_to_write(&name).map_err(cannot(format!("write into {name}")))?;
            spare = Some((number, len, file));
        } else {
            segments.push(FoundSegment { number, octets: len, damaged: false, settled: true });
        }
    }
    let living = found.messages.iter().map(|(id, m)| (*id, m.segment, is_in_file(m)));
    Ok(Journal::new(disk.clone(), options, &segments, living, spare, next_number))
}
