//! Signals of PID 1 as a file descriptor. Wraps sigprocmask(2), signalfd(2).

use std::{
    io::{self, Read},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, FromRawFd},
};

/// The signals that init acts on; all others keep their (for PID 1: ignored) disposition.
const HANDLED: &[i32] =
    &[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP];

/// Non-blocking descriptor that tells which signals came.
pub struct Signals(std::fs::File);

impl Signals {
    /// Blocks the signals and opens the descriptor. `sandbox::spawn` gives children an empty mask.
    pub fn open() -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set before it is read; both calls get a valid pointer
        // to it.
        let fd = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in HANDLED {
                libc::sigaddset(set.as_mut_ptr(), *signal);
            }
            libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
            libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and nobody else has it.
        Ok(Self(unsafe { std::fs::File::from_raw_fd(fd) }))
    }

    /// The next signal's number, if one is pending.
    pub fn next(&mut self) -> Option<i32> {
        const RECORD: usize = size_of::<libc::signalfd_siginfo>();
        let mut record = [0; RECORD];
        match self.0.read(&mut record) {
            Ok(RECORD) => {
                Some(u32::from_ne_bytes([record[0], record[1], record[2], record[3]]) as i32)
            }
            _ => None,
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// SIGKILL to every process but this one and the kernel's.
pub fn kill_all() {
    // SAFETY: no memory is involved; PID 1 is not reached by kill(-1).
    unsafe { libc::kill(-1, libc::SIGKILL) };
}
