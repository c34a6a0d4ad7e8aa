//! Changes: shown, watched, aborted, several snaps in one, revert, enable and disable, and what a
//! power cut makes of them.

use crate::{
    bench::Bench,
    snap::{STEADY, Snap},
};
use std::{
    fs,
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

const CRASHING: &str = "#!/bin/sh\necho broken >> $SNAP_DATA/versions\nexit 3\n";
/// Is being watched for as long as appd watches anything; the second time it ends at once.
const SLOW_ONCE: &str = "#!/bin/sh
echo $SNAP_VERSION >> $SNAP_DATA/versions
[ -e $SNAP_DATA/again ] && exit 0
> $SNAP_DATA/again
busybox sleep 60
";
/// The same, each time.
const SLOW: &str = "#!/bin/sh\necho $SNAP_VERSION >> $SNAP_DATA/versions\nbusybox sleep 60\n";

fn oneshot(bench: &Bench, script: &str) -> PathBuf {
    let mut snap = Snap::new("steady", "2", script);
    snap.yaml = snap.yaml.replace("simple", "oneshot");
    snap.signed(&bench.dir)
}

/// A signed snap as a file of its own.
pub fn file(bench: &Bench, name: &str, version: &str, script: &str) -> PathBuf {
    let packed = Snap::new(name, version, script).signed(&bench.dir);
    let own = bench.dir.join(format!("{name}-{version}.snap"));
    fs::rename(packed, &own).unwrap();
    own
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What the data of a revision says that ran there.
pub fn versions(bench: &Bench, name: &str, revision: u32) -> String {
    let path = bench.dir.join(format!("data/snaps/data/{name}/{revision}/versions"));
    fs::read_to_string(path).unwrap_or_default()
}

/// Installs, and waits until it has written its data.
pub fn installed(bench: &Bench, name: &str, version: &str, revision: u32) {
    bench.install(&file(bench, name, version, STEADY));
    bench.until("it wrote its data", |b| {
        versions(b, name, revision).ends_with(&format!("{version}\n"))
    });
}

fn current(bench: &Bench, name: &str) -> (String, u64) {
    let info = bench.ask(&["info", name]);
    (info["version"].as_str().unwrap().into(), info["revision"].as_u64().unwrap())
}

fn statuses(bench: &Bench, which: &str) -> Vec<String> {
    let change = bench.ask(&["tasks", which]);
    let tasks = change["tasks"].as_array().unwrap();
    tasks.iter().map(|task| task["status"].as_str().unwrap().to_string()).collect()
}

#[test]
fn each_request_is_a_change_that_can_be_looked_at() {
    let bench = Bench::new();
    assert_eq!(bench.ask(&["changes"]).as_array().unwrap().len(), 0);
    installed(&bench, "steady", "1", 1);
    let bad = file(&bench, "steady", "2", CRASHING);
    bench.refused(&["install", text(&bad)]);
    let changes = bench.ask(&["changes"]);
    let seen: Vec<_> = changes
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["id"].as_u64().unwrap(), c["kind"].clone(), c["status"].clone()))
        .collect();
    let install = serde_json::Value::from("install");
    assert_eq!(seen, [(1, install.clone(), "Done".into()), (2, install, "Error".into())]);
    assert_eq!(statuses(&bench, "1"), ["Done"; 5]);
    // fetch, take-file, stop, copy-data, link, start
    assert_eq!(
        statuses(&bench, "--last=install"),
        ["Undone", "Undone", "Undone", "Undone", "Undone", "Error"]
    );
    let failed = bench.ask(&["tasks", "2"]);
    assert_eq!(failed["failure"]["code"], "start-failed");
    assert_eq!(failed["tasks"][5]["log"][0], "steady.main: ended with exit code 3");
    assert_eq!(bench.refused(&["watch", "2"]).0, "start-failed");
    assert_eq!(bench.refused(&["tasks", "3"]).0, "no-change");
    assert_eq!(bench.refused(&["tasks", "--last=save"]).0, "no-change");
    assert_eq!(bench.refused(&["abort", "1"]).0, "change-ended");

    let good = file(&bench, "steady", "3", STEADY);
    let began = bench.ask(&["install", "--no-wait", text(&good)]);
    assert_eq!(began["change"], 3);
    assert_eq!(bench.ask(&["watch", "3"])["ok"], "steady refreshed to 3 (revision 2)");
    assert_eq!(current(&bench, "steady"), ("3".into(), 2));
}

