//! Every story of apps without a fault, then with the power cut at every operation and at every
//! operation of the recovery; and bugs put in on purpose, each of which must be caught.

use app_runtime::mutant::{self, Mutant};
use simulator::apps::story::{ALL, Story};
use simulator::apps::sweep::sweep;

/// Cuts all stories whose number leaves this rest.
fn swept(rest: usize) {
    for story in ALL.iter().skip(rest).step_by(PARTS) {
        let swept = sweep(story, true).unwrap_or_else(|error| panic!("{error}"));
        println!("{}: {swept:?}", story.name);
        assert!(swept.operations > 10, "{}: too few operations to be all: {swept:?}", story.name);
        assert!(swept.undone > 0, "{}: never undone: {swept:?}", story.name);
        assert!(swept.done > 0 || story.fails.is_some(), "{}: never done", story.name);
    }
}

/// Tests that share the stories, so that they run beside each other.
const PARTS: usize = 3;

#[test]
fn every_story_of_apps_ends_well_without_a_fault() {
    for story in ALL {
        let ended = story.begin().and_then(|(machine, before)| story.finish(&machine, &before));
        ended.unwrap_or_else(|error| panic!("{}: {error}", story.name));
    }
}

#[test]
fn cuts_in_every_story_of_apps_first_part() {
    swept(0);
}

#[test]
fn cuts_in_every_story_of_apps_second_part() {
    swept(1);
}

#[test]
fn cuts_in_every_story_of_apps_third_part() {
    swept(2);
}

/// Caught, and for this reason.
#[test]
fn every_bug_of_changes_is_caught() {
    let refresh = "a third revision, for which the first goes";
    let failing = "a third revision that does not start";
    let cases = [
        (Mutant::CopyIsNotSynced, refresh, "is gone"),
        (Mutant::UndoDeletesTheOldData, failing, "data/a/2 is gone"),
        (Mutant::DeletesBeforeProof, failing, "not as before"),
        (Mutant::ForgetsWhatWasUnderWay, refresh, "neither as before nor as after"),
        (Mutant::StateIsNotSynced, refresh, "state.json"),
        (Mutant::SnapshotIsNotSynced, "data is saved", "something else"),
        (
            Mutant::DeletesBeforeStoring,
            "a third revision that starts but once",
            "neither as before nor as after",
        ),
        (
            Mutant::FailureLeavesThings,
            "a refresh whose copy of the data does not fit",
            "not as before",
        ),
        (Mutant::SweepsNothing, refresh, "something else"),
        (Mutant::SwapsWithoutSync, "data is restored", "something else"),
    ];
    for (mutant, story, reason) in cases {
        let story = Story::named(story).expect("a story of that name");
        match mutant::with(mutant, || sweep(story, false)) {
            Ok(swept) => panic!("{mutant:?} was not noticed in {}: {swept:?}", story.name),
            Err(error) => {
                println!("{mutant:?}: {}", error.lines().next().unwrap_or_default());
                assert!(error.contains(reason), "{mutant:?} was noticed as:\n{error}");
            }
        }
    }
}
