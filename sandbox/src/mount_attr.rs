//! mount_setattr(2): flags of a mount, for a whole tree at once.

use rustix::io::Errno;
use std::ffi::CStr;

/// Not writable.
pub(crate) const READ_ONLY: u64 = 0x1;
/// Set-user-id bits and file capabilities have no effect.
pub(crate) const NO_SUID: u64 = 0x2;
/// Device nodes cannot be opened.
pub(crate) const NO_DEVICES: u64 = 0x4;
/// Programs cannot be executed.
pub(crate) const NO_EXECUTION: u64 = 0x8;

/// `struct mount_attr` (`MOUNT_ATTR_SIZE_VER0`).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Sets and clears flags of the mount at `path`, with `recursive` of those below it as well (which
/// a remount cannot do).
pub(crate) fn change(path: &CStr, set: u64, clear: u64, recursive: bool) -> Result<(), Errno> {
    let attr = MountAttr { set, clear, propagation: 0, userns: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `path` ends with NUL and `attr` lives throughout the call, with its true size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}
