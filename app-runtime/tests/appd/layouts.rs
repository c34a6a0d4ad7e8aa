//! Places of an app's view that its snap fills.

use crate::{
    bench::{Bench, app_key},
    snap::{Snap, sign, write},
};
use std::{fs, os::unix::fs::symlink};

#[test]
fn a_snap_fills_places_of_its_view() {
    let bench = Bench::new();
    let script = "#!/bin/sh
busybox cat /etc/fixed.conf
echo mine > /etc/mine/file && busybox cat $SNAP_DATA/etc/file
echo linked > /opt/link/file && busybox cat $SNAP_COMMON/file
busybox readlink /opt/link
echo ram > /mnt/ram/file && busybox cat /mnt/ram/file
busybox stat -c '%a %u' /mnt/ram /etc/mine
busybox touch /etc/fixed.conf 2>/dev/null || echo read-only
busybox touch /etc/log && busybox test -f $SNAP_DATA/log && echo made
";
    let mut snap = Snap::new("layered", "1", script);
    snap.yaml = snap.yaml.replace("simple", "oneshot")
        + "layout:
  /etc/mine: {bind: $SNAP_DATA/etc, mode: 700}
  /etc/fixed.conf: {bind-file: $SNAP/share/fixed.conf}
  /etc/log: {bind-file: $SNAP_DATA/log}
  /opt/link: {symlink: $SNAP_COMMON}
  /mnt/ram: {type: tmpfs, mode: 0750}
";
    let image = snap.image_with(&bench.dir, &[("share/fixed.conf", "fixed\n")]);
    bench.install(&write(&bench.dir, &sign(image, &app_key(), None)));
    bench.until("it told all", |b| b.output("layered").len() == 9);
    let expected = [
        "fixed",
        "mine",
        "linked",
        "/var/snap/layered/common",
        "ram",
        "750 20000",
        "700 20000",
        "read-only",
        "made",
    ];
    assert_eq!(bench.output("layered"), expected);
}

#[test]
fn a_link_in_the_data_leads_no_layout_out_of_it() {
    let bench = Bench::new();
    let mut snap = Snap::new("climber", "1", "#!/bin/sh\nbusybox ls /etc/evil\nbusybox sleep 60\n");
    snap.yaml += "layout: {/etc/evil: {bind: $SNAP_COMMON/a/b}}\n";
    bench.install(&snap.signed(&bench.dir));
    bench.ask(&["stop", "climber"]);
    let common = bench.dir.join("data/snaps/data/climber/common");
    for (what, to) in [("a/b", "/"), ("a", "/etc")] {
        fs::remove_dir_all(common.join("a")).unwrap();
        if what == "a/b" {
            fs::create_dir(common.join("a")).unwrap();
        }
        symlink(to, common.join(what)).unwrap();
        let (code, message) = bench.refused(&["start", "climber"]);
        assert_eq!(code, "start-failed", "{message}");
        assert!(message.contains("common/a/b"), "{message}");
        bench.ask(&["stop", "climber"]);
        let _ = fs::remove_file(common.join(what));
        fs::create_dir_all(common.join("a")).unwrap();
    }
    assert_eq!(bench.output("climber"), Vec::<String>::new(), "nothing was seen");
}
