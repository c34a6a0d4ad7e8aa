//! Messages on the control sockets: a little-endian `u32` length, then that many bytes of postcard.
//! One request, one
//! response, then either side may close or go on. Never more than [`MAX_FRAME`] bytes.
//!
//! The functions here work on any `Read`/`Write`; opening the socket is the caller's business.

use crate::change::{
    ChangeInfo, ConnectionInfo, InterfaceInfo, Order, QuotaInfo, SnapshotInfo, Which,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

/// Largest frame in bytes; a listing of everything on a device is far below it.
pub const MAX_FRAME: usize = 1 << 20;
/// init: status, readiness, slot control, reboot.
pub const INIT_SOCKET: &str = "/run/holdfast/init.sock";
/// updaterd: update status, apply from file or server, hold.
pub const UPDATER_SOCKET: &str = "/run/holdfast/updater.sock";
/// appd: everything that `snapctl` asks.
pub const APP_SOCKET: &str = "/run/holdfast/app.sock";
/// cgroup of all apps, which init makes and appd fills.
pub const APPS_CGROUP: &str = "/sys/fs/cgroup/apps";

/// Writes one message as a frame.
pub fn write_frame<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    if body.len() > MAX_FRAME {
        return Err(io::Error::other(format!(
            "message of {} bytes exceeds {MAX_FRAME}",
            body.len()
        )));
    }
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&body);
    to.write_all(&frame)?;
    to.flush()
}

/// Reads one message; a length above [`MAX_FRAME`] is refused before anything is allocated.
pub fn read_frame<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("frame of {length} bytes exceeds {MAX_FRAME}"),
        ));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    postcard::from_bytes(&body).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// One request and its response over a connected stream.
pub fn call<Q: Serialize, R: DeserializeOwned>(
    stream: &mut (impl Read + Write),
    request: &Q,
) -> io::Result<R> {
    write_frame(stream, request)?;
    read_frame(stream)
}

/// A refusal or failure: `code` is frozen (kebab-case), `message` is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// Constant name, for programs and the fleet.
    pub code: String,
    /// What happened to what, for people.
    pub message: String,
}

/// Which of the two slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotName {
    /// Partition 2.
    A,
    /// Partition 3.
    B,
}

/// How the boot loader chose the running slot (kernel argument `holdfast.boot`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootKind {
    /// The confirmed slot, no trial pending.
    Confirmed,
    /// A trial of a new release.
    Trial,
    /// A trial was pending and could not be, or was no longer to be, booted; or the confirmed slot
    /// did not load, or panicked three times in a row.
    Fallback,
}

/// Why the machine started, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootReason {
    /// Power was applied or lost without an orderly shutdown.
    Cold,
    /// An orderly reboot, with what was asked for.
    Reboot(String),
    /// The kernel panicked; the last lines of its log.
    Panic(String),
    /// The watchdog bit.
    Watchdog,
    /// init ended a trial that did not become healthy.
    Unhealthy(String),
    /// Nothing was recorded that could be read.
    Unknown,
}

/// What the health gate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Not decided; what is waited for.
    Starting(Vec<String>),
    /// Every check holds.
    Healthy,
    /// The time-out passed; what was missing.
    Unhealthy(Vec<String>),
}

/// One service as init sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Name of the manifest.
    pub name: String,
    /// `waiting`, `starting`, `ready`, `backoff`, `done` or `failed`.
    pub state: String,
    /// Process id while running.
    pub pid: Option<u32>,
    /// Starts after the first.
    pub restarts: u32,
    /// How the last process ended, for people.
    pub last_exit: Option<String>,
    /// Memory in KiB: proportional set size of its processes.
    #[serde(default)]
    pub memory_kib: Option<u32>,
}

/// What the boot environment remembers against rollbacks: the second place beside the updater's
/// notes; the higher of both is the bar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackMarks {
    /// Highest sequence that was confirmed on this card; `None`: none was stored.
    pub sequence: Option<u64>,
    /// Highest floor of a release that was confirmed on this card; `None`: none was stored.
    pub floor: Option<u64>,
    /// Something is stored that cannot be understood: it may have been higher than anything.
    pub unreadable: bool,
}

/// What init knows of the running system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemStatus {
    /// Host name.
    pub hostname: String,
    /// Board id, as in `boards/*.toml`.
    pub board: String,
    /// Running release.
    pub version: String,
    /// Sequence of the running release.
    pub sequence: u64,
    /// Lowest sequence that may run once this release is confirmed.
    #[serde(default)]
    pub floor: u64,
    /// Slot that is running.
    pub slot: SlotName,
    /// Confirmed slot according to the environment; `None` when it could not be read.
    pub confirmed: Option<SlotName>,
    /// Trial slot according to the environment.
    pub trial: Option<SlotName>,
    /// What the environment remembers against rollbacks.
    #[serde(default)]
    pub rollback_marks: RollbackMarks,
    /// How the boot loader chose.
    pub boot_kind: BootKind,
    /// Why the machine started.
    pub boot_reason: BootReason,
    /// Random id of this boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// Seconds since kernel start.
    pub uptime_s: u64,
    /// The health gate.
    pub health: Health,
    /// All services.
    pub services: Vec<ServiceStatus>,
    /// Memory of init itself in KiB: proportional set size.
    #[serde(default)]
    pub init_memory_kib: Option<u32>,
    /// System-on-chip temperature in millidegrees Celsius.
    pub temperature_mc: Option<i32>,
    /// Things that need a person's attention (a broken `device.toml`, a full data partition, …),
    /// one line each.
    pub warnings: Vec<String>,
}

