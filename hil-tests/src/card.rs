//! The SD card: a sparse copy of a built image, grown to the size of a card, to put files on, to
//! read and to damage. Only a card whose machine is off may be touched.

use crate::child;
use crate::error::{Result, ensure, file};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Offset of the partition table in the first sector, and bytes of an entry.
const TABLE: usize = 446;
const TABLE_ENTRY: usize = 16;
/// The usual card of a story: larger than the image, so that the data partition has room to grow.
pub const USUAL_SIZE: u64 = 1 << 30;

/// A card, as a file.
#[derive(Debug, Clone)]
pub struct Card {
    path: PathBuf,
}

impl Card {
    /// A new card with the content of `image`, of `size` bytes (a power of two).
    pub fn new(image: &Path, path: &Path, size: u64) -> Result<Self> {
        ensure(size.is_power_of_two(), || format!("a card of {size} bytes: not a power of two"))?;
        child::run(Command::new("cp").args(["--sparse=always"]).arg(image).arg(path))?;
        let card = Self { path: path.to_path_buf() };
        let handle = card.open()?;
        let used = handle.metadata().map_err(file("look at", path))?.len();
        ensure(used <= size, || format!("an image of {used} bytes on a card of {size}"))?;
        handle.set_len(size).map_err(file("grow", path))?;
        Ok(card)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the file without its ending.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The file, to read and to write.
    pub(crate) fn open(&self) -> Result<File> {
        let open = File::options().read(true).write(true).open(&self.path);
        open.map_err(file("open", &self.path))
    }

    /// First byte and length of a partition, from 1.
    pub fn partition(&self, number: usize) -> Result<(u64, u64)> {
        let mut sector = [0; SECTOR as usize];
        self.open()?.read_exact_at(&mut sector, 0).map_err(file("read", &self.path))?;
        let entry = &sector[TABLE + (number - 1) * TABLE_ENTRY..][..TABLE_ENTRY];
        let field = |at: usize| u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|i| entry[at + i])));
        Ok((field(8) * SECTOR, field(12) * SECTOR))
    }

    /// Writes a file into the root of the boot partition, replacing one of that name.
    pub fn put(&self, name: &str, content: &[u8]) -> Result {
        let failed = file("write on the boot partition", self.path.join(name));
        self.boot(|root| {
            let _ = root.remove(name);
            root.create_file(name)?.write_all(content)
        })
        .map_err(failed)
    }

    /// Reads a file from the root of the boot partition.
    pub fn get(&self, name: &str) -> Result<Vec<u8>> {
        let failed = file("read from the boot partition", self.path.join(name));
        self.boot(|root| {
            let mut content = Vec::new();
            root.open_file(name)?.read_to_end(&mut content)?;
            Ok(content)
        })
        .map_err(failed)
    }

    fn boot<T>(
        &self,
        work: impl FnOnce(&fatfs::Dir<'_, Window>) -> io::Result<T>,
    ) -> io::Result<T> {
        let (start, length) = self.partition(1).map_err(io::Error::other)?;
        let disk = Window { file: self.open().map_err(io::Error::other)?, start, length, at: 0 };
        let volume = fatfs::FileSystem::new(disk, fatfs::FsOptions::new())?;
        let result = work(&volume.root_dir());
        volume.unmount()?;
        result
    }

    /// Bytes of the card.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.open()?.read_exact_at(&mut bytes, offset).map_err(file("read", &self.path))?;
        Ok(bytes)
    }

    /// Overwrites bytes of the card.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result {
        self.open()?.write_all_at(bytes, offset).map_err(file("write", &self.path))
    }

    /// Turns one bit around, as a worn card does.
    pub fn flip(&self, offset: u64, bit: u8) -> Result {
        let byte = self.read(offset, 1)?[0];
        self.write(offset, &[byte ^ (1 << bit)])
    }
}

/// A partition as a file of its own.
struct Window {
    file: File,
    start: u64,
    length: u64,
    at: u64,
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = (self.length - self.at).min(buffer.len() as u64) as usize;
        let count = self.file.read_at(&mut buffer[..room], self.start + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (self.length - self.at).min(bytes.len() as u64) as usize;
        let count = self.file.write_at(&bytes[..room], self.start + self.at)?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = to
            .filter(|at| *at <= self.length)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "outside the partition"))?;
        Ok(self.at)
    }
}
