//! Wall-clock time and randomness as the rest of the server uses them.

use protocol::keys::to_hex;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// Unix time in seconds; 0 for a clock before 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |past| past.as_secs())
}

/// `2026-11-23 13:38 UTC`
pub fn text(seconds: u64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds as i64) {
        Ok(t) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02} UTC",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute()
        ),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// `just now`, `3 min ago`, `2 h ago`, `5 d ago`
pub fn ago(then: u64, now: u64) -> String {
    match now.saturating_sub(then) {
        0..10 => "just now".into(),
        s @ 10..60 => format!("{s} s ago"),
        s @ 60..3600 => format!("{} min ago", s / 60),
        s @ 3600..86_400 => format!("{} h ago", s / 3600),
        s => format!("{} d ago", s / 86_400),
    }
}

/// `N` random bytes as hexadecimal digits.
pub fn random_hex<const N: usize>() -> String {
    let mut bytes = [0; N];
    // The kernel's generator fails only before it is seeded, at early boot.
    getrandom::fill(&mut bytes).expect("random bytes from the kernel");
    to_hex(&bytes)
}
