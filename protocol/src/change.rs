//! What appd is asked to change, and how a change and its snapshots are shown. Part of the control
//! socket's messages ([`crate::control::AppRequest`]).

use crate::{control::Failure, quota::Quota};
use serde::{Deserialize, Serialize};

/// Where a snap comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A file on the device: absolute, readable by appd.
    Path(String),
    /// An address.
    Url {
        /// `http://` or `https://`.
        url: String,
        /// Expected SHA-256 of the file; checked when given.
        sha256: Option<[u8; 32]>,
    },
}

/// What is to be changed, for all named snaps as one: all of it is done, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Install, or refresh what is installed.
    Install {
        /// The snaps.
        from: Vec<Origin>,
        /// What the snap is called that an image becomes; absent: as the image.
        name: Option<String>,
        /// Accept snaps without a valid signature.
        dangerous: bool,
        /// Refresh only: what is not installed, and what was reverted from, is refused.
        refresh: bool,
    },
    /// Go back to a revision that is kept, with its data.
    Revert {
        /// The snaps.
        names: Vec<String>,
        /// The revision; absent: the one before the current one.
        revision: Option<u32>,
    },
    /// Remove.
    Remove {
        /// The snaps.
        names: Vec<String>,
        /// Without a snapshot of the data.
        purge: bool,
    },
    /// Let disabled snaps run again.
    Enable {
        /// The snaps.
        names: Vec<String>,
    },
    /// Stop snaps and let them not be started, until they are enabled.
    Disable {
        /// The snaps.
        names: Vec<String>,
    },
    /// Take snapshots of the data, as a new set.
    Save {
        /// The snaps; none: all.
        names: Vec<String>,
    },
    /// Replace the data by that of a set.
    Restore {
        /// The set.
        set: u32,
        /// The snaps; none: all of the set.
        names: Vec<String>,
    },
    /// Delete snapshots.
    Forget {
        /// The set.
        set: u32,
        /// The snaps; none: all of the set.
        names: Vec<String>,
    },
    /// Take an exported set in as a new one.
    Import {
        /// Absolute path, readable by appd.
        path: String,
    },
    /// Change the configuration of a snap, if its configure hook takes it.
    Set {
        /// The snap.
        name: String,
        /// Keys, and values as JSON; no value: nothing at that key.
        values: Vec<(String, Option<String>)>,
    },
    /// Grant a plug what its interface grants.
    Connect {
        /// The plug.
        plug: PlugName,
        /// Attributes that the plug leaves open, or that are to be others; values as JSON.
        attributes: Vec<(String, String)>,
    },
    /// Take that back, or refuse it from the start.
    Disconnect {
        /// The plug.
        plug: PlugName,
    },
    /// Bound what all processes of a snap together may use.
    SetQuota {
        /// The snap.
        name: String,
        /// All that is bounded; nothing takes all bounds away.
        quota: Quota,
    },
}

/// A plug of a snap, `SNAP:PLUG`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlugName {
    /// The snap.
    pub snap: String,
    /// Its plug.
    pub plug: String,
}

impl std::fmt::Display for PlugName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.snap, self.plug)
    }
}

impl Order {
    /// As the verb of `snapctl`.
    pub fn kind(&self) -> &'static str {
        match self {
            Order::Install { refresh: false, .. } => "install",
            Order::Install { refresh: true, .. } => "refresh",
            Order::Revert { .. } => "revert",
            Order::Remove { .. } => "remove",
            Order::Enable { .. } => "enable",
            Order::Disable { .. } => "disable",
            Order::Save { .. } => "save",
            Order::Restore { .. } => "restore",
            Order::Forget { .. } => "forget",
            Order::Import { .. } => "import-snapshot",
            Order::Set { .. } => "set",
            Order::Connect { .. } => "connect",
            Order::Disconnect { .. } => "disconnect",
            Order::SetQuota { .. } => "set-quota",
        }
    }
}

/// Which change is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The one with this number.
    Id(u32),
    /// The newest of this kind.
    Last(String),
}

/// A change, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeInfo {
    /// Its number.
    pub id: u32,
    /// Verb of `snapctl`.
    pub kind: String,
    /// For people.
    pub summary: String,
    /// `Do`, `Doing`, `Done`, `Undoing`, `Undone` or `Error`.
    pub status: String,
    /// Unix time in seconds when it was made.
    pub spawn: u64,
    /// Unix time in seconds when it came to its end.
    pub ready: Option<u64>,
    /// In the order in which they are done.
    pub tasks: Vec<TaskInfo>,
    /// What was done, a line for each snap; only when it is done.
    pub told: Vec<String>,
    /// Why it was not done.
    pub failure: Option<Failure>,
}

/// A task of a change, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// `Do`, `Doing`, `Done`, `Undo`, `Undoing`, `Undone`, `Error` or `Hold`.
    pub status: String,
    /// For people.
    pub summary: String,
    /// What went wrong.
    pub log: Vec<String>,
}

/// The data of one snap in a set, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// Number of the set.
    pub set: u32,
    /// Snap.
    pub snap: String,
    /// Unix time in seconds when it was taken.
    pub time: u64,
    /// Version of the snap.
    pub version: String,
    /// Revision of the snap.
    pub revision: u32,
    /// Size of the file in bytes.
    pub size: u64,
    /// Taken because the snap was removed; it is forgotten after some time.
    pub auto: bool,
}

/// A plug and what became of it, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// The plug.
    pub plug: PlugName,
    /// Its interface.
    pub interface: String,
    /// Granted.
    pub connected: bool,
    /// A person decided it; else the interface's policy.
    pub manual: bool,
    /// What it is about, `line=17`; what is still missing for it to be granted, `line=?`.
    pub attributes: Vec<String>,
}

/// An interface, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceInfo {
    /// Its name.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Granted to every snap that asks.
    pub auto_connect: bool,
    /// Attributes, each with what it means.
    pub attributes: Vec<(String, String)>,
    /// Plugs of installed snaps.
    pub plugs: Vec<PlugName>,
}

/// The quota of a snap and what of it is used, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaInfo {
    /// The snap.
    pub snap: String,
    /// Its bounds.
    pub quota: Quota,
    /// Memory in use, in bytes.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub threads: Option<u64>,
}
