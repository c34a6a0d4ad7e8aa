//! Plugs that are connected and disconnected, and quotas.

use crate::{
    bench::Bench,
    snap::{STEADY, Snap, borrow, pack},
};
use serde_json::json;
use std::fs;

/// Says which network devices it has, and waits.
const WAITS: &str = "#!/bin/sh
busybox awk 'NR>2{print $1}' /proc/net/dev | busybox sort | busybox xargs
while true; do busybox sleep 0.1; done
";
/// With the plug network.
const ON_NETWORK: &str = "eth0: lo:";

fn plugged(version: &str) -> Snap {
    let mut snap = Snap::new("plugged", version, WAITS);
    snap.yaml += "    plugs: [network, led]\nplugs: {led: {interface: gpio}}\n";
    snap
}

#[test]
fn what_is_connected_by_itself_and_what_by_a_person() {
    let bench = Bench::new();
    bench.install(&plugged("1").signed(&bench.dir));
    let state = |bench: &Bench| {
        let all = bench.ask(&["connections", "plugged"]);
        let of = |index: usize| {
            let found = &all[index];
            (found["connected"].clone(), found["manual"].clone(), found["attributes"].clone())
        };
        [of(0), of(1)]
    };
    let no = json!(false);
    let led = (no.clone(), no.clone(), json!(["chip=0", "line=?"]));
    assert_eq!(state(&bench), [led.clone(), (json!(true), no.clone(), json!([]))]);

    let nets = |bench: &Bench| bench.output("plugged.main");
    assert_eq!(nets(&bench), [ON_NETWORK]);
    bench.ask(&["disconnect", "plugged:network"]);
    assert_eq!(state(&bench)[1], (no.clone(), json!(true), json!([])));
    bench.until("it runs again", |b| nets(b).len() == 2);
    assert_eq!(nets(&bench)[1], "lo:");
    // A decision outlives a new revision.
    bench.install(&plugged("2").signed(&bench.dir));
    bench.until("the new one runs", |b| nets(b).len() == 3);
    assert_eq!(nets(&bench)[2], "lo:");
    bench.ask(&["connect", "plugged:network"]);
    bench.until("it runs again", |b| nets(b).len() == 4);
    assert_eq!(nets(&bench)[3], ON_NETWORK);

    // What no person said is asked for; what is not there undoes the change.
    for (words, code, text) in [
        (&["connect", "plugged:led"][..], "plug-attribute", "connect it with line="),
        (&["connect", "plugged:led", "line=600"], "plug-attribute", "not from 0 to 511"),
        (&["connect", "plugged:led", "line=x"], "plug-attribute", "not a number"),
        (&["connect", "plugged:led", "color=1"], "plug-attribute", "knows no attribute color"),
        (&["connect", "plugged:lamp"], "no-plug", "only: led, network"),
        (&["connect", "plugged:led", "line=3", "chip=15"], "start-failed", "/dev/gpiochip15"),
        (&["disconnect", "plugged:lamp"], "no-plug", "plugged:lamp"),
        (&["interface", "lamp"], "interface-unknown", "lamp"),
    ] {
        let (refused, why) = bench.refused(words);
        assert_eq!(refused, code, "{words:?}: {why}");
        assert!(why.contains(text), "{words:?}: {why}");
    }
    assert_eq!(state(&bench)[0], led);
    assert_eq!(bench.service("plugged.main")["state"], "active");
    let gpio = &bench.ask(&["interface", "gpio"])[0];
    assert_eq!(gpio["plugs"], json!([{"snap": "plugged", "plug": "led"}]));
}

#[test]
fn a_plug_that_could_never_be_granted_is_refused_at_the_install() {
    let bench = Bench::new();
    for (plugs, code, text) in [
        ("plugs: {led: {interface: gpio, line: 9999}}", "plug-attribute", "not from 0 to 511"),
        ("plugs: {led: {interface: gpio, lines: 1}}", "plug-attribute", "knows no attribute lines"),
        ("plugs: {uart: {interface: serial-port, port: ../mem}}", "plug-attribute", "not a name"),
        ("plugs: {network: {colour: red}}", "plug-attribute", "knows no attribute colour"),
        ("plugs: {lamp: {}}", "interface-unknown", "no interface lamp here"),
    ] {
        let mut snap = Snap::new("plugged", "1", WAITS);
        snap.yaml += plugs;
        let file = snap.signed(&bench.dir);
        let (refused, why) = bench.refused(&["install", file.to_str().unwrap()]);
        assert_eq!(refused, code, "{plugs}: {why}");
        assert!(why.contains(text), "{plugs}: {why}");
    }
    assert_eq!(bench.ask(&["list"]), json!([]));
}

