//! `GET` and `HEAD` of the delta from what a device runs to what it shall run.

use super::artifacts::send_file;
use crate::core::Fleet;
use crate::deltas::Standing;
use crate::error::Error;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use std::sync::Arc;

/// A pair's delta may be dropped and made again, by another version of the server.
const CACHE: &str = "public, max-age=3600";
/// Seconds after which to ask again.
const RETRY_AFTER: u32 = 2;

/// `GET /v1/deltas/{build}/{release}`: 202 while it is being made, 404 when there is none.
pub async fn send(
    State(fleet): State<Arc<Fleet>>,
    Path((build, release)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response<Body>, Error> {
    match fleet.delta(&build, &release)? {
        Standing::Ready { path, .. } => {
            fleet.deltas.touch(&path);
            send_file(&path, &format!("{build}-{release}"), CACHE, &method, &headers).await
        }
        Standing::Making { .. } => Response::builder()
            .status(StatusCode::ACCEPTED)
            .header(header::RETRY_AFTER, RETRY_AFTER)
            .body(Body::empty())
            .map_err(|e| Error::Internal(e.to_string())),
        Standing::None => Err(Error::not_found("delta", &build)),
    }
}
