//! Services that say when they are ready, and how they are.

use crate::{bench::Bench, snap::Snap};
use std::{fs, os::unix::net::UnixDatagram, thread, time::Duration};

/// Ready once the test says so, alive until the test says otherwise.
const SPEAKER: &str = r#"
$| = 1;
my $dir = $ENV{SNAP_COMMON};
sub notify { send(S, $_[0], 0) or die "send: $!" }
sub nap { select(undef, undef, undef, 0.02) }
socket(S, 1, 2, 0) or die;
connect(S, pack("S a*", 1, $ENV{NOTIFY_SOCKET})) or die "connect: $!";
$SIG{TERM} = sub { notify("STOPPING=1"); print "going\n"; exit 0 };
print "watched: $ENV{WATCHDOG_USEC}\n";
nap() until -e "$dir/go";
notify("STATUS=about to work\nREADY=1");
until (unlink "$dir/hang") { notify("WATCHDOG=1"); nap() }
nap() while 1;
"#;

fn common(bench: &Bench, name: &str) -> std::path::PathBuf {
    bench.dir.join("data/snaps/data").join(name).join("common")
}

#[test]
fn a_notify_service_is_up_once_it_says_so_and_must_go_on_saying_it_is_alive() {
    let bench = Bench::new();
    let snap = Snap::perl("speaker", "    watchdog-timeout: 2s\n", SPEAKER);
    let yaml = snap.yaml.replace("simple", "notify");
    let path = Snap { yaml, ..snap }.signed(&bench.dir);
    thread::scope(|scope| {
        let install = scope.spawn(|| bench.install(&path));
        bench.until("it starts", |b| {
            b.snapctl(&["services", "speaker"]).1[0]["state"] == "starting"
        });
        // Whoever else can reach the socket is not heard.
        let socket = bench.dir.join("run/snaps/.notify/speaker.main/socket");
        UnixDatagram::unbound().unwrap().send_to(b"READY=1", &socket).unwrap();
        thread::sleep(Duration::from_millis(300));
        assert_eq!(bench.service("speaker")["state"], "starting");
        assert!(!install.is_finished());
        fs::write(common(&bench, "speaker").join("go"), "").unwrap();
        assert_eq!(install.join().unwrap()["ok"], "speaker installed 1 (revision 1)");
    });
    assert_eq!(bench.service("speaker")["state"], "active");
    assert!(bench.log().contains("speaker.main: status: about to work"), "{}", bench.log());
    assert_eq!(bench.output("speaker"), ["watched: 2000000"]);

    fs::write(common(&bench, "speaker").join("hang"), "").unwrap();
    bench.until("it is started again", |b| {
        let service = b.service("speaker");
        service["state"] == "active" && service["restarts"] == 1
    });
    assert!(
        bench.log().contains("speaker.main: gave no sign of life within 2s"),
        "{}",
        bench.log()
    );
    bench.ask(&["stop", "speaker"]);
    bench.until("it ended in order", |b| b.output("speaker").contains(&"going".into()));
    assert_eq!(bench.kept("../../run/snaps/.notify"), Vec::<String>::new());
}

#[test]
fn a_service_that_is_never_ready_is_not_installed() {
    let bench = Bench::new();
    for (daemon, script, expected) in [
        ("notify", "#!/bin/sh\nbusybox sleep 60\n", "main: was not ready within 400ms"),
        ("forking", "#!/bin/sh\nbusybox sleep 60\n", "main: was not ready within 400ms"),
        ("notify", "#!/bin/sh\nexit 0\n", "main: ended before it said that it is ready"),
        ("forking", "#!/bin/sh\nexit 3\n", "main: ended with exit code 3"),
        ("oneshot", "#!/bin/sh\nbusybox sleep 60\n", "main: was not ready within 400ms"),
    ] {
        let mut snap = Snap::new("late", "1", script);
        snap.yaml = snap.yaml.replace("simple", daemon) + "    start-timeout: 400ms\n";
        let path = snap.signed(&bench.dir);
        let (code, message) = bench.refused(&["install", path.to_str().unwrap()]);
        assert_eq!(code, "start-failed", "{daemon}");
        assert!(message.contains(expected), "{daemon}: {message}");
        assert_eq!(bench.kept("files"), Vec::<String>::new());
    }
}

/// Goes into the background; ends when the test says so.
const FORKER: &str = "#!/bin/sh
(
  trap 'echo terminated; exit 0' TERM
  echo background
  until [ -e $SNAP_COMMON/die ]; do busybox sleep 0.05; done
  busybox rm $SNAP_COMMON/die
  exit 7
) &
echo forked
";

#[test]
fn a_forking_service_is_followed_by_what_it_left_behind() {
    let bench = Bench::new();
    let mut snap = Snap::new("forker", "1", FORKER);
    snap.yaml = snap.yaml.replace("simple", "forking");
    bench.install(&snap.signed(&bench.dir));
    assert_eq!(bench.service("forker")["state"], "active");
    bench.until("both spoke", |b| b.output("forker").len() == 2);
    fs::write(common(&bench, "forker").join("die"), "").unwrap();
    bench.until("it is started again", |b| {
        let service = b.service("forker");
        service["state"] == "active" && service["restarts"] == 1
    });
    assert!(bench.log().contains("forker.main: ended with exit code 7"), "{}", bench.log());
    bench.ask(&["stop", "forker"]);
    bench.until("it heard the signal", |b| b.output("forker").contains(&"terminated".into()));
}
