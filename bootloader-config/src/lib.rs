//! How a device chooses what to boot: disk layout, slots, U-Boot environment, boot script.
//!
//! `no_std`, no I/O, no allocation: init, the image builder, the updater and the tests all use the
//! same code, so the layout and the decision exist once.
//!
//! - [`layout`]: where everything lies on the card, in bytes
//! - [`slots`]: the state machine: [`slots::SlotState`], [`slots::decide`], transitions
//! - [`panics`]: panics in a row, counted in RAM, which turn the order of the slots
//! - [`environment`]: both copies of the stored U-Boot environment, and which to write next
//! - [`rollback`]: what is remembered against rollbacks; decides nothing at boot
//! - [`store`]: how a change is stored, step by step, on anything that holds two copies
//! - [`script`]: the boot script (U-Boot's default environment) and `autoboot.txt`
//!
//! What always holds: the confirmed slot has no counter that a power cut could raise, and none on
//! the card; a value that could not be read is [`slots::Reading::Unreadable`] and is never taken
//! for good or bad; every encoding of the environment goes to the copy that is not in use.
#![cfg_attr(not(test), no_std)]

pub mod environment;
mod error;
pub mod layout;
pub mod panics;
pub mod rollback;
pub mod script;
pub mod slots;
pub mod store;

pub use error::Error;
