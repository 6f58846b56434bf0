//! Cuts a stream of octets into command lines under a limit.
//!
//! Only CRLF ends a line; a CR alone never does. A line that is too long, or that holds a bare LF which the policy
//! refuses, is reported once, and then everything up to its true end is swallowed: what a peer hides behind it is
//! never taken for a command. Nothing is held beyond the limit. Which octets a line may hold is for its reader to
//! say ([`crate::command`]).
//!
//! RFC 5321 §2.3.8 (lines), §4.5.3.1.4 (command lines).

use crate::body::BareNewlines;
use bytes::{Buf, BytesMut};
use memchr::memchr;

/// What [`LineCutter::cut`] found.
#[derive(PartialEq, Eq, Debug)]
pub enum Cut {
    /// A line, without its line end.
    Line(BytesMut),
    /// The line is longer than the limit.
    TooLong,
    /// A LF that follows no CR, where those are refused.
    BareLf,
}

/// Cuts lines off the front of a buffer that its owner fills.
#[derive(Clone, Debug)]
pub struct LineCutter {
    /// Octets of a line, its line end included.
    max: u32,
    newlines: BareNewlines,
    /// Octets at the front of the buffer that hold no LF.
    searched: u32,
    swallowing: Option<Swallowing>,
}

/// A refused line whose end has not come yet.
#[derive(Copy, Clone, Debug)]
struct Swallowing {
    octets: u64,
    after_cr: bool,
}

impl LineCutter {
    /// For lines of at most `max` octets, line end included.
    #[must_use]
    pub fn new(max: u32, newlines: BareNewlines) -> LineCutter {
        LineCutter { max, newlines, searched: 0, swallowing: None }
    }

    /// From now on lines may have so many octets, those that wait already too.
    pub fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// Swallows what there is of the rest of a refused line.
    pub fn skip_refused(&mut self, input: &mut BytesMut) {
        self.swallow(input);
    }

    /// Takes the next line off the front of `input`; `None` if there is no whole one.
    ///
    /// `input` may only grow at its end between two calls, unless a line was just taken.
    pub fn cut(&mut self, input: &mut BytesMut) -> Option<Cut> {
        if !self.swallow(input) {
            return None;
        }
        let searched = self.searched as usize;
        let Some(end) = memchr(b'\n', &input[searched..]).map(|found| searched + found) else {
            return self.wait(input);
        };
        self.searched = 0;
        let after_cr = end > 0 && input[end - 1] == b'\r';
        let mut line = input.split_to(end + 1);
        let refused = !after_cr && self.newlines == BareNewlines::Reject;
        if refused {
            self.swallowing = Some(Swallowing { octets: 0, after_cr: false });
        }
        if line.len() > self.max as usize {
            return Some(Cut::TooLong);
        }
        if refused {
            return Some(Cut::BareLf);
        }
        line.truncate(end - usize::from(after_cr));
        Some(Cut::Line(line))
    }

    /// Octets of a refused line that were swallowed so far, while its end has not come.
    #[must_use]
    pub fn swallowed(&self) -> Option<u64> {
        self.swallowing.map(|swallowing| swallowing.octets)
    }

    /// No LF yet: there may still come one, unless the line is too long already.
    fn wait(&mut self, input: &mut BytesMut) -> Option<Cut> {
        if input.len() < self.max as usize {
            self.searched = u32::try_from(input.len()).unwrap_or(self.max);
            return None;
        }
        self.searched = 0;
        self.swallowing = Some(Swallowing { octets: 0, after_cr: false });
        self.swallow(input);
        Some(Cut::TooLong)
    }

