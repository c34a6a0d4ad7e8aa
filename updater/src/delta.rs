//! Chunks as changes to the running slot, from the fleet's delta.
//!
//! | the fleet says | then |
//! |---|---|
//! | it has the delta | chunks that are in it are fetched and decoded; the digest decides |
//! | it makes it | wait, at most [`MOST_WAITS`] times; then go on, and ask again for each chunk |
//! | it has none | every chunk is fetched whole |
//! | (nothing) | this chunk is fetched whole; after [`MOST_LOST`] times all are |
//!
//! Invariants: nothing here fails an update or is trusted; a delta that was wrong [`MOST_BAD`]
//! times is not asked again during this installation.

use crate::digest;
use crate::error::Error;
use crate::install::{Room, Tools};
use crate::mutant::{self, Mutant};
use protocol::delta::{PATH, build_name, decode};
use protocol::payload::{Index, Kind};
use protocol::release::{BuildInfo, CHUNK_SIZE};

/// Waits for a delta that is being made: about two minutes with the pauses of `updaterd`.
pub const MOST_WAITS: u32 = 60;
/// Wrong chunks (or indexes) after which a delta is not used.
pub const MOST_BAD: u32 = 2;
/// Times without an answer, one after the other, after which it is not asked for.
pub const MOST_LOST: u32 = 4;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The chunk is in the room, and has the digest.
    Patched,
    /// It is being made: worth a moment.
    Wait,
    /// Fetch the chunk whole.
    None,
}

/// The delta from what runs to a release.
#[derive(Debug)]
pub struct Delta {
    address: String,
    index: Option<Index>,
    gone: bool,
    waits: u32,
    bad: u32,
    lost: u32,
    fetched: u64,
    plain: Vec<u8>,
}

impl Delta {
    /// Nothing is asked yet. `id`: SHA-256 of the release's manifest, hexadecimal.
    pub fn new(build: &BuildInfo, id: &str) -> Self {
        let from = build_name(&build.board, &build.version, build.sequence);
        Self {
            address: format!("{PATH}/{from}/{id}"),
            index: None,
            gone: false,
            waits: 0,
            bad: 0,
            lost: 0,
            fetched: 0,
            plain: Vec::new(),
        }
    }

    /// Bytes fetched since this was asked last.
    pub fn take_fetched(&mut self) -> u64 {
        std::mem::take(&mut self.fetched)
    }

    /// Chunk `number` of `chunks`, if the delta has it and it is what is `wanted`.
    pub fn chunk(
        &mut self,
        number: u32,
        chunks: u32,
        wanted: &[u8; 32],
        tools: &mut Tools<'_>,
        room: &mut Room,
    ) -> Outcome {
        if self.gone {
            return Outcome::None;
        }
        match self.attempt(number, chunks, wanted, tools, room) {
            Ok(true) => return Outcome::Patched,
            Ok(false) => {}
            Err(Error::NotYet(_)) if self.waits < MOST_WAITS => {
                self.waits += 1;
                return Outcome::Wait;
            }
            Err(Error::NotYet(_)) => {}
            Err(Error::NotServed(_)) => self.gone = true,
            Err(error) if error.is_refusal() => self.bad += 1,
            Err(_) => self.lost += 1,
        }
        self.gone |= self.bad >= MOST_BAD || self.lost >= MOST_LOST;
        Outcome::None
    }

    /// `false` when it is not in the delta.
    fn attempt(
        &mut self,
        number: u32,
        chunks: u32,
        wanted: &[u8; 32],
        tools: &mut Tools<'_>,
        room: &mut Room,
    ) -> Result<bool, Error> {
        let source_url = &self.address;
        let bad = |why| Error::BadPayload { source_url: source_url.clone(), why };
        let index = match &mut self.index {
            Some(index) => index,
            none => {
                let length = Index::len_for(chunks) as u64;
                tools.transport.fetch(source_url, 0..length, &mut room.compressed)?;
                self.fetched += length;
                none.insert(Index::parse(Kind::Delta, &room.compressed).map_err(bad)?)
            }
        };
        let Some(range) = index.range(number) else { return Ok(false) };
        tools.transport.fetch(source_url, range, &mut room.compressed)?;
        self.lost = 0;
        self.fetched += room.compressed.len() as u64;
        let (decoder, coded, chunk) = room.decoder().map_err(bad)?;
        let size = u64::from(tools.storage.chunks()) * u64::from(CHUNK_SIZE);
        let mut old = |at: u64, into: &mut [u8]| tools.storage.read_running_at(at, into).is_ok();
        decode(decoder, &mut self.plain, coded, size, &mut old, chunk).map_err(bad)?;
        match mutant::is(Mutant::BelievesDeltas) || digest::of(chunk) == *wanted {
            true => Ok(true),
            false => Err(Error::ChunkMismatch { source_url: source_url.clone(), chunk: number }),
        }
    }
}
