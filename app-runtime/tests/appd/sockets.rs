//! Services that start when somebody connects.

use crate::{bench::Bench, snap::Snap};
use std::{
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, fs::symlink, net::UnixStream},
};

/// Answers one client on each of its sockets, then ends.
const ANSWERS: &str = r#"
$| = 1;
die "not for me" unless $ENV{LISTEN_PID} == $$;
print "got $ENV{LISTEN_FDS}: $ENV{LISTEN_FDNAMES}\n";
my $bits = "";
vec($bits, 3, 1) = 1;
vec($bits, 4, 1) = 1;
select($bits, undef, undef, undef);
for my $fd (3, 4) {
    next unless vec($bits, $fd, 1);
    open(my $listening, "+<&=", $fd) or die;
    accept(my $client, $listening) or die;
    syswrite($client, "served by $fd");
    close($client);
}
"#;

#[test]
fn a_service_starts_when_somebody_connects_and_goes_on_listening_after() {
    let bench = Bench::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let fields = format!(
        "    plugs: [network-bind]\n    sockets:\n      a-file: {{listen-stream: \
         $SNAP_COMMON/run/a.sock, socket-mode: 0600}}\n      b-port: {{listen-stream: \
         127.0.0.1:{port}}}\n"
    );
    bench.install(&Snap::perl("served", &fields, ANSWERS).signed(&bench.dir));
    assert_eq!(bench.service("served")["state"], "waiting");
    let path = bench.dir.join("data/snaps/data/served/common/run/a.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for round in 1..=2 {
        let mut text = String::new();
        UnixStream::connect(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "served by 3", "round {round}");
        text.clear();
        TcpStream::connect(("127.0.0.1", port)).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "served by 4", "round {round}");
    }
    bench.until("it waits again", |b| b.service("served")["state"] == "waiting");
    assert_eq!(bench.output("served")[0], "got 2: a-file:b-port");
    bench.ask(&["stop", "served"]);
    assert!(UnixStream::connect(&path).is_err(), "nobody listens");
    bench.ask(&["start", "served"]);
    let mut text = String::new();
    UnixStream::connect(&path).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "served by 3");

    // What the app puts in the socket's place is not touched, and leads nowhere.
    bench.ask(&["stop", "served"]);
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    let (code, message) = bench.refused(&["start", "served"]);
    assert_eq!(code, "start-failed");
    assert!(message.contains("a.sock: there is something that is no socket"), "{message}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let fields = format!(
        "    plugs: [network-bind]\n    sockets: {{web: {{listen-stream: '{address}'}}}}\n"
    );
    let path = Snap::perl("second", &fields, ANSWERS).signed(&bench.dir);
    let (code, message) = bench.refused(&["install", path.to_str().unwrap()]);
    assert_eq!(code, "start-failed");
    assert!(message.contains(&format!("listen on {address}: ")), "{message}");
}
