//! A hundred lives.

use sim::life::Life;

#[test]
fn a_hundred_lives_keep_every_promise() {
    let mut promised = 0;
    let mut cuts = 0;
    for seed in 1..=100 {
        let story = Life::new(seed, false).live();
        assert!(story.faults.is_empty(), "seed {seed}: {:#?}", story.faults);
        promised += story.promised;
        cuts += story.cuts;
    }
    assert!(promised > 3_000 && cuts > 100, "the lives are too quiet to prove anything: {promised} {cuts}");
}

#[test]
fn the_same_seed_is_the_same_life() {
    assert_eq!(Life::new(7, false).live(), Life::new(7, false).live());
}
