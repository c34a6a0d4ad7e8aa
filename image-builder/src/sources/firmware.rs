//! Pi firmware out of Debian's package `raspi-firmware`: what a headless boot through U-Boot needs.

use super::cache::{Cache, Workshop};
use super::failed;
use super::lock::Part;
use crate::Result;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Raise when the steps below change.
const RECIPE: &str = "firmware 1";

/// Files that are kept; which of them a board needs is in its board file. `_cd` and `4cd` are the
/// cut-down firmware: no codecs, no camera, no 3D. It starts with `gpu_mem=16`.
pub const KEPT: [&str; 9] = [
    "bootcode.bin",
    "start.elf",
    "fixup.dat",
    "start_cd.elf",
    "fixup_cd.dat",
    "start4.elf",
    "fixup4.dat",
    "start4cd.elf",
    "fixup4cd.dat",
];

/// Unpacks it, or takes it out of the cache; returns the folder.
pub(super) fn unpack(cache: &Cache) -> Result<PathBuf> {
    cache.part_of(Part::Firmware, "firmware", &[RECIPE.as_bytes()], take)
}

fn take(shop: &Workshop<'_>, package: &Path) -> Result<()> {
    let mut unpack = Command::new("dpkg-deb");
    shop.steps.run("unpacking", unpack.arg("-x").arg(package).arg(shop.work))?;
    for name in KEPT {
        let from = shop.work.join("usr/lib/raspi-firmware").join(name);
        copy(&from, &shop.out.join(name))?;
    }
    let licence = shop.work.join("usr/share/doc/raspi-firmware/copyright");
    copy(&licence, &shop.out.join("LICENCE.broadcom"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    match fs::copy(from, to) {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(format!("raspi-firmware: {}: {error}", from.display()))),
    }
}
