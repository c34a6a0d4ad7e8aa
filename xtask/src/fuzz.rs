//! `cargo xtask fuzz`: the targets of `fuzz/` with coverage, by libFuzzer, on the pinned toolchain.
//!
//! The programs are built with the compiler's coverage pass by plain `cargo build`, the flags being
//! those of `cargo fuzz build --sanitizer none`: nothing is installed, and nothing of it is
//! unstable. `cargo fuzz run --sanitizer none --features libfuzzer TARGET` does the same for those
//! who have it. Without the address sanitizer: the parsers are safe Rust, in which a read out of
//! bounds is a panic; libzstd, the only C behind them, has fuzzers of its own.
//!
//! What continuous integration runs is bounded by a number of runs from a fixed seed, so that the
//! same work tree gives the same result on any machine; who looks for more gives `--seconds`. A
//! crash leaves its input in `fuzz/crashes/TARGET`, where `fuzz/tests/replay.rs` finds it.

use crate::error::Error;
use crate::process;
use crate::tree;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs of each target in continuous integration, from [`SEED`].
const RUNS: &str = "-runs=10000";
const SEED: &str = "-seed=1";
/// Seconds for one input: only one that hangs takes as long on any machine.
const HANGS: &str = "-timeout=120";
/// Longest input in bytes: two copies of the boot environment, and the longest of what is below.
const LENGTH: &str = "-max_len=40960";
/// Memory of a target above which an input is kept as a crash, in MiB.
const MEMORY: &str = "-rss_limit_mb=1024";
/// Instrumentation, as cargo-fuzz has it.
const FLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
                     -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares \
                     -Cllvm-args=-simplifycfg-branch-fold-threshold=0";
/// Where everything of them is built, in the target folder.
pub const FOLDER: &str = "fuzz";
/// Where the programs of the targets are.
const TARGETS: &str = "fuzz/fuzz_targets";
const USAGE: &str = "usage: cargo xtask fuzz [--seconds N | --merge] [TARGET]";

/// How a target is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort<'a> {
    /// The runs of continuous integration.
    Bounded,
    /// For so many seconds, going on from what was found before.
    Seconds(&'a str),
    /// Takes into the corpus what earlier runs found and what reaches more than it.
    Merge,
}

/// Builds all targets, and runs those that are asked for.
pub fn run(options: &[&str]) -> Result<(), Error> {
    let (effort, only) = parse(options)?;
    let targets: Vec<String> = tree::programs(TARGETS)?
        .into_iter()
        .filter(|name| only.is_none_or(|only| only == name))
        .collect();
    if targets.is_empty() {
        return Err(Error::Usage(format!("no such target: {}\n{USAGE}", only.unwrap_or(""))));
    }
    let programs = build()?;
    let mut failed = Vec::new();
    for target in targets {
        if fuzz(&programs, &target, effort).is_err() {
            failed.push(target);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::Checks(failed)) }
}

/// This program with the bounded runs of all targets, as a job among the tests.
pub fn bounded() -> Result<Command, Error> {
    let failed = |cause| Error::File { what: "find this program".into(), cause };
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("fuzz");
    Ok(command)
}

fn parse<'a>(options: &[&'a str]) -> Result<(Effort<'a>, Option<&'a str>), Error> {
    let (effort, rest) = match options {
        ["--seconds", seconds, rest @ ..] if seconds.parse::<u32>().is_ok() => {
            (Effort::Seconds(seconds), rest)
        }
        ["--merge", rest @ ..] => (Effort::Merge, rest),
        rest => (Effort::Bounded, rest),
    };
    match rest {
        [] => Ok((effort, None)),
        [target] if !target.starts_with('-') => Ok((effort, Some(target))),
        _ => Err(Error::Usage(USAGE.into())),
    }
}

/// Builds all targets; the folder of the programs. With a target named, the flags are not those of
/// build scripts.
fn build() -> Result<PathBuf, Error> {
    let (host, folder) = (host()?, folder()?);
    let package = ["build", "--quiet", "--release", "--package", "fuzz", "--bins"];
    let features = ["--features", "libfuzzer", "--target", &host];
    let mut command = process::cargo(&[package.as_slice(), &features].concat());
    command.arg("--target-dir").arg(&folder).env("RUSTFLAGS", FLAGS);
    // Compiling takes longer than the runs of continuous integration do.
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    process::run(command)?;
    Ok(folder.join(host).join("release"))
}

/// What this machine's programs are compiled for.
pub fn host() -> Result<String, Error> {
    let version = process::read("rustc", &["--version", "--verbose"]).unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(String::from).ok_or_else(|| Error::Missing("rustc does not say its host".into()))
}

/// Where everything is kept that is not in the repository.
fn folder() -> Result<PathBuf, Error> {
    made(tree::target().join(FOLDER))
}

fn made(folder: PathBuf) -> Result<PathBuf, Error> {
    let failed = |cause| Error::File { what: format!("make {}", folder.display()), cause };
    fs::create_dir_all(&folder).map_err(failed)?;
    Ok(folder)
}

fn fuzz(programs: &Path, target: &str, effort: Effort<'_>) -> Result<(), Error> {
    let kept = tree::root().join("fuzz/corpus").join(target);
    let crashes = made(tree::root().join("fuzz/crashes").join(target))?;
    let found = match effort {
        Effort::Bounded => {
            // Of its own, and empty: what was found before must not decide.
            let found = folder()?.join("bounded").join(target);
            let _ = fs::remove_dir_all(&found);
            made(found)?
        }
        _ => made(folder()?.join("found").join(target))?,
    };
    let mut command = Command::new(programs.join(target));
    command.args([LENGTH, HANGS, MEMORY, "-print_final_stats=1", "-verbosity=0"]);
    command.arg(format!("-artifact_prefix={}/", crashes.display()));
    match effort {
        Effort::Bounded => command.args([RUNS, SEED]).args([&found, &kept]),
        Effort::Seconds(seconds) => {
            command.arg(format!("-max_total_time={seconds}")).args([&found, &kept])
        }
        Effort::Merge => command.arg("-set_cover_merge=1").args([&kept, &found]),
    };
    let result = process::run(command);
    // Only where there is something in it.
    let _ = fs::remove_dir(&crashes);
    let _ = fs::remove_dir(tree::root().join("fuzz/crashes"));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_or_refused() {
        let taken = |options: &[&'static str]| parse(options).expect("options that are known");
        assert_eq!(taken(&[]), (Effort::Bounded, None));
        assert_eq!(taken(&["delta"]), (Effort::Bounded, Some("delta")));
        assert_eq!(taken(&["--seconds", "60"]), (Effort::Seconds("60"), None));
        assert_eq!(taken(&["--seconds", "60", "delta"]), (Effort::Seconds("60"), Some("delta")));
        assert_eq!(taken(&["--merge", "delta"]), (Effort::Merge, Some("delta")));
        for refused in [&["--seconds", "long"], &["delta", "payload"], &["--merge", "--merge"]] {
            assert!(parse(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn every_target_is_found() {
        let targets = tree::programs(TARGETS).expect("the folder of the targets");
        assert!(targets.iter().any(|name| name == "release_manifest"), "{targets:?}");
    }
}
