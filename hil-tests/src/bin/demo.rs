//! `cargo xtask demo`: a gateway in QEMU with its fleet server beside it. With `--once` the demo
//! goes through an update and an app without a person, says what happened, and ends.
//!
//! Keys are made in `out/demo/keys` at the first run and kept; card and server begin anew each
//! time. Ctrl-C ends everything: no child outlives this process.

use hil::demo::Demo;
use std::process::ExitCode;

fn main() -> ExitCode {
    let once = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--once") => true,
        Some(other) => {
            eprintln!("unknown option {other}; the only one is --once");
            return ExitCode::FAILURE;
        }
    };
    let result = Demo::start().and_then(|demo| if once { demo.once() } else { demo.stay() });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
