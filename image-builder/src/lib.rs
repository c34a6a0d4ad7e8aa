//! Makes what a device boots from: SD image, slot image, release; and the keys, snaps and cards
//! around it.
//!
//! | module | what |
//! |---|---|
//! | [`spec`] | what to build, and what came out: the types that callers use |
//! | [`build`] | the order of the steps |
//! | [`board`] | the part of a board file that concerns the build |
//! | [`sources`] | kernel, U-Boot, firmware and e2fsck: fetched, built, cached |
//! | [`binaries`] | the programs that run on the device |
//! | [`rootfs`] | the root tree and its EROFS |
//! | [`verity`] | dm-verity hash tree |
//! | [`trees`] | device trees, with what the kernel's leave off |
//! | [`fit`] | the FIT with kernel, device trees and command line |
//! | [`fat`] | FAT volumes with fixed times |
//! | [`slot`] | the slot image out of all these |
//! | [`data`] | the data partition's file system, and the template of it that devices carry |
//! | [`disk`] | the SD image: partition table, environment, boot, slots, data |
//! | [`bmap`] | which blocks of the image matter, with checksums |
//! | [`release`] | manifest and payload; signing, inspecting, verifying |
//! | [`keys`] | key pairs and the signed key set |
//! | [`app`] | packs and signs a snap |
//! | [`flash`] | writes an image to a card |
//! | [`provision`] | writes `device.toml` into an image or a card |
//! | [`report`] | sizes for people; the repository file of Raspberry Pi Imager |
//! | [`tool`] | the foreign programs, run with clear errors |
//!
//! What always holds: the same inputs give the same bytes; no root rights, no loop devices, no
//! mounts.

pub mod app;
pub mod binaries;
pub mod bmap;
pub mod board;
pub mod build;
pub mod data;
pub mod disk;
pub mod error;
pub mod fat;
pub mod fit;
pub mod flash;
pub mod keys;
pub mod provision;
pub mod release;
pub mod report;
pub mod rootfs;
pub mod slot;
pub mod sources;
pub mod spec;
pub mod tool;
pub mod trees;
pub mod verity;

pub use build::build;
pub use error::{Error, Result};
pub use spec::{Binaries, BuiltImage, Fault, ImageSpec, Outputs};
