//! What confinement costs an app: from the start to its first output, and the memory of what stays
//! beside it, on this machine. The same static program, started
//!
//! - by fork and exec alone, which nothing can be faster than;
//! - by us, confined as appd confines an app: user, mount, pid, network, IPC, UTS and cgroup
//!   namespaces, a root of its own, seccomp, Landlock, a cgroup, a reaper;
//! - by `bwrap` with all its namespaces, which has neither seccomp nor a cgroup here;
//! - by `crun` and `runc`, with the configuration that they make themselves.
//!
//! In turns, so that what else the machine does meets all of them; the median counts.

use crate::child;
use crate::error::{Error, Result, ensure, file};
use crate::paths;
use rustix::process::{Pid, Signal, WaitOptions};
use sandbox::{
    CgroupPlace, Confinement, IdMap, Identity, Limits, Mount, Process, Stdio, profile, spawn,
};
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Pipe};
use std::time::{Duration, Instant};

/// Starts of each.
const ROUNDS: usize = 41;
/// The program: Debian's, static.
const BUSYBOX: &str = "/bin/busybox";
/// It says that it is up, and waits.
const SCRIPT: [&str; 3] = ["sh", "-c", "echo up; exec sleep 1000"];
/// User of the confined program, here and there.
const USER: Identity = Identity { uid: 1000, gid: 1000 };
const RANGE: u32 = 0x4400_0000;
/// Time for what a start leaves to be done, before memory is read.
const SETTLE: Duration = Duration::from_millis(200);
/// What counts as the app itself.
const APP: [&str; 3] = ["busybox", "sh", "sleep"];

/// A way to start it.
type Starter = fn(&Place) -> Result<Started>;

/// Ways by name.
const WAYS: [(&str, Starter); 5] = [
    ("fork, exec", plain),
    ("ours", ours),
    ("bwrap, all namespaces", bwrap),
    ("crun", crun),
    ("runc", runc),
];

/// Where everything lies.
struct Place {
    folder: PathBuf,
    cgroup: PathBuf,
}

/// A program that said that it is up.
struct Started {
    pid: i32,
    took: Duration,
    /// To be run when it has been killed.
    after: Option<Command>,
}

/// Starts all of them, prints the table.
pub fn run() -> Result {
    let place = Place::new()?;
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); WAYS.len()];
    let mut memory: Vec<Option<u64>> = vec![None; WAYS.len()];
    let mut failures: Vec<Option<String>> = vec![None; WAYS.len()];
    for round in 0..ROUNDS {
        for (index, (_, start)) in WAYS.iter().enumerate() {
            if failures[index].is_some() {
                continue;
            }
            match start(&place) {
                Ok(started) => {
                    times[index].push(started.took);
                    if round == 0 {
                        std::thread::sleep(SETTLE);
                        memory[index] = Some(beside(started.pid)?);
                    }
                    end(started);
                }
                Err(error) => failures[index] = Some(error.to_string()),
            }
        }
    }
    let _ = fs::remove_dir(&place.cgroup);
    print(&mut times, &memory, &failures);
    Ok(())
}

fn print(times: &mut [Vec<Duration>], memory: &[Option<u64>], failures: &[Option<String>]) {
    let mut medians = Vec::new();
    for times in times.iter_mut() {
        times.sort();
        medians.push(times.get(times.len() / 2).copied());
    }
    let floor = medians[0].unwrap_or_default().as_secs_f64();
    println!("\n| | start to first output, ms | ratio | memory beside the app, KiB |");
    println!("|---|---|---|---|");
    for (index, (name, _)) in WAYS.iter().enumerate() {
        match (medians[index], &failures[index]) {
            (_, Some(why)) => println!("| {name} | does not start here: {why} | | |"),
            (None, None) => {}
            (Some(time), None) => {
                let ratio = time.as_secs_f64() / floor;
                let kib = memory[index].map_or("–".into(), |kib| kib.to_string());
                println!("| {name} | {:.2} | {ratio:.2} | {kib} |", time.as_secs_f64() * 1e3);
            }
        }
    }
    println!("\naim: at most bwrap's ratio, and at most 1024 KiB");
}

impl Place {
    /// A root with the program, bundles of it, and a group.
    fn new() -> Result<Self> {
        ensure(Path::new(BUSYBOX).exists(), || "needs Debian's package busybox-static".into())?;
        let folder = paths::hil()?.join("bench-app");
        let _ = fs::remove_dir_all(&folder);
        for bundle in ["crun", "runc"] {
            let root = folder.join(bundle).join("rootfs");
            for name in ["bin", "proc", "dev", "sys", "tmp", "run", "etc"] {
                let path = root.join(name);
                fs::create_dir_all(&path).map_err(file("make", path))?;
            }
            let program = root.join("bin/busybox");
            fs::copy(BUSYBOX, &program).map_err(file("copy", program))?;
            for name in ["sh", "sleep"] {
                let path = root.join("bin").join(name);
                symlink("busybox", &path).map_err(file("link", path))?;
            }
            // One that is not installed fails when it is to start something.
            let _ = make_bundle(bundle, &folder.join(bundle));
        }
        let mounts = Path::new("/proc/self/mounts");
        let text = fs::read_to_string(mounts).map_err(file("read", mounts))?;
        let hierarchy = text.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[2] == "cgroup2").then(|| PathBuf::from(fields[1]))
        });
        let hierarchy = hierarchy.ok_or_else(|| Error::Story("no cgroup2 here".into()))?;
        Ok(Self { folder, cgroup: hierarchy.join("holdfast-bench") })
    }

    fn root(&self) -> PathBuf {
        self.folder.join("crun/rootfs")
    }
}

