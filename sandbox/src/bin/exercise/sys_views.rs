//! Mounts and namespaces: what makes an app's view.

use crate::fixtures::{Exercise, fails, file, ok};
use std::{fs, fs::File, os::fd::AsRawFd, ptr::null};

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, or point to memory of this process that lives
        // throughout the call and is as large as it says. All are as wide as the kernel takes them.
        unsafe { libc::syscall(libc::$number $(, $argument as i64)*) }
    }};
}

const HERE: i32 = libc::AT_FDCWD;
const TMPFS: *const libc::c_char = c"tmpfs".as_ptr();
/// `OPEN_TREE_CLONE` of linux/mount.h.
const CLONE_TREE: i32 = 1;

fn mounted() -> i64 {
    fs::create_dir_all("mounted").expect("a directory can be made");
    call!(SYS_mount, TMPFS, c"mounted".as_ptr(), TMPFS, 0, null::<u8>())
}

pub const ALL: &[Exercise] = &[
    ("mount", || ok(mounted())),
    ("umount2", || {
        mounted();
        ok(call!(SYS_umount2, c"mounted".as_ptr(), 0))
    }),
    // Rights are looked at before the names.
    ("pivot_root", || {
        drop(file("no-directory"));
        let name = c"no-directory".as_ptr();
        fails(call!(SYS_pivot_root, name, name), libc::ENOTDIR)
    }),
    ("open_tree", || ok(call!(SYS_open_tree, HERE, c".".as_ptr(), CLONE_TREE))),
    ("move_mount", || {
        fails(call!(SYS_move_mount, HERE, c"".as_ptr(), HERE, c"".as_ptr(), 0), libc::ENOENT)
    }),
    ("mount_setattr", || {
        ok(call!(SYS_mount_setattr, HERE, c".".as_ptr(), 0, [0_u64; 4].as_ptr(), 32_usize))
    }),
    ("clone3", || {
        // `struct clone_args`: flags, pidfd, child_tid, parent_tid, exit_signal, …
        let mut fork = [0_u64; 8];
        fork[4] = libc::SIGCHLD as u64;
        let pid = call!(SYS_clone3, fork.as_ptr(), size_of_val(&fork));
        if pid == 0 {
            call!(SYS_exit_group, 0);
        }
        ok(pid)
    }),
    ("unshare", || ok(call!(SYS_unshare, libc::CLONE_FS))),
    ("setns", || {
        let own = File::open("/proc/self/ns/ipc").expect("it has one");
        ok(call!(SYS_setns, own.as_raw_fd(), libc::CLONE_NEWIPC))
    }),
    ("sethostname", || ok(call!(SYS_sethostname, c"other".as_ptr(), 5_usize))),
    ("socket netfilter", || {
        let socket = call!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER);
        // The kernel may be without it.
        socket >= 0 || fails(socket, libc::EPROTONOSUPPORT)
    }),
    ("socket uevent", || {
        ok(call!(SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT))
    }),
];
