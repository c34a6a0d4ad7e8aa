//! The updater's durable memory: `state.json` and `desired.cbor`, each replaced atomically.

use crate::files;
use crate::paths::Paths;
use std::path::PathBuf;
use updater::Error;
use updater::ports::StateStore;
use updater::state::State;

/// Notes in a directory.
pub struct Notes(PathBuf);

impl Notes {
    /// Where they are on the device.
    pub fn new(paths: &Paths) -> Self {
        Self(paths.notes())
    }
}

fn failed(failure: protocol::control::Failure) -> Error {
    Error::State(failure.message)
}

impl StateStore for Notes {
    fn load(&mut self) -> Result<Option<State>, Error> {
        let Some(bytes) = files::read(&self.0.join("state.json")).map_err(failed)? else {
            return Ok(None);
        };
        match serde_json::from_slice(&bytes) {
            Ok(state) => Ok(Some(state)),
            Err(error) => {
                // The running release's own sequence and floor still hold.
                eprintln!("notes of the updater cannot be understood and begin anew: {error}");
                Ok(None)
            }
        }
    }

    fn save(&mut self, state: &State) -> Result<(), Error> {
        let bytes = serde_json::to_vec(state).map_err(|e| Error::State(e.to_string()))?;
        files::write(&self.0.join("state.json"), &bytes).map_err(failed)
    }

    fn load_desired(&mut self) -> Result<Option<Vec<u8>>, Error> {
        files::read(&self.0.join("desired.cbor")).map_err(failed)
    }

    fn save_desired(&mut self, body: &[u8]) -> Result<(), Error> {
        files::write(&self.0.join("desired.cbor"), body).map_err(failed)
    }
}
