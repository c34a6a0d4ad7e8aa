//! What a fleet server is started with, and where its files lie.
//!
//! Invariant: everything that the server writes is below [`Config::data`].

use std::net::SocketAddr;
use std::path::PathBuf;

/// Settings of one server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory of everything that the server keeps; made at first start, mode 0700.
    pub data: PathBuf,
    /// Directory with `keys.cbor` (the signed key set) and `fleet.key` (the online key).
    pub keys: PathBuf,
    /// Address of API and dashboard; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Serve API and dashboard over TLS with the fleet's certificate; needed outside loopback.
    pub listen_tls: bool,
    /// Address of the devices' HTTPS listener; port 0 picks a free one.
    pub device_listen: SocketAddr,
    /// Port of the MQTT broker, on the devices' address; 0 picks a free one.
    pub mqtt_port: u16,
    /// Address to answer SNTP on; `None`: not served.
    pub sntp: Option<SocketAddr>,
    /// Names and addresses that devices reach this server by; in the server's certificate. The
    /// first is what enrolment snippets name unless told otherwise.
    pub hosts: Vec<String>,
    /// Fleet id: a topic level.
    pub fleet: String,
}

/// Names in the server's certificate when none are given; 10.0.2.2 is the host as QEMU's guests
/// see it.
pub const DEFAULT_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "10.0.2.2"];

impl Config {
    /// A server for this machine and its emulated guests, all ports free ones.
    pub fn local(data: impl Into<PathBuf>, keys: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            keys: keys.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            listen_tls: false,
            device_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            mqtt_port: 0,
            sntp: None,
            hosts: DEFAULT_HOSTS.map(String::from).to_vec(),
            fleet: "main".into(),
        }
    }
}

/// `DATA/ports.json`: what the server really listens on, written once everything is up.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ports {
    /// Process id of the server.
    pub pid: u32,
    /// API and dashboard.
    pub api_url: String,
    /// Port of the API.
    pub api: u16,
    /// Port of the devices' HTTPS listener.
    pub device: u16,
    /// Port of the MQTT broker.
    pub mqtt: u16,
    /// Port of the SNTP responder.
    pub sntp: Option<u16>,
}
