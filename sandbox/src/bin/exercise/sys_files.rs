//! What is open: reading, writing, descriptors.

use crate::fixtures::{Exercise, directory, file, leak, ok, ok_or, pipe};
use std::ptr::{null, null_mut};

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

/// A `struct iovec` of three bytes that are never freed.
fn bytes() -> [usize; 2] {
    [Box::leak(Box::new([0_u8; 3])).as_mut_ptr() as usize, 3]
}

/// A pipe with three bytes in it, and one without.
fn pipes() -> (i32, i32) {
    let ((reader, writer), (other, empty)) = (pipe(), pipe());
    leak(writer);
    leak(other);
    (leak(reader), leak(empty))
}

pub const ALL: &[Exercise] = &[
    ("read", || ok(call!(SYS_read, leak(file("read")), [0_u8; 3].as_mut_ptr(), 3_usize))),
    ("write", || ok(call!(SYS_write, leak(file("write")), c"abc".as_ptr(), 3_usize))),
    ("readv", || ok(call!(SYS_readv, leak(file("readv")), bytes().as_ptr(), 1))),
    ("writev", || ok(call!(SYS_writev, leak(file("writev")), bytes().as_ptr(), 1))),
    ("pread64", || {
        ok(call!(SYS_pread64, leak(file("pread64")), [0_u8; 3].as_mut_ptr(), 3_usize, 0))
    }),
    ("pwrite64", || ok(call!(SYS_pwrite64, leak(file("pwrite64")), c"abc".as_ptr(), 3_usize, 0))),
    ("preadv", || ok(call!(SYS_preadv, leak(file("preadv")), bytes().as_ptr(), 1, 0, 0))),
    ("pwritev", || ok(call!(SYS_pwritev, leak(file("pwritev")), bytes().as_ptr(), 1, 0, 0))),
    ("preadv2", || ok(call!(SYS_preadv2, leak(file("preadv2")), bytes().as_ptr(), 1, 0, 0, 0))),
    ("pwritev2", || ok(call!(SYS_pwritev2, leak(file("pwritev2")), bytes().as_ptr(), 1, 0, 0, 0))),
    ("lseek", || ok(call!(SYS_lseek, leak(file("lseek")), 0, libc::SEEK_END))),
    ("sendfile", || {
        let (from, to) = (leak(file("sendfile")), leak(file("sendfile-to")));
        ok(call!(SYS_sendfile, to, from, 0, 10_usize))
    }),
    ("splice", || {
        let (from, to) = pipes();
        ok(call!(SYS_splice, from, 0, to, 0, 3_usize, 0))
    }),
    ("tee", || {
        let (from, to) = pipes();
        ok(call!(SYS_tee, from, to, 3_usize, 0))
    }),
    ("copy_file_range", || {
        let (from, to) = (leak(file("copy")), leak(file("copy-to")));
        ok(call!(SYS_copy_file_range, from, [0_u64].as_mut_ptr(), to, 0, 10_usize, 0))
    }),
    ("fadvise64", || ok(call!(SYS_fadvise64, leak(file("fadvise64")), 0, 0, 0))),
    ("sync_file_range", || ok(call!(SYS_sync_file_range, leak(file("sync_file_range")), 0, 0, 0))),
    ("fsync", || ok(call!(SYS_fsync, leak(file("fsync"))))),
    ("fdatasync", || ok(call!(SYS_fdatasync, leak(file("fdatasync"))))),
    ("syncfs", || ok(call!(SYS_syncfs, leak(file("syncfs"))))),
    ("sync", || ok(call!(SYS_sync))),
    ("fallocate", || {
        ok_or(call!(SYS_fallocate, leak(file("fallocate")), 0, 0, 4096), libc::EOPNOTSUPP)
    }),
    ("ftruncate", || ok(call!(SYS_ftruncate, leak(file("ftruncate")), 1))),
    ("close", || ok(call!(SYS_close, leak(file("close"))))),
    ("close_range", || ok(call!(SYS_close_range, 1000, 2000, 0))),
    ("dup", || ok(call!(SYS_dup, 0))),
    ("dup3", || ok(call!(SYS_dup3, 0, 100, 0))),
    ("fcntl", || ok(call!(SYS_fcntl, 0, libc::F_GETFL))),
    ("flock", || ok(call!(SYS_flock, leak(file("flock")), libc::LOCK_EX))),
    ("pipe2", || ok(call!(SYS_pipe2, [0_i32; 2].as_mut_ptr(), 0))),
    ("fstat", || ok(call!(SYS_fstat, leak(file("fstat")), [0_u64; 24].as_mut_ptr()))),
    ("fstatfs", || ok(call!(SYS_fstatfs, leak(directory()), [0_u64; 16].as_mut_ptr()))),
    ("getdents64", || {
        ok(call!(SYS_getdents64, leak(directory()), [0_u64; 128].as_mut_ptr(), 1024))
    }),
    ("fchdir", || ok(call!(SYS_fchdir, leak(directory())))),
    ("fchmod", || ok(call!(SYS_fchmod, leak(file("fchmod")), 0o600))),
    ("fchown", || ok(call!(SYS_fchown, leak(file("fchown")), -1, -1))),
    ("inotify_init1", || ok(call!(SYS_inotify_init1, 0))),
    ("inotify_add_watch", || {
        let watcher = call!(SYS_inotify_init1, 0);
        ok(call!(SYS_inotify_add_watch, watcher, c".".as_ptr(), libc::IN_CREATE))
    }),
    ("inotify_rm_watch", || {
        let watcher = call!(SYS_inotify_init1, 0);
        let watch = call!(SYS_inotify_add_watch, watcher, c".".as_ptr(), libc::IN_CREATE);
        ok(call!(SYS_inotify_rm_watch, watcher, watch))
    }),
    ("fsetxattr", || {
        let (fd, name) = (leak(file("fsetxattr")), c"user.a".as_ptr());
        ok_or(call!(SYS_fsetxattr, fd, name, c"x".as_ptr(), 1_usize, 0), libc::EOPNOTSUPP)
    }),
    // None is set.
    ("fgetxattr", || {
        let (fd, name) = (leak(file("fgetxattr")), c"user.b".as_ptr());
        let result = call!(SYS_fgetxattr, fd, name, null_mut::<u8>(), 0_usize);
        no_attribute(result)
    }),
    ("flistxattr", || {
        let fd = leak(file("flistxattr"));
        ok_or(call!(SYS_flistxattr, fd, null_mut::<u8>(), 0_usize), libc::EOPNOTSUPP)
    }),
    ("fremovexattr", || {
        no_attribute(call!(SYS_fremovexattr, leak(file("fremovexattr")), c"user.b".as_ptr()))
    }),
    #[cfg(target_arch = "x86_64")]
    ("getdents", || ok(call!(SYS_getdents, leak(directory()), [0_u64; 128].as_mut_ptr(), 1024))),
    #[cfg(target_arch = "x86_64")]
    ("dup2", || ok(call!(SYS_dup2, 0, 100))),
    #[cfg(target_arch = "x86_64")]
    ("pipe", || ok(call!(SYS_pipe, [0_i32; 2].as_mut_ptr()))),
    #[cfg(target_arch = "x86_64")]
    ("inotify_init", || ok(call!(SYS_inotify_init))),
    ("utimensat", || ok(call!(SYS_utimensat, leak(file("utimensat")), null::<u8>(), 0, 0))),
];

/// The kernel's two answers where no attribute is.
pub fn no_attribute(result: i64) -> bool {
    let errno = std::io::Error::last_os_error().raw_os_error();
    result < 0 && matches!(errno, Some(libc::ENODATA | libc::EOPNOTSUPP))
}
