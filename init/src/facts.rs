//! What is known about this boot before anything runs: the kernel's command line, the release, the
//! board.

use crate::{Result, error::At, files};
use protocol::{
    control::{BootKind, SlotName},
    release::BuildInfo,
};
use std::path::Path;

/// Where the image says what it is.
pub const RELEASE: &str = "/etc/holdfast/release.json";
/// Health time-out where the release does not say.
const DEFAULT_HEALTH_TIMEOUT_S: u32 = 180;
/// Longest release file in bytes.
const RELEASE_LIMIT: u64 = 16 << 10;

/// The facts.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What the root file system is.
    pub release: BuildInfo,
    /// Why that could not be read: what the release asks for is then not known, and no trial of it
    /// is confirmed.
    pub release_unknown: Option<String>,
    /// Running slot.
    pub slot: SlotName,
    /// How the boot loader chose.
    pub kind: BootKind,
    /// Random id of this boot.
    pub boot_id: String,
    /// Serial number of the board.
    pub serial: Option<String>,
}

impl Facts {
    /// Reads them; what is missing has a default and a warning.
    pub fn read(warnings: &mut Vec<String>) -> Self {
        let command_line = files::read_line("/proc/cmdline").unwrap_or_default();
        let slot = match argument(&command_line, "holdfast.slot=") {
            Some("a") => SlotName::A,
            Some("b") => SlotName::B,
            other => {
                warnings.push(format!("kernel argument holdfast.slot is {other:?}; taken as a"));
                SlotName::A
            }
        };
        let kind = match argument(&command_line, "holdfast.boot=") {
            Some("confirmed") => BootKind::Confirmed,
            Some("trial") => BootKind::Trial,
            Some("fallback") => BootKind::Fallback,
            other => {
                warnings.push(format!(
                    "kernel argument holdfast.boot is {other:?}; taken as confirmed"
                ));
                BootKind::Confirmed
            }
        };
        let (release, release_unknown) = match read_release(Path::new(RELEASE)) {
            Ok(release) => (release, None),
            Err(error) => (unknown_release(), Some(error.to_string())),
        };
        warnings.extend(release_unknown.clone());
        Self {
            release,
            release_unknown,
            slot,
            kind,
            boot_id: files::read_line("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
            serial: files::read_line("/proc/device-tree/serial-number").filter(|s| !s.is_empty()),
        }
    }

    /// `holdfast-SERIAL`, or `holdfast` on a board without one.
    pub fn default_hostname(&self) -> String {
        let serial: String = self
            .serial
            .iter()
            .flat_map(|serial| serial.chars())
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        match serial.trim_start_matches('0') {
            "" => "holdfast".into(),
            serial => format!("holdfast-{serial}"),
        }
    }
}

fn argument<'a>(command_line: &'a str, name: &str) -> Option<&'a str> {
    command_line.split_whitespace().find_map(|word| word.strip_prefix(name))
}

/// The release file of a root file system.
pub fn read_release(path: &Path) -> Result<BuildInfo> {
    let bytes = files::read_bounded(path, RELEASE_LIMIT)?;
    let release: BuildInfo =
        serde_json::from_slice(&bytes).map_err(std::io::Error::from).at("parse", path)?;
    let checked = protocol::checks::validate(&release.checks);
    checked.map_err(std::io::Error::other).at("parse", path)?;
    Ok(release)
}

fn unknown_release() -> BuildInfo {
    BuildInfo {
        product: "holdfast".into(),
        board: "unknown".into(),
        version: "unknown".into(),
        sequence: 0,
        floor: 0,
        build_time: 0,
        health_timeout_s: DEFAULT_HEALTH_TIMEOUT_S,
        fleet_required: false,
        checks: Vec::new(),
    }
}

/// `a` or `b`.
pub fn letter(slot: SlotName) -> &'static str {
    match slot {
        SlotName::A => "a",
        SlotName::B => "b",
    }
}

/// `confirmed`, `trial` or `fallback`.
pub fn kind_name(kind: BootKind) -> &'static str {
    match kind {
        BootKind::Confirmed => "confirmed",
        BootKind::Trial => "trial",
        BootKind::Fallback => "fallback",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_the_command_line() {
        let line = "console=ttyAMA0 ro holdfast.slot=b holdfast.boot=trial";
        assert_eq!(argument(line, "holdfast.slot="), Some("b"));
        assert_eq!(argument(line, "holdfast.boot="), Some("trial"));
        assert_eq!(argument(line, "holdfast.none="), None);
    }

    #[test]
    fn a_check_of_an_unknown_kind_is_refused_by_name() {
        let path = std::env::temp_dir().join(format!("release-{}.json", std::process::id()));
        let mut release = serde_json::to_value(unknown_release()).unwrap();
        for (checks, why) in [
            (serde_json::json!(["service:timed", "fleet:60"]), None),
            (serde_json::json!(["service:timed", "disk:90"]), Some("kind \"disk\" is unknown")),
            (serde_json::json!(["fleet:60", "fleet:60"]), Some("stands twice")),
        ] {
            release["checks"] = checks;
            std::fs::write(&path, release.to_string()).unwrap();
            let error = read_release(&path).err().map(|error| error.to_string());
            match (&error, why) {
                (None, None) => {}
                (Some(error), Some(why)) => assert!(error.contains(why), "{error}"),
                other => panic!("{other:?}"),
            }
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_name_is_made_of_the_serial_number() {
        let facts = |serial: Option<&str>| Facts {
            release: unknown_release(),
            release_unknown: None,
            slot: SlotName::A,
            kind: BootKind::Confirmed,
            boot_id: String::new(),
            serial: serial.map(String::from),
        };
        assert_eq!(facts(Some("00000000A1b2C3d4")).default_hostname(), "holdfast-a1b2c3d4");
        assert_eq!(facts(Some("0000000000000000")).default_hostname(), "holdfast");
        assert_eq!(facts(None).default_hostname(), "holdfast");
    }
}
