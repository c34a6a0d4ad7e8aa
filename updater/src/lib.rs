//! The A/B updater: a state machine without clock, disk or network of its own.
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | [`machine::Updater`]: follows the desired release, one bounded step at a time |
//! | [`policy`] | whether it may go on now: holds, windows |
//! | [`accept`] | which desired release is followed, and why another is refused |
//! | [`install`] | plan, fetch, write, read back |
//! | [`delta`] | chunks as changes to the running slot |
//! | `digest` | SHA-256 of chunks and images |
//! | [`verdict`] | how a trial ended, judged after a boot |
//! | [`state`] | what survives a power cut |
//! | [`notes`], [`durable`] | how it is kept in files |
//! | [`ports`] | what the machine needs from the world: storage, transport, boot control, state |
//! | [`keyring`] | the key set in force, and its successors |
//! | [`mutant`] | bugs put in on purpose, for the simulator |
//! | [`error`] | every refusal and failure with its frozen code |
//!
//! Invariants, whatever happens between two operations:
//! - the running and the confirmed slot are never written;
//! - nothing is staged that was not read back from the slot and matched the signed manifest;
//! - a trial that points to the slot to be written is dropped before the first write;
//! - a release that fell back is not tried again until told.
//!
//! The binary `updaterd` gives the machine a card, a network and a broker.

pub mod accept;
pub mod delta;
mod digest;
pub mod durable;
pub mod error;
pub mod install;
pub mod keyring;
pub mod machine;
pub mod mutant;
pub mod notes;
pub mod policy;
pub mod ports;
pub mod state;
pub mod verdict;

pub use error::Error;
pub use machine::{Next, Updater};
