//! What all processes of a snap together may use, as limits of the cgroup that holds the groups of
//! its services.

use crate::{
    confine::CONTROLLERS,
    error::{Error, Result},
    paths::Paths,
};
use protocol::quota::Quota;
use sandbox::{Limits, cgroup};

/// Code of a quota that this machine cannot hold.
const QUOTA_CODE: &str = "quota-invalid";

/// Refuses what makes no sense, or what the machine, which lacks these controllers, cannot hold.
pub fn check(paths: &Paths, quota: &Quota, missing: &[&'static str]) -> Result<()> {
    let needs = [
        ("memory", quota.memory.is_some()),
        ("cpu", quota.cpu.is_some()),
        ("cpuset", quota.cpu_set.is_some()),
        ("pids", quota.threads.is_some()),
        ("io", quota.io_read.is_some() || quota.io_write.is_some()),
    ];
    if let Some((name, _)) = needs.iter().find(|(name, used)| *used && missing.contains(name)) {
        let why = format!("this machine has no cgroup controller {name}");
        return Err(Error::refused(QUOTA_CODE, why));
    }
    let limits = limits(paths, quota)?;
    limits.check().map_err(|error| Error::refused(QUOTA_CODE, error))
}

/// As limits of a group.
pub fn limits(paths: &Paths, quota: &Quota) -> Result<Limits> {
    let mut io = Vec::new();
    if quota.io_read.is_some() || quota.io_write.is_some() {
        let disk = cgroup::disk_below(&paths.snaps())
            .map_err(|error| Error::refused(QUOTA_CODE, error))?;
        let mut limit = cgroup::IoLimit::none(disk);
        (limit.read_bytes, limit.write_bytes) = (quota.io_read, quota.io_write);
        io.push(limit);
    }
    Ok(Limits {
        memory_max: quota.memory,
        pids_max: quota.threads,
        cpu_percent: quota.cpu,
        cpus: quota.cpu_set.clone(),
        io,
        ..Limits::default()
    })
}

/// Makes the group of a snap, which holds those of its services.
pub fn make(paths: &Paths, name: &str, quota: &Quota) -> Result<()> {
    let group = paths.snap_cgroup(name);
    cgroup::create(&group, &limits(paths, quota)?)?;
    // What the machine lacks was told when appd started.
    cgroup::enable_controllers(&group, &CONTROLLERS)?;
    Ok(())
}

/// Changes the bounds of a group that may hold processes.
pub fn change(paths: &Paths, name: &str, quota: &Quota) -> Result<()> {
    let group = paths.snap_cgroup(name);
    if !group.is_dir() {
        return Ok(());
    }
    Ok(cgroup::update(&group, &limits(paths, quota)?)?)
}
