//! Who gives his place to others while all connections are taken: whoever waits for a host that says nothing, or for its look-up.
//!
//! A host gets [`FIRST_TURN`] to answer and greet while another destination waits for a place. Then its connection gives way, one
//! for each that waits, and its mail goes to the end of the line as if nothing had been tried. When its turn comes again it gets
//! [`SECOND_TURN`], so that a host that greets slowly is reached however busy this server is; after that it counts as unreachable. At most
//! half of the places are for second turns: while these are taken, a turn is a short one again. So
//! silent hosts, however many, cost the living half of the places for a while, and not for ever. While there are places, nobody is hurried.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a host may say nothing while others wait for its place.
pub(super) const FIRST_TURN: Duration = Duration::from_millis(500);
/// How long, when it has lost its place once already.
pub(super) const SECOND_TURN: Duration = Duration::from_secs(10);
/// Destinations that are known to have given way; beyond these, hosts get their second turn at once.
pub const GAVE_WAY_MAX: usize = 10_000;

/// All connections of a virtual server.
#[derive(Debug)]
pub(super) struct Crowd {
    /// How many destinations wait for a place.
    waiting: watch::Sender<usize>,
    /// Destinations that gave way and have not had their second turn.
    gave_way: Mutex<HashSet<Box<str>>>,
    /// Second turns under way.
    patient: AtomicUsize,
}

impl Default for Crowd {
    fn default() -> Crowd {
        Crowd { waiting: watch::Sender::new(0), gave_way: Mutex::default(), patient: AtomicUsize::new(0) }
    }
}

impl Crowd {
    /// So many destinations wait for a place, as all are taken; 0: there are places.
    pub(super) fn note(&self, waiting: usize) {
        self.waiting.send_if_modified(|known| std::mem::replace(known, waiting) != waiting);
    }

    /// A connection to this destination begins, one of at most `places`.
    pub(super) fn turn<'a>(&'a self, destination: &'a str, places: u32) -> Turn<'a> {
        let second_turns_max = (places as usize / 2).max(1);
        let mut gave_way = self.gave_way.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever counts holds the lock; whoever ends may be late, and then there is one second turn less for a moment.
        let has_room = self.patient.load(Ordering::Relaxed) < second_turns_max;
        let is_known = gave_way.contains(destination);
        let is_first = !has_room || !is_known && gave_way.len() < GAVE_WAY_MAX;
        if !is_first {
            gave_way.remove(destination);
            self.patient.fetch_add(1, Ordering::Relaxed);
        }
        let is_counted = AtomicBool::new(!is_first);
        Turn { crowd: self, destination, is_first, is_known, is_counted, given: AtomicBool::new(false) }
    }

    /// Returns when somebody waits for a place and nobody else has given him one.
    async fn wanted(&self) {
        let mut waiting = self.waiting.subscribe();
        loop {
            // The sender lives as long as we do.
            let _ = waiting.wait_for(|waiting| *waiting > 0).await;
            let took_one = self.waiting.send_if_modified(|waiting| {
                let wanted = *waiting > 0;
                *waiting = waiting.saturating_sub(1);
                wanted
            });
            if took_one {
                return;
            }
        }
    }
}

/// One connection, until its host has greeted.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    crowd: &'a Crowd,
    destination: &'a str,
    is_first: bool,
    /// It has given way before.
    is_known: bool,
    /// It is one of the second turns under way.
    is_counted: AtomicBool,
    given: AtomicBool,
}

