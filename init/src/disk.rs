//! The boot disk and its partitions, found through sysfs. Never by guessing a name: the chain of
//! the mounted root is followed down to the disk; only where the root is no block device (an
//! initramfs) a disk with our signature is looked for.

use crate::{
    Error,
    error::{At, Result},
    ext4::{self, Superblock},
    files, sys_block,
};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Bytes of a sector in partition tables and sysfs, whatever the disk's own are.
pub const SECTOR: u64 = 512;
/// A partition ends on such a boundary (1 MiB).
const ALIGN_SECTORS: u64 = 2048;
/// How deep devices may be stacked (dm-verity on dm-linear on a partition is 3).
const STACK_LIMIT: usize = 8;

const TABLE_AT: usize = 446;
const ENTRY: usize = 16;

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Kernel name, as `mmcblk0`.
    pub name: String,
}

/// A partition of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// 1 to 4.
    pub number: u32,
    /// Device node.
    pub device: PathBuf,
}

impl Disk {
    /// The disk that the running root lies on, or that carries `disk_id` as its MBR signature.
    pub fn find(disk_id: u32) -> Option<Self> {
        Self::of_root().or_else(|| Self::by_signature(disk_id))
    }

    fn of_root() -> Option<Self> {
        let device = fs::metadata("/").ok()?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let mut at = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
        for _ in 0..STACK_LIMIT {
            if at.join("partition").exists() {
                let name = at.parent()?.file_name()?.to_str()?.to_string();
                return Some(Self { name });
            }
            let below = fs::read_dir(at.join("slaves")).ok()?.flatten().next()?;
            at = fs::canonicalize(below.path()).ok()?;
        }
        None
    }

    fn by_signature(disk_id: u32) -> Option<Self> {
        let mut names: Vec<String> = fs::read_dir("/sys/block")
            .ok()?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !["ram", "loop", "dm-", "zram"].iter().any(|p| name.starts_with(p)))
            .collect();
        names.sort();
        names.into_iter().map(|name| Self { name }).find(|disk| {
            let mut sector = [0; SECTOR as usize];
            File::open(disk.device()).and_then(|f| f.read_exact_at(&mut sector, 0)).is_ok()
                && sector[440..444] == disk_id.to_le_bytes()
                && sector[510..512] == [0x55, 0xaa]
        })
    }

    /// Device node of the whole disk.
    pub fn device(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }

    /// Device nodes by which bytes of the disk are reached, but for those of its partitions: the
    /// whole disk, and the areas that an eMMC has beside it.
    pub fn devices(&self) -> Vec<PathBuf> {
        let beside = ["boot0", "boot1", "rpmb"].map(|area| format!("/dev/{}{area}", self.name));
        [self.device()].into_iter().chain(beside.map(PathBuf::from)).collect()
    }

    /// Sectors of the disk.
    pub fn sectors(&self) -> Option<u64> {
        files::read_line(format!("/sys/block/{}/size", self.name))?.parse().ok()
    }

    /// The partition with this number.
    pub fn partition(&self, number: u32) -> Option<Partition> {
        self.partitions().into_iter().find(|p| p.number == number)
    }

    /// All partitions that the kernel knows.
    pub fn partitions(&self) -> Vec<Partition> {
        let Ok(entries) = fs::read_dir(format!("/sys/block/{}", self.name)) else {
            return Vec::new();
        };
        let mut found: Vec<Partition> = entries
            .flatten()
            .filter_map(|entry| {
                let number = files::read_line(entry.path().join("partition"))?.parse().ok()?;
                Some(Partition { number, device: Path::new("/dev").join(entry.file_name()) })
            })
            .collect();
        found.sort_by_key(|p| p.number);
        found
    }

    /// The first partition that holds an ext4 with this label.
    pub fn find_ext4(&self, label: &str) -> Option<Partition> {
        self.partitions().into_iter().find(|partition| {
            matches!(read_superblock(&partition.device, ext4::OFFSET), Ok(Some(found))
                if found.label == label)
        })
    }

    /// Grows a partition, the last one of the disk, to the disk's end: table first, then the
    /// kernel. `false` when it is there already. One sector is written, so a power cut leaves the
    /// old table or the new one.
    pub fn grow_partition(&self, number: u32) -> Result<bool> {
        let path = self.device();
        let sectors =
            self.sectors().ok_or_else(|| Error::invalid(&self.name, "size is not known"))?;
        let disk = OpenOptions::new().read(true).write(true).open(&path).at("open", &path)?;
        let mut table = [0; SECTOR as usize];
        disk.read_exact_at(&mut table, 0).at("read partition table of", &path)?;
        let Some((start, length)) = grown(&mut table, number, sectors)? else { return Ok(false) };
        disk.write_all_at(&table, 0).at("write partition table of", &path)?;
        disk.sync_all().at("sync", &path)?;
        sys_block::resize_partition(&disk, number as i32, start * SECTOR, length * SECTOR)
            .at("resize partition of", &path)?;
        Ok(true)
    }
}

