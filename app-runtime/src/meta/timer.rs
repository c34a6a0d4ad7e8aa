//! Timers: when a service is started. The syntax is snapd's (`timeutil.ParseSchedule`):
//!
//! | written | means |
//! |---|---|
//! | `10:00` | every day at ten |
//! | `mon,fri,10:00,15:00` | on two days at two times |
//! | `mon-wed,9:00-11:00/2` | twice between nine and eleven: at nine and at ten |
//! | `9:00~11:00` | once between, at a time that is drawn anew each day |
//! | `mon1`, `fri5` | the first Monday, the last Friday of a month, at midnight |
//! | `mon1-wed`, `mon-wed1` | from the first Monday on, up to the first Wednesday |
//! | `mon,10:00,,fri,15:00` | either |

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Weekday},
};
use serde::Deserialize;

/// Minutes of a day.
const DAY: u32 = 24 * 60;
/// Of a window in which a time is drawn, so many minutes at its end are left out, as in snapd.
const MARGIN: u32 = 5;
/// Most starts in one span: one a minute for a day.
const MAX_SPLIT: u32 = DAY;
/// Every numbered weekday comes at least once in so many days.
const HORIZON: i32 = 100;
const DAYS: [(&str, Weekday); 7] = [
    ("sun", Weekday::Sunday),
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
];
/// The number of a weekday that means the last of a month.
const LAST: u8 = 5;

/// A whole schedule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Timer(Vec<Events>);

/// Times on days.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Events {
    /// None: every day.
    days: Vec<DaySpan>,
    /// None: at midnight.
    times: Vec<TimeSpan>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Day {
    weekday: Weekday,
    /// Which of the month, [`LAST`] for the last; `None`: every one.
    number: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DaySpan {
    from: Day,
    to: Day,
}

/// Minutes since midnight; `to` may be of the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TimeSpan {
    from: u32,
    to: u32,
    split: u32,
    drawn: bool,
}

impl TryFrom<String> for Timer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |part: &str| format!("timer: {text:?}: {part:?} is not a day or a time");
        let events = |set: &str| events(set).map_err(|part| wrong(&part));
        text.split(",,").map(events).collect::<Result<_, _>>().map(Self)
    }
}

/// One set; the error is the part that is wrong.
fn events(set: &str) -> Result<Events, String> {
    let mut events = Events { days: Vec::new(), times: Vec::new() };
    for part in set.split(',') {
        let wrong = || if part.is_empty() { set.to_string() } else { part.to_string() };
        if part.contains(':') {
            events.times.push(TimeSpan::parse(part).ok_or_else(wrong)?);
        } else if events.times.is_empty() {
            events.days.push(DaySpan::parse(part).ok_or_else(wrong)?);
        } else {
            return Err(wrong());
        }
    }
    Ok(events)
}

impl Day {
    fn parse(text: &str) -> Option<Self> {
        let (name, number) = text.split_at_checked(3)?;
        let (_, weekday) = DAYS.iter().find(|(day, _)| *day == name)?;
        let number = match number {
            "" => None,
            digit => {
                Some(digit.parse().ok().filter(|n| digit.len() == 1 && (1..=LAST).contains(n))?)
            }
        };
        Some(Self { weekday: *weekday, number })
    }

    /// The day of that number in a month; the fifth is the last.
    fn of(self, month: Date) -> Option<Date> {
        let number = self.number.unwrap_or(1);
        let nth = if number == LAST { -1 } else { number as i8 };
        month.nth_weekday_of_month(nth, self.weekday).ok()
    }
}

impl DaySpan {
    fn parse(text: &str) -> Option<Self> {
        let Some((from, to)) = text.split_once('-') else {
            let day = Day::parse(text)?;
            return Some(Self { from: day, to: day });
        };
        let (from, mut to) = (Day::parse(from)?, Day::parse(to)?);
        if from.number.is_some() && to.number.is_some() && from != to {
            if to.number < from.number {
                return None;
            }
            // As snapd: two numbers do not say which week is meant, the first one holds.
            to.number = None;
        }
        Some(Self { from, to })
    }

