//! Which desired release is followed. Pure: bytes, keys, device, state and time in, decision out.
//!
//! The order of the checks is the order of the table; the first that fails decides. What was
//! confirmed and the floor are the highest that notes, boot environment and running release say:
//! [`State`] was raised to the environment's marks when the updater started.
//!
//! | check | refusal |
//! |---|---|
//! | body decodes | `malformed-payload` |
//! | assignment is signed by the role `fleet` | `bad-signature`, `unknown-key`, … |
//! | it is for this fleet and device | `wrong-device` |
//! | its counter is the highest seen (and it the same), or higher | `assignment-replayed` |
//! | manifest is signed by the role `release`, within limits | `bad-signature`, `bad-manifest`, … |
//! | assignment is for that manifest | `release-mismatch` |
//! | product, board | `wrong-product`, `wrong-board` |
//! | not what runs already | (nothing to do) |
//! | assignment has not expired | `assignment-expired` |
//! | it is known what was confirmed before | `rollback-marks-unreadable` |
//! | not below the floor | `below-floor` |
//! | not below what was confirmed | `sequence-too-low` |
//! | has not fallen back before | (reported again) |

use crate::error::Error;
use crate::mutant::{self, Mutant};
use crate::state::{FailedRelease, ReleaseName, State};
use protocol::envelope;
use protocol::fleet::{Assignment, Desired};
use protocol::keys::{KeySet, to_hex};
use protocol::release::{BuildInfo, ReleaseManifest};
use sha2::{Digest, Sha256};

/// Who this device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Fleet id.
    pub fleet: String,
    /// Device id.
    pub device: String,
    /// Board id.
    pub board: String,
    /// What runs.
    pub build: BuildInfo,
}

/// An assignment that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// SHA-256 of its envelope.
    pub id: String,
    /// The assignment.
    pub assignment: Assignment,
}

/// A release to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// SHA-256 of the manifest's envelope.
    pub id: String,
    /// The manifest.
    pub manifest: ReleaseManifest,
    /// Where its payload can be had.
    pub sources: Vec<String>,
    /// When the assignment expires, Unix seconds: not staged afterwards.
    pub expires: u64,
}

impl Release {
    /// What it is called.
    pub fn name(&self) -> ReleaseName {
        ReleaseName {
            id: self.id.clone(),
            version: self.manifest.version.clone(),
            sequence: self.manifest.sequence,
        }
    }
}

/// What to do about a desired release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It runs.
    Running(Release),
    /// Install it.
    Install(Release),
    /// It failed here before; only a person's word makes it tried again.
    FailedBefore(FailedRelease),
}

/// First half: the assignment alone. It is remembered (counter) even when the release is refused.
pub fn assigned(
    body: &[u8],
    keys: &KeySet,
    device: &Device,
    state: &State,
) -> Result<(Desired, Assigned), Error> {
    let desired: Desired = envelope::decode(body, "desired").map_err(Error::Desired)?;
    let assignment = Assignment::open(&desired.assignment, keys).map_err(Error::Assignment)?;
    if assignment.fleet != device.fleet || assignment.device != device.device {
        let whom = format!("{}/{}", assignment.fleet, assignment.device);
        return Err(Error::WrongDevice(whom));
    }
    let id = to_hex(&Sha256::digest(desired.assignment.as_slice()));
    let same = assignment.counter == state.counter && id == state.assignment;
    if assignment.counter <= state.counter && !same {
        return Err(Error::Replayed { got: assignment.counter, seen: state.counter });
    }
    Ok((desired, Assigned { id, assignment }))
}

/// The manifest that came with an assignment, verified; nothing is decided.
pub fn manifest(desired: &Desired, assigned: &Assigned, keys: &KeySet) -> Result<Release, Error> {
    let manifest = ReleaseManifest::open(&desired.manifest, keys).map_err(Error::Manifest)?;
    let digest = Sha256::digest(desired.manifest.as_slice());
    if digest.as_slice() != assigned.assignment.release.as_slice() {
        return Err(Error::ReleaseMismatch);
    }
    let Assigned { assignment, .. } = assigned;
    let (sources, expires) = (assignment.sources.clone(), assignment.expires);
    Ok(Release { id: to_hex(&digest), manifest, sources, expires })
}

/// Second half: the release.
pub fn decide(
    release: Release,
    assigned: &Assigned,
    device: &Device,
    state: &State,
    now: u64,
) -> Result<Decision, Error> {
    let manifest = &release.manifest;
    if manifest.product != device.build.product {
        return Err(Error::WrongProduct(manifest.product.clone()));
    }
    if !manifest.boards.contains(&device.board) {
        return Err(Error::WrongBoard(manifest.boards.join(", ")));
    }
    let got = manifest.sequence;
    if got == device.build.sequence && manifest.version == device.build.version {
        return Ok(Decision::Running(release));
    }
    let expires = assigned.assignment.expires;
    if now > expires {
        return Err(Error::Expired { expires, now });
    }
    if state.marks_lost {
        return Err(Error::MarksUnreadable);
    }
    let floor = state.floor.max(device.build.floor);
    if got < floor && !mutant::is(Mutant::IgnoresFloor) {
        return Err(Error::BelowFloor { got, floor });
    }
    let have = state.highest.max(device.build.sequence);
    if got < have && !mutant::is(Mutant::IgnoresFloor) {
        return Err(Error::SequenceTooLow { got, have });
    }
    match state.failed(&release.id) {
        Some(failed) => Ok(Decision::FailedBefore(failed.clone())),
        None => Ok(Decision::Install(release)),
    }
}
