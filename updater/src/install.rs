//! One release into one slot: find what is there, fetch the rest, write, read back.
//!
//! Invariants:
//! - a chunk is written only after its digest matched the signed manifest, and noted as done only
//!   after it was synced, at most [`BATCH`] chunks or [`AGAIN`] fetched bytes later;
//! - nothing stays unsynced while a source is waited for, or after it has failed;
//! - however often the power goes, each start comes further than the one before it, or fetches
//!   nothing: nothing is read through from its beginning before the first chunk is filled;
//! - notes are hints: the last stage reads the whole slot back and hashes it, whatever they say;
//! - one chunk, one compressed chunk and what a delta decodes through are in memory, whatever the
//!   image's size;
//! - no delta, however bad, makes an update fail: the chunk is then fetched whole.

use crate::accept::Release;
use crate::delta::{Delta, Outcome};
use crate::digest::{self, Image};
use crate::error::Error;
use crate::mutant::{self, Mutant};
use crate::ports::{Chunk, StateStore, Storage, Transport};
use crate::state::{Progress, State};
use protocol::control::SlotName;
use protocol::fleet::UpdatePhase;
use protocol::payload::{Decoder, Index, Kind, zero_chunk};
use protocol::release::BuildInfo;
use std::collections::BTreeMap;

/// Chunks that are written before they are synced and noted. One by one, the card would stand still
/// while the next chunk is made, and each note costs it a file, a rename and two syncs; all at
/// once, they would fill the memory before a slow card.
pub const BATCH: usize = 16;
/// Bytes that are fetched before what was made of them is synced and noted: with what one chunk
/// takes, the most that a power cut makes the device fetch again.
pub const AGAIN: u64 = 1 << 20;
/// Chunks of the running slot that are looked at before what was found is noted.
const LOOKED: u32 = 8;

/// Where the installation stands; each step handles one chunk.
#[derive(Debug)]
enum Stage {
    /// Which missing chunks the running slot has, at any place; how far it was looked through is
    /// in the notes.
    ScanRunning,
    /// What is missing: looked for in its own place, copied or fetched.
    Fill,
    /// Read back: next chunk, digest of the image up to it.
    ReadBack(u32, Image),
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Yes.
    More,
    /// Yes, in a moment: a source makes something that is worth waiting for.
    Wait,
    /// No: the slot is read back and is the image.
    Done,
}

/// What chunks are decoded with and into, allocated once.
pub struct Room {
    decoder: Option<Decoder>,
    /// The chunk.
    pub chunk: Box<Chunk>,
    /// What was fetched.
    pub compressed: Vec<u8>,
}

impl Room {
    /// The decoder, made when it is first needed, with what it works on.
    pub fn decoder(&mut self) -> Result<(&mut Decoder, &[u8], &mut Chunk), protocol::Error> {
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => none.insert(Decoder::new()?),
        };
        Ok((decoder, &self.compressed, &mut self.chunk))
    }
}

/// An installation under way.
pub struct Install {
    /// The release.
    pub release: Release,
    /// Slot that is written.
    pub slot: SlotName,
    /// Chunks in place, bytes fetched.
    pub progress: Progress,
    stage: Stage,
    /// Chunks written since the last sync; in place only after the next.
    unsynced: Vec<u32>,
    /// Bytes that had been fetched by then.
    settled: u64,
    /// Chunks before this one were looked for in their own places since the start.
    looked_for: u32,
    /// Digests of missing chunks; once they were gathered.
    sought: Option<BTreeMap<[u8; 32], Vec<u32>>>,
    /// The source that served last, and its index.
    source: Option<(usize, Index)>,
    delta: Delta,
    room: Room,
}

/// The ports that an installation uses.
pub struct Tools<'a> {
    /// Slots.
    pub storage: &'a mut dyn Storage,
    /// Sources.
    pub transport: &'a mut dyn Transport,
    /// Where progress is noted.
    pub store: &'a mut dyn StateStore,
    /// What is noted.
    pub state: &'a mut State,
}

impl Install {
    /// Goes on where the noted progress ends, when it is about this release in this slot. `build`
    /// is what runs.
    pub fn new(
        release: Release,
        slot: SlotName,
        noted: Option<&Progress>,
        build: &BuildInfo,
    ) -> Self {
        let noted = noted.filter(|p| p.is_for(&release.id, slot, &release.manifest));
        let progress = match noted {
            Some(progress) => progress.clone(),
            None => Progress::new(&release.id, slot, &release.manifest),
        };
        Self {
            settled: progress.fetched,
            delta: Delta::new(build, &release.id),
            release,
            slot,
            progress,
            stage: Stage::ScanRunning,
            unsynced: Vec::new(),
            looked_for: 0,
            sought: None,
            source: None,
            room: Room { decoder: None, chunk: zero_chunk(), compressed: Vec::new() },
        }
    }

