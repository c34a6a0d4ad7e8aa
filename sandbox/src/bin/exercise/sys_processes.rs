//! Processes and signals.

use crate::fixtures::{Exercise, ITSELF, fails, ok};
use std::ptr::{null, null_mut};

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

extern "C" fn nothing(_: i32) {}

/// This signal does nothing from now on, but interrupt.
fn handle(signal: i32) {
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(signal, nothing as extern "C" fn(i32) as libc::sighandler_t) };
}

/// SIGALRM again and again.
fn tick() {
    handle(libc::SIGALRM);
    let each_millisecond = [0_i64, 1000, 0, 1000];
    call!(SYS_setitimer, libc::ITIMER_REAL, each_millisecond.as_ptr(), null_mut::<i64>());
}

/// The bit of SIGUSR1 in a mask of the kernel's.
const USR1: [u64; 1] = [1 << (libc::SIGUSR1 - 1)];

fn block_usr1() -> i64 {
    call!(SYS_rt_sigprocmask, libc::SIG_BLOCK, USR1.as_ptr(), null_mut::<u64>(), 8_usize)
}

fn me() -> i64 {
    i64::from(std::process::id())
}

/// A child that ends at once, made by the form of fork that all architectures have.
fn child() -> i64 {
    let pid = call!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
    if pid == 0 {
        call!(SYS_exit_group, 0);
    }
    pid
}

/// `siginfo_t` of a queued signal: number and code first.
fn queued() -> [i32; 32] {
    let mut info = [0; 32];
    (info[0], info[2]) = (libc::SIGUSR1, -1);
    info
}

fn argv() -> [*const libc::c_char; 3] {
    [c"exercise".as_ptr(), c"--nothing".as_ptr(), null()]
}

pub const ALL: &[Exercise] = &[
    ("exit", || call!(SYS_exit, 0) > 0),
    ("exit_group", || call!(SYS_exit_group, 0) > 0),
    ("wait4", || ok(call!(SYS_wait4, child(), null_mut::<i32>(), 0, null_mut::<u8>()))),
    ("waitid", || {
        child();
        ok(call!(SYS_waitid, libc::P_ALL, 0, [0_i32; 32].as_mut_ptr(), libc::WEXITED, 0))
    }),
    ("kill", || ok(call!(SYS_kill, me(), 0))),
    ("tgkill", || ok(call!(SYS_tgkill, me(), me(), 0))),
    ("tkill", || ok(call!(SYS_tkill, me(), 0))),
    ("pidfd_open", || ok(call!(SYS_pidfd_open, me(), 0))),
    ("pidfd_send_signal", || {
        let pidfd = call!(SYS_pidfd_open, me(), 0);
        ok(call!(SYS_pidfd_send_signal, pidfd, 0, 0, 0))
    }),
    ("getpid", || ok(call!(SYS_getpid))),
    ("getppid", || ok(call!(SYS_getppid))),
    ("gettid", || ok(call!(SYS_gettid))),
    // There is nothing to restart.
    ("restart_syscall", || fails(call!(SYS_restart_syscall), libc::EINTR)),
    ("set_tid_address", || ok(call!(SYS_set_tid_address, null_mut::<i32>()))),
    ("rt_sigaction", || {
        ok(call!(SYS_rt_sigaction, libc::SIGUSR2, null::<u8>(), [0_u64; 4].as_mut_ptr(), 8_usize))
    }),
    ("rt_sigprocmask", || ok(block_usr1())),
    // Coming back from a handler is a call.
    ("rt_sigreturn", || {
        handle(libc::SIGUSR1);
        ok(call!(SYS_tgkill, me(), me(), libc::SIGUSR1))
    }),
    ("rt_sigpending", || ok(call!(SYS_rt_sigpending, [0_u64].as_mut_ptr(), 8_usize))),
    ("rt_sigtimedwait", || {
        block_usr1();
        call!(SYS_kill, me(), libc::SIGUSR1);
        ok(call!(SYS_rt_sigtimedwait, USR1.as_ptr(), 0, 0, 8_usize))
    }),
    ("rt_sigsuspend", || {
        tick();
        fails(call!(SYS_rt_sigsuspend, [0_u64].as_ptr(), 8_usize), libc::EINTR)
    }),
    ("rt_sigqueueinfo", || {
        handle(libc::SIGUSR1);
        ok(call!(SYS_rt_sigqueueinfo, me(), libc::SIGUSR1, queued().as_ptr()))
    }),
    ("rt_tgsigqueueinfo", || {
        handle(libc::SIGUSR1);
        ok(call!(SYS_rt_tgsigqueueinfo, me(), me(), libc::SIGUSR1, queued().as_ptr()))
    }),
    ("sigaltstack", || ok(call!(SYS_sigaltstack, null::<u8>(), [0_u64; 3].as_mut_ptr()))),
    ("signalfd4", || ok(call!(SYS_signalfd4, -1, USR1.as_ptr(), 8_usize, 0))),
    ("execve", || {
        let program = ITSELF.to_owned() + "\0";
        ok(call!(SYS_execve, program.as_ptr(), argv().as_ptr(), [null::<u8>()].as_ptr()))
    }),
    ("execveat", || {
        let program = ITSELF.to_owned() + "\0";
        let env = [null::<u8>()];
        ok(call!(SYS_execveat, 0, program.as_ptr(), argv().as_ptr(), env.as_ptr(), 0))
    }),
    ("clone", || ok(child())),
    #[cfg(target_arch = "x86_64")]
    ("fork", || {
        let pid = call!(SYS_fork);
        if pid == 0 {
            call!(SYS_exit_group, 0);
        }
        ok(pid)
    }),
    #[cfg(target_arch = "x86_64")]
    // As fork here: a child that shares the stack must not return from the call's wrapper, so the
    // flags are given to clone, and the number of vfork is asked with a child that ends within it.
    ("vfork", sys_vfork),
    #[cfg(target_arch = "x86_64")]
    ("alarm", || {
        handle(libc::SIGALRM);
        ok(call!(SYS_alarm, 1))
    }),
    #[cfg(target_arch = "x86_64")]
    ("pause", || {
        tick();
        fails(call!(SYS_pause), libc::EINTR)
    }),
    #[cfg(target_arch = "x86_64")]
    ("signalfd", || ok(call!(SYS_signalfd, -1, USR1.as_ptr(), 8_usize))),
    #[cfg(target_arch = "x86_64")]
    ("getpgrp", || ok(call!(SYS_getpgrp))),
];

/// The child shares this stack until it ends, so parent and child part in assembly: the child exits
/// without having touched it.
#[cfg(target_arch = "x86_64")]
fn sys_vfork() -> bool {
    let result: i64;
    // SAFETY: the child makes one call more, with numbers only, and is gone; the parent goes on
    // with registers that the kernel kept but for those that are named as lost.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, 231",
            "xor edi, edi",
            "syscall",
            "2:",
            inout("rax") libc::SYS_vfork => result,
            out("rdi") _,
            out("rcx") _,
            out("r11") _,
        );
    }
    result > 0
}
