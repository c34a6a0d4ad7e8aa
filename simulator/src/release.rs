//! Releases of the simulated vendor: slot images of a few chunks, signed, with their payload, and
//! what happens when one is booted. Made once; worlds share them.

use crate::disk::Content;
use protocol::fleet::{Assignment, Desired};
use protocol::keys::{KeySet, PrivateKey};
use protocol::payload::{self, Index, Kind};
use protocol::release::{BuildInfo, CHUNK_SIZE, ReleaseManifest};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Bytes of a chunk.
pub const CHUNK: usize = CHUNK_SIZE as usize;
/// Chunks that a slot has room for.
pub const SLOT_CHUNKS: u32 = 3;
/// Boots that a trial may use.
pub const ATTEMPTS: u8 = 2;
/// Seconds that an assignment is good for.
const ASSIGNMENT_S: u64 = 30 * 24 * 3600;

/// What happens when a release is booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// All is well.
    Healthy,
    /// It boots; the health gate never opens.
    Sick,
    /// The kernel panics before init could do anything.
    Panics,
    /// It stands still until the watchdog resets the machine.
    Hangs,
    /// The boot loader finds that its kernel is not what the FIT says.
    DoesNotLoad,
}

/// One release.
pub struct Release {
    /// What the root file system says of itself.
    pub build: BuildInfo,
    /// The slot image. The first chunk is what the boot loader checks, the others are the root.
    pub chunks: Vec<Content>,
    /// What booting it does.
    pub behaviour: Behaviour,
    /// The signed manifest.
    pub manifest: Vec<u8>,
    /// The container.
    pub payload: Vec<u8>,
    index: Index,
}

/// The one key of every role; attacks on keys are tested elsewhere.
fn key() -> PrivateKey {
    PrivateKey::from_seed(&[1; 32])
}

/// The key set of every device.
pub fn keys() -> KeySet {
    let public = key().public();
    KeySet::simple(1, &public, &public, &public, &public)
}

impl Release {
    /// A release whose chunks are filled with these bytes, so that releases can share chunks. The
    /// first chunk also holds the sequence: no two kernels are the same.
    pub fn new(sequence: u64, floor: u64, fill: &[u8], behaviour: Behaviour) -> Self {
        let build = BuildInfo {
            product: "holdfast".into(),
            board: "rpi3".into(),
            version: format!("{sequence}.0.0"),
            sequence,
            floor,
            build_time: 0,
            health_timeout_s: 60,
            fleet_required: false,
            checks: Vec::new(),
        };
        let mut chunks: Vec<Vec<u8>> = fill.iter().map(|byte| vec![*byte; CHUNK]).collect();
        chunks[0][..8].copy_from_slice(&sequence.to_le_bytes());
        let image = chunks.concat();
        let payload = payload::encode(&image, 1).expect("a few chunks compress");
        let length = Index::len_for(chunks.len() as u32);
        let index = Index::parse(Kind::Whole, &payload[..length]).expect("we have just made it");
        let manifest = manifest(&build, &image, &chunks).sign(&[&key()]).expect("it is valid");
        let chunks = chunks.into_iter().map(Content::from).collect();
        Self { build, chunks, behaviour, manifest, payload, index }
    }

    /// The sequence.
    pub fn sequence(&self) -> u64 {
        self.build.sequence
    }

    /// The chunk that a range of the payload holds; `None`: it is no chunk's.
    pub fn chunk_at(&self, range: &Range<u64>) -> Option<u32> {
        (0..self.chunks.len() as u32).find(|chunk| self.index.range(*chunk).as_ref() == Some(range))
    }

    /// The body of `desired` that assigns it.
    pub fn desired(&self, counter: u64, now: u64) -> Vec<u8> {
        let assignment = Assignment {
            fleet: "home".into(),
            device: "gw".into(),
            counter,
            issued: now,
            expires: now + ASSIGNMENT_S,
            release: Sha256::digest(&self.manifest).to_vec().into(),
            sources: vec![source(self.sequence())],
            policy: Default::default(),
        };
        let assignment = assignment.sign(&[&key()]).expect("it is valid");
        let manifest = self.manifest.clone();
        protocol::envelope::to_cbor(&Desired {
            assignment: assignment.into(),
            manifest: manifest.into(),
        })
    }
}

/// Where the payload of a release can be had.
pub fn source(sequence: u64) -> String {
    format!("/payload/{sequence}")
}

fn manifest(build: &BuildInfo, image: &[u8], chunks: &[Vec<u8>]) -> ReleaseManifest {
    let digest = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
    ReleaseManifest {
        product: build.product.clone(),
        boards: vec![build.board.clone()],
        version: build.version.clone(),
        sequence: build.sequence,
        floor: build.floor,
        created: 0,
        image_size: image.len() as u64,
        image_digest: digest(image).into(),
        chunk_digests: chunks.iter().flat_map(|c| digest(c)).collect::<Vec<_>>().into(),
        payload_digest: vec![0; 32].into(),
        payload_size: 0,
        trial_attempts: ATTEMPTS,
        health_timeout_s: 60,
        fleet_required: false,
        notes: String::new(),
    }
}