/// Requests to init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitRequest {
    /// What is running.
    Status,
    /// The calling service (found by its process id) is ready.
    Ready,
    /// A named health check of the calling service holds or no longer holds, e.g. `fleet`.
    Check {
        /// Name of the check.
        name: String,
        /// Whether it holds now.
        ok: bool,
        /// For people.
        detail: String,
    },
    /// Set the other slot as trial: one environment write.
    StageTrial {
        /// Must be the slot that is not confirmed.
        slot: SlotName,
        /// Boots that may be tried, 1 to 7.
        attempts: u8,
    },
    /// Forget a staged trial.
    DropTrial,
    /// Stage the other slot, which was confirmed before, as a trial (manual rollback after
    /// success);
    /// whoever asks reboots afterwards.
    Rollback,
    /// Orderly reboot with the reason to record.
    Reboot {
        /// For people, recorded as [`BootReason::Reboot`].
        reason: String,
    },
    /// Orderly power-off.
    PowerOff,
    /// The last lines of a service's log.
    Log {
        /// Service name.
        service: String,
        /// How many lines at most.
        lines: u32,
    },
    /// The recorded boots, newest last.
    Boots,
    /// Show update activity on the status LED (`true`: an update is being written).
    Updating(bool),
    /// Something that needs a person's attention: one line of [`SystemStatus::warnings`] until the
    /// next boot.
    Warn(String),
    /// What the updater remembers against rollbacks: the environment's marks are raised to it, and
    /// replaced where they cannot be understood.
    RestoreMarks {
        /// Highest sequence that was confirmed.
        sequence: u64,
        /// Highest floor that was confirmed.
        floor: u64,
    },
}

/// One recorded boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    /// Boot id.
    pub boot_id: String,
    /// Unix time in seconds when recorded (may be the clock floor).
    pub time: u64,
    /// Slot that booted.
    pub slot: SlotName,
    /// Version that booted.
    pub version: String,
    /// How the boot loader chose.
    pub kind: BootKind,
    /// Why the machine started.
    pub reason: BootReason,
    /// How the health gate ended, for people; empty while it runs.
    pub outcome: String,
    /// The boot loader passed a trial over, which had so many attempts left; absent: there was
    /// none, or it is what booted.
    #[serde(default)]
    pub trial_left: Option<u8>,
}

/// Responses of init.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitResponse {
    /// Done.
    Ok,
    /// Answer to [`InitRequest::Status`].
    Status(Box<SystemStatus>),
    /// Answer to [`InitRequest::Log`].
    Log(Vec<String>),
    /// Answer to [`InitRequest::Boots`].
    Boots(Vec<BootRecord>),
    /// Refused or failed.
    Failed(Failure),
}

/// Requests to updaterd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdaterRequest {
    /// What the updater is doing.
    Status,
    /// Forget that a release failed, so that it may be tried again.
    Retry,
    /// A person at the device sets when it may update.
    SetPolicy(crate::policy::PolicyChange),
}

/// Responses of updaterd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdaterResponse {
    /// Done.
    Ok,
    /// Answer to [`UpdaterRequest::Status`].
    Status(Box<crate::fleet::UpdaterStatus>),
    /// Refused or failed.
    Failed(Failure),
}

