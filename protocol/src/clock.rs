//! What the daemons know of the time, and where they leave it for each other: two files of text.

/// The last time that was seen, Unix seconds; written by timed. The clock is never below it.
pub const STORED: &str = "/data/system/timed/clock";
/// There once the clock was set, by a time server or by an app that may: Unix seconds, and by whom.
pub const SYNCED: &str = "/run/holdfast/time-synced";
/// A time that is later than this (year 2200) is rubbish.
pub const LATEST: u64 = 7_258_118_400;

/// A time as the files have it; rubbish is none.
pub fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|time| *time <= LATEST)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn rubbish_is_no_time() {
        assert_eq!(parse("1795440519\n"), Some(1_795_440_519));
        for text in ["", "-1", "x", "99999999999999999", "17954\0\0"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
