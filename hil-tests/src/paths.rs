//! Where the harness keeps its files, all below cargo's target folder.

use crate::error::{Result, file};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Root of the work tree.
pub fn work_tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate has a parent").to_path_buf()
}

pub use image_builder::binaries::target;

/// `target/hil`, made when missing.
pub fn hil() -> Result<PathBuf> {
    let folder = target().join("hil");
    std::fs::create_dir_all(&folder).map_err(file("make", &folder))?;
    Ok(folder)
}

/// Only one process at a time makes what all stories share: releases, keys, the sample app. Others
/// wait until the returned lock is dropped.
pub fn making() -> Result<File> {
    let path = hil()?.join("making.lock");
    let lock = File::create(&path).map_err(file("make", &path))?;
    lock.lock().map_err(file("lock", &path))?;
    Ok(lock)
}
