//! Which parts of the old image to compare a chunk with.
//!
//! Blocks of [`BLOCK`] bytes of the old image stand in a hash table. The chunk is looked up at
//! every byte; each block that is found votes for the piece of the old image that it lies in. The
//! pieces with most votes, and what lies where the chunk will lie, are the window.

use std::collections::{HashMap, HashSet};

/// Largest window in bytes.
pub const LIMIT: usize = 4 << 20;
/// What votes are for.
const PIECE: usize = 64 << 10;
/// Bytes compared at once: a run this long that both images have is found.
const BLOCK: usize = 32;
/// Entries looked at for one block, so that repeated content costs a bounded time.
const PROBES: usize = 8;
/// Votes below which a piece is not worth its sorting.
const LEAST_VOTES: f64 = 2.0;
/// Part of its votes that a piece lends its neighbours: content goes on beyond an edge.
const NEIGHBOUR: f64 = 1.0 / 16.0;
/// Marks an empty entry.
const NONE: u32 = u32::MAX;

/// The old image with its blocks.
pub struct Blocks<'a> {
    image: &'a [u8],
    /// Number of a block, at its hash or soon after.
    table: Vec<u32>,
}

/// Parts of the old image, one after the other.
#[derive(Debug)]
pub struct Window {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Numbers of the pieces, growing.
    pieces: Vec<usize>,
}

impl Window {
    /// Where in the old image a byte of the window comes from, and how many bytes from there on
    /// follow each other in both.
    pub fn origin(&self, at: usize) -> (u64, usize) {
        let Some(piece) = self.pieces.get(at / PIECE) else { return (0, 0) };
        let run = self.pieces[at / PIECE..].iter().zip(*piece..);
        let run = run.take_while(|(piece, expected)| *piece == expected).count();
        let end = self.bytes.len().min((at / PIECE + run) * PIECE);
        ((piece * PIECE + at % PIECE) as u64, end - at)
    }
}

impl<'a> Blocks<'a> {
    /// Enters the blocks of an image.
    pub fn new(image: &'a [u8]) -> Self {
        let entries = (2 * image.len() / BLOCK).max(PROBES).next_power_of_two();
        let mut blocks = Self { image, table: vec![NONE; entries] };
        for (number, block) in image.chunks_exact(BLOCK).enumerate() {
            if is_varied(block)
                && let Some(entry) = blocks.entries(block).find(|at| blocks.table[*at] == NONE)
            {
                blocks.table[entry] = number as u32;
            }
        }
        blocks
    }

    /// The image.
    pub fn image(&self) -> &'a [u8] {
        self.image
    }

    /// Where a block's number may stand.
    fn entries(&self, block: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let (start, mask) = (hash(block) as usize, self.table.len() - 1);
        (0..PROBES).map(move |probe| start.wrapping_add(probe) & mask)
    }

    /// Offsets of a block in the image.
    fn find(&self, block: &[u8]) -> impl Iterator<Item = usize> {
        let known = self.entries(block).map(|at| self.table[at]).take_while(|n| *n != NONE);
        known.map(|n| n as usize * BLOCK).filter(move |at| self.image[*at..].starts_with(block))
    }

    /// The window for a chunk that begins at `offset` of the new image.
    pub fn window(&self, chunk: &[u8], offset: u64) -> Window {
        let last = self.image.len().div_ceil(PIECE);
        let mut votes = self.votes(chunk);
        for (piece, count) in votes.clone() {
            for neighbour in [piece.wrapping_sub(1), piece + 1] {
                *votes.entry(neighbour).or_default() += count * NEIGHBOUR;
            }
        }
        let place = usize::try_from(offset).unwrap_or(usize::MAX) / PIECE;
        for piece in place..place.saturating_add(chunk.len() / PIECE) {
            *votes.entry(piece).or_default() += LEAST_VOTES;
        }
        let mut ranked: Vec<_> = votes.into_iter().filter(|(piece, _)| *piece < last).collect();
        ranked.retain(|(_, count)| *count >= LEAST_VOTES);
        ranked.sort_by(|(a, votes_a), (b, votes_b)| votes_b.total_cmp(votes_a).then(a.cmp(b)));
        ranked.truncate(LIMIT / PIECE);
        let mut pieces: Vec<usize> = ranked.into_iter().map(|(piece, _)| piece).collect();
        pieces.sort_unstable();
        let bytes = pieces.iter().flat_map(|piece| {
            let start = piece * PIECE;
            &self.image[start..self.image.len().min(start + PIECE)]
        });
        Window { bytes: bytes.copied().collect(), pieces }
    }

    /// Votes for pieces; a block that stands in several places splits its vote.
    fn votes(&self, chunk: &[u8]) -> HashMap<usize, f64> {
        let mut votes = HashMap::new();
        let mut seen = HashSet::new();
        let mut at = 0;
        while let Some(block) = chunk.get(at..at + BLOCK) {
            let found: Vec<usize> =
                if is_varied(block) { self.find(block).collect() } else { Vec::new() };
            for place in &found {
                if seen.insert(*place) {
                    *votes.entry(place / PIECE).or_default() += 1.0 / found.len() as f64;
                }
            }
            // What follows a block that was found is found at its end.
            at += if found.is_empty() { 1 } else { BLOCK };
        }
        votes
    }
}

/// Runs of one byte are everywhere and say nothing.
fn is_varied(block: &[u8]) -> bool {
    block[1..] != block[..block.len() - 1]
}

/// Multiply and fold, word by word.
fn hash(block: &[u8]) -> u64 {
    let words = block.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    let mixed = words.fold(0_u64, |hash, word| {
        let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^ hash >> 29
    });
    mixed ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_the_pieces_that_the_chunk_was_made_of() {
        let image: Vec<u8> =
            (0..40 * PIECE as u32).flat_map(|n| hash_of(n / 8).to_le_bytes()).collect();
        let blocks = Blocks::new(&image);
        let from = 133 * PIECE + 17;
        let window = blocks.window(&image[from..from + 2 * PIECE], 0);
        for piece in [133, 134, 135] {
            assert!(window.pieces.contains(&piece), "{piece} of {:?}", window.pieces);
        }
        assert!(window.bytes.len() <= 6 * PIECE, "{} bytes", window.bytes.len());
        for at in [0, PIECE - 1, window.bytes.len() - 1] {
            let (origin, run) = window.origin(at);
            let origin = origin as usize;
            assert_eq!(window.bytes[at..at + run], image[origin..origin + run], "at {at}");
        }
    }

    fn hash_of(n: u32) -> u64 {
        hash(&[n.to_le_bytes(); 8].concat())
    }
}
