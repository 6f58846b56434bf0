//! Where a message ends and what it holds: the dot machine, and the check of BDAT chunks.
//!
//! Only `CRLF . CRLF` ends a message that DATA began. A bare CR, a bare LF and NUL are faults: they are never repaired
//! and never passed on, because what one host takes for a line's end and the next does not lets a second message
//! be smuggled inside the first. Content with a fault is still read to its true end, so that nothing in it is run
//! as a command. With [`BareNewlines::Normalize`] a bare LF becomes CRLF, for old devices; even then it never takes
//! part in the end of a message, and a dot alone on a line that it ends or begins is kept as content.
//!
//! Octets pass through whole: clean input is split off the buffer without a copy, and leading dots are taken out in
//! place. Does not count, time or bound anything: that is the session's duty ([`crate::server`]).
//!
//! RFC 5321 §2.3.8, §4.1.1.4, §4.5.2; RFC 3030 (BDAT, BINARYMIME).

use crate::command::BodyKind;
use bytes::BytesMut;
use std::ops::Range;

const NUL: u8 = 0;
const CR: u8 = b'\r';
const LF: u8 = b'\n';
const DOT: u8 = b'.';

/// Octets that are looked at in one go.
const BLOCK: usize = 256;
/// Octets that are moved one by one.
const SHORT: usize = 8;

/// What to do with a bare LF in commands and content (`general.bare_newlines`).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum BareNewlines {
    /// Refuse the message.
    #[default]
    Reject,
    /// Turn a bare LF into CRLF, for old devices; CR and NUL are refused all the same.
    Normalize,
}

/// Why content cannot be taken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BodyFault {
    /// A CR that no LF follows.
    BareCr,
    /// A LF that follows no CR.
    BareLf,
    /// An octet of value zero.
    Nul,
}

/// What one call of [`Decoder::decode`] took from its input.
#[derive(PartialEq, Eq, Debug)]
pub struct Decoded {
    /// Content, leading dots taken out; empty once there was a fault.
    pub content: BytesMut,
    /// The end was found: what is left of the input are commands.
    pub ended: bool,
}

/// Reads the content of one message.
#[derive(Clone, Debug)]
pub struct Decoder {
    framing: Framing,
    newlines: BareNewlines,
    position: Position,
    fault: Option<BodyFault>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Framing {
    /// After DATA: lines, ended by a dot.
    Dotted,
    /// After BDAT: lines, ended by their number of octets.
    Lines,
    /// After BDAT, with BODY=BINARYMIME: any octets.
    Octets,
}

/// What came last. A "loose" line is one that a bare LF began.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Position {
    /// Something within a line.
    Line,
    /// A CR within a line; it has been handed on, since only a LF may follow.
    Cr,
    /// CRLF, or nothing yet.
    Start,
    /// `CRLF .`, the dot held back.
    Dot,
    /// `CRLF . CR`, both held back.
    DotCr,
    /// A bare LF.
    LooseStart,
    /// A dot after a bare LF, held back.
    LooseDot,
    /// `LF . CR`, dot and CR held back.
    LooseDotCr,
}

/// What an octet adds to the content.
enum Emit {
    Nothing,
    Itself,
    /// These in its place.
    Text(&'static [u8]),
    End,
}

impl Decoder {
    /// For what follows DATA.
    #[must_use]
    pub fn dotted(newlines: BareNewlines) -> Decoder {
        Decoder { framing: Framing::Dotted, newlines, position: Position::Start, fault: None }
    }

    /// For what follows BDAT. One decoder serves all chunks of a message, as a line may go over their border.
    #[must_use]
    pub fn chunked(newlines: BareNewlines, body: BodyKind) -> Decoder {
        let framing = if body == BodyKind::BinaryMime { Framing::Octets } else { Framing::Lines };
        Decoder { framing, newlines, position: Position::Start, fault: None }
    }

    /// The first fault that was found.
    #[must_use]
    pub fn fault(&self) -> Option<BodyFault> {
        self.fault
    }

    /// Takes octets from the front of `input`: after DATA those up to the end of the message, after BDAT all.
    pub fn decode(&mut self, input: &mut BytesMut) -> Decoded {
        if self.framing == Framing::Octets {
            return Decoded { content: input.split(), ended: false };
        }
        let mut kept = Kept::default();
        let (mut at, mut ended) = (0, false);
        // Up to here there is something special, so that looking at whole blocks is of no use.
        let mut mixed = 0;
        while at < input.len() && !ended {
            let run = self.run(input, at, &mut mixed);
            if !run.is_empty() {
                at = run.end;
                kept.run(input, run);
                continue;
            }
            at += 1;
            match self.step(input[at - 1]) {
                Emit::Nothing => {}
                Emit::Itself => kept.run(input, at - 1..at),
                Emit::Text(text) => kept.text(input, at, text),
                Emit::End => ended = true,
            }
        }
        let mut content = kept.take(input.split_to(at));
        if self.fault.is_some() {
            content.clear();
        }
        Decoded { content, ended }
    }

    /// The last chunk is read: a CR may no longer hope for its LF.
    pub fn finish(&mut self) {
        if self.position == Position::Cr {
            self.fail(BodyFault::BareCr);
        }
    }