/// The superblock at an offset of a device; `None` when there is none.
pub fn read_superblock(device: &Path, offset: u64) -> Result<Option<Superblock>> {
    let mut raw = [0; ext4::LENGTH];
    let file = File::open(device).at("open", device)?;
    file.read_exact_at(&mut raw, offset).at("read superblock of", device)?;
    Ok(Superblock::parse(&raw))
}

/// Changes the length of entry `number` so that it ends with the disk; the new start and length in
/// sectors, `None` when nothing is to be gained or another partition lies behind it.
fn grown(
    table: &mut [u8; SECTOR as usize],
    number: u32,
    sectors: u64,
) -> Result<Option<(u64, u64)>> {
    if table[510..512] != [0x55, 0xaa] || !(1..=4).contains(&number) {
        return Err(Error::invalid("partition table", "no MBR signature, or no such entry"));
    }
    let entry = |table: &[u8; SECTOR as usize], number: usize| {
        let at = TABLE_AT + ENTRY * (number - 1);
        let field = |at: usize| {
            u64::from(u32::from_le_bytes([table[at], table[at + 1], table[at + 2], table[at + 3]]))
        };
        (field(at + 8), field(at + 12))
    };
    let number = number as usize;
    let (start, length) = entry(table, number);
    if start == 0 || length == 0 {
        return Err(Error::invalid("partition table", format!("entry {number} is empty")));
    }
    let last = (1..=4).filter(|n| *n != number).all(|n| entry(table, n).0 < start);
    let end = (sectors / ALIGN_SECTORS * ALIGN_SECTORS).min(start + u64::from(u32::MAX));
    if !last || end <= start + length {
        return Ok(None);
    }
    let length = end - start;
    let at = TABLE_AT + ENTRY * (number - 1) + 12;
    table[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(Some((start, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(u32, u32)]) -> [u8; 512] {
        let mut table = [0; 512];
        table[510..].copy_from_slice(&[0x55, 0xaa]);
        for (index, (start, length)) in entries.iter().enumerate() {
            let at = TABLE_AT + ENTRY * index;
            table[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            table[at + 12..at + 16].copy_from_slice(&length.to_le_bytes());
        }
        table
    }

    #[test]
    fn the_last_partition_grows_to_the_end_and_nothing_else_changes() {
        let before = table(&[(8192, 100), (65536, 100), (70000, 100), (589_824, 65536)]);
        let mut after = before;
        let grown_to = grown(&mut after, 4, 1_048_576 + 100).unwrap();
        assert_eq!(grown_to, Some((589_824, 1_048_576 - 589_824)));
        let changed: Vec<usize> = (0..512).filter(|i| before[*i] != after[*i]).collect();
        assert!(changed.iter().all(|i| (446 + 48 + 12..446 + 64).contains(i)), "{changed:?}");
        assert_eq!(grown(&mut after, 4, 1_048_576 + 100).unwrap(), None, "a second time");
    }

    #[test]
    fn a_partition_with_another_behind_it_or_on_a_smaller_disk_stays() {
        let mut behind = table(&[(2048, 100), (65536, 100)]);
        assert_eq!(grown(&mut behind, 1, 1 << 20).unwrap(), None);
        assert_eq!(grown(&mut behind, 2, 65_600).unwrap(), None);
        assert!(grown(&mut behind, 3, 1 << 20).is_err());
        assert!(grown(&mut [0; 512], 1, 1 << 20).is_err());
    }

    #[test]
    fn a_disk_of_more_than_two_tebibytes_is_used_up_to_what_the_table_can_say() {
        let mut big = table(&[(2048, 100)]);
        assert_eq!(grown(&mut big, 1, 1 << 34).unwrap(), Some((2048, u64::from(u32::MAX))));
    }
}
