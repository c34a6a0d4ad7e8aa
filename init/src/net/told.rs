//! What netd tells others: `net.json` for people and services, `resolv.conf` for resolvers.
//!
//! What always holds: `resolv.conf` exists only while an address is set, so that its absence says
//! "no network"; neither file keeps what belonged to a network that is gone.

use super::link::Settings;
use crate::{Result, error::At, files, root::Root};
use std::{fs, io, net::Ipv4Addr, path::PathBuf};

/// What is configured.
pub const STATE: &str = "/run/holdfast/net.json";
/// The resolver's servers; `/etc/resolv.conf` leads here.
pub const RESOLV: &str = "/run/holdfast/resolv.conf";

/// The two files.
pub struct Told {
    state: PathBuf,
    resolv: PathBuf,
}

impl Told {
    /// Those below a root.
    pub fn below(root: &Root) -> Self {
        Self { state: root.at(STATE), resolv: root.at(RESOLV) }
    }

    /// An interface is set up; `source` is where its settings come from.
    pub fn configured(&self, name: &str, settings: &Settings, source: &str, dns: &[String]) {
        let resolv: String = dns.iter().map(|server| format!("nameserver {server}\n")).collect();
        said(files::replace_volatile(&self.resolv, resolv.as_bytes(), 0o644));
        let address = format!("{}/{}", settings.address, settings.prefix);
        self.write(name, Some(address), settings.router, source, dns);
    }

    /// There is no address, and why.
    pub fn without_address(&self, name: &str, why: &str) {
        said(match fs::remove_file(&self.resolv) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).at("remove", &self.resolv)
            }
            _ => Ok(()),
        });
        self.write(name, None, None, why, &[]);
    }

    fn write(
        &self,
        name: &str,
        address: Option<String>,
        router: Option<Ipv4Addr>,
        source: &str,
        dns: &[String],
    ) {
        let state = serde_json::json!({
            "interface": name,
            "address": address,
            "gateway": router.map(|router| router.to_string()),
            "source": source,
            "dns": dns,
        });
        said(files::replace_volatile(&self.state, state.to_string().as_bytes(), 0o644));
    }
}

/// A file that cannot be written stops no network.
fn said(result: Result<()>) {
    if let Err(error) = result {
        println!("{error}");
    }
}
