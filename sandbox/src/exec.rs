//! execve(2) and dup2(2), with everything they need made before the fork.

use rustix::io::Errno;
use std::{
    ffi::{CString, c_char},
    os::fd::{BorrowedFd, RawFd},
    ptr,
};

/// Program, arguments and environment as the kernel takes them.
pub(crate) struct Image {
    program: CString,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl Image {
    /// Keeps the strings and the two arrays of pointers to them.
    pub(crate) fn new(program: CString, args: Vec<CString>, env: Vec<CString>) -> Self {
        let pointers = |first: Option<&CString>, rest: &[CString]| -> Vec<*const c_char> {
            first.into_iter().chain(rest).map(|s| s.as_ptr()).chain([ptr::null()]).collect()
        };
        let (argv, envp) = (pointers(Some(&program), &args), pointers(None, &env));
        // The strings' heap buffers stay where they are when the vectors of them move.
        let strings = args.into_iter().chain(env).collect();
        Self { program, argv, envp, _strings: strings }
    }

    /// Becomes the program; returns only when that failed.
    pub(crate) fn execute(&self) -> Errno {
        // SAFETY: both arrays end with a null pointer and point into strings that `self` owns.
        unsafe { libc::execve(self.program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        last_errno()
    }
}

/// Makes the descriptors 0, 1, 2, … of `sources`, in order. Sources may be any numbers, the
/// targets' own among them:
/// all are moved out of the way first.
pub(crate) fn place_descriptors(sources: &mut [RawFd]) -> Result<(), Errno> {
    let count = sources.len() as RawFd;
    for source in sources.iter_mut() {
        // SAFETY: plain numbers; a bad one is an error.
        *source = check(unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, count) })?;
    }
    for (target, source) in (0..count).zip(sources.iter()) {
        // SAFETY: plain numbers; whatever `target` was is meant to be replaced. dup2 clears
        // CLOEXEC.
        check(unsafe { libc::dup2(*source, target) })?;
    }
    Ok(())
}

/// Marks every descriptor from `first` on to be closed by exec, whatever the caller had open.
pub(crate) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: plain numbers.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    check(result as i32).map(drop)
}

/// Closes everything but one; for the reaper and for the helper that holds a user namespace.
pub(crate) fn close_all_but(kept: Option<RawFd>) {
    let close = |first: u32, last: u32| {
        // SAFETY: plain numbers; nothing in this process uses another descriptor afterwards.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    };
    match kept.and_then(|fd| u32::try_from(fd).ok()) {
        None => close(0, u32::MAX),
        Some(fd) => {
            if fd > 0 {
                close(0, fd - 1);
            }
            close(fd + 1, u32::MAX);
        }
    }
}

/// A number of a descriptor that the plan keeps open.
pub(crate) fn borrow(number: &RawFd) -> BorrowedFd<'_> {
    // SAFETY: descriptors of a plan are open until the program is executed.
    unsafe { BorrowedFd::borrow_raw(*number) }
}

/// Writes one byte and closes.
pub(crate) fn tell_and_close(number: RawFd) {
    let byte = [1_u8];
    // SAFETY: `byte` lives throughout the call; the number is used nowhere afterwards.
    unsafe {
        libc::write(number, byte.as_ptr().cast(), 1);
        libc::close(number);
    }
}

fn check(result: i32) -> Result<i32, Errno> {
    if result < 0 { Err(last_errno()) } else { Ok(result) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
