//! Snaps: kept as files; the signature is shown here and enforced on the device.

use crate::artifacts::Upload;
use crate::clock::now;
use crate::core::{Fleet, MAX_SNAP};
use crate::error::Error;
use crate::feed::News;
use crate::store::Snap;
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use protocol::keys::KeySet;
use protocol::snap::{FOOTER, SnapClaim, locate, open};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Longest name kept.
const MAX_NAME: usize = 80;
/// First bytes of a squashfs.
const SQUASHFS: &[u8; 4] = b"hsqs";
/// Bytes hashed at a time.
const HASH_CHUNK: usize = 1 << 20;

#[derive(Debug, Default, Deserialize)]
pub(super) struct NameQuery {
    #[serde(default)]
    name: String,
}

pub(super) async fn list(State(fleet): State<Arc<Fleet>>) -> Result<Json<Vec<Snap>>, Error> {
    Ok(Json(fleet.store.snaps()?))
}

pub(super) async fn add(
    State(fleet): State<Arc<Fleet>>,
    Query(query): Query<NameQuery>,
    body: Body,
) -> Result<Json<Snap>, Error> {
    let upload = fleet.artifacts.receive("snap", body, MAX_SNAP).await?;
    let shared = fleet.clone();
    // Hashing hundreds of megabytes would hold up other requests.
    let snap = tokio::task::spawn_blocking(move || keep(&shared, &upload, &query.name))
        .await
        .map_err(|e| Error::Internal(e.to_string()))??;
    fleet.audit("admin", "upload snap", &format!("{} {}", snap.name, snap.sha256));
    fleet.feed.tell(News::Snaps);
    Ok(Json(snap))
}

fn keep(fleet: &Fleet, upload: &Upload, name: &str) -> Result<Snap, Error> {
    let file = File::open(upload.path()).map_err(Error::file("open", upload.path()))?;
    let mut magic = [0; 4];
    file.read_exact_at(&mut magic, 0)
        .map_err(|_| Error::invalid("snap", "the file is shorter than any squashfs"))?;
    if &magic != SQUASHFS {
        return Err(Error::invalid("snap", "the file is no squashfs"));
    }
    let claim = claim(&file, upload.size, fleet.signer.keys());
    let (signed, signature) = match &claim {
        Ok(Some(_)) => (true, "signed by an app key of this fleet".into()),
        Ok(None) => (false, "not signed".into()),
        Err(error) => (false, error.to_string()),
    };
    let claimed = claim.ok().flatten().and_then(|claim| claim.name);
    let name: String = match claimed.as_deref().unwrap_or(name) {
        "" => "snap",
        name => name,
    }
    .chars()
    .filter(|c| !c.is_control())
    .take(MAX_NAME)
    .collect();
    let snap = Snap {
        sha256: upload.sha256.clone(),
        name,
        size: upload.size,
        signature,
        signed,
        uploaded: now(),
    };
    fleet.artifacts.keep(upload)?;
    fleet.store.add_snap(&snap)?;
    Ok(snap)
}

/// The claim of a snap's trailer, with the digest compared; `None`: unsigned.
fn claim(file: &File, size: u64, keys: &KeySet) -> Result<Option<SnapClaim>, Error> {
    let read = |e: std::io::Error| Error::invalid("snap", e.to_string());
    let Some(at) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
    let mut footer = [0; FOOTER];
    file.read_exact_at(&mut footer, at).map_err(read)?;
    let Some(range) = locate(size, &footer)? else { return Ok(None) };
    let mut envelope = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut envelope, range.start).map_err(read)?;
    let claim = open(&envelope, range.start, keys)?;
    let mut hasher = Sha256::new();
    let mut rest = file.take(range.start);
    let mut buffer = vec![0; HASH_CHUNK];
    loop {
        match rest.read(&mut buffer).map_err(read)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    if hasher.finalize().as_slice() != claim.sha256.as_slice() {
        return Err(protocol::Error::SnapMismatch("sha256").into());
    }
    Ok(Some(claim))
}
