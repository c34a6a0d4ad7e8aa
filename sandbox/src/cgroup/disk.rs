//! Block devices by number, as `io.max` and `io.stat` name them.

use crate::error::{Context, Error, Result};
use std::{fmt, fs, os::unix::fs::MetadataExt, path::Path};

/// Major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Number of the driver.
    pub major: u32,
    /// Number of the device among the driver's.
    pub minor: u32,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl Device {
    /// `179:0`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// The whole disk that holds the file system of `path`: of a partition, the disk that it is on.
pub fn disk_below(path: &Path) -> Result<Device> {
    let number = fs::metadata(path).context("look at", path.display())?.dev();
    let device = Device { major: rustix::fs::major(number), minor: rustix::fs::minor(number) };
    let entry = Path::new("/sys/dev/block").join(device.to_string());
    if !entry.exists() {
        return Err(Error::Invalid {
            what: format!("disk of {}", path.display()),
            why: format!("its file system is on no block device ({device})"),
        });
    }
    if !entry.join("partition").exists() {
        return Ok(device);
    }
    // The link leads to the partition's directory, which lies in its disk's.
    let file = fs::canonicalize(&entry).context("follow", entry.display())?.join("../dev");
    let text = fs::read_to_string(&file).context("read", file.display())?;
    Device::parse(&text).ok_or_else(|| Error::Invalid {
        what: file.display().to_string(),
        why: format!("{text:?} is not a device number"),
    })
}
