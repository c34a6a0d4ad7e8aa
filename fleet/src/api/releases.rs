//! Releases: the manifest first, so that the payload's size and digest are known before its first
//! byte.

use crate::clock::now;
use crate::core::{Fleet, MAX_MANIFEST};
use crate::error::Error;
use crate::feed::News;
use crate::store::Release;
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use std::sync::Arc;

pub(super) async fn list(State(fleet): State<Arc<Fleet>>) -> Result<Json<Vec<Release>>, Error> {
    Ok(Json(fleet.store.releases()?))
}

pub(super) async fn add(
    State(fleet): State<Arc<Fleet>>,
    body: Body,
) -> Result<Json<Release>, Error> {
    let manifest = to_bytes(body, MAX_MANIFEST as usize)
        .await
        .map_err(|_| Error::TooLarge { what: "manifest", limit: MAX_MANIFEST })?;
    Ok(Json(fleet.add_release(&manifest)?))
}

pub(super) async fn payload(
    State(fleet): State<Arc<Fleet>>,
    Path(digest): Path<String>,
    body: Body,
) -> Result<Json<Release>, Error> {
    let release = fleet.store.release(&digest)?;
    let expected = release.payload_size;
    let upload = fleet.artifacts.receive("payload", body, expected).await?;
    if upload.size < expected {
        return Err(Error::PayloadTruncated { got: upload.size, expected });
    }
    if upload.sha256 != release.payload_digest {
        return Err(Error::PayloadMismatch {
            got: upload.sha256.clone(),
            expected: release.payload_digest,
        });
    }
    fleet.artifacts.keep(&upload)?;
    fleet.store.payload_arrived(&upload.sha256)?;
    fleet.store.audit(now(), "admin", "upload payload", &release.version)?;
    fleet.feed.tell(News::Releases);
    Ok(Json(fleet.store.release(&digest)?))
}
