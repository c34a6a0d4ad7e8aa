//! The user namespace: ids of its own, and no power over anything. And the clocks.

use crate::scene::{APP, IDS, Scene, give, perl, run, sh, wait};
use sandbox::{CapabilitySet, Confinement, IdMap, Identity, Mount, Process, clocks, profile};
use std::{fs, os::unix::fs::MetadataExt, sync::Arc};

#[test]
fn ids_inside_are_others_outside_and_groups_cannot_be_set() {
    let scene = Scene::new();
    let (text, _) = sh(
        &scene.app(),
        "busybox id -u; busybox awk '{print $1,$2,$3}' /proc/self/uid_map /proc/self/gid_map; \
         busybox cat /proc/self/setgroups",
    );
    let map = format!("0 {} 65536", IDS.outside);
    assert_eq!(text, format!("1234\n{map}\n{map}\ndeny\n"));

    let mut process = Process::new("/bin/busybox");
    process.args = ["sleep", "1000"].map(Into::into).to_vec();
    let spawned = sandbox::spawn(&scene.app(), &process).unwrap();
    let pid = spawned.pid.as_raw_nonzero().get();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let outer = IDS.outside + APP.uid;
    let expected = format!("Uid:\t{outer}\t{outer}\t{outer}\t{outer}");
    rustix::process::kill_process(spawned.pid, sandbox::Signal::TERM).unwrap();
    assert_eq!(wait(&spawned), 128 + 15);
    assert!(status.lines().any(|line| line == expected), "{expected} is not in {status}");
}

#[test]
fn its_files_are_its_own_and_those_of_the_machine_are_nobodys() {
    let scene = Scene::new();
    let data = scene.dir.join("data");
    fs::create_dir(&data).unwrap();
    give(&data);
    fs::write(data.join("roots"), "root\n").unwrap();
    fs::write(scene.root().join("etc/secret"), "secret\n").unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(scene.root().join("etc/secret"), private).unwrap();
    let mut confinement = scene.app();
    confinement.mounts.push(Mount::Bind {
        source: data.clone(),
        target: "/data".into(),
        writable: true,
        executable: false,
    });
    let (text, _) = sh(
        &confinement,
        "echo x > /data/new; busybox stat -c %u:%g /data /data/new /data/roots /etc/own /bin/sh; \
         busybox cat /etc/secret 2>&1; echo y >> /data/roots; busybox chown 5 /data/new 2>&1",
    );
    assert_eq!(
        text,
        "1234:1234\n1234:1234\n65534:65534\n65534:65534\n65534:65534\n\
         cat: can't open '/etc/secret': Permission denied\n\
         sh: can't create /data/roots: Permission denied\n\
         chown: /data/new: Operation not permitted\n"
    );
    assert_eq!(fs::metadata(data.join("new")).unwrap().uid(), IDS.outside + APP.uid);
}

/// What an app would have that broke out of the filter and got all rights of its namespace.
fn all_powerful(scene: &Scene) -> Confinement {
    let mut confinement = scene.app();
    // All but one, because all are what only system services without any confinement have.
    confinement.capabilities = CapabilitySet::all() - CapabilitySet::LEASE;
    confinement.seccomp = None;
    confinement.landlock = None;
    confinement
}

#[test]
fn all_capabilities_of_the_namespace_are_worth_nothing_outside_of_it() {
    let scene = Scene::new();
    let (text, _) = sh(
        &all_powerful(&scene),
        "busybox grep CapEff /proc/self/status | busybox tr -d '\\t'
         busybox mount -t tmpfs none /tmp 2>&1
         busybox mount -o remount,rw / 2>&1
         busybox umount /proc 2>&1
         busybox hostname evil 2>&1
         busybox ifconfig lo down 2>&1
         busybox mknod /tmp/null c 1 3 2>&1
         busybox chown 5 /etc/own 2>&1
         busybox date -s @0 2>&1 | busybox head -n 1
         echo x 2>&1 > /proc/sys/kernel/hostname",
    );
    let lines: Vec<&str> = text.lines().collect();
    let refusals = ["not permitted", "ermission denied", "Read-only file system"];
    let refused = |line: &&&str| refusals.iter().any(|refusal| line.contains(refusal));
    assert!(lines[0].ends_with("1ffefffffff"), "it must really have them: {text}");
    assert_eq!(lines.len(), 10, "{text}");
    assert_eq!(lines[1..].iter().filter(refused).count(), 9, "{text}");
}

#[test]
fn no_user_namespace_can_be_made_in_it_even_without_a_filter() {
    let scene = Scene::new();
    let script = "busybox unshare -U true 2>&1; busybox cat /proc/sys/user/max_user_namespaces";
    let (text, _) = sh(&all_powerful(&scene), script);
    assert_eq!(text, "unshare: unshare(0x10000000): No space left on device\n0\n");
    let elsewhere = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap();
    assert_ne!(elsewhere.trim(), "0", "the limit is the namespace's own");
}

