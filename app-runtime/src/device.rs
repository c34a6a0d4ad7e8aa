//! What people set for the device as a whole, `device.toml`, as far as apps are concerned.

use crate::paths::Paths;
use protocol::device::DeviceConfig;
use std::fs;

/// What is set now; nothing when there is no file, or none that can be read.
pub fn config(paths: &Paths) -> DeviceConfig {
    let text = fs::read_to_string(paths.device_toml()).unwrap_or_default();
    toml::from_str(&text).unwrap_or_else(|error| {
        eprintln!("device.toml is not followed: {error}");
        DeviceConfig::default()
    })
}
