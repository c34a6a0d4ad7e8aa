//! A gateway in QEMU, and the fleet server beside it, as values that a test can tell a story with:
//! boot, wait for, deploy, expect, cut power, boot again.
//!
//! | module | what |
//! |---|---|
//! | [`card`] | the SD card: a copy of a built image, to write on, read from and damage |
//! | [`device_tree`] | the tree that the firmware would pass, edited for QEMU |
//! | [`qemu`] | one machine; dropping it cuts its power |
//! | [`console`] | its serial line: the whole log, waiting for text, typing |
//! | [`qmp`] | QEMU's control socket |
//! | [`child`] | child processes that never outlive the test |
//! | [`limits`] | how long things may take |
//!
//! What always holds: a child never outlives the process that started it; at most
//! [`limits::MACHINES`] QEMUs run at once in one process; each machine's console is kept in
//! `target/hil/NAME.log`, also when the test fails.

pub mod card;
pub mod child;
pub mod console;
pub mod device_tree;
pub mod error;
pub mod limits;
pub mod paths;
pub mod qemu;
pub mod qmp;

pub use error::{Error, Result};
