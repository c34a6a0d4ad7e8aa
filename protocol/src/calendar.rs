//! Times as people write them: Unix seconds as a date and time in UTC (RFC 3339). No clock.

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Year, month from 1 and day from 1 of a day since 1970-01-01.
///
/// After Howard Hinnant's `civil_from_days`: eras of 400 years, and years that begin in March, so
/// that the leap day is the last.
pub fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// `2026-11-23T13:28:39Z`
pub fn utc_text(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / DAY);
    let rest = seconds % DAY;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Unix seconds of such a text; the seconds, or the whole time, may be left out. `None`: it is no
/// date since 1970, or not in UTC.
pub fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let number = |text: &str, digits: usize| {
        let plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<u64>().ok()).flatten()
    };
    let [year, month, day] = <[&str; 3]>::try_from(date.split('-').collect::<Vec<_>>()).ok()?;
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let parts: Vec<&str> = time.strip_suffix('Z')?.split(':').collect();
    let (hour, minute, second) = match parts.as_slice() {
        [hour, minute] => (number(hour, 2)?, number(minute, 2)?, 0),
        [hour, minute, second] => (number(hour, 2)?, number(minute, 2)?, number(second, 2)?),
        _ => return None,
    };
    if year < 1970 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Years that begin in March, so that the leap day is the last.
    let (march_year, march_month) =
        if month > 2 { (year, month.checked_sub(3)?) } else { (year - 1, month + 9) };
    let day_of_year = (153 * march_month + 2) / 5 + day.checked_sub(1)?;
    let days = march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400;
    let days = (days + day_of_year).checked_sub(719_468)?;
    // What does not come back as it was given is no date: the 30th of February.
    (civil(days) == (year, month, day)).then_some(days * DAY + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::{seconds, utc_text};

    #[test]
    fn only_dates_are_read() {
        assert_eq!(seconds("2026-11-23T13:28Z"), Some(1_795_440_480));
        assert_eq!(seconds("2026-11-23"), Some(1_795_392_000));
        for text in [
            "2026-02-30",
            "2025-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-01-00",
            "1969-12-31",
            "2026-1-01",
            "2026-01-01T24:00Z",
            "2026-01-01T00:00",
            "2026-01-01T00:00+01:00",
            "x",
            "",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn dates_as_date_utc_prints_them() {
        for (time, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_440_519, "2026-11-23T13:28:39Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc_text(time), text);
            assert_eq!(seconds(text), Some(time));
        }
    }
}
