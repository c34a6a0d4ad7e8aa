//! What confinement costs an app: from the start to its first output, and the memory of what stays
//! beside it. The same static program, started in turns, so that what else the machine does meets
//! all of them; the median counts:
//!
//! - by fork and exec alone, and confined by us ([`starts`]), on this machine and on a gateway in
//!   QEMU;
//! - by `bwrap` with all its namespaces, which has neither seccomp nor a cgroup here;
//! - by `crun` and `runc`, with the configuration that they make themselves.

use crate::child;
use crate::error::{Error, Result, ensure, file};
use crate::gateway::Gateway;
use crate::releases::{Releases, service};
use crate::{limits, paths, provision};
use image_builder::Outputs;
use starts::{PROGRAM, SCRIPT, Started, median};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as Pipe};
use std::time::Duration;

/// Starts of each, here and on a gateway.
const ROUNDS: usize = 41;
const ROUNDS_THERE: usize = 21;
/// The program: Debian's, static.
const BUSYBOX: &str = "/bin/busybox";
/// What the gateway's figures begin with.
const FIGURES: &str = "starts: plain ";

/// A way to start it; and what is to be run when it has been killed.
type Starter = fn(&Place) -> Result<(Started, Option<Command>)>;

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
                Ok((started, after)) => {
                    times[index].push(started.took);
                    if round == 0 {
                        memory[index] = Some(started.beside().map_err(failed)?);
                    }
                    started.end();
                    if let Some(mut after) = after {
                        let _ = after.stdout(Pipe::null()).stderr(Pipe::null()).status();
                    }
                }
                Err(error) => failures[index] = Some(error.to_string()),
            }
        }
    }
    let _ = fs::remove_dir(&place.cgroup);
    print(&mut times, &memory, &failures);
    on_a_gateway()
}

fn failed(cause: std::io::Error) -> Error {
    Error::Story(format!("start: {cause}"))
}

/// The same by fork and exec and by us, on a booted gateway.
fn on_a_gateway() -> Result {
    let releases = Releases::get()?;
    let program = crate::samples::program("starts")?;
    let release = releases.build(|spec| {
        let words = format!("/bin/busybox /run/starts /sys/fs/cgroup/starts {ROUNDS_THERE}");
        let overlay = service("starts", &format!("exec /bin/starts {words}"))?;
        let to = overlay.join("bin/starts");
        fs::copy(&program, &to).map_err(file("copy", &program))?;
        spec.version = "1.0.0-starts".into();
        spec.overlays.push(overlay);
        spec.outputs = Outputs::Image;
        Ok(())
    })?;
    let config = provision::stand_alone("bench-app");
    let mut gateway = Gateway::new("bench-app", &release, &config)?;
    gateway.power_on()?;
    gateway.wait_healthy()?;
    let log =
        gateway.until("system logs scripted", limits::BOOT, |log| log.contains("starts: "))?;
    let line = log.lines().find(|line| line.contains("starts: ")).unwrap_or_default();
    let figures: Vec<f64> = line
        .split(|c: char| !c.is_ascii_digit())
        .rev()
        .filter_map(|word| word.parse().ok())
        .take(3)
        .collect();
    let ([beside, ours, plain], true) = (figures.as_slice(), line.contains(FIGURES)) else {
        return Err(Error::Story(format!("no figures: {line}")));
    };
    println!("\non a gateway in QEMU (raspi3b):\n");
    println!("| | start to first output, ms | ratio | memory beside the app, KiB |");
    println!("|---|---|---|---|");
    println!("| fork, exec | {:.2} | 1.00 | 0 |", plain / 1e3);
    println!("| ours | {:.2} | {:.2} | {beside} |", ours / 1e3, ours / plain);
    Ok(())
}

fn print(times: &mut [Vec<Duration>], memory: &[Option<u64>], failures: &[Option<String>]) {
    let mut medians = Vec::new();
    for times in times.iter_mut() {
        medians.push(median(times));
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
            starts::make_root(&root, Path::new(BUSYBOX)).map_err(file("fill", &root))?;
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
    config["process"]["args"] = std::iter::once(PROGRAM).chain(SCRIPT).collect::<Vec<_>>().into();
    fs::write(&path, config.to_string()).map_err(file("write", path))
}

fn timed(command: &mut Command, after: Option<Command>) -> Result<(Started, Option<Command>)> {
    let line = format!("{command:?}");
    let failed = |cause: std::io::Error| Error::Command { line, how: cause.to_string() };
    starts::timed(command).map(|started| (started, after)).map_err(failed)
}

fn plain(_: &Place) -> Result<(Started, Option<Command>)> {
    starts::plain(Path::new(BUSYBOX)).map(|started| (started, None)).map_err(failed)
}

fn bwrap(place: &Place) -> Result<(Started, Option<Command>)> {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
    command.arg("--ro-bind").arg(place.root()).arg("/");
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]);
    timed(command.args(["--", "/bin/busybox"]).args(SCRIPT), None)
}

fn crun(place: &Place) -> Result<(Started, Option<Command>)> {
    container("crun", &["--cgroup-manager=disabled"], place)
}

fn runc(place: &Place) -> Result<(Started, Option<Command>)> {
    container("runc", &[], place)
}

fn container(tool: &str, options: &[&str], place: &Place) -> Result<(Started, Option<Command>)> {
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

fn ours(place: &Place) -> Result<(Started, Option<Command>)> {
    let started = starts::ours(&place.root(), &place.cgroup);
    started.map(|started| (started, None)).map_err(failed)
}
