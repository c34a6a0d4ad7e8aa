//! timed: sets the clock by SNTP and keeps it. Everything is in the library; see [`init::time`].

use std::process::ExitCode;

fn main() -> ExitCode {
    match init::root::Root::from_arguments(std::env::args_os().skip(1)) {
        Ok(root) => {
            init::time::daemon::run(&root);
            ExitCode::SUCCESS
        }
        Err(usage) => {
            eprintln!("timed: {usage}");
            ExitCode::from(2)
        }
    }
}
