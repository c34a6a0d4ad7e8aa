//! Control groups and resource limits. On a machine without version 2 controllers (they may all be
//! bound to version 1) the tests see that a limit is refused then, and the kills are tried with
//! resource limits instead.

use crate::scene::{Scene, sh};
use sandbox::{CgroupPlace, Limits, Process, Resource, cgroup, cgroup::IoLimit, spawn};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the version 2 hierarchy is.
fn hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields[2] == "cgroup2")
        .map(|fields| PathBuf::from(fields[1]))
        .expect("these tests need the cgroup2 file system mounted somewhere")
}

/// A group of this test's own, and the controllers that the machine lacks for it.
fn group(name: &str) -> (PathBuf, Vec<&'static str>) {
    let parent = hierarchy().join(format!("sandbox-test-{name}-{}", std::process::id()));
    let missing = cgroup::enable_controllers(&hierarchy(), &["memory", "pids"]).unwrap();
    cgroup::enable_controllers(&parent, &[]).unwrap();
    (parent, missing)
}

#[test]
fn a_process_is_born_in_its_group_and_sees_itself_at_the_root() {
    let scene = Scene::new();
    let (path, _) = group("born");
    let mut confinement = scene.app();
    confinement.cgroup = Some(CgroupPlace { path: path.clone(), limits: Limits::default() });
    let (text, _) = sh(&confinement, "busybox grep ^0: /proc/self/cgroup");
    assert_eq!(text, "0::/\n");
    cgroup::remove(&path).unwrap();
}

#[test]
fn a_limit_without_its_controller_is_an_error_and_not_forgotten() {
    let (path, _) = group("limit");
    // The parent of a group with no controllers enabled cannot limit.
    let child = path.join("child");
    let limits = Limits { pids_max: Some(4), ..Limits::default() };
    let error = cgroup::create(&child, &limits).unwrap_err().to_string();
    assert_eq!(error, format!("cgroup limit pids.max: {} has no such controller", child.display()));
    cgroup::remove(&child).unwrap();
    cgroup::remove(&path).unwrap();
}

#[test]
fn killing_a_group_kills_all_of_it() {
    let scene = Scene::new();
    let (path, _) = group("kill");
    let mut confinement = scene.app();
    confinement.cgroup = Some(CgroupPlace { path: path.clone(), limits: Limits::default() });
    let mut process = sandbox::Process::new("/bin/busybox");
    process.args = ["sh", "-c", "busybox sleep 1000 & busybox sleep 1000"].map(Into::into).to_vec();
    let spawned = sandbox::spawn(&confinement, &process).unwrap();
    cgroup::kill(&path).unwrap();
    assert_eq!(crate::scene::wait(&spawned), 128 + 9);
    while fs::read_to_string(path.join("cgroup.procs")).unwrap() != "" {
        std::thread::yield_now();
    }
    cgroup::remove(&path).unwrap();
}

#[test]
fn a_fork_bomb_stops_at_its_limit() {
    let scene = Scene::new();
    let (path, missing) = group("pids");
    let mut confinement = scene.app();
    if missing.contains(&"pids") {
        println!(
            "no pids controller here: left to the device tests; RLIMIT_NPROC is tried instead"
        );
        confinement.rlimits = vec![(Resource::Nproc, 20)];
    } else {
        let limits = Limits { pids_max: Some(20), ..Limits::default() };
        confinement.cgroup = Some(CgroupPlace { path: path.clone(), limits });
    }
    // Each fork keeps its parent waiting, so the count only grows: it must end with a refusal.
    let script = "bomb() { (bomb) ; }; bomb 2>&1 | busybox head -n 1";
    let (text, _) = sh(&confinement, script);
    assert!(text.contains("can't fork: Resource temporarily unavailable"), "{text}");
    cgroup::remove(&path).unwrap();
}

#[test]
fn a_memory_hog_ends() {
    let scene = Scene::new();
    let (path, missing) = group("memory");
    let mut confinement = scene.app();
    if missing.contains(&"memory") {
        println!("no memory controller here: left to the device tests; RLIMIT_AS is tried instead");
        confinement.rlimits = vec![(Resource::As, 32 << 20)];
    } else {
        let limits = Limits { memory_max: Some(32 << 20), ..Limits::default() };
        confinement.cgroup = Some(CgroupPlace { path: path.clone(), limits });
    }
    let (_, code) = sh(&confinement, "busybox dd if=/dev/zero of=/dev/null bs=256M count=1");
    assert_ne!(code, 0);
    cgroup::remove(&path).unwrap();
}

