//! Which block devices are on removable media, by what sysfs tells
//! (Documentation/ABI/testing/sysfs-block, sysfs-class-block of the kernel).

use sandbox::cgroup::Device;
use std::{
    collections::BTreeSet,
    fs,
    path::{Component, Path, PathBuf},
};

/// A block device that may be mounted: a partition, or a disk without any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// Its name in `/dev`.
    pub name: String,
    /// The number of the disk among all that there were since boot: another one in the same place
    /// has another.
    pub(super) sequence: String,
}

/// An entry of `/sys/class/block`.
struct Entry {
    name: String,
    /// Directory of the disk that it is or is on.
    disk: PathBuf,
    partition: bool,
    empty: bool,
}

/// Those of the directory `class` whose disk is on USB, or says that its medium can be taken out;
/// without those on the disk `own`.
pub fn removable(class: &Path, own: Device) -> BTreeSet<Block> {
    let entries: Vec<Entry> = fs::read_dir(class)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|found| entry(&found.path()))
        .collect();
    let divided: BTreeSet<&Path> =
        entries.iter().filter(|e| e.partition).map(|e| e.disk.as_path()).collect();
    let own = own.to_string();
    entries
        .iter()
        .filter(|entry| !entry.empty && (entry.partition || !divided.contains(&*entry.disk)))
        .filter(|entry| read(&entry.disk, "dev").is_some_and(|number| number != own))
        .filter(|entry| {
            is_on_usb(&entry.disk) || read(&entry.disk, "removable").as_deref() == Some("1")
        })
        .map(|entry| Block {
            name: entry.name.clone(),
            sequence: read(&entry.disk, "diskseq").unwrap_or_default(),
        })
        .collect()
}

fn entry(link: &Path) -> Option<Entry> {
    // The link leads to the device's directory; a partition's lies in its disk's.
    let place = fs::canonicalize(link).ok()?;
    let partition = place.join("partition").exists();
    let disk = if partition { place.parent()?.to_path_buf() } else { place.clone() };
    let empty = read(&place, "size").is_none_or(|sectors| sectors == "0");
    Some(Entry { name: link.file_name()?.to_str()?.into(), disk, partition, empty })
}

/// A bus of USB is a directory `usbN` on the way to the disk.
fn is_on_usb(disk: &Path) -> bool {
    disk.components().any(|part| match part {
        Component::Normal(name) => name
            .to_str()
            .and_then(|name| name.strip_prefix("usb"))
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())),
        _ => false,
    })
}

fn read(place: &Path, name: &str) -> Option<String> {
    fs::read_to_string(place.join(name)).ok().map(|text| text.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const CARD: &str = "platform/3f202000.mmc/mmc_host/mmc0/mmc0:4567/block/mmcblk0";
    const STICK: &str = "platform/3f980000.usb/usb1/1-1/1-1.2/host0/0:0:0:0/block/sda";
    const WHOLE: &str = "platform/3f980000.usb/usb1/1-1/1-1.3/host1/1:0:0:0/block/sdb";
    const EMPTY: &str = "platform/3f980000.usb/usb1/1-1/1-1.4/host2/2:0:0:0/block/sdc";
    const DRIVE: &str = "pci0000:00/ata1/host3/3:0:0:0/block/sr0";

    /// Disks with their numbers of partitions, size and whether they are removable.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let class = root.path().join("class");
        fs::create_dir(&class).unwrap();
        let disks = [
            (CARD, 4, "1000", "0", "179:0"),
            (STICK, 2, "1000", "0", "8:0"),
            (WHOLE, 0, "1000", "1", "8:16"),
            (EMPTY, 0, "0", "1", "8:32"),
            (DRIVE, 0, "1000", "1", "11:0"),
        ];
        for (nth, (path, partitions, size, removable, number)) in disks.into_iter().enumerate() {
            let disk = root.path().join("devices").join(path);
            fs::create_dir_all(&disk).unwrap();
            let sequence = format!("{nth}\n");
            for (file, text) in [
                ("size", size),
                ("removable", removable),
                ("dev", number),
                ("diskseq", sequence.as_str()),
            ] {
                fs::write(disk.join(file), format!("{text}\n")).unwrap();
            }
            let name = disk.file_name().unwrap().to_str().unwrap().to_string();
            symlink(&disk, class.join(&name)).unwrap();
            for nth in 1..=partitions {
                let part = disk.join(format!("{name}{nth}"));
                fs::create_dir(&part).unwrap();
                fs::write(part.join("partition"), nth.to_string()).unwrap();
                fs::write(part.join("size"), "10\n").unwrap();
                symlink(&part, class.join(format!("{name}{nth}"))).unwrap();
            }
        }
        root
    }

    const CARD_NUMBER: Device = Device { major: 179, minor: 0 };

    fn names(root: &tempfile::TempDir, own: Device) -> Vec<String> {
        let found = removable(&root.path().join("class"), own);
        found.into_iter().map(|block| block.name).collect()
    }

    #[test]
    fn partitions_and_undivided_disks_on_usb_are_media() {
        assert_eq!(names(&tree(), CARD_NUMBER), ["sda1", "sda2", "sdb", "sr0"]);
    }

    #[test]
    fn what_the_device_runs_from_is_none() {
        let own = Device { major: 8, minor: 0 };
        assert_eq!(names(&tree(), own), ["sdb", "sr0"]);
    }

    #[test]
    fn another_disk_in_the_same_place_is_another_one() {
        let root = tree();
        let class = root.path().join("class");
        let before = removable(&class, CARD_NUMBER);
        fs::write(root.path().join("devices").join(WHOLE).join("diskseq"), "77\n").unwrap();
        let after = removable(&class, CARD_NUMBER);
        let stayed: Vec<&str> = after.intersection(&before).map(|b| b.name.as_str()).collect();
        assert_eq!(stayed, ["sda1", "sda2", "sr0"]);
    }
}
