//! Devices.

use crate::core::Fleet;
use crate::error::Error;
use crate::store::{CommandRecord, Device, Event};
use axum::Json;
use axum::extract::{Path, State};
use protocol::policy::UpdatePolicy;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Commands shown with a device.
const COMMANDS_SHOWN: u32 = 20;

/// A device with its history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeviceDetail {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Its history, newest first.
    pub events: Vec<Event>,
    /// Its newest commands first.
    pub commands: Vec<CommandRecord>,
}

pub(super) async fn list(State(fleet): State<Arc<Fleet>>) -> Result<Json<Vec<Device>>, Error> {
    Ok(Json(fleet.store.devices()?))
}

pub(super) async fn one(
    State(fleet): State<Arc<Fleet>>,
    Path(id): Path<String>,
) -> Result<Json<DeviceDetail>, Error> {
    let device = fleet.store.device(&id)?;
    let events = fleet.store.events(&id)?;
    let commands = fleet.store.commands(&id, COMMANDS_SHOWN)?;
    Ok(Json(DeviceDetail { device, events, commands }))
}

pub(super) async fn revoke(
    State(fleet): State<Arc<Fleet>>,
    Path(id): Path<String>,
) -> Result<Json<Device>, Error> {
    fleet.revoke(&id)?;
    Ok(Json(fleet.store.device(&id)?))
}

pub(super) async fn policy(
    State(fleet): State<Arc<Fleet>>,
    Path(id): Path<String>,
    Json(body): Json<serde_json::Value>,
) -> Result<Json<Device>, Error> {
    let policy: UpdatePolicy =
        serde_json::from_value(body).map_err(|e| Error::invalid("policy", e.to_string()))?;
    fleet.set_policy(&id, policy)?;
    Ok(Json(fleet.store.device(&id)?))
}
