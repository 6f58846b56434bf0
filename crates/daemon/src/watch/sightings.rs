//! Which files in Pickup are complete: the patience of the pickup service, as a value without clock and disk.
//!
//! Programs write into Pickup in three ways, and nobody tells us which:
//!
//! - *They move a finished file in.* The system tells of the move ([`Sign::Moved`]): it is taken at once.
//! - *They write it in place* (.NET and CDO do) and hold it open meanwhile. The system tells when they begin, write and
//!   close ([`Sign::Created`], [`Sign::Written`], [`Sign::Closed`]): it is taken as soon as it is closed, and never
//!   before, however long the writer pauses.
//! - *Nobody saw them*: the file was there before we were, or was written by another computer on a shared folder, of
//!   which the system tells nothing. Then it is taken once it has been left alone for a while ([`Patience::quiet`]). How
//!   long it has been left alone is what we have seen ourselves, or what its change time says, if that is long past.
//!
//! An empty file is left alone for longer ([`Patience::empty`]), whatever was told: it is a file that somebody is about
//! to fill, more likely than a mistake.
//!
//! Whoever asks must look at the file again when it has it open, and must not take it from under a lock; this module is
//! told about names and times only.
//!
//! IIS: "Pickup" (a file that is still open is tried again); threats: 2.9.

use crate::local::folder::Look;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

/// Files that are waited for at a time. Others are looked at when some of these are done.
pub(crate) const SIGHTINGS_MAX: usize = 50_000;

/// How long to wait for what.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Patience {
    /// A file of which nobody told anything must have been left alone for so long.
    pub quiet: Duration,
    /// Its change time must be so long past to count for that.
    pub long_past: Duration,
    /// An empty file must have been left alone for so long.
    pub empty: Duration,
    /// How often the whole folder is looked through, whatever is told.
    pub rescan: Duration,
    /// For how long nothing is taken after the store or the disk has refused.
    pub pause: Duration,
}

impl Patience {
    /// What a running service has.
    pub const USUAL: Patience = Patience {
        quiet: Duration::from_secs(1),
        long_past: Duration::from_secs(10),
        empty: Duration::from_secs(60),
        rescan: Duration::from_secs(10),
        pause: Duration::from_secs(5),
    };
}

/// What the system told about a name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sign {
    /// Nothing that says anything.
    Unseen,
    /// It was made here.
    Created,
    /// Octets were written.
    Written,
    /// Somebody who could write closed it.
    Closed,
    /// It was moved here.
    Moved,
}

impl Sign {
    /// What is known after another sign: the last one that says anything.
    #[must_use]
    pub fn then(self, later: Sign) -> Sign {
        if later == Sign::Unseen { self } else { later }
    }
}

/// May it be taken?
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Yes.
    Ready,
    /// Not yet; ask again then.
    NotBefore(Instant),
    /// Not before the system tells something new about it.
    Open,
}

/// One file that was not ready.
#[derive(Debug)]
struct Sighting {
    look: Option<Look>,
    /// It has looked like that since then.
    since: Instant,
    sign: Sign,
}

/// The files that are not ready, and what is known of them.
#[derive(Debug)]
pub(crate) struct Sightings {
    patience: Patience,
    files: HashMap<OsString, Sighting>,
}

impl Sightings {
    /// None so far.
    pub fn new(patience: Patience) -> Sightings {
        Sightings { patience, files: HashMap::new() }
    }

    /// The system told something about a name.
    pub fn tell(&mut self, name: &OsStr, sign: Sign, now: Instant) {
        let full = self.files.len() >= SIGHTINGS_MAX;
        match self.files.get_mut(name) {
            Some(sighting) => {
                sighting.sign = sighting.sign.then(sign);
                sighting.since = now;
            }
            None if full => {}
            None => {
                self.files.insert(name.to_owned(), Sighting { look: None, since: now, sign });
            }
        }
    }

    /// The system could not tell everything: from now on nothing is known but what is seen.
    pub fn forget_signs(&mut self, now: Instant) {
        for sighting in self.files.values_mut() {
            sighting.sign = Sign::Unseen;
            sighting.since = now;
        }
    }

    /// It was ready and could not be taken: it is locked, or was changed in the last moment. It must be quiet from now on.
    pub fn distrust(&mut self, name: &OsStr, now: Instant) {
        if self.files.contains_key(name) || self.files.len() < SIGHTINGS_MAX {
            self.files.insert(name.to_owned(), Sighting { look: None, since: now, sign: Sign::Unseen });
        }
    }

    /// May the file be taken that looks like this now? `age`: how long ago it last changed, if that is known.
    pub fn judge(&mut self, name: &OsStr, look: &Look, age: Option<Duration>, now: Instant) -> Verdict {
        let Patience { quiet, long_past, empty, .. } = self.patience;
        let full = self.files.len() >= SIGHTINGS_MAX;
        let sighting = match self.files.get_mut(name) {
            Some(sighting) => sighting,
            None if look.size > 0 && age.is_some_and(|age| age >= long_past) => return Verdict::Ready,
            None if full => return Verdict::NotBefore(now + quiet),
            None => {
                self.files.entry(name.to_owned()).or_insert(Sighting { look: None, since: now, sign: Sign::Unseen })
            }
        };
        let before = sighting.look.replace(*look);
        if before.is_some_and(|before| before != *look) {
            sighting.since = now;
            // Another file has got the name: that the old one was closed says nothing about it.
            if before.is_some_and(|before| before.identity != look.identity) && sighting.sign == Sign::Closed {
                sighting.sign = Sign::Unseen;
            }
        }
        let wait = match sighting.sign {
            _ if look.size == 0 => empty,
            Sign::Moved | Sign::Closed => Duration::ZERO,
            Sign::Written => return Verdict::Open,
            Sign::Created | Sign::Unseen => quiet,
        };
        let ready_at = sighting.since + wait;
        if ready_at <= now { Verdict::Ready } else { Verdict::NotBefore(ready_at) }
    }

