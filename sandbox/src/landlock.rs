//! landlock_create_ruleset(2), landlock_add_rule(2), landlock_restrict_self(2): rustix has none of
//! them, and the crate `landlock` allocates, which the new process must not.

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use std::{
    ffi::CString,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

/// Flag: answer the version instead of making a ruleset.
const VERSION: u32 = 1;
/// Kinds of rules.
const PATH_BENEATH: u32 = 1;
const NET_PORT: u32 = 2;

/// `struct landlock_ruleset_attr` of version 6. Older kernels take it when what they do not know is
/// 0.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Handled {
    /// Rights to files that need a rule.
    pub(crate) files: u64,
    /// Rights to ports that need a rule.
    pub(crate) ports: u64,
    /// What does not reach beyond the domain.
    pub(crate) scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
struct NetPort {
    allowed: u64,
    port: u64,
}

/// A ruleset, ready for the kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ruleset {
    pub(crate) handled: Handled,
    /// Paths of the process's view.
    pub(crate) files: Vec<(CString, u64)>,
    pub(crate) ports: Vec<(u16, u64)>,
}

/// Version of the kernel's Landlock; 0 when it has none or has it turned off.
pub(crate) fn version() -> u32 {
    // SAFETY: with this flag the kernel wants a null pointer and the size 0.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<Handled>(), 0_usize, VERSION)
    };
    u32::try_from(result).unwrap_or(0)
}

impl Ruleset {
    /// Restricts the calling thread for good. Needs `no_new_privs`.
    pub(crate) fn enforce(&self) -> Result<(), Errno> {
        // SAFETY: the attributes live throughout the call, with their true size.
        let fd = check(unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                &raw const self.handled,
                size_of::<Handled>(),
                0_u32,
            )
        })?;
        // SAFETY: a new descriptor that nothing else owns. It is CLOEXEC.
        let ruleset = unsafe { OwnedFd::from_raw_fd(fd) };
        for (path, allowed) in &self.files {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let parent = match rustix::fs::open(path.as_c_str(), flags, Mode::empty()) {
                // Below a directory that the user may not enter: it needs no rule.
                Err(Errno::ACCESS) => continue,
                other => other?,
            };
            let rule = PathBeneath { allowed: *allowed, parent: parent.as_raw_fd() };
            add(&ruleset, PATH_BENEATH, (&raw const rule).cast())?;
        }
        for (port, allowed) in &self.ports {
            let rule = NetPort { allowed: *allowed, port: u64::from(*port) };
            add(&ruleset, NET_PORT, (&raw const rule).cast())?;
        }
        // SAFETY: plain numbers.
        let result =
            unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
        check(result).map(drop)
    }
}

/// `rule` points to the attributes of that kind.
fn add(ruleset: &OwnedFd, kind: u32, rule: *const libc::c_void) -> Result<(), Errno> {
    // SAFETY: both callers pass a value of the kind's type that lives throughout the call.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), kind, rule, 0_u32)
    };
    check(result).map(drop)
}

fn check(result: i64) -> Result<i32, Errno> {
    if result < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(result as i32)
}
