//! Wraps ioctl(2) on a watchdog: WDIOC_SETTIMEOUT.

use std::{fs::File, io, os::fd::AsRawFd};

/// `_IOWR('W', 6, int)`
const WDIOC_SETTIMEOUT: u32 = 0xc004_5706;

/// Sets the time-out; the driver's nearest is returned.
pub fn set_timeout(watchdog: &File, seconds: u32) -> io::Result<u32> {
    let mut value = seconds as i32;
    // SAFETY: the kernel reads and writes one int at the pointer.
    let result = unsafe { libc::ioctl(watchdog.as_raw_fd(), WDIOC_SETTIMEOUT as _, &mut value) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value.max(1) as u32) }
}