#[test]
fn a_quota_that_the_machine_cannot_hold_is_refused() {
    let bench = Bench::new();
    bench.install(&Snap::new("bound", "1", WAITS).signed(&bench.dir));
    let has = |name: &str| bench.has_controller(name);
    for (words, controller) in
        [("--memory=64M", "memory"), ("--threads=10", "pids"), ("--cpu=50%", "cpu")]
    {
        let (code, answer) = bench.snapctl(&["set-quota", "bound", words]);
        match has(controller) {
            true => assert_eq!(code, 0, "{answer}"),
            false => assert_eq!(answer["error"]["code"], "quota-invalid", "{answer}"),
        }
    }
    assert!(!bench.refused(&["set-quota", "none", "--cpu=50%"]).0.is_empty());
    bench.ask(&["remove-quota", "bound"]);
    assert_eq!(bench.ask(&["quotas"]), json!([]));
    assert_eq!(bench.ask(&["quota", "bound"])[0]["snap"], "bound");
}

#[test]
fn a_snap_bounds_itself_until_a_person_bounds_it_otherwise() {
    let bench = Bench::new();
    let mut snap = Snap::new("bound", "1", WAITS);
    snap.yaml += "quota: {threads: 9}\n";
    let file = snap.signed(&bench.dir);
    if !bench.has_controller("pids") {
        assert_eq!(bench.refused(&["install", file.to_str().unwrap()]).0, "quota-invalid");
        return;
    }
    bench.install(&file);
    let held = |bench: &Bench| {
        let most = bench.cgroup().join("bound/pids.max");
        let quota = bench.ask(&["quota", "bound"])[0]["quota"]["threads"].clone();
        (fs::read_to_string(most).unwrap().trim().to_string(), quota)
    };
    assert_eq!(held(&bench), ("9".into(), json!(9)));
    bench.ask(&["set-quota", "bound", "--threads=20"]);
    assert_eq!(held(&bench), ("20".into(), json!(20)));
    bench.ask(&["remove-quota", "bound"]);
    assert_eq!(held(&bench), ("9".into(), json!(9)));
    // A revision that says nothing is not bounded.
    bench.install(&Snap::new("bound", "2", WAITS).signed(&bench.dir));
    assert_eq!(held(&bench), ("max".into(), json!(null)));
    for (quota, why) in [
        ("{threads: many}", "quota.threads: not a number"),
        ("{disk: 1M}", "quota.disk: not one of memory"),
        ("{memory: {}}", "quota.memory: not a text"),
        ("{cpu-set: [4000]}", "4000"),
    ] {
        let mut snap = Snap::new("bound", "3", WAITS);
        snap.yaml += &format!("quota: {quota}\n");
        let file = snap.signed(&bench.dir);
        let (code, refused) = bench.refused(&["install", file.to_str().unwrap()]);
        assert!(code == "snap-invalid" || code == "quota-invalid", "{quota}: {code}");
        assert!(refused.contains(why) || code == "quota-invalid", "{quota}: {refused}");
    }
}

const OBSERVES: &str = "#!/bin/sh
busybox test -e /sys/class/net/lo/mtu && echo 'sees hardware' || echo 'sees none'
busybox grep -qs started /data/snaps/log/quiet.main.log && echo 'reads logs' || echo 'reads none'
echo x 2>/dev/null >> /data/snaps/log/quiet.main.log && echo 'has written'
while true; do busybox sleep 0.1; done
";

