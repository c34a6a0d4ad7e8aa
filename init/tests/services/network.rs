//! Two network namespaces: a gateway's, where netd runs, and a local network's, where the servers
//! are. Between them lies a cable (a veth pair) that can be pulled.
//!
//! What always holds: nothing of this machine's own network is touched; a machine where namespaces
//! cannot be made fails the test and says what it lacks.

use crate::program::Program;
use serde_json::Value;
use std::{
    fs,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;

/// The gateway's interface.
pub const INTERFACE: &str = "eth0";
/// The gateway's hardware address.
pub const MAC: &str = "02:00:00:00:00:07";
/// The local network's own address, and router of whoever gets a lease there.
pub const ROUTER: &str = "10.77.0.1";
/// An address behind the router: only who has a default route reaches it.
pub const FAR: &str = "192.0.2.1";
/// The local network's side of the cable.
const PORT: &str = "port";
/// The local network.
pub const LAN: &str = "lan";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Both namespaces, and the gateway's files.
pub struct Network {
    gateway: String,
    lan: String,
    pub dir: TempDir,
}

impl Network {
    /// A local network with a gateway that is plugged in.
    pub fn new() -> Self {
        let network = Self::without_interface();
        network.add_interface();
        network.plug();
        network
    }

    /// A local network, and a gateway without an interface.
    pub fn without_interface() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("hf-{}-{number}-{side}", std::process::id());
        let dir = tempfile::tempdir().unwrap();
        for below in ["run/holdfast", "data/system"] {
            fs::create_dir_all(dir.path().join(below)).unwrap();
        }
        let network = Self { gateway: name("gateway"), lan: name("lan"), dir };
        for namespace in [&network.gateway, &network.lan] {
            let made = run(Command::new("ip").args(["netns", "add", namespace]));
            assert!(
                made.status.success(),
                "this test needs root and network namespaces (ip netns add): {}",
                String::from_utf8_lossy(&made.stderr)
            );
        }
        network.lan(&["link", "add", LAN, "type", "bridge"]);
        network.lan(&["link", "set", LAN, "up"]);
        network.lan(&["address", "add", &format!("{ROUTER}/24"), "dev", LAN]);
        network.lan(&["link", "set", "lo", "up"]);
        network.lan(&["address", "add", &format!("{FAR}/32"), "dev", "lo"]);
        network
    }

    /// Gives the gateway an interface, whose cable is not plugged in.
    pub fn add_interface(&self) {
        let pair = ["link", "add", PORT, "type", "veth", "peer", "name", INTERFACE];
        self.lan(&[&pair[..], &["address", MAC, "netns", &self.gateway]].concat());
        self.lan(&["link", "set", PORT, "master", LAN]);
    }

    pub fn remove_interface(&self) {
        self.lan(&["link", "del", PORT]);
    }

    pub fn plug(&self) {
        self.lan(&["link", "set", PORT, "up"]);
    }

    pub fn unplug(&self) {
        self.lan(&["link", "set", PORT, "down"]);
    }

    /// Runs ip(8) on the local network's side.
    pub fn lan(&self, arguments: &[&str]) -> String {
        ip(&self.lan, arguments)
    }

    /// A program on the local network.
    pub fn command(&self, program: &str) -> Command {
        inside(&self.lan, program)
    }

    /// netd, with this `device.toml` besides the interface's name.
    pub fn netd(&self, network: &str) -> Program {
        let text = format!("[network]\ninterface = \"{INTERFACE}\"\n{network}");
        fs::write(self.dir.path().join("data/system/device.toml"), text).unwrap();
        let mut command = inside(&self.gateway, env!("CARGO_BIN_EXE_netd"));
        Program::start("netd", command.arg("--root").arg(self.dir.path()))
    }

    /// The interface's addresses, each with its prefix.
    pub fn addresses(&self) -> Vec<String> {
        words_after(&self.gateway(&["-4", "-o", "address", "show", "dev", INTERFACE]), "inet")
    }

    /// Routers of all default routes.
    pub fn routers(&self) -> Vec<String> {
        words_after(&self.gateway(&["-4", "route", "show", "default"]), "via")
    }

    pub fn mtu(&self) -> String {
        words_after(&self.gateway(&["link", "show", INTERFACE]), "mtu").remove(0)
    }

    fn gateway(&self, arguments: &[&str]) -> String {
        ip(&self.gateway, arguments)
    }

    /// Whether an address answers the gateway.
    pub fn reaches(&self, address: &str) -> bool {
        let ping = ["ping", "-c", "3", "-W", "20", address];
        run(inside(&self.gateway, "busybox").args(ping)).status.success()
    }

    /// What a resolver makes of a name with the first server that netd wrote down.
    pub fn look_up(&self, name: &str) -> String {
        let server = words_after(&self.resolv().unwrap(), "nameserver").remove(0);
        let output = run(inside(&self.gateway, "busybox").args(["nslookup", name, &server]));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `resolv.conf`, where there is one.
    pub fn resolv(&self) -> Option<String> {
        fs::read_to_string(self.dir.path().join("run/holdfast/resolv.conf")).ok()
    }

    /// What netd tells others.
    pub fn state(&self) -> Value {
        let text = fs::read(self.dir.path().join("run/holdfast/net.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Nothing of a network is left: no address, route, name server, and netd says why.
    pub fn assert_without_address(&self, why: &str) {
        assert_eq!((self.addresses(), self.routers()), (vec![], vec![]));
        assert_eq!(self.resolv(), None);
        let state = self.state();
        assert_eq!((&state["address"], &state["source"]), (&Value::Null, &Value::from(why)));
    }

    /// Broadcast datagrams that have reached the local network's IP.
    pub fn broadcasts(&self) -> u64 {
        let table = run(self.command("cat").arg("/proc/net/netstat")).stdout;
        let table = String::from_utf8(table).unwrap();
        let mut rows = table.lines().filter(|line| line.starts_with("IpExt:"));
        let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
        let column = names.split(' ').position(|name| name == "InBcastPkts").unwrap();
        values.split(' ').nth(column).unwrap().parse().unwrap()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in [&self.gateway, &self.lan] {
            let _ = run(Command::new("ip").args(["netns", "del", namespace]));
        }
    }
}

fn inside(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

fn ip(namespace: &str, arguments: &[&str]) -> String {
    let output = run(Command::new("ip").args(["-n", namespace]).args(arguments));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {error}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// The word after each `word`.
fn words_after(text: &str, word: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == word).map(|pair| pair[1].to_string()).collect()
}
