//! `simulator`: lives of devices by seed. `cargo xtask sim` runs it.

use simulator::chance::{self, Life};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "\
Usage: simulator [--seed N] [--minutes M]

  --seed N      one life, with everything that happens in it when it fails
  --minutes M   lives with seeds from N (or from the clock) on, for so long; default 1
";
/// Lives between two lines of progress.
const PROGRESS: u64 = 500;

fn main() -> ExitCode {
    match arguments() {
        Ok((seed, None)) => one(seed.unwrap_or_default()),
        Ok((seed, Some(minutes))) => many(seed.unwrap_or_else(from_the_clock), minutes),
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<(Option<u64>, Option<u64>), lexopt::Error> {
    use lexopt::prelude::*;
    let (mut seed, mut minutes) = (None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seed") => seed = Some(parser.value()?.parse()?),
            Long("minutes") => minutes = Some(parser.value()?.parse()?),
            Long("help") => {
                print!("{USAGE}");
                std::process::exit(0);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok((seed, if seed.is_none() { minutes.or(Some(1)) } else { minutes }))
}

fn from_the_clock() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() * 1_000_000)
}

fn one(seed: u64) -> ExitCode {
    match chance::live(seed) {
        Ok(life) => {
            println!("seed {seed}: {life:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("seed {seed}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn many(first: u64, minutes: u64) -> ExitCode {
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    let mut sum = Life::default();
    let mut seed = first;
    while Instant::now() < end {
        match chance::live(seed) {
            Ok(life) => {
                sum.cuts += life.cuts;
                sum.boots += life.boots;
                sum.operations += life.operations;
                sum.fetched += life.fetched;
            }
            Err(error) => {
                eprintln!("{error}\n\nseed {seed} fails; again: cargo xtask sim --seed {seed}");
                return ExitCode::FAILURE;
            }
        }
        seed += 1;
        if (seed - first).is_multiple_of(PROGRESS) {
            println!("{} lives, seeds {first} to {}: {sum:?}", seed - first, seed - 1);
        }
    }
    println!("{} lives, seeds {first} to {}, nothing lost: {sum:?}", seed - first, seed - 1);
    ExitCode::SUCCESS
}