#[test]
fn a_snap_sees_hardware_and_logs_of_others_only_when_a_person_says_so() {
    let bench = Bench::new();
    bench.install(&Snap::new("quiet", "1", STEADY).signed(&bench.dir));
    let mut snap = Snap::new("nosy", "1", OBSERVES);
    snap.yaml += "    plugs: [hardware-observe, log-observe]\n";
    bench.install(&snap.signed(&bench.dir));
    for (verb, plug, seen) in [
        ("disconnect", "log-observe", ["sees none", "reads none"]),
        ("connect", "hardware-observe", ["sees hardware", "reads none"]),
        ("connect", "log-observe", ["sees hardware", "reads logs"]),
        ("disconnect", "hardware-observe", ["sees none", "reads logs"]),
    ] {
        bench.ask(&[verb, &format!("nosy:{plug}")]);
        let seen = seen.map(String::from);
        bench.until("it looked", |b| b.output("nosy").ends_with(&seen));
    }
    assert!(!bench.output("nosy").iter().any(|line| line.contains("written")));
}

const ADMINISTERS: &str = "#!/bin/sh
snapctl --administer list >/dev/null 2>&1 && echo lists || echo 'lists nothing'
snapctl --administer stop quiet >/dev/null 2>&1
busybox test -d /run/host/proc/1 && echo 'sees processes' || echo 'sees none'
busybox test -w /run/host/proc/sys/kernel/hostname && echo 'may write'
echo x 2>/dev/null > /run/host/proc/sys/kernel/hostname && echo 'has written'
while true; do busybox sleep 0.1; done
";

#[test]
fn a_snap_administers_or_observes_the_device_only_when_a_person_says_so() {
    let bench = Bench::new();
    bench.install(&Snap::new("quiet", "1", STEADY).signed(&bench.dir));
    let mut snap = Snap::new("boss", "1", ADMINISTERS);
    snap.yaml += "    plugs: [snapctl-control, system-observe]\n";
    let tree = snap.tree(&bench.dir);
    borrow(&tree, env!("CARGO_BIN_EXE_snapctl"), "bin/spare");
    bench.install(&pack(&tree, &bench.dir, "boss"));
    bench.until("it tried", |b| b.output("boss").len() == 2);
    assert_eq!(bench.output("boss"), ["lists nothing", "sees none"]);
    assert_eq!(bench.service("quiet")["state"], "active");

    bench.ask(&["connect", "boss:snapctl-control"]);
    bench.until("it tried", |b| b.output("boss").len() == 4);
    assert_eq!(bench.output("boss")[2..], ["lists", "sees none"]);
    bench.until("it stopped the other", |b| b.service("quiet")["state"] == "inactive");

    bench.ask(&["connect", "boss:system-observe"]);
    bench.ask(&["disconnect", "boss:snapctl-control"]);
    let last = ["lists nothing", "sees processes"];
    bench.until("it observes only", |b| b.output("boss").ends_with(&last.map(String::from)));
    assert!(!bench.output("boss").iter().any(|line| line.contains("writ")));
}

/// Tries times that no clock here is ever set to: the machine's own is not for tests.
const SETS_TIME: &str = "#!/bin/sh
for time in 1000 7258118401; do snapctl set-time $time 2>&1 || echo \"= $?\"; done
while true; do busybox sleep 0.1; done
";

#[test]
fn a_snap_sets_the_clock_only_when_a_person_says_so_and_never_back() {
    let bench = Bench::new();
    let seen = bench.dir.join("data/system/timed");
    fs::create_dir_all(&seen).unwrap();
    fs::write(seen.join("clock"), "2000\n").unwrap();
    let mut snap = Snap::new("gps", "1", SETS_TIME);
    snap.yaml += "    plugs: [time-control]\n";
    let tree = snap.tree(&bench.dir);
    borrow(&tree, env!("CARGO_BIN_EXE_snapctl"), "bin/spare");
    bench.install(&pack(&tree, &bench.dir, "gps"));
    let no = "error: gps: no plug of time-control is connected";
    bench.until("it tried", |b| b.output("gps").len() == 4);
    assert_eq!(bench.output("gps"), [no, "= 1", no, "= 1"]);
    bench.ask(&["connect", "gps:time-control"]);
    bench.until("it tried", |b| b.output("gps").len() == 8);
    let said = bench.output("gps");
    assert_eq!(said[4], "error: gps: 1000: before 1970-01-01T00:33:20Z, which was seen");
    assert_eq!(said[6], "error: gps: 7258118401: after the year 2200");
    assert!(!bench.dir.join("run/holdfast/time-synced").exists());
}
