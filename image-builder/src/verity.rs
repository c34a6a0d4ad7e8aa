//! dm-verity hash tree as the kernel and `veritysetup --no-superblock` read it.
//!
//! Format 1 (salt hashed before the block), SHA-256, data and hash blocks of 4096 bytes, 128
//! digests per hash block. Levels are written from the root down to the leaves; the root digest is
//! that of the topmost level's single block. Source: the kernel's
//! Documentation/admin-guide/device-mapper/verity.rst.

use sha2::{Digest, Sha256};

/// Bytes of a data block and of a hash block.
pub const BLOCK: usize = 4096;
const DIGEST: usize = 32;

/// A hash tree and the digest that vouches for it.
pub struct Tree {
    /// Digest of the top block.
    pub root: [u8; DIGEST],
    /// The tree, a multiple of [`BLOCK`] bytes, placed right after the data.
    pub bytes: Vec<u8>,
}

/// Hashes `data`, whose length must be a multiple of [`BLOCK`] and not zero.
pub fn tree(data: &[u8], salt: &[u8]) -> Tree {
    assert!(!data.is_empty() && data.len().is_multiple_of(BLOCK), "whole blocks only");
    let mut levels: Vec<Vec<u8>> = Vec::new();
    let mut digests = digest_blocks(data, salt);
    while digests.len() > DIGEST {
        digests.resize(digests.len().next_multiple_of(BLOCK), 0);
        let above = digest_blocks(&digests, salt);
        levels.push(digests);
        digests = above;
    }
    let root = digests.try_into().expect("the loop ends at one digest");
    Tree { root, bytes: levels.into_iter().rev().flatten().collect() }
}

fn digest_blocks(data: &[u8], salt: &[u8]) -> Vec<u8> {
    let mut digests = Vec::with_capacity(data.len() / BLOCK * DIGEST);
    for block in data.chunks_exact(BLOCK) {
        let digest = Sha256::new().chain_update(salt).chain_update(block).finalize();
        digests.extend_from_slice(&digest);
    }
    digests
}
