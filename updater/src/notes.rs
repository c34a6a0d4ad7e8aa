//! The updater's durable memory in a folder: `state.json` and `desired.cbor`, each replaced as one.

use crate::durable::{self, Folder};
use crate::error::Error;
use crate::ports::StateStore;
use crate::state::State;
use protocol::control::Failure;

/// The saved state.
pub const STATE: &str = "state.json";
/// The last body of `desired` whose assignment verified.
pub const DESIRED: &str = "desired.cbor";

/// Notes in a folder.
#[derive(Debug)]
pub struct Notes<F>(pub F);

fn failed(failure: Failure) -> Error {
    Error::State(failure.message)
}

impl<F: Folder> StateStore for Notes<F> {
    fn load(&mut self) -> Result<Option<State>, Error> {
        let Some(bytes) = self.0.read(STATE).map_err(failed)? else { return Ok(None) };
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
        durable::replace(&mut self.0, STATE, &bytes).map_err(failed)
    }

    fn load_desired(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.0.read(DESIRED).map_err(failed)
    }

    fn save_desired(&mut self, body: &[u8]) -> Result<(), Error> {
        durable::replace(&mut self.0, DESIRED, body).map_err(failed)
    }
}
