//! What the machine needs from the world. A simulator can stand behind each of these and cut the
//! power at any call.

use crate::error::Error;
use crate::state::State;
use protocol::control::{BootRecord, SlotName, SystemStatus};
use std::ops::Range;

pub use protocol::payload::Chunk;

/// The two slots: the one that runs is read, the other is written.
pub trait Storage {
    /// Chunks that fit the slot to write.
    fn chunks(&self) -> u32;
    /// Chunks of the running slot that its image takes; what lies behind them is of no use.
    fn running_chunks(&self) -> u32 {
        self.chunks()
    }
    /// Reads a chunk of the running slot.
    fn read_running(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error>;
    /// Reads any bytes of the running slot.
    fn read_running_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Error>;
    /// Reads a chunk of the slot to write, from the card where that can be had.
    fn read_target(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error>;
    /// Writes a chunk of the slot to write; durable only after [`Storage::sync_target`].
    fn write_target(&mut self, chunk: u32, from: &Chunk) -> Result<(), Error>;
    /// Makes all earlier writes durable, and later reads come from the card.
    fn sync_target(&mut self) -> Result<(), Error>;
}

/// Where containers are fetched from.
pub trait Transport {
    /// Fetches exactly `range` of what `source` names, into `into` (cleared before).
    ///
    /// Errors: [`Error::PayloadTruncated`] when the source ends before the range does,
    /// [`Error::NotServed`] and [`Error::NotYet`] when it has nothing there,
    /// [`Error::Unreachable`] for all else.
    fn fetch(&mut self, source: &str, range: Range<u64>, into: &mut Vec<u8>) -> Result<(), Error>;
}

/// init, which alone writes the boot environment.
pub trait BootControl {
    /// What runs, what is confirmed.
    fn status(&mut self) -> Result<SystemStatus, Error>;
    /// The recorded boots, newest last.
    fn boots(&mut self) -> Result<Vec<BootRecord>, Error>;
    /// Sets the trial, durably.
    fn stage(&mut self, slot: SlotName, attempts: u8) -> Result<(), Error>;
    /// Forgets a trial, durably.
    fn drop_trial(&mut self) -> Result<(), Error>;
    /// Raises the environment's marks against rollbacks to these, durably, and replaces those that
    /// cannot be understood.
    fn restore_marks(&mut self, sequence: u64, floor: u64) -> Result<(), Error>;
    /// Asks for an orderly reboot.
    fn reboot(&mut self, reason: &str) -> Result<(), Error>;
    /// Shows whether a slot is being written; only for people, so it cannot fail.
    fn updating(&mut self, on: bool);
}

/// The updater's durable memory. Each save is atomic and durable when it returns.
pub trait StateStore {
    /// The saved state; `None` when there never was one or it cannot be understood.
    fn load(&mut self) -> Result<Option<State>, Error>;
    /// Replaces the state.
    fn save(&mut self, state: &State) -> Result<(), Error>;
    /// The saved body of `desired`.
    fn load_desired(&mut self) -> Result<Option<Vec<u8>>, Error>;
    /// Replaces the saved body of `desired`.
    fn save_desired(&mut self, body: &[u8]) -> Result<(), Error>;
}
