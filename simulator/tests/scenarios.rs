//! Every scenario without a fault, then with the power cut at every operation and at every
//! operation of the recovery.

use simulator::scenario::{ALL, Scenario};
use simulator::sweep::{Depth, sweep};

fn swept(name: &str) {
    let scenario = Scenario::named(name).expect("a scenario of that name");
    let swept = sweep(scenario, Depth::Double, None).unwrap_or_else(|error| panic!("{error}"));
    println!("{name}: {swept:?}");
    assert!(swept.operations > 20, "{name}: {swept:?} are too few operations to be all");
}

#[test]
fn every_scenario_ends_well_without_a_fault() {
    for scenario in ALL {
        scenario.run_clean().unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
    }
}

#[test]
fn a_delta_spares_every_whole_chunk_and_a_wrong_one_none() {
    let fetched = |name| {
        let run = Scenario::named(name).expect("a scenario of that name").run_clean();
        let world = run.unwrap_or_else(|error| panic!("{error}"));
        let ledger = &world.look().ledger;
        (ledger.patched, ledger.fetched)
    };
    assert_eq!(fetched("an update by a delta"), (1, 0));
    assert_eq!(fetched("a delta that is wrong costs nothing but time"), (1, 1));
}

#[test]
fn every_scenario_is_cut() {
    let tests = include_str!("scenarios.rs");
    for scenario in ALL {
        assert!(tests.contains(&format!("swept(\"{}\")", scenario.name)), "{}", scenario.name);
    }
}

// One test for each, so that they run beside each other.

#[test]
fn cuts_in_a_full_update() {
    swept("a full update");
}

#[test]
fn cuts_in_two_updates() {
    swept("two updates in a row");
}

#[test]
fn cuts_in_an_interrupted_download() {
    swept("a download that is interrupted and resumed");
}

#[test]
fn cuts_in_an_update_by_a_delta() {
    swept("an update by a delta");
}

#[test]
fn cuts_in_an_update_by_a_wrong_delta() {
    swept("a delta that is wrong costs nothing but time");
}

#[test]
fn cuts_in_a_rotation_of_keys() {
    swept("keys are rotated before a release that is signed with the new ones");
}

#[test]
fn cuts_in_a_rotation_during_a_download() {
    swept("keys are rotated in the middle of a download that the old ones signed");
}

#[test]
fn cuts_around_keys_that_lead_back() {
    swept("a chain of keys that leads back changes nothing");
}

#[test]
fn cuts_in_the_fall_back_of_a_sick_release() {
    swept("a release that is never healthy falls back");
}

#[test]
fn cuts_in_the_fall_back_to_the_second_release() {
    swept("a release that is never healthy falls back to the second one");
}

#[test]
fn cuts_in_the_fall_back_of_a_panic() {
    swept("a release that panics falls back");
}

#[test]
fn cuts_in_the_fall_back_of_a_hang() {
    swept("a release that hangs falls back");
}

#[test]
fn cuts_in_the_fall_back_of_what_does_not_load() {
    swept("a release that does not load falls back");
}

#[test]
fn cuts_in_a_roll_back() {
    swept("a person rolls back after success");
}

#[test]
fn cuts_in_a_roll_back_at_the_console() {
    swept("a person rolls back at the console");
}

#[test]
fn cuts_in_a_roll_back_that_is_taken_back() {
    swept("a release that was rolled back is installed again when told");
}

#[test]
fn cuts_while_a_newer_release_arrives_in_a_trial() {
    swept("a newer release arrives while a trial runs");
}

#[test]
fn cuts_while_a_newer_release_arrives_in_a_download() {
    swept("a newer release arrives in the middle of a download");
}

#[test]
fn cuts_while_a_newer_release_arrives_after_a_rollback() {
    swept("a newer release arrives after a rollback was staged");
}

#[test]
fn cuts_above_the_floor() {
    swept("nothing goes below the floor");
}

#[test]
fn cuts_around_bit_rot_in_the_target() {
    swept("the slot that is written rots before it is read back");
}

#[test]
fn cuts_around_bit_rot_in_the_kernel() {
    swept("a confirmed slot whose kernel rots is passed over and repaired");
}

#[test]
fn cuts_around_bit_rot_in_the_root() {
    swept("a confirmed slot whose root rots is passed over after three panics and repaired");
}

#[test]
fn cuts_around_bit_rot_in_the_root_above_the_floor() {
    swept("a slot below the floor stands in for a confirmed one whose root rots");
}

#[test]
fn cuts_around_a_reboot_while_a_root_is_repaired() {
    swept("a person reboots while a slot whose root rotted is repaired");
}
