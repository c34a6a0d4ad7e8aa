//! /boot and /data: p1 read-only, the data partition grown at first boot, checked and repaired
//! where it needs that (`recover`), and mounted. Whatever fails here, the device stays up: without
//! a usable data partition `/data` is a file system in memory with what the spare copy has, and a
//! warning says so.

use crate::{
    disk::{Disk, Partition, SECTOR, read_superblock},
    error::{At, Error, Result},
    ext4, files, kmsg,
    recover::{self, Story, Tools},
    spare::Spare,
    sys_block,
};
use bootloader_config::layout;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use std::{
    ffi::CStr,
    fs,
    fs::File,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Mount point of p1.
pub const BOOT: &str = "/boot";
/// Mount point of the data partition.
pub const DATA: &str = "/data";
/// The system's own files on it.
const SYSTEM: &str = "/data/system";
/// What the image builder puts into the root file system to save the data partition.
const CHECKER: &str = "/sbin/e2fsck";
const TEMPLATE: &str = "/usr/share/holdfast/data.template";

const BOOT_FLAGS: MountFlags =
    MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const DATA_FLAGS: MountFlags =
    MountFlags::NOATIME.union(MountFlags::NOSUID).union(MountFlags::NODEV);
const DATA_OPTIONS: &CStr = c"errors=remount-ro";
/// Size of `/data` in memory where there is no partition: enough for logs and a configuration.
const FALLBACK_OPTIONS: &CStr = c"mode=0755,size=32m";

/// What became of `/data`.
#[derive(Debug)]
pub struct Data {
    /// It is the partition.
    pub mounted: bool,
    /// The partition was checked in this boot.
    pub checked: bool,
    /// Its device, when it is mounted.
    pub partition: Option<PathBuf>,
    /// The spare copy; `None` without a boot disk.
    pub spare: Option<Spare>,
    /// Why the last boot ended, when it could not write that to `/data`.
    pub note: Option<String>,
}

/// Mounts `/data`, after the checks and repairs that it needs, and puts back from the spare copy
/// what was lost.
pub fn mount_data(disk: Option<&Disk>, turn: &mut dyn FnMut(), warnings: &mut Vec<String>) -> Data {
    let _ = fs::create_dir(DATA);
    let spare = disk.map(|disk| Spare::new(disk.device(), SYSTEM.into()));
    let note = spare.as_ref().and_then(Spare::take_note);
    let story = match disk.ok_or_else(|| Error::invalid("boot disk", "not found")) {
        Ok(disk) => bring_up(disk, note.as_deref(), turn, warnings),
        Err(error) => Err(error),
    };
    let (device, story) = story.unwrap_or_else(|error| {
        warnings.push(error.to_string());
        (PathBuf::new(), Story::default())
    });
    warnings.extend(story.warnings);
    if !story.mounted {
        warnings.push("data partition: not mounted; /data is in memory".into());
        if let Err(error) = mount("tmpfs", DATA, "tmpfs", DATA_FLAGS, FALLBACK_OPTIONS) {
            warnings.push(format!("mount /data in memory: {error}"));
        }
    }
    make_directories(warnings);
    if story.checked || !story.mounted {
        restore(spare.as_ref(), warnings);
    }
    let partition = story.mounted.then_some(device);
    Data { mounted: story.mounted, checked: story.checked, partition, spare, note }
}

fn restore(spare: Option<&Spare>, warnings: &mut Vec<String>) {
    match spare.map_or_else(|| Ok(Vec::new()), Spare::restore) {
        Ok(restored) if restored.is_empty() => {}
        Ok(restored) => {
            let names = restored.join(", ");
            warnings.push(format!("data partition: restored from the spare copy: {names}"));
        }
        Err(error) => warnings.push(format!("spare copy: {error}")),
    }
}

fn make_directories(warnings: &mut Vec<String>) {
    for (directory, mode) in [
        (SYSTEM, 0o700),
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
}

/// The partition with the label; where no superblock has it any more, the one that the layout says.
fn find(disk: &Disk) -> Option<Partition> {
    disk.find_ext4(layout::DATA_LABEL).or_else(|| disk.partition(layout::DATA.number.into()))
}

fn bring_up(
    disk: &Disk,
    note: Option<&str>,
    turn: &mut dyn FnMut(),
    warnings: &mut Vec<String>,
) -> Result<(PathBuf, Story)> {
    let partition =
        find(disk).ok_or_else(|| Error::invalid(&disk.name, "there is no data partition"))?;
    match disk.grow_partition(partition.number) {
        Ok(true) => kmsg::notice(&format!("{} grown to the disk", partition.device.display())),
        Ok(false) => {}
        Err(error) => warnings.push(error.to_string()),
    }
    let tools = Tools {
        checker: Path::new(CHECKER),
        template: Path::new(TEMPLATE),
        label: layout::DATA_LABEL,
        limit: recover::CHECK_LIMIT,
        turn,
    };
    let mut mount = || Ok(mount(&partition.device, DATA, "ext4", DATA_FLAGS, DATA_OPTIONS)?);
    let story = recover::bring_up(&partition.device, note, tools, &mut mount);
    if story.mounted
        && let Err(error) = grow_file_system(&partition.device)
    {
        warnings.push(error.to_string());
    }
    Ok((partition.device, story))
}

/// Grows the mounted ext4 to its device, where that is larger by more than a block group's worth of
/// rounding.
fn grow_file_system(device: &Path) -> Result<()> {
    let superblock = read_superblock(device, ext4::OFFSET)?;
    let Some(superblock) = superblock else { return Ok(()) };
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

/// Unmounts /data and everything below it, then /boot. Read-only first: that is for the file system
/// as a whole, which a mount namespace that is about to end may have mounted too.
pub fn unmount_all() {
    // Nothing but these: a USB stick that is slow may take longer than the watchdog waits.
    for at in [DATA, BOOT] {
        let _ = fs::File::open(at).map(rustix::fs::syncfs);
    }
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
        let read_only = mount_remount(at, MountFlags::RDONLY, c"");
        let unmounted = unmount(at, UnmountFlags::empty());
        for (what, result) in [("make read-only", read_only), ("unmount", unmounted)] {
            match result {
                // It was never mounted.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => kmsg::warning(&format!("{what} {at}: {error}")),
            }
        }
    }
    rustix::fs::sync();
}
