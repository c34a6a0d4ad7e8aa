//! Times: milliseconds since boot for deadlines (never jumps), Unix seconds for people.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Milliseconds since boot.
pub fn now_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// Unix seconds.
pub fn now_s() -> u64 {
    clock_gettime(ClockId::Realtime).tv_sec.max(0) as u64
}

/// Sets the clock when it is below `floor` (Unix seconds); whether it did.
pub fn raise_to(floor: u64) -> rustix::io::Result<bool> {
    if now_s() >= floor {
        return Ok(false);
    }
    let time = Timespec { tv_sec: floor as i64, tv_nsec: 0 };
    rustix::time::clock_settime(ClockId::Realtime, time)?;
    Ok(true)
}
