//! `holdfast`, the host tool: images, releases, keys, snaps, cards.

use clap::Parser;

fn main() -> std::process::ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

mod cli;