#[test]
fn limits_of_a_living_group_are_changed_and_taken_back_or_refused_for_want_of_the_controller() {
    let (path, _) = group("update");
    let wanted = ["memory", "pids", "cpu", "cpuset", "io"];
    let missing = cgroup::enable_controllers(&hierarchy(), &wanted).unwrap();
    let disk = cgroup::disk_below(Path::new("/")).unwrap();
    let io = vec![IoLimit { write_bytes: Some(1 << 20), ..IoLimit::none(disk) }];
    let none = Limits::default;
    let rows = [
        ("memory", "memory.max", "67108864", Limits { memory_max: Some(64 << 20), ..none() }),
        ("memory", "memory.high", "33554432", Limits { memory_high: Some(32 << 20), ..none() }),
        ("pids", "pids.max", "20", Limits { pids_max: Some(20), ..none() }),
        ("cpu", "cpu.max", "50000 100000", Limits { cpu_percent: Some(50), ..none() }),
        ("cpu", "cpu.weight", "50", Limits { cpu_weight: Some(50), ..none() }),
        ("cpuset", "cpuset.cpus", "0", Limits { cpus: Some(vec![0]), ..none() }),
        ("io", "io.max", "wbps=1048576", Limits { io, ..none() }),
    ];
    for (controller, file, expected, limits) in rows {
        let read = || fs::read_to_string(path.join(file)).unwrap();
        if missing.contains(&controller) {
            println!("no {controller} controller here: {file} is left to the device");
            let error = cgroup::update(&path, &limits).unwrap_err().to_string();
            let why = format!("cgroup limit {file}: {} has no such controller", path.display());
            assert_eq!(error, why);
            continue;
        }
        let before = read();
        cgroup::update(&path, &limits).unwrap();
        assert!(read().contains(expected), "{file}: {}", read());
        cgroup::update(&path, &none()).unwrap();
        assert_eq!(read(), before, "{file} is not taken back");
    }
    cgroup::remove(&path).unwrap();
    let error = cgroup::update(&path, &none()).unwrap_err().to_string();
    assert_eq!(error, format!("cgroup {}: there is no such group", path.display()));
}

#[test]
fn what_a_group_has_used_can_be_read() {
    let scene = Scene::new();
    let (path, missing) = group("usage");
    assert_eq!(cgroup::usage(&path).cpu_us, Some(0));
    let mut confinement = scene.app();
    confinement.cgroup = Some(CgroupPlace { path: path.clone(), limits: Limits::default() });
    sh(&confinement, "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done");
    let usage = cgroup::usage(&path);
    assert!(usage.cpu_us.is_some_and(|us| us > 0), "{usage:?}");
    assert_eq!(usage.memory.is_some(), !missing.contains(&"memory"), "{usage:?}");
    assert_eq!(usage.pids, (!missing.contains(&"pids")).then_some(0), "{usage:?}");
    assert_eq!(usage.oom_kills, (!missing.contains(&"memory")).then_some(0), "{usage:?}");
    cgroup::remove(&path).unwrap();
    assert_eq!(cgroup::usage(&path), cgroup::Usage::default());
}

#[test]
fn the_disk_of_a_partition_is_found_and_memory_is_on_none() {
    let disk = cgroup::disk_below(Path::new("/")).unwrap();
    let entry = Path::new("/sys/dev/block").join(disk.to_string());
    assert!(entry.exists() && !entry.join("partition").exists(), "{disk} is no whole disk");
    let error = cgroup::disk_below(Path::new("/proc")).unwrap_err().to_string();
    assert!(error.starts_with("disk of /proc: its file system is on no block device"), "{error}");
}

#[test]
fn a_processor_hog_is_held_to_its_share_and_its_core_or_not_started_at_all() {
    let scene = Scene::new();
    let (path, _) = group("hog");
    let missing = cgroup::enable_controllers(&hierarchy(), &["cpu", "cpuset"]).unwrap();
    let limits = Limits { cpu_percent: Some(5), cpus: Some(vec![0]), ..Limits::default() };
    let mut confinement = scene.app();
    confinement.cgroup = Some(CgroupPlace { path: path.clone(), limits });
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done
                  busybox grep Cpus_allowed_list /proc/self/status";
    if missing.is_empty() {
        assert_eq!(sh(&confinement, script).0, "Cpus_allowed_list:\t0\n");
        let usage = cgroup::usage(&path);
        assert!(usage.throttled_us.is_some_and(|us| us > 0), "{usage:?}");
    } else {
        println!("no {missing:?} controllers here: left to the device");
        let error = spawn(&confinement, &Process::new("/bin/busybox")).unwrap_err().to_string();
        assert!(error.ends_with("has no such controller"), "{error}");
    }
    cgroup::remove(&path).unwrap();
}
