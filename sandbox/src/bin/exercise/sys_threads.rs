//! Threads, scheduling, and what shrinks a thread's own rights.

use crate::fixtures::{Exercise, fails, ok};
use std::ptr::null_mut;

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

/// The lowest priority: whatever the tests themselves run at, nobody is refused to go down to it.
const LOWEST: u32 = 19;

/// `struct sched_attr`, first version: size, policy, flags (two words), priority.
fn attributes() -> [u32; 12] {
    let mut attributes = [0; 12];
    attributes[0] = 48;
    attributes[4] = LOWEST;
    attributes
}

fn no_new_privileges() {
    call!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/// A ruleset that handles one right.
fn ruleset() -> i64 {
    call!(SYS_landlock_create_ruleset, [1_u64].as_ptr(), 8_usize, 0)
}

pub const ALL: &[Exercise] = &[
    ("futex", || ok(call!(SYS_futex, [0_u32].as_ptr(), libc::FUTEX_WAKE, 1, 0, 0, 0))),
    ("set_robust_list", || {
        let head = [0_usize; 3];
        let set = call!(SYS_set_robust_list, head.as_ptr(), 24_usize);
        // Empty again before the memory goes.
        call!(SYS_set_robust_list, null_mut::<u8>(), 24_usize);
        ok(set)
    }),
    ("get_robust_list", || {
        let (mut head, mut size) = (0_usize, 0_usize);
        ok(call!(SYS_get_robust_list, 0, &raw mut head, &raw mut size))
    }),
    // C libraries have registered theirs: the second of a wrong size is invalid.
    ("rseq", || fails(call!(SYS_rseq, null_mut::<u8>(), 7, 0, 0), libc::EINVAL)),
    ("sched_yield", || ok(call!(SYS_sched_yield))),
    ("sched_getaffinity", || {
        ok(call!(SYS_sched_getaffinity, 0, 128_usize, [0_u64; 16].as_mut_ptr()))
    }),
    ("sched_setaffinity", || {
        ok(call!(SYS_sched_setaffinity, 0, 128_usize, [u64::MAX; 16].as_ptr()))
    }),
    ("sched_getparam", || ok(call!(SYS_sched_getparam, 0, [0_i32].as_mut_ptr()))),
    ("sched_setparam", || ok(call!(SYS_sched_setparam, 0, [0_i32].as_ptr()))),
    ("sched_getscheduler", || ok(call!(SYS_sched_getscheduler, 0))),
    ("sched_setscheduler", || {
        ok(call!(SYS_sched_setscheduler, 0, libc::SCHED_BATCH, [0_i32].as_ptr()))
    }),
    ("sched_getattr", || ok(call!(SYS_sched_getattr, 0, attributes().as_mut_ptr(), 48, 0))),
    ("sched_setattr", || ok(call!(SYS_sched_setattr, 0, attributes().as_ptr(), 0))),
    ("sched_get_priority_max", || ok(call!(SYS_sched_get_priority_max, libc::SCHED_FIFO))),
    ("sched_get_priority_min", || ok(call!(SYS_sched_get_priority_min, libc::SCHED_FIFO))),
    ("sched_rr_get_interval", || ok(call!(SYS_sched_rr_get_interval, 0, [0_i64; 2].as_mut_ptr()))),
    ("getpriority", || ok(call!(SYS_getpriority, libc::PRIO_PROCESS, 0))),
    ("setpriority", || ok(call!(SYS_setpriority, libc::PRIO_PROCESS, 0, LOWEST))),
    ("getcpu", || ok(call!(SYS_getcpu, [0_u32].as_mut_ptr(), null_mut::<u32>(), 0))),
    #[cfg(target_arch = "x86_64")]
    // ARCH_GET_FS
    ("arch_prctl", || ok(call!(SYS_arch_prctl, 0x1003, [0_u64].as_mut_ptr()))),
    ("prctl", || ok(call!(SYS_prctl, libc::PR_GET_NAME, [0_u8; 16].as_mut_ptr(), 0, 0, 0))),
    // SECCOMP_GET_ACTION_AVAIL of SECCOMP_RET_ALLOW
    ("seccomp", || ok(call!(SYS_seccomp, 2, 0, [libc::SECCOMP_RET_ALLOW].as_ptr()))),
    ("landlock_create_ruleset", || ok(ruleset())),
    ("landlock_add_rule", || {
        // No rights at all are no rule.
        fails(call!(SYS_landlock_add_rule, ruleset(), 1, [0_u64; 2].as_ptr(), 0), libc::ENOMSG)
    }),
    ("landlock_restrict_self", || {
        no_new_privileges();
        ok(call!(SYS_landlock_restrict_self, ruleset(), 0))
    }),
];
