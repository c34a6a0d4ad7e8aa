//! The two slots as block devices.
//!
//! The kernel's command line says which slot runs (`holdfast.slot`, and the same by the number in
//! its PARTUUID); the root file system is mapped from that partition, and the other slot is the
//! other partition of its disk. The disk as a whole is not this daemon's to open. Devices are
//! opened anew for each installation of the daemon and never by a name that was guessed.
//!
//! Invariants: the running slot is opened for reading only; the other one exclusively, which the
//! kernel refuses while anything is mounted from it; reads after a sync come from the card.

use crate::paths::Paths;
use protocol::control::SlotName;
use protocol::release::CHUNK_SIZE;
use rustix::fs::{Advice, OFlags, fadvise};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use updater::Error;
use updater::ports::{Chunk, Storage};

/// Partition of slot a; slot b follows.
const PARTITION_A: u32 = 2;
const PARTITION_B: u32 = 3;
/// Unit of `size` in sysfs, whatever the card's own sectors are.
const SECTOR: u64 = 512;
/// Longest command line read; the kernel's own limit on arm64 is below it.
const MAX_CMDLINE: u64 = 16 * 1024;

/// The two slots, open.
pub struct Slots {
    running: File,
    target: File,
    chunks: u32,
    running_chunks: u32,
}

struct Partition {
    device: PathBuf,
    sectors: u64,
}

impl Partition {
    /// From its directory in sysfs.
    fn read(paths: &Paths, place: &Path) -> Result<Self, Error> {
        let size = fs::read_to_string(place.join("size")).ok();
        let sectors = size.and_then(|text| text.trim().parse().ok());
        let sectors = sectors.ok_or_else(|| storage("size of a slot's partition"))?;
        Ok(Self { device: paths.at("/dev").join(place.file_name().unwrap_or_default()), sectors })
    }
}

fn storage(what: impl std::fmt::Display) -> Error {
    Error::Storage(what.to_string())
}

impl Slots {
    /// Finds and opens both.
    pub fn open(paths: &Paths) -> Result<Self, Error> {
        let line = read_line(paths)?;
        let (running, target) = match running_slot(&line)? {
            SlotName::A => (PARTITION_A, PARTITION_B),
            SlotName::B => (PARTITION_B, PARTITION_A),
        };
        let running = mapped(paths, running)?;
        let target = Partition::read(paths, &beside(&running, target)?)?;
        let running = Partition::read(paths, &running)?;
        let open = |options: &OpenOptions, partition: &Partition| {
            let path = &partition.device;
            options.open(path).map_err(|e| storage(format!("open {}: {e}", path.display())))
        };
        let sectors = target.sectors.min(running.sectors);
        let chunks = (sectors * SECTOR / u64::from(CHUNK_SIZE)) as u32;
        let exclusive = OFlags::EXCL.bits().cast_signed();
        Ok(Self {
            running: open(OpenOptions::new().read(true), &running)?,
            target: open(
                OpenOptions::new().read(true).write(true).custom_flags(exclusive),
                &target,
            )?,
            chunks,
            running_chunks: image_sectors(&line)
                .map(|sectors| (sectors * SECTOR).div_ceil(u64::from(CHUNK_SIZE)))
                .and_then(|chunks_used| u32::try_from(chunks_used).ok())
                .map_or(chunks, |chunks_used| chunks_used.min(chunks)),
        })
    }

    fn offset(&self, chunk: u32) -> Result<u64, Error> {
        if chunk >= self.chunks {
            return Err(storage(format!("chunk {chunk} lies beyond the slot")));
        }
        Ok(u64::from(chunk) * u64::from(CHUNK_SIZE))
    }
}

/// Read pages are of no use again, and the memory is needed for apps.
fn forget(file: &File, offset: u64) {
    let _ = fadvise(file, offset, NonZeroU64::new(u64::from(CHUNK_SIZE)), Advice::DontNeed);
}

fn read(file: &File, offset: u64, into: &mut Chunk) -> Result<(), Error> {
    file.read_exact_at(into, offset).map_err(|e| storage(format!("read at {offset}: {e}")))?;
    forget(file, offset);
    Ok(())
}

impl Storage for Slots {
    fn chunks(&self) -> u32 {
        self.chunks
    }

    fn running_chunks(&self) -> u32 {
        self.running_chunks
    }

    fn read_running(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error> {
        read(&self.running, self.offset(chunk)?, into)
    }

    fn read_running_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        // Pages stay: a delta reads here and there, and comes back.
        let read = self.running.read_exact_at(into, offset);
        read.map_err(|e| storage(format!("read at {offset}: {e}")))
    }

    fn read_target(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error> {
        read(&self.target, self.offset(chunk)?, into)
    }

    fn write_target(&mut self, chunk: u32, from: &Chunk) -> Result<(), Error> {
        let offset = self.offset(chunk)?;
        let written = self.target.write_all_at(from, offset);
        written.map_err(|e| storage(format!("write at {offset}: {e}")))?;
        // Pages that are not on the card yet are not dropped by this, but begin to be written: the
        // card works while the next chunk is fetched (`generic_fadvise` in the kernel).
        forget(&self.target, offset);
        Ok(())
    }

    fn sync_target(&mut self) -> Result<(), Error> {
        self.target.sync_data().map_err(|e| storage(format!("sync: {e}")))?;
        // All of the slot leaves the page cache: what is read back is what the card holds.
        let _ = fadvise(&self.target, 0, None, Advice::DontNeed);
        let _ = fadvise(&self.running, 0, None, Advice::DontNeed);
        Ok(())
    }
}

fn read_line(paths: &Paths) -> Result<String, Error> {
    let path = paths.at("/proc/cmdline");
    let mut line = String::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_CMDLINE).read_to_string(&mut line))
        .map_err(|e| storage(format!("read {}: {e}", path.display())))?;
    Ok(line)
}

