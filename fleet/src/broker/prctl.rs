//! `prctl(PR_SET_PDEATHSIG)` for a child: the broker must not outlive the server, however the
//! server ends.

use rustix::process::{Signal, set_parent_process_death_signal};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has the kernel end the child when the **thread** that spawns it ends: spawn from a thread that
/// lives as long as the child shall.
pub fn end_with_parent(command: &mut Command) -> &mut Command {
    // SAFETY: the closure runs between fork and exec; it makes one system call, allocates nothing
    // and takes no lock.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?)) }
}
