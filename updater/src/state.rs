//! What survives a power cut. Transitions are named after their intent and touch no disk; the
//! machine saves after each.
//!
//! Invariants: `highest` and `floor` and `counter` never go down; the boot environment keeps
//! `highest` and `floor` as well and the higher of both places wins, so that a lost state allows
//! nothing that was refused before.

use protocol::control::{Failure, SlotName};
use protocol::fleet::{SlotContent, SlotContents, UpdateStatus};
use protocol::release::ReleaseManifest;
use serde::{Deserialize, Serialize};

/// Most failed releases that are remembered.
pub const MAX_FAILED: usize = 16;

/// Trials of one release in a row that may be interrupted by the power. A release that takes the
/// power down with it must end some time.
pub const MAX_INTERRUPTIONS: u32 = 3;

/// A SHA-256 as hexadecimal digits: here, of a manifest's envelope, which names the release.
pub type ReleaseId = String;

/// The whole durable state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Highest sequence that was confirmed on this device.
    pub highest: u64,
    /// Highest floor of a release that was confirmed on this device.
    pub floor: u64,
    /// Neither this state nor the environment said how far the device had come; nothing is
    /// installed until a person's word makes the running release the measure.
    pub marks_lost: bool,
    /// Highest counter of an assignment that verified.
    pub counter: u64,
    /// SHA-256 of that assignment's envelope, hexadecimal.
    pub assignment: String,
    /// Which chunks of which release are in the slot.
    pub progress: Option<Progress>,
    /// A release that was handed to the boot loader and has not been judged yet.
    pub staged: Option<Staged>,
    /// The release that was confirmed last.
    pub confirmed: Option<ReleaseName>,
    /// Releases that fell back or were rolled back, oldest first.
    pub failed: Vec<FailedRelease>,
    /// The release whose trial the power ended, and how often in a row.
    pub interrupted: Option<(ReleaseId, u32)>,
    /// What the slots hold.
    pub slots: SlotContents,
    /// The last report, shown again after a restart.
    pub last: Option<UpdateStatus>,
}

/// What a release is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseName {
    /// Digest of the manifest's envelope.
    pub id: ReleaseId,
    /// Version for people.
    pub version: String,
    /// Sequence.
    pub sequence: u64,
}

/// Chunks in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The release.
    pub id: ReleaseId,
    /// Slot that is written.
    pub slot: SlotName,
    /// One character a chunk, `1`: written and synced.
    pub done: String,
    /// Bytes fetched over the network so far.
    pub fetched: u64,
    /// Chunks of the running slot that were looked through for missing ones.
    #[serde(default)]
    pub looked: u32,
    /// Missing chunks that were found there, each with its place.
    #[serde(default)]
    pub found: Vec<(u32, u32)>,
}

/// A release on its way through the boot loader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The release.
    pub release: ReleaseName,
    /// Its floor, raised when it is confirmed.
    pub floor: u64,
    /// Slot that holds it.
    pub slot: SlotName,
    /// Boots that the trial may use.
    pub attempts: u8,
    /// Boot during which it was staged.
    pub boot_id: String,
}

/// A release that is not tried again until told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRelease {
    /// The release.
    pub release: ReleaseName,
    /// Why.
    pub failure: Failure,
}

impl State {
    /// A slot holds this release now, or a part of it.
    pub fn holds(&mut self, slot: SlotName, version: &str, sequence: u64, whole: bool) {
        self.slots.set(slot, SlotContent { version: version.into(), sequence, whole });
    }

    /// A release is about to be staged.
    pub fn stage(&mut self, staged: Staged) {
        self.staged = Some(staged);
    }

    /// The staged release was confirmed.
    pub fn confirm(&mut self) {
        if let Some(staged) = self.staged.take() {
            self.highest = self.highest.max(staged.release.sequence);
            self.floor = self.floor.max(staged.floor);
            self.confirmed = Some(staged.release);
            self.progress = None;
            self.interrupted = None;
        }
    }

    /// The staged release fell back.
    pub fn fall_back(&mut self, failure: Failure) {
        if let Some(staged) = self.staged.take() {
            self.fail(staged.release, failure);
            self.progress = None;
        }
    }

    /// The power ended every attempt of the staged release's trial: it is staged again, unless that
    /// has happened too often already to be blamed on the power.
    ///
    /// Returns the release that is given up.
    pub fn interrupt(&mut self, failure: Failure) -> Option<FailedRelease> {
        let release = self.staged.take()?.release;
        let before = self.interrupted.take().filter(|(id, _)| *id == release.id);
        let times = before.map_or(0, |(_, times)| times) + 1;
        if times > MAX_INTERRUPTIONS {
            self.fail(release, failure);
            return self.failed.last().cloned();
        }
        self.interrupted = Some((release.id, times));
        None
    }

    /// A release is not to be tried again until told.
    pub fn fail(&mut self, release: ReleaseName, failure: Failure) {
        self.failed.retain(|failed| failed.release.id != release.id);
        if self.failed.len() == MAX_FAILED {
            self.failed.remove(0);
        }
        self.failed.push(FailedRelease { release, failure });
    }

    /// Why a release is not tried again.
    pub fn failed(&self, id: &str) -> Option<&FailedRelease> {
        self.failed.iter().find(|failed| failed.release.id == id)
    }

    /// The running release is confirmed, whoever wrote it: sequence and floor never go below it.
    pub fn raise(&mut self, sequence: u64, floor: u64) {
        self.highest = self.highest.max(sequence);
        self.floor = self.floor.max(floor);
    }
}

impl Progress {
    /// Nothing in place.
    pub fn new(id: &str, slot: SlotName, manifest: &ReleaseManifest) -> Self {
        let done = "0".repeat(manifest.chunks() as usize);
        Self { id: id.into(), slot, done, fetched: 0, looked: 0, found: Vec::new() }
    }

    /// Whether this is about the release in the slot, with as many chunks.
    pub fn is_for(&self, id: &str, slot: SlotName, manifest: &ReleaseManifest) -> bool {
        self.id == id && self.slot == slot && self.done.len() == manifest.chunks() as usize
    }

    /// Whether a chunk is in place.
    pub fn has(&self, chunk: u32) -> bool {
        self.done.as_bytes().get(chunk as usize) == Some(&b'1')
    }

    /// A chunk is in place.
    pub fn set(&mut self, chunk: u32) {
        let at = chunk as usize;
        if at < self.done.len() && self.done.is_char_boundary(at + 1) {
            self.done.replace_range(at..=at, "1");
        }
    }

    /// Number of chunks in place.
    pub fn count(&self) -> u32 {
        self.done.bytes().filter(|b| *b == b'1').count() as u32
    }
}
