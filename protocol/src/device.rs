//! `device.toml`: the provisioning that a person edits on the card's boot partition. Unknown fields
//! are errors, so that a
//! typing mistake is seen. Every field but `name` has a default: an empty file is a valid
//! stand-alone gateway.

use crate::policy::{UpdatePolicy, Zone};
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// Host name; derived from the board's serial number when absent.
    pub name: Option<String>,
    /// The fleet server; absent: stand-alone.
    pub fleet: Option<FleetConfig>,
    /// Network.
    pub network: NetworkConfig,
    /// Time servers.
    pub time: TimeConfig,
    /// When to update.
    pub updates: UpdatePolicy,
    /// The prompt on the serial console.
    pub console: ConsoleConfig,
}

/// `[fleet]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetConfig {
    /// Base address of the HTTP API, `https://host:port`.
    pub url: String,
    /// One-time enrolment token; removed after enrolment.
    #[serde(default)]
    pub token: Option<String>,
    /// PEM of the certificate authority that signed the server's certificate.
    pub ca: String,
    /// Whether reaching the fleet is part of the health gate.
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

/// `[network]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Interface; the first Ethernet one when absent.
    pub interface: Option<String>,
    /// Static address with prefix, `192.168.1.10/24`; DHCP when absent.
    pub address: Option<String>,
    /// Default route of a static address.
    pub gateway: Option<String>,
    /// DNS servers; added before those that DHCP gives.
    pub dns: Vec<String>,
}

/// `[time]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeConfig {
    /// SNTP servers, `host` or `host:port`; asked in order.
    pub servers: Vec<String>,
    /// Time zone of the place where the device is, `Europe/Berlin`; absent: UTC.
    pub zone: Option<Zone>,
}

impl Default for TimeConfig {
    fn default() -> Self {
        Self {
            servers: ["0.pool.ntp.org", "1.pool.ntp.org"].map(String::from).to_vec(),
            zone: None,
        }
    }
}

/// `[console]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsoleConfig {
    /// Offer `snapctl` on the serial console without a password: whoever holds the wire owns the
    /// device.
    pub enabled: bool,
}
