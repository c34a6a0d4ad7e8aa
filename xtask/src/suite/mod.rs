//! `cargo xtask test`: every test. Everything is built first; then the test programs run, a few at
//! a time, since many of them wait more than they work. The stories of `hil-tests`, each a process
//! of its own, begin as soon as the images that they boot are built.
//!
//! What a test program printed is shown when it failed, and kept in `target/test-logs` always.

mod pool;
mod programs;
mod tally;

use crate::error::Error;
use crate::process::{self, say};
use crate::{fuzz, setup, tree};
use pool::{Job, Kind};
use programs::Program;

/// Package of the stories.
const STORIES: &str = "hil-tests";
/// Its program that builds what they boot.
const IMAGES: &str = "fixtures";
/// Files of stories that begin first: theirs are the longest, and one that ran alone at the end
/// would leave a core idle.
const FIRST: &[&str] = &["updates", "watchdog"];
/// Tells the tests that every program for this machine was just built
/// (`image-builder/src/binaries.rs`).
const BUILT: &str = "HOLDFAST_BUILT";

/// Runs every test, or only the named files of `hil-tests`.
pub fn run(names: &[&str]) -> Result<(), Error> {
    setup::everything()?;
    let known = tree::programs(&format!("{STORIES}/tests"))?;
    if let Some(name) = names.iter().find(|name| !known.iter().any(|k| k == *name)) {
        let known = known.join(", ");
        return Err(Error::Usage(format!("no boot tests are called {name}; there are: {known}")));
    }
    let (images, mut programs) = programs::build(names, STORIES, IMAGES)?;
    programs.sort_by_key(|program| order(&program.name));
    let mut jobs = vec![Job::new("images for the stories", Kind::Images, images.command())];
    if names.is_empty() {
        // Long, and most of it is compiling: at the end it would run alone.
        jobs.push(Job::new("fuzz targets", Kind::Plain, fuzz::bounded()?));
    }
    for program in programs {
        jobs.extend(program_jobs(&program)?);
    }
    if names.is_empty() {
        jobs.iter_mut().for_each(|job| job.environment(BUILT));
        let examples = process::cargo(&["test", "--workspace", "--doc"]);
        jobs.push(Job::new("examples in the documentation", Kind::Plain, examples));
    }
    pool::run(jobs)?.close()
}

/// The rank of a program's stories; programs of the same rank stay in cargo's order.
fn order(name: &str) -> usize {
    let story = name.strip_prefix(STORIES).and_then(|rest| rest.strip_prefix('/'));
    FIRST.iter().position(|first| Some(*first) == story).unwrap_or(FIRST.len())
}

/// A program is one job; one of stories is one for each story, since a story is long.
fn program_jobs(program: &Program) -> Result<Vec<Job>, Error> {
    if !program.is_story() {
        return Ok(vec![Job::new(&program.name, Kind::Plain, program.command())]);
    }
    let story = |name: String| {
        let mut command = program.command();
        command.args([&name, "--exact"]);
        Job::new(&format!("{} {name}", program.name), Kind::Story, command)
    };
    Ok(program.tests()?.into_iter().map(story).collect())
}

/// A line of progress, as [`say`], that names its job.
fn tell(job: &str, text: &str) {
    say(&format!("test: {job}: {text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_stories_begin_first() {
        let mut names = ["fleet", "hil-tests/apps", "hil-tests/watchdog", "hil-tests/updates"];
        names.sort_by_key(|name| order(name));
        assert_eq!(names[..2], ["hil-tests/updates", "hil-tests/watchdog"]);
        assert_eq!(names[2..], ["fleet", "hil-tests/apps"]);
    }

    #[test]
    fn what_begins_first_exists() {
        let known = tree::programs(&format!("{STORIES}/tests")).expect("the stories");
        for first in FIRST {
            assert!(known.iter().any(|name| name == first), "{first}: no file of stories");
        }
    }
}
