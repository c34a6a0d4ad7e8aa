//! `device.toml` for the gateways of the stories: all of them have the prompt on the serial
//! console.

use protocol::device::{ConsoleConfig, DeviceConfig, TimeConfig};

/// A gateway of its own, that asks nobody for the time.
pub fn stand_alone(name: &str) -> DeviceConfig {
    DeviceConfig {
        name: Some(name.into()),
        console: ConsoleConfig { enabled: true },
        time: TimeConfig { servers: Vec::new(), zone: None },
        ..DeviceConfig::default()
    }
}
