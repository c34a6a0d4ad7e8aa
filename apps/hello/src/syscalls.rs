//! syscall(2): what an app must not get, tried raw.

use std::{io, ptr};

fn outcome(result: libc::c_long) -> io::Result<()> {
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Each attempt with how it ended. Arguments are such that even a call that is let through changes
/// nothing.
pub fn forbidden() -> Vec<(&'static str, io::Result<()>)> {
    let null = ptr::null::<u8>();
    let tmp = c"/tmp".as_ptr();
    let bind = libc::MS_BIND;
    let block = libc::S_IFBLK | 0o600;
    // SAFETY: constants, null pointers and static strings; none of these calls writes to this
    // process's memory.
    unsafe {
        vec![
            ("mount", outcome(libc::syscall(libc::SYS_mount, tmp, tmp, null, bind, null))),
            ("unshare", outcome(libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER))),
            ("ptrace", outcome(libc::syscall(libc::SYS_ptrace, 16, 1, null, null))),
            ("bpf", outcome(libc::syscall(libc::SYS_bpf, 0, null, 0))),
            ("keyctl", outcome(libc::syscall(libc::SYS_keyctl, 0, 0))),
            ("settimeofday", outcome(libc::syscall(libc::SYS_settimeofday, null, null))),
            (
                "mknod",
                outcome(libc::syscall(
                    libc::SYS_mknodat,
                    libc::AT_FDCWD,
                    c"/tmp/b".as_ptr(),
                    block,
                    0x0100,
                )),
            ),
            ("setuid", outcome(libc::syscall(libc::SYS_setuid, 0))),
        ]
    }
}