#[test]
fn a_revert_brings_the_data_back_and_what_was_left_does_not_come_unasked() {
    let bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    installed(&bench, "steady", "2", 2);
    assert_eq!(bench.ask(&["revert", "steady"])["ok"], "steady reverted to 1 (revision 1)");
    assert_eq!(current(&bench, "steady"), ("1".into(), 1));
    bench.until("it runs on its own data", |b| versions(b, "steady", 1) == "1\n1\n");
    assert_eq!(versions(&bench, "steady", 2), "1\n2\n");
    assert_eq!(bench.refused(&["revert", "steady"]).0, "no-revision");

    let again = bench.dir.join("steady-2.snap");
    let (code, message) = bench.refused(&["refresh", text(&again)]);
    assert_eq!(code, "reverted", "{message}");
    assert!(message.contains("revision 2, which was reverted from"), "{message}");
    assert_eq!(
        bench.ask(&["revert", "steady", "--revision=2"])["ok"],
        "steady reverted to 2 (revision 2)"
    );
    bench.ask(&["revert", "steady"]);

    // The next one is taken, from the data of what ran, and what was left goes.
    let third = file(&bench, "steady", "3", STEADY);
    bench.ask(&["refresh", text(&third)]);
    bench.until("it wrote its data", |b| versions(b, "steady", 3).ends_with("3\n"));
    assert!(!versions(&bench, "steady", 3).contains('2'), "{}", versions(&bench, "steady", 3));
    assert_eq!(bench.kept("files"), ["steady_1.snap", "steady_3.snap"]);
    assert_eq!(bench.kept("data/steady"), ["1", "3", "common"]);
    let unknown = file(&bench, "other", "1", STEADY);
    assert_eq!(bench.refused(&["refresh", text(&unknown)]).0, "not-installed");
}

#[test]
fn a_revert_to_what_no_longer_starts_stays_where_it_is() {
    let bench = Bench::new();
    // Runs once, and never again once its successor has been there.
    let script = STEADY.replace("trap", "[ -e $SNAP_COMMON/newer ] && exit 4\ntrap");
    let first = Snap::new("steady", "1", &script).signed(&bench.dir);
    bench.install(&first);
    let script = STEADY.replace("trap", "> $SNAP_COMMON/newer\ntrap");
    let second = Snap::new("steady", "2", &script).signed(&bench.dir);
    bench.install(&second);
    bench.until("it ran", |b| b.dir.join("data/snaps/data/steady/common/newer").exists());
    let (code, message) = bench.refused(&["revert", "steady"]);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("start-failed", "steady.main: ended with exit code 4")
    );
    assert_eq!(current(&bench, "steady"), ("2".into(), 2));
    bench.until("it runs", |b| b.service("steady")["state"] == "active");
}

#[test]
fn a_disabled_snap_does_not_run_until_it_is_enabled() {
    let mut bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    assert_eq!(bench.ask(&["disable", "steady"])["ok"], "steady disabled");
    assert_eq!(bench.refused(&["disable", "steady"]).0, "snap-disabled");
    assert_eq!(bench.refused(&["start", "steady"]).0, "snap-disabled");
    assert_eq!(bench.ask(&["services"]).as_array().unwrap().len(), 0);
    bench.kill();
    bench.boot();
    assert_eq!(bench.ask(&["list"])[0]["disabled"], true);
    assert_eq!(bench.ask(&["services"]).as_array().unwrap().len(), 0);
    // It can be refreshed, and stays disabled.
    let second = file(&bench, "steady", "2", CRASHING);
    bench.install(&second);
    assert_eq!(current(&bench, "steady"), ("2".into(), 2));
    assert_eq!(bench.refused(&["enable", "steady"]).0, "start-failed");
    assert_eq!(bench.ask(&["list"])[0]["disabled"], true);
    bench.ask(&["revert", "steady"]);
    assert_eq!(bench.ask(&["enable", "steady"])["ok"], "steady enabled");
    assert_eq!(bench.service("steady")["state"], "active");
    assert_eq!(bench.refused(&["enable", "steady"]).0, "snap-enabled");
}

