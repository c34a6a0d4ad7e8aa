//! The configuration of an image (OCI image specification, `config.md`).

use crate::digest::Digest;
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A configuration.
#[derive(Debug, Clone, Deserialize)]
pub struct ImageConfig {
    /// Go's name of the processor.
    architecture: String,
    /// `linux`.
    os: String,
    /// How to run it.
    #[serde(default)]
    pub config: Option<Execution>,
    rootfs: RootFs,
}

#[derive(Debug, Clone, Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Vec<String>,
}

/// How an image wants to be run. A member that is `null` is as one that is absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Execution {
    /// `user`, `uid`, `user:group`, `uid:gid` and mixtures; empty: root.
    pub user: Option<String>,
    /// `port`, `port/tcp`, `port/udp`.
    pub exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// First words of the command line.
    pub entrypoint: Option<Vec<String>>,
    /// Further words, or all where there is no entrypoint.
    pub cmd: Option<Vec<String>>,
    /// Directories that outlive the container.
    pub volumes: Option<BTreeMap<String, serde_json::Value>>,
    /// Directory to start in.
    pub working_dir: Option<String>,
    /// Remarks.
    pub labels: Option<BTreeMap<String, String>>,
    /// `SIGTERM` unless it says otherwise.
    pub stop_signal: Option<String>,
}

impl ImageConfig {
    /// Reads and checks a configuration.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let config: Self =
            serde_json::from_slice(json).map_err(|e| Error::invalid("configuration", e))?;
        if config.rootfs.kind != "layers" {
            let why = format!("rootfs.type {:?} is not \"layers\"", config.rootfs.kind);
            return Err(Error::invalid("configuration", why));
        }
        Ok(config)
    }

    /// Refuses an image for other machines.
    pub fn check_platform(&self, architecture: &str) -> Result<()> {
        if self.os == "linux" && self.architecture == architecture {
            return Ok(());
        }
        let (os, made_for) = (&self.os, &self.architecture);
        Err(Error::Platform(format!("image for {os}/{made_for}, this is linux/{architecture}")))
    }

    /// Digests of the layers as plain tar files, lowest first; there must be `count`.
    pub fn layers(&self, count: usize) -> Result<Vec<Digest>> {
        let ids = &self.rootfs.diff_ids;
        if ids.len() != count {
            let why = format!("{} layers, but the manifest has {count}", ids.len());
            return Err(Error::invalid("configuration: rootfs.diff_ids", why));
        }
        ids.iter().map(|id| Digest::parse("configuration: rootfs.diff_ids", id)).collect()
    }

    /// How to run it; everything absent where the image says nothing.
    pub fn execution(&self) -> Execution {
        self.config.clone().unwrap_or_default()
    }
}
