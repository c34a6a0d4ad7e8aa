//! A release: the signed manifest and the payload container of a slot image.

use crate::{Error, ImageSpec, Result, rootfs::PRODUCT};
use protocol::{
    envelope,
    keys::{KeySet, PrivateKey},
    payload::{self, Decoder, Index, Kind},
    release::{CHUNK_SIZE, CONTEXT, ReleaseManifest},
};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use std::{fs, path::Path};

/// Compression of the chunks. A level above brings little on chunks of 1 MiB and costs the builder
/// minutes.
const LEVEL: i32 = 15;

/// The payload container and the manifest, not yet signed, of a slot image.
pub fn make(
    spec: &ImageSpec,
    slot_image: &[u8],
    created: u64,
) -> Result<(ReleaseManifest, Vec<u8>)> {
    let container = payload::encode(slot_image, LEVEL)?;
    let digests = slot_image.chunks(CHUNK_SIZE as usize).flat_map(Sha256::digest);
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

/// What [`verify`] found to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The manifest.
    pub manifest: ReleaseManifest,
    /// Chunks of the payload that were decoded and compared; `None` without a payload.
    pub chunks: Option<u32>,
}

/// The manifest **without any verification**, and the ids of the keys that it names.
pub fn inspect(path: &Path) -> Result<(ReleaseManifest, Vec<String>)> {
    let bytes = read_manifest(path)?;
    let wrong = |e: protocol::error::Error| Error::input(format!("{}: {e}", path.display()));
    let payload = envelope::unverified_payload(&bytes).map_err(wrong)?;
    let manifest = envelope::decode(payload, "release manifest").map_err(wrong)?;
    let keys = envelope::named_keys(&bytes).map_err(wrong)?;
    Ok((manifest, keys.iter().map(ToString::to_string).collect()))
}

/// What becomes of the signatures that a manifest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// They go; these keys are all.
    Anew,
    /// They go; further keys will be added.
    Partial,
    /// They stay.
    Add,
}

/// Signs the manifest in `path` with the given keys and writes it to `to`.
pub fn sign(path: &Path, keys: &[PrivateKey], how: Signing, to: &Path) -> Result<ReleaseManifest> {
    let (manifest, _) = inspect(path)?;
    let keys: Vec<&PrivateKey> = keys.iter().collect();
    let bytes = match how {
        Signing::Anew => manifest.sign(&keys)?,
        Signing::Partial => partially(&manifest, &keys)?,
        Signing::Add => {
            let bytes = read_manifest(path)?;
            if !envelope::takes_signatures(&bytes) {
                let path = path.display();
                return Err(Error::input(format!(
                    "{path}: signed by one key as the only one; the first signs with --partial"
                )));
            }
            let add = |bytes: Vec<u8>, key: &&PrivateKey| {
                envelope::add_signature(&bytes, CONTEXT, key)
                    .map_err(|e| Error::input(format!("{}: key {}: {e}", path.display(), key.id())))
            };
            keys.iter().try_fold(bytes, add)?
        }
    };
    fs::write(to, bytes).map_err(Error::file("write", to))?;
    Ok(manifest)
}

/// Signed by these keys, so that others can add theirs.
pub fn partially(manifest: &ReleaseManifest, keys: &[&PrivateKey]) -> Result<Vec<u8>> {
    manifest.validate()?;
    let payload = envelope::to_cbor(manifest);
    let (first, rest) = keys.split_first().ok_or_else(|| Error::input("no key to sign with"))?;
    let bytes = envelope::begin_signing(&payload, CONTEXT, first)?;
    Ok(rest.iter().try_fold(bytes, |bytes, key| envelope::add_signature(&bytes, CONTEXT, key))?)
}

/// Verifies a manifest as a device does, and every chunk of its payload where one is given.
pub fn verify(path: &Path, container: Option<&Path>, keys: &KeySet) -> Result<Verified> {
    let manifest = ReleaseManifest::open(&read_manifest(path)?, keys)?;
    let chunks = container.map(|container| verify_payload(&manifest, container)).transpose()?;
    Ok(Verified { manifest, chunks })
}

fn verify_payload(manifest: &ReleaseManifest, path: &Path) -> Result<u32> {
    let wrong = |what: String| Error::input(format!("{}: {what}", path.display()));
    let size = path.metadata().map_err(Error::file("read", path))?.len();
    if size != manifest.payload_size {
        return Err(wrong(format!("{size} bytes, the manifest says {}", manifest.payload_size)));
    }
    let bytes = fs::read(path).map_err(Error::file("read", path))?;
    if digest(&bytes) != manifest.payload_digest {
        return Err(wrong("its digest is not the manifest's".into()));
    }
    let index_size = Index::len_for(manifest.chunks());
    let index = Index::parse(Kind::Whole, bytes.get(..index_size).unwrap_or_default())?;
    let mut decoder = Decoder::new()?;
    let mut chunk = Box::new([0; CHUNK_SIZE as usize]);
    let mut image = Sha256::new();
    for number in 0..manifest.chunks() {
        let range = index.range(number).ok_or_else(|| wrong(format!("no chunk {number}")))?;
        let compressed = bytes.get(range.start as usize..range.end as usize);
        let compressed = compressed.ok_or_else(|| wrong(format!("chunk {number} is cut off")))?;
        decoder.decode(compressed, &mut chunk)?;
        if manifest.chunk_digest(number).map(|d| &d[..]) != Some(&Sha256::digest(&chunk[..])[..]) {
            return Err(wrong(format!("chunk {number} is not what the manifest says")));
        }
        image.update(&chunk[..]);
    }
    if image.finalize()[..] != manifest.image_digest[..] {
        return Err(wrong("the chunks do not make the manifest's image".into()));
    }
    Ok(manifest.chunks())
}

fn read_manifest(path: &Path) -> Result<Vec<u8>> {
    let size = path.metadata().map_err(Error::file("read", path))?.len();
    let limit = envelope::MAX_ENVELOPE as u64;
    if size > limit {
        return Err(Error::TooLarge { what: path.display().to_string(), size, limit });
    }
    fs::read(path).map_err(Error::file("read", path))
}
