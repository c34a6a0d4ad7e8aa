//! The file system by names.

use crate::{
    fixtures::{Exercise, file, ok, ok_or},
    sys_files::no_attribute,
};
use std::{
    ffi::{CStr, c_char},
    fs,
    os::unix::fs::symlink,
    ptr::null_mut,
};

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

const HERE: i32 = libc::AT_FDCWD;
const ATTRIBUTE: *const c_char = c"user.a".as_ptr();
const NO_ATTRIBUTE: *const c_char = c"user.b".as_ptr();
const READ: i32 = libc::O_RDONLY;

/// The name of a file of ten bytes.
fn some(name: &'static CStr) -> *const c_char {
    drop(file(name.to_str().expect("plain")));
    name.as_ptr()
}

/// A name that is not taken.
fn free(name: &'static CStr) -> *const c_char {
    let path = name.to_str().expect("plain");
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(path);
    name.as_ptr()
}

fn link(name: &'static CStr) -> *const c_char {
    let free = free(name);
    symlink("target", name.to_str().expect("plain")).expect("a link can be made");
    free
}

pub const ALL: &[Exercise] = &[
    ("openat", || ok(call!(SYS_openat, HERE, some(c"openat"), READ))),
    ("openat2", || ok(call!(SYS_openat2, HERE, some(c"openat2"), [0_u64; 3].as_ptr(), 24_usize))),
    ("faccessat", || ok(call!(SYS_faccessat, HERE, some(c"faccessat"), libc::R_OK))),
    ("faccessat2", || ok(call!(SYS_faccessat2, HERE, some(c"faccessat2"), libc::R_OK, 0))),
    ("newfstatat", || {
        ok(call!(SYS_newfstatat, HERE, some(c"newfstatat"), [0_u64; 24].as_mut_ptr(), 0))
    }),
    ("statx", || {
        ok(call!(SYS_statx, HERE, some(c"statx"), 0, libc::STATX_SIZE, [0_u64; 32].as_mut_ptr()))
    }),
    ("statfs", || ok(call!(SYS_statfs, c".".as_ptr(), [0_u64; 16].as_mut_ptr()))),
    ("readlinkat", || {
        ok(call!(SYS_readlinkat, HERE, link(c"readlinkat"), [0_u8; 64].as_mut_ptr(), 64_usize))
    }),
    ("getcwd", || ok(call!(SYS_getcwd, [0_u8; 4096].as_mut_ptr(), 4096_usize))),
    ("chdir", || ok(call!(SYS_chdir, c".".as_ptr()))),
    ("mkdirat", || ok(call!(SYS_mkdirat, HERE, free(c"mkdirat"), 0o700))),
    ("unlinkat", || ok(call!(SYS_unlinkat, HERE, some(c"unlinkat"), 0))),
    ("renameat", || ok(call!(SYS_renameat, HERE, some(c"ra"), HERE, c"ra-to".as_ptr()))),
    ("renameat2", || ok(call!(SYS_renameat2, HERE, some(c"r2"), HERE, c"r2-to".as_ptr(), 0))),
    ("linkat", || ok(call!(SYS_linkat, HERE, some(c"linkat"), HERE, free(c"linkat-to"), 0))),
    ("symlinkat", || ok(call!(SYS_symlinkat, c"x".as_ptr(), HERE, free(c"symlinkat")))),
    ("truncate", || ok(call!(SYS_truncate, some(c"truncate"), 1))),
    ("fchmodat", || ok(call!(SYS_fchmodat, HERE, some(c"fchmodat"), 0o600))),
    ("fchownat", || ok(call!(SYS_fchownat, HERE, some(c"fchownat"), -1, -1, 0))),
    ("umask", || ok(call!(SYS_umask, 0o22))),
    ("mknodat fifo", || ok(call!(SYS_mknodat, HERE, free(c"fifo"), libc::S_IFIFO | 0o600, 0))),
    ("mknodat file", || ok(call!(SYS_mknodat, HERE, free(c"plain"), libc::S_IFREG | 0o600, 0))),
    ("mknodat socket", || ok(call!(SYS_mknodat, HERE, free(c"socket"), libc::S_IFSOCK | 0o600, 0))),
    ("setxattr", || {
        let (path, value) = (some(c"setxattr"), c"x".as_ptr());
        ok_or(call!(SYS_setxattr, path, ATTRIBUTE, value, 1_usize, 0), libc::EOPNOTSUPP)
    }),
    ("lsetxattr", || {
        let (path, value) = (some(c"lsetxattr"), c"x".as_ptr());
        ok_or(call!(SYS_lsetxattr, path, ATTRIBUTE, value, 1_usize, 0), libc::EOPNOTSUPP)
    }),
    ("getxattr", || {
        no_attribute(call!(
            SYS_getxattr,
            some(c"getxattr"),
            NO_ATTRIBUTE,
            null_mut::<u8>(),
            0_usize
        ))
    }),
    ("lgetxattr", || {
        let path = some(c"lgetxattr");
        no_attribute(call!(SYS_lgetxattr, path, NO_ATTRIBUTE, null_mut::<u8>(), 0_usize))
    }),
    ("listxattr", || {
        let path = some(c"listxattr");
        ok_or(call!(SYS_listxattr, path, null_mut::<u8>(), 0_usize), libc::EOPNOTSUPP)
    }),
    ("llistxattr", || {
        let path = some(c"llistxattr");
        ok_or(call!(SYS_llistxattr, path, null_mut::<u8>(), 0_usize), libc::EOPNOTSUPP)
    }),
    ("removexattr", || no_attribute(call!(SYS_removexattr, some(c"rx"), NO_ATTRIBUTE))),
    ("lremovexattr", || no_attribute(call!(SYS_lremovexattr, some(c"lrx"), NO_ATTRIBUTE))),
];

