//! A gateway in QEMU, and the fleet server beside it, as values that a test can tell a story with:
//! boot, wait for, deploy, expect, cut power, boot again.
//!
//! | module | what |
//! |---|---|
//! | [`board`] | the boards that QEMU plays, and how its models differ |
//! | [`gateway`] | a device: card, machine, console commands |
//! | [`fleet_server`] | the fleet server beside it |
//! | [`releases`] | good and broken releases, built once |
//! | [`demo`] | what `cargo xtask demo` does |
//! | [`provision`] | `device.toml` for the stories |
//! | [`samples`] | the sample app: signed, unsigned, torn |
//! | [`checks`] | looks at a card with tools that are not ours |
//! | [`damage`] | damage to a card's data partition |
//! | [`fake_slot`] | slots for the boot loader alone |
//! | [`soak`] | power cuts without end |
//! | [`seeded`] | the programs for both: how often, by which seed |
//! | [`replay`] | power cuts between the writes of an update that was logged |
//! | [`write_log`] | the log of a card's writes, and cards made of its beginning |
//! | [`bench`] | figures of booted images |
//! | [`card`] | the SD card: a copy of a built image, to write on, read from and damage |
//! | [`device_tree`] | the tree that the firmware would pass, edited for QEMU |
//! | [`qemu`] | one machine; dropping it cuts its power |
//! | [`console`] | its serial line: the whole log, waiting for text, typing |
//! | [`qmp`] | QEMU's control socket |
//! | [`debian`] | Debian's own software as snaps |
//! | [`web`] | a web server of files for gateways |
//! | [`stick`] | USB sticks that are plugged in and pulled out |
//! | [`wire`] | the other end of a serial port that is plugged in |
//! | [`child`] | child processes that never outlive the test |
//! | [`ports`] | ports of the host that lead to a gateway's |
//! | [`limits`] | how long things may take |
//!
//! What always holds: a child never outlives the process that started it; at most
//! [`limits::MACHINES`] QEMUs run at once in one process; each machine's console is kept in
//! `target/hil/NAME.log`, also when the test fails.

pub mod bench;
pub mod board;
pub mod card;
pub mod checks;
pub mod child;
pub mod console;
pub mod damage;
pub mod debian;
pub mod demo;
pub mod device_tree;
pub mod error;
pub mod fake_slot;
pub mod fleet_server;
pub mod gateway;
pub mod limits;
pub mod paths;
pub mod ports;
pub mod provision;
pub mod qemu;
pub mod qmp;
pub mod releases;
pub mod replay;
pub mod samples;
pub mod seeded;
pub mod soak;
pub mod stick;
pub mod web;
pub mod wire;
pub mod write_log;

pub use error::{Error, Result};
