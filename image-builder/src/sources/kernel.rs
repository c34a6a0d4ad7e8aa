//! The kernel: Debian's Linux source, our fragment on `allnoconfig`, everything built in.

use super::cache::{Cache, Workshop};
use super::lock::Part;
use super::{failed, kconfig};
use crate::{Error, Result, board::workspace_root};
use bootloader_config::layout::{RAMOOPS_ADDRESS, RAMOOPS_CONSOLE, RAMOOPS_RECORD, RAMOOPS_SIZE};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Raise when the steps below change.
const RECIPE: &str = "kernel 1";
/// Prefix of the cross compiler's programs.
pub(super) const CROSS: &str = "aarch64-linux-gnu-";
/// Fixed, so that the same inputs give the same bytes.
const BUILD_TIME: &str = "2025-01-01T00:00:00Z";

/// A built kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelArtifacts {
    /// The uncompressed arm64 `Image`.
    pub image: PathBuf,
    /// Folder with the device trees of all Pi boards, with the memory for pstore reserved in them.
    pub dtbs: PathBuf,
}

/// Builds it, or takes it out of the cache.
pub(super) fn build(cache: &Cache) -> Result<KernelArtifacts> {
    let path = workspace_root().join("board-support/sources/kernel.fragment");
    let fragment = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let compiler = compiler()?;
    let recipe = format!("{RECIPE} {BUILD_TIME} {RAMOOPS_ADDRESS:#x} {RAMOOPS_SIZE:#x}");
    let inputs = [recipe.as_bytes(), fragment.as_bytes(), compiler.as_bytes()];
    let folder = cache
        .part_of(Part::Kernel, "kernel", &inputs, |shop, package| make(shop, package, &fragment))?;
    Ok(KernelArtifacts { image: folder.join("Image"), dtbs: folder.join("dtbs") })
}

/// First line of the compiler's and the linker's `--version`: an input of every build.
pub(super) fn compiler() -> Result<String> {
    let mut text = String::new();
    for program in ["gcc", "ld"] {
        let name = format!("{CROSS}{program}");
        let output = Command::new(&name).arg("--version").output().map_err(|error| {
            failed(format!("{name}: {error} (Debian package gcc-aarch64-linux-gnu)"))
        })?;
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(version.lines().next().unwrap_or_default());
        text.push('\n');
    }
    Ok(text)
}

/// How many jobs `make` gets.
pub(super) fn jobs() -> String {
    format!("-j{}", std::thread::available_parallelism().map_or(1, usize::from))
}

fn make(shop: &Workshop<'_>, package: &Path, fragment: &str) -> Result<()> {
    let (work, steps) = (shop.work, shop.steps);
    let unpack = Command::new("dpkg-deb").arg("-x").arg(package).arg(work).output();
    let unpacked = unpack.map_err(Error::file("unpack", package))?;
    if !unpacked.status.success() {
        return Err(failed(String::from_utf8_lossy(&unpacked.stderr).into_owned()));
    }
    let tarball = work.join("usr/src/linux-source-6.12.tar.xz");
    steps.run("unpacking", Command::new("tar").arg("-xJf").arg(&tarball).arg("-C").arg(work))?;
    let tree = work.join("linux-source-6.12");
    let list = work.join("fragment");
    fs::write(&list, fragment).map_err(Error::file("write", &list))?;
    let make = || {
        let mut command = Command::new("make");
        command.arg("-C").arg(&tree).args(["ARCH=arm64", &format!("CROSS_COMPILE={CROSS}")]);
        for (name, value) in [
            ("KBUILD_BUILD_TIMESTAMP", BUILD_TIME),
            ("KBUILD_BUILD_USER", "holdfast"),
            ("KBUILD_BUILD_HOST", "holdfast"),
            ("KBUILD_BUILD_VERSION", "1"),
            ("LC_ALL", "C"),
        ] {
            command.env(name, value);
        }
        command
    };
    steps.run("configuring", make().arg("allnoconfig").env("KCONFIG_ALLCONFIG", &list))?;
    let config = tree.join(".config");
    let text = fs::read_to_string(&config).map_err(Error::file("read", &config))?;
    let missing = kconfig::not_accepted(fragment, &text);
    if !missing.is_empty() {
        let list = missing.join("\n  ");
        return Err(failed(format!("kernel.fragment: not accepted by Kconfig:\n  {list}")));
    }
    steps.run("compiling (4 to 10 minutes)", make().args([&jobs(), "Image", "dtbs"]))?;
    let image = shop.out.join("Image");
    fs::copy(tree.join("arch/arm64/boot/Image"), &image).map_err(Error::file("copy", &image))?;
    let dtbs = shop.out.join("dtbs");
    fs::create_dir(&dtbs).map_err(Error::file("create", &dtbs))?;
    let built = tree.join("arch/arm64/boot/dts/broadcom");
    for entry in fs::read_dir(&built).map_err(Error::file("list", &built))? {
        let entry = entry.map_err(Error::file("list", &built))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains("-rpi-") && name.ends_with(".dtb") {
            let tree = dtbs.join(&name);
            fs::copy(entry.path(), &tree).map_err(Error::file("copy", &tree))?;
            reserve_ramoops(shop, &tree)?;
        }
    }
    let kept = shop.out.join("config");
    fs::copy(&config, &kept).map_err(Error::file("copy", &kept))?;
    Ok(())
}

/// Adds the ramoops node to a device tree: a part of RAM that the kernel leaves alone and pstore
/// writes to. Addresses have as many cells as the tree's `/reserved-memory` says.
fn reserve_ramoops(shop: &Workshop<'_>, tree: &Path) -> Result<()> {
    const PARENT: &str = "/reserved-memory";
    let cells = |name: &str| -> Result<u32> {
        let output = Command::new("fdtget").arg(tree).args([PARENT, name]).output();
        let output = output.map_err(Error::file("start", "fdtget"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim().parse().map_err(|_| failed(format!("{}: no {PARENT} {name}", tree.display())))
    };
    let mut region = wide(RAMOOPS_ADDRESS, cells("#address-cells")?);
    region.extend(wide(RAMOOPS_SIZE, cells("#size-cells")?));
    let node = format!("{PARENT}/ramoops@{RAMOOPS_ADDRESS:x}");
    let put = |kind: &str, name: &str, values: &[String]| {
        let mut command = Command::new("fdtput");
        command.args(["-t", kind]).arg(tree).args([node.as_str(), name]).args(values);
        let title = tree.file_name().unwrap_or_default().to_string_lossy().into_owned();
        shop.steps.run(&format!("{title}: ramoops {name}"), &mut command)
    };
    let word = |value: u32| [format!("{value:x}")];
    let mut create = Command::new("fdtput");
    shop.steps.run("reserving memory for pstore", create.arg("-c").arg(tree).arg(&node))?;
    put("s", "compatible", &["ramoops".to_owned()])?;
    put("x", "reg", &region)?;
    put("x", "record-size", &word(RAMOOPS_RECORD))?;
    put("x", "console-size", &word(RAMOOPS_CONSOLE))
}

/// A 32-bit value in `cells` cells, hexadecimal.
fn wide(value: u32, cells: u32) -> Vec<String> {
    let mut list = vec!["0".to_owned(); cells.saturating_sub(1) as usize];
    list.push(format!("{value:x}"));
    list
}
