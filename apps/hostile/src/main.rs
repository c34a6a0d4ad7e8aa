//! A hostile app, harmless where it is contained. `hostile tries` makes every attempt to get out
//! once and prints what came of it, a line each: `try: NAME refused (…)` or `GOT THROUGH`. The
//! other words take more than a share: `bomb` processes, `hog` memory, `filler` the disk, `flood`
//! the log.
//!
//! Outside of a sandbox some of this would do harm, so that it does nothing there.

mod abuse;
mod attempts;
mod sys_attempts;
#[path = "../../../sandbox/src/bin/attempt/syscalls.rs"]
mod syscalls;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    if !is_confined() {
        eprintln!("not confined; refusing to try");
        return ExitCode::FAILURE;
    }
    match env::args().nth(1).as_deref() {
        Some("tries") => attempts::all().iter().for_each(|line| println!("try: {line}")),
        Some("whoami") => println!("{}", sys_attempts::effective_user()),
        Some("wait") => abuse::wait(),
        Some("bomb") => abuse::bomb(),
        Some("hog") => abuse::hog(),
        Some("filler") => abuse::filler(),
        Some("flood") => abuse::flood(),
        _ => return ExitCode::FAILURE,
    }
    println!("done");
    ExitCode::SUCCESS
}

/// A filter of system calls is in force.
fn is_confined() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line == "Seccomp:\t2")
}
