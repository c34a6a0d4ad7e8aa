//! How far a deployment is, read from what its devices say.

use crate::core::Fleet;
use crate::error::Error;
use crate::store::{Deployment, Device, Release};
use protocol::control::{Failure, Health};
use protocol::fleet::UpdatePhase;
use serde::{Deserialize, Serialize};

/// Where one device is on its way to the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Assigned, nothing heard yet.
    Pending,
    /// Fetching and writing.
    Downloading,
    /// Reading back.
    Verifying,
    /// A hold or a window does not let it go on.
    Waiting,
    /// About to restart.
    Staged,
    /// Running on trial.
    Trial,
    /// Runs the release for good.
    Confirmed,
    /// The trial was not healthy.
    FellBack,
    /// The device refused the release.
    Refused,
    /// A step failed; the device tries again.
    Failed,
    /// A later deployment took its place.
    Superseded,
}

/// One device of a deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    /// Device id.
    pub device: String,
    /// Device name.
    pub name: String,
    /// Where it is.
    pub step: Step,
    /// Chunks in place.
    pub chunks_done: u32,
    /// Chunks in all.
    pub chunks_total: u32,
    /// Bytes fetched over the network.
    pub bytes_fetched: u64,
    /// Why refused, failed or fallen back.
    pub failure: Option<Failure>,
}

/// A deployment with its devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rollout {
    /// The deployment.
    #[serde(flatten)]
    pub deployment: Deployment,
    /// Version of its release.
    pub version: String,
    /// Sequence of its release.
    pub sequence: u64,
    /// Every device.
    pub devices: Vec<Progress>,
}

/// Reads a deployment's state.
pub fn rollout(fleet: &Fleet, deployment: Deployment) -> Result<Rollout, Error> {
    let release = fleet.store.release(&deployment.release)?;
    let mut devices = Vec::new();
    for member in fleet.store.deployment_devices(deployment.id)? {
        let device = fleet.store.device(&member.device)?;
        let superseded = device.counter > member.counter;
        devices.push(progress(&device, &release, superseded));
    }
    Ok(Rollout { deployment, version: release.version, sequence: release.sequence, devices })
}

fn progress(device: &Device, release: &Release, superseded: bool) -> Progress {
    let update = device.update().filter(|update| update.sequence == Some(release.sequence));
    Progress {
        device: device.id.clone(),
        name: device.name.clone(),
        step: if superseded { Step::Superseded } else { step(device, release) },
        chunks_done: update.map_or(0, |update| update.chunks_done),
        chunks_total: update.map_or(0, |update| update.chunks_total),
        bytes_fetched: update.map_or(0, |update| update.bytes_fetched),
        failure: update.and_then(|update| update.failure.clone()),
    }
}

/// `settled`: the release's sequence runs, its slot is confirmed, no trial, healthy. `phase`: the
/// update's, when it is about this sequence.
///
/// | settled | phase | step |
/// |---|---|---|
/// | yes | any but trial | confirmed |
/// | no | none for this sequence, or idle | pending |
/// | no | any other | the phase |
fn step(device: &Device, release: &Release) -> Step {
    let phase = device
        .update()
        .filter(|update| update.sequence == Some(release.sequence))
        .map(|update| update.phase);
    let settled = device.state.as_ref().is_some_and(|state| {
        state.system.sequence == release.sequence
            && state.system.confirmed == Some(state.system.slot)
            && state.system.trial.is_none()
            && state.system.health == Health::Healthy
    });
    match phase {
        phase if settled && phase != Some(UpdatePhase::Trial) => Step::Confirmed,
        None | Some(UpdatePhase::Idle) => Step::Pending,
        Some(UpdatePhase::Downloading) => Step::Downloading,
        Some(UpdatePhase::Verifying) => Step::Verifying,
        Some(UpdatePhase::Waiting) => Step::Waiting,
        Some(UpdatePhase::Staged) => Step::Staged,
        Some(UpdatePhase::Trial) => Step::Trial,
        Some(UpdatePhase::Confirmed) => Step::Confirmed,
        Some(UpdatePhase::FellBack) => Step::FellBack,
        Some(UpdatePhase::Refused) => Step::Refused,
        Some(UpdatePhase::Failed) => Step::Failed,
    }
}
