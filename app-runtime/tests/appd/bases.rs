//! Snaps whose root is the files of another one.

use crate::{
    bench::Bench,
    snap::{Snap, pack},
};
use serde_json::json;
use std::{fs, path::PathBuf};

/// Tells what it finds, and waits.
const LOOK: &str = "#!/bin/sh
busybox cat /etc/base
busybox ls -A $SNAP
echo x 2>/dev/null > /etc/base || echo read-only
while true; do busybox sleep 0.1; done
";

fn signed(bench: &Bench, snap: &Snap, change: impl Fn(&PathBuf)) -> String {
    let tree = snap.tree(&bench.dir);
    change(&tree);
    let name = snap.yaml.lines().next().unwrap().trim_start_matches("name: ");
    pack(&tree, &bench.dir, name).display().to_string()
}

fn base(bench: &Bench, version: &str) -> String {
    let mut snap = Snap::new("ground", version, "");
    snap.yaml = format!("name: ground\nversion: '{version}'\nsummary: a base\ntype: base\n");
    signed(bench, &snap, |tree| {
        fs::create_dir(tree.join("etc")).unwrap();
        fs::write(tree.join("etc/base"), format!("ground {version}\n")).unwrap();
    })
}

/// Nothing but a script: shell and tools are the base's.
fn rider(bench: &Bench) -> String {
    let mut snap = Snap::new("rider", "1", LOOK);
    snap.yaml += "base: ground\n";
    signed(bench, &snap, |tree| {
        fs::remove_file(tree.join("bin/busybox")).unwrap();
        fs::remove_file(tree.join("bin/sh")).unwrap();
    })
}

#[test]
fn a_snap_runs_on_its_base_and_follows_it() {
    let mut bench = Bench::new();
    let (code, why) = bench.refused(&["install", &rider(&bench)]);
    assert_eq!((code.as_str(), why.contains("install that first")), ("base-missing", true));
    bench.ask(&["install", &base(&bench, "1"), &rider(&bench)]);
    let seen = |bench: &Bench| bench.output("rider.main");
    let of = |version: u32| {
        [format!("ground {version}"), "bin".into(), "meta".into(), "read-only".into()]
    };
    bench.until("it looked", |b| seen(b).len() == 4);
    assert_eq!(seen(&bench), of(1));

    // A new base, and back: its snaps see it at once.
    bench.ask(&["refresh", &base(&bench, "2")]);
    bench.until("it looked again", |b| seen(b).len() == 8);
    assert_eq!(seen(&bench)[4..], of(2));
    bench.ask(&["revert", "ground"]);
    bench.until("it looked again", |b| seen(b).len() == 12);
    assert_eq!(seen(&bench)[8..], of(1));

    // After a reboot the base is there first, whatever the names are.
    bench.kill();
    bench.boot();
    bench.until("it looked after a boot", |b| {
        b.snapctl(&["logs", "rider.main"]).0 == 0 && seen(b).len() == 16
    });
    for verb in ["remove", "disable"] {
        let (code, why) = bench.refused(&[verb, "ground"]);
        assert_eq!((code.as_str(), why.contains("base of rider")), ("base-in-use", true));
    }
    bench.ask(&["remove", "--purge", "ground", "rider"]);
    assert_eq!(bench.ask(&["list"]), json!([]));
}
