//! A simulator that does not notice a broken updater is worth nothing: each of these bugs must be
//! caught, by one cut at each operation of a scenario.

use simulator::bug::Bug;
use simulator::scenario::Scenario;
use simulator::sweep::{Depth, sweep};
use updater::mutant::{self, Mutant};

fn sweep_of(scenario: &str, depth: Depth, bug: Option<Bug>) -> Result<(), String> {
    let scenario = Scenario::named(scenario).expect("a scenario of that name");
    sweep(scenario, depth, bug).map(drop)
}

/// Caught, and for this reason.
fn caught(what: &str, result: Result<(), String>, reason: &str) {
    match result {
        Ok(()) => panic!("{what} was not noticed"),
        Err(error) => assert!(error.contains(reason), "{what} was noticed as:\n{error}"),
    }
}

#[test]
fn every_bug_of_the_updater_is_caught() {
    let cases = [
        (
            Mutant::SkipsReadBack,
            "the slot that is written rots before it is read back",
            "a slot without a whole image is staged",
        ),
        // Not staged even so: the digest of the whole image is looked at too.
        (Mutant::SkipsDigest, "a full update", "every chunk is right, the whole is not"),
        // Nor so: the slot is read back, again and again.
        (
            Mutant::BelievesDeltas,
            "a delta that is wrong costs nothing but time",
            "the updater does not get on: slot read back: chunk",
        ),
        (
            Mutant::StagesBeforeNoting,
            "a release that is never healthy falls back",
            "a release that fell back is staged again untold",
        ),
        (
            Mutant::ForgetsFailures,
            "a release that panics falls back",
            "a release that fell back is staged again untold",
        ),
        (Mutant::IgnoresFloor, "nothing goes below the floor", "release 2 runs, the floor is 3"),
        (
            Mutant::TakesOlderKeys,
            "a chain of keys that leads back changes nothing",
            "the key set goes back from 3 to 2",
        ),
        (
            Mutant::KeepsTrialWhileWriting,
            "a newer release arrives after a rollback was staged",
            "a slot that is on trial is written",
        ),
    ];
    for (mutant, scenario, reason) in cases {
        let result = mutant::with(mutant, || sweep_of(scenario, Depth::Single, None));
        caught(&format!("{mutant:?}"), result, reason);
    }
}

#[test]
fn every_bug_of_the_world_around_it_is_caught() {
    let cases = [
        (Bug::SlotIsNotSynced, "a full update", "a slot that is not synced is staged"),
        (Bug::NoteIsNotSynced, "a release that is never healthy falls back", ""),
        (
            Bug::NoteIsNotSynced,
            "keys are rotated before a release that is signed with the new ones",
            "the key set goes back from 3 to 1",
        ),
        (Bug::NameIsNotSynced, "a release that panics falls back", "staged again untold"),
        (Bug::TrialIsNotCounted, "a release that panics falls back", "resets without end"),
        (
            Bug::PanicsAreNotCounted,
            "a confirmed slot whose root rots is passed over after three panics and repaired",
            "resets without end",
        ),
        (
            Bug::PanicsAreNotForgotten,
            "a person reboots while a slot whose root rotted is repaired",
            "a slot is passed over after 0 panics in a row",
        ),
        (
            Bug::BootsAreTakenForPanics,
            "a confirmed slot whose root rots is passed over after three panics and repaired",
            "a slot is passed over after 2 panics in a row",
        ),
        (
            Bug::EnvironmentIsOverwritten,
            "a release that is never healthy falls back to the second one",
            "release 1 runs, not 2",
        ),
        (
            Bug::ConfirmedBeforeHealthy,
            "a release that is never healthy falls back",
            "a slot is confirmed that is not whole and healthy",
        ),
    ];
    for (bug, scenario, reason) in cases {
        let result = sweep_of(scenario, Depth::Single, Some(bug));
        caught(&format!("{bug:?}"), result, reason);
    }
    // It takes more than one cut to use a counter up.
    let counted = sweep_of("a full update", Depth::Double, Some(Bug::ConfirmedSlotIsCounted));
    caught("a counter on the confirmed slot", counted, "does not come to rest");
}
