//! Commands to a device.

use crate::core::Fleet;
use crate::error::Error;
use crate::store::CommandRecord;
use axum::Json;
use axum::extract::{Path, State};
use protocol::control::AppRequest;
use protocol::fleet::Action;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What may be asked of a device.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Order {
    /// A snap that was uploaded here: the server fills in address and digest.
    Install(InstallOrder),
    /// Anything that the wire knows.
    Action(Action),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstallOrder {
    #[serde(rename = "install-snap")]
    install: InstallSnap,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstallSnap {
    /// Id of the uploaded snap.
    sha256: String,
    /// Refused: gateways take unsigned snaps at their own prompt only.
    #[serde(default)]
    dangerous: bool,
}

#[derive(Serialize)]
pub(super) struct Sent {
    id: String,
}

pub(super) async fn send(
    State(fleet): State<Arc<Fleet>>,
    Path(device): Path<String>,
    Json(order): Json<Order>,
) -> Result<Json<Sent>, Error> {
    let action = match order {
        Order::Action(action) => action,
        Order::Install(InstallOrder { install }) => {
            if install.dangerous {
                let why = "gateways take unsigned snaps at their own prompt only";
                return Err(Error::invalid("dangerous", why));
            }
            let snap = fleet.store.snap(&install.sha256)?;
            let base = fleet.store.device(&device)?.base_url;
            Action::App(AppRequest::InstallUrl {
                url: format!("{base}/v1/artifacts/{}", snap.sha256),
                sha256: protocol::keys::from_hex(&snap.sha256),
                dangerous: false,
            })
        }
    };
    Ok(Json(Sent { id: fleet.command(&device, action)? }))
}

pub(super) async fn one(
    State(fleet): State<Arc<Fleet>>,
    Path(id): Path<String>,
) -> Result<Json<CommandRecord>, Error> {
    Ok(Json(fleet.store.command(&id)?))
}