    /// The file is taken, or gone, or none of ours.
    pub fn forget(&mut self, name: &OsStr) {
        self.files.remove(name);
    }

    /// Keeps only the names of which `stays` says so.
    pub fn retain(&mut self, mut stays: impl FnMut(&OsStr) -> bool) {
        self.files.retain(|name, _| stays(name));
    }

    /// How many are waited for.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// The names that are waited for.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.files.keys().map(OsString::as_os_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { regular: true, links: 1, identity: (1, 1), size: 100, modified: (5, 0), changed: (5, 0) };
    const EMPTY: Look = Look { size: 0, ..LOOK };
    const YOUNG: Option<Duration> = Some(Duration::from_millis(1));

    struct Story {
        sightings: Sightings,
        begin: Instant,
    }

    fn story() -> Story {
        Story { sightings: Sightings::new(Patience::USUAL), begin: Instant::now() }
    }

    impl Story {
        fn at(&self, ms: u64) -> Instant {
            self.begin + Duration::from_millis(ms)
        }
        fn tell(&mut self, ms: u64, sign: Sign) {
            let at = self.at(ms);
            self.sightings.tell(OsStr::new("x"), sign, at);
        }
        fn judge(&mut self, ms: u64, look: &Look) -> Verdict {
            let at = self.at(ms);
            self.sightings.judge(OsStr::new("x"), look, YOUNG, at)
        }
        fn is_ready(&mut self, ms: u64, look: &Look) -> bool {
            self.judge(ms, look) == Verdict::Ready
        }
    }

    #[test]
    fn a_file_moved_in_is_taken_at_once() {
        let mut s = story();
        s.tell(0, Sign::Moved);
        assert!(s.is_ready(0, &LOOK));
    }

    #[test]
    fn a_writer_in_place_is_waited_for_however_long_he_pauses() {
        let mut s = story();
        s.tell(0, Sign::Created);
        assert!(!s.is_ready(0, &EMPTY));
        s.tell(1, Sign::Written);
        assert_eq!(s.judge(1, &LOOK), Verdict::Open);
        assert_eq!(s.judge(3_600_000, &LOOK), Verdict::Open);
        s.tell(3_600_000, Sign::Written);
        s.tell(3_600_001, Sign::Closed);
        assert!(s.is_ready(3_600_001, &Look { size: 200, modified: (9, 9), ..LOOK }));
    }

    #[test]
    fn a_file_that_is_opened_again_is_waited_for_again() {
        let mut s = story();
        s.tell(0, Sign::Created);
        s.tell(1, Sign::Closed);
        s.tell(2, Sign::Written);
        assert_eq!(s.judge(2_000, &LOOK), Verdict::Open);
    }

    #[test]
    fn a_file_nobody_told_of_is_taken_once_it_is_quiet() {
        let mut s = story();
        assert_eq!(s.judge(0, &LOOK), Verdict::NotBefore(s.at(1_000)));
        let grown = Look { size: 101, ..LOOK };
        assert_eq!(s.judge(900, &grown), Verdict::NotBefore(s.at(1_900)));
        let touched = Look { modified: (5, 1), ..grown };
        assert_eq!(s.judge(1_800, &touched), Verdict::NotBefore(s.at(2_800)));
        assert!(!s.is_ready(2_799, &touched));
        assert!(s.is_ready(2_800, &touched));
    }

    #[test]
    fn an_old_file_is_taken_at_first_sight() {
        let mut sightings = Sightings::new(Patience::USUAL);
        let now = Instant::now();
        let age = |s| Some(Duration::from_secs(s));
        assert_eq!(sightings.judge(OsStr::new("old"), &LOOK, age(10), now), Verdict::Ready);
        assert_ne!(sightings.judge(OsStr::new("young"), &LOOK, age(9), now), Verdict::Ready);
        assert_ne!(sightings.judge(OsStr::new("from the future"), &LOOK, None, now), Verdict::Ready);
        assert_ne!(sightings.judge(OsStr::new("empty"), &EMPTY, age(3_600), now), Verdict::Ready);
    }

    #[test]
    fn an_empty_file_waits_for_its_text_whatever_was_told() {
        for sign in [Sign::Unseen, Sign::Created, Sign::Closed, Sign::Moved] {
            let mut s = story();
            s.tell(0, sign);
            assert!(!s.is_ready(0, &EMPTY));
            assert!(!s.is_ready(59_999, &EMPTY));
            assert!(s.is_ready(60_000, &EMPTY), "{sign:?}");
        }
    }

    #[test]
    fn a_new_link_to_an_old_file_is_no_writer() {
        let mut s = story();
        s.tell(0, Sign::Created);
        assert!(!s.is_ready(999, &LOOK));
        assert!(s.is_ready(1_000, &LOOK));
    }

    #[test]
    fn when_signs_are_lost_only_what_is_seen_counts() {
        let mut s = story();
        s.tell(0, Sign::Written);
        assert_eq!(s.judge(0, &LOOK), Verdict::Open);
        let at = s.at(10);
        s.sightings.forget_signs(at);
        assert!(!s.is_ready(1_009, &LOOK));
        assert!(s.is_ready(1_010, &LOOK));
    }

    #[test]
    fn a_sign_about_another_file_of_the_same_name_does_not_count() {
        let mut s = story();
        s.tell(0, Sign::Closed);
        assert!(!s.is_ready(0, &EMPTY));
        let other = Look { identity: (1, 2), ..LOOK };
        assert!(!s.is_ready(1, &other));
        assert!(s.is_ready(1_001, &other));
    }
}
