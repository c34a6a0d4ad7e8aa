//! Every attempt to get out.

use crate::{sys_attempts, syscalls};
use std::{
    env, fs, io,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::symlink, net::UnixStream},
    path::Path,
    process::Command,
};

/// How a call ends that was not looked at further.
const REFUSED: [&str; 3] = ["EPERM", "EACCES", "ENOSYS"];
/// To become root ends with EINVAL: the user namespace has no such user.
const NOBODY: [&str; 2] = ["setuid-0 errno-22", "setgid-0 errno-22"];
/// Answers of the snap's own socket are short; this is what it is asked with instead.
const NOISE: usize = 1 << 20;

/// All of them, made, as a line each.
pub fn all() -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(hidden());
    lines.extend(written());
    lines.extend(of_the_snap_file());
    lines.extend(led_out());
    lines.extend(others());
    lines.extend(sys_attempts::all().into_iter().map(|(name, result)| line(name, result)));
    lines.extend(syscalls::attempts().into_iter().map(|(name, result)| {
        let nobody = NOBODY.contains(&format!("{name} {result}").as_str());
        match nobody || REFUSED.contains(&result.as_str()) {
            true => format!("{name} refused ({result})"),
            false => format!("{name} GOT THROUGH ({result})"),
        }
    }));
    lines
}

/// An attempt that succeeds got through.
fn line<T>(name: &str, result: io::Result<T>) -> String {
    match result {
        Ok(_) => format!("{name} GOT THROUGH"),
        Err(error) => format!("{name} refused ({error})"),
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::other(why.to_string())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// What an app has no business to see.
fn hidden() -> Vec<String> {
    let paths = [
        "/data",
        "/data/system/device.toml",
        "/etc/holdfast",
        "/run/holdfast",
        "/run/holdfast/app.sock",
        "/run/holdfast/init.sock",
        "/run/snaps",
        "/sys",
        "/sys/fs/cgroup/cgroup.procs",
        "/boot",
        "/dev/mmcblk0",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/watchdog",
        "/dev/gpiochip0",
        "/dev/i2c-1",
        "/proc/1/root/data",
        "/proc/1/environ",
    ];
    let look = |path: &str| line(&format!("see {path}"), fs::File::open(path));
    let mut lines: Vec<String> = paths.iter().map(|path| look(path)).collect();
    // There, and empty.
    for path in ["/proc/kcore", "/proc/kmsg", "/proc/cmdline", "/proc/keys"] {
        let read = fs::File::open(path).and_then(|mut file| {
            let mut bytes = [0; 16];
            match file.read(&mut bytes)? {
                0 => Err(refused("empty")),
                _ => Ok(()),
            }
        });
        lines.push(line(&format!("read {path}"), read));
    }
    lines
}

/// What would change the system.
fn written() -> Vec<String> {
    let snap = variable("SNAP");
    let files = [
        "/written".to_string(),
        format!("{snap}/written"),
        format!("{snap}/meta/snap.yaml"),
        "/usr/bin/snapctl".into(),
        "/proc/sys/kernel/panic".into(),
        "/proc/sys/kernel/core_pattern".into(),
        "/proc/sys/net/ipv4/ip_forward".into(),
        "/proc/sysrq-trigger".into(),
        "/proc/1/mem".into(),
    ];
    let write = |path: &String| {
        let file = fs::File::options().write(true).create(true).truncate(false).open(path);
        line(&format!("write {path}"), file.and_then(|mut file| file.write_all(b"1")))
    };
    let mut lines: Vec<String> = files.iter().map(write).collect();
    let score = fs::write("/proc/self/oom_score_adj", "-1000");
    lines.push(line("be killed last", score));
    lines
}

/// What was packed into the snap to be used from there.
fn of_the_snap_file() -> Vec<String> {
    let snap = variable("SNAP");
    let open = |name: &str| fs::File::open(format!("{snap}/{name}"));
    let user = Command::new(format!("{snap}/bin/root")).arg("whoami").output();
    let own = sys_attempts::effective_user().to_string();
    let became = user.and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match text.lines().next() {
            Some(user) if user != own => Ok(()),
            said => Err(refused(&format!("user {said:?}"))),
        }
    });
    vec![
        line("device node of memory in the snap", open("nodes/mem")),
        line("device node of the card in the snap", open("nodes/card")),
        line("link out of the snap to a file", open("out/device.toml")),
        line("link out of the snap by dots", open("dots/system/device.toml")),
        line("setuid program in the snap", became),
    ]
}

/// What is made to be led out by.
fn led_out() -> Vec<String> {
    let common = variable("SNAP_COMMON");
    let at = |name: &str| format!("{common}/{name}");
    let _ = fs::remove_file(at("link"));
    let link = symlink("/data/system", at("link"));
    let through = link.and_then(|()| fs::read_dir(at("link")));
    let dots = fs::File::open(format!("{common}/../../../../data/system/device.toml"));
    let hard = fs::hard_link(format!("{}/bin/hostile", variable("SNAP")), at("hard"));
    let other = fs::read_dir("/var/snap/hello");
    vec![
        line("link in the data to the system's", through),
        line("dots from the data", dots),
        line("hard link to the snap's file", hard),
        line("another snap's data", other),
    ]
}

/// Other processes and machines.
fn others() -> Vec<String> {
    let visible = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = visible.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let foreign = pids.filter(|pid| *pid != 1 && *pid != std::process::id()).count();
    let processes = match foreign {
        0 => Err(refused("none")),
        _ => Ok(()),
    };
    let mut admin = Command::new("/usr/bin/snapctl");
    admin.args(["remove", "hostile"]).env_remove("SNAP_COOKIE");
    let administers = admin.output().and_then(|output| match output.status.success() {
        true => Ok(()),
        false => Err(refused("not reached")),
    });
    let noise = UnixStream::connect("/run/snapd-snap.socket").and_then(|mut stream| {
        stream.write_all(&u32::MAX.to_le_bytes())?;
        let _ = stream.write_all(&vec![0xff; NOISE]);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        if answer.is_empty() { Err(refused("no answer")) } else { Ok(()) }
    });
    let of_other = Command::new("/usr/bin/snapctl").args(["stop", "hello"]).output();
    let stopped = of_other.and_then(|output| match output.status.success() {
        true => Ok(()),
        false => Err(refused(String::from_utf8_lossy(&output.stderr).trim())),
    });
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let foreign = interfaces.lines().skip(2).any(|line| !line.trim_start().starts_with("lo:"));
    vec![
        line("other processes", processes),
        line("be the administrator", administers),
        line("noise to appd", noise),
        line("stop another snap", stopped),
        line("the machine's network", if foreign { Ok(()) } else { Err(refused("none")) }),
        line("connect to another machine", TcpStream::connect("10.0.2.2:80")),
        line("listen below port 1024", TcpListener::bind("0.0.0.0:80")),
        line("see a socket of a service", fs::metadata(Path::new("/run/notify/socket"))),
    ]
}
