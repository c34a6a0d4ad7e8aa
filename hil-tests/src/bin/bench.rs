//! `cargo xtask bench app|boot|memory|delta|install`: figures. The other two words are steps of
//! `bench delta`, which starts itself with them to measure them.

use hil::bench;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["app"] => bench::app::run(),
        ["boot"] => bench::boot::run(),
        ["memory"] => bench::memory::run(),
        ["delta"] => bench::delta::run(),
        ["install"] => bench::install::run(),
        ["delta-make", old, new, to] => {
            bench::delta::ours::make(Path::new(old), Path::new(new), Path::new(to))
        }
        ["delta-apply", old, coded, to] => {
            bench::delta::ours::apply(Path::new(old), Path::new(coded), Path::new(to))
        }
        _ => {
            eprintln!("usage: bench app|boot|memory|delta|install");
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
