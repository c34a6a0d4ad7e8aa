//! Durations as snap.yaml writes them, which is as Go does: `10s`, `1m30s`, `500ms`, `1.5h`.

use std::time::Duration;

/// Longest duration that makes sense in a manifest: ten years.
const LONGEST: u128 = 10 * 366 * 24 * 3600 * SECOND;
/// Nanoseconds.
const SECOND: u128 = 1_000_000_000;
/// Units in nanoseconds; both signs for micro are in use.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];
/// More digits than this are no part of a number that fits.
const MAX_DIGITS: usize = 18;

/// Reads a duration; the error says what is wrong with it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration like 10s, 500ms or 1m30s");
    if text.starts_with('-') {
        return Err(format!("{text:?} is negative"));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        total = total.saturating_add(nanoseconds(number, *unit).ok_or_else(wrong)?);
        rest = after;
    }
    if total > LONGEST {
        return Err(format!("{text:?} is longer than ten years"));
    }
    let (seconds, rest) = (total / SECOND, total % SECOND);
    Ok(Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(rest).unwrap_or(0)))
}

/// `1.5` of a unit.
fn nanoseconds(number: &str, unit: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.contains('.') || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    if whole.len() > MAX_DIGITS || part.len() > MAX_DIGITS {
        return None;
    }
    let read = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
    let fraction = read(part)? * unit / 10_u128.pow(u32::try_from(part.len()).ok()?);
    Some(read(whole)? * unit + fraction)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn durations() {
        for (text, microseconds) in [
            ("10s", 10_000_000),
            ("500ms", 500_000),
            ("1m30s", 90_000_000),
            ("2h", 7_200_000_000),
            ("0s", 0),
            ("0", 0),
            ("+5s", 5_000_000),
            ("1.5s", 1_500_000),
            (".5s", 500_000),
            ("1.s", 1_000_000),
            ("3us", 3),
            ("3\u{b5}s", 3),
            ("48h", 172_800_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_micros(microseconds)), "{text}");
        }
        for text in [
            "",
            "+",
            "10",
            "s",
            "10x",
            "-1s",
            "1..5s",
            ".s",
            "1.5",
            "100000h",
            "99999999999999999999s",
            "1 s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
