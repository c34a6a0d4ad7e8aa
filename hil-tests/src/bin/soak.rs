//! `cargo xtask soak --cycles N [--seed S]`: power cuts without end, see [`hil::soak`].

use std::process::ExitCode;

const USAGE: &str = "usage: soak --cycles N [--seed S]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let cycles = value("--cycles").map(|text| text.parse());
    let seed = value("--seed").map_or(Ok(1), |text| text.parse());
    let (Some(Ok(cycles)), Ok(seed)) = (cycles, seed) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match hil::soak::run("soak", cycles, seed) {
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
