//! The table of attempts: each call that an app must not get, made for real inside, with its
//! outcome.

use crate::scene::{Scene, executable, run};
use sandbox::Process;

/// Calls that do not exist for an app; everything else in the tool's list must be `EPERM`.
const ABSENT: [&str; 2] = ["clone3", "newer-than-the-profile"];
/// Setting an id to what it is not, or dropping groups, reaches the kernel's own check.
const EXPECTED_ATTEMPTS: usize = 50;

#[test]
fn every_attempt_is_refused() {
    let scene = Scene::new();
    let mut confinement = scene.app_with_programs();
    confinement.mounts.push(executable(env!("CARGO_BIN_EXE_sandbox-attempt"), "/bin/attempt"));
    let (text, code) = run(&confinement, Process::new("/bin/attempt")).unwrap();
    assert_eq!(code, 0, "{text}");
    assert!(text.lines().count() >= EXPECTED_ATTEMPTS, "the tool made too few attempts:\n{text}");
    let wrong: Vec<&str> = text
        .lines()
        .filter(|line| {
            let (name, result) = line.split_once(' ').unwrap();
            result != if ABSENT.contains(&name) { "ENOSYS" } else { "EPERM" }
        })
        .collect();
    assert!(wrong.is_empty(), "not refused, or otherwise than by the filter: {wrong:#?}");
}