    /// What is reported.
    pub fn phase(&self) -> UpdatePhase {
        match self.stage {
            Stage::ReadBack(..) => UpdatePhase::Verifying,
            _ => UpdatePhase::Downloading,
        }
    }

    /// Does one piece of work. After an error the next call takes up the same piece.
    pub fn step(&mut self, tools: &mut Tools<'_>) -> Result<Step, Error> {
        match &self.stage {
            Stage::ScanRunning => self.scan_running(tools)?,
            Stage::Fill => return self.fill(tools),
            Stage::ReadBack(..) => return self.read_back(tools),
        }
        Ok(Step::More)
    }

    fn chunks(&self) -> u32 {
        self.release.manifest.chunks()
    }

    fn wanted(&self, chunk: u32) -> [u8; 32] {
        // The manifest was validated: it has a digest for each of its chunks.
        self.release.manifest.chunk_digest(chunk).copied().unwrap_or_default()
    }

    fn holds(&self, chunk: u32) -> bool {
        mutant::is(Mutant::SkipsDigest) || digest::of(&self.room.chunk) == self.wanted(chunk)
    }

    fn missing(&self) -> Option<u32> {
        let there = |chunk: &u32| self.progress.has(*chunk) || self.unsynced.contains(chunk);
        (0..self.chunks()).find(|chunk| !there(chunk))
    }

    /// Looks at the next chunk of the running slot. What was found is noted now and then, so that a
    /// restart goes on from there.
    fn scan_running(&mut self, tools: &mut Tools<'_>) -> Result<(), Error> {
        let mut sought = self.sought.take().unwrap_or_else(|| self.gather());
        let chunk = self.progress.looked;
        if sought.is_empty() || chunk >= tools.storage.running_chunks() {
            self.stage = Stage::Fill;
            return self.note(tools);
        }
        // A chunk that cannot be read is of no use.
        if tools.storage.read_running(chunk, &mut self.room.chunk).is_ok() {
            let places = sought.remove(&digest::of(&self.room.chunk)).unwrap_or_default();
            self.progress.found.extend(places.into_iter().map(|wanted| (wanted, chunk)));
        }
        self.sought = Some(sought);
        self.progress.looked = chunk + 1;
        if self.progress.looked.is_multiple_of(LOOKED) { self.note(tools) } else { Ok(()) }
    }

    /// Missing chunks by their digests, without those that were found.
    fn gather(&self) -> BTreeMap<[u8; 32], Vec<u32>> {
        let mut sought = BTreeMap::<_, Vec<u32>>::new();
        let found = |chunk: u32| self.progress.found.iter().any(|(wanted, _)| *wanted == chunk);
        for chunk in (0..self.chunks()).filter(|c| !self.progress.has(*c) && !found(*c)) {
            sought.entry(self.wanted(chunk)).or_default().push(chunk);
        }
        sought
    }

    /// Whether the chunk is in its place already: also after a resume, for the power may have gone
    /// between its writing and its note. One that cannot be read is one to write.
    fn is_there(&mut self, chunk: u32, tools: &mut Tools<'_>) -> bool {
        if chunk < self.looked_for {
            return false;
        }
        self.looked_for = chunk + 1;
        tools.storage.read_target(chunk, &mut self.room.chunk).is_ok() && self.holds(chunk)
    }

    /// In this order: what the running slot has, what a delta makes of it, the whole chunk.
    fn fill(&mut self, tools: &mut Tools<'_>) -> Result<Step, Error> {
        let Some(chunk) = self.missing() else {
            self.settle(tools)?;
            self.stage = Stage::ReadBack(0, Image::default());
            return Ok(Step::More);
        };
        if !self.is_there(chunk, tools) {
            if !self.copy(chunk, tools) && self.obtain(chunk, tools)? == Step::Wait {
                return Ok(Step::Wait);
            }
            tools.storage.write_target(chunk, &self.room.chunk)?;
        }
        self.unsynced.push(chunk);
        if self.unsynced.len() >= BATCH || self.progress.fetched - self.settled >= AGAIN {
            self.settle(tools)?;
        }
        Ok(Step::More)
    }

    /// From the network into the buffer.
    fn obtain(&mut self, chunk: u32, tools: &mut Tools<'_>) -> Result<Step, Error> {
        let obtained = match self.patch(chunk, tools) {
            Outcome::Patched => return Ok(Step::More),
            Outcome::Wait => Ok(Step::Wait),
            Outcome::None => self.fetch(chunk, tools).map(|()| Step::More),
        };
        if !matches!(obtained, Ok(Step::More)) {
            self.settle(tools)?;
        }
        obtained
    }

