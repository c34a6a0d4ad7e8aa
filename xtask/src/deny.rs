//! `cargo deny`: licences, banned and duplicate crates, sources, advisories. The advisory database
//! lives on a host that not every network reaches: that is said loudly and fails nothing; an
//! advisory that is found does.

use crate::error::Error;
use crate::process::{self, say};

/// Checks that need no network.
const OFFLINE: &[&str] = &["bans", "licenses", "sources"];
/// What `cargo deny` prints when it cannot get the database.
const NO_DATABASE: &[&str] = &[
    "failed to fetch advisory database",
    "failed to acquire",
    "failed to clone",
    "failed to load advisory",
];

/// Runs all checks; installs `cargo-deny` first where it is missing.
pub fn check() -> Result<(), Error> {
    install()?;
    process::run(process::cargo(&[&["deny", "--log-level", "error", "check"], OFFLINE].concat()))?;
    advisories()
}

fn install() -> Result<(), Error> {
    if process::read("cargo-deny", &["--version"]).is_some() {
        return Ok(());
    }
    say("ci: about to build cargo-deny into cargo's bin folder (some minutes, once)");
    let mut command = process::cargo(&["install", "--locked", "cargo-deny"]);
    // It checks a few hundred crates: compiling it takes longer than all its runs.
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_LTO", "false");
    process::run(command)
}

fn advisories() -> Result<(), Error> {
    let command = process::cargo(&["deny", "check", "advisories"]);
    let line = process::line(&command);
    say(&line);
    let output = { command }
        .output()
        .map_err(|e| Error::Command { line: line.clone(), how: format!("did not start: {e}") })?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() {
        say("ci: no advisory against a dependency");
        return Ok(());
    }
    if NO_DATABASE.iter().any(|sign| text.contains(sign)) {
        notice(&text);
        return Ok(());
    }
    print!("{text}");
    Err(Error::Command { line, how: format!("ended: {}", output.status) })
}

fn notice(text: &str) {
    let cause = text.lines().find(|l| !l.trim().is_empty()).unwrap_or("no reason given");
    println!("**************************************************************************");
    println!("* NOTICE: advisories were NOT checked: the database could not be fetched.");
    println!("* {}", cause.trim());
    println!("* Run `cargo deny check advisories` where the network reaches it.");
    println!("**************************************************************************");
}
