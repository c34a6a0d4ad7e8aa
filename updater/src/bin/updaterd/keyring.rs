//! The key set in force, shared by the daemon's tasks; see [`updater::keyring`]. This daemon alone
//! writes the stored chain; appd reads it and verifies it for itself.

use crate::files::{self, Disk};
use crate::paths::Paths;
use protocol::control::Failure;
use protocol::fleet::KeysState;
use protocol::keys::KeySet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The image's set, and the one in force.
#[derive(Debug)]
pub struct Keyring(Mutex<updater::keyring::Keyring<Disk>>);

impl Keyring {
    /// Reads both; only a broken set in the image is an error.
    pub fn open(paths: &Paths) -> Result<Self, Failure> {
        let image = files::read_needed(&paths.keys())?;
        let chain = paths.key_chain();
        let folder = Disk(chain.parent().unwrap_or(Path::new("/")).into());
        updater::keyring::Keyring::open(&image, folder).map(|keys| Self(Mutex::new(keys)))
    }

    /// The set in force.
    pub fn in_force(&self) -> Arc<KeySet> {
        Arc::new(self.held().in_force().clone())
    }

    /// What is reported.
    pub fn state(&self) -> KeysState {
        let held = self.held();
        KeysState { version: held.in_force().version, refused: held.refused().cloned() }
    }

    /// Takes a received chain; the set that is in force from now on, when it is another.
    pub fn adopt(&self, body: &[u8]) -> Result<Option<Arc<KeySet>>, Failure> {
        Ok(self.held().adopt(body)?.map(|set| Arc::new(set.clone())))
    }

    fn held(&self) -> MutexGuard<'_, updater::keyring::Keyring<Disk>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
