//! U-Boot: the upstream tarball of Debian's source package, a defconfig of U-Boot's, our fragment,
//! and the boot script as its default environment.

use super::cache::{Cache, Workshop};
use super::kernel::{CROSS, compiler, jobs};
use super::lock::Part;
use super::{failed, kconfig};
use crate::board::{UBoot, workspace_root};
use crate::{Error, Result};
use bootloader_config::script::{Platform, write_default_environment, write_flags_list};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Raise when the steps below change.
const RECIPE: &str = "u-boot 1";
/// Fixed (the release of 2025.01), so that the same inputs give the same bytes.
const SOURCE_DATE_EPOCH: &str = "1736121600";

/// What differs between the builds.
struct Build {
    part: &'static str,
    defconfig: &'static str,
    fragment: &'static str,
    platform: Platform,
    /// Added to the compiler's flags.
    cflags: &'static str,
}

fn build_of(which: UBoot) -> Build {
    match which {
        UBoot::Rpi => Build {
            part: "u-boot-rpi",
            defconfig: "rpi_arm64_defconfig",
            fragment: "u-boot.fragment",
            platform: Platform::RaspberryPi,
            cflags: "",
        },
        UBoot::Virt => Build {
            part: "u-boot-virt",
            defconfig: "qemu_arm64_defconfig",
            fragment: "u-boot-virt.fragment",
            platform: Platform::Virt,
            // PCI before the environment: the card that holds it is behind PCI. Not in Kconfig.
            cflags: " -DCONFIG_SYS_EARLY_PCI_INIT",
        },
    }
}

/// Everything that the build is made from, as text.
struct Inputs {
    fragment: String,
    environment: String,
    flags: String,
}

/// Builds it, or takes it out of the cache; returns the path of `u-boot.bin`.
pub(super) fn build(cache: &Cache, which: UBoot) -> Result<PathBuf> {
    let build = build_of(which);
    let inputs = inputs(&build)?;
    let compiler = compiler()?;
    let recipe = format!("{RECIPE} {SOURCE_DATE_EPOCH} {}{}", build.defconfig, build.cflags);
    let list = [&recipe, &inputs.fragment, &inputs.environment, &inputs.flags, &compiler];
    let list = list.map(String::as_bytes);
    let folder = cache.part_of(Part::UBoot, build.part, &list, |shop, tarball| {
        make(shop, tarball, &build, &inputs)
    })?;
    Ok(folder.join("u-boot.bin"))
}

fn inputs(build: &Build) -> Result<Inputs> {
    let folder = workspace_root().join("board-support/sources");
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(Error::file("read", &path))
    };
    let mut environment = String::new();
    let mut flags = String::new();
    write_default_environment(&mut environment, build.platform)
        .and_then(|()| write_flags_list(&mut flags))
        .map_err(|_| failed("rendering the boot script"))?;
    Ok(Inputs { fragment: read(build.fragment)?, environment, flags })
}

fn make(shop: &Workshop<'_>, tarball: &Path, build: &Build, inputs: &Inputs) -> Result<()> {
    let (work, steps) = (shop.work, shop.steps);
    let tree = work.join("u-boot");
    fs::create_dir(&tree).map_err(Error::file("create", &tree))?;
    let mut unpack = Command::new("tar");
    unpack.arg("-xjf").arg(tarball).arg("-C").arg(&tree).arg("--strip-components=1");
    steps.run("unpacking", &mut unpack)?;
    // Read by U-Boot's build from its own folder: no path of this machine in the result.
    let environment = tree.join("holdfast.env");
    fs::write(&environment, &inputs.environment).map_err(Error::file("write", &environment))?;
    let make = || {
        let mut command = Command::new("make");
        command.arg("-C").arg(&tree).arg(format!("CROSS_COMPILE={CROSS}"));
        let (flags, more) = (&inputs.flags, build.cflags);
        command.arg(format!("KCFLAGS=-DCFG_ENV_FLAGS_LIST_STATIC=\\\"{flags}\\\"{more}"));
        command.env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH).env("LC_ALL", "C");
        command
    };
    steps.run("configuring", make().arg(build.defconfig))?;
    let fragment = format!(
        "{}\nCONFIG_USE_DEFAULT_ENV_FILE=y\nCONFIG_DEFAULT_ENV_FILE=\"holdfast.env\"\n",
        inputs.fragment
    );
    let config = tree.join(".config");
    let base = fs::read_to_string(&config).map_err(Error::file("read", &config))?;
    fs::write(&config, base + "\n" + &fragment).map_err(Error::file("write", &config))?;
    steps.run("adding the fragment", make().arg("olddefconfig"))?;
    let text = fs::read_to_string(&config).map_err(Error::file("read", &config))?;
    let missing = kconfig::not_accepted(&fragment, &text);
    if !missing.is_empty() {
        let list = missing.join("\n  ");
        return Err(failed(format!("{}: not accepted by Kconfig:\n  {list}", build.fragment)));
    }
    steps.run("compiling (about a minute)", make().args([&jobs(), "u-boot.bin"]))?;
    let result = shop.out.join("u-boot.bin");
    fs::copy(tree.join("u-boot.bin"), &result).map_err(Error::file("copy", &result))?;
    fs::copy(&config, shop.out.join("config")).map_err(Error::file("copy", &config))?;
    Ok(())
}
