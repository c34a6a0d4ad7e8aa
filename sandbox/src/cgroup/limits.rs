//! What a group may use, and how that is written.

use super::disk::Device;
use crate::error::{Error, Result};
use std::fmt::Write as _;

/// Period of `cpu.max` in microseconds, the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;
/// The kernel refuses a share of less than a millisecond of the period.
const CPU_PERCENT_LEAST: u32 = 1;
/// Range of `cpu.weight`.
const CPU_WEIGHTS: std::ops::RangeInclusive<u32> = 1..=10_000;
/// More than any kernel that this system is built for counts.
const CPU_LAST: u32 = 1023;
/// Below this not even a process's page tables and stack fit.
const MEMORY_LEAST: u64 = 1 << 20;

/// What a group may use; `None`, or a device that is not named, leaves the kernel's default, which
/// is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// `memory.max` in bytes; when it is exceeded the whole group is killed together
    /// (`memory.oom.group`).
    pub memory_max: Option<u64>,
    /// `memory.high` in bytes: above it the group is slowed down and its memory reclaimed.
    pub memory_high: Option<u64>,
    /// `memory.swap.max` in bytes, 0 for none.
    pub swap_max: Option<u64>,
    /// `pids.max`: processes and threads.
    pub pids_max: Option<u64>,
    /// `cpu.weight`, 1 to 10000, 100 is the default.
    pub cpu_weight: Option<u32>,
    /// `cpu.max` in percent of one core: 200 are two cores.
    pub cpu_percent: Option<u32>,
    /// `cpuset.cpus`: numbers of the cores to run on.
    pub cpus: Option<Vec<u32>>,
    /// `io.max`, each device once.
    pub io: Vec<IoLimit>,
}

/// How fast a group may use one disk; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoLimit {
    /// A whole disk: the kernel has no limits for partitions ([`super::disk_below`]).
    pub device: Device,
    /// Bytes read per second.
    pub read_bytes: Option<u64>,
    /// Bytes written per second.
    pub write_bytes: Option<u64>,
    /// Reads per second.
    pub reads: Option<u64>,
    /// Writes per second.
    pub writes: Option<u64>,
}

impl IoLimit {
    /// No limit on this device yet.
    pub const fn none(device: Device) -> Self {
        Self { device, read_bytes: None, write_bytes: None, reads: None, writes: None }
    }

    fn line(&self) -> String {
        let mut line = self.device.to_string();
        let values = [
            ("rbps", self.read_bytes),
            ("wbps", self.write_bytes),
            ("riops", self.reads),
            ("wiops", self.writes),
        ];
        for (name, value) in values {
            let value = value.map_or("max".into(), |v| v.to_string());
            write!(line, " {name}={value}").expect("a string takes all");
        }
        line
    }
}

/// A line for a file of the group.
pub(super) struct Setting {
    pub(super) file: &'static str,
    pub(super) value: String,
    /// Whether it is asked for, or takes back what may have been before.
    pub(super) wanted: bool,
}

impl Limits {
    /// Whether the values make sense, apart from what the machine has. [`super::create`] and
    /// [`super::update`] do this first.
    pub fn check(&self) -> Result<()> {
        let memory = [("memory.max", self.memory_max), ("memory.high", self.memory_high)];
        for (name, value) in memory {
            if let Some(bytes) = value.filter(|bytes| *bytes < MEMORY_LEAST) {
                return refuse(name, format!("{bytes} bytes are less than {MEMORY_LEAST}"));
            }
        }
        if self.pids_max == Some(0) {
            return refuse("pids.max", "0 processes cannot run".into());
        }
        if let Some(weight) = self.cpu_weight.filter(|weight| !CPU_WEIGHTS.contains(weight)) {
            return refuse("cpu.weight", format!("{weight} is not in 1 to 10000"));
        }
        if let Some(percent) = self.cpu_percent.filter(|percent| *percent < CPU_PERCENT_LEAST) {
            return refuse("cpu.max", format!("{percent} % of a core is less than 1 %"));
        }
        if self.cpus.as_ref().is_some_and(Vec::is_empty) {
            return refuse("cpuset.cpus", "no core at all".into());
        }
        if let Some(core) = self.cpus.iter().flatten().find(|core| **core > CPU_LAST) {
            return refuse("cpuset.cpus", format!("there is no core {core}"));
        }
        for (index, limit) in self.io.iter().enumerate() {
            if self.io[..index].iter().any(|other| other.device == limit.device) {
                return refuse("io.max", format!("device {} is there twice", limit.device));
            }
            let values = [limit.read_bytes, limit.write_bytes, limit.reads, limit.writes];
            if values.contains(&Some(0)) {
                return refuse(
                    "io.max",
                    format!("0 for device {} stops it for good", limit.device),
                );
            }
        }
        Ok(())
    }

