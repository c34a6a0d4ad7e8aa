//! `cargo xtask ci`: what continuous integration runs, and a person before a commit. Cheap checks
//! come first; a failed one does not hide the others.

use crate::error::Error;
use crate::process::{self, say};
use crate::{deny, setup, suite, tidy};

/// A named check.
type Check = (&'static str, fn() -> Result<(), Error>);

const CHECKS: &[Check] = &[
    ("format", || process::run(process::cargo(&["fmt", "--all", "--check"]))),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("dependencies", deny::check),
    ("tests", || suite::run(&[])),
];

/// Runs every check, and fails when one did.
pub fn run() -> Result<(), Error> {
    setup::everything()?;
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        say(&format!("ci: {name}"));
        if let Err(error) = check() {
            say(&format!("ci: {name} FAILED: {error}"));
            failed.push((*name).to_string());
        }
    }
    say("ci: summary");
    for (name, _) in CHECKS {
        let word = if failed.iter().any(|f| f == name) { "FAILED" } else { "ok" };
        println!("    {name:14} {word}");
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::Checks(failed)) }
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