/// Running slot, from the kernel's command line.
fn running_slot(line: &str) -> Result<SlotName, Error> {
    let slot = line.split_ascii_whitespace().find_map(|w| w.strip_prefix("holdfast.slot="));
    let (slot, number) = match slot {
        Some("a") => (SlotName::A, PARTITION_A),
        Some("b") => (SlotName::B, PARTITION_B),
        _ => return Err(storage("the command line has no holdfast.slot")),
    };
    let missing = || storage("the command line has no PARTUUID of a slot");
    let uuid = line.split("PARTUUID=").nth(1).and_then(|rest| rest.get(..11));
    let (disk, partition) = uuid.and_then(|uuid| uuid.split_once('-')).ok_or_else(missing)?;
    u32::from_str_radix(disk, 16).map_err(|_| missing())?;
    if u32::from_str_radix(partition, 16) != Ok(number) {
        return Err(storage("holdfast.slot and PARTUUID name different slots"));
    }
    Ok(slot)
}

/// Sectors of the running slot's image: root file system and hash tree lie behind what the kernel
/// was loaded from, `slot,,0,ro,0 SECTORS linear PARTUUID=… FIRST` (`image-builder/src/slot.rs`).
fn image_sectors(line: &str) -> Option<u64> {
    let mut words = line.split("slot,,0,ro,0 ").nth(1)?.split([' ', ';', '"']);
    let sectors: u64 = words.next()?.parse().ok()?;
    let first: u64 = words.nth(2)?.parse().ok()?;
    sectors.checked_add(first)
}

/// sysfs's directory of the partition of this number that something is mapped from: the root file
/// system is from the running slot, and nothing is from any other partition of any disk.
fn mapped(paths: &Paths, wanted: u32) -> Result<PathBuf, Error> {
    let class = paths.at("/sys/class/block");
    let entries = fs::read_dir(&class).map_err(|e| storage(format!("list block devices: {e}")))?;
    // The link leads to the device's directory; a partition's lies in its disk's.
    let places = entries.flatten().filter_map(|entry| fs::canonicalize(entry.path()).ok());
    let is_held = |place: &PathBuf| {
        fs::read_dir(place.join("holders")).is_ok_and(|mut holders| holders.next().is_some())
    };
    let mut found = places.filter(|place| number(place) == Some(wanted) && is_held(place));
    match (found.next(), found.next()) {
        (Some(place), None) => Ok(place),
        (None, _) => Err(storage(format!("the root is mapped from no partition {wanted}"))),
        _ => Err(storage(format!("something is mapped from more than one partition {wanted}"))),
    }
}

/// The directory of another partition of the same disk.
fn beside(place: &Path, wanted: u32) -> Result<PathBuf, Error> {
    let disk = place.parent().unwrap_or(place);
    let entries = fs::read_dir(disk).map_err(|e| storage(format!("list partitions: {e}")))?;
    let mut places = entries.flatten().map(|entry| entry.path());
    let missing = || storage(format!("no partition {wanted} on {}", disk.display()));
    places.find(|place| number(place) == Some(wanted)).ok_or_else(missing)
}

/// Number of a partition; `None`: it is none.
fn number(place: &Path) -> Option<u32> {
    fs::read_to_string(place.join("partition")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_s_size_is_taken_from_the_command_line_or_unknown() {
        let line = "ro dm-mod.create=\"slot,,0,ro,0 18520 linear PARTUUID=484f4c44-03 32768;\
                    root,,1,ro,0 18368 verity 1 /dev/dm-0\" init=/sbin/init";
        assert_eq!(image_sectors(line), Some(18520 + 32768));
        for bad in ["", "slot,,0,ro,0 x linear a 1;", "slot,,0,ro,0 1 linear a"] {
            assert_eq!(image_sectors(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_running_slot_is_taken_from_the_command_line_or_not_at_all() {
        let line = "ro dm-mod.create=\"slot,,0,ro,0 32 linear PARTUUID=484f4c44-03 32768\" \
                    holdfast.slot=b holdfast.boot=trial";
        assert_eq!(running_slot(line).unwrap(), SlotName::B);
        for bad in [
            "",
            "holdfast.slot=b",
            "holdfast.slot=c PARTUUID=484f4c44-03",
            "holdfast.slot=a PARTUUID=484f4c44-03",
            "holdfast.slot=b PARTUUID=484f4c44",
            "holdfast.slot=b PARTUUID=484f4cxx-03",
            "holdfast.slot=b PARTUUID=484f4c4\u{e9}-03",
            "holdfast.slot=b PARTUUID=",
        ] {
            assert_eq!(running_slot(bad).unwrap_err().code(), "slot-io", "{bad:?}");
        }
    }
}
