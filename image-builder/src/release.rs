//! A release: the signed manifest and the payload container of a slot image.

use crate::{ImageSpec, Result, rootfs::PRODUCT};
use protocol::{
    payload,
    release::{CHUNK_SIZE, ReleaseManifest},
};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};


/// Compression of the chunks. A level above brings little on chunks of 1 MiB and costs the builder minutes.
const LEVEL: i32 = 15;

/// The payload container and the manifest, not yet signed, of a slot image.
pub fn make(spec: &ImageSpec, slot_image: &[u8], created: u64) -> Result<(ReleaseManifest, Vec<u8>)> {
    let container = payload::encode(slot_image, LEVEL)?;
    let digests = slot_image.chunks(CHUNK_SIZE as usize).flat_map(|chunk| Sha256::digest(chunk));
    let manifest = ReleaseManifest {
        product: PRODUCT.into(),
        boards: vec![spec.board.clone()],
        version: spec.version.clone(),
        sequence: spec.sequence,
        floor: spec.floor,
        created,
        image_size: slot_image.len() as u64,
        image_digest: digest(slot_image),
        chunk_digests: ByteBuf::from(digests.collect::<Vec<u8>>()),
        payload_digest: digest(&container),
        payload_size: container.len() as u64,
        trial_attempts: spec.trial_attempts,
        health_timeout_s: spec.health_timeout_s,
        fleet_required: spec.fleet_required,
        notes: spec.notes.clone(),
    };
    manifest.validate()?;
    Ok((manifest, container))
}

fn digest(bytes: &[u8]) -> ByteBuf {
    ByteBuf::from(Sha256::digest(bytes).to_vec())
}