    /// All files but `io.max`, in an order in which each step is allowed when the last ones are:
    /// `memory.high` before `memory.max`, so that lowering both reclaims before it kills.
    pub(super) fn settings(&self) -> Vec<Setting> {
        let bytes = |value: Option<u64>| value.map(|bytes| bytes.to_string());
        let quota = |percent: u32| u64::from(percent) * CPU_PERIOD_US / 100;
        let cpus = |list: &Vec<u32>| list.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        [
            ("memory.high", bytes(self.memory_high), "max"),
            ("memory.max", bytes(self.memory_max), "max"),
            ("memory.swap.max", bytes(self.swap_max), "max"),
            ("memory.oom.group", self.memory_max.map(|_| "1".into()), "0"),
            ("pids.max", bytes(self.pids_max), "max"),
            ("cpu.weight", self.cpu_weight.map(|weight| weight.to_string()), "100"),
            ("cpu.max", self.cpu_percent.map(|p| format!("{} {CPU_PERIOD_US}", quota(p))), "max"),
            // An empty line: what the parent has.
            ("cpuset.cpus", self.cpus.as_ref().map(cpus), "\n"),
        ]
        .into_iter()
        .map(|(file, value, default)| Setting {
            file,
            wanted: value.is_some(),
            value: value.unwrap_or_else(|| default.into()),
        })
        .collect()
    }

    /// Lines for `io.max`: the limits, and an end to those of `before` that are no more wanted.
    pub(super) fn io_settings(&self, before: &[Device]) -> Vec<Setting> {
        let wanted = |device: &Device| self.io.iter().any(|limit| limit.device == *device);
        let gone = before.iter().filter(|device| !wanted(device));
        let setting = |value, wanted| Setting { file: "io.max", value, wanted };
        gone.map(|device| setting(IoLimit::none(*device).line(), false))
            .chain(self.io.iter().map(|limit| setting(limit.line(), true)))
            .collect()
    }
}

fn refuse(name: &str, why: String) -> Result<()> {
    Err(Error::Invalid { what: format!("cgroup limit {name}"), why })
}

#[cfg(test)]
mod tests {
    use super::{Device, IoLimit, Limits};

    const CARD: Device = Device { major: 179, minor: 0 };

    #[test]
    fn each_limit_is_one_line_of_its_file_and_what_is_not_set_is_taken_back() {
        let limits = Limits {
            memory_max: Some(64 << 20),
            swap_max: Some(0),
            cpu_percent: Some(150),
            cpus: Some(vec![0, 2]),
            io: vec![IoLimit { write_bytes: Some(1 << 20), reads: Some(9), ..IoLimit::none(CARD) }],
            ..Limits::default()
        };
        limits.check().unwrap();
        let disk = Device { major: 8, minor: 0 };
        let lines: Vec<String> = limits
            .settings()
            .into_iter()
            .chain(limits.io_settings(&[CARD, disk]))
            .map(|s| format!("{}{} {:?}", s.file, if s.wanted { " =" } else { "" }, s.value))
            .collect();
        assert_eq!(
            lines,
            [
                "memory.high \"max\"",
                "memory.max = \"67108864\"",
                "memory.swap.max = \"0\"",
                "memory.oom.group = \"1\"",
                "pids.max \"max\"",
                "cpu.weight \"100\"",
                "cpu.max = \"150000 100000\"",
                "cpuset.cpus = \"0,2\"",
                "io.max \"8:0 rbps=max wbps=max riops=max wiops=max\"",
                "io.max = \"179:0 rbps=max wbps=1048576 riops=9 wiops=max\"",
            ]
        );
    }

    #[test]
    fn senseless_limits_are_refused_by_name() {
        let card = IoLimit::none(CARD);
        let rows: [(Limits, &str); 9] = [
            (
                Limits { memory_max: Some((1 << 20) - 1), ..Limits::default() },
                "cgroup limit memory.max: 1048575 bytes are less than 1048576",
            ),
            (
                Limits { memory_high: Some(0), ..Limits::default() },
                "cgroup limit memory.high: 0 bytes are less than 1048576",
            ),
            (
                Limits { pids_max: Some(0), ..Limits::default() },
                "cgroup limit pids.max: 0 processes cannot run",
            ),
            (
                Limits { cpu_weight: Some(10_001), ..Limits::default() },
                "cgroup limit cpu.weight: 10001 is not in 1 to 10000",
            ),
            (
                Limits { cpu_percent: Some(0), ..Limits::default() },
                "cgroup limit cpu.max: 0 % of a core is less than 1 %",
            ),
            (
                Limits { cpus: Some(vec![]), ..Limits::default() },
                "cgroup limit cpuset.cpus: no core at all",
            ),
            (
                Limits { cpus: Some(vec![0, 5000]), ..Limits::default() },
                "cgroup limit cpuset.cpus: there is no core 5000",
            ),
            (
                Limits { io: vec![card, card], ..Limits::default() },
                "cgroup limit io.max: device 179:0 is there twice",
            ),
            (
                Limits { io: vec![IoLimit { writes: Some(0), ..card }], ..Limits::default() },
                "cgroup limit io.max: 0 for device 179:0 stops it for good",
            ),
        ];
        for (limits, expected) in rows {
            assert_eq!(limits.check().unwrap_err().to_string(), expected);
        }
    }
}