/// Calls that aarch64 never had.
#[cfg(not(target_arch = "x86_64"))]
pub const OLD: &[Exercise] = &[];

/// Calls that aarch64 never had.
#[cfg(target_arch = "x86_64")]
pub const OLD: &[Exercise] = &[
    ("open", || ok(call!(SYS_open, some(c"open"), READ))),
    ("creat", || ok(call!(SYS_creat, c"creat".as_ptr(), 0o600))),
    ("stat", || ok(call!(SYS_stat, some(c"stat"), [0_u64; 24].as_mut_ptr()))),
    ("lstat", || ok(call!(SYS_lstat, some(c"lstat"), [0_u64; 24].as_mut_ptr()))),
    ("access", || ok(call!(SYS_access, some(c"access"), libc::R_OK))),
    ("readlink", || ok(call!(SYS_readlink, link(c"readlink"), [0_u8; 64].as_mut_ptr(), 64_usize))),
    ("mkdir", || ok(call!(SYS_mkdir, free(c"mkdir"), 0o700))),
    ("rmdir", || {
        let path = free(c"rmdir");
        fs::create_dir("rmdir").expect("a directory can be made");
        ok(call!(SYS_rmdir, path))
    }),
    ("unlink", || ok(call!(SYS_unlink, some(c"unlink")))),
    ("rename", || ok(call!(SYS_rename, some(c"rename"), c"rename-to".as_ptr()))),
    ("link", || ok(call!(SYS_link, some(c"link"), free(c"link-to")))),
    ("symlink", || ok(call!(SYS_symlink, c"x".as_ptr(), free(c"symlink")))),
    ("chmod", || ok(call!(SYS_chmod, some(c"chmod"), 0o600))),
    ("chown", || ok(call!(SYS_chown, some(c"chown"), -1, -1))),
    ("lchown", || ok(call!(SYS_lchown, some(c"lchown"), -1, -1))),
    ("utime", || ok(call!(SYS_utime, some(c"utime"), 0))),
    ("utimes", || ok(call!(SYS_utimes, some(c"utimes"), 0))),
    ("futimesat", || ok(call!(SYS_futimesat, HERE, some(c"futimesat"), 0))),
];