#[test]
fn several_snaps_are_changed_together_or_not_at_all() {
    let bench = Bench::new();
    installed(&bench, "first", "1", 1);
    let files = [file(&bench, "first", "2", STEADY), file(&bench, "second", "1", CRASHING)];
    let (code, _) = bench.refused(&["install", text(&files[0]), text(&files[1])]);
    assert_eq!(code, "start-failed");
    assert_eq!(current(&bench, "first"), ("1".into(), 1));
    bench.until("the first runs", |b| b.service("first")["state"] == "active");
    assert_eq!(bench.kept("files"), ["first_1.snap"]);
    assert_eq!(bench.kept("data"), ["first"]);

    let good = file(&bench, "second", "1", STEADY);
    let said = bench.ask(&["install", text(&files[0]), text(&good)]);
    assert_eq!(said["ok"], "first refreshed to 2 (revision 2)\nsecond installed 1 (revision 1)");
    let twice = bench.refused(&["install", text(&good), text(&good)]);
    assert_eq!(twice.0, "bad-request", "{}", twice.1);
    assert_eq!(bench.refused(&["remove", "first", "third"]).0, "not-installed");
    assert_eq!(
        bench.ask(&["remove", "--purge", "first", "second"])["ok"],
        "first removed\nsecond removed"
    );
    for folder in ["files", "data", "log", "snapshots"] {
        assert_eq!(bench.kept(folder), Vec::<String>::new(), "{folder}");
    }
}

#[test]
fn a_change_that_appd_dies_under_is_finished_when_it_starts_again() {
    let mut bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    let second = oneshot(&bench, SLOW_ONCE);
    bench.ask(&["install", "--no-wait", text(&second)]);
    // It is being watched in its first moments.
    bench.until("the new one runs", |b| versions(b, "steady", 2) == "1\n2\n");
    assert_eq!(bench.ask(&["tasks", "2"])["status"], "Doing");
    bench.kill();
    bench.boot();
    assert_eq!(bench.ask(&["watch", "2"])["ok"], "steady refreshed to 2 (revision 2)");
    assert_eq!(current(&bench, "steady"), ("2".into(), 2));
    assert_eq!(bench.service("steady")["state"], "done");
    assert!(bench.log().contains("change 2 was under way and goes on"), "{}", bench.log());
}

#[test]
fn a_change_that_appd_always_dies_under_is_undone() {
    let mut bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    let second = oneshot(&bench, SLOW);
    bench.ask(&["install", "--no-wait", text(&second)]);
    for lines in 1..=4 {
        let expected = format!("1\n{}", "2\n".repeat(lines));
        bench.until("the new one runs", |b| versions(b, "steady", 2) == expected);
        bench.kill();
        bench.boot();
    }
    assert_eq!(bench.refused(&["watch", "2"]).0, "change-interrupted");
    assert_eq!(current(&bench, "steady"), ("1".into(), 1));
    bench.until("the old one runs", |b| b.service("steady")["state"] == "active");
    assert_eq!(bench.kept("files"), ["steady_1.snap"]);
    assert_eq!(bench.kept("data/steady"), ["1", "common"]);
}

