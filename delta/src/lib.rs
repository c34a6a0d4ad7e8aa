//! Codes the chunks of a slot image as changes to an older one (`protocol::delta`).
//!
//! | module | what |
//! |---|---|
//! | [`window`] | which parts of the old image have content of a chunk |
//! | [`suffixes`] | where the longest run of some bytes lies in a window |
//! | [`scan`] | a chunk as operations on a window |
//!
//! A chunk is compared with a window of at most [`window::LIMIT`] bytes, picked out of the whole
//! old image by content: what moved is found, and sorting the window costs the same for every size
//! of image. A delta needs no key: what a device decodes counts only with the signed digest.
//!
//! Memory: the old image, a quarter of it for its blocks, and about 25 MiB.

pub mod scan;
pub mod suffixes;
pub mod window;

use protocol::Error;
use protocol::delta::{self, MAX_OPERATIONS};
use protocol::payload::{self, Decoder, Index, Kind};
use protocol::release::CHUNK_SIZE;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use window::Blocks;

/// Level of zstd: it is made once and fetched by every device.
const LEVEL: i32 = 22;
const CHUNK: usize = CHUNK_SIZE as usize;

/// Codes chunks against one old image.
pub struct Coder<'a> {
    blocks: Blocks<'a>,
    /// Digests of its chunks: a device has them already.
    present: HashSet<[u8; 32]>,
}

impl<'a> Coder<'a> {
    /// Takes up the old image.
    pub fn new(old: &'a [u8]) -> Self {
        let present = old.chunks_exact(CHUNK).map(|chunk| Sha256::digest(chunk).into()).collect();
        Self { blocks: Blocks::new(old), present }
    }

    /// Whether the old image has this chunk, at any place.
    pub fn has(&self, chunk: &[u8]) -> bool {
        self.present.contains::<[u8; 32]>(&Sha256::digest(chunk).into())
    }

    /// A chunk that begins at `offset` of the new image, coded; `None` when the old image has it,
    /// or when that is not below `limit` bytes.
    pub fn code(&self, chunk: &[u8], offset: u64, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        if self.has(chunk) {
            return Ok(None);
        }
        let window = self.blocks.window(chunk, offset);
        let operations = scan::operations(&window, chunk);
        if operations.len() > MAX_OPERATIONS {
            return Ok(None);
        }
        let coded = delta::encode(&operations, self.blocks.image(), chunk, LEVEL)?;
        Ok(Some(coded).filter(|coded| coded.len() < limit))
    }
}

/// The image that a payload container holds.
///
/// The container is one that was checked against its signed manifest: a malformed one is an error.
pub fn image(container: &[u8]) -> Result<Vec<u8>, Error> {
    let index = index(container)?;
    let mut decoder = Decoder::new()?;
    let mut chunk = payload::zero_chunk();
    let mut image = Vec::with_capacity(index.chunks() as usize * CHUNK);
    for number in 0..index.chunks() {
        decoder.decode(part(container, &index, number)?, &mut chunk)?;
        image.extend_from_slice(&chunk[..]);
    }
    Ok(image)
}

/// The delta container from one image to another: from the payload containers of both.
///
/// `progress` is told how many chunks of how many are done; `false` from it gives up, and `None` is
/// returned.
pub fn make(
    old: &[u8],
    new: &[u8],
    mut progress: impl FnMut(u32, u32) -> bool,
) -> Result<Option<Vec<u8>>, Error> {
    let old = image(old)?;
    let coder = Coder::new(&old);
    let index = index(new)?;
    let mut decoder = Decoder::new()?;
    let mut chunk = payload::zero_chunk();
    let mut coded = Vec::new();
    for number in 0..index.chunks() {
        if !progress(number, index.chunks()) {
            return Ok(None);
        }
        let full = part(new, &index, number)?;
        decoder.decode(full, &mut chunk)?;
        let offset = u64::from(number) * u64::from(CHUNK_SIZE);
        coded.push(coder.code(&chunk[..], offset, full.len())?.unwrap_or_default());
    }
    payload::container(Kind::Delta, &coded).map(Some)
}

fn index(container: &[u8]) -> Result<Index, Error> {
    let short = || Error::BadPayload("shorter than its index".into());
    let count = container.get(12..16).ok_or_else(short)?;
    let count = u32::from_le_bytes([0, 1, 2, 3].map(|i| count[i]));
    let length = Index::len_for(count.min(protocol::release::MAX_CHUNKS));
    Index::parse(Kind::Whole, container.get(..length).ok_or_else(short)?)
}

fn part<'a>(container: &'a [u8], index: &Index, number: u32) -> Result<&'a [u8], Error> {
    let range = index.range(number).map(|range| range.start as usize..range.end as usize);
    range
        .and_then(|range| container.get(range))
        .ok_or_else(|| Error::BadPayload(format!("ends before chunk {number} does")))
}
