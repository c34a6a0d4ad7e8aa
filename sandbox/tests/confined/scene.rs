//! A root directory with busybox in it, and a process in it whose output is read.

use rustix::process::{WaitIdOptions, WaitIdStatus};
use sandbox::{
    Confinement, Error, IdMap, Identity, Mount, Process, Spawned, Stdio, profile, spawn,
};
use std::{
    fs,
    io::Read,
    os::{fd::AsFd, unix::fs::symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// The app's ids, as it sees them.
pub const APP: Identity = Identity { uid: 1_234, gid: 1_234 };
/// A range that nobody has on the machine.
pub const IDS: IdMap = IdMap::range(0x4321_0000);
const BUSYBOX: &str = "/bin/busybox";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory that is removed at the end.
pub struct Scene {
    pub dir: PathBuf,
}

impl Scene {
    /// A root with busybox and nothing else: no mount points.
    pub fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests need root: they make namespaces"
        );
        assert!(Path::new(BUSYBOX).exists(), "these tests need Debian's package busybox-static");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("sandbox-{}-{number}", std::process::id()));
        fs::create_dir_all(dir.join("root/bin")).unwrap();
        fs::create_dir_all(dir.join("root/etc")).unwrap();
        fs::write(dir.join("root/etc/own"), "own\n").unwrap();
        fs::write(dir.join("root/bin/busybox"), "").unwrap();
        symlink("busybox", dir.join("root/bin/sh")).unwrap();
        Self { dir }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// As an app of appd has it.
    pub fn app(&self) -> Confinement {
        let mut confinement = Confinement::app(self.root(), APP, IDS, &profile::APP);
        confinement.hostname = Some("inside".into());
        confinement.mounts = vec![
            executable(BUSYBOX, "/bin/busybox"),
            Mount::Proc,
            Mount::Dev(Vec::new()),
            Mount::Tmpfs {
                target: "/tmp".into(),
                size: 1 << 20,
                mode: 0o1777,
                owner: Identity { uid: 0, gid: 0 },
            },
        ];
        confinement
    }
}

impl Scene {
    /// As `app`, with the machine's programs and their libraries lent.
    pub fn app_with_programs(&self) -> Confinement {
        let mut confinement = self.app();
        for name in ["lib", "lib64"] {
            if Path::new("/").join(name).exists() {
                symlink(format!("usr/{name}"), self.root().join(name)).unwrap();
            }
        }
        confinement.mounts.push(executable("/usr", "/usr"));
        confinement
    }
}

/// Runs a Perl script, which Debian always has, and returns what it printed.
pub fn perl(confinement: &Confinement, script: &str) -> String {
    let mut process = Process::new("/usr/bin/perl");
    process.args = ["-e", script].map(Into::into).to_vec();
    run(confinement, process).unwrap_or_else(|e| panic!("{e}")).0
}

/// Lends a program of the machine. A copy could be "busy": another test's process may be born while
/// it is written.
pub fn executable(source: &str, target: &str) -> Mount {
    Mount::Bind { source: source.into(), target: target.into(), writable: false, executable: true }
}

/// Makes the app the owner.
pub fn give(path: &Path) {
    let owner = IDS.outside(APP.uid).unwrap();
    std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs a shell script inside and returns all it printed and its exit code.
pub fn sh(confinement: &Confinement, script: &str) -> (String, i32) {
    let mut process = Process::new("/bin/busybox");
    process.args = ["sh", "-c", script].map(Into::into).to_vec();
    process.env = vec![("PATH".into(), "/bin".into())];
    run(confinement, process).unwrap_or_else(|e| panic!("{e}"))
}

/// Runs a process to its end with its output in a pipe.
pub fn run(confinement: &Confinement, process: Process<'_>) -> Result<(String, i32), Error> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (stdout, stderr) = (Stdio::Fd(writer.as_fd()), Stdio::Fd(writer.as_fd()));
    let spawned = spawn(confinement, &Process { stdout, stderr, ..process })?;
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    Ok((text, wait(&spawned)))
}

/// Exit code, or 128 + N.
pub fn wait(spawned: &Spawned) -> i32 {
    let id = rustix::process::WaitId::PidFd(spawned.pidfd.as_fd());
    let status: WaitIdStatus =
        rustix::process::waitid(id, WaitIdOptions::EXITED).unwrap().expect("it ended");
    status.exit_status().or(status.terminating_signal().map(|s| 128 + s)).unwrap()
}
