//! Attempts by system calls that take more than constants.

use std::{
    fs::File,
    io::{self, Error},
    os::fd::AsRawFd,
};

/// Highest process id that is tried.
const PIDS: i32 = 4000;
/// More open files than an app may have.
const MANY_FILES: libc::rlim_t = 1 << 20;

fn outcome(result: impl Into<i64>) -> io::Result<()> {
    if result.into() >= 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Who this is.
pub fn effective_user() -> u32 {
    // SAFETY: geteuid takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

/// Gives a file more blocks, without writing them.
pub fn allocate(file: &File, at: i64, length: i64) -> io::Result<()> {
    // SAFETY: the descriptor is open; the rest are numbers.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), at, length) } {
        0 => Ok(()),
        number => Err(Error::from_raw_os_error(number)),
    }
}

/// All of them, made.
pub fn all() -> Vec<(&'static str, io::Result<()>)> {
    // More fields in some C libraries than in others.
    let mut scheduling = zeroed();
    scheduling.sched_priority = 50;
    let files = libc::rlimit { rlim_cur: MANY_FILES, rlim_max: MANY_FILES };
    // SAFETY: arguments are constants, or point at values of the right type that outlive the call.
    let (realtime, nice, limit, raw) = unsafe {
        (
            libc::sched_setscheduler(0, libc::SCHED_FIFO, &scheduling),
            libc::setpriority(libc::PRIO_PROCESS, 0, -20),
            libc::setrlimit(libc::RLIMIT_NOFILE, &files),
            libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        )
    };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let foreign = (2..PIDS).filter(|pid| *pid != own);
    // SAFETY: signal 0 is sent to nobody; the kernel only says whether it could be.
    let reached = foreign.filter(|pid| unsafe { libc::kill(*pid, 0) } == 0).count();
    let signals = if reached == 0 { Err(Error::from_raw_os_error(libc::ESRCH)) } else { Ok(()) };
    vec![
        ("real-time scheduling", outcome(realtime)),
        ("a higher priority", outcome(nice)),
        ("more files than the limit", outcome(limit)),
        ("raw socket", outcome(raw)),
        ("signals to other processes", signals),
    ]
}

fn zeroed() -> libc::sched_param {
    // SAFETY: a struct of numbers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}
