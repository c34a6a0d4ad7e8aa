//! A process with those below it, and what memory they take.

use std::{fs, io, path::PathBuf};

/// What counts as the app itself.
const APP: [&str; 3] = ["busybox", "sh", "sleep"];

/// Processes of ours below `pid`, itself among them.
pub fn of(pid: i32) -> Vec<i32> {
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

/// Proportional set size in KiB of all of them but the app itself.
pub fn beside(pid: i32) -> io::Result<u64> {
    let mut sum = 0;
    for pid in of(pid) {
        let path = PathBuf::from(format!("/proc/{pid}"));
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let is_app = fs::read_link(path.join("exe")).is_ok_and(|exe| exe.ends_with("busybox"));
        if is_app && APP.contains(&name.trim()) {
            continue;
        }
        let text = fs::read_to_string(path.join("smaps_rollup"))?;
        let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = pss.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
        sum += kib.unwrap_or(0);
    }
    Ok(sum)
}
