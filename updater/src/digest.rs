//! SHA-256 of chunks, and of the image that they make one after the other.
//!
//! With the feature `mutants`, which nothing on a device has, a digest that was computed once is
//! remembered by the whole content: the simulator hashes the same few chunks a million times.

use crate::ports::Chunk;
use sha2::{Digest, Sha256};

/// SHA-256 of a chunk.
pub fn of(chunk: &Chunk) -> [u8; 32] {
    #[cfg(feature = "mutants")]
    return memory::of(chunk);
    #[cfg(not(feature = "mutants"))]
    Sha256::digest(chunk).into()
}

/// The image up to some chunk.
#[derive(Debug, Clone, Default)]
pub struct Image {
    hash: Sha256,
    #[cfg(feature = "mutants")]
    chunks: Vec<[u8; 32]>,
}

impl Image {
    /// One more chunk.
    pub fn add(&mut self, chunk: &Chunk) {
        #[cfg(feature = "mutants")]
        memory::add(self, chunk);
        #[cfg(not(feature = "mutants"))]
        self.hash.update(chunk);
    }

    /// Digest of the whole.
    pub fn digest(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

#[cfg(feature = "mutants")]
mod memory {
    use super::{Chunk, Digest, Image, Sha256};
    use std::cell::RefCell;
    use std::collections::HashMap;

    /// Chunks that are remembered; then all are forgotten.
    const MOST: usize = 64;

    type Known = (Box<[u8]>, [u8; 32]);

    thread_local! {
        static CHUNKS: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
        static IMAGES: RefCell<HashMap<Vec<[u8; 32]>, Sha256>> = RefCell::default();
    }

    pub(super) fn of(chunk: &Chunk) -> [u8; 32] {
        CHUNKS.with_borrow_mut(|known| {
            if let Some((_, digest)) = known.iter().find(|(content, _)| content[..] == chunk[..]) {
                return *digest;
            }
            if known.len() == MOST {
                known.clear();
            }
            let digest = Sha256::digest(chunk).into();
            known.push((chunk.to_vec().into(), digest));
            digest
        })
    }

    pub(super) fn add(image: &mut Image, chunk: &Chunk) {
        image.chunks.push(of(chunk));
        let next = || image.hash.clone().chain_update(chunk);
        image.hash = IMAGES.with_borrow_mut(|known| {
            known.entry(image.chunks.clone()).or_insert_with(next).clone()
        });
    }
}
