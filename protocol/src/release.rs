//! The release manifest: what a release is, signed offline by the `release` role.

use crate::checks::Check;
use crate::envelope;
use crate::error::Error;
use crate::keys::{KeySet, PrivateKey, RoleName};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Bytes per chunk of a slot image: 1 MiB.
pub const CHUNK_SIZE: u32 = 1 << 20;
/// Context of the envelope (COSE external_aad), so that no signature serves for another kind of
/// message.
pub const CONTEXT: &[u8] = b"holdfast/release/1";
/// Most chunks of a slot image: a slot partition has 128 MiB.
pub const MAX_CHUNKS: u32 = 128;
/// Longest product, board, version; bytes.
pub const MAX_NAME: usize = 64;
/// Longest notes; bytes.
pub const MAX_NOTES: usize = 8192;
/// Most boards that one image serves.
pub const MAX_BOARDS: usize = 16;
/// Most boots that a trial may use: one decimal digit of the boot environment.
pub const MAX_TRIAL_ATTEMPTS: u8 = 7;
/// Longest wait of the health gate, one hour in seconds: a trial must end some time.
pub const MAX_HEALTH_TIMEOUT_S: u32 = 3600;
/// Bytes of a SHA-256.
const DIGEST: usize = 32;

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
    /// SHA-256 of the payload container that holds the whole image (a delta is another container;
    /// not trusted).
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

impl ReleaseManifest {
    /// Validates and signs.
    pub fn sign(&self, keys: &[&PrivateKey]) -> Result<Vec<u8>, Error> {
        self.validate()?;
        envelope::sign_as(self, CONTEXT, keys)
    }

    /// Verifies, decodes and validates a received manifest.
    pub fn open(bytes: &[u8], keys: &KeySet) -> Result<Self, Error> {
        let role = keys.role(RoleName::Release);
        let manifest: Self = envelope::open_as(bytes, CONTEXT, &role, "release manifest")?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u32 {
        (self.image_size / u64::from(CHUNK_SIZE)) as u32
    }

    /// SHA-256 of a chunk; `None` when there is no such chunk.
    pub fn chunk_digest(&self, chunk: u32) -> Option<&[u8; DIGEST]> {
        let start = chunk as usize * DIGEST;
        self.chunk_digests.get(start..start + DIGEST)?.try_into().ok()
    }

    /// Whether the fields are within limits and agree with each other.
    pub fn validate(&self) -> Result<(), Error> {
        let names_fit = self
            .boards
            .iter()
            .chain([&self.product, &self.version])
            .all(|name| is_name(name, MAX_NAME));
        let size = self.image_size;
        let chunk = u64::from(CHUNK_SIZE);
        let rules = [
            (names_fit, "product, board or version: 1 to 64 printable ASCII bytes"),
            ((1..=MAX_BOARDS).contains(&self.boards.len()), "number of boards"),
            (self.notes.len() <= MAX_NOTES, "notes are too long"),
            (self.sequence > 0, "sequence 0"),
            (self.floor <= self.sequence, "floor above the own sequence"),
            (size > 0 && size.is_multiple_of(chunk), "image size is not whole chunks"),
            (size <= u64::from(MAX_CHUNKS) * chunk, "image larger than a slot"),
            (self.image_digest.len() == DIGEST, "length of the image digest"),
            (self.payload_digest.len() == DIGEST, "length of the payload digest"),
            (
                self.chunk_digests.len() as u64 == size / chunk * DIGEST as u64,
                "number of chunk digests",
            ),
            ((1..=MAX_TRIAL_ATTEMPTS).contains(&self.trial_attempts), "trial attempts"),
            ((1..=MAX_HEALTH_TIMEOUT_S).contains(&self.health_timeout_s), "health time-out"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, why)) => Err(Error::BadManifest((*why).into())),
        }
    }
}

/// Printable ASCII without control characters, so that it can be shown anywhere.
fn is_name(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b))
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
    /// What else must hold on the trial boot, at most [`crate::checks::MAX_CHECKS`].
    #[serde(default)]
    pub checks: Vec<Check>,
}
