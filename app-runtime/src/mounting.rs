//! Snaps as mounts: squashfs over a loop device, read-only, without devices and set-user-id.

use crate::{
    error::{Context, Error, Result},
    image, loopdev,
    meta::{self, Snap},
};
use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags},
};
use std::{fs, io::Read, path::Path};

/// `SQUASHFS_MAGIC` as statfs tells it.
const SQUASHFS: i64 = 0x7371_7368;

/// Mounts the first `size` bytes of `file` at `target`, which is made; what is mounted there
/// already stays.
pub fn mount(name: &str, file: &Path, size: u64, target: &Path) -> Result<()> {
    fs::create_dir_all(target).at("make directory", target)?;
    if is_mounted(target) {
        return Ok(());
    }
    let device = loopdev::attach(file, size)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    match rustix::mount::mount(&device.path, target, "squashfs", flags, None) {
        Ok(()) => Ok(()),
        Err(e @ (Errno::INVAL | Errno::IO)) => {
            let _ = fs::remove_dir(target);
            Err(Error::refused("snap-corrupt", format!("{name}: the squashfs does not mount: {e}")))
        }
        Err(e) => Err(e).at("mount", target),
    }
}

/// Unmounts and removes the mount point. What is not mounted is fine; what is in use goes when it
/// no longer is.
pub fn unmount(target: &Path) -> Result<()> {
    match rustix::mount::unmount(target, UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(e) => return Err(e).at("unmount", target),
    }
    match fs::remove_dir(target) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).at("remove", target),
        _ => Ok(()),
    }
}

/// Whether a squashfs is mounted there.
pub fn is_mounted(target: &Path) -> bool {
    rustix::fs::statfs(target).is_ok_and(|found| found.f_type == SQUASHFS)
}

/// Most hooks that are looked at; there are fewer kinds.
const MAX_HOOKS: usize = 64;

/// Reads the snap.yaml of a mounted snap, and which hooks lie beside it.
pub fn read_meta(name: &str, mount: &Path) -> Result<Snap> {
    let image = image::process(name, mount)?;
    let mut snap = meta::parse_with(&read_yaml(name, mount)?, image)?;
    snap.add_hooks(hooks(mount))?;
    Ok(snap)
}

/// Names in `meta/hooks`: a hook need not be in snap.yaml.
fn hooks(mount: &Path) -> Vec<String> {
    let list = fs::read_dir(mount.join("meta/hooks")).into_iter().flatten().flatten();
    list.take(MAX_HOOKS).filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn read_yaml(name: &str, mount: &Path) -> Result<String> {
    let path = mount.join("meta/snap.yaml");
    let corrupt =
        |why: String| Error::refused("snap-corrupt", format!("{name}: meta/snap.yaml: {why}"));
    // A symbolic link could lead out of the snap.
    for part in [mount.join("meta"), path.clone()] {
        let found = fs::symlink_metadata(&part).map_err(|e| corrupt(e.to_string()))?;
        if found.is_symlink() {
            return Err(corrupt("a symbolic link".into()));
        }
    }
    let file = fs::File::open(&path).map_err(|e| corrupt(e.to_string()))?;
    let mut text = String::new();
    file.take(meta::MAX_YAML + 1).read_to_string(&mut text).map_err(|e| corrupt(e.to_string()))?;
    Ok(text)
}