/// The configuration that the tool makes, with our program and without a terminal.
fn make_bundle(tool: &str, folder: &Path) -> Result {
    child::run(Command::new(tool).arg("spec").current_dir(folder))?;
    let path = folder.join("config.json");
    let text = fs::read_to_string(&path).map_err(file("read", &path))?;
    let wrong = |error: serde_json::Error| Error::Story(format!("{}: {error}", path.display()));
    let mut config: serde_json::Value = serde_json::from_str(&text).map_err(wrong)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] =
        std::iter::once("/bin/busybox").chain(SCRIPT).collect::<Vec<_>>().into();
    fs::write(&path, config.to_string()).map_err(file("write", path))
}

/// Starts a command and waits for its first output.
fn timed(command: &mut Command, after: Option<Command>) -> Result<Started> {
    let line = format!("{command:?}");
    let failed = |how: String| Error::Command { line: line.clone(), how };
    command.stdin(Pipe::null()).stdout(Pipe::piped()).stderr(Pipe::piped());
    let began = Instant::now();
    let mut child = command.spawn().map_err(|e| failed(format!("did not start: {e}")))?;
    let mut output = child.stdout.take().ok_or_else(|| failed("has no output".into()))?;
    let mut bytes = [0; 3];
    if output.read_exact(&mut bytes).is_err() {
        let mut said = String::new();
        if let Some(mut errors) = child.stderr.take() {
            let _ = errors.read_to_string(&mut said);
        }
        return Err(failed(said.trim().into()));
    }
    let took = began.elapsed();
    Ok(Started { pid: i32::try_from(child.id()).unwrap_or_default(), took, after })
}

fn plain(_: &Place) -> Result<Started> {
    timed(Command::new(BUSYBOX).args(SCRIPT), None)
}

fn bwrap(place: &Place) -> Result<Started> {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
    command.arg("--ro-bind").arg(place.root()).arg("/");
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]);
    timed(command.args(["--", "/bin/busybox"]).args(SCRIPT), None)
}

fn crun(place: &Place) -> Result<Started> {
    container("crun", &["--cgroup-manager=disabled"], place)
}

fn runc(place: &Place) -> Result<Started> {
    container("runc", &[], place)
}

fn container(tool: &str, options: &[&str], place: &Place) -> Result<Started> {
    let (state, name) = (place.folder.join(format!("{tool}-state")), "bench-app");
    let command = |words: &[&str]| {
        let mut command = Command::new(tool);
        command.args(options).arg("--root").arg(&state).args(words);
        command.current_dir(place.folder.join(tool));
        command
    };
    let delete = command(&["delete", "--force", name]);
    timed(&mut command(&["run", name]), Some(delete))
}

fn ours(place: &Place) -> Result<Started> {
    let failed = |error: sandbox::Error| Error::Story(format!("ours: {error}"));
    let mut confinement = Confinement::app(place.root(), USER, IdMap::range(RANGE), &profile::APP);
    let root = Identity { uid: 0, gid: 0 };
    let tmpfs = |target: &str| Mount::Tmpfs {
        target: target.into(),
        size: 16 << 20,
        mode: 0o1777,
        owner: root,
    };
    confinement.mounts = vec![Mount::Proc, Mount::Dev, tmpfs("/tmp"), tmpfs("/run")];
    confinement.hostname = Some("bench".into());
    confinement.cgroup =
        Some(CgroupPlace { path: place.cgroup.clone(), limits: Limits::default() });
    let pipe = |e| Error::Story(format!("ours: make a pipe: {e}"));
    let (mut reader, writer) = std::io::pipe().map_err(pipe)?;
    let mut process = Process::new("/bin/busybox");
    process.args = SCRIPT.map(Into::into).to_vec();
    process.stdout = Stdio::Fd(writer.as_fd());
    let began = Instant::now();
    let spawned = spawn(&confinement, &process).map_err(failed)?;
    let mut bytes = [0; 3];
    reader.read_exact(&mut bytes).map_err(pipe)?;
    let took = began.elapsed();
    Ok(Started { pid: spawned.pid.as_raw_pid(), took, after: None })
}

/// Processes of ours below `pid`, itself among them.
fn family(pid: i32) -> Vec<i32> {
    let parent = |pid: &i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let all: Vec<i32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(of) = family.get(at).copied() {
        family.extend(all.iter().filter(|pid| parent(pid) == Some(of)));
        at += 1;
    }
    family
}

/// Proportional set size in KiB of everything that stays beside the app itself.
fn beside(pid: i32) -> Result<u64> {
    let mut sum = 0;
    for pid in family(pid) {
        let path = PathBuf::from(format!("/proc/{pid}"));
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let is_app = fs::read_link(path.join("exe")).is_ok_and(|exe| exe.ends_with("busybox"));
        if is_app && APP.contains(&name.trim()) {
            continue;
        }
        let rollup = path.join("smaps_rollup");
        let text = fs::read_to_string(&rollup).map_err(file("read", rollup))?;
        let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = pss.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
        sum += kib.unwrap_or(0);
    }
    Ok(sum)
}

/// Ends all of it, and waits for what is our own child.
fn end(started: Started) {
    for pid in family(started.pid) {
        if let Some(pid) = Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
    if let Some(pid) = Pid::from_raw(started.pid) {
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
    }
    if let Some(mut after) = started.after {
        let _ = after.stdout(Pipe::null()).stderr(Pipe::null()).status();
    }
}
