//! syscall(2), raw: what the attempts are made of.

use std::io::Error;

/// `ok`, or the errno's number and text.
fn outcome(result: i64) -> String {
    if result >= 0 { "ok".into() } else { name_of(Error::last_os_error().raw_os_error()) }
}

fn name_of(errno: Option<i32>) -> String {
    match errno {
        Some(libc::EPERM) => "EPERM".into(),
        Some(libc::ENOSYS) => "ENOSYS".into(),
        Some(libc::EACCES) => "EACCES".into(),
        other => format!("errno-{}", other.unwrap_or_default()),
    }
}

macro_rules! attempt {
    ($number:expr $(, $argument:expr)*) => {{
        // SAFETY: every call here is expected to be refused before it looks at its arguments;
        // pointers are null or
        // lead to static data, so that even a call that is let through cannot write to this
        // process's memory.
        outcome(unsafe { libc::syscall($number $(, $argument)*) } as i64)
    }};
}

/// Every attempt, made, with its outcome.
pub fn attempts() -> Vec<(&'static str, String)> {
    let mut made = privileged();
    made.extend(kernel_surface());
    made.extend(processes());
    made
}

fn privileged() -> Vec<(&'static str, String)> {
    let (null, tmp) = (std::ptr::null::<u8>(), c"/tmp".as_ptr());
    vec![
        ("mount", attempt!(libc::SYS_mount, c"none".as_ptr(), tmp, c"tmpfs".as_ptr(), 0, null)),
        ("umount", attempt!(libc::SYS_umount2, c"/proc".as_ptr(), 0)),
        ("pivot_root", attempt!(libc::SYS_pivot_root, tmp, tmp)),
        ("chroot", attempt!(libc::SYS_chroot, tmp)),
        ("open_tree", attempt!(libc::SYS_open_tree, libc::AT_FDCWD, tmp, 1)),
        ("mount_setattr", attempt!(libc::SYS_mount_setattr, libc::AT_FDCWD, tmp, 0, null, 0)),
        ("unshare-user", attempt!(libc::SYS_unshare, libc::CLONE_NEWUSER)),
        ("unshare-net", attempt!(libc::SYS_unshare, libc::CLONE_NEWNET)),
        ("setns", attempt!(libc::SYS_setns, 0, 0)),
        ("clone-user", attempt!(libc::SYS_clone, libc::CLONE_NEWUSER | libc::SIGCHLD, 0, 0, 0, 0)),
        ("clone3", attempt!(libc::SYS_clone3, null, 0)),
        (
            "mknod-block",
            attempt!(
                libc::SYS_mknodat,
                libc::AT_FDCWD,
                c"/tmp/b".as_ptr(),
                libc::S_IFBLK | 0o600,
                0x0100
            ),
        ),
        (
            "mknod-char",
            attempt!(
                libc::SYS_mknodat,
                libc::AT_FDCWD,
                c"/tmp/c".as_ptr(),
                libc::S_IFCHR | 0o600,
                0x0101
            ),
        ),
        ("reboot", attempt!(libc::SYS_reboot, 0xfee1_dead_u32, 672_274_793, 0, null)),
        ("settimeofday", attempt!(libc::SYS_settimeofday, null, null)),
        ("clock_settime", attempt!(libc::SYS_clock_settime, 0, null)),
        ("adjtimex", attempt!(libc::SYS_adjtimex, null)),
        ("sethostname", attempt!(libc::SYS_sethostname, c"evil".as_ptr(), 4)),
        ("setdomainname", attempt!(libc::SYS_setdomainname, c"evil".as_ptr(), 4)),
        ("setuid-0", attempt!(libc::SYS_setuid, 0)),
        ("setgid-0", attempt!(libc::SYS_setgid, 0)),
        ("setgroups", attempt!(libc::SYS_setgroups, 0, null)),
        ("swapon", attempt!(libc::SYS_swapon, tmp, 0)),
        ("quotactl", attempt!(libc::SYS_quotactl, 0, null, 0, null)),
        ("acct", attempt!(libc::SYS_acct, null)),
        ("syslog", attempt!(libc::SYS_syslog, 3, null, 0)),
        ("vhangup", attempt!(libc::SYS_vhangup)),
    ]
}

fn kernel_surface() -> Vec<(&'static str, String)> {
    let null = std::ptr::null::<u8>();
    vec![
        ("bpf", attempt!(libc::SYS_bpf, 0, null, 0)),
        ("perf_event_open", attempt!(libc::SYS_perf_event_open, null, 0, -1, -1, 0)),
        ("keyctl", attempt!(libc::SYS_keyctl, 0, 0)),
        ("add_key", attempt!(libc::SYS_add_key, null, null, null, 0, 0)),
        ("request_key", attempt!(libc::SYS_request_key, null, null, null, 0)),
        ("init_module", attempt!(libc::SYS_init_module, null, 0, null)),
        ("finit_module", attempt!(libc::SYS_finit_module, -1, null, 0)),
        ("delete_module", attempt!(libc::SYS_delete_module, null, 0)),
        ("kexec_load", attempt!(libc::SYS_kexec_load, 0, 0, null, 0)),
        ("io_uring_setup", attempt!(libc::SYS_io_uring_setup, 1, null)),
        ("userfaultfd", attempt!(libc::SYS_userfaultfd, 0)),
        ("fanotify_init", attempt!(libc::SYS_fanotify_init, 0, 0)),
        ("open_by_handle_at", attempt!(libc::SYS_open_by_handle_at, 0, null, 0)),
        ("name_to_handle_at", attempt!(libc::SYS_name_to_handle_at, 0, null, null, null, 0)),
        ("personality", attempt!(libc::SYS_personality, 0x0008)),
        ("newer-than-the-profile", attempt!(9_999)),
        ("socket-packet", attempt!(libc::SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, 0)),
        ("socket-netlink-audit", attempt!(libc::SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, 9)),
        ("socket-vsock", attempt!(libc::SYS_socket, libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
        ("socket-alg", attempt!(libc::SYS_socket, libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
        ("ioctl-tiocsti", attempt!(libc::SYS_ioctl, 0, libc::TIOCSTI, c"x".as_ptr())),
    ]
}

fn processes() -> Vec<(&'static str, String)> {
    let null = std::ptr::null::<u8>();
    vec![
        ("ptrace-traceme", attempt!(libc::SYS_ptrace, 0, 0, null, null)),
        ("ptrace-attach", attempt!(libc::SYS_ptrace, 16, 1, null, null)),
        ("process_vm_readv", attempt!(libc::SYS_process_vm_readv, 1, null, 0, null, 0, 0)),
        ("process_vm_writev", attempt!(libc::SYS_process_vm_writev, 1, null, 0, null, 0, 0)),
        ("pidfd_getfd", attempt!(libc::SYS_pidfd_getfd, 0, 0, 0)),
        ("kcmp", attempt!(libc::SYS_kcmp, 1, 1, 0, 0, 0)),
        ("migrate_pages", attempt!(libc::SYS_migrate_pages, 1, 0, null, null)),
        ("process_madvise", attempt!(libc::SYS_process_madvise, 0, null, 0, 0, 0)),
    ]
}
