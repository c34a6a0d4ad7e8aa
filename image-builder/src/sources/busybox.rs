//! The program out of Debian's package `busybox-static` for arm64: what benchmarks compare with.

use super::cache::Cache;
use super::lock::Part;
use crate::{Error, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Raise when the steps below change.
const RECIPE: &str = "busybox 1";
/// Where the package has it, on a system with a merged `/usr`, and before.
const PLACES: [&str; 2] = ["usr/bin/busybox", "bin/busybox"];

/// Unpacks it, or takes it out of the cache; returns the program's path.
pub(super) fn unpack(cache: &Cache) -> Result<PathBuf> {
    let folder =
        cache.part_of(Part::Busybox, "busybox", &[RECIPE.as_bytes()], |shop, package| {
            let mut unpack = Command::new("dpkg-deb");
            shop.steps.run("unpacking", unpack.arg("-x").arg(package).arg(shop.work))?;
            let found =
                PLACES.iter().map(|place| shop.work.join(place)).find(|path| path.is_file());
            let program = found.ok_or_else(|| super::failed("the package has no busybox"))?;
            let kept = shop.out.join("busybox");
            fs::copy(&program, &kept).map(drop).map_err(Error::file("copy", &program))
        })?;
    Ok(folder.join("busybox"))
}
