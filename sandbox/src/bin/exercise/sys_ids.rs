//! Ids, capabilities, limits, and what the system says of itself.

use crate::fixtures::{Exercise, ok};
use std::ptr::{null, null_mut};

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

fn user() -> i64 {
    call!(SYS_getuid)
}

fn group() -> i64 {
    call!(SYS_getgid)
}

/// `_LINUX_CAPABILITY_VERSION_3`, and this process.
const CAPABILITIES: [u32; 2] = [0x2008_0522, 0];

pub const ALL: &[Exercise] = &[
    ("getuid", || ok(user())),
    ("geteuid", || ok(call!(SYS_geteuid))),
    ("getgid", || ok(group())),
    ("getegid", || ok(call!(SYS_getegid))),
    ("getresuid", || {
        let mut ids = [0_u32; 3];
        let at = ids.as_mut_ptr();
        ok(call!(SYS_getresuid, at, at.wrapping_add(1), at.wrapping_add(2)))
    }),
    ("getresgid", || {
        let mut ids = [0_u32; 3];
        let at = ids.as_mut_ptr();
        ok(call!(SYS_getresgid, at, at.wrapping_add(1), at.wrapping_add(2)))
    }),
    ("getgroups", || ok(call!(SYS_getgroups, 0, null_mut::<u32>()))),
    ("setuid", || ok(call!(SYS_setuid, user()))),
    ("setgid", || ok(call!(SYS_setgid, group()))),
    ("setreuid", || ok(call!(SYS_setreuid, -1, user()))),
    ("setregid", || ok(call!(SYS_setregid, -1, group()))),
    ("setresuid", || ok(call!(SYS_setresuid, -1, user(), -1))),
    ("setresgid", || ok(call!(SYS_setresgid, -1, group(), -1))),
    ("setgroups", || ok(call!(SYS_setgroups, 0, null::<u32>()))),
    // They have no way to fail: they answer what was before, and the filter's error is negative.
    ("setfsuid", || ok(call!(SYS_setfsuid, user()))),
    ("setfsgid", || ok(call!(SYS_setfsgid, group()))),
    ("capget", || ok(call!(SYS_capget, CAPABILITIES.as_ptr(), [0_u32; 6].as_mut_ptr()))),
    ("capset", || ok(call!(SYS_capset, CAPABILITIES.as_ptr(), [0_u32; 6].as_ptr()))),
    ("getpgid", || ok(call!(SYS_getpgid, 0))),
    ("setpgid", || ok(call!(SYS_setpgid, 0, 0))),
    ("getsid", || ok(call!(SYS_getsid, 0))),
    ("setsid", || ok(call!(SYS_setsid))),
    ("prlimit64", || {
        let mut limit = [0_u64; 2];
        ok(call!(SYS_prlimit64, 0, libc::RLIMIT_CORE, null::<u64>(), limit.as_mut_ptr()))
    }),
    ("getrlimit", || ok(call!(SYS_getrlimit, libc::RLIMIT_CORE, [0_u64; 2].as_mut_ptr()))),
    ("setrlimit", || ok(call!(SYS_setrlimit, libc::RLIMIT_CORE, [0_u64; 2].as_ptr()))),
    ("getrusage", || ok(call!(SYS_getrusage, libc::RUSAGE_SELF, [0_u64; 18].as_mut_ptr()))),
    ("uname", || ok(call!(SYS_uname, [0_u8; 390].as_mut_ptr()))),
    ("sysinfo", || ok(call!(SYS_sysinfo, [0_u64; 16].as_mut_ptr()))),
    ("getrandom", || ok(call!(SYS_getrandom, [0_u8; 8].as_mut_ptr(), 8_usize, 0))),
];
