//! `cargo xtask ci`: what continuous integration runs, and a person before a commit. Cheap checks
//! come first; a failed one does not hide the others.

use crate::error::Error;
use crate::process::{self, say};
use crate::{compiled::Compiled, deny, setup, suite, tidy};
use std::time::{Duration, Instant};

/// A named check.
type Check = (&'static str, fn() -> Result<(), Error>);

const CHECKS: &[Check] = &[
    ("format", || process::run(process::cargo(&["fmt", "--all", "--check"]))),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("dependencies", deny::check),
    ("tests", || suite::run(&[])),
];

/// What only spares time, and fails nothing.
fn spare(what: fn(&Compiled) -> Result<(), Error>) {
    if let Err(error) = Compiled::of_work_tree().and_then(|compiled| what(&compiled)) {
        say(&format!("ci: compiled crates are not shared with other clones: {error}"));
    }
}

/// A check's end.
struct Ended {
    name: &'static str,
    ok: bool,
    took: Duration,
    /// Processor time: with the time it took, it tells a slow machine from much work.
    worked: Duration,
}

/// Runs every check, and fails when one did.
pub fn run() -> Result<(), Error> {
    let mut ended = vec![timed("setup", setup::everything)];
    // Without what it provides, every check would fail for this one reason.
    if ended[0].ok {
        spare(Compiled::take);
        ended.extend(CHECKS.iter().map(|(name, check)| timed(name, *check)));
    }
    say("ci: summary");
    for Ended { name, ok, took, worked } in &ended {
        let word = if *ok { "ok" } else { "FAILED" };
        let (took, worked) = (process::clock(*took), process::clock(*worked));
        println!("    {name:14} {word:6} in {took}, {worked} of processor time");
    }
    let failed: Vec<_> = ended.iter().filter(|e| !e.ok).map(|e| e.name.to_string()).collect();
    if !failed.is_empty() {
        return Err(Error::Checks(failed));
    }
    spare(Compiled::keep);
    Ok(())
}

fn timed(name: &'static str, check: fn() -> Result<(), Error>) -> Ended {
    say(&format!("ci: {name}"));
    let worked = || process::processor_time().unwrap_or_default();
    let (begun, before) = (Instant::now(), worked());
    let result = check();
    if let Err(error) = &result {
        say(&format!("ci: {name} FAILED: {error}"));
    }
    Ended { name, ok: result.is_ok(), took: begun.elapsed(), worked: worked() - before }
}

fn clippy() -> Result<(), Error> {
    process::run(process::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}
