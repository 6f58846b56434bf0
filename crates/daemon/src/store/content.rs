//! A message's content on its way out: from memory without I/O, else from the disk in pieces.

use super::Shared;
use super::incoming::on_a_thread;
use crate::files::Files;
use bytes::Bytes;
use relay::disk::Disk;
use relay::envelope::QueueId;
use relay::parcel::Place;
use relay::spool::content::read_journal;
use std::io;

/// Octets read at a time.
const PIECE: usize = 256 << 10;

/// Content, piece by piece, in order.
pub struct Content {
    len: u64,
    /// A header that goes before the rest.
    ahead: Option<Bytes>,
    source: Source,
}

enum Source {
    Memory(Option<Bytes>),
    File { disk: Files, file: <Files as Disk>::File, at: u64, end: u64 },
}

impl Content {
    pub(super) fn open(shared: &Shared, id: QueueId, place: &Place) -> io::Result<Content> {
        match place {
            Place::Journal { memory: Some(content), .. } => Ok(Content::from(content.clone())),
            Place::Journal { segment, offset, len, memory: None } => {
                let read = read_journal(&shared.disk, *segment, *offset, *len);
                let read = read.map(|octets| Content::from(Bytes::from(octets)));
                // It may have been parked since, and its segment be another one's by now.
                read.or_else(|error| Content::open_file(shared, id).map_err(|_| error))
            }
            Place::File => Content::open_file(shared, id),
        }
    }

    fn open_file(shared: &Shared, id: QueueId) -> io::Result<Content> {
        let (file, len) = shared.folder.open_content(id)?;
        let source = Source::File { disk: shared.disk.clone(), file, at: 0, end: len };
        Ok(Content { len, ahead: None, source })
    }

    /// All its octets.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Nothing at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The next piece; `None` after the last one. Waits for the disk: for threads that may.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::UnexpectedEof`] if the file has become shorter.
    pub fn next_blocking(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        match &mut self.source {
            Source::Memory(content) => Ok(content.take().filter(|c| !c.is_empty())),
            Source::File { at, end, .. } if *at >= *end => Ok(None),
            Source::File { disk, file, at, end } => {
                let mut octets = vec![0; usize::try_from(*end - *at).unwrap_or(PIECE).min(PIECE)];
                if disk.read_at(file, *at, &mut octets)? < octets.len() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *at += octets.len() as u64;
                Ok(Some(octets.into()))
            }
        }
    }

    /// The next piece; `None` after the last one.
    ///
    /// # Errors
    /// As [`Content::next_blocking`]; the content cannot be read any further then.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        if let Source::Memory(content) = &mut self.source {
            return Ok(content.take().filter(|c| !c.is_empty()));
        }
        let source = std::mem::replace(&mut self.source, Source::Memory(None));
        let mut moved = Content { len: self.len, ahead: None, source };
        let (moved, piece) = on_a_thread(move || {
            let piece = moved.next_blocking();
            Ok((moved, piece))
        })
        .await?;
        self.source = moved.source;
        piece
    }

    /// Its first octets, at most `max`, which stay to be read. Before the first piece only.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::UnexpectedEof`] if the file has become shorter.
    pub async fn head(&mut self, max: usize) -> io::Result<Bytes> {
        let len = usize::try_from(self.len).unwrap_or(max).min(max);
        match &self.source {
            Source::Memory(content) => Ok(content.as_ref().map(|content| content.slice(..len)).unwrap_or_default()),
            Source::File { disk, file, .. } => {
                let (disk, file) = (disk.clone(), file.clone());
                on_a_thread(move || {
                    let mut octets = vec![0; len];
                    if disk.read_at(&file, 0, &mut octets)? < octets.len() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    Ok(octets.into())
                })
                .await
            }
        }
    }

    /// With `head` in the place of its first octets. Before the first piece only.
    #[must_use]
    pub fn with_head(self, head: Bytes, instead_of: usize) -> Content {
        let len = self.len.saturating_sub(instead_of as u64) + head.len() as u64;
        let source = match self.source {
            Source::Memory(content) => {
                Source::Memory(content.map(|content| content.slice(instead_of.min(content.len())..)))
            }
            Source::File { disk, file, end, .. } => Source::File { disk, file, at: instead_of as u64, end },
        };
        Content { len, ahead: Some(head).filter(|head| !head.is_empty()), source }
    }

    /// All of it in one piece, if it is not longer than `max`.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::FileTooLarge`].
    pub async fn whole(mut self, max: u64) -> io::Result<Bytes> {
        if self.len > max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let first = self.next().await?.unwrap_or_default();
        if first.len() as u64 == self.len {
            return Ok(first);
        }
        let mut all = first.to_vec();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }
}

impl From<Bytes> for Content {
    fn from(content: Bytes) -> Content {
        Content { len: content.len() as u64, ahead: None, source: Source::Memory(Some(content)) }
    }
}

/// Is the content lost, so that trying again would not bring it back?
pub(crate) fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
