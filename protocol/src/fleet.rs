//! What device and fleet say to each other. Topics: `holdfast/1/{fleet}/{device}/{leaf}`.
//!
//! | leaf | from | QoS, retained | body |
//! |---|---|---|---|
//! | `desired` | fleet | 1, yes | CBOR [`Desired`] |
//! | `keys` | fleet | 1, yes | CBOR [`crate::keychain::KeyChain`] |
//! | `cmd/{id}` | fleet | 1, no | envelope over CBOR [`Command`] |
//! | `cmd/{id}/result` | device | 1, no | JSON [`CommandResult`] |
//! | `state` | device | 1, yes | JSON [`DeviceState`] |
//! | `online` | device | 1, yes | `true` at birth, `false` as last will |
//! | `progress` | device | 0, no | JSON [`UpdateStatus`] |
//! | `apps` | device | 1, yes | JSON list of [`crate::control::SnapInfo`] |

use crate::control::{Failure, SlotName, SystemStatus};
use crate::envelope;
use crate::error::Error;
use crate::keys::{KeySet, PrivateKey, RoleName};
use crate::policy::{PolicyState, UpdatePolicy, Waiting};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Context of an assignment's envelope.
pub const ASSIGNMENT_CONTEXT: &[u8] = b"holdfast/assignment/1";
/// Context of a command's envelope.
pub const COMMAND_CONTEXT: &[u8] = b"holdfast/command/1";
/// Most sources of an assignment.
pub const MAX_SOURCES: usize = 8;
/// Longest source or other address in bytes.
pub const MAX_URL: usize = 1024;
/// Longest fleet, device or command id in bytes.
pub const MAX_ID: usize = 64;

/// An id is one level of a topic and one name of a file: letters, digits, `-`, `_`, `.`; not
/// beginning with a dot.
pub fn is_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.')
}

/// `holdfast/1/{fleet}/{device}/{leaf}`
pub fn topic(fleet: &str, device: &str, leaf: &str) -> String {
    format!("holdfast/1/{fleet}/{device}/{leaf}")
}

/// Body of `desired`: both signatures travel together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Envelope over [`Assignment`], role `fleet`.
    pub assignment: ByteBuf,
    /// Envelope over [`crate::release::ReleaseManifest`], role `release`.
    pub manifest: ByteBuf,
}

/// Which release a device shall run, and when it may change to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Fleet id.
    pub fleet: String,
    /// Device id; must be the receiver's.
    pub device: String,
    /// Grows with every assignment to this device.
    pub counter: u64,
    /// Unix seconds.
    pub issued: u64,
    /// Unix seconds; not followed afterwards.
    pub expires: u64,
    /// SHA-256 of the manifest's envelope bytes.
    pub release: ByteBuf,
    /// Where the payload container can be had, absolute or relative to the fleet's HTTP address;
    /// tried in order.
    pub sources: Vec<String>,
    /// When the device may follow it.
    #[serde(default)]
    pub policy: UpdatePolicy,
}

impl Assignment {
    /// Signs with a key of the role `fleet`.
    pub fn sign(&self, keys: &[&PrivateKey]) -> Result<Vec<u8>, Error> {
        self.validate()?;
        envelope::sign_as(self, ASSIGNMENT_CONTEXT, keys)
    }

    /// Verifies, decodes and bounds a received assignment. Whom it is for, its counter and its
    /// expiry are the receiver's to check.
    pub fn open(bytes: &[u8], keys: &KeySet) -> Result<Self, Error> {
        let role = keys.role(RoleName::Fleet);
        let assignment: Self = envelope::open_as(bytes, ASSIGNMENT_CONTEXT, &role, "assignment")?;
        assignment.validate()?;
        Ok(assignment)
    }

    fn validate(&self) -> Result<(), Error> {
        let refuse =
            |why: &str| Err(Error::MalformedPayload { what: "assignment", why: why.into() });
        if !is_id(&self.fleet) || !is_id(&self.device) {
            return refuse("fleet or device is not an id");
        }
        if self.release.len() != 32 {
            return refuse("length of the release's digest");
        }
        if self.sources.is_empty() || self.sources.len() > MAX_SOURCES {
            return refuse("number of sources");
        }
        if self.sources.iter().any(|source| source.len() > MAX_URL) {
            return refuse("length of a source");
        }
        Ok(())
    }
}

/// A command to one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Device id; must be the receiver's.
    pub device: String,
    /// Unique; the topic's `{id}`.
    pub id: String,
    /// Unix seconds; refused afterwards.
    pub expires: u64,
    /// What to do.
    pub action: Action,
}

impl Command {
    /// Signs with a key of the role `fleet`.
    pub fn sign(&self, keys: &[&PrivateKey]) -> Result<Vec<u8>, Error> {
        envelope::sign_as(self, COMMAND_CONTEXT, keys)
    }

