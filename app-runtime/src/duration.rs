//! Durations as snap.yaml writes them: `10s`, `1m30s`, `500ms`, `2h`.

use std::time::Duration;

/// Longest duration that makes sense in a manifest.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a duration; the error says what is wrong with it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration like 10s, 500ms or 1m30s");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        total = total.saturating_add(Duration::from_millis(number.saturating_mul(milliseconds)));
        rest = after;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    if total > LONGEST {
        return Err(format!("{text:?} is longer than a day"));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn durations() {
        for (text, milliseconds) in
            [("10s", 10_000), ("500ms", 500), ("1m30s", 90_000), ("2h", 7_200_000), ("0s", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "10", "s", "10x", "-1s", "1.5s", "25h", "99999999999999999999s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
