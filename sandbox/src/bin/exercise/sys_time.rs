//! Waiting, timers and clocks.

use crate::fixtures::{Exercise, fails, leak, ok, pipe};
use std::ptr::{null, null_mut};

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

/// No time.
const ZERO: [i64; 4] = [0; 4];
/// A time that none of the calls that set clocks takes: they look at it before they look at rights.
const IMPOSSIBLE: [i64; 2] = [0, 2_000_000_000];
const CLOCK: i32 = libc::CLOCK_MONOTONIC;

fn epoll() -> i64 {
    call!(SYS_epoll_create1, 0)
}

fn timer_descriptor() -> i64 {
    call!(SYS_timerfd_create, CLOCK, 0)
}

/// A timer that makes no signal.
fn timer() -> i64 {
    let mut id = -1_i32;
    // `struct sigevent` with SIGEV_NONE
    let event = [0_i32, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    call!(SYS_timer_create, CLOCK, event.as_ptr(), &raw mut id);
    i64::from(id)
}

pub const ALL: &[Exercise] = &[
    ("ppoll", || ok(call!(SYS_ppoll, null_mut::<u8>(), 0, ZERO.as_ptr(), null::<u8>(), 8_usize))),
    ("pselect6", || ok(call!(SYS_pselect6, 0, 0, 0, 0, [0_i64; 2].as_mut_ptr(), 0))),
    ("epoll_create1", || ok(epoll())),
    ("epoll_ctl", || {
        let (reader, _) = pipe();
        let event = [libc::EPOLLIN as u32, 0, 0, 0];
        ok(call!(SYS_epoll_ctl, epoll(), libc::EPOLL_CTL_ADD, leak(reader), event.as_ptr()))
    }),
    ("epoll_pwait", || {
        ok(call!(SYS_epoll_pwait, epoll(), [0_u32; 4].as_mut_ptr(), 1, 0, 0, 8_usize))
    }),
    ("epoll_pwait2", || {
        let mut events = [0_u32; 4];
        ok(call!(SYS_epoll_pwait2, epoll(), events.as_mut_ptr(), 1, ZERO.as_ptr(), 0, 8_usize))
    }),
    ("eventfd2", || ok(call!(SYS_eventfd2, 0, 0))),
    ("timerfd_create", || ok(timer_descriptor())),
    ("timerfd_settime", || ok(call!(SYS_timerfd_settime, timer_descriptor(), 0, ZERO.as_ptr(), 0))),
    ("timerfd_gettime", || {
        ok(call!(SYS_timerfd_gettime, timer_descriptor(), [0_i64; 4].as_mut_ptr()))
    }),
    ("nanosleep", || ok(call!(SYS_nanosleep, ZERO.as_ptr(), 0))),
    ("clock_nanosleep", || ok(call!(SYS_clock_nanosleep, CLOCK, 0, ZERO.as_ptr(), 0))),
    // C libraries ask the vDSO, which asks the kernel where it cannot read the clock.
    ("clock_gettime", || ok(call!(SYS_clock_gettime, CLOCK, [0_i64; 2].as_mut_ptr()))),
    ("clock_getres", || ok(call!(SYS_clock_getres, CLOCK, [0_i64; 2].as_mut_ptr()))),
    ("gettimeofday", || ok(call!(SYS_gettimeofday, [0_i64; 2].as_mut_ptr(), 0))),
    ("timer_create", || ok(timer())),
    ("timer_settime", || ok(call!(SYS_timer_settime, timer(), 0, ZERO.as_ptr(), 0))),
    ("timer_gettime", || ok(call!(SYS_timer_gettime, timer(), [0_i64; 4].as_mut_ptr()))),
    ("timer_getoverrun", || ok(call!(SYS_timer_getoverrun, timer()))),
    ("timer_delete", || ok(call!(SYS_timer_delete, timer()))),
    ("getitimer", || ok(call!(SYS_getitimer, libc::ITIMER_REAL, [0_i64; 4].as_mut_ptr()))),
    ("setitimer", || ok(call!(SYS_setitimer, libc::ITIMER_REAL, ZERO.as_ptr(), 0))),
    ("times", || ok(call!(SYS_times, [0_i64; 4].as_mut_ptr()))),
    ("clock_settime", || {
        fails(call!(SYS_clock_settime, libc::CLOCK_REALTIME, IMPOSSIBLE.as_ptr()), libc::EINVAL)
    }),
    ("settimeofday", || fails(call!(SYS_settimeofday, IMPOSSIBLE.as_ptr(), 0), libc::EINVAL)),
    // Without a mode they only read.
    ("adjtimex", || ok(call!(SYS_adjtimex, [0_u64; 32].as_mut_ptr()))),
    ("clock_adjtime", || {
        ok(call!(SYS_clock_adjtime, libc::CLOCK_REALTIME, [0_u64; 32].as_mut_ptr()))
    }),
    #[cfg(target_arch = "x86_64")]
    ("poll", || ok(call!(SYS_poll, null_mut::<u8>(), 0, 0))),
    #[cfg(target_arch = "x86_64")]
    ("select", || ok(call!(SYS_select, 0, 0, 0, 0, [0_i64; 2].as_mut_ptr()))),
    #[cfg(target_arch = "x86_64")]
    ("epoll_create", || ok(call!(SYS_epoll_create, 1))),
    #[cfg(target_arch = "x86_64")]
    ("epoll_wait", || ok(call!(SYS_epoll_wait, epoll(), [0_u32; 4].as_mut_ptr(), 1, 0))),
    #[cfg(target_arch = "x86_64")]
    ("eventfd", || ok(call!(SYS_eventfd, 0))),
    #[cfg(target_arch = "x86_64")]
    ("time", || ok(call!(SYS_time, 0))),
];