impl Turn<'_> {
    /// What the host does; `None`: it has done nothing, and the place is another's now.
    pub(super) async fn unless_wanted<T>(&self, done: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
        let until = Instant::now() + self.patience();
        let lost = async {
            tokio::time::sleep_until(until).await;
            self.crowd.wanted().await;
        };
        tokio::select! {
            biased;
            done = done => Some(done),
            () = lost => {
                if self.is_first {
                    let mut gave_way = self.crowd.gave_way.lock().unwrap_or_else(PoisonError::into_inner);
                    // Beyond the bound, the next turn is a second one at once, if there is room for one.
                    if gave_way.len() < GAVE_WAY_MAX {
                        gave_way.insert(self.destination.into());
                    }
                    self.given.store(true, Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// The host has said something: from now on nobody wants its place, and its next turn is a first one.
    pub(super) fn answered(&self) {
        if self.is_first && self.is_known {
            let mut gave_way = self.crowd.gave_way.lock().unwrap_or_else(PoisonError::into_inner);
            gave_way.remove(self.destination);
        }
        self.uncount();
    }

    fn uncount(&self) {
        if self.is_counted.swap(false, Ordering::Relaxed) {
            self.crowd.patient.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How long the host may do nothing while others wait.
    pub(super) fn patience(&self) -> Duration {
        if self.is_first { FIRST_TURN } else { SECOND_TURN }
    }

    /// The place was given away at the first turn: the host is not to blame, and its mail has not been tried.
    pub(super) fn is_given(&self) -> bool {
        self.given.load(Ordering::Relaxed)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.uncount();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::pin::pin;

    const PLACES: u32 = 100;

    async fn lost(turn: &Turn<'_>) -> Duration {
        let began = Instant::now();
        assert_eq!(turn.unless_wanted(pin!(pending::<()>())).await, None);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_hurried_while_there_are_places() {
        let crowd = Crowd::default();
        let turn = crowd.turn("a", PLACES);
        let hour = Duration::from_secs(3_600);
        assert!(tokio::time::timeout(hour, lost(&turn)).await.is_err());
        assert!(!turn.is_given());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_turn_is_short_and_the_second_is_long() {
        let crowd = Crowd::default();
        crowd.note(2);
        let first = crowd.turn("a", PLACES);
        assert_eq!(lost(&first).await, FIRST_TURN);
        assert!(first.is_given());
        let second = crowd.turn("a", PLACES);
        assert_eq!(lost(&second).await, SECOND_TURN);
        assert!(!second.is_given(), "now it counts as a failure");
        crowd.note(1);
        assert_eq!(lost(&crowd.turn("a", PLACES)).await, FIRST_TURN, "the next attempt begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_places_are_for_second_turns() {
        let crowd = Crowd::default();
        for name in ["a", "b", "c"] {
            crowd.note(1);
            lost(&crowd.turn(name, 4)).await;
        }
        let (a, b) = (crowd.turn("a", 4), crowd.turn("b", 4));
        assert_eq!([a.patience(), b.patience()], [SECOND_TURN; 2]);
        crowd.note(1);
        let c = crowd.turn("c", 4);
        assert_eq!(lost(&c).await, FIRST_TURN, "a short one again");
        assert!(c.is_given(), "and it is not to blame");
        a.answered();
        assert_eq!(crowd.turn("c", 4).patience(), SECOND_TURN, "its mail may take as long as it takes");
        drop((a, b));
        assert_eq!(crowd.patient.load(Ordering::Relaxed), 0);
        // Who answers in a first turn is known no more.
        crowd.note(1);
        lost(&crowd.turn("d", 0)).await;
        let _patient = (crowd.turn("d", 2), crowd.turn("e", 2));
        crowd.note(1);
        lost(&crowd.turn("e", 2)).await;
        crowd.turn("e", 2).answered();
        assert!(crowd.gave_way.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_give_way_as_wait() {
        let crowd = Crowd::default();
        let turns = ["a", "b", "c"].map(|name| crowd.turn(name, PLACES));
        crowd.note(2);
        let all = async { futures_util::future::join_all(turns.iter().map(lost)).await };
        assert!(tokio::time::timeout(Duration::from_secs(60), all).await.is_err());
        assert_eq!(turns.iter().filter(|turn| turn.is_given()).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_answers_keeps_his_place() {
        let crowd = Crowd::default();
        crowd.note(1);
        let turn = crowd.turn("a", PLACES);
        let answer = async {
            tokio::time::sleep(FIRST_TURN / 2).await;
            7
        };
        assert_eq!(turn.unless_wanted(pin!(answer)).await, Some(7));
        assert!(!turn.is_given());
    }

    #[tokio::test]
    async fn no_more_is_kept_in_mind_than_the_bound() {
        let crowd = Crowd::default();
        crowd.gave_way.lock().unwrap().extend((0..GAVE_WAY_MAX).map(|n| n.to_string().into_boxed_str()));
        assert_eq!(crowd.turn("late", PLACES).patience(), SECOND_TURN);
        assert_eq!(crowd.turn("7", PLACES).patience(), SECOND_TURN);
        assert_eq!(crowd.turn("late", PLACES).patience(), FIRST_TURN, "one has had its second turn");
    }
}
