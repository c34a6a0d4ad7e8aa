//! Whether a block device may be overwritten: what `/sys` and `/proc` say of it, and a decision
//! table.

use crate::{Error, Result};
use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Bytes of the unit of `/sys/…/size`.
const SECTOR: u64 = 512;
/// Major number of MMC and SD cards (Linux' devices.txt).
const MAJOR_MMC: u32 = 179;

/// What the kernel says of a block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As given.
    pub path: PathBuf,
    /// Kernel name, `sdb`.
    pub name: String,
    /// A partition, not a whole device.
    pub partition: bool,
    /// The medium can be taken out: removable, on USB, or an SD card.
    pub removable: bool,
    /// Write-protected.
    pub read_only: bool,
    /// Size in bytes.
    pub size: u64,
    /// Mount points, of it or of its partitions.
    pub mounted: Vec<String>,
    /// Used by something else: swap, device mapper, RAID.
    pub users: Vec<String>,
}

/// What may be done with a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Write.
    Allowed,
    /// Write when the person types the device's name; why.
    AskForName(String),
    /// Do not write; why.
    Refused(String),
}

/// The decision, first match wins:
///
/// | found | judgement |
/// |---|---|
/// | a partition | refused |
/// | mounted, or used as swap, by device mapper, RAID | refused |
/// | write-protected | refused |
/// | smaller than the image | refused |
/// | not removable | ask for the name |
/// | otherwise | allowed |
pub fn judge(target: &Target, image_size: u64) -> Judgement {
    let path = target.path.display();
    if target.partition {
        return Judgement::Refused(format!("{path} is a partition; give the whole device"));
    }
    if !target.mounted.is_empty() {
        let mounts = target.mounted.join(", ");
        return Judgement::Refused(format!("{path} is mounted ({mounts}); unmount it first"));
    }
    if !target.users.is_empty() {
        return Judgement::Refused(format!("{path} is in use by {}", target.users.join(", ")));
    }
    if target.read_only {
        return Judgement::Refused(format!("{path} is write-protected"));
    }
    if target.size < image_size {
        let size = target.size;
        return Judgement::Refused(format!("{path} has {size} bytes, the image {image_size}"));
    }
    if !target.removable {
        return Judgement::AskForName(format!("{path} is not a removable medium"));
    }
    Judgement::Allowed
}

impl Target {
    /// Asks the running kernel about a device.
    pub fn of(path: &Path) -> Result<Self> {
        let meta = fs::metadata(path).map_err(Error::file("find", path))?;
        if !meta.file_type().is_block_device() {
            let path = path.display();
            return Err(Error::input(format!("{path} is not a block device")));
        }
        let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
        Self::gather(path, major, minor, Path::new("/sys"), Path::new("/proc"))
    }

    /// The same with the places of `sysfs` and `procfs` given.
    pub fn gather(path: &Path, major: u32, minor: u32, sys: &Path, proc: &Path) -> Result<Self> {
        let link = sys.join(format!("dev/block/{major}:{minor}"));
        let node = fs::canonicalize(&link).map_err(Error::file("resolve", &link))?;
        let name = file_name(&node);
        let partitions = partitions(&node)?;
        let mut devices = vec![(name.clone(), format!("{major}:{minor}"))];
        devices.extend(partitions.iter().map(|p| (file_name(p), read(&p.join("dev")))));
        let on_usb =
            node.components().any(|part| part.as_os_str().to_string_lossy().starts_with("usb"));
        let mut users = holders(&node);
        users.extend(partitions.iter().flat_map(|partition| holders(partition)));
        users.extend(swaps(proc, &devices)?);
        Ok(Self {
            path: path.into(),
            partition: node.join("partition").exists(),
            removable: read(&node.join("removable")) == "1" || on_usb || major == MAJOR_MMC,
            read_only: read(&node.join("ro")) == "1",
            size: read(&node.join("size")).parse::<u64>().unwrap_or(0) * SECTOR,
            mounted: mounts(proc, &devices)?,
            users,
            name,
        })
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_string()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Folders of the partitions inside a device's folder.
fn partitions(node: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(node).map_err(Error::file("list", node))?;
    Ok(list.flatten().map(|e| e.path()).filter(|path| path.join("partition").exists()).collect())
}

/// Names of what is stacked on a device: device mapper, RAID.
fn holders(node: &Path) -> Vec<String> {
    let list = fs::read_dir(node.join("holders")).into_iter().flatten().flatten();
    list.map(|entry| file_name(&entry.path())).collect()
}

/// Mount points of any of the devices (`NAME`, `MAJOR:MINOR`).
fn mounts(proc: &Path, devices: &[(String, String)]) -> Result<Vec<String>> {
    let path = proc.join("self/mountinfo");
    let text = fs::read_to_string(&path).map_err(Error::file("read", path))?;
    let mounted = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = fields.get(2)?;
        // A file system that has no device number of its own (btrfs) names its device as source.
        let source =
            fields.iter().position(|field| *field == "-").and_then(|at| fields.get(at + 2));
        let ours = devices.iter().any(|(name, device)| {
            number == device || source.is_some_and(|source| *source == format!("/dev/{name}"))
        });
        ours.then(|| fields.get(4).unwrap_or(&"?").to_string())
    });
    Ok(mounted.collect())
}

fn swaps(proc: &Path, devices: &[(String, String)]) -> Result<Vec<String>> {
    let path = proc.join("swaps");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        // A kernel without swap has no such file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    let swaps = text.lines().filter_map(|line| line.split_whitespace().next());
    let ours = |swap: &&str| devices.iter().any(|(name, _)| **swap == format!("/dev/{name}"));
    Ok(swaps.filter(ours).map(|swap| format!("swap on {swap}")).collect())
}
