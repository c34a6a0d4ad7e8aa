//! Where everything lies, below a prefix (`/` on a device).

use std::path::{Path, PathBuf};

/// All paths of appd.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
    cgroup: PathBuf,
}

impl Paths {
    /// Paths below `root`; app cgroups below `cgroup`.
    pub fn new(root: impl Into<PathBuf>, cgroup: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), cgroup: cgroup.into() }
    }

    fn below(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Everything that appd keeps.
    pub fn snaps(&self) -> PathBuf {
        self.below("data/snaps")
    }

    /// The snap files.
    pub fn files(&self) -> PathBuf {
        self.snaps().join("files")
    }

    /// A snap file.
    pub fn file(&self, name: &str, revision: u32) -> PathBuf {
        self.files().join(format!("{name}_{revision}.snap"))
    }

    /// A snap file that is not complete or not accepted yet; removed when appd starts.
    pub fn partial(&self, number: u32) -> PathBuf {
        self.files().join(format!("incoming-{number}.partial"))
    }

    /// Layers of an image that are being fetched; removed when appd starts and fetches nothing.
    pub fn blobs(&self) -> PathBuf {
        self.snaps().join("blobs")
    }

    /// Data of all snaps.
    pub fn all_data(&self) -> PathBuf {
        self.snaps().join("data")
    }

    /// Data of a snap, all revisions.
    pub fn data(&self, name: &str) -> PathBuf {
        self.all_data().join(name)
    }

    /// Data that all revisions share.
    pub fn common(&self, name: &str) -> PathBuf {
        self.data(name).join("common")
    }

    /// Data of one revision.
    pub fn revision_data(&self, name: &str, revision: u32) -> PathBuf {
        self.data(name).join(revision.to_string())
    }

    /// Snapshots of data.
    pub fn snapshots(&self) -> PathBuf {
        self.snaps().join("snapshots")
    }

    /// The snapshot of one snap in a set.
    pub fn snapshot(&self, set: u32, name: &str) -> PathBuf {
        self.snapshots().join(format!("{set}_{name}.snapshot"))
    }

    /// Logs of all services.
    pub fn logs(&self) -> PathBuf {
        self.snaps().join("log")
    }

    /// Log of a service (`snap.app`).
    pub fn log(&self, service: &str) -> PathBuf {
        self.logs().join(format!("{service}.log"))
    }

    /// What is installed.
    pub fn state(&self) -> PathBuf {
        self.snaps().join("state.json")
    }

    /// The copy of it.
    pub fn state_copy(&self) -> PathBuf {
        self.snaps().join("state.copy.json")
    }

    /// Where a state that cannot be used is put aside; the last one is kept.
    pub fn state_damaged(&self) -> PathBuf {
        self.snaps().join("state.damaged.json")
    }

    /// Mount points of all snaps.
    pub fn mounts(&self) -> PathBuf {
        self.below("run/snaps")
    }

    /// Mount point of a revision.
    pub fn mount(&self, name: &str, revision: u32) -> PathBuf {
        self.mounts().join(name).join(revision.to_string())
    }

    /// Mount point of a snap that is being looked at.
    pub fn incoming_mount(&self, number: u32) -> PathBuf {
        self.mounts().join(format!(".incoming-{number}"))
    }

    /// Where removable media are mounted.
    pub fn media(&self) -> PathBuf {
        self.below("run/media")
    }

    /// sysfs's list of block devices.
    pub fn blocks(&self) -> PathBuf {
        self.below("sys/class/block")
    }

    /// The copy of resolv.conf that apps see; its inode stays, so that running apps see changes.
    pub fn app_resolver(&self) -> PathBuf {
        self.mounts().join(".resolv.conf")
    }

    /// Where a service's socket for what it tells of itself is.
    pub fn notify(&self, service: &str) -> PathBuf {
        self.mounts().join(".notify").join(service)
    }

    /// Exists once a time server has set the clock.
    pub fn time_synced(&self) -> PathBuf {
        self.below(protocol::clock::SYNCED.trim_start_matches('/'))
    }

    /// The device's configuration.
    pub fn device_toml(&self) -> PathBuf {
        self.below("data/system/device.toml")
    }

    /// What netd writes.
    pub fn resolver(&self) -> PathBuf {
        self.below("run/holdfast/resolv.conf")
    }

    /// appd's control socket.
    pub fn socket(&self) -> PathBuf {
        self.below(protocol::control::APP_SOCKET.trim_start_matches('/'))
    }

    /// init's control socket.
    pub fn init_socket(&self) -> PathBuf {
        self.below(protocol::control::INIT_SOCKET.trim_start_matches('/'))
    }

    /// The last time that was seen.
    pub fn time_seen(&self) -> PathBuf {
        self.below(protocol::clock::STORED.trim_start_matches('/'))
    }

    /// Where the key sets are.
    pub fn keys(&self) -> KeyFiles {
        KeyFiles {
            image: self.below("etc/holdfast/keys.cbor"),
            chain: self.below(protocol::keychain::STORED.trim_start_matches('/')),
        }
    }

    /// Interfaces that may be granted.
    pub fn interfaces(&self) -> PathBuf {
        self.below("etc/holdfast/interfaces")
    }

    /// cgroup of all apps.
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// cgroup of all services of a snap.
    pub fn snap_cgroup(&self, name: &str) -> PathBuf {
        self.cgroup.join(name)
    }

    /// cgroup of a service (`snap.app`), below that of its snap.
    pub fn service_cgroup(&self, service: &str) -> PathBuf {
        match service.split_once('.') {
            Some((snap, app)) => self.snap_cgroup(snap).join(app),
            None => self.snap_cgroup(service),
        }
    }

    /// Where the socket is by which apps and hooks of a snap ask appd.
    pub fn inside(&self, name: &str) -> PathBuf {
        self.mounts().join(".inside").join(name)
    }

    /// Where the socket is by which a snap administers the device, as a person does.
    pub fn administers(&self, name: &str) -> PathBuf {
        self.mounts().join(".administers").join(name)
    }

    /// The program by which they do.
    pub fn snapctl(&self) -> PathBuf {
        self.below("usr/bin/snapctl")
    }
}

/// The image's signed key set and the chain of its successors, which updaterd writes.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    /// In the image; always there.
    pub image: PathBuf,
    /// On the data partition; there once keys were rotated.
    pub chain: PathBuf,
}
