//! Seeded lives with many faults each: the same ones every time. `cargo xtask sim` lives others.

use simulator::chance::{Life, live};
use simulator::scenario::Scenario;

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

/// A gateway on a generator: what it reads through before it gets on must fit into a short life.
#[test]
fn an_update_ends_however_short_each_life_is() {
    let scenario = Scenario::named("a full update").expect("a scenario of that name");
    for life in [7, 8, 12] {
        let world = scenario.world(1);
        world.change().outside.life = Some(life);
        scenario.finish(&world).unwrap_or_else(|error| panic!("{life} steps a life: {error}"));
    }
}