/// Requests to appd, the verbs of `snapctl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppRequest {
    /// Is it there.
    Ping,
    /// Install or refresh from a file on the device.
    Install {
        /// Absolute path, readable by appd.
        path: String,
        /// Accept a snap without a valid signature.
        dangerous: bool,
    },
    /// Install or refresh from an HTTP address.
    InstallUrl {
        /// `http://` or `https://`.
        url: String,
        /// Expected SHA-256 of the file; checked when given.
        sha256: Option<[u8; 32]>,
        /// Accept a snap without a valid signature.
        dangerous: bool,
    },
    /// Installed snaps.
    List,
    /// All about one.
    Info(String),
    /// Start services: a snap, or `snap.app`.
    Start(String),
    /// Stop services.
    Stop(String),
    /// Restart services.
    Restart(String),
    /// Services of all snaps, or of one.
    Services(Option<String>),
    /// Last lines of the logs of a snap or `snap.app`.
    Logs {
        /// Snap or `snap.app`.
        name: String,
        /// How many lines at most.
        lines: u32,
    },
    /// Remove a snap; a snapshot of its data is kept for some time.
    Remove(String),
    /// Have services read their configuration again: by their reload-commands, else by restarts.
    Reload(String),
    /// Change something, as one change.
    Transact {
        /// What.
        order: Order,
        /// Answer when it has come to its end; else as soon as it is stored.
        wait: bool,
    },
    /// The changes that are remembered.
    Changes,
    /// One change with its tasks.
    Change(Which),
    /// Undo a change that is under way.
    Abort(Which),
    /// Snapshots, of all sets or of one.
    Saved(Option<u32>),
    /// Write a set of snapshots into one file.
    Export {
        /// The set.
        set: u32,
        /// Absolute path; nothing may be there.
        path: String,
    },
    /// Values of a snap's configuration; no keys: all of it.
    Get {
        /// Snap.
        name: String,
        /// Keys, `a.b`.
        keys: Vec<String>,
    },
    /// Plugs of all snaps, or of one, and what became of them.
    Connections(Option<String>),
    /// All interfaces, or one.
    Interfaces(Option<String>),
    /// Quotas of all snaps that have one, or of one snap.
    Quotas(Option<String>),
    /// Have services start with their snap or not, and start or stop them now.
    Startup {
        /// Snap or `snap.app`.
        name: String,
        /// Start.
        on: bool,
    },
}

/// What an app asks by the `snapctl` that it sees: the words of its command line, as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsideRequest {
    /// `SNAP_COOKIE`: which hook asks, when it is one.
    pub cookie: String,
    /// Words after the program's name.
    pub words: Vec<String>,
}

/// What that `snapctl` prints, and how it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsideResponse {
    /// Exit code.
    pub code: u8,
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
}

/// How a snap says that it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthInfo {
    /// `okay`, `waiting`, `blocked` or `error`.
    pub status: String,
    /// For people.
    pub message: String,
    /// For programs.
    pub code: String,
    /// Revision that said it.
    pub revision: u32,
    /// Unix time in seconds.
    pub time: u64,
}

impl AppRequest {
    /// Whether it may only be asked for on the device: it takes what is not signed, has root read
    /// or write a file that the request names, or opens the device to an app.
    pub fn is_for_the_prompt(&self) -> bool {
        match self {
            AppRequest::Install { dangerous, .. } | AppRequest::InstallUrl { dangerous, .. } => {
                *dangerous
            }
            AppRequest::Transact { order: Order::Install { dangerous, .. }, .. } => *dangerous,
            // The broker between a fleet and its gateways is not trusted with what apps may reach.
            AppRequest::Transact {
                order: Order::Import { .. } | Order::Connect { .. }, ..
            }
            | AppRequest::Export { .. } => true,
            _ => false,
        }
    }
}

/// One installed snap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapInfo {
    /// Name.
    pub name: String,
    /// Version from `snap.yaml`.
    pub version: String,
    /// Local revision, 1 at first install.
    pub revision: u32,
    /// Summary from `snap.yaml`.
    pub summary: String,
    /// Signed by an `app` key, or installed with `--dangerous`.
    pub signed: bool,
    /// Size of the squashfs in bytes.
    pub size: u64,
    /// Services with their states.
    pub services: Vec<AppServiceStatus>,
    /// Granted interfaces.
    pub connections: Vec<String>,
    /// Not to be started until it is enabled.
    #[serde(default)]
    pub disabled: bool,
    /// What it said of its health; absent: nothing.
    #[serde(default)]
    pub health: Option<HealthInfo>,
}

/// One service of a snap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppServiceStatus {
    /// `snap.app`.
    pub name: String,
    /// `simple` or `oneshot`.
    pub daemon: String,
    /// `active`, `inactive`, `done`, `backoff` or `failed`.
    pub state: String,
    /// Process id in the host's namespace while running.
    pub pid: Option<u32>,
    /// Starts after the first.
    pub restarts: u32,
    /// Memory in bytes that its cgroup uses.
    pub memory: Option<u64>,
}

/// Responses of appd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppResponse {
    /// Done, with what to tell the person.
    Ok(String),
    /// Snaps.
    Snaps(Vec<SnapInfo>),
    /// One snap.
    Snap(Box<SnapInfo>),
    /// Services.
    Services(Vec<AppServiceStatus>),
    /// Log lines.
    Log(Vec<String>),
    /// Refused or failed.
    Failed(Failure),
    /// A change has begun that is not waited for: its number.
    Began(u32),
    /// Changes, oldest first, without their tasks.
    Changes(Vec<ChangeInfo>),
    /// One change.
    Change(Box<ChangeInfo>),
    /// Snapshots.
    Snapshots(Vec<SnapshotInfo>),
    /// A configuration, or a part of it, as JSON.
    Config(String),
    /// Plugs.
    Connections(Vec<ConnectionInfo>),
    /// Interfaces.
    Interfaces(Vec<InterfaceInfo>),
    /// Quotas.
    Quotas(Vec<QuotaInfo>),
}
