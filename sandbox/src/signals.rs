//! sigaction(2), sigprocmask(2), sigwaitinfo(2): signals around a fork, and the reaper's waiting.

use crate::{
    exec,
    orphans::{self, Orphans},
};
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus},
};
use std::{mem::MaybeUninit, os::fd::RawFd};

/// Highest signal number on Linux.
const LAST_SIGNAL: i32 = 64;
/// Forwarded by the reaper to the program.
const FORWARDED: [i32; 7] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGABRT,
];

/// The calling thread's signal mask, put back when dropped.
pub(crate) struct Blocked(libc::sigset_t);

/// Blocks all signals in the calling thread, so that no handler of the caller runs in a new
/// process.
pub(crate) fn block_all() -> Blocked {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are written by the calls before they are read; the calls cannot fail with
    // valid pointers.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        Blocked(before.assume_init())
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled by `block_all`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut())
        };
    }
}

/// Lets all signals through.
pub(crate) fn unblock_all() {
    let mut none = MaybeUninit::uninit();
    // SAFETY: the set is written before it is read.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Gives every signal its default action. exec(2) resets handlers but keeps ignored signals ignored
/// (Rust programs ignore
/// SIGPIPE), and until then a handler of the caller must not run here. Straight to the kernel,
/// because C libraries keep
/// two signals to themselves, which may come ignored from whoever started the caller.
pub(crate) fn reset_all() {
    // `struct sigaction` of the kernel: default handler, no flags, no restorer, empty mask.
    let default = [0_u64; 4];
    for number in 1..=LAST_SIGNAL {
        // SAFETY: `default` is as large as the kernel's struct and lives throughout the call; KILL
        // and STOP fail harmlessly.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
}

/// The life of process 1 of an app's pid namespace: forwards signals to `program`, reaps
/// everything, and ends with the
/// program's exit code (128 + N after signal N). All signals are blocked: the kernel drops
/// unblocked signals to a process
/// 1 that has no handler for them, and keeps blocked ones for `sigwaitinfo`.
///
/// With `background`, a program that ended with success is followed by the one process that it left
/// behind, which then counts as the program; when it left several, the life ends with the last.
pub(crate) fn reap_until(program: Pid, mut background: Option<RawFd>) -> i32 {
    let mut main = Some(program);
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is written before it is used.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        for number in FORWARDED {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        set.assume_init()
    };
    let mut last = libc::EXIT_FAILURE;
    loop {
        while let Some(ended) = reap() {
            match ended {
                Ok((pid, status)) if Some(pid) == main => {
                    last = exit_code(status);
                    let Some(tell) = background.take().filter(|_| last == 0) else { return last };
                    match orphans::count() {
                        Orphans::None => return last,
                        Orphans::One(left) => main = Some(left),
                        Orphans::More => main = None,
                    }
                    exec::tell_and_close(tell);
                }
                Ok((_, status)) => last = exit_code(status),
                // No child is left, so the program cannot be either.
                Err(Errno::CHILD) => return last,
                Err(_) => break,
            }
        }
        // SAFETY: the set is initialised; no information beyond the number is asked for.
        let number = unsafe { libc::sigwaitinfo(&raw const set, std::ptr::null_mut()) };
        if FORWARDED.contains(&number)
            && let Some(signal) = Signal::from_named_raw(number)
        {
            match main {
                Some(program) => {
                    // It may just have ended: then there is nobody to tell.
                    let _ = rustix::process::kill_process(program, signal);
                }
                None => everybody(number),
            }
        }
    }
}

/// Signals every process of the namespace but this one.
fn everybody(number: i32) {
    // SAFETY: plain numbers.
    unsafe { libc::kill(-1, number) };
}

fn reap() -> Option<Result<(Pid, WaitStatus), Errno>> {
    rustix::process::wait(WaitOptions::NOHANG).transpose()
}

fn exit_code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or(status.terminating_signal().map(|s| 128 + s))
        .unwrap_or(libc::EXIT_FAILURE)
}
