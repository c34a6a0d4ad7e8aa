//! The SD image: partition table, environment copies, boot volume, slot a, empty slot b, data.
//!
//! The image file is sparse. What matters of it is told as extents, which include zeroes that must
//! be zero on a card that held something else before: the whole slot image (its zeroes are hashed),
//! the first blocks of slot b (no slot image of an earlier use may look bootable), and the blocks
//! that the data file system has in use.

use crate::{
    Error, Result,
    fat::{self, Files, Volume},
    tool,
};
use bootloader_config::{environment::Environment, layout};
use std::{
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
};

/// Volume id of the boot partition.
const BOOT_ID: u32 = 0x484f_4c44;
/// Label of the boot partition.
const BOOT_LABEL: &str = "HOLDFAST";
/// UUID of the data file system; devices find it by its label.
const DATA_UUID: &str = "686f6c64-6661-7374-0000-00000000da7a";
/// Seed of the data file system's directory hashes.
const DATA_HASH_SEED: &str = "686f6c64-6661-7374-0000-0000005eed00";
/// Bytes at the start of slot b that are zeroed: the FAT with its tables and root folder.
const SLOT_B_ERASED: u64 = 128 * layout::KIB;
/// Bytes of a block of the data file system, and of the block map.
pub const BLOCK: u64 = 4096;

/// What goes onto the card.
pub struct Disk<'a> {
    /// Files of the boot partition.
    pub boot: &'a Files,
    /// The slot image for slot a.
    pub slot: &'a [u8],
    /// Unix seconds of files and file systems.
    pub time: u64,
}

/// Writes the image; returns the extents that matter, in order, in bytes, whole blocks.
pub fn write(path: &Path, disk: &Disk<'_>) -> Result<Vec<Range<u64>>> {
    let image = File::create(path).map_err(Error::file("create", path))?;
    image.set_len(layout::IMAGE_SIZE).map_err(Error::file("size", path))?;
    let mut extents = Vec::new();
    let mut put = |offset: u64, bytes: &[u8]| -> Result<()> {
        write_sparse(&image, offset, bytes).map_err(Error::file("write", path))?;
        extents.push(offset..offset + (bytes.len() as u64).next_multiple_of(BLOCK));
        Ok(())
    };
    put(0, &partition_table())?;
    for (offset, copy) in layout::ENV_OFFSETS.into_iter().zip(Environment::fresh().1) {
        put(offset, &copy)?;
    }
    let boot = boot_volume(disk)?;
    let used = boot.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    put(layout::BOOT.offset, &boot[..used])?;
    put(layout::SLOT_A.offset, disk.slot)?;
    put(layout::SLOT_B.offset, &vec![0; SLOT_B_ERASED as usize])?;
    let data = data_volume(path, disk.time)?;
    for extent in used_blocks(&data)? {
        let bytes = &data[extent.start as usize..extent.end as usize];
        put(layout::DATA.offset + extent.start, bytes)?;
    }
    image.sync_all().map_err(Error::file("sync", path))?;
    Ok(extents)
}

/// Writes what is not zero.
fn write_sparse(file: &File, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    for (index, block) in bytes.chunks(BLOCK as usize).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, offset + index as u64 * BLOCK)?;
        }
    }
    Ok(())
}

/// The master boot record: disk id, four partitions by block address (the old cylinder fields at
/// their "too large" value).
pub(crate) fn partition_table() -> Vec<u8> {
    const DISK_ID_AT: usize = 440;
    const ENTRIES_AT: usize = 446;
    const NO_CHS: [u8; 3] = [0xfe, 0xff, 0xff];
    let mut sector = vec![0; layout::SECTOR_SIZE as usize];
    sector[DISK_ID_AT..][..4].copy_from_slice(&layout::DISK_ID.to_le_bytes());
    for (index, partition) in layout::PARTITIONS.iter().enumerate() {
        let entry = &mut sector[ENTRIES_AT + 16 * index..][..16];
        entry[1..4].copy_from_slice(&NO_CHS);
        entry[4] = partition.kind;
        entry[5..8].copy_from_slice(&NO_CHS);
        let first = (partition.offset / layout::SECTOR_SIZE) as u32;
        let count = (partition.size / layout::SECTOR_SIZE) as u32;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..16].copy_from_slice(&count.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn boot_volume(disk: &Disk<'_>) -> Result<Vec<u8>> {
    let volume = Volume {
        label: BOOT_LABEL,
        id: BOOT_ID,
        size: layout::BOOT.size,
        hidden_sectors: (layout::BOOT.offset / layout::SECTOR_SIZE) as u32,
        time: disk.time,
    };
    fat::build(&volume, disk.boot)
}

/// Makes the data file system beside the image.
fn data_volume(beside: &Path, time: u64) -> Result<Vec<u8>> {
    let path = beside.with_extension("data.tmp");
    let _ = fs::remove_file(&path);
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    file.set_len(layout::DATA.size).map_err(Error::file("size", &path))?;
    let mut command = tool::command("mke2fs")?;
    command.env("E2FSPROGS_FAKE_TIME", time.to_string()).env("MKE2FS_CONFIG", "/dev/null");
    command.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0"]);
    command.args(["-L", layout::DATA_LABEL, "-U", DATA_UUID, "-O", DATA_FEATURES]);
    let options = format!("hash_seed={DATA_HASH_SEED},lazy_itable_init=0,lazy_journal_init=0");
    command.args(["-J", "size=4", "-E", &options]).arg(&path);
    let made = tool::run(&mut command);
    let bytes = made.and_then(|_| fs::read(&path).map_err(Error::file("read", &path)));
    let _ = fs::remove_file(&path);
    bytes
}

/// Stated in full, so that the host's mke2fs.conf does not decide. `64bit` and `resize_inode` are
/// what growing the mounted file system to the card needs.
const DATA_FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,\
     64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// Extents in use of an ext4 of one block group, from its block bitmap.
///
/// Source: the kernel's Documentation/filesystems/ext4: the group descriptors follow the
/// superblock's block; the first word of a descriptor is the bitmap's block.
fn used_blocks(data: &[u8]) -> Result<Vec<Range<u64>>> {
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| data[at + i]));
    let (magic_at, descriptor_at) = (1024 + 56, BLOCK as usize);
    let bitmap_at = word(descriptor_at) as usize * BLOCK as usize;
    let blocks = data.len() / BLOCK as usize;
    let in_one_group = blocks <= 8 * BLOCK as usize;
    if word(magic_at) & 0xffff != 0xef53 || !in_one_group || bitmap_at + BLOCK as usize > data.len()
    {
        return Err(Error::input("mke2fs made a data file system of an unexpected form"));
    }
    let used = |block: usize| data[bitmap_at + block / 8] & (1 << (block % 8)) != 0;
    let mut extents: Vec<Range<u64>> = Vec::new();
    for block in (0..blocks).filter(|block| used(*block)) {
        let start = block as u64 * BLOCK;
        match extents.last_mut() {
            Some(last) if last.end == start => last.end += BLOCK,
            _ => extents.push(start..start + BLOCK),
        }
    }
    Ok(extents)
}
