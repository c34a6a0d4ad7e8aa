//! Interim: kernel and U-Boot from the folder HOLDFAST_KERNEL_DIR, until `sources` stands.

use crate::{Error, Result, board::Board};
use std::path::PathBuf;

/// Where the foreign parts are.
pub struct Sources {
    /// Kernel `Image`.
    pub kernel: PathBuf,
    /// Folder of device trees.
    pub dtb_dir: PathBuf,
    /// U-Boot.
    pub u_boot: PathBuf,
    /// Folder of the Pi firmware.
    pub firmware_dir: Option<PathBuf>,
}

/// From the environment.
pub fn obtain(_board: &Board) -> Result<Sources> {
    let dir = std::env::var_os("HOLDFAST_KERNEL_DIR")
        .ok_or_else(|| Error::Sources("HOLDFAST_KERNEL_DIR is not set".into()))?;
    let dir = PathBuf::from(dir);
    Ok(Sources {
        kernel: dir.join("Image"),
        dtb_dir: dir.join("dtb"),
        u_boot: dir.join("u-boot-rpi.bin"),
        firmware_dir: None,
    })
}
