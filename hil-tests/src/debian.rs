//! Debian's own software for the device's processor as snaps: a base with the programs and all that
//! they need, and small snaps on it that run them.

use crate::child;
use crate::error::{Result, file};
use crate::paths;
use crate::releases::{Releases, put};
use crate::samples::TIME;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The base's name.
pub const BASE: &str = "debian";
/// What is in it, with what these depend on.
const PACKAGES: [&str; 4] = ["mosquitto", "nginx-light", "python3-minimal", "busybox"];
/// Of no use to a program, and half of the bytes.
const LEFT_OUT: [&str; 6] = ["usr/share", "usr/include", "usr/games", "var", "run", "boot"];
/// What the package `base-files` has on a system.
const LINKS: [&str; 3] = ["bin", "lib", "sbin"];
/// Packs the base, signed, into `folder`.
pub fn base(releases: &Releases, folder: &Path) -> Result<PathBuf> {
    let packages = image_builder::sources::Cache::open()?.packages(&PACKAGES)?;
    let tree = empty(folder, BASE)?;
    for package in packages {
        child::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&tree))?;
    }
    for name in LEFT_OUT {
        let _ = fs::remove_dir_all(tree.join(name));
    }
    for name in LINKS {
        let path = tree.join(name);
        symlink(format!("usr/{name}"), &path).map_err(file("make", path))?;
    }
    let shell = tree.join("usr/bin/sh");
    symlink("busybox", &shell).map_err(file("make", shell))?;
    let yaml = format!("name: {BASE}\nversion: '13'\nsummary: Debian\ntype: base\n");
    put(&tree, "meta/snap.yaml", yaml.as_bytes(), 0o644)?;
    pack(releases, folder, BASE)
}

/// Packs a snap on the base, signed, into `folder`: one service that runs `script`, with `ports` of
/// the device, and files besides.
pub fn rider(
    releases: &Releases,
    folder: &Path,
    (name, ports): (&str, &str),
    script: &str,
    files: &[(&str, &str)],
) -> Result<PathBuf> {
    let tree = empty(folder, name)?;
    let yaml = format!(
        "name: {name}\nversion: '1'\nsummary: Debian's {name}\nbase: {BASE}\n\
         apps:\n  {name}:\n    command: run\n    daemon: simple\n    plugs: [network-bind]\n\
         plugs:\n  network-bind:\n    ports: ['{ports}']\n"
    );
    put(&tree, "meta/snap.yaml", yaml.as_bytes(), 0o644)?;
    put(&tree, "run", format!("#!/bin/sh\n{script}\n").as_bytes(), 0o755)?;
    for (path, text) in files {
        put(&tree, path, text.as_bytes(), 0o644)?;
    }
    pack(releases, folder, name)
}

fn empty(folder: &Path, name: &str) -> Result<PathBuf> {
    let tree = folder.join(name);
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(&tree).map_err(file("make", &tree))?;
    Ok(tree)
}

fn pack(releases: &Releases, folder: &Path, name: &str) -> Result<PathBuf> {
    let key = image_builder::keys::private(releases.keys(), "app")?;
    let snap = folder.join(format!("{name}.snap"));
    let _one = paths::making()?;
    image_builder::app::pack(&folder.join(name), Some(&key), &snap, TIME)?;
    Ok(snap)
}
