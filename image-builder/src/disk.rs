//! The SD image: partition table, environment copies, boot volume, slot a, empty slot b, data.
//!
//! The image file is sparse. What matters of it is told as extents, which include zeroes that must
//! be zero on a card that held something else before: the whole slot image (its zeroes are hashed),
//! the first blocks of slot b (no slot image of an earlier use may look bootable), where the spare
//! copy goes (a card that is flashed anew is nobody's), and the blocks that the data file system
//! has in use.

use crate::{
    Error, Result,
    data::DataVolume,
    fat::{self, Files, Volume},
};
use bootloader_config::{environment::Environment, layout};
use std::{fs::File, ops::Range, os::unix::fs::FileExt, path::Path};

/// Volume id of the boot partition.
const BOOT_ID: u32 = 0x484f_4c44;
/// Label of the boot partition.
const BOOT_LABEL: &str = "HOLDFAST";
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
    /// The file system of the data partition.
    pub data: &'a DataVolume,
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
    // A card that is written again forgets whose it was. The map of blocks wants them in order.
    for offset in layout::SPARE_OFFSETS.into_iter().chain([layout::CHECK_NOTE_OFFSET]) {
        put(offset, &[0; BLOCK as usize])?;
    }
    let boot = boot_volume(disk)?;
    let used = boot.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    put(layout::BOOT.offset, &boot[..used])?;
    put(layout::SLOT_A.offset, disk.slot)?;
    put(layout::SLOT_B.offset, &vec![0; SLOT_B_ERASED as usize])?;
    for extent in disk.data.used()? {
        let bytes = &disk.data.bytes()[extent.start as usize..extent.end as usize];
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
