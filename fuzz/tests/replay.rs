//! What fuzzing found worth keeping, replayed on every run of the tests: no toolchain of its own,
//! no libFuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target)
}

/// Files of a folder in the order of their names; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Names in a folder of the crate, without their ending.
fn names(kind: &str) -> BTreeSet<String> {
    let stem = |path: PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned());
    files(&folder(kind, "")).into_iter().filter_map(stem).collect()
}

#[test]
fn every_input_that_was_kept_passes() {
    for (target, run) in fuzz::TARGETS {
        for path in ["corpus", "crashes"].iter().flat_map(|kind| files(&folder(kind, target))) {
            // Named first, so that a panic says which.
            println!("{}", path.display());
            run(&fs::read(&path).expect("a file of the corpus"));
        }
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<String> =
        fuzz::TARGETS.iter().map(|(name, _)| (*name).to_string()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets, "`cargo run -p fuzz --example seeds` writes the seeds");
    let crashes = names("crashes");
    assert!(crashes.is_subset(&targets), "crashes of no target: {crashes:?}");
}
