//! Reads one segment of the journal: what is whole, what was torn, what is damaged.
//!
//! Changes nothing. A segment that an earlier life wrote is never written again before all its messages are gone, so
//! reading it twice gives the same twice.

use super::frame::{self, Head, Kind, MAGIC};
use crate::disk::Disk;
use memchr::memmem::Finder;
use std::io;
use std::ops::Range;

/// What is written after a sync has begun begins at a multiple of this: what was promised shares no block with what is written later,
/// so that a torn write cannot reach it; and whole pages spare the system from reading before it writes.
pub(super) const BLOCK: u64 = 4096;
/// A read that fails is tried again in pieces of this size, so that one bad block costs only itself.
const PIECE: usize = 4096;

/// What a segment holds.
pub(super) struct Read {
    /// Its number.
    pub number: u32,
    /// The file's length.
    pub len: u64,
    /// Its frames in order, without those behind a torn tail.
    pub frames: Vec<(Head, Box<str>)>,
    /// Holes in what had been durable, and what the disk could not read.
    pub damage: Vec<Range<u64>>,
    /// It begins as one that was never written to does: with nothing, or with a record of the life before.
    pub begins_unused: bool,
    /// A write was torn here: the rest was promised to nobody.
    pub torn_at: Option<u64>,
}

/// `journal/00000001.log`
pub(super) fn name(number: u32) -> String {
    format!("journal/{number:08}.log")
}

/// The number in `00000001.log`.
pub(super) fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// The next multiple of [`BLOCK`].
pub(super) fn block_end(offset: u64) -> u64 {
    offset.next_multiple_of(BLOCK)
}

/// Where the segment before ended, as the first frame of the next one says.
pub(super) fn end_of_previous(head: &Head) -> Option<(u32, u64)> {
    let (number, end) = (u32::try_from(head.id.0 >> 32).ok()?, head.id.0 & 0xffff_ffff);
    (head.kind == Kind::Begin && number > 0).then_some((number, end))
}

/// The first frame of a segment, if it can be read.
pub(super) fn begin<D: Disk>(disk: &D, number: u32) -> io::Result<Option<Head>> {
    let file = disk.open(&name(number))?;
    let mut octets = [0; frame::BARE];
    let got = disk.read_at(&file, 0, &mut octets).unwrap_or(0);
    Ok(frame::parse(&octets[..got], 0, number, None).map(|found| found.head))
}

/// Reads a segment, which was durable up to `durable` at least, as the next one's first frame says. `octets` is a buffer
/// to use again. No frame at all: the segment has not been used yet, if it looks like that ([`Read::begins_unused`]).
pub(super) fn read<D: Disk>(disk: &D, number: u32, durable: u64, octets: &mut Vec<u8>) -> io::Result<Read> {
    let file = disk.open(&name(number))?;
    let len = disk.len(&file)?;
    octets.clear();
    octets.resize(usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?, 0);
    let unreadable = match disk.read_at(&file, 0, octets) {
        Ok(_) => Vec::new(),
        Err(_) => read_pieces(octets, |offset, piece| disk.read_at(&file, offset, piece)),
    };
    let mut read = sort_out(number, durable, octets);
    read.damage.extend(unreadable);
    Ok(read)
}

/// Reads piece by piece; what cannot be read is left as zeros. Says where that is.
fn read_pieces(octets: &mut [u8], read: impl Fn(u64, &mut [u8]) -> io::Result<usize>) -> Vec<Range<u64>> {
    let mut unreadable: Vec<Range<u64>> = Vec::new();
    octets.fill(0);
    for (i, piece) in octets.chunks_mut(PIECE).enumerate() {
        let start = (i * PIECE) as u64;
        if read(start, piece).is_ok() {
            continue;
        }
        piece.fill(0);
        let end = start + piece.len() as u64;
        match unreadable.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => unreadable.push(start..end),
        }
    }
    unreadable
}

/// A place where the frames do not follow each other.
struct Gap {
    at: Range<u64>,
    /// How many frames stand before it.
    frames: usize,
}

/// Finds all whole frames, then decides what each gap means.
fn sort_out(number: u32, durable: u64, octets: &[u8]) -> Read {
    let finder = Finder::new(&MAGIC);
    let mut frames: Vec<(Head, Box<str>)> = Vec::new();
    let mut gaps = Vec::new();
    let mut salt = None;
    let mut at = 0;
    while at < octets.len() {
        let Some(found) = next_frame(&finder, octets, at, number, salt) else {
            gaps.push(Gap { at: at as u64..octets.len() as u64, frames: frames.len() });
            break;
        };
        let head = found.head;
        let (gap, end) = (at as u64..u64::from(head.offset), head.end());
        if !gap.is_empty() && !frames.last().is_some_and(|(last, _)| is_padding(&gap, last, &head)) {
            gaps.push(Gap { at: gap, frames: frames.len() });
        }
        salt = Some(head.salt);
        frames.push((head, found.text.into()));
        at = usize::try_from(end).unwrap_or(octets.len());
    }
    let durable = frames.iter().map(|(head, _)| u64::from(head.synced)).fold(durable, u64::max);
    let begins_unused = begins_unused(octets);
    let mut read = Read { number, len: octets.len() as u64, frames, damage: Vec::new(), begins_unused, torn_at: None };
    for gap in gaps {
        if gap.at.start < durable {
            read.damage.push(gap.at);
        } else {
            read.frames.truncate(gap.frames);
            read.torn_at = Some(gap.at.start);
            break;
        }
    }
    read
}

/// Nothing has been written where the first frame goes: it is empty, or has the first frame of the segment whose file it was
/// before.
fn begins_unused(octets: &[u8]) -> bool {
    let first = octets.get(..frame::BARE).unwrap_or(octets);
    first.iter().all(|octet| *octet == 0)
        || frame::segment_of(octets).is_some_and(|n| frame::parse(octets, 0, n, None).is_some())
}

/// When a sync begins the writer leaves the rest of the block, whatever comes of the sync; the next frame's sequence says
/// that none is missing between.
fn is_padding(gap: &Range<u64>, last: &Head, next: &Head) -> bool {
    gap.end == block_end(gap.start) && next.sequence == last.sequence.wrapping_add(1)
}

/// The first whole frame at `from` or behind it.
fn next_frame<'a>(
    finder: &Finder<'_>,
    octets: &'a [u8],
    from: usize,
    number: u32,
    salt: Option<u64>,
) -> Option<frame::Frame<'a>> {
    let mut at = from;
    loop {
        if let Some(found) = frame::parse(octets, at, number, salt) {
            return Some(found);
        }
        let rest = octets.get(at + 1..)?;
        at += 1 + finder.find(rest)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_cannot_read_is_damage_and_costs_only_itself() {
        let mut octets = vec![1; 5 * PIECE + 7];
        let bad = [1, 2, 5].map(|n| n * PIECE as u64);
        let unreadable = read_pieces(&mut octets, |offset, piece| {
            piece.fill(2);
            if bad.contains(&offset) { Err(io::ErrorKind::Other.into()) } else { Ok(piece.len()) }
        });
        assert_eq!(unreadable, [PIECE as u64..3 * PIECE as u64, 5 * PIECE as u64..5 * PIECE as u64 + 7]);
        let read = |piece: usize| octets[piece * PIECE];
        assert_eq!([0, 1, 2, 3, 4, 5].map(read), [2, 0, 0, 2, 2, 0]);
    }
}
