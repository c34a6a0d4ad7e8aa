//! Slewing the clock. Wraps adjtimex(2).

use std::io;

/// Lets the clock run faster or slower until `offset_ns` are made up; replaces what an earlier call
/// left over.
pub fn slew(offset_ns: i64) -> io::Result<()> {
    // SAFETY: timex is plain data; all zero bytes are a valid value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.modes = libc::ADJ_OFFSET_SINGLESHOT;
    timex.offset = offset_ns / 1000;
    // SAFETY: the kernel reads and writes the timex that lives until the call returns.
    let result = unsafe { libc::adjtimex(&mut timex) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
