//! mosquitto's configuration and access list, rendered from a few values.

use crate::ca::{SERVER_NAME, write_private};
use crate::error::Error;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Largest MQTT packet: a control-socket frame (1 MiB) in JSON with its topic fits.
pub const MAX_PACKET: u32 = (1 << 20) + (64 << 10);
/// Messages kept for a device that is away; commands are few.
const QUEUED_MESSAGES: u32 = 200;
/// Sessions of devices that never come back are forgotten.
const SESSION_EXPIRY: &str = "60d";
/// Seconds between writes of retained messages and sessions to the disk.
const AUTOSAVE_S: u32 = 30;

/// What the configuration is made from.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Directory of the broker's files, below the server's data.
    pub dir: PathBuf,
    /// Address to listen on.
    pub address: IpAddr,
    /// Port to listen on.
    pub port: u16,
    /// Fleet id.
    pub fleet: String,
    /// Directory of the CA's files.
    pub ca: PathBuf,
}

impl BrokerConfig {
    /// Writes both files; returns the configuration's path.
    pub fn write(&self) -> Result<PathBuf, Error> {
        fs::create_dir_all(&self.dir).map_err(Error::file("make directory", &self.dir))?;
        let (path, acl) = (self.dir.join("mosquitto.conf"), self.dir.join("acl"));
        write_private(&acl, &access_list(&self.fleet))?;
        write_private(&path, &self.render(&acl))?;
        Ok(path)
    }

    /// Where mosquitto's output goes.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("mosquitto.log")
    }

    fn render(&self, acl: &Path) -> String {
        let user = current_user();
        let ca = self.ca.display();
        let mut text =
            String::from("# Written by holdfast-fleet at every start; edits are lost.\n");
        let lines = [
            format!("listener {} {}", self.port, self.address),
            "protocol mqtt".into(),
            format!("cafile {ca}/ca.crt"),
            format!("certfile {ca}/server.crt"),
            format!("keyfile {ca}/server.key"),
            format!("crlfile {ca}/revoked.crl"),
            "tls_version tlsv1.2".into(),
            "require_certificate true".into(),
            "use_identity_as_username true".into(),
            "use_username_as_clientid true".into(),
            "allow_anonymous false".into(),
            format!("acl_file {}", acl.display()),
            format!("max_packet_size {MAX_PACKET}"),
            format!("message_size_limit {MAX_PACKET}"),
            format!("max_queued_messages {QUEUED_MESSAGES}"),
            "persistence true".into(),
            format!("persistence_location {}/", self.dir.display()),
            format!("autosave_interval {AUTOSAVE_S}"),
            format!("persistent_client_expiration {SESSION_EXPIRY}"),
            "connection_messages false".into(),
            "log_dest stderr".into(),
            "log_type error".into(),
            "log_type warning".into(),
            "log_type notice".into(),
            // Started by root, mosquitto would change to a user that cannot read the keys.
            format!("user {user}"),
        ];
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

/// Rights: `%u` is the common name of the client's certificate.
fn access_list(fleet: &str) -> String {
    let own = format!("holdfast/1/{fleet}/%u");
    format!(
        "user {SERVER_NAME}\n\
         topic readwrite holdfast/#\n\
         pattern read {own}/desired\n\
         pattern read {own}/keys\n\
         pattern read {own}/cmd/#\n\
         pattern write {own}/cmd/+/result\n\
         pattern write {own}/state\n\
         pattern write {own}/online\n\
         pattern write {own}/progress\n\
         pattern write {own}/apps\n\
         pattern write {own}/log\n"
    )
}

/// The user that this process runs as; only root's name matters to mosquitto.
fn current_user() -> &'static str {
    if rustix::process::geteuid().is_root() { "root" } else { "nobody" }
}
