//! The payload container: the chunks of a slot image, each compressed on its own.
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`]; of a delta [`DELTA_MAGIC`] |
//! | 8 | 4 | format version, [`VERSION`] |
//! | 12 | 4 | number of chunks, n |
//! | 16 | 8 | size of the slot image |
//! | 24 | 4 n | size of each compressed chunk |
//! | 24 + 4 n | … | the compressed chunks (one zstd frame each), without gaps |
//!
//! All integers are little-endian. A device fetches the [`Index`] first, then any chunk by range.
//! Nothing here is trusted: the manifest's chunk digests decide. Invariants: an index is parsed
//! within bounds known beforehand; a chunk never decodes to more than [`CHUNK_SIZE`] bytes.

use crate::error::Error;
use crate::release::{CHUNK_SIZE, MAX_CHUNKS};
use std::ops::Range;

/// First bytes of a container of a whole image.
pub const MAGIC: &[u8; 8] = b"HFPAYLD\n";
/// First bytes of a container of a [delta](crate::delta).
pub const DELTA_MAGIC: &[u8; 8] = b"HFDELTA\n";
/// Format version.
pub const VERSION: u32 = 1;
/// Bytes before the sizes.
const FIXED: usize = 24;
/// Largest compressed chunk: incompressible data costs a few bytes per 128 KiB block.
pub const MAX_COMPRESSED: u32 = CHUNK_SIZE + 4096;

/// One chunk of a slot image.
pub type Chunk = [u8; CHUNK_SIZE as usize];

/// A chunk of zeros, on the heap.
pub fn zero_chunk() -> Box<Chunk> {
    let chunk: Box<[u8]> = vec![0; CHUNK_SIZE as usize].into();
    chunk.try_into().expect("a chunk has CHUNK_SIZE bytes")
}

/// What a container holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every chunk of an image.
    Whole,
    /// Changes to another image; a chunk of size 0 is not in it.
    Delta,
}

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Whole => MAGIC,
            Self::Delta => DELTA_MAGIC,
        }
    }

    fn allows(self, size: u32) -> bool {
        match self {
            Self::Whole => (1..=MAX_COMPRESSED).contains(&size),
            Self::Delta => size <= crate::delta::MAX_CODED,
        }
    }
}

/// Where each compressed chunk lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    kind: Kind,
    image_size: u64,
    sizes: Vec<u32>,
}

impl Index {
    /// Index of compressed chunks of these sizes.
    pub fn new(kind: Kind, sizes: Vec<u32>) -> Result<Self, Error> {
        let image_size = sizes.len() as u64 * u64::from(CHUNK_SIZE);
        let index = Self { kind, image_size, sizes };
        index.validate()?;
        Ok(index)
    }

    /// Bytes of the index of a container of `chunks` chunks: what a device fetches first.
    pub fn len_for(chunks: u32) -> usize {
        FIXED + 4 * chunks as usize
    }

    /// Parses `bytes`, which must be exactly the index (see [`Index::len_for`]).
    pub fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |why: &str| Error::BadPayload(why.into());
        if bytes.len() < FIXED {
            return Err(refuse("shorter than its header"));
        }
        let (fixed, sizes) = bytes.split_at(FIXED);
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| fixed[at + i]));
        if &fixed[..8] != kind.magic() {
            return Err(refuse("not a container of this kind"));
        }
        if word(8) != VERSION {
            return Err(refuse("unknown format version"));
        }
        let count = word(12);
        if count > MAX_CHUNKS || sizes.len() != 4 * count as usize {
            return Err(refuse("number of chunks"));
        }
        let image_size = u64::from(word(16)) | u64::from(word(20)) << 32;
        let sizes = sizes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let index = Self { kind, image_size, sizes: sizes.collect() };
        index.validate()?;
        Ok(index)
    }

    /// The encoded index.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::len_for(self.chunks()));
        bytes.extend_from_slice(self.kind.magic());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.chunks().to_le_bytes());
        bytes.extend_from_slice(&self.image_size.to_le_bytes());
        self.sizes.iter().for_each(|size| bytes.extend_from_slice(&size.to_le_bytes()));
        bytes
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u32 {
        self.sizes.len() as u32
    }

    /// Size of the slot image in bytes.
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// Byte range of a compressed chunk in the container; `None` when it is not in it.
    pub fn range(&self, chunk: u32) -> Option<Range<u64>> {
        let size = *self.sizes.get(chunk as usize).filter(|size| **size > 0)?;
        let before: u64 = self.sizes[..chunk as usize].iter().map(|s| u64::from(*s)).sum();
        let start = Self::len_for(self.chunks()) as u64 + before;
        Some(start..start + u64::from(size))
    }

    /// Size of the whole container in bytes.
    pub fn container_size(&self) -> u64 {
        let chunks: u64 = self.sizes.iter().map(|s| u64::from(*s)).sum();
        Self::len_for(self.chunks()) as u64 + chunks
    }

    fn validate(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::BadPayload(why.into()));
        if self.sizes.is_empty() || self.sizes.len() > MAX_CHUNKS as usize {
            return refuse("number of chunks");
        }
        if self.image_size != self.sizes.len() as u64 * u64::from(CHUNK_SIZE) {
            return refuse("image size");
        }
        if !self.sizes.iter().all(|size| self.kind.allows(*size)) {
            return refuse("size of a chunk");
        }
        Ok(())
    }
}

/// Compresses one chunk of exactly [`CHUNK_SIZE`] bytes. Levels as zstd's, 1 to 22.
pub fn compress_chunk(chunk: &[u8], level: i32) -> Result<Vec<u8>, Error> {
    if chunk.len() != CHUNK_SIZE as usize {
        return Err(Error::BadChunk(format!("{} bytes", chunk.len())));
    }
    zstd::bulk::compress(chunk, level).map_err(|e| Error::BadChunk(format!("compress: {e}")))
}

/// The container of a whole slot image.
pub fn encode(image: &[u8], level: i32) -> Result<Vec<u8>, Error> {
    let chunks = image
        .chunks(CHUNK_SIZE as usize)
        .map(|chunk| compress_chunk(chunk, level))
        .collect::<Result<Vec<_>, _>>()?;
    container(Kind::Whole, &chunks)
}

/// The container of compressed chunks.
pub fn container(kind: Kind, chunks: &[Vec<u8>]) -> Result<Vec<u8>, Error> {
    let index = Index::new(kind, chunks.iter().map(|chunk| chunk.len() as u32).collect())?;
    let mut bytes = index.encode();
    chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
    Ok(bytes)
}

/// Decodes chunks one after the other with one context (about 100 KiB, reused).
pub struct Decoder(zstd::bulk::Decompressor<'static>);

impl Decoder {
    /// A decoder with its context allocated.
    pub fn new() -> Result<Self, Error> {
        zstd::bulk::Decompressor::new()
            .map(Self)
            .map_err(|e| Error::BadChunk(format!("decoder: {e}")))
    }

    /// Decodes a zstd frame into the room that `into` has and no more.
    pub(crate) fn unpack(&mut self, frame: &[u8], into: &mut Vec<u8>) -> Result<(), Error> {
        let unpacked = self.0.decompress_to_buffer(frame, into);
        unpacked.map(drop).map_err(|e| Error::BadChunk(e.to_string()))
    }

    /// Decodes one compressed chunk into `chunk`; refuses any other size than [`CHUNK_SIZE`].
    pub fn decode(&mut self, compressed: &[u8], chunk: &mut Chunk) -> Result<(), Error> {
        let size = self
            .0
            .decompress_to_buffer(compressed, &mut chunk[..])
            .map_err(|e| Error::BadChunk(e.to_string()))?;
        if size != chunk.len() {
            return Err(Error::BadChunk(format!("decodes to {size} bytes")));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}
