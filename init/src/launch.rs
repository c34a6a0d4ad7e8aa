//! From a manifest to a running process: the one place where init starts something.

use crate::{
    Error, Result, early,
    error::At,
    kmsg,
    manifest::{Manifest, Output},
};
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

/// Starts a service.
pub fn launch(manifest: &Manifest) -> Result<Launched> {
    let place = Path::new(early::SYSTEM_CGROUP).join(&manifest.name);
    let limits = sandbox::Limits {
        memory_max: manifest.limits.memory_mib.map(|mib| mib << 20),
        pids_max: Some(manifest.limits.processes.unwrap_or(DEFAULT_PROCESSES)),
        ..Default::default()
    };
    let mut confinement = confinement(manifest)?;
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

fn confinement(manifest: &Manifest) -> Result<Confinement> {
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
    let hidden = rights.hidden.iter().map(|path| Mount::Hide(path.into()));
    confinement.mounts = writable.chain(hidden).collect();
    Ok(confinement)
}

fn environment(manifest: &Manifest) -> Vec<(OsString, OsString)> {
    let path = ("PATH".into(), "/sbin:/bin:/usr/sbin:/usr/bin".into());
    let own = manifest.environment.iter().map(|(name, value)| (name.into(), value.into()));
    std::iter::once(path).chain(own).collect()
}