    /// Verifies and decodes a received command. Whom it is for and its expiry are the receiver's
    /// to check.
    pub fn open(bytes: &[u8], keys: &KeySet) -> Result<Self, Error> {
        let role = keys.role(RoleName::Fleet);
        let command: Self = envelope::open_as(bytes, COMMAND_CONTEXT, &role, "command")?;
        if !is_id(&command.id) || !is_id(&command.device) {
            let why = "command or device is not an id".into();
            return Err(Error::MalformedPayload { what: "command", why });
        }
        Ok(command)
    }
}

/// What a command asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Orderly reboot.
    Reboot,
    /// Make the previous slot the confirmed one and reboot.
    Rollback,
    /// Forget that a release failed and follow `desired` again.
    RetryUpdate,
    /// A request to appd.
    App(crate::control::AppRequest),
    /// Log of a service.
    Log {
        /// Service name.
        service: String,
        /// Lines at most.
        lines: u32,
    },
}

/// Result of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// The command's id.
    pub id: String,
    /// Whether it was done.
    pub ok: bool,
    /// Failure where not.
    pub failure: Option<Failure>,
    /// What to show: text, or the response as JSON.
    pub output: serde_json::Value,
}

/// Where an update stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdatePhase {
    /// Nothing to do.
    Idle,
    /// Fetching and writing chunks.
    Downloading,
    /// Reading the slot back.
    Verifying,
    /// Hold or window do not let it go on; see [`UpdateStatus::waiting`].
    Waiting,
    /// Written and verified, about to reboot.
    Staged,
    /// Running on trial.
    Trial,
    /// The last update was confirmed.
    Confirmed,
    /// The last update fell back.
    FellBack,
    /// The desired release was refused.
    Refused,
    /// A step failed; tried again later.
    Failed,
}

/// State of the updater.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStatus {
    /// Phase.
    pub phase: UpdatePhase,
    /// Version of the release concerned.
    pub version: Option<String>,
    /// Sequence of the release concerned.
    pub sequence: Option<u64>,
    /// Chunks that are in place.
    pub chunks_done: u32,
    /// Chunks in all.
    pub chunks_total: u32,
    /// Bytes fetched over the network for this update.
    pub bytes_fetched: u64,
    /// Why refused, failed or fallen back.
    pub failure: Option<Failure>,
    /// What it waits for.
    #[serde(default)]
    pub waiting: Option<Waiting>,
}

/// What a slot holds, as far as the updater knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotContent {
    /// Version of the release.
    pub version: String,
    /// Its sequence.
    pub sequence: u64,
    /// Whether all of it was written and read back.
    pub whole: bool,
}

/// What both slots hold; absent: not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlotContents {
    /// Slot a.
    pub a: Option<SlotContent>,
    /// Slot b.
    pub b: Option<SlotContent>,
}

impl SlotContents {
    /// What one of them holds.
    pub fn of(&self, slot: SlotName) -> Option<&SlotContent> {
        match slot {
            SlotName::A => self.a.as_ref(),
            SlotName::B => self.b.as_ref(),
        }
    }

    /// One of them holds something else now.
    pub fn set(&mut self, slot: SlotName, content: SlotContent) {
        match slot {
            SlotName::A => self.a = Some(content),
            SlotName::B => self.b = Some(content),
        }
    }
}

/// All that the updater can say on the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdaterStatus {
    /// The update.
    pub update: UpdateStatus,
    /// What the slots hold.
    pub slots: SlotContents,
    /// When it may update.
    pub policy: PolicyState,
}

/// Root of trust of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysState {
    /// Version of the key set in force; 0 from a device that does not say.
    pub version: u64,
    /// Why the last chain of key sets was refused.
    pub refused: Option<Failure>,
}

/// Body of `state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceState {
    /// Device id.
    pub device: String,
    /// What init says.
    pub system: SystemStatus,
    /// What the updater says.
    pub update: UpdateStatus,
    /// What the slots hold.
    #[serde(default)]
    pub slots: SlotContents,
    /// When it may update.
    #[serde(default)]
    pub policy: PolicyState,
    /// Which keys it trusts.
    #[serde(default)]
    pub keys: KeysState,
    /// Unix seconds of this report.
    pub time: u64,
}

/// `POST {url}/v1/enroll`, JSON: a device asks for its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollRequest {
    /// One-time token.
    pub token: String,
    /// Name wished for, from `device.toml`.
    pub name: String,
    /// Board id.
    pub board: String,
    /// Serial number of the board, where it has one.
    pub serial: Option<String>,
    /// PEM of the certificate signing request; the key never leaves the device.
    pub csr: String,
}

/// Answer to [`EnrollRequest`]; stored as `identity.json` beside key and certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollResponse {
    /// Device id: common name of the certificate, MQTT client id and topic level.
    pub device: String,
    /// Fleet id.
    pub fleet: String,
    /// PEM of the client certificate.
    pub certificate: String,
    /// `host:port` of the MQTT broker (TLS).
    pub broker: String,
}
