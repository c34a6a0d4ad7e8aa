//! Install, look, stop, start, crash, remove.

use crate::{
    bench::Bench,
    snap::{STEADY, Snap},
};
use std::{fs, process::Command};

#[test]
fn a_service_is_installed_supervised_and_removed() {
    let bench = Bench::new();
    let said = bench.install(&Snap::new("steady", "1.0", STEADY).signed(&bench.dir));
    assert_eq!(said["ok"], "steady installed 1.0 (revision 1)");

    let list = bench.ask(&["list"]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!((&list[0]["name"], &list[0]["version"]), (&"steady".into(), &"1.0".into()));
    assert_eq!((&list[0]["signed"], &list[0]["revision"]), (&true.into(), &1.into()));
    assert_eq!(bench.service("steady.main")["state"], "active");
    bench.until("it speaks", |b| b.output("steady.main") == ["started steady 1.0 revision 1"]);

    // Active is what runs, if only since a moment: a service counts a start after it.
    let counted = |count| {
        bench.until("each start was kept in its data", |b| {
            let starts = b.dir.join("data/snaps/data/steady/common/starts");
            fs::read_to_string(starts).unwrap_or_default().lines().count() == count
        });
    };
    counted(1);

    // A crash: started again, and counted.
    let pid = bench.service("steady")["pid"].as_u64().unwrap();
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    bench.until("it runs again", |b| {
        let service = b.service("steady");
        service["state"] == "active" && service["restarts"] == 1
    });
    counted(2);

    bench.ask(&["stop", "steady"]);
    let stopped = bench.service("steady");
    assert_eq!((&stopped["state"], &stopped["pid"]), (&"inactive".into(), &().into()));
    bench.ask(&["start", "steady.main"]);
    assert_eq!(bench.service("steady")["state"], "active");
    counted(3);
    let before = bench.service("steady")["pid"].clone();
    bench.ask(&["restart", "steady"]);
    let after = bench.service("steady");
    assert_eq!(after["state"], "active");
    assert_ne!(after["pid"], before);
    counted(4);
    bench.until("it could end in order", |b| b.output("steady").contains(&"stopping".into()));

    bench.ask(&["remove", "steady"]);
    assert_eq!(bench.ask(&["list"]).as_array().unwrap().len(), 0);
    for folder in ["files", "data", "log"] {
        assert_eq!(bench.kept(folder), Vec::<String>::new(), "{folder}");
    }
    assert_eq!(bench.refused(&["info", "steady"]).0, "not-installed");
}

#[test]
fn a_oneshot_is_done_and_a_failing_service_backs_off_until_it_is_stopped() {
    let bench = Bench::new();
    let mut once = Snap::new("once", "1", "#!/bin/sh\necho did it\n");
    once.yaml = once.yaml.replace("simple", "oneshot");
    bench.install(&once.signed(&bench.dir));
    assert_eq!(bench.service("once")["state"], "done");
    bench.until("its output is kept", |b| b.output("once") == ["did it"]);

    // Runs long enough to be installed, then fails for good.
    let script =
        "#!/bin/sh\n[ -e $SNAP_COMMON/ran ] && exit 9\n> $SNAP_COMMON/ran\nbusybox sleep 3\n";
    let mut flaky = Snap::new("flaky", "1", script);
    flaky.yaml.push_str("    restart-condition: always\n    restart-delay: 10m\n");
    bench.install(&flaky.signed(&bench.dir));
    bench.until("it waits", |b| b.service("flaky")["state"] == "backoff");
    bench.ask(&["stop", "flaky"]);
    assert_eq!(bench.service("flaky")["state"], "inactive");
    let refused = bench.refused(&["start", "flaky.other"]);
    assert_eq!(refused.0, "no-service");
}

#[test]
fn a_stop_that_is_not_heard_ends_in_a_kill() {
    let bench = Bench::new();
    let mut deaf =
        Snap::new("deaf", "1", "#!/bin/sh\ntrap '' TERM\nwhile true; do busybox sleep 1; done\n");
    deaf.yaml.push_str("    stop-timeout: 200ms\n");
    bench.install(&deaf.signed(&bench.dir));
    bench.ask(&["stop", "deaf"]);
    assert_eq!(bench.service("deaf")["state"], "inactive");
    assert!(
        bench.log().contains("deaf.main: did not stop within 200ms, killed"),
        "{}",
        bench.log()
    );
}

#[test]
fn without_appd_snapctl_says_so() {
    let mut bench = Bench::new();
    bench.kill();
    assert_eq!(bench.snapctl(&["list"]).0, 3);
    assert_eq!(bench.snapctl(&["explode"]).0, 2);
}
