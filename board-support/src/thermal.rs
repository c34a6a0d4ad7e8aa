//! Temperature of the system-on-chip, from the kernel's thermal zones.

use std::{fs, path::Path};

const ZONES: &str = "/sys/class/thermal";

/// Millidegrees Celsius of the first zone that can be read.
pub fn temperature_mc() -> Option<i32> {
    read_in(Path::new(ZONES))
}

fn read_in(zones: &Path) -> Option<i32> {
    let mut paths: Vec<_> = fs::read_dir(zones).ok()?.flatten().map(|e| e.path()).collect();
    paths.sort();
    paths
        .iter()
        .filter(|path| {
            path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("thermal_zone"))
        })
        .find_map(|path| fs::read_to_string(path.join("temp")).ok()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_zone_that_can_be_read() {
        let dir = std::env::temp_dir().join(format!("holdfast-thermal-{}", std::process::id()));
        for (zone, text) in
            [("cooling_device0", "1"), ("thermal_zone0", "?"), ("thermal_zone1", "48312\n")]
        {
            fs::create_dir_all(dir.join(zone)).unwrap();
            fs::write(dir.join(zone).join("temp"), text).unwrap();
        }
        assert_eq!(read_in(&dir), Some(48_312));
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(read_in(&dir), None);
    }
}