    fn holds(self, date: Date) -> bool {
        let offset = |day: Day| day.weekday.to_sunday_zero_offset();
        if self.from.number.is_none() && self.to.number.is_none() {
            let (day, from, to) =
                (date.weekday().to_sunday_zero_offset(), offset(self.from), offset(self.to));
            return if from <= to { (from..=to).contains(&day) } else { day >= from || day <= to };
        }
        // A span may begin in the month before, or end in the month after.
        let month = date.first_of_month();
        [month.checked_sub(1.day()), Ok(month), month.checked_add(1.month())]
            .into_iter()
            .flatten()
            .filter_map(|month| self.range(month))
            .any(|(from, to)| (from..=to).contains(&date))
    }

    /// The dates that it means in the month that its number is about.
    fn range(self, month: Date) -> Option<(Date, Date)> {
        let distance = self.from.weekday.until(self.to.weekday);
        let length = match distance {
            0 if self.from != self.to => 7,
            days => days,
        };
        if self.from.number.is_some() {
            let from = self.from.of(month)?;
            return Some((from, from.checked_add(i64::from(length).days()).ok()?));
        }
        let to = self.to.of(month)?;
        Some((to.checked_sub(i64::from(length).days()).ok()?, to))
    }
}

impl TimeSpan {
    fn parse(text: &str) -> Option<Self> {
        let (times, split) = match text.split_once('/') {
            None => (text, 1),
            Some((times, count)) => {
                let digits = count.bytes().all(|b| b.is_ascii_digit());
                (times, count.parse().ok().filter(|n| (1..=MAX_SPLIT).contains(n) && digits)?)
            }
        };
        let drawn = times.contains('~');
        let Some((from, to)) = times.split_once(['-', '~']) else {
            let at = clock(times)?;
            return Some(Self { from: at, to: at, split: 1, drawn: false });
        };
        let (from, to) = (clock(from)?, clock(to)?);
        let to = if to < from { to + DAY } else { to };
        Some(Self { from, to, split, drawn })
    }

    /// Windows in which it starts, as minutes since midnight.
    fn windows(self) -> impl Iterator<Item = (u32, u32)> {
        let length = self.to - self.from;
        let split = if length == 0 { 1 } else { self.split };
        let step = length / split;
        (0..split).map(move |index| {
            let from = self.from + index * step;
            (from, if self.drawn { from + step.saturating_sub(MARGIN) } else { from })
        })
    }
}

/// `9:00`, `09:00`, `24:00` as minutes.
fn clock(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(hour) || !digits(minute) || !(1..=2).contains(&hour.len()) || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY).then_some(minutes)
}

impl Timer {
    /// The first start after `after`. `draw(n)` is a number below `n`, for times that are drawn.
    pub fn next(&self, after: DateTime, mut draw: impl FnMut(u32) -> u32) -> Option<DateTime> {
        // Yesterday's spans may reach into today.
        let first = after.date().checked_sub(1.day()).ok()?;
        let mut best: Option<DateTime> = None;
        for days in 0..HORIZON {
            let date = first.checked_add(days.days()).ok()?;
            let starts = self.0.iter().filter(|events| events.on(date)).flat_map(Events::windows);
            for (from, to) in starts {
                let drawn = if to > from { draw(to - from) } else { 0 };
                let start = date.to_datetime(jiff::civil::Time::midnight());
                let start = start.checked_add(i64::from(from + drawn).minutes()).ok()?;
                if start > after && best.is_none_or(|best| start < best) {
                    best = Some(start);
                }
            }
            // What begins tomorrow is later than anything of today, but for spans over midnight.
            if best.is_some_and(|best| best.date() <= date) {
                break;
            }
        }
        best
    }
}

impl Events {
    fn on(&self, date: Date) -> bool {
        self.days.is_empty() || self.days.iter().any(|span| span.holds(date))
    }

