//! What an app that appd runs can see, told by the app.

use crate::{bench::Bench, snap::Snap};
use std::fs;

fn report(bench: &Bench, name: &str, plugs: &str, script: &str) -> Vec<String> {
    let mut snap = Snap::new(name, "1", &format!("#!/bin/sh\n{script}\n"));
    snap.yaml = snap.yaml.replace("simple", "oneshot") + plugs;
    bench.install(&snap.signed(&bench.dir));
    assert_eq!(bench.service(name)["state"], "done");
    bench.output(name)
}

#[test]
fn an_app_sees_its_own_and_nothing_of_the_host() {
    let bench = Bench::new();
    let rows = [
        ("busybox ls -A /", "bin dev meta proc run snap tmp usr var"),
        ("busybox ls -A $SNAP", "bin meta"),
        ("busybox ls -A /var/snap", "alone"),
        (
            "echo $SNAP $SNAP_DATA $SNAP_COMMON $HOME",
            "/snap/alone/current /var/snap/alone/1 /var/snap/alone/common /var/snap/alone/1",
        ),
        ("echo $SNAP_NAME $SNAP_INSTANCE_NAME $SNAP_VERSION $SNAP_REVISION", "alone alone 1 1"),
        (
            "echo $SNAP_APP_NAME $SNAP_UID $SNAP_EUID $SNAP_USER_DATA",
            "main 20000 20000 /var/snap/alone/1",
        ),
        ("echo $SNAP_USER_COMMON $SNAP_REAL_HOME", "/var/snap/alone/common /var/snap/alone/1"),
        ("echo $XDG_RUNTIME_DIR", "/run/user/20000/snap.alone"),
        ("busybox stat -c '%a %u' $XDG_RUNTIME_DIR", "700 20000"),
        ("set | busybox grep -cE '^SNAP_(ARCH|INSTANCE_KEY|LIBRARY_PATH|REEXEC)='", "4"),
        ("busybox pwd", "/var/snap/alone/1"),
        ("busybox hostname", "alone"),
        ("busybox id -u", "20000"),
        // A range of its own, in which it is one; no two snaps have an id of it in common.
        (
            "busybox awk '{print $1,$2,$3}' /proc/self/uid_map",
            "20000 20000 1 0 1048576 20000 20001 1068577 45535",
        ),
        ("busybox ls -A /var/snap/alone", "1 common"),
        ("busybox ls /proc/1/root 2>/dev/null || echo hidden", "hidden"),
        ("busybox awk 'NR>2{print $1}' /proc/net/dev", "lo:"),
        ("busybox grep -c 'Cap.*0000000000000000' /proc/self/status", "5"),
        ("echo x 2>/dev/null > $SNAP/x || echo refused", "refused"),
        ("echo x 2>/dev/null > /x || echo refused", "refused"),
        ("busybox mount -t tmpfs none /tmp 2>/dev/null || echo refused", "refused"),
        ("busybox ls -ln /var/snap/alone | busybox awk 'NR>1{print $3}'", "20000 20000"),
        ("ulimit -n", "1024"),
    ];
    let script: Vec<String> = rows.iter().map(|(command, _)| format!("echo `{command}`")).collect();
    let lines = report(&bench, "alone", "", &script.join("\n"));
    let wrong: Vec<_> =
        rows.iter().zip(&lines).filter(|((_, expected), line)| line != expected).collect();
    assert!(wrong.is_empty() && lines.len() == rows.len(), "{wrong:#?}\n{lines:#?}");
}

#[test]
fn two_snaps_have_two_users_and_do_not_see_each_other() {
    let bench = Bench::new();
    let look = "busybox id -u; busybox ls /var/snap; busybox ls /snap; \
                busybox awk 'NR==2{print $2}' /proc/self/uid_map";
    assert_eq!(report(&bench, "one", "", look), ["20000", "one", "one", "1048576"]);
    assert_eq!(report(&bench, "two", "", look), ["20001", "two", "two", "1114112"]);
}

#[test]
fn network_bind_shares_the_network_and_brings_dns() {
    let bench = Bench::new();
    let plugs = "    plugs: [network-bind]\n";
    let lines = report(
        &bench,
        "online",
        plugs,
        "busybox readlink /proc/self/ns/net; busybox cat /etc/resolv.conf",
    );
    let host = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert_eq!(lines, [host.to_str().unwrap(), "nameserver 192.0.2.53"]);
    assert_eq!(bench.ask(&["info", "online"])["connections"], serde_json::json!(["network-bind"]));
    let alone = report(&bench, "offline", "", "busybox readlink /proc/self/ns/net");
    assert_ne!(alone, [host.to_str().unwrap()]);
}

#[test]
fn a_snap_has_clocks_of_its_own_unless_it_is_shown_times_of_the_devices() {
    let bench = Bench::new();
    let up = |text: &str| -> f64 { text.split(' ').next().unwrap().parse().unwrap() };
    let device = || up(&fs::read_to_string("/proc/uptime").unwrap());
    let before = device();
    let plugs = "    plugs: [system-observe]\n";
    report(&bench, "clocks", plugs, "busybox cat /proc/uptime");
    bench.ask(&["start", "clocks.main"]);
    bench.until("it looked twice", |bench| bench.output("clocks").len() == 2);
    let seen = bench.output("clocks");
    let (first, second) = (up(&seen[0]), up(&seen[1]));
    assert!(first < before && (first..before).contains(&second), "{before} {seen:?}");

    bench.ask(&["connect", "clocks:system-observe"]);
    bench.ask(&["start", "clocks.main"]);
    bench.until("it looked again", |bench| up(bench.output("clocks").last().unwrap()) >= before);
    assert!(up(bench.output("clocks").last().unwrap()) <= device());
}
