//! The content of a message: taken, refused, or read past.
//!
//! Content with a fault, or too much of it, is given up at once ([`super::Step::Abandon`]), but read on to its true
//! end, within a limit; beyond that the connection is closed. Either way nothing in it is run as a command.
//!
//! RFC 5321 §4.1.1.4; RFC 3030 (BDAT); RFC 1870 §6.

use super::settings::PIECE_MIN;
use super::{Asked, Closing, Pace, Phase, Progress, Question, Session, Step, Transaction, replies};
use crate::body::Decoder;
use crate::reply::Reply;
use bytes::{Buf, Bytes, BytesMut};

/// The content of a message as far as it has come.
#[derive(Debug)]
pub(super) struct Content {
    decoder: Decoder,
    /// Octets of it.
    size: u64,
    /// Small pieces that wait for company.
    held: BytesMut,
}

/// The chunk that BDAT announced.
#[derive(Debug)]
pub(super) struct Chunk {
    /// As announced.
    pub(super) octets: u64,
    /// Those that have not come yet.
    pub(super) left: u64,
    pub(super) last: bool,
}

/// Refused content after DATA, and what is said at its end.
#[derive(Debug)]
pub(super) struct Discard {
    decoder: Decoder,
    /// Octets that are still read.
    left: u64,
    reply: Box<Reply>,
}

/// A refused chunk, and what is said at its end.
#[derive(Debug)]
pub(super) struct Skip {
    left: u64,
    reply: Box<Reply>,
}

impl Content {
    fn new(decoder: Decoder) -> Content {
        Content { decoder, size: 0, held: BytesMut::new() }
    }

    /// Adds a piece; gives what is to be handed over now. `allocated`: octets that the piece may keep alive.
    fn add(&mut self, piece: BytesMut, last: bool, allocated: usize) -> Option<Bytes> {
        self.size += piece.len() as u64;
        let ready = last || self.held.len() + piece.len() >= PIECE_MIN;
        if ready && self.held.is_empty() && piece.len() >= allocated / 2 {
            return Some(piece.freeze()).filter(|piece| !piece.is_empty());
        }
        self.held.extend_from_slice(&piece);
        ready.then(|| std::mem::take(&mut self.held).freeze()).filter(|piece| !piece.is_empty())
    }
}

impl Session {
    /// BDAT: its octets follow, whatever becomes of them.
    pub(super) fn bdat(&mut self, chunk: Chunk) -> Progress {
        let begun = match &mut self.transaction {
            None if !self.greeted => Err(replies::hello_first()),
            None => Err(replies::mail_first()),
            Some(Transaction { recipients: 0, refused: true, .. }) => Err(replies::no_valid_recipient()),
            Some(Transaction { recipients: 0, .. }) => Err(replies::recipient_first()),
            Some(transaction) => Ok(transaction.chunks.take()),
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(reply) => {
                self.skip_chunk(chunk.octets, reply);
                return Progress::Made;
            }
        };
        let size = begun.as_ref().map_or(0, |content| content.size);
        if !self.fits_message(size.saturating_add(chunk.octets)) {
            self.abandon();
            self.skip_chunk(chunk.octets, replies::too_big(&self.settings));
            return Progress::Made;
        }
        match begun {
            None => self.ask(Question::Begin, Asked::Begin { chunk: Some(chunk) }),
            Some(content) => {
                self.phase = Phase::Chunk(content, chunk);
                Progress::Made
            }
        }
    }

    /// There is room: content comes now.
    pub(super) fn begin_content(&mut self, chunk: Option<Chunk>) {
        let newlines = self.settings.bare_newlines;
        let body = self.transaction.as_ref().map(|transaction| transaction.body).unwrap_or_default();
        match chunk {
            None if !self.input.is_empty() => self.close(&replies::talked_too_soon(), Closing::Protocol),
            None => {
                self.set_pace();
                self.reply(&replies::start_content());
                self.phase = Phase::Dotted(Content::new(Decoder::dotted(newlines)));
            }
            Some(chunk) => {
                self.set_pace();
                self.phase = Phase::Chunk(Content::new(Decoder::chunked(newlines, body)), chunk);
            }
        }
    }

    /// Content after DATA.
    pub(super) fn dotted(&mut self, mut content: Content) -> Progress {
        if self.input.is_empty() {
            self.phase = Phase::Dotted(content);
            return Progress::Starved;
        }
        let before = self.input.len();
        let decoded = content.decoder.decode(&mut self.input);
        self.count(before - self.input.len());
        if let Some(reply) = self.objection(&content, decoded.content.len()) {
            self.abandon();
            if decoded.ended {
                self.refuse_content(&reply);
            } else {
                let (left, reply) = (self.settings.discard_max(), Box::new(reply));
                self.phase = Phase::Discard(Discard { decoder: content.decoder, left, reply });
            }
            return Progress::Made;
        }
        if !self.fits_session(0) {
            self.close(&replies::session_spent(&self.settings), Closing::Limit);
            return Progress::Made;
        }
        let piece = content.add(decoded.content, decoded.ended, self.allocated);
        if decoded.ended {
            self.note_content(content.size);
        }
        self.phase = if decoded.ended { Phase::Complete } else { Phase::Dotted(content) };
        piece.map_or(Progress::Made, |piece| Progress::Step(Step::Body(piece)))
    }

