//! From a manifest to a running process: the one place where init starts something.

use crate::{
    Error, Result,
    disk::Disk,
    early,
    error::At,
    kmsg,
    manifest::{Devices, Manifest, Output},
};
use bootloader_config::layout;
use rustix::pipe::{PipeFlags, pipe_with};
use sandbox::{CgroupPlace, Confinement, Mount, Process, Resource, Stdio};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

/// Processes and threads of a service that says nothing: enough for any, few enough to survive a
/// fork bomb.
const DEFAULT_PROCESSES: u64 = 64;

/// A started service.
pub struct Launched {
    /// Its process.
    pub pid: i32,
    /// Where its output comes from; `None` when that is the console.
    pub output: Option<File>,
}

/// Starts a service of a device that runs from `disk`.
pub fn launch(manifest: &Manifest, disk: Option<&Disk>) -> Result<Launched> {
    let place = Path::new(early::SYSTEM_CGROUP).join(&manifest.name);
    let limits = sandbox::Limits {
        memory_max: manifest.limits.memory_mib.map(|mib| mib << 20),
        pids_max: Some(manifest.limits.processes.unwrap_or(DEFAULT_PROCESSES)),
        ..Default::default()
    };
    let devices = manifest.confinement.as_ref().map(|rights| rights.devices);
    if disk.is_none() && devices == Some(Devices::Hardware) {
        kmsg::warning(&format!("{}: no disk is known that it should not see", manifest.name));
    }
    let mut confinement = confinement(manifest, disk)?;
    if Path::new(early::SYSTEM_CGROUP).exists() {
        confinement.cgroup = Some(CgroupPlace { path: place, limits });
    }
    if let Some(files) = manifest.limits.open_files {
        confinement.rlimits.push((Resource::Nofile, files));
    }
    let mut process = Process::new(PathBuf::from(&manifest.command));
    process.args = manifest.args.iter().map(OsString::from).collect();
    process.env = environment(manifest);
    match manifest.output {
        Output::Log => {
            let (read, write) =
                pipe_with(PipeFlags::CLOEXEC).at("make a pipe for", &manifest.name)?;
            process.stdout = Stdio::Fd(write.as_fd());
            process.stderr = Stdio::Fd(write.as_fd());
            let pid = start(manifest, &confinement, &process)?;
            Ok(Launched { pid, output: Some(nonblocking(read)?) })
        }
        Output::Console => {
            let console = OpenOptions::new().read(true).write(true).open("/dev/console");
            let console = console.at("open", "/dev/console")?;
            process.stdin = Stdio::Fd(console.as_fd());
            process.stdout = Stdio::Fd(console.as_fd());
            process.stderr = Stdio::Fd(console.as_fd());
            Ok(Launched { pid: start(manifest, &confinement, &process)?, output: None })
        }
    }
}

fn start(manifest: &Manifest, confinement: &Confinement, process: &Process<'_>) -> Result<i32> {
    let spawned = sandbox::spawn(confinement, process)
        .map_err(|error| Error::invalid(&manifest.name, error.to_string()))?;
    if let Some(report) = spawned.landlock.filter(|report| !report.missing.is_empty()) {
        kmsg::warning(&format!("{}: {report}", manifest.name));
    }
    Ok(spawned.pid.as_raw_nonzero().get())
}

/// Only our end: the service's own must block, or it would lose output.
fn nonblocking(fd: OwnedFd) -> Result<File> {
    rustix::io::ioctl_fionbio(&fd, true).at("set non-blocking", "a log pipe")?;
    Ok(File::from(fd))
}

/// What a manifest's `[confinement]` means; without one, nothing is taken.
pub fn confinement(manifest: &Manifest, disk: Option<&Disk>) -> Result<Confinement> {
    let Some(rights) = &manifest.confinement else { return Ok(Confinement::unconfined()) };
    let unknown = |what: &str, name: &str| {
        Error::invalid(&manifest.name, format!("confinement: unknown {what} {name}"))
    };
    let profile = sandbox::profile::by_name(&rights.seccomp)
        .ok_or_else(|| unknown("seccomp profile", &rights.seccomp))?;
    let mut confinement = Confinement::service(profile);
    confinement.capabilities =
        sandbox::capability::by_names(rights.capabilities.iter().map(String::as_str))
            .map_err(|name| unknown("capability", name))?;
    let writable = rights.writable.iter().map(|path| Mount::Writable(path.into()));
    let read_only = rights.read_only.iter().map(|path| Mount::ReadOnly(path.into()));
    let hidden = rights.hidden.iter().map(|path| Mount::Hide(path.into()));
    let devices = devices(rights.devices, disk);
    confinement.mounts = writable.chain(read_only).chain(hidden).chain(devices).collect();
    confinement.umask = rights.umask;
    if !rights.landlock {
        confinement.landlock = None;
    }
    Ok(confinement)
}

fn devices(seen: Devices, disk: Option<&Disk>) -> Vec<Mount> {
    let slots = [layout::SLOT_A, layout::SLOT_B].map(|slot| u32::from(slot.number));
    let partitions = disk.map(Disk::partitions).unwrap_or_default();
    match seen {
        Devices::Standard => vec![Mount::Dev(Vec::new())],
        Devices::Slots => {
            let slots = partitions.into_iter().filter(|p| slots.contains(&p.number));
            vec![Mount::Dev(slots.map(|slot| slot.device).collect())]
        }
        Devices::Hardware => {
            let whole = disk.map(Disk::devices).unwrap_or_default();
            let parts = partitions.into_iter().map(|partition| partition.device);
            whole.into_iter().chain(parts).chain(mapped()).map(Mount::Hide).collect()
        }
    }
}

/// What is mapped from the disk: the running slot, and its root file system.
fn mapped() -> impl Iterator<Item = PathBuf> {
    let nodes = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let nodes = nodes.filter(|node| node.file_name().to_string_lossy().starts_with("dm-"));
    nodes.map(|node| node.path()).chain([PathBuf::from("/dev/mapper")])
}

fn environment(manifest: &Manifest) -> Vec<(OsString, OsString)> {
    let path = ("PATH".into(), "/sbin:/bin:/usr/sbin:/usr/bin".into());
    let own = manifest.environment.iter().map(|(name, value)| (name.into(), value.into()));
    std::iter::once(path).chain(own).collect()
}
