//! Programs that try something a number of times, at places that a seed decides.

use crate::Result;
use std::fmt::Debug;
use std::process::ExitCode;
use std::str::FromStr;

/// `PROGRAM --COUNT N [--seed S]`: runs `run` with both, and says what came of it.
pub fn main<N: FromStr, R: Debug>(
    program: &str,
    count: &str,
    run: impl FnOnce(N, u64) -> Result<R>,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| *argument == format!("--{name}"))?;
        arguments.get(at + 1)
    };
    let times = value(count).map(|text| text.parse());
    let seed = value("seed").map_or(Ok(1), |text| text.parse());
    let (Some(Ok(times)), Ok(seed)) = (times, seed) else {
        eprintln!("usage: {program} --{count} N [--seed S]");
        return ExitCode::from(2);
    };
    match run(times, seed) {
        Ok(report) => {
            println!("seed {seed}: {report:?}, nothing lost");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
