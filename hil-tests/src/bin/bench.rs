//! `cargo xtask bench boot|memory`: figures of booted images.

use hil::bench;
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("boot") => bench::boot::run(),
        Some("memory") => bench::memory::run(),
        _ => {
            eprintln!("usage: bench boot|memory");
            return ExitCode::FAILURE;
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
