//! Static programs for the device's processor out of Debian's packages: `e2fsck`, which the root
//! file system carries, and `busybox`, what benchmarks compare with.

use super::cache::Cache;
use super::lock::Part;
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Raise when the steps below change.
const RECIPE: &str = "program 1";
/// Name of the file with the licences, beside the program.
pub const COPYRIGHT: &str = "copyright";

/// A program and the package that has it.
pub(super) struct Program {
    /// Name of the file that is kept, and of the part in the cache.
    name: &'static str,
    /// Debian's name of the package.
    package: &'static str,
    part: Part,
    /// Where the package has it, on a system with a merged `/usr`, and before.
    places: [&'static str; 2],
}

/// Checks and repairs ext4.
pub(super) const E2FSCK: Program = Program {
    name: "e2fsck",
    package: "e2fsck-static",
    part: Part::E2fsck,
    places: ["usr/sbin/e2fsck.static", "sbin/e2fsck.static"],
};
/// A shell with everything, in no image.
pub(super) const BUSYBOX: Program = Program {
    name: "busybox",
    package: "busybox-static",
    part: Part::Busybox,
    places: ["usr/bin/busybox", "bin/busybox"],
};

/// Unpacks program and licences, or takes them out of the cache; returns the program's path.
pub(super) fn unpack(cache: &Cache, program: &Program) -> Result<PathBuf> {
    let Program { name, package, part, places } = program;
    let folder = cache.part_of(*part, name, &[RECIPE.as_bytes()], |shop, file| {
        let mut unpack = Command::new("dpkg-deb");
        shop.steps.run("unpacking", unpack.arg("-x").arg(file).arg(shop.work))?;
        let found = places.iter().map(|place| shop.work.join(place)).find(|path| path.is_file());
        let found = found.ok_or_else(|| super::failed(format!("{package} has no {name}")))?;
        copy(&found, &shop.out.join(name))?;
        let licences = format!("usr/share/doc/{package}/copyright");
        copy(&shop.work.join(licences), &shop.out.join(COPYRIGHT))
    })?;
    Ok(folder.join(name))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).map_err(Error::file("copy", from))
}
