//! The key set in force: the image's own, or what the chain of its successors leads to.
//!
//! Invariants:
//! - this daemon alone writes the stored chain; appd reads it and verifies it for itself;
//! - a chain is stored before its set is in force, and every set was verified against its
//!   predecessor, back to the one in the image;
//! - the set in force never goes back while the daemon runs;
//! - a stored chain that does not verify is ignored with a warning: the image's own set holds.

use crate::failure;
use crate::files;
use crate::paths::Paths;
use protocol::control::Failure;
use protocol::fleet::KeysState;
use protocol::keychain::{self, KeyChain};
use protocol::keys::KeySet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The image's set, and the one in force.
#[derive(Debug)]
pub struct Keyring {
    image: KeySet,
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    set: Arc<KeySet>,
    refused: Option<Failure>,
}

impl Keyring {
    /// Reads both; only a broken set in the image is an error.
    pub fn open(paths: &Paths) -> Result<Self, Failure> {
        let image = files::read_needed(&paths.keys())?;
        let path = paths.key_chain();
        let stored = files::read(&path).unwrap_or_else(|failure| {
            eprintln!("stored key sets are ignored: {failure}");
            None
        });
        let (set, broken) = keychain::in_force(&image, stored.as_deref())?;
        let refused = broken.map(Failure::from);
        if let Some(failure) = &refused {
            eprintln!("stored key sets are ignored: {failure}");
        }
        let image = KeySet::open(&image)?;
        Ok(Self { image, path, held: Mutex::new(Held { set: Arc::new(set), refused }) })
    }

    /// The set in force.
    pub fn in_force(&self) -> Arc<KeySet> {
        self.held().set.clone()
    }

    /// What is reported.
    pub fn state(&self) -> KeysState {
        let held = self.held();
        KeysState { version: held.set.version, refused: held.refused.clone() }
    }

    /// Takes a received chain; the set that is in force from now on, when it is another.
    pub fn adopt(&self, body: &[u8]) -> Result<Option<Arc<KeySet>>, Failure> {
        let mut held = self.held();
        let adopted = self.verified(body, &held.set);
        held.refused = adopted.as_ref().err().cloned();
        let Some(set) = adopted? else { return Ok(None) };
        held.set = Arc::new(set);
        Ok(Some(held.set.clone()))
    }

    fn verified(&self, body: &[u8], now: &KeySet) -> Result<Option<KeySet>, Failure> {
        let chain = KeyChain::decode(body)?;
        let set = chain.follow(&self.image)?;
        if set.version < now.version {
            let why = format!("key set {} is in force, {} was sent", now.version, set.version);
            return Err(failure("key-set-version", why));
        }
        if set.version == now.version {
            return Ok(None);
        }
        files::write(&self.path, &chain.encode())?;
        Ok(Some(set))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