    /// Content after BDAT.
    pub(super) fn chunk(&mut self, mut content: Content, mut chunk: Chunk) -> Progress {
        if chunk.left > 0 && self.input.is_empty() {
            self.phase = Phase::Chunk(content, chunk);
            return Progress::Starved;
        }
        let mut taken = self.input.split_to(at_most(chunk.left, self.input.len()));
        chunk.left -= taken.len() as u64;
        self.count(taken.len());
        let decoded = content.decoder.decode(&mut taken);
        let complete = chunk.left == 0 && chunk.last;
        if complete {
            content.decoder.finish();
        }
        if let Some(reply) = self.objection(&content, decoded.content.len()) {
            self.abandon();
            self.skip_chunk(chunk.left, reply);
            return Progress::Made;
        }
        if !self.fits_session(0) {
            self.close(&replies::session_spent(&self.settings), Closing::Limit);
            return Progress::Made;
        }
        let piece = content.add(decoded.content, complete, self.allocated);
        if chunk.left == 0 {
            self.note_content(chunk.octets);
        }
        if complete {
            self.phase = Phase::Complete;
        } else if chunk.left > 0 {
            self.phase = Phase::Chunk(content, chunk);
        } else if let Some(transaction) = &mut self.transaction {
            transaction.chunks = Some(content);
            self.reply(&replies::chunk_taken(chunk.octets));
        }
        piece.map_or(Progress::Made, |piece| Progress::Step(Step::Body(piece)))
    }

    /// Refused content after DATA is read to its end.
    pub(super) fn discard(&mut self, mut discard: Discard) -> Progress {
        if self.input.is_empty() {
            self.phase = Phase::Discard(discard);
            return Progress::Starved;
        }
        let before = self.input.len();
        let ended = discard.decoder.decode(&mut self.input).ended;
        let taken = before - self.input.len();
        self.count(taken);
        if ended {
            self.refuse_content(&discard.reply);
        } else if taken as u64 > discard.left {
            self.close(&discard.reply, Closing::Limit);
        } else {
            discard.left -= taken as u64;
            self.phase = Phase::Discard(discard);
        }
        Progress::Made
    }

    /// Refuses a chunk of which `octets` are still to come.
    pub(super) fn skip_chunk(&mut self, octets: u64, reply: Reply) {
        if octets > self.settings.discard_max() {
            self.close(&reply, Closing::Limit);
            return;
        }
        self.phase = Phase::Skip(Skip { left: octets, reply: Box::new(reply) });
    }

    /// A refused chunk is read to its end.
    pub(super) fn skip(&mut self, mut skip: Skip) -> Progress {
        self.set_pace();
        if skip.left > 0 && self.input.is_empty() {
            self.phase = Phase::Skip(skip);
            return Progress::Starved;
        }
        let taken = at_most(skip.left, self.input.len());
        self.input.advance(taken);
        skip.left -= taken as u64;
        self.count(taken);
        if skip.left == 0 {
            self.refuse_content(&skip.reply);
        } else {
            self.phase = Phase::Skip(skip);
        }
        Progress::Made
    }

    /// Refused content has come to its end: commands follow.
    fn refuse_content(&mut self, reply: &Reply) {
        let taken = self.pace.as_ref().map_or(0, |pace| pace.octets);
        self.note_content(taken);
        self.pace = None;
        self.decline(reply);
    }

    /// Why the content cannot be taken, if it cannot, with so many octets more of it.
    fn objection(&self, content: &Content, more: usize) -> Option<Reply> {
        if let Some(fault) = content.decoder.fault() {
            return Some(replies::content_fault(fault));
        }
        (!self.fits_message(content.size + more as u64)).then(|| replies::too_big(&self.settings))
    }

    /// Counts octets of content, refused ones too.
    fn count(&mut self, octets: usize) {
        self.tally.content += octets as u64;
        self.pace.iter_mut().for_each(|pace| pace.octets += octets as u64);
    }

    /// The clock of the content runs from its first chunk on.
    fn set_pace(&mut self) {
        self.pace.get_or_insert(Pace { begun: self.since, octets: 0 });
    }
}

fn at_most(wanted: u64, there: usize) -> usize {
    usize::try_from(wanted).map_or(there, |wanted| wanted.min(there))
}
