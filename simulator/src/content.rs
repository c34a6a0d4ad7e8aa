//! Content of a block of the card: shared, because worlds are copied at every operation, and with a
//! mark, so that two contents are told apart without a look at each of their bytes.
//!
//! Equal contents have equal marks, in every run of the simulator: worlds can be told apart by
//! them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// See the module.
#[derive(Clone)]
pub struct Content {
    bytes: Arc<[u8]>,
    mark: u64,
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        let mut state = DefaultHasher::new();
        state.write(&bytes);
        Self { bytes: bytes.into(), mark: state.finish() }
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark
            && (Arc::ptr_eq(&self.bytes, &other.bytes) || self.bytes == other.bytes)
    }
}

impl Eq for Content {}

impl Hash for Content {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.mark.hash(state);
    }
}
