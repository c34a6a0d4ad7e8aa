//! Snaps that none of our code made.

use crate::{
    bench::{Bench, run},
    debian,
    snap::{Snap, squash, write},
};
use std::{fs, os::unix::fs::PermissionsExt, process::Command};

const SPEAKING: &str = "#!/bin/sh\necho $SNAP_NAME runs\nwhile true; do busybox sleep 0.1; done\n";

#[test]
fn every_compressor_of_mksquashfs_is_taken() {
    let bench = Bench::new();
    for compressor in ["gzip", "lzo", "lz4", "xz", "zstd"] {
        let tree = Snap::new(compressor, "1", SPEAKING).tree(&bench.dir);
        let path = write(&bench.dir, &squash(&tree, compressor));
        let said = bench.ask(&["install", path.to_str().unwrap(), "--dangerous"]);
        assert_eq!(said["ok"], format!("{compressor} installed 1 (revision 1) (not signed)"));
        bench.until("it speaks", |b| b.output(compressor) == [format!("{compressor} runs")]);
    }
}

#[test]
fn what_snap_pack_makes_is_taken() {
    let bench = Bench::new();
    let tool = debian::program("snapd", "usr/bin/snap");
    let mut snap = Snap::new("packed", "1.0+git", SPEAKING);
    // Fields that only snapd's own check of them lets through, and one that nothing here uses.
    snap.yaml += "    restart-condition: on-abnormal\n    stop-timeout: 1m30s\n    \
                  completer: bin/main\nbase: bare\ngrade: devel\nconfinement: strict\n\
                  description: d\nepoch: 1*\nassumes: [command-chain]\nlicense: MIT\n\
                  layout: {/etc/packed: {bind: $SNAP_DATA/etc}}\n";
    for compressor in ["xz", "lzo"] {
        let tree = snap.tree(&bench.dir);
        // It refuses what others cannot read.
        for folder in ["", "bin", "meta"] {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(tree.join(folder), mode).unwrap();
        }
        let out = bench.dir.join("packed");
        let option = format!("--compression={compressor}");
        run(Command::new(&tool).args(["pack", &option]).arg(&tree).arg(&out));
        let path = out.join("packed_1.0+git_all.snap");
        let said = bench.ask(&["install", path.to_str().unwrap(), "--dangerous"]);
        let told = "not used: snap.yaml: apps.main.completer: there is no shell to complete in";
        assert!(said["ok"].as_str().unwrap().ends_with(told), "{said}");
        bench.until("it speaks", |b| b.output("packed").last().is_some_and(|l| l == "packed runs"));
    }
}
