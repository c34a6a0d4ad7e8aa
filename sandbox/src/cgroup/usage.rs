//! What a group uses and has used.

use super::disk::Device;
use std::{fs, path::Path};

/// Each value is `None` where the machine or the group lacks the controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory, now.
    pub memory: Option<u64>,
    /// The most that it ever was.
    pub memory_peak: Option<u64>,
    /// Bytes in swap, now.
    pub swap: Option<u64>,
    /// How often processes of the group were killed for lack of memory.
    pub oom_kills: Option<u64>,
    /// Processes and threads, now.
    pub pids: Option<u64>,
    /// Microseconds of processor time, in all. Known without the controller as well.
    pub cpu_us: Option<u64>,
    /// Microseconds for which `cpu.max` held the group up, in all.
    pub throttled_us: Option<u64>,
    /// Per disk, in all.
    pub io: Vec<IoUsage>,
}

/// What went to and from one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoUsage {
    /// The disk.
    pub device: Device,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Looks at the group at `path`; everything is `None` when there is no such group.
pub fn usage(path: &Path) -> Usage {
    let text = |name: &str| fs::read_to_string(path.join(name)).ok();
    let number = |name: &str| text(name)?.trim().parse().ok();
    let (events, cpu) = (text("memory.events"), text("cpu.stat"));
    Usage {
        memory: memory_current(path),
        memory_peak: number("memory.peak"),
        swap: number("memory.swap.current"),
        oom_kills: value(events.as_deref(), "oom_kill"),
        pids: number("pids.current"),
        cpu_us: value(cpu.as_deref(), "usage_usec"),
        throttled_us: value(cpu.as_deref(), "throttled_usec"),
        io: text("io.stat").iter().flat_map(|text| text.lines()).filter_map(io_line).collect(),
    }
}

/// Bytes of memory that the group uses now; `None` without the memory controller.
pub fn memory_current(path: &Path) -> Option<u64> {
    fs::read_to_string(path.join("memory.current")).ok()?.trim().parse().ok()
}

/// `NAME VALUE`, one a line.
fn value(text: Option<&str>, name: &str) -> Option<u64> {
    let mut pairs = text?.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(found, _)| *found == name)?.1.trim().parse().ok()
}

/// `179:0 rbytes=1 wbytes=2 rios=3 wios=4 …`; a device that nothing went to has no values.
fn io_line(line: &str) -> Option<IoUsage> {
    let (device, rest) = line.split_once(' ')?;
    let of = |name: &str| {
        let mut pairs = rest.split(' ').filter_map(|pair| pair.split_once('='));
        pairs.find(|(found, _)| *found == name)?.1.parse().ok()
    };
    Some(IoUsage {
        device: Device::parse(device)?,
        read_bytes: of("rbytes")?,
        write_bytes: of("wbytes")?,
        reads: of("rios")?,
        writes: of("wios")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Device, IoUsage, io_line, value};

    #[test]
    fn values_are_found_by_their_whole_name() {
        let events = "low 1\noom 7\noom_kill 3\noom_group_kill 2\n";
        assert_eq!(value(Some(events), "oom_kill"), Some(3));
        assert_eq!(value(Some(events), "kill"), None);
        assert_eq!(value(None, "oom_kill"), None);
    }

    #[test]
    fn a_device_without_values_is_none() {
        let line = "179:0 rbytes=4096 wbytes=0 rios=1 wios=2 dbytes=0 dios=0";
        let device = Device { major: 179, minor: 0 };
        let expected = IoUsage { device, read_bytes: 4096, write_bytes: 0, reads: 1, writes: 2 };
        assert_eq!(io_line(line), Some(expected));
        for line in ["", "179:0", "179:0 ", "loop0 rbytes=1", "7:0 rbytes=x wbytes=0 rios=0 wios=0"]
        {
            assert_eq!(io_line(line), None, "{line:?}");
        }
    }
}
