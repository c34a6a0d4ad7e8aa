//! FAT volumes in memory, with a fixed volume id and fixed times, so that the same files give the
//! same bytes.

use crate::{Error, Result};
use fatfs::{Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time};
use std::io::{Cursor, Write};

/// What a volume shall be.
pub struct Volume<'a> {
    /// Label, at most 11 bytes.
    pub label: &'a str,
    /// Volume id.
    pub id: u32,
    /// Size in bytes.
    pub size: u64,
    /// Sectors before the volume on the disk, as its boot sector states.
    pub hidden_sectors: u32,
    /// Unix seconds of every file.
    pub time: u64,
}

/// Files by path (`dir/file`), written in the order given.
pub type Files = Vec<(String, Vec<u8>)>;

#[derive(Debug, Clone, Copy)]
struct FixedTime(DateTime);

impl fatfs::TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        self.0.date
    }

    fn get_current_date_time(&self) -> DateTime {
        self.0
    }
}

/// Makes a FAT16 volume that holds `files`.
pub fn build(volume: &Volume<'_>, files: &Files) -> Result<Vec<u8>> {
    let needed: u64 = files.iter().map(|(_, data)| data.len() as u64).sum();
    if needed > volume.size {
        return Err(too_large(volume, needed));
    }
    let mut bytes = vec![0; volume.size as usize];
    fill(volume, files, &mut bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::WriteZero => too_large(volume, needed),
        _ => Error::input(format!("cannot make the FAT volume {}: {error}", volume.label)),
    })?;
    bytes[HIDDEN_SECTORS_AT..][..4].copy_from_slice(&volume.hidden_sectors.to_le_bytes());
    Ok(bytes)
}

/// Offset of BPB_HiddSec in the boot sector.
const HIDDEN_SECTORS_AT: usize = 28;

fn too_large(volume: &Volume<'_>, size: u64) -> Error {
    let what = format!("the content of the FAT volume {}", volume.label);
    Error::TooLarge { what, size, limit: volume.size }
}

fn fill(volume: &Volume<'_>, files: &Files, bytes: &mut [u8]) -> std::io::Result<()> {
    let mut label = [b' '; 11];
    label[..volume.label.len()].copy_from_slice(volume.label.as_bytes());
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat16)
        .bytes_per_cluster(2048)
        .volume_id(volume.id)
        .volume_label(label);
    fatfs::format_volume(Cursor::new(&mut *bytes), options)?;
    write_files(bytes, files, volume.time)
}

/// Writes files into an existing volume; a file that is there is replaced.
pub fn write_files(bytes: &mut [u8], files: &Files, time: u64) -> std::io::Result<()> {
    let clock: &'static FixedTime = Box::leak(Box::new(FixedTime(date_time(time))));
    let options = FsOptions::new().time_provider(clock).update_accessed_date(false);
    let filesystem = FileSystem::new(Cursor::new(bytes), options)?;
    let root = filesystem.root_dir();
    for (path, data) in files {
        if let Some((folder, _)) = path.rsplit_once('/') {
            root.create_dir(folder)?;
        }
        let mut file = root.create_file(path)?;
        file.truncate()?;
        file.write_all(data)?;
        file.flush()?;
    }
    drop(root);
    filesystem.unmount()
}

/// A time as FAT has it; it knows 1980 to 2107.
fn date_time(unix: u64) -> DateTime {
    const FIRST: u64 = 315_532_800; // 1980-01-01
    let unix = unix.max(FIRST);
    let (year, month, day) = protocol::calendar::civil(unix / 86_400);
    let second = unix % 86_400;
    DateTime {
        date: Date { year: year as u16, month: month as u16, day: day as u16 },
        time: Time {
            hour: (second / 3600) as u16,
            min: (second / 60 % 60) as u16,
            sec: (second % 60) as u16,
            millis: 0,
        },
    }
}

/// `YYYY-MM-DD` of a time in Unix seconds.
pub fn civil_date(unix: u64) -> String {
    let Date { year, month, day } = date_time(unix).date;
    format!("{year:04}-{month:02}-{day:02}")
}