    /// What was written is synced, and then noted. After an error it counts as not written: the
    /// kernel tells of a write that failed only once.
    fn settle(&mut self, tools: &mut Tools<'_>) -> Result<(), Error> {
        self.settled = self.progress.fetched;
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let written = std::mem::take(&mut self.unsynced);
        tools.storage.sync_target()?;
        written.into_iter().for_each(|chunk| self.progress.set(chunk));
        self.note(tools)
    }

    /// Through a delta into the buffer, if there is one.
    fn patch(&mut self, chunk: u32, tools: &mut Tools<'_>) -> Outcome {
        let (wanted, chunks) = (self.wanted(chunk), self.chunks());
        let outcome = self.delta.chunk(chunk, chunks, &wanted, tools, &mut self.room);
        self.progress.fetched += self.delta.take_fetched();
        outcome
    }

    /// From the running slot into the buffer, if it is there.
    fn copy(&mut self, chunk: u32, tools: &mut Tools<'_>) -> bool {
        let found = self.progress.found.iter().find(|(wanted, _)| *wanted == chunk);
        let Some((_, at)) = found.copied() else { return false };
        tools.storage.read_running(at, &mut self.room.chunk).is_ok() && self.holds(chunk)
    }

    /// From the first source that has it into the buffer, beginning with the one that served last.
    fn fetch(&mut self, chunk: u32, tools: &mut Tools<'_>) -> Result<(), Error> {
        let count = self.release.sources.len();
        let first = self.source.as_ref().map_or(0, |(at, _)| *at);
        let mut failure = None;
        for at in (0..count).map(|i| (first + i) % count) {
            match self.fetch_from(at, chunk, tools) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.source = None;
                    // What was received and wrong says more than what did not answer.
                    if error.is_refusal() || failure.is_none() {
                        failure = Some(error);
                    }
                }
            }
        }
        Err(failure.unwrap_or(Error::Unreachable {
            source_url: String::new(),
            why: "the assignment names no source".into(),
        }))
    }

    fn fetch_from(&mut self, at: usize, chunk: u32, tools: &mut Tools<'_>) -> Result<(), Error> {
        let source = self.release.sources[at].clone();
        let bad = |why| Error::BadPayload { source_url: source.clone(), why };
        if self.source.as_ref().is_none_or(|(served, _)| *served != at) {
            let length = Index::len_for(self.chunks()) as u64;
            tools.transport.fetch(&source, 0..length, &mut self.room.compressed)?;
            let index = Index::parse(Kind::Whole, &self.room.compressed).map_err(bad)?;
            self.source = Some((at, index));
        }
        let range = self.source.as_ref().and_then(|(_, index)| index.range(chunk));
        let range = range.ok_or_else(|| {
            bad(protocol::Error::BadPayload("has fewer chunks than the manifest".into()))
        })?;
        tools.transport.fetch(&source, range, &mut self.room.compressed)?;
        self.progress.fetched += self.room.compressed.len() as u64;
        let (decoder, compressed, decoded) = self.room.decoder().map_err(bad)?;
        decoder.decode(compressed, decoded).map_err(bad)?;
        if !self.holds(chunk) {
            return Err(Error::ChunkMismatch { source_url: source, chunk });
        }
        Ok(())
    }

    fn read_back(&mut self, tools: &mut Tools<'_>) -> Result<Step, Error> {
        let Stage::ReadBack(chunk, _) = self.stage else { return Ok(Step::More) };
        if mutant::is(Mutant::SkipsReadBack) {
            return Ok(Step::Done);
        }
        if chunk < self.chunks() {
            let read = tools.storage.read_target(chunk, &mut self.room.chunk);
            if read.is_err() || !self.holds(chunk) {
                return Err(self.read_back_failed(chunk, tools));
            }
            if let Stage::ReadBack(next, image) = &mut self.stage {
                image.add(&self.room.chunk);
                *next += 1;
            }
            return Ok(Step::More);
        }
        let Stage::ReadBack(_, image) = std::mem::replace(&mut self.stage, Stage::Fill) else {
            return Ok(Step::More);
        };
        if image.digest()[..] != self.release.manifest.image_digest[..] {
            return Err(Error::ImageMismatch("every chunk is right, the whole is not".into()));
        }
        Ok(Step::Done)
    }

    /// All notes are forgotten: what is good in the slot is found again by reading it.
    fn read_back_failed(&mut self, chunk: u32, tools: &mut Tools<'_>) -> Error {
        let fetched = self.progress.fetched;
        self.progress = Progress::new(&self.release.id, self.slot, &self.release.manifest);
        self.progress.fetched = fetched;
        self.stage = Stage::ScanRunning;
        (self.looked_for, self.sought) = (0, None);
        match self.note(tools) {
            Err(error) => error,
            Ok(()) => Error::ImageMismatch(format!("chunk {chunk}")),
        }
    }

    fn note(&self, tools: &mut Tools<'_>) -> Result<(), Error> {
        tools.state.progress = Some(self.progress.clone());
        tools.store.save(tools.state)
    }
}
