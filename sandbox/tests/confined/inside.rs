//! What an app sees, asked from inside.

use crate::scene::{Scene, give, run, sh};
use sandbox::{Identity, Mount, Process};
use std::fs;

/// A script, and what it must print.
fn table(rows: &[(&str, &str)]) {
    let scene = Scene::new();
    let confinement = scene.app();
    let mut wrong = Vec::new();
    for (script, expected) in rows {
        let (text, _) = sh(&confinement, script);
        if text.trim_end() != *expected {
            wrong.push(format!("{script}\n  expected {expected:?}\n  printed  {text:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn identity_and_privileges_are_gone() {
    table(&[
        ("busybox id", "uid=1234 gid=1234"),
        (
            "busybox grep -E '^(Uid|Gid):' /proc/self/status",
            "Uid:\t1234\t1234\t1234\t1234\nGid:\t1234\t1234\t1234\t1234",
        ),
        ("busybox grep Groups: /proc/self/status | busybox tr -d '\\t '", "Groups:"),
        ("busybox grep -c 'Cap.*0000000000000000' /proc/self/status", "5"),
        ("busybox grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
        ("busybox grep Seccomp: /proc/self/status", "Seccomp:\t2"),
    ]);
}

#[test]
fn namespaces_are_its_own() {
    table(&[
        ("echo $$", "2"),
        ("busybox hostname", "inside"),
        ("busybox ls /proc | busybox grep -E '^[0-9]+$' | busybox grep -vE '^(2|3|4|5)$'", ""),
        ("busybox awk 'NR>2{print $1}' /proc/net/dev", "lo:"),
        (
            "busybox cat /sys/class/net 2>&1",
            "cat: can't open '/sys/class/net': No such file or directory",
        ),
        (
            "busybox nc 192.0.2.1 80 2>&1",
            "nc: can't connect to remote host (192.0.2.1): Network is unreachable",
        ),
        ("busybox ifconfig lo | busybox grep -c UP", "1"),
    ]);
}

#[test]
fn files_of_the_host_are_not_there_and_its_own_are_read_only() {
    table(&[
        ("busybox ls -A /", "bin\ndev\netc\nproc\ntmp"),
        ("busybox cat /etc/own", "own"),
        ("busybox ls /etc", "own"),
        ("echo x > /etc/own", "sh: can't create /etc/own: Read-only file system"),
        ("echo x > /new", "sh: can't create /new: Read-only file system"),
        ("echo x > /dev/new", "sh: can't create /dev/new: Read-only file system"),
        ("echo x > /tmp/new && busybox cat /tmp/new", "x"),
        (
            "busybox ls -A /proc/1/root 2>&1 | busybox tail -c 26",
            "No such file or directory\n".trim_end(),
        ),
    ]);
}

#[test]
fn only_harmless_devices_exist() {
    table(&[
        (
            "busybox ls /dev",
            "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero",
        ),
        ("echo gone > /dev/null; busybox head -c 4 /dev/zero | busybox wc -c", "4"),
        ("busybox head -c 4 /dev/urandom | busybox wc -c", "4"),
        ("echo shared > /dev/shm/x; busybox cat /dev/shm/x", "shared"),
    ]);
}

#[test]
fn what_tells_of_the_host_in_proc_is_masked() {
    table(&[
        ("busybox cat /proc/kcore 2>/dev/null | busybox head -c 1 | busybox wc -c", "0"),
        ("busybox cat /proc/cmdline | busybox wc -c", "0"),
        ("busybox cat /proc/keys 2>/dev/null | busybox wc -c", "0"),
        (
            "echo evil > /proc/sys/kernel/core_pattern",
            "sh: can't create /proc/sys/kernel/core_pattern: Read-only file system",
        ),
        ("busybox grep -c MemTotal /proc/meminfo", "1"),
    ]);
}

#[test]
fn mount_points_that_the_root_lacks_are_made_beside_what_it_has() {
    let scene = Scene::new();
    let data = scene.dir.join("data");
    fs::create_dir(&data).unwrap();
    give(&data);
    fs::write(scene.dir.join("resolv"), "nameserver 127.0.0.1\n").unwrap();
    let mut confinement = scene.app();
    let bind = |source: &str, target: &str, writable| Mount::Bind {
        source: scene.dir.join(source),
        target: target.into(),
        writable,
        executable: false,
    };
    confinement.mounts.push(bind("resolv", "/etc/resolv.conf", false));
    confinement.mounts.push(bind("data", "/var/snap/hello/common", true));
    confinement.mounts.push(bind("data", "/tmp/late/data", true));
    let (text, code) = sh(
        &confinement,
        "busybox cat /etc/own /etc/resolv.conf; echo kept > /var/snap/hello/common/file; \
         busybox cat /tmp/late/data/file; busybox cp /bin/busybox /var/snap/hello/common/run; \
         /var/snap/hello/common/run true 2>&1",
    );
    assert_eq!(
        text,
        "own\nnameserver 127.0.0.1\nkept\nsh: /var/snap/hello/common/run: Permission denied\n"
    );
    assert_eq!(code, 126);
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "kept\n");
}

#[test]
fn nothing_of_the_callers_environment_or_descriptors_gets_in() {
    let scene = Scene::new();
    let _open = fs::File::open("/etc/passwd").unwrap();
    let (text, _) = sh(&scene.app(), "busybox env; busybox ls /proc/self/fd");
    // `ls` itself holds the directory as descriptor 3.
    assert_eq!(text, "SHLVL=1\nPATH=/bin\nPWD=/\n0\n1\n2\n3\n");
}

#[test]
fn the_reaper_forwards_signals_reaps_orphans_and_passes_the_exit_code_on() {
    let scene = Scene::new();
    assert_eq!(sh(&scene.app(), "exit 7").1, 7);
    assert_eq!(sh(&scene.app(), "kill -9 $$").1, 128 + 9);
    // An orphan ends before the program does, and must not stay a zombie.
    let script = "(busybox sleep 0 & ) ; i=0; while busybox ps | busybox grep -q '\\[sleep\\]'; \
                  do i=$((i+1)); [ $i -lt 1000 ] || exit 1; done";
    assert_eq!(sh(&scene.app(), script).1, 0);
}

#[test]
fn signals_are_neither_blocked_nor_ignored() {
    let scene = Scene::new();
    let mut process = Process::new("/bin/busybox");
    process.args = ["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"].map(Into::into).to_vec();
    let (text, _) = run(&scene.app(), process).unwrap();
    assert_eq!(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn without_a_reaper_the_program_is_process_1() {
    let scene = Scene::new();
    let mut confinement = scene.app();
    confinement.reaper = false;
    assert_eq!(sh(&confinement, "echo $$").0, "1\n");
}

#[test]
fn user_0_without_a_user_namespace_has_no_rights_either() {
    let scene = Scene::new();
    let mut confinement = scene.app();
    confinement.namespaces.user = None;
    confinement.identity = Identity { uid: 0, gid: 0 };
    let (text, _) = sh(
        &confinement,
        "busybox grep -c 'Cap.*0000000000000000' /proc/self/status; busybox chown 5 /tmp 2>&1",
    );
    assert_eq!(text, "5\nchown: /tmp: Operation not permitted\n");
}