#[test]
fn a_download_is_aborted_and_leaves_nothing() {
    let bench = Bench::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/slow.snap", server.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = server.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n").unwrap();
        // A byte now and then, for as long as somebody reads.
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let began = bench.ask(&["install", "--no-wait", &url]);
    assert_eq!(began["change"], 1);
    bench.until("it downloads", |b| !b.kept("files").is_empty());
    bench.ask(&["abort", "1"]);
    let (code, _) = bench.refused(&["watch", "1"]);
    assert_eq!(code, "aborted");
    serving.join().unwrap();
    assert_eq!(bench.kept("files"), Vec::<String>::new());
    assert_eq!(bench.ask(&["changes"])[0]["status"], "Undone");
}

#[test]
fn a_copy_of_the_data_that_does_not_fit_is_refused_before_anything_stops() {
    let bench = Bench::with_data_of(16 << 20);
    installed(&bench, "steady", "1", 1);
    let pid = bench.service("steady")["pid"].clone();
    let ballast = bench.dir.join("data/snaps/data/steady/1/ballast");
    fs::write(&ballast, vec![7; 6 << 20]).unwrap();
    let second = file(&bench, "steady", "2", STEADY);
    let (code, message) = bench.refused(&["install", text(&second)]);
    assert_eq!(code, "no-space", "{message}");
    let expected = "steady: the copy of its data: needs 62";
    assert!(message.starts_with(expected) && message.contains(" are free in "), "{message}");
    assert_eq!(bench.service("steady")["pid"], pid, "it was stopped");
    assert_eq!(bench.kept("files"), ["steady_1.snap"]);
    // And so is a snapshot.
    fs::write(&ballast, vec![7; 9 << 20]).unwrap();
    let (code, message) = bench.refused(&["save", "steady"]);
    assert_eq!(code, "no-space", "{message}");
    assert!(message.starts_with("Save data of \"steady\" snap: needs 9"), "{message}");
    assert_eq!(bench.refused(&["remove", "steady"]).0, "no-space");
    bench.ask(&["remove", "--purge", "steady"]);
}

#[test]
fn people_see_tables() {
    let bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    bench.ask(&["save"]);
    let shown = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_snapctl"))
            .arg("--root")
            .arg(&bench.dir)
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let changes = shown(&["changes"]);
    assert!(changes.starts_with("ID  Status  Spawn "), "{changes}");
    assert!(changes.contains("Install from ") && changes.contains("Save data of \"steady\" snap"));
    let tasks = shown(&["tasks", "1"]);
    assert!(tasks.contains("Done    Make steady (1) the current one"), "{tasks}");
    let saved = shown(&["saved"]);
    assert!(saved.starts_with("Set  Snap    Age  Version  Rev"), "{saved}");
    assert!(shown(&["watch", "2"]).contains("Done  Save data of steady in snapshot set #1"));
}

#[test]
fn a_snap_that_cannot_read_the_data_is_refused_also_while_the_old_one_is_disabled() {
    let bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    let mut newer = Snap::new("steady", "2", STEADY);
    newer.yaml += "epoch: 2\n";
    let newer = newer.signed(&bench.dir);
    assert_eq!(bench.refused(&["install", text(&newer)]).0, "snap-epoch");
    bench.ask(&["disable", "steady"]);
    assert_eq!(bench.refused(&["install", text(&newer)]).0, "snap-epoch");
    assert_eq!(current(&bench, "steady"), ("1".into(), 1));
}

#[test]
fn a_change_comes_to_its_end_whenever_appd_was_killed() {
    let mut bench = Bench::new();
    installed(&bench, "steady", "1", 1);
    let newer = file(&bench, "steady", "2", STEADY);
    for delay in (0..400).step_by(40) {
        bench.ask(&["refresh", text(&newer), "--no-wait"]);
        sleep(Duration::from_millis(delay));
        bench.kill();
        bench.boot();
        // Done, or undone.
        bench.snapctl(&["watch", "--last=refresh"]);
        let change = bench.ask(&["tasks", "--last=refresh"]);
        assert!(change["ready"].is_u64(), "{delay} ms: {change}");
        bench.until("it runs", |b| b.service("steady")["state"] == "active");
    }
}
