//! The clock floor. Boards without a real-time clock start in 1970; certificates and assignments
//! then look as if they were of the future. So the clock is never below the time at which the
//! release was built, nor below the last time that was seen. init sets it before any service
//! starts; `timed` stores what was seen.

use crate::{Result, files};
use std::path::Path;

/// The last time seen, Unix seconds in decimal.
pub const STORED: &str = "/data/system/timed/clock";
/// A stored time that is later than this (year 2200) is rubbish.
const LATEST: u64 = 7_258_118_400;

/// The floor in Unix seconds: the later of what is `stored` and of the release's `build_time`.
pub fn floor(stored: &Path, build_time: u64) -> u64 {
    let stored = files::read_line(stored).and_then(|text| parse(&text)).unwrap_or(0);
    stored.max(build_time)
}

fn parse(text: &str) -> Option<u64> {
    text.parse().ok().filter(|time| *time <= LATEST)
}

/// Stores the time that is seen now.
pub fn store(path: &Path, now: u64) -> Result<()> {
    files::replace(path, format!("{now}\n").as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn rubbish_is_no_time() {
        assert_eq!(parse("1795440519"), Some(1_795_440_519));
        for text in ["", "-1", "x", "99999999999999999", "17954\0\0"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
