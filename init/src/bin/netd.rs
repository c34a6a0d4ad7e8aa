//! netd: brings the network up and keeps it so. Everything is in the library; see [`init::net`].

use std::process::ExitCode;

fn main() -> ExitCode {
    match init::root::Root::from_arguments(std::env::args_os().skip(1)) {
        Ok(root) => init::net::daemon::run(&root),
        Err(usage) => {
            eprintln!("netd: {usage}");
            ExitCode::from(2)
        }
    }
}
