//! Pseudo file systems and kernel settings: what must be there before anything else. A mount that
//! fails is a warning; only what cannot be done without it fails later, by name.

use protocol::control::APPS_CGROUP;
use rustix::mount::{MountFlags, mount};
use std::{ffi::CStr, fs, os::unix::fs::symlink};

struct PseudoMount {
    source: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: Option<&'static CStr>,
}

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const STRICT: MountFlags = SAFE.union(MountFlags::NOEXEC);

/// In this order. /run holds sockets and state of the running system, /tmp is anybody's; both are
/// bounded so that they cannot take the machine's memory.
const MOUNTS: &[PseudoMount] = &[
    PseudoMount { source: "proc", target: "/proc", flags: STRICT, data: None },
    PseudoMount { source: "sysfs", target: "/sys", flags: STRICT, data: None },
    PseudoMount {
        source: "devtmpfs",
        target: "/dev",
        flags: MountFlags::NOSUID,
        data: Some(c"mode=0755,size=1m"),
    },
    PseudoMount {
        source: "devpts",
        target: "/dev/pts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: Some(c"mode=0620,gid=5,ptmxmode=0666"),
    },
    PseudoMount {
        source: "tmpfs",
        target: "/dev/shm",
        flags: SAFE,
        data: Some(c"mode=1777,size=16m"),
    },
    PseudoMount { source: "tmpfs", target: "/run", flags: SAFE, data: Some(c"mode=0755,size=16m") },
    PseudoMount { source: "tmpfs", target: "/tmp", flags: SAFE, data: Some(c"mode=1777,size=32m") },
    PseudoMount {
        source: "cgroup2",
        target: "/sys/fs/cgroup",
        flags: STRICT,
        data: Some(c"nsdelegate,memory_recursiveprot"),
    },
    PseudoMount { source: "pstore", target: "/sys/fs/pstore", flags: STRICT, data: None },
    PseudoMount { source: "securityfs", target: "/sys/kernel/security", flags: STRICT, data: None },
];

/// Settings of the kernel, with the reason of each.
const SETTINGS: &[(&str, &str)] = &[
    // our messages are never dropped for being many; services' output is limited before it gets
    // here
    ("/proc/sys/kernel/printk_devkmsg", "on"),
    // kernel addresses and log only for those who may administer
    ("/proc/sys/kernel/kptr_restrict", "2"),
    ("/proc/sys/kernel/dmesg_restrict", "1"),
    // a core file would go to the card; the log has the signal
    ("/proc/sys/kernel/core_pattern", "|/bin/false"),
    // what waits to be written is written within the watchdog's time, also by a card of 1 MB/s
    ("/proc/sys/vm/dirty_bytes", "33554432"),
    ("/proc/sys/vm/dirty_background_bytes", "16777216"),
    // links and fifos of others in /tmp are not followed
    ("/proc/sys/fs/protected_symlinks", "1"),
    ("/proc/sys/fs/protected_hardlinks", "1"),
    ("/proc/sys/fs/protected_fifos", "1"),
    ("/proc/sys/fs/protected_regular", "2"),
];

/// cgroup of everything.
const ROOT_CGROUP: &str = "/sys/fs/cgroup";
/// cgroup of the services that init runs.
pub const SYSTEM_CGROUP: &str = "/sys/fs/cgroup/system";

/// Mounts everything and sets the kernel's settings; returns what failed.
pub fn prepare() -> Vec<String> {
    let mut warnings = Vec::new();
    for entry in MOUNTS {
        if entry.source == "devtmpfs" && fs::exists("/dev/kmsg").unwrap_or(false) {
            continue; // the kernel did (CONFIG_DEVTMPFS_MOUNT)
        }
        let _ = fs::create_dir(entry.target); // the root is read-only but in an initramfs
        if let Err(error) = mount(entry.source, entry.target, entry.source, entry.flags, entry.data)
            && error != rustix::io::Errno::BUSY
        {
            warnings.push(format!("mount {}: {error}", entry.target));
        }
    }
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        let _ = symlink(target, link);
    }
    for (file, value) in SETTINGS {
        // printk_devkmsg wants the end of line
        let _ = fs::write(file, format!("{value}\n"));
    }
    raise_console_level();
    warnings.extend(enable_cgroups());
    // Services that may write in them have only these of /run.
    for folder in ["/run/holdfast", "/run/snaps", "/run/media"] {
        let _ = fs::create_dir_all(folder);
    }
    warnings
}

/// Our notices (level 5) reach the console whatever `quiet` says; a more talkative level stays.
fn raise_console_level() {
    const SHOW_NOTICES: u32 = 6;
    let printk = crate::files::read_line("/proc/sys/kernel/printk").unwrap_or_default();
    let level = printk.split_whitespace().next().and_then(|n| n.parse::<u32>().ok());
    if level.is_none_or(|level| level < SHOW_NOTICES) {
        let _ = fs::write("/proc/sys/kernel/printk", SHOW_NOTICES.to_string());
    }
}

/// What may be bounded of services, and of apps. Only from the top down can controllers be enabled;
/// appd goes on from its own group, the one that it can write to.
const CONTROLLERS: [(&str, &[&str]); 2] = [
    (ROOT_CGROUP, &["cpu", "memory", "pids", "io", "cpuset"]),
    (SYSTEM_CGROUP, &["cpu", "memory", "pids", "io"]),
];

fn enable_cgroups() -> Vec<String> {
    let mut warnings = Vec::new();
    for group in [SYSTEM_CGROUP, APPS_CGROUP] {
        let _ = fs::create_dir(group);
    }
    for (directory, controllers) in CONTROLLERS {
        for controller in controllers {
            let file = format!("{directory}/cgroup.subtree_control");
            if let Err(error) = fs::write(&file, format!("+{controller}")) {
                warnings.push(format!("enable {controller} in {file}: {error}"));
            }
        }
    }
    warnings
}
