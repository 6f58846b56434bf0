//! A hundred lives.

use sim::life::Life;
use sim::limits::Strict;
use std::collections::BTreeSet;

#[test]
fn a_hundred_lives_keep_every_promise() {
    let mut promised = 0;
    let mut cuts = 0;
    let mut reached = BTreeSet::new();
    for seed in 1..=100 {
        let story = Life::new(seed, false).live();
        assert!(story.faults.is_empty(), "seed {seed}: {:#?}", story.faults);
        promised += story.promised;
        cuts += story.cuts;
        reached.extend(story.reached);
    }
    assert!(promised > 3_000 && cuts > 100, "the lives are too quiet to prove anything: {promised} {cuts}");
    // Who bears one less of a limit has complained: whoever sends one too many would be seen.
    assert_eq!(reached, BTreeSet::from(Strict::ALL));
}

#[test]
fn the_same_seed_is_the_same_life() {
    assert_eq!(Life::new(7, false).live(), Life::new(7, false).live());
}
