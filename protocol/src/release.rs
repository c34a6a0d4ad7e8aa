//! The release manifest: what a release is, signed offline by the `release` role.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Bytes per chunk of a slot image: 1 MiB.
pub const CHUNK_SIZE: u32 = 1 << 20;
/// Context of the envelope (COSE external_aad), so that no signature serves for another kind of message.
pub const CONTEXT: &[u8] = b"holdfast/release/1";

/// Payload of the signed release manifest, CBOR map with text keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseManifest {
    /// Product id, `holdfast`.
    pub product: String,
    /// Boards that the image runs on.
    pub boards: Vec<String>,
    /// Version for people.
    pub version: String,
    /// Grows with every release; decides what is newer.
    pub sequence: u64,
    /// Lowest sequence that may still run once this release is confirmed.
    pub floor: u64,
    /// Unix seconds of signing.
    pub created: u64,
    /// Size of the slot image in bytes, a multiple of [`CHUNK_SIZE`].
    pub image_size: u64,
    /// SHA-256 of the slot image.
    pub image_digest: ByteBuf,
    /// SHA-256 of each chunk, 32 bytes each, concatenated.
    pub chunk_digests: ByteBuf,
    /// SHA-256 of the payload container that holds the whole image (a delta is another container; not trusted).
    pub payload_digest: ByteBuf,
    /// Size of that container in bytes.
    pub payload_size: u64,
    /// Boots that the trial may use, 1 to 7.
    pub trial_attempts: u8,
    /// Seconds that the health gate waits.
    pub health_timeout_s: u32,
    /// Whether the fleet must be reached for the release to be healthy (where the device has one).
    pub fleet_required: bool,
    /// Notes for people.
    pub notes: String,
}

/// `/etc/holdfast/release.json`: what this root file system is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// Product id, `holdfast`.
    pub product: String,
    /// Board that the image was built for.
    pub board: String,
    /// Version for people.
    pub version: String,
    /// Sequence of the release.
    pub sequence: u64,
    /// Floor of the release.
    pub floor: u64,
    /// Unix seconds; the clock is never below it.
    pub build_time: u64,
    /// Seconds that the health gate waits.
    pub health_timeout_s: u32,
    /// Whether the fleet must be reached (where the device has one).
    pub fleet_required: bool,
}
