//! Stories of timed. It runs under strace, which lets no call that would set this machine's clock
//! reach the kernel, says that it succeeded, and writes it down; the capability for such calls is
//! taken from it besides. The server is the fleet server's responder.

use crate::{notified::Init, program::Program};
use fleet::sntp;
use protocol::release::BuildInfo;
use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

/// What would set the clock, or make it run faster or slower.
const SETTING: &str = "clock_settime,adjtimex,clock_adjtime,settimeofday";

/// A time server whose clock is ahead of this machine's.
struct Server {
    address: SocketAddr,
    ahead_ms: Arc<AtomicI64>,
}

impl Server {
    fn ahead_by(ahead: Duration) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let ahead_ms = Arc::new(AtomicI64::new(ahead.as_millis() as i64));
        let told = ahead_ms.clone();
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let ahead = Duration::from_millis(told.load(Ordering::Relaxed) as u64);
                if let Some(reply) = sntp::reply(&question[..length], SystemTime::now() + ahead) {
                    socket.send_to(&reply, from).unwrap();
                }
            }
        });
        Self { address, ahead_ms }
    }
}

/// A gateway's files.
struct Gateway {
    dir: TempDir,
}

impl Gateway {
    /// With a network, asking these servers.
    fn asking(servers: &[SocketAddr]) -> Self {
        let gateway = Self { dir: tempfile::tempdir().unwrap() };
        let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
        let text = format!("[time]\nservers = [{}]\n", servers.join(", "));
        gateway.write("data/system/device.toml", &text);
        gateway.write("run/holdfast/resolv.conf", "");
        fs::create_dir_all(gateway.dir.path().join("data/system/timed")).unwrap();
        gateway
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.dir.path().join(path)).ok()
    }

    fn timed(&self) -> Program {
        let mut command = Command::new("setpriv");
        command.args(["--inh-caps=-sys_time", "--bounding-set=-sys_time"]);
        // -D: the program, not strace, is the child
        command.args([
            "strace",
            "-D",
            "-qq",
            "-e",
            &format!("trace={SETTING}"),
            "-e",
            "signal=none",
        ]);
        command.args(["-e", &format!("inject={SETTING}:retval=0"), "-o"]);
        command.arg(self.calls()).arg(env!("CARGO_BIN_EXE_timed"));
        Program::start("timed", command.arg("--root").arg(self.dir.path()))
    }

    fn calls(&self) -> impl AsRef<Path> + AsRef<std::ffi::OsStr> {
        self.dir.path().join("calls")
    }

    /// The calls that would have changed the clock.
    fn clock_calls(&self) -> Vec<String> {
        let calls: Vec<String> =
            self.read("calls").unwrap_or_default().lines().map(String::from).collect();
        assert!(calls.iter().all(|call| call.ends_with("(INJECTED)")), "{calls:?}");
        calls
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The number after a name in a call.
fn field(call: &str, name: &str) -> i64 {
    let rest = call.split_once(name).unwrap_or_else(|| panic!("{name} is not in {call}")).1;
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap();
    rest[..end].parse().unwrap()
}

#[test]
fn the_clock_is_set_by_the_first_server_that_answers_once_there_is_a_network() {
    const AHEAD: u64 = 3600;
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::ahead_by(Duration::from_secs(AHEAD));
    let gateway = Gateway::asking(&[nobody, server.address]);
    fs::remove_file(gateway.dir.path().join("run/holdfast/resolv.conf")).unwrap();
    let init = Init::listen(gateway.dir.path());
    let before = now_s();
    let mut timed = gateway.timed();
    init.expect_ready();
    assert_eq!(gateway.read("run/holdfast/time-synced"), None);

    gateway.write("run/holdfast/resolv.conf", "");
    timed.expect(&format!("{nobody}: "));
    // 3599999 or 3600000 ms: what was measured is right by half the time of the answer.
    timed.expect(&format!("from {}, off by 3", server.address));
    let after = now_s();
    let calls = gateway.clock_calls();
    let [set] = &calls[..] else { panic!("{calls:?}") };
    assert!(set.starts_with("clock_settime(CLOCK_REALTIME"), "{set}");
    let set = field(set, "tv_sec=") as u64;
    assert!((before + AHEAD - 1..=after + AHEAD).contains(&set), "{set}");

    // SIGTERM comes when both are written: what the clock is now is the next boot's floor.
    assert!(timed.terminate().success());
    let synced = gateway.read("run/holdfast/time-synced").unwrap();
    assert!(synced.ends_with(&format!(" {}\n", server.address)), "{synced}");
    let stored: u64 = gateway.read("data/system/timed/clock").unwrap().trim().parse().unwrap();
    assert!((after..=now_s()).contains(&stored), "{stored}");
}

#[test]
fn a_small_offset_later_is_made_up_for_and_not_jumped_over() {
    let server = Server::ahead_by(Duration::ZERO);
    let gateway = Gateway::asking(&[server.address]);
    let mut timed = gateway.timed();
    timed.expect(&format!("from {}, off by", server.address));
    server.ahead_ms.store(100, Ordering::Relaxed);
    timed.expect(&format!("{}: off by ", server.address));
    let calls = gateway.clock_calls();
    let [_, slewed] = &calls[..] else { panic!("{calls:?}") };
    assert!(slewed.contains("ADJ_OFFSET_SINGLESHOT"), "{slewed}");
    let offset_us = field(slewed, "offset=");
    assert!((50_000..500_000).contains(&offset_us), "{slewed}");
}

#[test]
fn a_server_whose_time_is_before_the_release_is_not_believed() {
    let server = Server::ahead_by(Duration::ZERO);
    let gateway = Gateway::asking(&[server.address]);
    let release = BuildInfo {
        product: "holdfast".into(),
        board: "rpi3".into(),
        version: "1.0.0".into(),
        sequence: 1,
        floor: 1,
        build_time: now_s() + 86_400,
        health_timeout_s: 60,
        fleet_required: false,
        checks: Vec::new(),
    };
    gateway.write("etc/holdfast/release.json", &serde_json::to_string(&release).unwrap());
    let mut timed = gateway.timed();
    for _ in 0..2 {
        timed.expect("its time is before the floor; not taken");
    }
    assert_eq!(gateway.clock_calls(), [""; 0]);
    assert_eq!(gateway.read("run/holdfast/time-synced"), None);
}