#[test]
fn a_single_id_that_is_the_same_on_both_sides_will_do() {
    let scene = Scene::new();
    let mut confinement = scene.app();
    confinement.namespaces.user =
        Some(IdMap { inside: 77_777, outside: 77_777, count: 1, others: None });
    confinement.identity = Identity { uid: 77_777, gid: 77_777 };
    let (text, code) =
        sh(&confinement, "busybox id -u; echo x > /tmp/x; busybox stat -c %u /tmp/x");
    assert_eq!((text.as_str(), code), ("77777\n77777\n", 0));
}

#[test]
fn beside_its_own_id_there_are_the_others_of_a_range_which_nobody_has() {
    let scene = Scene::new();
    let mut confinement = scene.app();
    let base = 0x4400_0000;
    confinement.namespaces.user = Some(IdMap::one(APP.uid, 88_888, base));
    let script = "busybox id -u; busybox awk '{print $1,$2,$3}' /proc/self/uid_map; \
                  echo x > /tmp/x; busybox chown 5 /tmp/x 2>&1; busybox stat -c %u /tmp/x";
    let (text, code) = sh(&confinement, script);
    let above = APP.uid + 1;
    let expected = format!(
        "1234\n1234 88888 1\n0 {base} 1234\n{above} {} {}\n\
         chown: /tmp/x: Operation not permitted\n1234\n",
        base + above,
        65_536 - above
    );
    assert_eq!((text, code), (expected, 0));
}

#[test]
fn threads_that_start_at_the_same_time_do_not_wait_for_each_other() {
    let scene = Scene::new();
    let confinement = scene.app();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| assert_eq!(sh(&confinement, ":").1, 0)));
        }
    });
}

#[test]
fn ordinary_programs_do_not_mind_that_their_files_are_nobodys() {
    let scene = Scene::new();
    let script = "use POSIX; use File::Temp; my $t = File::Temp->new; print $t $$; print getuid";
    assert_eq!(perl(&scene.app_with_programs(), script), "1234");
}

#[test]
fn maps_that_give_too_much_or_nothing_are_refused_with_the_reason() {
    let scene = Scene::new();
    let ids = |inside, outside, count| IdMap { inside, outside, count, others: None };
    let others = |base| IdMap { others: Some(base), ..ids(9, 100_000, 1) };
    let none = "ids 9 to 100000, 1 of them: the others, from";
    for (map, id, expected) in [
        (ids(0, 100_000, 0), 1, "ids 0 to 100000, 0 of them: an empty range"),
        (ids(0, 0, 9), 1, "ids 0 to 0, 9 of them: user 0 of the machine is not given away"),
        (
            ids(0, u32::MAX - 8, 9),
            1,
            "ids 0 to 4294967287, 9 of them: the range ends past the last id",
        ),
        (
            ids(u32::MAX, 5, 1),
            u32::MAX,
            "ids 4294967295 to 5, 1 of them: the range ends past the last id",
        ),
        (ids(0, 5, 9), 9, "user 9: not one of the 9 ids from 0 on"),
        (ids(10, 5, 9), 9, "user 9: not one of the 9 ids from 10 on"),
        (others(0), 9, &format!("{none} 0 on, are no range beside them")),
        (others(50_000), 9, &format!("{none} 50000 on, are no range beside them")),
        (others(u32::MAX - 9), 9, &format!("{none} 4294967286 on, are no range beside them")),
        (ids(0, 5, 9), 0, "user 0: no program gets the first user of a user namespace"),
    ] {
        let mut confinement = scene.app();
        confinement.namespaces.user = Some(map);
        confinement.identity = Identity { uid: id, gid: id };
        let error = run(&confinement, Process::new("/bin/busybox")).unwrap_err();
        assert_eq!(error.to_string(), expected, "{map:?}");
    }
    let mut confinement = Confinement::app(scene.root(), APP, ids(1_234, 5, 1), &profile::APP);
    confinement.identity.gid = 0;
    let error = run(&confinement, Process::new("/bin/busybox")).unwrap_err();
    assert_eq!(error.to_string(), "group 0: not one of the 1 ids from 1234 on");
}

/// Seconds since the boot, as seen inside.
fn uptime(confinement: &Confinement) -> f64 {
    let (text, _) = sh(confinement, "busybox cut -d ' ' -f 1 /proc/uptime");
    text.trim().parse().unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn clocks_of_its_own_begin_anew_and_are_shared_by_whom_they_are_given_to() {
    let scene = Scene::new();
    let real = || -> f64 {
        let text = fs::read_to_string("/proc/uptime").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(real() > 120.0, "this test needs a machine that is up for two minutes");
    let mut confinement = scene.app();
    let before = real();
    assert!((before..=real() + 60.0).contains(&uptime(&confinement)), "without, the caller's");
    confinement.clocks = Some(Arc::new(clocks::new().unwrap()));
    let first = uptime(&confinement);
    assert!((0.0..60.0).contains(&first), "with a reaper, whose child it is");
    confinement.reaper = false;
    assert!((first..60.0).contains(&uptime(&confinement)), "without one; they went on");
    assert!(real() > before, "and the caller's are what they were");
}
