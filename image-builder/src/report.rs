//! Sizes for people, and the repository file that Raspberry Pi Imager reads.

use crate::{Error, ImageSpec, Result, board::Board};
use protocol::keys::to_hex;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{fmt, fs, path::Path};

/// The compressed SD image may have this many bytes at most.
pub const COMPRESSED_LIMIT: u64 = 24_000_000;

/// Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Kernel, uncompressed.
    pub kernel: u64,
    /// Root file system, uncompressed.
    pub root: u64,
    /// Slot image.
    pub slot_image: u64,
    /// Payload container.
    pub payload: u64,
    /// What is written of the SD image.
    pub mapped: Option<u64>,
    /// Compressed SD image.
    pub compressed: Option<u64>,
    /// Device programs by name.
    pub programs: Vec<(String, u64)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line =
            |what: &str, bytes: u64| writeln!(f, "{what:<22} {:>9.2} MB", bytes as f64 / 1e6);
        line("kernel", self.kernel)?;
        line("root file system", self.root)?;
        for (name, size) in &self.programs {
            line(&format!("  {name}"), *size)?;
        }
        line("slot image", self.slot_image)?;
        line("release payload", self.payload)?;
        if let Some(mapped) = self.mapped {
            line("written to the card", mapped)?;
        }
        if let Some(compressed) = self.compressed {
            line("compressed SD image", compressed)?;
        }
        Ok(())
    }
}

/// The repository file for one image, beside it: `rpi-imager --repo FILE`.
pub fn imager_json(
    spec: &ImageSpec,
    board: &Board,
    image: &Path,
    compressed: &Path,
    build_time: u64,
) -> Result<String> {
    let raw = fs::read(image).map_err(Error::file("read", image))?;
    let packed = fs::read(compressed).map_err(Error::file("read", compressed))?;
    let name = compressed.file_name().unwrap_or_default().to_string_lossy();
    let entry = json!({
        "name": format!("Holdfast {}", spec.version),
        "description": board.description,
        "icon": "",
        "url": name,
        "extract_size": raw.len(),
        "extract_sha256": to_hex(&Sha256::digest(&raw)),
        "image_download_size": packed.len(),
        "image_download_sha256": to_hex(&Sha256::digest(&packed)),
        "release_date": crate::fat::civil_date(build_time),
        "init_format": "none",
        "devices": board.image.imager_devices,
    });
    let mut text =
        serde_json::to_string_pretty(&json!({ "os_list": [entry] })).expect("plain values encode");
    text.push('\n');
    Ok(text)
}
