//! The newest lines of one session's dialogue, in one small piece of memory.
//!
//! Nothing is kept for a session that has said nothing. Lines come as the machines note them ([`smtp::minutes`]), without secrets
//! already; each gets the time that has passed since the session began. When there is no more room, the oldest lines go.

use smtp::minutes::{self, Side};
use smtp::time::Timestamp;
use std::time::Duration;

/// Octets of one session's dialogue.
pub const DIALOGUE_MAX: usize = 4 * 1024;
/// When there is no more room, as much goes at once, so that the rest need not be moved for each line.
const ROOM: usize = DIALOGUE_MAX / 4;
/// Memory is asked for in steps of this many octets.
const STEP: usize = 128;
/// Octets of the time before each line.
const TIME_LEN: usize = 4;

/// See the module.
#[derive(Default)]
pub(super) struct Dialogue {
    octets: Vec<u8>,
    /// Lines that were dropped.
    forgotten: u32,
}

/// One line.
pub(super) struct Said<'a> {
    pub at: Timestamp,
    pub side: Side,
    pub line: &'a [u8],
}

impl Dialogue {
    /// Adds what was noted, `age` after the session began.
    pub(super) fn add(&mut self, mut noted: &[u8], age: Duration) {
        let at = u32::try_from(age.as_millis()).unwrap_or(u32::MAX).to_le_bytes();
        while let Some((_, _, end)) = minutes::first(noted) {
            let (line, rest) = noted.split_at(end);
            let size = TIME_LEN + line.len();
            self.make_room(size);
            self.octets.extend_from_slice(&at);
            self.octets.extend_from_slice(line);
            noted = rest;
        }
    }

    fn make_room(&mut self, size: usize) {
        let wanted = self.octets.len() + size;
        if wanted > DIALOGUE_MAX {
            let mut gone = 0;
            while gone < ROOM.max(size)
                && let Some((_, _, end)) = self.octets.get(gone + TIME_LEN..).and_then(minutes::first)
            {
                gone += TIME_LEN + end;
                self.forgotten = self.forgotten.saturating_add(1);
            }
            self.octets.drain(..gone);
        } else if wanted > self.octets.capacity() {
            let more = wanted.next_multiple_of(STEP).min(DIALOGUE_MAX);
            self.octets.reserve_exact(more - self.octets.len());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// How many lines were dropped.
    pub(super) fn forgotten(&self) -> u64 {
        u64::from(self.forgotten)
    }

    /// Oldest first; `since`: when the session began.
    pub(super) fn lines(&self, since: Timestamp) -> impl Iterator<Item = Said<'_>> {
        let mut octets = self.octets.as_slice();
        std::iter::from_fn(move || {
            let time = octets.first_chunk::<TIME_LEN>()?;
            let (side, line, end) = minutes::first(&octets[TIME_LEN..])?;
            let at = since.plus(Duration::from_millis(u64::from(u32::from_le_bytes(*time))));
            octets = &octets[TIME_LEN + end..];
            Some(Said { at, side, line })
        })
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.octets.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::minutes::Minutes;

    fn noted(text: &str) -> Vec<u8> {
        let mut minutes = Minutes::default();
        minutes.note(Side::Theirs, text.as_bytes());
        minutes.take()
    }

    #[test]
    fn it_stays_small_and_keeps_the_newest() {
        let mut dialogue = Dialogue::default();
        assert_eq!(dialogue.capacity(), 0, "nothing said, nothing kept");
        dialogue.add(&noted("EHLO client.test"), Duration::from_millis(7));
        assert!(dialogue.capacity() <= STEP);
        let mut batch = Vec::new();
        (0..1_000).for_each(|number| batch.extend(noted(&format!("NOOP {number}"))));
        dialogue.add(&batch, Duration::from_secs(1));
        dialogue.add(&noted(&"x".repeat(10_000)), Duration::from_secs(2));
        assert!(
            dialogue.octets.len() <= DIALOGUE_MAX && dialogue.capacity() <= DIALOGUE_MAX,
            "{}",
            dialogue.capacity()
        );
        let lines: Vec<Said<'_>> = dialogue.lines(Timestamp(1_000)).collect();
        assert!(lines.len() > 100 && lines.len() as u64 + dialogue.forgotten() == 1_002, "{}", lines.len());
        assert_eq!(lines[lines.len() - 2].line, b"NOOP 999");
        assert_eq!(lines[lines.len() - 1].at, Timestamp(3_000));
    }
}
