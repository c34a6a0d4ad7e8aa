//! Control groups, version 2: a directory per process group, one value per file.
//!
//! The kernel's rules that shape this module: a controller must be enabled in the parent's
//! `cgroup.subtree_control`
//! before its files exist in the child; a group that has enabled controllers for children may hold
//! no processes itself;
//! a group can be removed only when it is empty.

mod disk;
mod limits;
mod usage;

pub use disk::{Device, disk_below};
pub use limits::{IoLimit, Limits};
pub use usage::{IoUsage, Usage, memory_current, usage};

use crate::error::{Context, Error, Result};
use limits::Setting;
use std::{fs, io, path::Path};

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
    limits.check()?;
    match fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            return Err(e).context("make cgroup", path.display());
        }
        _ => {}
    }
    let io = limits.io_settings(&[]);
    let wanted = |setting: &Setting| setting.wanted;
    write(path, limits.settings().into_iter().chain(io).filter(wanted))
}

/// Changes the limits of a group that may hold processes: those of `limits` are set, all others
/// taken back. Memory that is above a lowered limit is reclaimed, or else the group is killed.
///
/// Nothing is changed when a value makes no sense or a controller is missing. When the kernel
/// refuses one all the same (a core that the machine lacks, a device that is no disk) the error
/// names it, and those before it stay changed.
pub fn update(path: &Path, limits: &Limits) -> Result<()> {
    limits.check()?;
    if !path.is_dir() {
        return Err(Error::Invalid {
            what: format!("cgroup {}", path.display()),
            why: "there is no such group".into(),
        });
    }
    let limited = fs::read_to_string(path.join("io.max")).unwrap_or_default();
    let limited: Vec<Device> = limited
        .lines()
        .filter_map(|line| Device::parse(line.split(' ').next().unwrap_or_default()))
        .collect();
    let io = limits.io_settings(&limited);
    let there = |setting: &Setting| setting.wanted || path.join(setting.file).exists();
    write(path, limits.settings().into_iter().chain(io).filter(there))
}

/// All files are looked for before the first is written.
fn write(path: &Path, settings: impl Iterator<Item = Setting>) -> Result<()> {
    let settings: Vec<Setting> = settings.collect();
    for Setting { file, .. } in &settings {
        if !path.join(file).exists() {
            return Err(Error::Invalid {
                what: format!("cgroup limit {file}"),
                why: format!("{} has no such controller", path.display()),
            });
        }
    }
    for Setting { file, value, .. } in settings {
        let file = path.join(file);
        let object = format!("{} to {:?}", file.display(), value.trim_end());
        // Unbuffered and in one call, as the kernel wants it.
        fs::write(&file, &value).context("set cgroup limit", object)?;
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

/// Ids of the processes in the group; none when it does not exist.
pub fn processes(path: &Path) -> Vec<i32> {
    let list = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect()
}
