//! Releases of the simulated vendor: slot images of a few chunks, signed, with their payload, and
//! what happens when one is booted. Made once; worlds share them.

use crate::content::Content;
use protocol::delta::{PATH, build_name};
use protocol::fleet::{Assignment, Desired};
use protocol::keychain::KeyChain;
use protocol::keys::{KeySet, PrivateKey, to_hex};
use protocol::payload::{self, Index, Kind};
use protocol::release::{BuildInfo, CHUNK_SIZE, ReleaseManifest};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// Bytes of a chunk.
pub const CHUNK: usize = CHUNK_SIZE as usize;
/// Chunks that a slot has room for.
pub const SLOT_CHUNKS: u32 = 3;
/// Boots that a trial may use.
pub const ATTEMPTS: u8 = 2;
/// Version of the key set in every image.
pub const FIRST_KEYS: u64 = 1;
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
    /// What it is fetched from.
    pub payload: Rc<Container>,
    keys: u64,
}

/// Chunks as they are served.
pub struct Container {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Of whole chunks, or of changes to another release.
    pub kind: Kind,
    index: Index,
}

/// What the fleet has of changes from what runs to what it has assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Deltas {
    /// None.
    #[default]
    None,
    /// Good ones.
    Good,
    /// Such that decode to something else.
    Wrong,
}

thread_local! {
    /// Deltas that were made once, by the sequences of both releases.
    static MADE: RefCell<BTreeMap<(u64, u64), Rc<Container>>> = RefCell::default();
}

impl Container {
    fn new(kind: Kind, bytes: Vec<u8>, chunks: usize) -> Rc<Self> {
        let length = Index::len_for(chunks as u32);
        let index = Index::parse(kind, &bytes[..length]).expect("we have just made it");
        Rc::new(Self { bytes, kind, index })
    }

    /// The chunk that a range holds; `None`: it is no chunk's.
    pub fn chunk_at(&self, range: &Range<u64>) -> Option<u32> {
        (0..self.index.chunks()).find(|chunk| self.index.range(*chunk).as_ref() == Some(range))
    }
}

/// Keys that never change are those of the first set; the others are one for each set.
fn key(set: u64) -> PrivateKey {
    PrivateKey::from_seed(&[set as u8; 32])
}

fn key_set(version: u64) -> KeySet {
    let [root, of_set] = [FIRST_KEYS, version].map(|set| key(set).public());
    KeySet::simple(version, &root, &of_set, &of_set, &root)
}

fn signed(version: u64) -> Vec<u8> {
    key_set(version).sign(&[&key(FIRST_KEYS)]).expect("it is valid")
}

/// The signed key set of every image.
pub fn image_keys() -> Vec<u8> {
    signed(FIRST_KEYS)
}

/// What leads from it to the set of that version.
pub fn key_chain(version: u64) -> Vec<u8> {
    let successors = FIRST_KEYS + 1..=version;
    successors.fold(KeyChain::default(), |chain, set| chain.extended(&signed(set))).encode()
}

impl Release {
    /// A release whose chunks are noise of these seeds, so that releases can share chunks. The
    /// first chunk also holds the sequence: no two kernels are the same, but they may be alike.
    pub fn new(sequence: u64, floor: u64, fill: &[u8], behaviour: Behaviour) -> Self {
        Self::signed(FIRST_KEYS, sequence, floor, fill, behaviour)
    }

    /// [`Release::new`], signed and assigned with the keys of that set.
    pub fn signed(keys: u64, sequence: u64, floor: u64, fill: &[u8], behaviour: Behaviour) -> Self {
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
        let mut chunks: Vec<Vec<u8>> = fill.iter().map(|seed| noise(*seed)).collect();
        chunks[0][..8].copy_from_slice(&sequence.to_le_bytes());
        let image = chunks.concat();
        let payload = payload::encode(&image, 1).expect("a few chunks compress");
        let payload = Container::new(Kind::Whole, payload, chunks.len());
        let manifest = manifest(&build, &image, &chunks).sign(&[&key(keys)]).expect("it is valid");
        let chunks = chunks.into_iter().map(Content::from).collect();
        Self { build, chunks, behaviour, manifest, payload, keys }
    }

    /// The sequence.
    pub fn sequence(&self) -> u64 {
        self.build.sequence
    }

    /// Where its delta from what runs can be had.
    pub fn delta_address(&self, runs: &Release) -> String {
        let build = &runs.build;
        let from = build_name(&build.board, &build.version, build.sequence);
        format!("{PATH}/{from}/{}", to_hex(&Sha256::digest(&self.manifest)))
    }

    /// The delta to it from another release, as the fleet makes it.
    pub fn delta_from(&self, old: &Release) -> Rc<Container> {
        MADE.with_borrow_mut(|made| {
            let delta = made.entry((old.sequence(), self.sequence())).or_insert_with(|| {
                let made = delta::make(&old.payload.bytes, &self.payload.bytes, |_, _| true);
                let bytes = made.ok().flatten().expect("both payloads are ours");
                Container::new(Kind::Delta, bytes, self.chunks.len())
            });
            delta.clone()
        })
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
        let assignment = assignment.sign(&[&key(self.keys)]).expect("it is valid");
        let manifest = self.manifest.clone();
        protocol::envelope::to_cbor(&Desired {
            assignment: assignment.into(),
            manifest: manifest.into(),
        })
    }
}

fn noise(seed: u8) -> Vec<u8> {
    let mut noise = vec![0; CHUNK];
    fastrand::Rng::with_seed(seed.into()).fill(&mut noise);
    noise
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
