//! Kernel, U-Boot, firmware, e2fsck, and what benchmarks compare with: fetched by apt, built once,
//! cached.
//!
//! | module | what |
//! |---|---|
//! | [`lock`] | `board-support/sources/sources.lock.toml`: package, version, file, SHA-256 |
//! | [`apt`] | a private apt: its own lists, state and cache; the machine's is not touched |
//! | [`cache`] | built parts by the hash of their inputs, published by rename |
//! | [`step`] | one external program: log file, progress lines, the log's tail when it fails |
//! | [`kconfig`] | was every option of a fragment accepted |
//! | [`kernel`], [`uboot`], [`firmware`], [`program`] | the recipes |
//!
//! What always holds: no byte is used whose SHA-256 is not in the lock file; a folder under its
//! final name in the cache is complete; two builders never build the same part at once.

pub mod apt;
pub mod cache;
pub mod firmware;
pub mod kconfig;
pub mod kernel;
pub mod lock;
pub mod program;
pub mod step;
pub mod uboot;

pub use cache::Cache;
pub use kernel::KernelArtifacts;

use crate::board::Board;
use crate::{Error, Result};
use std::path::PathBuf;

/// Everything that an image of a board needs from others.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The uncompressed arm64 `Image`.
    pub kernel: PathBuf,
    /// Folder with the device trees, file names as the kernel builds them.
    pub dtb_dir: PathBuf,
    /// `u-boot.bin`.
    pub u_boot: PathBuf,
    /// Folder with the files of Pi firmware; absent on boards that need none.
    pub firmware_dir: Option<PathBuf>,
    /// `e2fsck` for the device, with [`program::COPYRIGHT`] beside it.
    pub e2fsck: PathBuf,
}

/// Kernel, U-Boot, firmware and e2fsck for a board: out of the cache, or fetched and built now.
///
/// Prints progress to standard error while it builds; a first build takes minutes.
///
/// # Errors
/// [`Error::Sources`], naming the step, and with the tail of its log.
pub fn obtain(board: &Board) -> Result<Sources> {
    let cache = Cache::open()?;
    let firmware_dir = match board.image.firmware.is_empty() {
        true => None,
        false => Some(cache.firmware()?),
    };
    let u_boot = cache.uboot(board.image.u_boot)?;
    let KernelArtifacts { image, dtbs } = cache.kernel()?;
    let e2fsck = cache.e2fsck()?;
    Ok(Sources { kernel: image, dtb_dir: dtbs, u_boot, firmware_dir, e2fsck })
}

/// An error of this module: what was done to what, and why it failed.
fn failed(text: impl Into<String>) -> Error {
    Error::Sources(text.into())
}