    /// Swallows the rest of a refused line. Is a line's beginning at the front now?
    fn swallow(&mut self, input: &mut BytesMut) -> bool {
        let Some(mut state) = self.swallowing else { return true };
        while let Some(end) = memchr(b'\n', input) {
            let after_cr = if end == 0 { state.after_cr } else { input[end - 1] == b'\r' };
            input.advance(end + 1);
            state.octets += end as u64 + 1;
            state.after_cr = false;
            if after_cr || self.newlines == BareNewlines::Normalize {
                self.swallowing = None;
                return true;
            }
        }
        state.after_cr = input.last().map_or(state.after_cr, |&last| last == b'\r');
        state.octets += input.len() as u64;
        input.clear();
        self.swallowing = Some(state);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is cut from `input` when it comes in pieces; lines as text.
    fn cut(input: &[u8], pieces: usize, newlines: BareNewlines) -> Vec<String> {
        let mut cutter = LineCutter::new(20, newlines);
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
        for piece in input.chunks(pieces) {
            buffer.extend_from_slice(piece);
            while let Some(cut) = cutter.cut(&mut buffer) {
                found.push(match cut {
                    Cut::Line(line) => String::from_utf8(line.to_vec()).unwrap(),
                    other => format!("{other:?}"),
                });
            }
            assert!(buffer.len() < 20, "only a beginning of a line is held");
        }
        found
    }

    fn check(input: &str, newlines: BareNewlines, expected: &[&str]) {
        for pieces in [1, 2, 3, 7, 20, 4096] {
            assert_eq!(cut(input.as_bytes(), pieces, newlines), expected, "{input:?} in pieces of {pieces}");
        }
    }

    #[test]
    fn only_crlf_ends_a_line() {
        use BareNewlines::{Normalize, Reject};
        check("NOOP\r\n\r\nQUIT\r\nRS", Reject, &["NOOP", "", "QUIT"]);
        check("NOOP\rRSET\r\r\n", Reject, &["NOOP\rRSET\r"]);
        check("NOOP\nRSET\r\nQUIT\r\n", Reject, &["BareLf", "QUIT"]);
        check("NOOP\n\r\nQUIT\r\n", Reject, &["BareLf", "QUIT"]);
        check("NOOP\nRSET\r\nQUIT\r\n", Normalize, &["NOOP", "RSET", "QUIT"]);
        check("\n\n", Normalize, &["", ""]);
        check("\n\n", Reject, &["BareLf"]);
    }

    #[test]
    fn a_long_line_is_swallowed_to_its_end() {
        use BareNewlines::{Normalize, Reject};
        let fits = "x".repeat(18);
        check(&format!("{fits}\r\nQUIT\r\n"), Reject, &[&fits, "QUIT"]);
        check(&format!("{fits}x\r\nQUIT\r\n"), Reject, &["TooLong", "QUIT"]);
        let long = "x".repeat(10_000);
        check(&format!("{long}\r\nQUIT\r\n"), Reject, &["TooLong", "QUIT"]);
        check(&format!("{long}\nRSET\r\r\nQUIT\r\n"), Reject, &["TooLong", "QUIT"]);
        check(&format!("{long}\rRSET\r\nQUIT\r\n"), Normalize, &["TooLong", "QUIT"]);
        check(&format!("{long}\nQUIT\r\n"), Normalize, &["TooLong", "QUIT"]);
        for length in 17..=22 {
            let cut = if length < 20 { "BareLf" } else { "TooLong" };
            check(&format!("{}\nRSET\r\nQUIT\r\n", "x".repeat(length)), Reject, &[cut, "QUIT"]);
        }
    }

    #[test]
    fn swallowed_octets_are_counted() {
        let mut cutter = LineCutter::new(20, BareNewlines::Reject);
        let mut buffer = BytesMut::from(&[b'x'; 100][..]);
        assert_eq!(cutter.cut(&mut buffer), Some(Cut::TooLong));
        assert_eq!(cutter.swallowed(), Some(100));
        buffer.extend_from_slice(b"yyy\r\n");
        assert_eq!(cutter.cut(&mut buffer), None);
        assert_eq!(cutter.swallowed(), None);
    }
}
