//! Which files in Pickup are complete: the patience of the pickup service, as a value without clock and disk.
//!
//! Programs write into Pickup in three ways, and nobody tells us which:
//!
//! - *They move a finished file in.* The system tells of the move ([`Sign::Moved`]): it is taken at once. If they move
//!   it within Pickup, under a hidden name before for example, what was known of the old name holds for the new one.
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
//! That a file was closed is the one thing that is proof. Whatever else speaks for taking it, somebody may hold it open
//! and only pause; so the answer is *unless somebody is seen to hold it* ([`Verdict::Unheld`]), and where a pause would
//! be likely, *only if all who might could be seen*, or after a longer time ([`Verdict::SurelyUnheld`]).
//!
//! Whoever asks must look at the file again when it has it open, and must not take it from under a lock; this module is
//! told about names and times only.
//!
//! IIS: "Pickup" (a file that is still open is tried again); threats: 2.9.

use crate::local::folder::Look;
use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

/// Files that are waited for at a time. Others are looked at when some of these are done.
pub(crate) const SIGHTINGS_MAX: usize = 50_000;
/// Files moved away of which it is not told yet where they came; most went elsewhere.
const MOVING_MAX: usize = 64;

/// How long to wait for what.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Patience {
    /// A file of which nobody told anything must have been left alone for so long.
    pub quiet: Duration,
    /// Its change time must be so long past to count for that.
    pub long_past: Duration,
    /// Added to that where not everybody can be seen who might hold it open.
    pub unsure: Duration,
    /// After so long without a word about a file that is being written, it is asked whether anybody still does.
    pub open: Duration,
    /// An empty file must have been left alone for so long.
    pub empty: Duration,
    /// How often the whole folder is looked through, whatever is told.
    pub rescan: Duration,
    /// For how long nothing is taken after the store or the disk has refused.
    pub pause: Duration,
    /// How long a claimed file that could not be read or put away has to wait for its next turn.
    pub aside: Duration,
}

impl Patience {
    /// What a running service has.
    pub const USUAL: Patience = Patience {
        quiet: Duration::from_secs(1),
        long_past: Duration::from_secs(10),
        unsure: Duration::from_secs(30),
        open: Duration::from_secs(300),
        empty: Duration::from_secs(60),
        rescan: Duration::from_secs(10),
        pause: Duration::from_secs(5),
        aside: Duration::from_secs(60),
    };
}

/// What the system told about a name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// Something happened to its file.
    Sign(Sign),
    /// Its file was moved away; the same number tells of where it came.
    Left(usize),
    /// A file was moved here; if from within the folder, the same number told of it before.
    Came(usize),
    /// The name is gone.
    Gone,
}

/// What is known about a name's file.
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
    /// Yes, unless somebody is seen to hold it open for writing.
    Unheld,
    /// Only if everybody can be seen who might hold it open for writing, and nobody does; else ask again then.
    SurelyUnheld(Instant),
    /// Not yet; ask again then.
    NotBefore(Instant),
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
    /// Hidden names that are being written: nothing to take, but they may get another name before that is over.
    hidden: HashMap<OsString, Sign>,
    /// What was known of files that were moved away, the latest last, until it is told where they came.
    moving: VecDeque<(usize, Sign)>,
}

impl Sightings {
    /// None so far.
    pub fn new(patience: Patience) -> Sightings {
        Sightings { patience, files: HashMap::new(), hidden: HashMap::new(), moving: VecDeque::new() }
    }

    /// The system told something about a name.
    pub fn tell(&mut self, name: &OsStr, told: Told, now: Instant) {
        let sign = match told {
            Told::Sign(sign) => sign,
            Told::Came(number) => {
                let before = self.moving.iter().position(|(n, _)| *n == number).and_then(|at| self.moving.remove(at));
                // Who was writing goes on doing so under the new name, which is that of another file from now on.
                self.files.remove(name);
                match before {
                    Some((_, sign @ (Sign::Created | Sign::Written))) => sign,
                    _ => Sign::Moved,
                }
            }
            Told::Left(number) => {
                let before = self.hidden.remove(name).or_else(|| Some(self.files.remove(name)?.sign));
                if let Some(sign) = before {
                    self.moving.push_back((number, sign));
                    if self.moving.len() > MOVING_MAX {
                        self.moving.pop_front();
                    }
                }
                return;
            }
            Told::Gone => {
                self.hidden.remove(name);
                self.files.remove(name);
                return;
            }
        };
        if is_hidden(name) {
            self.tell_hidden(name, sign);
        } else {
            self.tell_sign(name, sign, now);
        }
    }

    fn tell_hidden(&mut self, name: &OsStr, sign: Sign) {
        match sign {
            Sign::Created | Sign::Written if self.hidden.len() < SIGHTINGS_MAX => {
                self.hidden.insert(name.to_owned(), sign);
            }
            Sign::Closed | Sign::Moved => {
                self.hidden.remove(name);
            }
            _ => {}
        }
    }

