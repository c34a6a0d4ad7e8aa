//! Seeded lives with many faults each: the same ones every time. `cargo xtask sim` lives others.

use simulator::chance::{Life, live};

/// Lives; the seed is the number.
const LIVES: u64 = 400;

#[test]
fn no_life_ends_with_something_lost() {
    let mut sum = Life::default();
    for seed in 0..LIVES {
        let life = live(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        sum.cuts += life.cuts;
        sum.boots += life.boots;
        sum.operations += life.operations;
        sum.fetched += life.fetched;
    }
    println!("{LIVES} lives: {sum:?}");
    // The lives must go through what they are about.
    assert!(u64::from(sum.cuts) > LIVES && u64::from(sum.fetched) > 5 * LIVES, "{sum:?}");
}

#[test]
fn a_life_is_the_same_each_time() {
    assert_eq!(live(7), live(7));
}
