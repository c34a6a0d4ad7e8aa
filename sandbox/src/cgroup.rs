//! Control groups, version 2: a directory per process group, one value per file.
//!
//! The kernel's rules that shape this module: a controller must be enabled in the parent's
//! `cgroup.subtree_control`
//! before its files exist in the child; a group that has enabled controllers for children may hold
//! no processes itself;
//! a group can be removed only when it is empty.

use crate::error::{Context, Error, Result};
use std::{fs, io, path::Path};

/// Period of `cpu.max` in microseconds, the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// What a group may use; `None` leaves the kernel's default (no limit).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// `memory.max` in bytes; when it is exceeded the whole group is killed together
    /// (`memory.oom.group`).
    pub memory_max: Option<u64>,
    /// `pids.max`: processes and threads.
    pub pids_max: Option<u64>,
    /// `cpu.weight`, 1 to 10000, 100 is the default.
    pub cpu_weight: Option<u32>,
    /// `cpu.max` in percent of one core.
    pub cpu_percent: Option<u32>,
}

/// Makes `parent` and enables for its children those of `wanted` controllers that it has. Returns
/// the missing ones.
pub fn enable_controllers<'a>(parent: &Path, wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    fs::create_dir_all(parent).context("make cgroup", parent.display())?;
    let file = parent.join("cgroup.controllers");
    let available = fs::read_to_string(&file).context("read", file.display())?;
    let has = |name: &str| available.split_ascii_whitespace().any(|c| c == name);
    let control = parent.join("cgroup.subtree_control");
    for name in wanted.iter().filter(|name| has(name)) {
        fs::write(&control, format!("+{name}"))
            .context("enable cgroup controller", format_args!("{name} in {}", control.display()))?;
    }
    Ok(wanted.iter().copied().filter(|name| !has(name)).collect())
}

/// Makes the group when it is missing and sets its limits. A limit whose controller is missing is
/// an error.
pub fn create(path: &Path, limits: &Limits) -> Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(e).context("make cgroup", path.display());
        }
        _ => {}
    }
    let mut values: Vec<(&str, String)> = Vec::new();
    if let Some(bytes) = limits.memory_max {
        values.push(("memory.max", bytes.to_string()));
        values.push(("memory.oom.group", "1".into()));
    }
    if let Some(count) = limits.pids_max {
        values.push(("pids.max", count.to_string()));
    }
    if let Some(weight) = limits.cpu_weight {
        values.push(("cpu.weight", weight.to_string()));
    }
    if let Some(percent) = limits.cpu_percent {
        let quota = u64::from(percent) * CPU_PERIOD_US / 100;
        values.push(("cpu.max", format!("{quota} {CPU_PERIOD_US}")));
    }
    for (name, value) in values {
        let file = path.join(name);
        if !file.exists() {
            return Err(Error::Invalid {
                what: format!("cgroup limit {name}"),
                why: format!("{} has no such controller", path.display()),
            });
        }
        fs::write(&file, &value).context("set cgroup limit", file.display())?;
    }
    Ok(())
}

/// Kills everything in the group and below it (`cgroup.kill`). A group that does not exist is fine.
pub fn kill(path: &Path) -> Result<()> {
    let file = path.join("cgroup.kill");
    match fs::write(&file, "1") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.context("kill cgroup", file.display()),
    }
}

/// Removes an empty group. A group that does not exist is fine; one with processes is an error
/// (`EBUSY`).
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.context("remove cgroup", path.display()),
    }
}

/// Bytes of memory that the group uses now; `None` without the memory controller.
pub fn memory_current(path: &Path) -> Option<u64> {
    fs::read_to_string(path.join("memory.current")).ok()?.trim().parse().ok()
}

/// How often the group was killed for lack of memory; `None` without the memory controller.
pub fn oom_kills(path: &Path) -> Option<u64> {
    let events = fs::read_to_string(path.join("memory.events")).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}
