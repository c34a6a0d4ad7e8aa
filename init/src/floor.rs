//! The clock floor. Boards without a real-time clock start in 1970; certificates and assignments
//! then look as if they were of the future. So the clock is never below the time at which the
//! release was built, nor below the last time that was seen. init sets it before any service
//! starts; `timed` stores what was seen.

use crate::{Result, files};
use protocol::clock;
use std::path::Path;

/// The floor in Unix seconds: the later of what is `stored` and of the release's `build_time`.
pub fn floor(stored: &Path, build_time: u64) -> u64 {
    let stored = files::read_line(stored).and_then(|text| clock::parse(&text)).unwrap_or(0);
    stored.max(build_time)
}

/// Stores the time that is seen now.
pub fn store(path: &Path, now: u64) -> Result<()> {
    files::replace(path, format!("{now}\n").as_bytes(), 0o600)
}
