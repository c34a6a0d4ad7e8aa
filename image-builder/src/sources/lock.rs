//! The lock file: which source packages, byte for byte.

use super::failed;
use crate::{Error, Result, board::workspace_root};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// What precedes the entries in the lock file.
const HEAD: &str = "\
# What kernel, U-Boot and Pi firmware are made of, and programs of others. Fetched through apt,
# whose signatures are checked; rewritten when a version has left the mirror.
";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Linux: a binary package that holds the source.
    pub kernel: Locked,
    /// U-Boot: the upstream tarball of a source package.
    pub u_boot: Locked,
    /// Pi firmware: a binary package.
    pub firmware: Locked,
    /// The static e2fsck for the device's processor, a part of the root file system.
    pub e2fsck: Locked,
    /// busybox for the device's processor, what benchmarks compare with; in no image.
    pub busybox: Locked,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Debian package (source package for U-Boot).
    pub package: String,
    /// Debian version.
    pub version: String,
    /// File name, without folder.
    pub file: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// Names of the parts, as in the lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Linux.
    Kernel,
    /// U-Boot.
    UBoot,
    /// Pi firmware.
    Firmware,
    /// e2fsck, of the device's architecture.
    E2fsck,
    /// busybox, of the device's architecture.
    Busybox,
}

impl Lock {
    /// The entry of a part.
    pub fn get(&self, part: Part) -> &Locked {
        match part {
            Part::Kernel => &self.kernel,
            Part::UBoot => &self.u_boot,
            Part::Firmware => &self.firmware,
            Part::E2fsck => &self.e2fsck,
            Part::Busybox => &self.busybox,
        }
    }
}

/// The file itself.
#[derive(Debug, Clone)]
pub struct LockFile(PathBuf);

impl LockFile {
    /// The work tree's.
    pub fn of_work_tree() -> LockFile {
        LockFile(workspace_root().join("board-support/sources/sources.lock.toml"))
    }

    /// Another one.
    pub fn at(path: impl Into<PathBuf>) -> LockFile {
        LockFile(path.into())
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Reads it.
    pub fn load(&self) -> Result<Lock> {
        let path = self.path();
        let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
        toml::from_str(&text).map_err(|error| failed(format!("{}: {error}", path.display())))
    }

    /// Replaces one entry in the file, by a new file and a rename.
    pub fn replace(&self, part: Part, entry: Locked) -> Result<()> {
        let mut lock = self.load()?;
        match part {
            Part::Kernel => lock.kernel = entry,
            Part::UBoot => lock.u_boot = entry,
            Part::Firmware => lock.firmware = entry,
            Part::E2fsck => lock.e2fsck = entry,
            Part::Busybox => lock.busybox = entry,
        }
        let body = toml::to_string(&lock).map_err(|error| failed(error.to_string()))?;
        let path = self.path();
        let next = path.with_extension("toml.next");
        fs::write(&next, format!("{HEAD}\n{body}")).map_err(Error::file("write", &next))?;
        fs::rename(&next, path).map_err(Error::file("replace", path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_names_every_source_with_a_digest() {
        let lock =
            LockFile::of_work_tree().load().expect("the lock file in the repository is valid");
        let all = [Part::Kernel, Part::UBoot, Part::Firmware, Part::E2fsck, Part::Busybox];
        for part in all {
            let entry = lock.get(part);
            assert_eq!(entry.sha256.len(), 64, "{}", entry.package);
            assert!(!entry.file.contains('/'), "{}", entry.file);
        }
    }
}