    /// The octets that pass as they are, from `at` on or from behind a stuffed dot there: up to the next leading dot, or the
    /// first that needs a second look. Whole blocks are tried first, except before `mixed`.
    #[inline]
    fn run(&mut self, input: &[u8], at: usize, mixed: &mut usize) -> Range<usize> {
        use Position::{Line, LooseStart, Start};
        let dotted = self.framing == Framing::Dotted;
        let from = match (self.position, input[at]) {
            (Start, DOT) if dotted && input.get(at + 1).is_some_and(|&next| is_plain(next)) => at + 1,
            (Start | LooseStart, DOT) if dotted => return at..at,
            // A block may begin with the LF of a CR before it: here there is none.
            (_, LF) => return at..at,
            (Line | Start | LooseStart, _) => at,
            _ => return at..at,
        };
        let mut end = from;
        if self.position == Line && at >= *mixed {
            while input.get(end..=end + BLOCK).is_some_and(is_clean) {
                end += BLOCK;
            }
            *mixed = end + BLOCK;
            // A CR at the border is looked at with its LF.
            end -= usize::from(end > from && input[end - 1] == CR);
        }
        let limit = input.len().min(from.max(*mixed) + 1);
        while end < limit {
            if is_plain(input[end]) {
                end += 1;
            } else if input[end] == CR && input.get(end + 1) == Some(&LF) {
                end += 2;
                if dotted && input.get(end) == Some(&DOT) {
                    break;
                }
            } else {
                break;
            }
        }
        if end > from {
            self.position = if input[end - 1] == LF { Start } else { Line };
        }
        from..end
    }

    /// One octet that is not part of a clean run.
    fn step(&mut self, octet: u8) -> Emit {
        use Position::{Cr, Dot, DotCr, Line, LooseDot, LooseDotCr, LooseStart, Start};
        let (position, emit) = match (self.position, octet) {
            (DotCr, LF) => (Start, Emit::End),
            (LooseDotCr, LF) => (Start, Emit::Text(b".\r\n")),
            (Cr, LF) => (Start, Emit::Itself),
            (Cr | DotCr | LooseDotCr, CR) => (Cr, self.fail(BodyFault::BareCr)),
            (Cr | DotCr | LooseDotCr, _) => (Line, self.fail(BodyFault::BareCr)),
            (_, NUL) => (Line, self.fail(BodyFault::Nul)),
            (Dot, CR) => (DotCr, Emit::Nothing),
            (LooseDot, CR) => (LooseDotCr, Emit::Nothing),
            (_, CR) => (Cr, Emit::Itself),
            (position, LF) => self.bare_lf(matches!(position, Dot | LooseDot)),
            (Start, DOT) if self.framing == Framing::Dotted => (Dot, Emit::Nothing),
            (LooseStart, DOT) if self.framing == Framing::Dotted => (LooseDot, Emit::Nothing),
            _ => (Line, Emit::Itself),
        };
        self.position = position;
        emit
    }

    /// A bare LF, with a dot held back before it or not.
    fn bare_lf(&mut self, after_dot: bool) -> (Position, Emit) {
        match self.newlines {
            BareNewlines::Reject => (Position::Line, self.fail(BodyFault::BareLf)),
            BareNewlines::Normalize if after_dot => (Position::LooseStart, Emit::Text(b".\r\n")),
            BareNewlines::Normalize => (Position::LooseStart, Emit::Text(b"\r\n")),
        }
    }

    fn fail(&mut self, fault: BodyFault) -> Emit {
        self.fault.get_or_insert(fault);
        Emit::Nothing
    }
}

/// Is it neither part of a line's end nor forbidden?
#[inline]
fn is_plain(octet: u8) -> bool {
    (octet != CR) & (octet != LF) & (octet != NUL)
}

/// Is `first` not plain text, or is `second` not what may follow it?
#[inline]
fn is_special(first: u8, second: u8) -> bool {
    ((first == CR) != (second == LF)) | ((first == LF) & (second == DOT)) | (first == NUL)
}

/// Is no octet of the block but its last, which only serves as the follower, special? Without a branch an octet, so
/// that the compiler looks at many octets at once.
fn is_clean(block: &[u8]) -> bool {
    let pairs = block[..BLOCK].iter().zip(&block[1..=BLOCK]);
    pairs.fold(0, |special, (&first, &second)| special | u8::from(is_special(first, second))) == 0
}

/// The content of one call: the front of the input, moved together, until an insertion needs more room.
#[derive(Default)]
struct Kept {
    written: usize,
    grown: Option<BytesMut>,
}

impl Kept {
    /// Keeps octets of the input, as they are.
    #[inline]
    fn run(&mut self, input: &mut BytesMut, run: Range<usize>) {
        let length = run.len();
        match &mut self.grown {
            Some(grown) => grown.extend_from_slice(&input[run]),
            None if self.written == run.start => self.written += length,
            // A call would cost more than the octets of a short line.
            None if length <= SHORT => {
                let octets = &mut input[self.written..run.end];
                let ahead = run.start - self.written;
                for i in 0..length {
                    octets[i] = octets[i + ahead];
                }
                self.written += length;
            }
            None => {
                input.copy_within(run, self.written);
                self.written += length;
            }
        }
    }

    /// Adds `text` when the input has been read up to `read`.
    fn text(&mut self, input: &mut BytesMut, read: usize, text: &[u8]) {
        if self.grown.is_none() && self.written + text.len() <= read {
            input[self.written..self.written + text.len()].copy_from_slice(text);
            self.written += text.len();
            return;
        }
        let grown = self.grown.get_or_insert_with(|| {
            let mut grown = BytesMut::with_capacity(input.len() + input.len() / 16 + text.len());
            grown.extend_from_slice(&input[..self.written]);
            grown
        });
        grown.extend_from_slice(text);
    }

    fn take(self, mut front: BytesMut) -> BytesMut {
        front.truncate(self.written);
        self.grown.unwrap_or(front)
    }
}

#[cfg(test)]
mod tests;
