//! Hooks, configuration, and `snapctl` as apps and hooks see it.

use crate::{
    bench::Bench,
    snap::{Snap, borrow, pack},
};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// What every hook does first.
const NOTE: &str = "#!/bin/sh
echo ${0##*/} $SNAP_VERSION >> $SNAP_COMMON/hooks
";

/// Signed, with `snapctl`'s libraries and these hooks, each of which notes that it runs.
fn hooked(snap: &Snap, dir: &Path, hooks: &[(&str, &str)]) -> PathBuf {
    let tree = snap.tree(dir);
    borrow(&tree, env!("CARGO_BIN_EXE_snapctl"), "bin/spare-snapctl");
    fs::remove_file(tree.join("bin/spare-snapctl")).unwrap();
    let folder = tree.join("meta/hooks");
    fs::create_dir_all(&folder).unwrap();
    for (name, script) in hooks {
        fs::write(folder.join(name), format!("{NOTE}{script}\n")).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    pack(&tree, dir, "test")
}

const WAITS: &str = "#!/bin/sh\nwhile true; do busybox sleep 0.1; done\n";

fn noted(bench: &Bench, name: &str) -> Vec<String> {
    let path = bench.dir.join("data/snaps/data").join(name).join("common/hooks");
    fs::read_to_string(path).unwrap_or_default().lines().map(String::from).collect()
}

#[test]
fn hooks_run_and_what_they_set_holds_when_they_end_well() {
    let bench = Bench::new();
    let configure = "
        [ \"$(snapctl get mode)\" != bad ] || { snapctl set seen=bad; echo not this mode; exit 1; }
        snapctl set seen=\"$(snapctl get mode)\"";
    let hooks = [
        ("install", "snapctl set mode=first deep.er=1 && snapctl get deep"),
        ("default-configure", ""),
        ("configure", configure),
        ("check-health", "snapctl set-health --code=no-net waiting 'for the network'"),
        ("pre-refresh", ""),
        ("post-refresh", "snapctl set mode=second; snapctl unset deep"),
        ("remove", "exit 3"),
    ];
    let one = hooked(&Snap::new("hooked", "1", WAITS), &bench.dir, &hooks);
    bench.install(&one);
    let expected = ["install 1", "default-configure 1", "configure 1", "check-health 1"];
    assert_eq!(noted(&bench, "hooked"), expected);
    let first = json!({"mode": "first", "deep": {"er": 1}, "seen": "first"});
    assert_eq!(bench.ask(&["get", "hooked"]), first);
    assert_eq!(bench.ask(&["get", "hooked", "deep.er"]), json!(1));
    let health = &bench.ask(&["info", "hooked"])["health"];
    assert_eq!((&health["status"], &health["code"]), (&json!("waiting"), &json!("no-net")));
    assert_eq!(bench.output("hooked.hook.install"), ["{", "  \"er\": 1", "}"], "{}", bench.log());

    // The configure hook decides.
    bench.ask(&["set", "hooked", "mode=third"]);
    assert_eq!(bench.ask(&["get", "hooked", "seen"]), json!("third"));
    let (code, why) = bench.refused(&["set", "hooked", "mode=bad", "more=1"]);
    assert_eq!(code, "hook-failed");
    assert!(why.contains("hook configure: ended with exit code 1: not this mode"), "{why}");
    let kept = json!({"mode": "third", "deep": {"er": 1}, "seen": "third"});
    assert_eq!(bench.ask(&["get", "hooked"]), kept);

    // A new revision changes it, and going back brings it back.
    let two = hooked(&Snap::new("hooked", "2", WAITS), &bench.dir, &hooks);
    bench.ask(&["refresh", two.to_str().unwrap()]);
    let notes = noted(&bench, "hooked");
    let expected = ["pre-refresh 1", "post-refresh 2", "configure 2", "check-health 2"];
    assert_eq!(notes[notes.len() - 4..], expected);
    assert_eq!(bench.ask(&["get", "hooked"]), json!({"mode": "second", "seen": "second"}));
    bench.ask(&["revert", "hooked"]);
    assert_eq!(bench.ask(&["get", "hooked"]), kept);
    bench.ask(&["revert", "hooked", "--revision=2"]);
    assert_eq!(bench.ask(&["get", "hooked", "mode"]), json!("second"));

    // What is removed is removed, whatever its hook says.
    bench.ask(&["remove", "hooked"]);
    assert!(bench.log().contains("hook remove: ended with exit code 3"), "{}", bench.log());
    assert_eq!(bench.refused(&["get", "hooked"]).0, "not-installed");
}

#[test]
fn a_hook_that_fails_undoes_what_it_belongs_to() {
    let bench = Bench::new();
    let broken = hooked(&Snap::new("hooked", "1", WAITS), &bench.dir, &[("install", "exit 5")]);
    let (code, why) = bench.refused(&["install", broken.to_str().unwrap()]);
    assert_eq!(
        (code.as_str(), why.contains("hook install: ended with exit code 5")),
        ("hook-failed", true)
    );
    assert_eq!(bench.ask(&["list"]), json!([]));
    bench.install(&hooked(&Snap::new("hooked", "1", WAITS), &bench.dir, &[]));
    bench.ask(&["set", "hooked", "key=[1,2]"]);
    let sick = [("check-health", "snapctl set key=3; snapctl set-health error 'no sensor'")];
    let two = hooked(&Snap::new("hooked", "2", WAITS), &bench.dir, &sick);
    let (code, why) = bench.refused(&["install", two.to_str().unwrap()]);
    assert_eq!(code, "snap-unhealthy");
    assert!(why.contains("no sensor"), "{why}");
    assert_eq!(bench.ask(&["info", "hooked"])["version"], "1");
    assert_eq!(bench.ask(&["get", "hooked", "key"]), json!([1, 2]));
    assert_eq!(bench.service("hooked.main")["state"], "active");
    // Settings outlive a reboot.
    let mut bench = bench;
    bench.kill();
    bench.boot();
    assert_eq!(bench.ask(&["get", "hooked", "key"]), json!([1, 2]));
}

/// What `asker.main` does and what it gets to see.
const QUESTIONS: [(&str, &[&str]); 13] = [
    ("snapctl set color=blue size=3", &[]),
    ("snapctl get color", &["blue"]),
    ("snapctl get -t color", &["\"blue\""]),
    ("snapctl get nothing", &[""]),
    ("snapctl is-connected net", &[]),
    ("snapctl is-connected led", &["= 1"]),
    ("snapctl is-connected none", &["error: asker has no plug \"none\"", "= 1"]),
    (
        "snapctl services",
        &[
            "Service       Startup  Current  Notes",
            "asker.main    enabled  active   -",
            "asker.second  enabled  active   -",
        ],
    ),
    ("snapctl stop --disable asker.second", &[]),
    (
        "snapctl services asker.second",
        &["Service       Startup   Current   Notes", "asker.second  disabled  inactive  -"],
    ),
    ("snapctl stop other", &["error: other: not a service of asker", "= 1"]),
    ("snapctl install x", &["error: unknown command \"install\"", "= 1"]),
    ("snapctl unset a..b", &["error: \"a..b\": not a key", "= 1"]),
];

/// A snap with two services, the first of which asks.
fn asker(bench: &Bench) -> PathBuf {
    let wait = "until snapctl services asker.second | busybox grep -q ' active'; do\n\
                busybox sleep 0.1; done";
    let say =
        "say() { \"$@\" 2>&1 | busybox cut -d : -f 1-3; \"$@\" >/dev/null 2>&1 || echo \"= $?\"; }";
    let lines: Vec<String> =
        QUESTIONS.iter().map(|(line, _)| format!("say {line}\necho next")).collect();
    let script = format!("#!/bin/sh\n{wait}\n{say}\n{}\n{}", lines.join("\n"), &WAITS[10..]);
    let mut asker = Snap::new("asker", "1", &script);
    asker.yaml += "  second:
    command: bin/second
    daemon: simple
    plugs: [led]
plugs:
  net: {interface: network}
  led: {interface: gpio, line: 3}
";
    let tree = asker.tree(&bench.dir);
    borrow(&tree, env!("CARGO_BIN_EXE_snapctl"), "bin/spare-snapctl");
    fs::write(tree.join("bin/second"), WAITS).unwrap();
    fs::set_permissions(tree.join("bin/second"), fs::Permissions::from_mode(0o755)).unwrap();
    pack(&tree, &bench.dir, "test")
}

#[test]
fn an_app_asks_about_its_own_snap_and_changes_nothing_else() {
    let mut bench = Bench::new();
    bench.install(&Snap::new("other", "1", WAITS).signed(&bench.dir));
    bench.install(&asker(&bench));
    let nexts = |b: &Bench| b.output("asker.main").iter().filter(|l| *l == "next").count();
    bench.until("it asked all", |b| nexts(b) == QUESTIONS.len());
    let output = bench.output("asker.main");
    let answers: Vec<&[String]> = output.split(|line| line == "next").collect();
    for ((question, expected), answer) in QUESTIONS.iter().zip(answers) {
        let as_expected = answer.len() == expected.len()
            && answer.iter().zip(*expected).all(|(line, start)| line.starts_with(start));
        assert!(as_expected, "{question}: {answer:?}");
    }
    assert_eq!(bench.service("other.main")["state"], "active");
    // What a service set holds at once, and after a reboot; so does what it does not start with.
    assert_eq!(bench.ask(&["get", "asker"]), json!({"color": "blue", "size": 3}));
    bench.kill();
    bench.boot();
    let up = |b: &Bench| b.snapctl(&["services", "asker.main"]).1[0]["state"] == "active";
    bench.until("it runs again", up);
    assert_eq!(bench.service("asker.second")["state"], "inactive");
    bench.ask(&["start", "--enable", "asker.second"]);
    assert_eq!(bench.service("asker.second")["state"], "active");
    bench.ask(&["stop", "--disable", "asker.main"]);
    bench.ask(&["disable", "asker"]);
    bench.ask(&["enable", "asker"]);
    let state = |app: &str| bench.service(&format!("asker.{app}"))["state"].clone();
    assert_eq!([state("main"), state("second")], ["inactive", "active"]);
}

/// Opens more connections than are answered at a time, says in each that much follows, and waits.
const FLOOD: &str = "my @all;
for (1..200) {
    socket(my $one, 1, 1, 0) or die;
    connect($one, pack('S a*', 1, '/run/snapd-snap.socket')) or last;
    syswrite($one, pack('V', 100_000));
    push @all, $one;
}
$| = 1;
print scalar(@all), \" open\n\";
sleep 1000;
";

#[test]
fn a_snap_that_floods_its_socket_keeps_nobody_else_waiting() {
    let bench = Bench::new();
    bench.install(&Snap::perl("flooding", "", FLOOD).signed(&bench.dir));
    bench.until("it floods", |b| b.output("flooding.main").iter().any(|l| l.ends_with(" open")));
    // The administrator and another snap are served at once.
    bench.install(&hooked(
        &Snap::new("hooked", "1", WAITS),
        &bench.dir,
        &[("configure", "snapctl get a")],
    ));
    bench.ask(&["set", "hooked", "a=1"]);
    assert_eq!(bench.service("flooding.main")["state"], "active");
}

#[test]
fn a_service_that_does_not_start_with_its_snap_waits_to_be_asked() {
    let bench = Bench::new();
    let mut snap = Snap::new("shy", "1", WAITS);
    snap.yaml += "    install-mode: disable\n";
    bench.install(&snap.signed(&bench.dir));
    assert_eq!(bench.service("shy.main")["state"], "inactive");
    bench.ask(&["start", "--enable", "shy"]);
    assert_eq!(bench.service("shy.main")["state"], "active");
    // Whoever was enabled stays so.
    let mut snap = Snap::new("shy", "2", WAITS);
    snap.yaml += "    install-mode: disable\n";
    bench.install(&snap.signed(&bench.dir));
    assert_eq!(bench.service("shy.main")["state"], "active");
}
