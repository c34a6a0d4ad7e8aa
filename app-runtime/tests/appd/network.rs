//! Networks of snaps, seen by a machine at the other end of the device's cable.

use crate::{
    bench::{Bench, PATIENCE, run},
    images,
    snap::Snap,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;
use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    process::{Child, Command},
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// The device, and the machine at the other end.
const DEVICE: &str = "203.0.113.1";
const FAR: &str = "203.0.113.2";
/// How long a connection is waited for that should not come about.
const SILENCE: Duration = Duration::from_millis(700);

/// Serves a page on its port 80 and on one that nobody was told of.
const SERVES: &str = "#!/bin/sh
busybox mkdir /tmp/www; echo 'a page' > /tmp/www/page
busybox httpd -p 80 -h /tmp/www && echo 'at 80'
busybox httpd -p 7000 -h /tmp/www
while true; do busybox sleep 1; done
";
/// Answers on UDP at port 53.
const ANSWERS: &str = r#"socket(S, 2, 2, 17) or die;
bind(S, pack('S n x12', 2, 53)) or die;
while (1) { my $from = recv(S, my $asked, 64, 0); send(S, "datagram\n", 0, $from); }
"#;

/// The machine at the other end, which knows a way to the addresses of snaps.
struct Far(Child);

impl Far {
    fn new() -> Self {
        let process = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap();
        let far = Self(process);
        let began = Instant::now();
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        while std::fs::read_link(far.path()).is_ok_and(|path| path == own) {
            assert!(began.elapsed() < PATIENCE, "unshare does not begin");
            sleep(Duration::from_millis(5));
        }
        let pid = far.0.id();
        for line in [
            format!("link add cable type veth peer name cable netns {pid}"),
            format!("addr add {DEVICE}/24 dev cable"),
            "link set cable up".into(),
        ] {
            run(Command::new("ip").args(line.split(' ')));
        }
        for line in [
            format!("addr add {FAR}/24 dev cable"),
            "link set cable up".into(),
            format!("route add 198.18.0.0/15 via {DEVICE}"),
        ] {
            let enter = format!("--net={}", far.path());
            run(Command::new("nsenter").arg(enter).arg("ip").args(line.split(' ')));
        }
        far
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Does something as this machine.
    fn does<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = File::open(self.path()).unwrap();
        let there = thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            what()
        });
        there.join().unwrap()
    }

    /// What a web server at an address says to this machine; `None`: there is none.
    fn gets(&self, address: &str) -> Option<String> {
        let address: SocketAddr = address.parse().unwrap();
        self.does(move || get(address))
    }

    /// The same, once it says anything.
    fn waits_for(&self, bench: &Bench, address: &str) -> String {
        let began = Instant::now();
        loop {
            if let Some(answer) = self.gets(address) {
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "nothing at {address}: {}", bench.log());
        }
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the device forwards.
fn forwards() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap()
}

fn get(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, SILENCE).ok()?;
    stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.rsplit("\r\n\r\n").next().map(|page| page.trim().to_string())
}

/// A snap with these plugs of its service, and these of the whole.
fn snap(name: &str, plugs: &str, fields: &str, script: &str) -> Snap {
    let mut snap = Snap::new(name, "1", script);
    snap.yaml += &format!("    plugs: [{plugs}]\n{fields}");
    snap
}

fn serves(name: &str, ports: &str) -> Snap {
    let fields = format!("plugs: {{network-bind: {{ports: {ports}}}}}\n");
    snap(name, "network, network-bind", &fields, SERVES)
}

#[test]
fn a_snap_reaches_out_as_the_device_and_nobody_reaches_in() {
    let (bench, far) = (Bench::new(), Far::new());
    // The far machine says whom it sees.
    far.does(|| {
        let listener = TcpListener::bind((FAR, 7777)).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let seen = format!("{}\n", stream.peer_addr().unwrap().ip());
                let _ = stream.write_all(seen.as_bytes());
            }
        });
    });
    let script = format!(
        "#!/bin/sh\nbusybox nc {FAR} 7777 </dev/null\n\
         busybox awk 'NR>2{{print $1}}' /proc/net/dev | busybox sort | busybox xargs\n\
         busybox cat /etc/resolv.conf; cat /proc/net/if_inet6 2>/dev/null\n\
         busybox mkdir /tmp/www; busybox httpd -p 80 -h /tmp/www && echo 'listens'\n\
         while true; do busybox sleep 1; done\n"
    );
    bench.install(&snap("out", "network", "", &script).signed(&bench.dir));
    let told = [DEVICE, "eth0: lo:", "nameserver 192.0.2.53", "listens"];
    bench.until("it reached the far machine", |b| b.output("out").len() == told.len());
    assert_eq!(bench.output("out"), told);
    for address in [format!("{DEVICE}:80"), "198.18.0.1:80".into()] {
        assert_eq!(far.gets(&address), None, "{address}");
    }
    // No snap: no rule, no device of it, and nothing is forwarded.
    assert_eq!(forwards(), "1\n");
    bench.ask(&["remove", "out"]);
    assert_eq!(forwards(), "0\n");
    let left = Command::new("ip").args(["-o", "link"]).output().unwrap();
    let left = String::from_utf8(left.stdout).unwrap();
    assert!(left.contains("cable") && !left.contains("snap-"), "{left}");
}