    fn windows(&self) -> Vec<(u32, u32)> {
        match self.times.is_empty() {
            true => vec![(0, 0)],
            false => self.times.iter().flat_map(|span| span.windows()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(text: &str) -> Timer {
        Timer::try_from(text.to_string()).unwrap()
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_part() {
        for (text, part) in [
            ("", ""),
            ("invalid-11:00", "invalid-11:00"),
            ("9:00-11:00/invalid", "9:00-11:00/invalid"),
            ("9:00-11:00/0", "9:00-11:00/0"),
            ("09:00-25:00", "09:00-25:00"),
            ("09:00-24:30", "09:00-24:30"),
            ("mon-01:00", "mon-01:00"),
            ("mon,,", ""),
            ("mon6", "mon6"),
            ("mon0", "mon0"),
            ("monday", "monday"),
            ("mo", "mo"),
            ("mon4-mon1", "mon4-mon1"),
            ("mon-tue-wed", "mon-tue-wed"),
            ("10:00,mon", "mon"),
            ("9:5", "9:5"),
            ("9:60", "9:60"),
            ("1:00-2:00/99999999999", "1:00-2:00/99999999999"),
        ] {
            let error = Timer::try_from(text.to_string()).expect_err(text);
            assert!(error.contains(&format!("{part:?} is not")), "{text}: {error}");
        }
    }

    /// July 2018 begins on a Sunday, August on a Wednesday.
    #[test]
    fn the_days_of_numbered_spans() {
        let rows: [(&str, &[&str]); 11] = [
            ("mon", &["08-06", "08-13", "08-20", "08-27", "09-03"]),
            ("fri-mon", &["08-03", "08-04", "08-05", "08-06", "08-10"]),
            ("mon1", &["08-06", "09-03", "10-01", "11-05", "12-03"]),
            ("fri5", &["08-31", "09-28", "10-26", "11-30", "12-28"]),
            ("mon1-fri", &["08-06", "08-07", "08-08", "08-09", "08-10"]),
            ("mon-fri2", &["08-06", "08-07", "08-08", "08-09", "08-10"]),
            ("fri1-mon", &["08-03", "08-04", "08-05", "08-06", "09-07"]),
            // Over the beginning of a month.
            ("mon-fri1", &["08-01", "08-02", "08-03", "09-03", "09-04"]),
            ("fri4-thu", &["08-01", "08-02", "08-24", "08-25", "08-26"]),
            ("mon1-mon", &["08-06", "08-07", "08-08", "08-09", "08-10"]),
            ("mon1-tue2", &["08-06", "08-07", "09-03", "09-04", "10-01"]),
        ];
        for (text, expected) in rows {
            let mut at: DateTime = "2018-07-31T12:00".parse().unwrap();
            let found: Vec<String> = (0..expected.len())
                .map(|_| {
                    at = timer(text).next(at, |_| 0).unwrap();
                    at.strftime("%m-%d").to_string()
                })
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn the_times_of_a_day() {
        let rows: [(&str, &[&str]); 8] = [
            ("10:00", &["01T10:00", "02T10:00"]),
            ("0:00,24:00", &["02T00:00", "03T00:00"]),
            ("9:00-11:00", &["01T09:00", "02T09:00"]),
            ("9:00-11:00/2", &["01T09:00", "01T10:00", "02T09:00"]),
            ("23:00-1:00/2", &["01T00:00", "01T23:00", "02T00:00"]),
            ("9:00~11:00", &["01T10:54", "02T10:54"]),
            ("9:00~11:00/2", &["01T09:54", "01T10:54", "02T09:54"]),
            ("thu,10:00,,wed,8:30,9:00", &["01T08:30", "01T09:00", "02T10:00", "08T08:30"]),
        ];
        for (text, expected) in rows {
            let mut at: DateTime = "2018-07-31T23:30".parse().unwrap();
            if text.starts_with("0:00") {
                at = "2018-08-01T00:00".parse().unwrap();
            }
            let found: Vec<String> = (0..expected.len())
                .map(|_| {
                    at = timer(text).next(at, |n| n - 1).unwrap();
                    at.strftime("%dT%H:%M").to_string()
                })
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
