//! /boot and /data: p1 read-only, the data partition grown at first boot and mounted. Whatever
//! fails here, the device stays up: without a usable data partition `/data` is a file system in
//! memory, and a warning says so.

use crate::{
    disk::{Disk, SECTOR, read_superblock},
    error::{At, Error, Result},
    files, kmsg, sys_block,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use std::{ffi::CStr, fs, fs::File, os::unix::fs::PermissionsExt, path::Path};

/// Mount point of p1.
pub const BOOT: &str = "/boot";
/// Mount point of the data partition.
pub const DATA: &str = "/data";
/// Label of the data partition's ext4.
pub const LABEL: &str = "data";

const BOOT_FLAGS: MountFlags =
    MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const DATA_FLAGS: MountFlags =
    MountFlags::NOATIME.union(MountFlags::NOSUID).union(MountFlags::NODEV);
const DATA_OPTIONS: &CStr = c"errors=remount-ro";
/// Size of `/data` in memory where there is no partition: enough for logs and a configuration.
const FALLBACK_OPTIONS: &CStr = c"mode=0755,size=32m";

/// Mounts `/data`; `true` when it is the partition.
pub fn mount_data(disk: Option<&Disk>, warnings: &mut Vec<String>) -> bool {
    let _ = fs::create_dir(DATA);
    let mounted = match disk.ok_or_else(|| Error::invalid("boot disk", "not found")) {
        Ok(disk) => try_mount(disk, warnings),
        Err(error) => Err(error),
    };
    if let Err(error) = &mounted {
        warnings.push(format!("data partition: {error}; /data is in memory"));
        if let Err(error) = mount("tmpfs", DATA, "tmpfs", DATA_FLAGS, FALLBACK_OPTIONS) {
            warnings.push(format!("mount /data in memory: {error}"));
        }
    }
    for (directory, mode) in [
        ("/data/system", 0o700),
        ("/data/system/updater", 0o700),
        ("/data/system/identity", 0o700),
        ("/data/system/timed", 0o700),
        ("/data/log", 0o750),
        ("/data/snaps", 0o755),
    ] {
        if let Err(error) = fs::create_dir_all(directory)
            .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(mode)))
        {
            warnings.push(format!("create {directory}: {error}"));
        }
    }
    mounted.is_ok()
}

fn try_mount(disk: &Disk, warnings: &mut Vec<String>) -> Result<()> {
    let (partition, superblock) = disk
        .find_ext4(LABEL)
        .ok_or_else(|| Error::invalid(&disk.name, format!("no ext4 labelled {LABEL}")))?;
    if superblock.has_errors {
        warnings.push(format!("{}: the kernel recorded errors", partition.device.display()));
    }
    match disk.grow_partition(partition.number) {
        Ok(true) => kmsg::notice(&format!("{} grown to the disk", partition.device.display())),
        Ok(false) => {}
        Err(error) => warnings.push(error.to_string()),
    }
    mount(&partition.device, DATA, "ext4", DATA_FLAGS, DATA_OPTIONS)
        .at("mount", &partition.device)?;
    if let Err(error) = grow_file_system(&partition.device) {
        warnings.push(error.to_string());
    }
    Ok(())
}

/// Grows the mounted ext4 to its device, where that is larger by more than a block group's worth of
/// rounding.
fn grow_file_system(device: &Path) -> Result<()> {
    let Some(superblock) = read_superblock(device)? else { return Ok(()) };
    let name = device.file_name().unwrap_or_default().to_string_lossy();
    let Some(sectors) = files::read_line(format!("/sys/class/block/{name}/size"))
        .and_then(|text| text.parse::<u64>().ok())
    else {
        return Ok(());
    };
    let blocks = sectors * SECTOR / superblock.block_size;
    if blocks <= superblock.blocks {
        return Ok(());
    }
    sys_block::resize_ext4(&File::open(DATA).at("open", DATA)?, blocks)
        .at("grow ext4 on", device)?;
    kmsg::notice(&format!("data grown to {} MiB", (blocks * superblock.block_size) >> 20));
    Ok(())
}

/// Mounts p1 read-only.
pub fn mount_boot(disk: Option<&Disk>, warnings: &mut Vec<String>) {
    let _ = fs::create_dir(BOOT);
    let Some(partition) = disk.and_then(|disk| disk.partition(1)) else {
        warnings.push("boot partition not found".into());
        return;
    };
    let flags = BOOT_FLAGS | MountFlags::RDONLY;
    if let Err(error) = mount(&partition.device, BOOT, "vfat", flags, c"umask=0077") {
        warnings.push(format!("mount {} on {BOOT}: {error}", partition.device.display()));
    }
}

/// Runs `change` while /boot can be written, then makes it read-only again.
pub fn with_boot_writable<T>(change: impl FnOnce() -> Result<T>) -> Result<T> {
    mount_remount(BOOT, BOOT_FLAGS, c"").at("remount writable", BOOT)?;
    let result = change();
    rustix::fs::sync();
    mount_remount(BOOT, BOOT_FLAGS | MountFlags::RDONLY, c"").at("remount read-only", BOOT)?;
    result
}

/// Unmounts /data and everything below it, then /boot; what is busy is made read-only.
pub fn unmount_all() {
    rustix::fs::sync();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below: Vec<&str> = mounts
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|at| at.starts_with("/data/") || at.starts_with("/run/"))
        .collect();
    for at in below.into_iter().rev() {
        if let Err(error) = unmount(at, UnmountFlags::empty()) {
            kmsg::warning(&format!("unmount {at}: {error}"));
            let _ = unmount(at, UnmountFlags::DETACH);
        }
    }
    for at in [DATA, BOOT] {
        if let Err(error) = unmount(at, UnmountFlags::empty())
            && error != rustix::io::Errno::INVAL
        {
            kmsg::warning(&format!("unmount {at}: {error}"));
            let _ = mount_remount(at, MountFlags::RDONLY, c"");
        }
    }
    rustix::fs::sync();
}