#[test]
fn listed_ports_of_the_device_lead_to_the_snap_and_others_do_not() {
    let (mut bench, far) = (Bench::new(), Far::new());
    bench.install(&serves("web", "[80, '8080:80']").signed(&bench.dir));
    for port in [80, 8080] {
        assert_eq!(far.waits_for(&bench, &format!("{DEVICE}:{port}")), "a page");
    }
    let plug =
        "    plugs: [names]\nplugs: {names: {interface: network-bind, ports: 5353:53/udp}}\n";
    bench.install(&Snap::perl("names", plug, ANSWERS).signed(&bench.dir));
    let datagram = far.does(|| {
        let socket = UdpSocket::bind((FAR, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let began = Instant::now();
        let mut buffer = [0; 64];
        while began.elapsed() < PATIENCE {
            socket.send_to(b"?", (DEVICE, 5353)).unwrap();
            if let Ok(length) = socket.recv(&mut buffer) {
                return String::from_utf8_lossy(&buffer[..length]).into_owned();
            }
        }
        String::new()
    });
    assert_eq!(datagram, "datagram\n");
    for address in [format!("{DEVICE}:7000"), "198.18.0.1:7000".into(), "198.18.0.1:80".into()] {
        assert_eq!(far.gets(&address), None, "{address}");
    }

    // Another snap reaches it by the device's end of its own cable, by the listed ports only.
    let looks = r"#!/bin/sh
way=$(busybox ip route | busybox awk '/default/{print $3}')
ask() { printf 'GET /page HTTP/1.0\r\n\r\n' | busybox nc -w 1 $1 $2 2>/dev/null || echo none; }
until ask $way 8080 | busybox grep 'a page'; do busybox sleep 0.1; done
ask $way 7000
ask 198.18.0.1 7000
while true; do busybox sleep 1; done
";
    bench.install(&snap("other", "network", "", looks).signed(&bench.dir));
    bench.until("it looked", |b| b.output("other").len() == 3);
    assert_eq!(bench.output("other"), ["a page", "none", "none"]);

    // A port leads to one snap.
    let second = serves("second", "[8080]").signed(&bench.dir);
    let (code, message) = bench.refused(&["install", second.to_str().unwrap()]);
    assert_eq!(code, "port-taken");
    assert!(message.contains("8080") && message.contains("web"), "{message}");
    assert_eq!(far.waits_for(&bench, &format!("{DEVICE}:8080")), "a page");

    // A person says otherwise, also after a power cut.
    bench.ask(&["connect", "web:network-bind", "ports=8081:80"]);
    assert_eq!(bench.ask(&["connections", "web"])[1]["attributes"], json!(["ports=8081:80"]));
    bench.kill();
    bench.boot();
    assert_eq!(far.waits_for(&bench, &format!("{DEVICE}:8081")), "a page");
    assert_eq!(far.gets(&format!("{DEVICE}:80")), None);
    bench.ask(&["disconnect", "web:network-bind"]);
    bench.until("it serves", |b| b.output("web").iter().filter(|l| *l == "at 80").count() == 4);
    assert_eq!(far.gets(&format!("{DEVICE}:8081")), None);
    bench.install(&second);
}

#[test]
fn without_a_list_of_ports_it_is_the_devices_network() {
    let (bench, far) = (Bench::new(), Far::new());
    let script = SERVES.replace("80 ", "8000 ");
    bench.install(&snap("plain", "network, network-bind", "", &script).signed(&bench.dir));
    assert_eq!(far.waits_for(&bench, &format!("{DEVICE}:8000")), "a page");
    for (ports, why) in [
        ("[0]", "no port"),
        ("[80, '80:90']", "named twice"),
        ("[80/sctp]", "neither tcp nor udp"),
        ("{a: 1}", "not a list of ports"),
    ] {
        let snap = serves("wrong", ports).signed(&bench.dir);
        let (code, message) = bench.refused(&["install", snap.to_str().unwrap()]);
        assert_eq!(code, "plug-attribute", "{ports}");
        assert!(message.contains("network-bind: ports") && message.contains(why), "{message}");
    }
}

#[test]
fn the_port_that_an_image_exposes_is_one_of_the_device_also_a_low_one() {
    let bench = Bench::new();
    let far = Far::new();
    let tar = images::serving(&bench, SERVES.trim_start_matches("#!/bin/sh\n"), "80/tcp");
    bench.ask(&["install", &tar, "--dangerous", "--name", "web"]);
    assert_eq!(far.waits_for(&bench, &format!("{DEVICE}:80")), "a page");
    // What it does not say is not there.
    assert_eq!(far.gets(&format!("{DEVICE}:7000")), None);
    bench.ask(&["remove", "--purge", "web"]);
    assert_eq!(far.gets(&format!("{DEVICE}:80")), None);
}