    fn tell_sign(&mut self, name: &OsStr, sign: Sign, now: Instant) {
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
        self.hidden.clear();
        self.moving.clear();
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
        let Patience { quiet, long_past, unsure, open, empty, .. } = self.patience;
        let full = self.files.len() >= SIGHTINGS_MAX;
        let is_old = |past: Duration| look.size > 0 && age.is_some_and(|age| age >= past);
        let sighting = match self.files.get_mut(name) {
            Some(sighting) => sighting,
            None if is_old(long_past + unsure) => return Verdict::Unheld,
            None if is_old(long_past) => return Verdict::SurelyUnheld(now + unsure),
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
        // For how long it must have been left alone, and for how much longer if not everybody can be seen.
        let (wait, unsure) = match sighting.sign {
            _ if look.size == 0 => (empty, Some(unsure)),
            Sign::Closed => return Verdict::Ready,
            Sign::Moved => (Duration::ZERO, Some(Duration::ZERO)),
            Sign::Created | Sign::Unseen => (quiet, Some(unsure)),
            Sign::Written => (open, None),
        };
        let ready_at = sighting.since + wait;
        if ready_at > now {
            return Verdict::NotBefore(ready_at);
        }
        match unsure {
            Some(unsure) if ready_at + unsure <= now => Verdict::Unheld,
            Some(unsure) => Verdict::SurelyUnheld(ready_at + unsure),
            None => Verdict::SurelyUnheld(now + open),
        }
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

/// Is this how programs call files that they have not finished?
pub(crate) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
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
            self.told(ms, "x", Told::Sign(sign));
        }
        fn told(&mut self, ms: u64, name: &str, told: Told) {
            let at = self.at(ms);
            self.sightings.tell(OsStr::new(name), told, at);
        }
        fn judge(&mut self, ms: u64, look: &Look) -> Verdict {
            let at = self.at(ms);
            self.sightings.judge(OsStr::new("x"), look, YOUNG, at)
        }
        /// Where everybody can be seen, and nobody holds it.
        fn is_ready(&mut self, ms: u64, look: &Look) -> bool {
            !matches!(self.judge(ms, look), Verdict::NotBefore(_))
        }
    }

    #[test]
    fn a_file_moved_in_is_taken_at_once() {
        let mut s = story();
        s.tell(0, Sign::Moved);
        assert_eq!(s.judge(0, &LOOK), Verdict::Unheld);
    }

    #[test]
    fn what_was_known_of_a_name_holds_for_the_next_one() {
        for before in ["y", ".hidden"] {
            for (sign, is_taken) in [(Sign::Created, false), (Sign::Written, false), (Sign::Closed, true)] {
                let mut s = story();
                s.told(0, before, Told::Sign(Sign::Created));
                s.told(0, before, Told::Sign(sign));
                s.told(1, before, Told::Left(7));
                s.told(2, "x", Told::Came(7));
                assert_eq!(s.is_ready(2, &LOOK), is_taken, "{before} {sign:?}");
                assert_eq!(s.sightings.len(), 1);
                s.tell(3, Sign::Closed);
                assert!(s.is_ready(3, &LOOK));
            }
        }
        let mut s = story();
        s.told(0, ".hidden", Told::Sign(Sign::Written));
        s.told(1, ".hidden", Told::Gone);
        s.told(2, ".hidden", Told::Left(7));
        s.told(3, "x", Told::Came(8));
        assert!(s.is_ready(3, &LOOK), "another file");
    }

    #[test]
    fn a_writer_in_place_is_waited_for_however_long_he_pauses() {
        let mut s = story();
        s.tell(0, Sign::Created);
        assert!(!s.is_ready(0, &EMPTY));
        s.tell(1, Sign::Written);
        assert_eq!(s.judge(1, &LOOK), Verdict::NotBefore(s.at(300_001)));
        // Only if everybody can be seen, and nobody holds it any more.
        assert_eq!(s.judge(3_600_000, &LOOK), Verdict::SurelyUnheld(s.at(3_900_000)));
        s.tell(3_600_000, Sign::Written);
        s.tell(3_600_001, Sign::Closed);
        assert_eq!(s.judge(3_600_001, &Look { size: 200, modified: (9, 9), ..LOOK }), Verdict::Ready);
    }

    #[test]
    fn a_file_that_is_opened_again_is_waited_for_again() {
        let mut s = story();
        s.tell(0, Sign::Created);
        s.tell(1, Sign::Closed);
        s.tell(2, Sign::Written);
        assert!(!s.is_ready(2_000, &LOOK));
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
        assert_eq!(s.judge(2_800, &touched), Verdict::SurelyUnheld(s.at(32_800)));
        assert_eq!(s.judge(32_800, &touched), Verdict::Unheld);
    }

    #[test]
    fn an_old_file_is_taken_at_first_sight() {
        let mut sightings = Sightings::new(Patience::USUAL);
        let now = Instant::now();
        let age = |s| Some(Duration::from_secs(s));
        let mut judge = |name: &str, look, age| sightings.judge(OsStr::new(name), look, age, now);
        assert_eq!(judge("old", &LOOK, age(40)), Verdict::Unheld);
        assert_eq!(judge("not so old", &LOOK, age(10)), Verdict::SurelyUnheld(now + Duration::from_secs(30)));
        assert!(matches!(judge("young", &LOOK, age(9)), Verdict::NotBefore(_)));
        assert!(matches!(judge("from the future", &LOOK, None), Verdict::NotBefore(_)));
        assert!(matches!(judge("empty", &EMPTY, age(3_600)), Verdict::NotBefore(_)));
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
        assert!(!s.is_ready(0, &LOOK));
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
