//! Destinations page by page, in the order that somebody wants.
//!
//! A page begins behind the last destination of the page before ([`DestinationMark`]), not after a number of them: whatever comes or
//! goes meanwhile, none is left out for it. One whose queue has grown or shrunk has another place, as the order is that of now.

use super::Queue;
use super::ask::{Answer, DestinationMark, DestinationSummary, DestinationsBy, DestinationsFrom, PAGE_MAX};
use super::brief::Needle;
use smtp::time::Timestamp;
use std::collections::BTreeSet;

/// Destinations looked at in one slice.
const SLICE: usize = 500;

/// A listing of destinations, so far.
#[derive(Debug)]
pub(super) struct Destinations {
    /// Boxed: it is large.
    name: Option<Box<Needle>>,
    by: DestinationsBy,
    from: DestinationsFrom,
    limit: usize,
    /// The place in the table that is looked at next.
    at: usize,
    total: usize,
    /// Those that come before this page, or, where it is asked for what comes before a mark, before that.
    before: usize,
    /// Those of the page.
    best: BTreeSet<DestinationMark>,
    buffer: String,
}

impl Destinations {
    pub fn new(name: Option<&str>, by: DestinationsBy, from: DestinationsFrom, limit: usize) -> Destinations {
        let (name, limit) = (name.map(|name| Box::new(Needle::new(name))), limit.clamp(1, PAGE_MAX));
        let (best, buffer) = (BTreeSet::new(), String::new());
        Destinations { name, by, from, limit, at: 0, total: 0, before: 0, best, buffer }
    }

    fn take(&mut self, one: DestinationMark) {
        if self.name.as_ref().is_some_and(|name| !name.is_in_any_case(&one.name, &mut self.buffer)) {
            return;
        }
        self.total += 1;
        match &self.from {
            DestinationsFrom::First => {}
            DestinationsFrom::After(mark) if one > *mark => {}
            DestinationsFrom::After(_) => {
                self.before += 1;
                return;
            }
            DestinationsFrom::Before(mark) if one < *mark => self.before += 1,
            DestinationsFrom::Before(_) => return,
        }
        self.best.insert(one);
        if self.best.len() > self.limit {
            match &self.from {
                DestinationsFrom::Before(_) => self.best.pop_first(),
                _ => self.best.pop_last(),
            };
        }
    }
}

impl Queue {
    pub(super) fn list_destinations(&mut self, listing: &mut Destinations, now: Timestamp) -> Option<Answer> {
        let (ids, at) = self.scheduler.from_slot(listing.at, SLICE);
        for id in ids {
            let (rank, name) = self.rank(id, listing.by);
            listing.take(DestinationMark { rank, name, id: Some(id) });
        }
        if let Some(at) = at {
            listing.at = at;
            return None;
        }
        // Suspended ones that no mail waits for come last, or by their name.
        let rank = if listing.by == DestinationsBy::Name { 0 } else { u64::MAX };
        for name in self.scheduler.suspended_without_mail() {
            listing.take(DestinationMark { rank, name, id: None });
        }
        let mut before = listing.before;
        if matches!(listing.from, DestinationsFrom::Before(_)) {
            before -= listing.best.len();
        }
        let best = std::mem::take(&mut listing.best);
        let (first, last) = (best.first().cloned(), best.last().cloned());
        let page: Vec<DestinationSummary> =
            best.into_iter().filter_map(|one| self.destination_summary(one.id, &one.name, now)).collect();
        Some(Answer::Destinations { page, total: listing.total, before, ends: first.zip(last) })
    }
}
