//! `device.toml`: checked, and written into the boot partition of an image or a card.

use crate::{Error, Result};
use protocol::device::DeviceConfig;
use std::path::Path;

/// Name on the boot partition.
pub const FILE: &str = "device.toml";
/// What a new card has: everything explained, nothing set.
const TEMPLATE: &str = include_str!("../device.template.toml");
/// Largest `device.toml` in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The text for the boot partition: a file, checked; or the template.
pub fn text(path: Option<&Path>) -> Result<String> {
    let Some(path) = path else { return Ok(TEMPLATE.into()) };
    let size = path.metadata().map_err(Error::file("read", path))?.len();
    if size > MAX_FILE {
        return Err(Error::TooLarge { what: path.display().to_string(), size, limit: MAX_FILE });
    }
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    toml::from_str::<DeviceConfig>(&text)
        .map_err(|e| Error::input(format!("{}: {e}", path.display())))?;
    Ok(text)
}
