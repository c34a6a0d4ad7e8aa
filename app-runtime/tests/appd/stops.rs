//! The other commands of a service, chains, order, and what counts as success.

use crate::{
    bench::{Bench, app_key},
    snap::{Snap, sign, write},
};
use std::{fs, process::Command};

const COMMANDS: &str = "#!/bin/sh
case $1 in
  run)
    # The shell tells of a child that the signal ends too.
    exec 2>/dev/null
    trap 'echo terminated; exit 0' TERM
    trap 'echo reloaded' HUP
    echo \"running $CHAINED\"
    while true; do busybox sleep 0.05; done ;;
  reload) kill -HUP $MAINPID ;;
  stop) kill -0 $MAINPID && echo \"asked to stop $2\" ;;
  after) [ -e /proc/$MAINPID/exe ] || echo \"cleaned up\" ;;
esac
";
const CHAIN: &str = "#!/bin/sh\nexport CHAINED=chained\nexec \"$@\"\n";

#[test]
fn the_other_commands_of_a_service_run_where_it_runs_and_in_order() {
    let bench = Bench::new();
    let mut snap = Snap::new("orderly", "1", COMMANDS);
    snap.yaml = snap.yaml.replace("command: bin/main", "command: bin/main run")
        + "    command-chain: [bin/chain]\n    reload-command: bin/main reload\n    \
           stop-command: bin/main stop $SNAP_NAME\n    post-stop-command: bin/main after\n";
    let image = snap.image_with(&bench.dir, &[("bin/chain", CHAIN)]);
    bench.install(&write(&bench.dir, &sign(image, &app_key(), None)));
    bench.until("it runs", |b| b.output("orderly") == ["running chained"]);
    let before = bench.service("orderly")["pid"].clone();
    bench.ask(&["restart", "--reload", "orderly"]);
    bench.until("it is reloaded", |b| b.output("orderly").len() == 2);
    assert_eq!(bench.service("orderly")["pid"], before, "it was not restarted");
    bench.ask(&["stop", "orderly"]);
    let expected =
        ["running chained", "reloaded", "asked to stop orderly", "terminated", "cleaned up"];
    bench.until("all is said", |b| b.output("orderly").len() >= expected.len());
    assert_eq!(bench.output("orderly"), expected);
}

#[test]
fn a_oneshot_with_a_stop_command_is_up_until_that_has_run() {
    let bench = Bench::new();
    let mut snap = Snap::new("switch", "1", "#!/bin/sh\necho $1\n");
    snap.yaml = snap.yaml.replace("simple", "oneshot").replace("bin/main", "bin/main on")
        + "    stop-command: bin/main off\n";
    bench.install(&snap.signed(&bench.dir));
    bench.until("it is up", |b| b.service("switch")["state"] == "active");
    bench.ask(&["stop", "switch"]);
    assert_eq!(bench.service("switch")["state"], "inactive");
    bench.until("both ran", |b| b.output("switch") == ["on", "off"]);
}

#[test]
fn an_exit_code_that_the_snap_names_is_a_success() {
    let bench = Bench::new();
    let mut snap = Snap::new("coded", "1", "#!/bin/sh\nexit 42\n");
    snap.yaml.push_str("    success-exit-status: [42]\n");
    bench.install(&snap.signed(&bench.dir));
    bench.until("it is done", |b| b.service("coded")["state"] == "done");
}

