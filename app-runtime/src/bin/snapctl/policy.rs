//! The words after `system hold`, `system window` and `system bandwidth`.

use protocol::policy::{Day, Download, Hold, PolicyChange, Setting, TimeOfDay, Window, Zone};

/// Longest hold that is given as a duration: a year. For longer there are dates, and `forever`.
const LONGEST_HOLD_S: u64 = 366 * 86_400;

/// `forever`, `24h`, `2026-12-24T06:00:00Z`, `off`, `default`.
pub fn hold(word: &str) -> Result<PolicyChange, String> {
    if let Some(setting) = plain(word) {
        return Ok(PolicyChange::Hold(setting));
    }
    if let Some(seconds) = seconds(word) {
        return match seconds {
            1..=LONGEST_HOLD_S => Ok(PolicyChange::HoldFor(seconds)),
            _ => Err(format!("hold {word}: from a minute to a year")),
        };
    }
    let hold: Hold = word.parse().map_err(|error: String| format!("{error}, nor 24h, 7d, off"))?;
    Ok(PolicyChange::Hold(Setting::Is(hold)))
}

/// `DAYS HH:MM LENGTH [ZONE] [strict]`, `off`, `default`.
pub fn window(words: &[&str]) -> Result<PolicyChange, String> {
    if let [word] = words
        && let Some(setting) = plain(word)
    {
        return Ok(PolicyChange::Window(setting));
    }
    let [days, start, length, rest @ ..] = words else {
        return Err("window: DAYS HH:MM LENGTH [ZONE] [strict], or off, or default".into());
    };
    let (zone, download) = match rest {
        [] => (None, Download::AnyTime),
        ["strict"] => (None, Download::Window),
        [zone] => (Some(zone.parse::<Zone>()?), Download::AnyTime),
        [zone, "strict"] => (Some(zone.parse::<Zone>()?), Download::Window),
        _ => return Err(format!("window: {}: not ZONE and strict", rest.join(" "))),
    };
    let minutes = match seconds(length).map(|seconds| seconds / 60) {
        Some(minutes @ 1..=1440) => minutes as u16,
        _ => return Err(format!("window: {length} is not a length like 90m or 3h, up to a day")),
    };
    let (days, start) = (self::days(days)?, start.parse::<TimeOfDay>()?);
    Ok(PolicyChange::Window(Setting::Is(Window { days, start, minutes, zone, download })))
}

/// Bytes a second with `k` or `M` behind them, `off`, `default`.
pub fn bandwidth(word: &str) -> Result<PolicyChange, String> {
    if let Some(setting) = plain(word) {
        return Ok(PolicyChange::Bandwidth(setting));
    }
    let (number, unit) = match word.strip_suffix('k') {
        Some(number) => (number, 1 << 10),
        None => word.strip_suffix('M').map_or((word, 1), |number| (number, 1 << 20)),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let bytes = bytes.ok_or_else(|| format!("bandwidth {word}: bytes a second, like 64k or 2M"))?;
    Ok(PolicyChange::Bandwidth(Setting::Is(bytes)))
}

fn plain<T>(word: &str) -> Option<Setting<T>> {
    match word {
        "off" => Some(Setting::Off),
        "default" => Some(Setting::Provisioned),
        _ => None,
    }
}

fn days(word: &str) -> Result<Vec<Day>, String> {
    if word == "daily" {
        return Ok(Vec::new());
    }
    let day = |name: &str| Day::ALL.into_iter().find(|day| day.name() == name);
    word.split(',')
        .map(|name| {
            day(name).ok_or_else(|| format!("window: {name:?} is not daily, or mon to sun"))
        })
        .collect()
}

/// `90m`, `24h`, `7d`.
fn seconds(word: &str) -> Option<u64> {
    let units = [('m', 60), ('h', 3600), ('d', 86_400)];
    let (number, unit) =
        units.into_iter().find_map(|(letter, unit)| Some((word.strip_suffix(letter)?, unit)))?;
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_understood() {
        let time = Setting::Is(Hold::Until(1_798_092_000));
        for (word, change) in [
            ("forever", PolicyChange::Hold(Setting::Is(Hold::Forever))),
            ("24h", PolicyChange::HoldFor(86_400)),
            ("7d", PolicyChange::HoldFor(604_800)),
            ("2026-12-24T06:00Z", PolicyChange::Hold(time)),
            ("off", PolicyChange::Hold(Setting::Off)),
            ("default", PolicyChange::Hold(Setting::Provisioned)),
        ] {
            assert_eq!(hold(word), Ok(change), "{word}");
        }
        for (word, bytes) in [("4096", 4096), ("64k", 65_536), ("2M", 2 << 20)] {
            assert_eq!(bandwidth(word), Ok(PolicyChange::Bandwidth(Setting::Is(bytes))), "{word}");
        }
        for (words, text) in [
            ("daily 02:00 3h", "every day 02:00 for 180 min"),
            ("sat,sun 23:30 90m Europe/Berlin", "sat,sun 23:30 for 90 min in Europe/Berlin"),
            ("mon 02:00 1h strict", "mon 02:00 for 60 min, downloads too"),
            ("mon 02:00 1h Etc/UTC strict", "mon 02:00 for 60 min in Etc/UTC, downloads too"),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            match window(&words) {
                Ok(PolicyChange::Window(Setting::Is(window))) => {
                    assert_eq!(window.to_string(), text)
                }
                other => panic!("{words:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn words_that_are_refused_and_why() {
        for (word, why) in
            [("0h", "a minute to a year"), ("367d", "a minute to a year"), ("soon", "neither")]
        {
            assert!(hold(word).unwrap_err().contains(why), "{word}");
        }
        for word in ["fast", "64K", "-1", ""] {
            assert!(bandwidth(word).unwrap_err().contains("bytes a second"), "{word}");
        }
        for (words, why) in [
            ("daily 02:00", "DAYS HH:MM LENGTH"),
            ("someday 02:00 1h", "someday"),
            ("daily 2:00 1h", "time of day"),
            ("daily 02:00 25h", "length"),
            ("daily 02:00 1h Europe/Berlim", "no time zone"),
            ("daily 02:00 1h Etc/UTC loose", "not ZONE and strict"),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            assert!(window(&words).unwrap_err().contains(why), "{words:?}");
        }
    }
}
