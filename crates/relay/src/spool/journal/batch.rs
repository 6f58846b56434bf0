//! What one write of the journal holds: frames in order, ready to go to the disk in one go.

use super::{Active, Position};
use crate::envelope::QueueId;
use crate::spool::Receipt;
use crate::spool::frame::{BARE, Head, Kind};
use crate::spool::segment;
use bytes::Bytes;
use std::borrow::Cow;
use std::io::IoSlice;

/// The octets of a segment's first frame.
pub(super) fn begin<F>(previous: (u32, u64), active: &mut Active<F>) -> Vec<u8> {
    let id = QueueId(u64::from(previous.0) << 32 | previous.1);
    let mut octets = Vec::with_capacity(BARE);
    active.head(0, &Record { kind: Kind::Begin, id, text: Cow::Borrowed(""), content: None }).print("", &mut octets);
    octets
}

impl<F> Active<F> {
    /// The head of the next frame, which stands at `at`.
    fn head(&mut self, at: u64, record: &Record<'_>) -> Head {
        let sequence = self.sequence;
        self.sequence += 1;
        Head {
            kind: record.kind,
            segment: self.number,
            offset: u32::try_from(at).unwrap_or(u32::MAX),
            synced: u32::try_from(self.synced).unwrap_or(u32::MAX),
            sequence,
            salt: self.salt,
            id: record.id,
            text_len: length(record.text.as_bytes()),
            content_len: record.content.map_or(0, |(octets, _)| length(octets)),
            content_check: record.content.map_or(0, |(_, check)| *check),
        }
    }
}

/// A segment is below 4 GiB, so what fits into one is.
pub(super) fn length(octets: &[u8]) -> u32 {
    u32::try_from(octets.len()).unwrap_or(u32::MAX)
}

/// One frame to be.
pub(super) struct Record<'a> {
    pub kind: Kind,
    pub id: QueueId,
    pub text: Cow<'a, str>,
    pub content: Option<&'a (Bytes, u32)>,
}

impl Record<'_> {
    pub fn size(&self) -> u64 {
        (BARE + self.text.len() + self.content.map_or(0, |(octets, _)| octets.len())) as u64
    }
}

/// What one write holds.
#[derive(Default)]
pub(super) struct Batch<'a> {
    /// All frames without their contents.
    heads: Vec<u8>,
    /// Where each frame ends in `heads`, and the content that follows it.
    frames: Vec<(usize, Option<&'a Bytes>)>,
    /// Where the next frame goes.
    pub at: u64,
    pub must_sync: bool,
    pub receipts: Vec<(Receipt, Position)>,
    pub gone_files: Vec<QueueId>,
}

impl<'a> Batch<'a> {
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub fn start_at(&mut self, at: u64) {
        self.at = at;
    }

    pub fn add<F>(&mut self, record: &Record<'a>, active: &mut Active<F>) {
        let head = active.head(self.at, record);
        head.print(&record.text, &mut self.heads);
        self.frames.push((self.heads.len(), record.content.map(|(octets, _)| octets)));
        self.at = head.end();
    }

    /// The octets in order; zeros to the end of the block, so that the system need not read it before it writes.
    pub fn parts(&self, padding: u64) -> Vec<IoSlice<'_>> {
        static ZEROS: [u8; segment::BLOCK as usize] = [0; segment::BLOCK as usize];
        let mut parts = Vec::with_capacity(2 * self.frames.len() + 1);
        let mut from = 0;
        for (to, content) in &self.frames {
            match content {
                // Frames without content stand side by side in `heads`.
                None => {}
                Some(content) => {
                    parts.push(IoSlice::new(&self.heads[from..*to]));
                    parts.push(IoSlice::new(content));
                    from = *to;
                }
            }
        }
        parts.push(IoSlice::new(&self.heads[from..]));
        parts.push(IoSlice::new(&ZEROS[..usize::try_from(padding).unwrap_or(0)]));
        parts.retain(|part| !part.is_empty());
        parts
    }
}