#[test]
fn only_the_main_process_is_signalled_when_the_snap_says_so() {
    let bench = Bench::new();
    let script = "#!/bin/sh\n(trap 'echo child hears' HUP; busybox sleep 30; busybox sleep 1) &\n\
                  trap 'echo main hears; exit 0' HUP\nwhile true; do busybox sleep 0.05; done\n";
    for (mode, expected) in [("sighup", &["main hears"][..]), ("sighup-all", &["child", "main"])] {
        let mut snap = Snap::new(mode, "1", script);
        snap.yaml += &format!("    stop-mode: {mode}\n");
        bench.install(&snap.signed(&bench.dir));
        bench.ask(&["stop", mode]);
        let mut heard = bench.output(mode);
        heard.sort();
        let found = heard.iter().zip(expected).all(|(line, word)| line.starts_with(word));
        // A child that hears dies with its namespace, perhaps before it has spoken.
        assert!(
            found && heard.len() <= expected.len() && !heard.is_empty() || mode != "sighup",
            "{mode}: {heard:?}"
        );
        assert!(heard.contains(&"main hears".into()), "{mode}: {heard:?}");
    }
}

/// Says when it starts and when it ends, `$1` seconds after it is told to.
const TELLER: &str = "#!/bin/sh
echo start $SNAP_APP_NAME >> $SNAP_COMMON/order
trap 'busybox sleep $1; echo end $SNAP_APP_NAME >> $SNAP_COMMON/order; exit 0' TERM
while true; do busybox sleep 0.05; done
";

#[test]
fn services_start_in_order_and_stop_in_reverse() {
    let mut bench = Bench::new();
    let mut snap = Snap::new("ordered", "1", TELLER);
    snap.yaml = "name: ordered\nversion: '1'\napps:\n".into();
    // By name alone the order would be the other way round.
    for (name, linger, more) in [
        ("aa", "0.3", "after: [setup, bb]"),
        ("bb", "0", "before: [aa]"),
        ("setup", "", "before: [bb]"),
    ] {
        let (command, daemon) =
            if name == "setup" { ("bin/setup", "oneshot") } else { ("bin/main", "simple") };
        snap.yaml += &format!(
            "  {name}: {{command: {command} {linger}, daemon: {daemon}, {more}, \
             stop-mode: sigterm}}\n"
        );
    }
    let setup = "#!/bin/sh\nbusybox sleep 0.3\necho setup >> $SNAP_COMMON/order\n";
    let image = snap.image_with(&bench.dir, &[("bin/setup", setup)]);
    bench.install(&write(&bench.dir, &sign(image, &app_key(), None)));
    let order = bench.dir.join("data/snaps/data/ordered/common/order");
    let lines = |expected: &[&str]| {
        bench.until("the order is right", |_| {
            let text = fs::read_to_string(&order).unwrap_or_default();
            text.lines().collect::<Vec<_>>() == expected
        });
    };
    lines(&["setup", "start bb", "start aa"]);
    bench.ask(&["stop", "ordered"]);
    lines(&["setup", "start bb", "start aa", "end aa", "end bb"]);
    fs::remove_file(&order).unwrap();
    // After a boot all are asked for at once.
    bench.kill();
    bench.boot();
    let text = || fs::read_to_string(&order).unwrap_or_default();
    bench.until("all started", |_| text().lines().count() == 3);
    assert_eq!(text(), "setup\nstart bb\nstart aa\n");
}

/// The second one is still on its way when its turn comes to be waited for.
#[test]
fn services_that_take_their_time_are_stopped_together() {
    let bench = Bench::new();
    let script = "#!/bin/sh
        trap '[ $1 = slow ] && busybox sleep 0.5; exit 0' TERM
        while true; do busybox sleep 0.05; done";
    let mut snap = Snap::new("pair", "1", script);
    snap.yaml =
        snap.yaml.replace("  main:\n    command: bin/main", "  fast:\n    command: bin/main fast")
            + "  slow:\n    command: bin/main slow\n    daemon: simple\n";
    bench.install(&snap.signed(&bench.dir));
    let snapctl = Command::new("timeout")
        .args(["30", env!("CARGO_BIN_EXE_snapctl"), "--root"])
        .arg(&bench.dir)
        .args(["stop", "pair"])
        .status();
    assert!(snapctl.unwrap().success(), "appd does not answer any more");
    assert_eq!(bench.service("pair")["state"], "inactive");
}
