//! What a start finds after the power went.

use crate::{
    bench::Bench,
    snap::{STEADY, Snap},
};
use std::fs;

#[test]
fn services_run_again_and_leftovers_are_gone() {
    let mut bench = Bench::new();
    bench.install(&Snap::new("steady", "1", STEADY).signed(&bench.dir));
    bench.kill();
    let snaps = bench.dir.join("data/snaps");
    fs::write(snaps.join("files/incoming-3.partial"), "half").unwrap();
    fs::write(snaps.join("files/steady_2.snap"), "renamed, but the state was not written").unwrap();
    fs::create_dir_all(snaps.join("data/steady/2")).unwrap();
    fs::create_dir_all(snaps.join("data/other/1")).unwrap();
    fs::write(snaps.join("state.new"), "{ half").unwrap();
    bench.boot();
    bench.until("it runs again", |b| b.snapctl(&["services", "steady"]).1[0]["state"] == "active");
    assert_eq!(bench.kept("files"), ["steady_1.snap"]);
    assert_eq!(bench.kept("data"), ["steady"]);
    assert_eq!(bench.kept("data/steady"), ["1", "common"]);
}

#[test]
fn a_damaged_snap_is_named_and_stops_no_other() {
    let mut bench = Bench::new();
    for name in ["first", "second", "third"] {
        bench.install(&Snap::new(name, "1", STEADY).signed(&bench.dir));
    }
    bench.kill();
    let files = bench.dir.join("data/snaps/files");
    let cut = fs::File::options().write(true).open(files.join("first_1.snap")).unwrap();
    cut.set_len(8192).unwrap();
    let mut bytes = fs::read(files.join("second_1.snap")).unwrap();
    bytes[5000] ^= 1;
    fs::write(files.join("second_1.snap"), bytes).unwrap();
    bench.boot();
    bench.until("the good one runs", |b| {
        b.snapctl(&["services", "third"]).1[0]["state"] == "active"
    });
    for name in ["first", "second"] {
        let (code, message) = bench.refused(&["start", name]);
        assert_eq!(code, "snap-corrupt", "{message}");
        assert!(message.contains(name), "{message}");
        let log = bench.log();
        assert!(log.contains(&format!("{name}: snap-corrupt: ")), "{log}");
    }
    // What is broken can be replaced, and removed.
    bench.install(&Snap::new("first", "2", STEADY).signed(&bench.dir));
    assert_eq!(bench.service("first")["state"], "active");
    bench.ask(&["remove", "second"]);
}
