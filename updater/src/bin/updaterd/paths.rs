//! Every path that the daemon touches, below one root: `/` on the device, a directory in tests.

use std::path::PathBuf;

/// The root; methods name what is below it.
#[derive(Debug, Clone)]
pub struct Paths(PathBuf);

impl Paths {
    /// All paths below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// An absolute path of the device below the root.
    pub fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// The imported provisioning.
    pub fn device_toml(&self) -> PathBuf {
        self.at("/data/system/device.toml")
    }

    /// What this root file system is.
    pub fn release_json(&self) -> PathBuf {
        self.at("/etc/holdfast/release.json")
    }

    /// The signed key set.
    pub fn keys(&self) -> PathBuf {
        self.at("/etc/holdfast/keys.cbor")
    }

    /// Successors of that key set; written by this daemon alone.
    pub fn key_chain(&self) -> PathBuf {
        self.at(protocol::keychain::STORED)
    }

    /// Directory of the identity.
    pub fn identity(&self) -> PathBuf {
        self.at("/data/system/identity")
    }

    /// Directory of the updater's notes.
    pub fn notes(&self) -> PathBuf {
        self.at("/data/system/updater")
    }

    /// Directory of snaps that were fetched for appd.
    pub fn inbox(&self) -> PathBuf {
        self.notes().join("inbox")
    }

    /// The last time that was seen; written by timed.
    pub fn clock_floor(&self) -> PathBuf {
        self.at(protocol::clock::STORED)
    }

    /// There once the clock was set by a time server.
    pub fn time_synced(&self) -> PathBuf {
        self.at(protocol::clock::SYNCED)
    }
}
