//! Services that start at a time.

use crate::{bench::Bench, snap::Snap};
use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

/// A timer of every minute must have come by then.
const MINUTE: Duration = Duration::from_secs(75);

#[test]
fn a_timer_starts_its_service_once_the_clock_is_set() {
    let bench = Bench::new();
    let mut snap = Snap::new("minutely", "1", "#!/bin/sh\necho now\n");
    snap.yaml = snap.yaml.replace("simple", "oneshot") + "    timer: 0:00-24:00/1440\n";
    bench.install(&snap.signed(&bench.dir));
    assert_eq!(bench.service("minutely")["state"], "waiting");
    sleep(Duration::from_secs(3));
    assert_eq!(bench.output("minutely"), Vec::<String>::new());
    fs::write(bench.dir.join("run/holdfast/time-synced"), "").unwrap();
    let began = Instant::now();
    while bench.output("minutely").is_empty() {
        assert!(began.elapsed() < MINUTE, "{}", bench.log());
        sleep(Duration::from_millis(200));
    }
    bench.until("it waits again", |b| b.service("minutely")["state"] == "waiting");
    bench.ask(&["stop", "minutely"]);
    assert_eq!(bench.service("minutely")["state"], "inactive");
}
