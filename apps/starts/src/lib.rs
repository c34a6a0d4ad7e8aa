//! Starts of one static program, timed from the request to its first output: by fork and exec
//! alone, which nothing can be faster than, and confined by us as appd confines an app: user,
//! mount, pid, network, IPC, UTS and cgroup namespaces, a root of its own, seccomp, Landlock, a
//! cgroup, a reaper. `cargo xtask bench app` does it on the machine at hand beside other tools, and
//! with the program of this crate on a gateway in QEMU.

mod family;

use rustix::process::{Pid, Signal, WaitOptions};
use sandbox::{
    CgroupPlace, Confinement, IdMap, Identity, Limits, Mount, Process, Stdio, clocks, profile,
    spawn,
};
use std::{
    fs, io,
    io::Read,
    os::{fd::AsFd, unix::fs::symlink},
    path::Path,
    process::{Command, Stdio as Pipe},
    sync::Arc,
    time::{Duration, Instant},
};

/// Where a root has the program.
pub const PROGRAM: &str = "/bin/busybox";
/// It says that it is up, and waits.
pub const SCRIPT: [&str; 3] = ["sh", "-c", "echo up; exec sleep 1000"];
/// Bytes of what it says.
const UP: usize = 3;
/// User of the confined program, here and there.
const USER: Identity = Identity { uid: 1000, gid: 1000 };
const RANGE: u32 = 0x4400_0000;
/// Time for what a start leaves to be done, before memory is read.
const SETTLE: Duration = Duration::from_millis(200);

/// A program that said that it is up.
#[derive(Debug)]
pub struct Started {
    pid: i32,
    /// From the request to its first output.
    pub took: Duration,
}

/// Makes a root with the program, a copy of the static `busybox`.
pub fn make_root(root: &Path, busybox: &Path) -> io::Result<()> {
    for name in ["bin", "proc", "dev", "sys", "tmp", "run", "etc"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy(busybox, root.join("bin/busybox"))?;
    for name in ["sh", "sleep"] {
        symlink("busybox", root.join("bin").join(name))?;
    }
    Ok(())
}

/// By fork and exec alone.
pub fn plain(busybox: &Path) -> io::Result<Started> {
    timed(Command::new(busybox).args(SCRIPT))
}

/// Starts a command and waits for its first output; when there is none, the error is what it said.
pub fn timed(command: &mut Command) -> io::Result<Started> {
    command.stdin(Pipe::null()).stdout(Pipe::piped()).stderr(Pipe::piped());
    let began = Instant::now();
    let mut child = command.spawn()?;
    let mut output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    if output.read_exact(&mut [0; UP]).is_err() {
        let mut said = String::new();
        if let Some(mut errors) = child.stderr.take() {
            errors.read_to_string(&mut said)?;
        }
        child.wait()?;
        return Err(io::Error::other(said.trim()));
    }
    let took = began.elapsed();
    Ok(Started { pid: i32::try_from(child.id()).unwrap_or_default(), took })
}

/// By us, in a root of [`make_root`].
pub fn ours(root: &Path, cgroup: &Path) -> io::Result<Started> {
    let mut confinement = Confinement::app(root, USER, IdMap::range(RANGE), &profile::APP);
    let owner = Identity { uid: 0, gid: 0 };
    let tmpfs =
        |target: &str| Mount::Tmpfs { target: target.into(), size: 16 << 20, mode: 0o1777, owner };
    confinement.mounts = vec![Mount::Proc, Mount::Dev(Vec::new()), tmpfs("/tmp"), tmpfs("/run")];
    confinement.hostname = Some("bench".into());
    confinement.cgroup = Some(CgroupPlace { path: cgroup.into(), limits: Limits::default() });
    let (mut reader, writer) = io::pipe()?;
    let mut process = Process::new(PROGRAM);
    process.args = SCRIPT.map(Into::into).to_vec();
    process.stdout = Stdio::Fd(writer.as_fd());
    let began = Instant::now();
    // A snap's services share them; here each start pays for them.
    confinement.clocks = Some(Arc::new(clocks::new().map_err(io::Error::other)?));
    let spawned = spawn(&confinement, &process).map_err(io::Error::other)?;
    reader.read_exact(&mut [0; UP])?;
    Ok(Started { pid: spawned.pid.as_raw_pid(), took: began.elapsed() })
}

impl Started {
    /// Memory in KiB of everything that stays beside the app itself.
    pub fn beside(&self) -> io::Result<u64> {
        std::thread::sleep(SETTLE);
        family::beside(self.pid)
    }

    /// Ends all of it, and waits for what is our own child.
    pub fn end(self) {
        for pid in family::of(self.pid) {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

/// The one in the middle; nothing of nothing.
pub fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}
