//! What devices reach over HTTPS: enrolment, and artefacts and deltas with range requests.
//!
//! No client certificate is asked for: a device has none before it enrols, and what is fetched is
//! checked against signed digests by the device.

mod artifacts;
mod deltas;
mod enroll;
mod range;

use crate::core::Fleet;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use std::sync::Arc;

/// Largest enrolment request in bytes.
const MAX_ENROLL: usize = 32 * 1024;

/// The routes.
pub fn router(fleet: Arc<Fleet>) -> Router {
    Router::new()
        .route("/v1/enroll", post(enroll::enroll).layer(DefaultBodyLimit::max(MAX_ENROLL)))
        .route("/v1/artifacts/{sha256}", get(artifacts::send))
        .route("/v1/deltas/{build}/{release}", get(deltas::send))
        .with_state(fleet)
}
