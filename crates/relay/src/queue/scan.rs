//! Which messages a filter means, looked for in slices.
//!
//! A slice looks at so few messages ([`SLICE`]; fewer, if they have many recipients) that nothing waits for it: no text of a message is copied for itself, and a filter
//! that names a destination looks at nothing but what waits there.

use super::Queue;
use super::ask::{AskId, Filter};
use super::list::{Match, Sieve};
use super::message::Message;
use super::work::Work;
use crate::envelope::{Envelope, QueueId};
use crate::scheduler::LotName;
use smtp::time::Timestamp;
use std::hint::black_box;
use std::ops::Bound;

/// Messages looked at in one slice.
const SLICE: usize = 2_048;
/// Messages that are fetched from memory together.
const AHEAD: usize = 32;

/// Messages that match, in the order of their ids.
#[derive(Debug)]
pub(super) struct Scan {
    /// Boxed: what is searched for is large, and most questions have none.
    sieve: Box<Sieve>,
    pub after: Option<QueueId>,
    /// Those that came later are not looked at.
    pub last: Option<QueueId>,
    /// Only the envelope of this one can tell whether it matches.
    unsure: Option<QueueId>,
    /// What it told.
    verdict: Option<bool>,
}

/// How a slice of a scan ended.
#[derive(PartialEq, Eq)]
pub(super) enum Scanned {
    /// There is more to look at.
    Part,
    /// Whoever takes what matches has enough for now.
    Enough,
    /// There is nothing more.
    All,
}

impl Scan {
    /// It waits for the disk.
    pub fn is_blocked(&self) -> bool {
        self.unsure.is_some() && self.verdict.is_none()
    }

    /// There may be more behind the last one that was looked at.
    pub fn has_more(&self) -> bool {
        self.last > self.after
    }
}

impl Queue {
    pub(super) fn scan_of(&self, filter: Filter, after: Option<QueueId>) -> Scan {
        let sieve = Box::new(Sieve::new(filter));
        let last = if sieve.is_vain() { None } else { self.messages.last_key_value().map(|(id, _)| *id) };
        Scan { sieve, after, last, unsure: None, verdict: None }
    }

    /// Looks at the next messages; `take` is given those that match, `most` of them, and says whether it wants more.
    pub(super) fn scan(
        &mut self,
        ask: Option<AskId>,
        scan: &mut Scan,
        most: usize,
        now: Timestamp,
        mut take: impl FnMut(&mut Queue, QueueId) -> bool,
    ) -> Scanned {
        if let (Some(id), Some(verdict)) = (scan.unsure, scan.verdict.take()) {
            (scan.unsure, scan.after) = (None, Some(id));
            if verdict && !take(self, id) {
                return Scanned::Enough;
            }
        }
        let Some(last) = scan.last else { return Scanned::All };
        if scan.after.is_some_and(|after| after >= last) {
            return Scanned::All;
        }
        let seen = self.slice(scan, last, most, now);
        for (id, matched) in seen.found {
            if matched == Match::Unsure {
                scan.unsure = Some(id);
                self.judge_later(ask, id);
                return Scanned::Part;
            }
            scan.after = Some(id);
            if !take(self, id) {
                return Scanned::Enough;
            }
        }
        scan.after = seen.up_to.or(scan.after);
        if seen.is_all { Scanned::All } else { Scanned::Part }
    }

    /// What the next slice has that matches, or may.
    fn slice(&self, scan: &Scan, last: QueueId, most: usize, now: Timestamp) -> Slice {
        let mut slice = Slice { found: Vec::new(), up_to: None, is_all: true };
        let mut buffer = String::new();
        // Says whether there is something more to look at.
        let mut look = |slice: &mut Slice, id: QueueId, message| {
            slice.up_to = Some(id);
            let matched = self.matches(message, &scan.sieve, &mut buffer, now);
            if matched != Match::No {
                slice.found.push((id, matched));
            }
            slice.is_all &= matched != Match::Unsure && slice.found.len() < most;
            matched != Match::Unsure && slice.found.len() < most
        };
        if let Some(name) = scan.sieve.destination() {
            let (ids, is_all) = self.waiting_for(name, scan.after, last);
            slice.is_all = is_all;
            slice.up_to = ids.last().copied();
            for id in ids {
                if let Some(message) = self.messages.get(&id)
                    && !look(&mut slice, id, message)
                {
                    break;
                }
            }
            return slice;
        }
        let from = scan.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.messages.range((from, Bound::Included(last)));
        let mut next: Vec<(&QueueId, &Message)> = Vec::with_capacity(AHEAD);
        let mut left = SLICE;
        while left > 0 {
            next.clear();
            next.extend(rest.by_ref().take(AHEAD));
            if next.is_empty() {
                return slice;
            }
            left = left.saturating_sub(next.iter().map(|(_, message)| weight(message)).sum());
            fetch(&next);
            if !next.iter().all(|(id, message)| look(&mut slice, **id, message)) {
                return slice;
            }
        }
        slice.is_all = rest.next().is_none();
        slice
    }

    /// The next messages that wait for destinations of this name, in the order of their ids; are there no more behind them?
    fn waiting_for(&self, name: &str, after: Option<QueueId>, last: QueueId) -> (Vec<QueueId>, bool) {
        let after = after.map(|id| LotName { id, lot: u32::MAX });
        let (mut ids, mut end, mut is_all) = (Vec::new(), last, true);
        for destination in self.scheduler.named(name) {
            let lots = self.scheduler.lots_after(destination, after, SLICE);
            if let (SLICE, Some(furthest)) = (lots.len(), lots.last()) {
                // What comes behind it is not known yet.
                is_all &= furthest.id >= last;
                end = end.min(furthest.id);
            }
            ids.extend(lots.into_iter().map(|lot| lot.id));
        }
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| *id <= end);
        (ids, is_all)
    }

    /// The envelope of a message is there that a search was unsure of; or it is not to be had.
    pub(super) fn judged(&mut self, ask: Option<AskId>, id: QueueId, envelope: Option<&Envelope>) {
        for scan in self.works_of(ask).filter_map(Work::scan_mut) {
            if scan.unsure == Some(id) {
                scan.verdict = Some(envelope.is_some_and(|envelope| scan.sieve.fits(envelope)));
            }
        }
    }
}

/// For how many messages one counts: of one that has its envelope in memory each recipient is looked at.
fn weight(message: &Message) -> usize {
    message.envelope.as_ref().map_or(1, |envelope| 1 + envelope.recipients.len() / 2)
}

/// Touches what a look at these needs: where each load waits for no other, the processor waits for all of them together, and not for
/// the memory once or twice for each message.
fn fetch(messages: &[(&QueueId, &Message)]) {
    let briefs = || messages.iter().filter_map(|(_, message)| message.brief.as_ref());
    black_box(briefs().fold(0, |sum: u64, brief| sum.wrapping_add(brief.size)));
    black_box(briefs().filter_map(|brief| brief.addresses().as_bytes().first()).fold(0, |sum, octet| sum ^ octet));
    let lots = messages.iter().filter_map(|(_, message)| message.lots.first());
    black_box(lots.fold(0, |sum: u32, lot| sum ^ lot.name));
}

/// What a look at some messages brought.
struct Slice {
    /// Those that match, or of which only the envelope can tell.
    found: Vec<(QueueId, Match)>,
    /// The last one that was looked at.
    up_to: Option<QueueId>,
    /// There are no more.
    is_all: bool,
}
