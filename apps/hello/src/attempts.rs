//! What the probe tries, with safe Rust where that is enough.

use crate::syscalls;
use std::{
    fs, io,
    net::{TcpStream, UdpSocket},
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
};

/// Threads that no gateway app needs.
const MANY_TASKS: usize = 1000;
/// Bytes of stack of each.
const TASK_STACK: usize = 64 * 1024;

/// Every attempt, made, as a line each.
pub fn all() -> Vec<String> {
    let mut lines = files();
    lines.extend(processes());
    lines.extend(network());
    lines.push(tasks());
    lines.extend(syscalls::forbidden().into_iter().map(|(name, result)| allowed(name, result)));
    lines.push(format!("devices {}", names("/dev")));
    lines.push(format!("root {}", names("/")));
    lines
}

fn seen<T>(what: &str, result: io::Result<T>) -> String {
    match result {
        Ok(_) => format!("{what} VISIBLE"),
        Err(e) => format!("{what} hidden ({e})"),
    }
}

fn allowed<T>(what: &str, result: io::Result<T>) -> String {
    match result {
        Ok(_) => format!("{what} ALLOWED"),
        Err(e) => format!("{what} refused ({e})"),
    }
}

fn files() -> Vec<String> {
    let mut lines: Vec<String> = [
        "/data",
        "/data/system",
        "/etc/holdfast",
        "/run/holdfast",
        "/run/holdfast/app.sock",
        "/sys",
        "/boot",
        "/proc/1/root",
        "/proc/1/environ",
        "/dev/mmcblk0",
        "/dev/dm-1",
        "/dev/mem",
        "/dev/kmsg",
    ]
    .map(|path| seen(path, fs::symlink_metadata(path)))
    .to_vec();
    lines.push(allowed("write-root", fs::write("/written", "x")));
    lines.push(allowed("write-snap", fs::write("/snap/hello/current/written", "x")));
    lines.push(allowed("write-sysctl", fs::write("/proc/sys/kernel/panic", "1")));
    let tmp = fs::write("/tmp/own", "x").map_or_else(|e| e.to_string(), |()| "works".into());
    lines.push(format!("own-tmp {tmp}"));
    lines
}

/// Processes of others: all but this one, process 1 (its reaper) and its own children.
fn processes() -> Vec<String> {
    let others: Vec<String> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != 1 && *pid != std::process::id())
        .map(|pid| pid.to_string())
        .collect();
    if others.is_empty() {
        return vec!["host-processes hidden".into()];
    }
    vec![format!("host-processes VISIBLE ({})", others.join(" "))]
}

/// Starts threads, which count as processes, until it is refused.
fn tasks() -> String {
    let (stop, stopped) = mpsc::channel::<()>();
    let stopped = Arc::new(Mutex::new(stopped));
    for count in 0..MANY_TASKS {
        let stopped = stopped.clone();
        let wait = move || drop(stopped.lock().map(|stopped| stopped.recv()));
        if let Err(e) = thread::Builder::new().stack_size(TASK_STACK).spawn(wait) {
            drop(stop);
            return format!("many-tasks refused (after {count}: {e})");
        }
    }
    drop(stop);
    format!("many-tasks ALLOWED ({MANY_TASKS})")
}

fn network() -> Vec<String> {
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let others = interfaces.lines().skip(2).filter(|l| !l.trim_start().starts_with("lo:")).count();
    let host = if others == 0 { "hidden" } else { "VISIBLE" };
    let own = UdpSocket::bind("127.0.0.1:0").map_or_else(|e| e.to_string(), |_| "works".into());
    vec![
        format!("host-interfaces {host}"),
        allowed("connect-gateway", TcpStream::connect("10.0.2.2:80")),
        format!("own-loopback {own}"),
    ]
}

fn names(directory: &str) -> String {
    let mut names: Vec<String> = fs::read_dir(Path::new(directory))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.join(" ")
}
