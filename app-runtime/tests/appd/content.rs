//! Files that one snap shares with another.

use crate::{
    bench::Bench,
    snap::{Snap, pack},
};
use serde_json::json;
use std::{fs, os::unix::fs::symlink, path::Path};

const READS: &str = "#!/bin/sh
busybox cat $SNAP/shared/text 2>/dev/null || echo nothing
echo x 2>/dev/null > $SNAP/shared/text || echo read-only
busybox ls -A $SNAP_COMMON/other 2>/dev/null
while true; do busybox sleep 0.1; done
";

fn signed(bench: &Bench, snap: &Snap, change: impl Fn(&Path)) -> String {
    let tree = snap.tree(&bench.dir);
    change(&tree);
    let name = snap.yaml.lines().next().unwrap().trim_start_matches("name: ");
    pack(&tree, &bench.dir, name).display().to_string()
}

fn reader(bench: &Bench) -> String {
    let mut snap = Snap::new("reader", "1", READS);
    snap.yaml += "plugs:
  text: {interface: content, content: words, target: $SNAP/shared}
  data: {interface: content, content: out, target: $SNAP_COMMON/other}
";
    signed(bench, &snap, |tree| fs::create_dir(tree.join("shared")).unwrap())
}

/// Shares a folder of its own, and what it says is one of its data.
fn store(bench: &Bench, name: &str, version: &str) -> String {
    let mut snap = Snap::new(name, version, "");
    snap.yaml = format!(
        "name: {name}\nversion: '{version}'\nsummary: shares\nslots:\n\
         \x20 words: {{interface: content, content: words, read: [share]}}\n\
         \x20 out: {{interface: content, content: out, write: [$SNAP_COMMON/out]}}\n"
    );
    signed(bench, &snap, |tree| {
        fs::create_dir(tree.join("share")).unwrap();
        fs::write(tree.join("share/text"), format!("{name} {version}\n")).unwrap();
    })
}

#[test]
fn a_snap_reads_what_another_shares_and_follows_it() {
    let mut bench = Bench::new();
    bench.ask(&["install", &reader(&bench)]);
    let firsts = |bench: &Bench| -> Vec<String> {
        let lines = bench.output_so_far("reader.main");
        lines.into_iter().filter(|line| line != "read-only" && line != "inner").collect()
    };
    let says = |bench: &Bench, expected: &[&str]| {
        let what = format!("{expected:?}");
        bench.until(&what, |b| firsts(b) == expected);
    };
    says(&bench, &["nothing"]);
    bench.ask(&["install", &store(&bench, "store", "1")]);
    says(&bench, &["nothing", "store 1"]);
    bench.ask(&["refresh", &store(&bench, "store", "2")]);
    says(&bench, &["nothing", "store 1", "store 2"]);
    bench.ask(&["disconnect", "reader:text"]);
    says(&bench, &["nothing", "store 1", "store 2", "nothing"]);

    // Of two that offer it, a person chooses; of the other plug, nobody: it is started anew.
    bench.ask(&["install", &store(&bench, "depot", "7")]);
    says(&bench, &["nothing", "store 1", "store 2", "nothing", "nothing"]);
    bench.ask(&["connect", "reader:text", "provider=depot"]);
    let after = ["nothing", "store 1", "store 2", "nothing", "nothing", "depot 7"];
    says(&bench, &after);
    let text = &bench.ask(&["connections", "reader"])[1];
    assert_eq!(
        (&text["connected"], &text["attributes"]),
        (&json!(true), &json!(["provider=depot"]))
    );
    assert!(bench.output("reader.main").iter().all(|line| line != "x"));
    bench.kill();
    bench.boot();
    // Started once, with what it gets when all are there: of `data` two are offered, so nobody's.
    says(&bench, &[&after[..], &["depot 7"]].concat());
    let line = "reader: content of depot:";
    assert!(!bench.log().contains(line), "for a moment depot was the only one: {}", bench.log());
    bench.ask(&["remove", "--purge", "depot"]);
    says(&bench, &[&after[..], &["depot 7", "nothing"]].concat());
}

#[test]
fn a_link_in_what_is_shared_leads_nobody_out() {
    let bench = Bench::new();
    bench.ask(&["install", &store(&bench, "store", "1")]);
    let common = bench.dir.join("data/snaps/data/store/common");
    fs::create_dir_all(common.join("etc")).unwrap();
    fs::write(common.join("etc/inner"), "").unwrap();
    // The provider's own `etc`, not the machine's.
    symlink("/etc", common.join("out")).unwrap();
    for folder in ["etc", ""] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(common.join(folder), mode).unwrap();
    }
    bench.ask(&["install", &reader(&bench)]);
    bench.until("it looked", |b| b.output("reader.main").contains(&"inner".to_string()));
    assert!(!bench.output("reader.main").iter().any(|line| line == "passwd"));
}
