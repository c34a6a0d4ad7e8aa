//! Another version of what is installed.

use crate::{
    bench::Bench,
    snap::{STEADY, Snap},
};
use std::fs;

const CRASHING: &str = "#!/bin/sh\necho cannot\necho broken >> $SNAP_DATA/versions\nexit 3\n";

#[test]
fn a_refresh_brings_the_data_along_and_keeps_one_way_back() {
    let bench = Bench::new();
    for version in ["1", "2", "3"] {
        bench.install(&Snap::new("steady", version, STEADY).signed(&bench.dir));
        bench.until("it wrote its data", |b| {
            let versions = format!("data/snaps/data/steady/{version}/versions");
            fs::read_to_string(b.dir.join(versions))
                .unwrap_or_default()
                .ends_with(&format!("{version}\n"))
        });
    }
    let info = bench.ask(&["info", "steady"]);
    assert_eq!((&info["version"], &info["revision"]), (&"3".into(), &3.into()));
    assert_eq!(bench.kept("files"), ["steady_2.snap", "steady_3.snap"]);
    assert_eq!(bench.kept("data/steady"), ["2", "3", "common"]);
    let versions = |revision: u32| {
        let path = format!("data/snaps/data/steady/{revision}/versions");
        fs::read_to_string(bench.dir.join(path)).unwrap()
    };
    assert_eq!((versions(2), versions(3)), ("1\n2\n".into(), "1\n2\n3\n".into()));
}

#[test]
fn a_refresh_whose_service_does_not_start_goes_back() {
    let bench = Bench::new();
    bench.install(&Snap::new("steady", "1", STEADY).signed(&bench.dir));
    let bad = Snap::new("steady", "2", CRASHING).signed(&bench.dir);
    let (code, message) = bench.refused(&["install", bad.to_str().unwrap()]);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("start-failed", "steady.main: ended with exit code 3")
    );

    bench.until("the old one runs", |b| b.service("steady")["state"] == "active");
    let info = bench.ask(&["info", "steady"]);
    assert_eq!((&info["version"], &info["revision"]), (&"1".into(), &1.into()));
    assert_eq!(bench.kept("files"), ["steady_1.snap"]);
    assert_eq!(bench.kept("data/steady"), ["1", "common"]);
    let versions = fs::read_to_string(bench.dir.join("data/snaps/data/steady/1/versions")).unwrap();
    assert!(!versions.contains("broken"), "the new one wrote into the old one's data: {versions}");
    // And a good one is taken afterwards.
    bench.install(&Snap::new("steady", "3", STEADY).signed(&bench.dir));
    assert_eq!(bench.ask(&["info", "steady"])["version"], "3");
}

#[test]
fn a_first_install_that_does_not_start_leaves_nothing() {
    let bench = Bench::new();
    let bad = Snap::new("bad", "1", CRASHING).signed(&bench.dir);
    assert_eq!(bench.refused(&["install", bad.to_str().unwrap()]).0, "start-failed");
    assert_eq!(bench.ask(&["list"]).as_array().unwrap().len(), 0);
    assert_eq!(bench.kept("files"), Vec::<String>::new());
    assert_eq!(bench.kept("data"), Vec::<String>::new());
}
