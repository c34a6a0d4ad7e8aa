//! `device.toml`: checked, and written into the boot partition of an image or a card.

use crate::{Error, Result, bmap::Bmap, disk::BLOCK, fat};
use bootloader_config::layout;
use protocol::device::DeviceConfig;
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    time::SystemTime,
};

/// Name on the boot partition.
pub const FILE: &str = "device.toml";
/// What a new card has: everything explained, nothing set.
const TEMPLATE: &str = include_str!("../device.template.toml");
/// Largest `device.toml` in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The text for the boot partition: a file, checked; or the template.
pub fn text(path: Option<&Path>) -> Result<String> {
    let Some(path) = path else { return Ok(TEMPLATE.into()) };
    let size = path.metadata().map_err(Error::file("read", path))?.len();
    if size > MAX_FILE {
        return Err(Error::TooLarge { what: path.display().to_string(), size, limit: MAX_FILE });
    }
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    toml::from_str::<DeviceConfig>(&text)
        .map_err(|e| Error::input(format!("{}: {e}", path.display())))?;
    Ok(text)
}

/// Writes a checked `device.toml` into an image or onto a card; a block map beside an image is
/// brought up to date.
pub fn provision(target: &Path, device_toml: &Path) -> Result<()> {
    let text = text(Some(device_toml))?;
    let file = OpenOptions::new().read(true).write(true).open(target);
    let file = file.map_err(Error::file("open", target))?;
    check_layout(&file, target)?;
    let mut volume = vec![0; layout::BOOT.size as usize];
    file.read_exact_at(&mut volume, layout::BOOT.offset).map_err(Error::file("read", target))?;
    let before = volume.clone();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |time| time.as_secs());
    fat::write_files(&mut volume, &vec![(FILE.into(), text.into_bytes())], now)
        .map_err(Error::file("write device.toml to", target))?;
    let mut changed = Vec::new();
    let block = BLOCK as usize;
    for (index, new) in volume.chunks(block).enumerate() {
        if new != &before[index * block..][..block] {
            let offset = layout::BOOT.offset + index as u64 * BLOCK;
            file.write_all_at(new, offset).map_err(Error::file("write", target))?;
            changed.push(offset..offset + BLOCK);
        }
    }
    file.sync_all().map_err(Error::file("sync", target))?;
    update_block_map(target, changed)
}

/// Refuses what is not a Holdfast card, before anything in it is touched.
fn check_layout(file: &File, target: &Path) -> Result<()> {
    let mut sector = [0; layout::SECTOR_SIZE as usize];
    file.read_exact_at(&mut sector, 0).map_err(Error::file("read", target))?;
    let expected = crate::disk::partition_table();
    // The last partition grows on the device: it is not compared.
    if sector[440..494] != expected[440..494] || sector[510..] != expected[510..] {
        let target = target.display();
        return Err(Error::input(format!("{target} has no Holdfast partition table")));
    }
    Ok(())
}

fn update_block_map(image: &Path, changed: Vec<std::ops::Range<u64>>) -> Result<()> {
    let path = image.with_extension("bmap");
    if !path.is_file() || path == image {
        return Ok(());
    }
    let old = Bmap::read(&path)?;
    let known = old.ranges.into_iter().map(|(range, _)| range.start * BLOCK..range.end * BLOCK);
    let mut extents: Vec<_> = known.chain(changed).collect();
    extents.sort_by_key(|extent| extent.start);
    let map = Bmap::of(image, &extents)?;
    std::fs::write(&path, map.encode()).map_err(Error::file("write", path))
}
