//! The HTTP API for people and programs, under `/api/v1`, JSON. Errors are
//! `{"code": …, "message": …}`; codes are those of [`crate::error::Error`].
//!
//! | method and path | what |
//! |---|---|
//! | GET `devices`, `devices/{id}` | devices; one with history and commands |
//! | POST `devices/{id}/commands` | `protocol::fleet::Action` or `{"install-snap": {…}}` |
//! | POST `devices/{id}/revoke` | its certificate is no longer accepted |
//! | PUT `devices/{id}/policy` | when it may update: `protocol::policy::UpdatePolicy` |
//! | GET `commands/{id}` | a command and its result |
//! | GET, POST `releases` | releases; POST a signed manifest (bytes) |
//! | PUT `releases/{digest}/payload` | its payload (bytes) |
//! | GET `deployments`, `deployments/{id}` | deployments and how far their devices are |
//! | POST `deployments` | `{"release": …, "devices": ["id", …] or "all", "ttl": …}` |
//! | GET, POST `tokens` | enrolment tokens; `{"ttl", "host"}` |
//! | GET, POST `snaps?name=` | snaps; POST a file (bytes) |
//! | GET `audit`, GET `server` | audit log; addresses and CA of this server |
//! | GET `events` | server-sent events: what changed |

pub mod auth;
mod commands;
mod deployments;
mod devices;
mod events;
mod releases;
mod snaps;
mod tokens;

pub use deployments::{All, Targets, Wish};
pub use devices::DeviceDetail;
pub use tokens::{MAX_TOKEN_TTL_S, TokenAnswer};

use crate::core::Fleet;
use crate::error::Error;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post, put};
use axum::{Json, Router, middleware};
use std::sync::Arc;

/// Largest JSON body in bytes.
const MAX_JSON: usize = 256 * 1024;

/// The routes, all behind [`auth::require`].
pub fn router(fleet: Arc<Fleet>) -> Router {
    let api = Router::new()
        .route("/devices", get(devices::list))
        .route("/devices/{id}", get(devices::one))
        .route("/devices/{id}/commands", post(commands::send))
        .route("/devices/{id}/revoke", post(devices::revoke))
        .route("/devices/{id}/policy", put(devices::policy))
        .route("/commands/{id}", get(commands::one))
        .route("/releases", get(releases::list).post(releases::add))
        .route("/releases/{digest}/payload", put(releases::payload))
        .route("/deployments", get(deployments::list).post(deployments::add))
        .route("/deployments/{id}", get(deployments::one))
        .route("/tokens", get(tokens::list).post(tokens::add))
        .route("/snaps", get(snaps::list).post(snaps::add))
        .route("/audit", get(audit))
        .route("/server", get(server))
        .route("/events", get(events::stream))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .layer(middleware::from_fn_with_state(fleet.clone(), auth::require))
        .with_state(fleet);
    Router::new().nest("/api/v1", api)
}

async fn unknown(uri: axum::http::Uri) -> Error {
    Error::not_found("API path", uri.path())
}

/// Entries of the audit log that are shown.
const AUDIT_SHOWN: u32 = 500;

async fn audit(
    State(fleet): State<Arc<Fleet>>,
) -> Result<Json<Vec<crate::store::AuditEntry>>, Error> {
    Ok(Json(fleet.store.audit_entries(AUDIT_SHOWN)?))
}

async fn server(State(fleet): State<Arc<Fleet>>) -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "fleet": fleet.config.fleet,
        "hosts": fleet.config.hosts,
        "device_port": fleet.device_port,
        "mqtt_port": fleet.mqtt_port,
        "ca": fleet.ca.ca_pem(),
    }))
}
