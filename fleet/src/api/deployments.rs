//! Deployments.

use crate::core::{ASSIGNMENT_TTL_S, Fleet};
use crate::error::Error;
use crate::rollout::{Rollout, rollout};
use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Deployments listed.
const SHOWN: u32 = 50;

/// Body of `POST deployments`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Digest of the release's manifest.
    pub release: String,
    /// To which devices.
    pub devices: Targets,
    /// Seconds that the assignment is good for; 30 days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
}

/// Which devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Targets {
    /// These.
    Listed(Vec<String>),
    /// `"all"`: every device of a board that the release is for.
    Word(All),
}

/// The word `all`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum All {
    /// Every fitting device.
    All,
}

pub(super) async fn list(State(fleet): State<Arc<Fleet>>) -> Result<Json<Vec<Rollout>>, Error> {
    let deployments = fleet.store.deployments(SHOWN)?;
    let rollouts: Result<Vec<_>, _> =
        deployments.into_iter().map(|deployment| rollout(&fleet, deployment)).collect();
    Ok(Json(rollouts?))
}

pub(super) async fn one(
    State(fleet): State<Arc<Fleet>>,
    Path(id): Path<i64>,
) -> Result<Json<Rollout>, Error> {
    let deployment = fleet.store.deployment(id)?;
    Ok(Json(rollout(&fleet, deployment)?))
}

pub(super) async fn add(
    State(fleet): State<Arc<Fleet>>,
    Json(wish): Json<Wish>,
) -> Result<Json<Rollout>, Error> {
    let devices = match wish.devices {
        Targets::Listed(mut devices) => {
            devices.sort();
            devices.dedup();
            devices
        }
        Targets::Word(All::All) => fitting(&fleet, &wish.release)?,
    };
    let ttl = wish.ttl.unwrap_or(ASSIGNMENT_TTL_S);
    let deployment = fleet.deploy(&wish.release, &devices, ttl)?;
    Ok(Json(rollout(&fleet, deployment)?))
}

/// Devices that are not revoked and of a board that the release is for.
fn fitting(fleet: &Fleet, release: &str) -> Result<Vec<String>, Error> {
    let boards = fleet.store.release(release)?.boards;
    Ok(fleet
        .store
        .devices()?
        .into_iter()
        .filter(|device| device.revoked.is_none())
        .filter(|device| {
            let board = device.state.as_ref().map_or(&device.board, |state| &state.system.board);
            boards.contains(board)
        })
        .map(|device| device.id)
        .collect())
}
