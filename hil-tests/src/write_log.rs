//! The log of a card's writes, as QEMU's `blklogwrites` keeps it, and cards made of its beginning:
//! what the card holds when the power goes between any two writes of a real run.
//!
//! The format is that of Linux' dm-log-writes (Documentation/admin-guide/device-mapper/
//! log-writes.rst), all numbers little-endian: a superblock of one sector, then each write as one
//! sector that describes it and the data. The superblock counts the writes that are whole; what
//! lies behind them is left alone. QEMU's card writes one sector after the other and never flushes.

use crate::card::Card;
use crate::error::{Result, ensure, file};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What the superblock begins with.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
/// Bytes of a sector, of the log's and of the card's.
pub const SECTOR: u64 = 512;
/// Where the superblock says how many writes there are, and how large a sector is.
const COUNT_AT: usize = 16;
const SECTOR_SIZE_AT: usize = 24;
/// Flag of an entry: the sectors hold nothing any more, and there is no data.
const DISCARD: u64 = 1 << 2;
/// Sectors of one write, at most: 64 MiB.
const MOST_SECTORS: u64 = 1 << 17;

/// One write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// First sector of the card.
    pub sector: u64,
    /// Sectors; none for a flush.
    pub sectors: u64,
    /// Where the data is in the log; `None`: a discard.
    data: Option<u64>,
}

/// A log that is not written any more.
#[derive(Debug)]
pub struct WriteLog {
    path: PathBuf,
    log: File,
    /// The writes, oldest first.
    pub entries: Vec<Entry>,
}

/// Whole writes in a log, which may still be written.
///
/// # Errors
/// Files; a superblock that is none.
pub fn length(path: &Path) -> Result<u64> {
    let log = File::open(path).map_err(file("open", path))?;
    let bytes = sector(&log, 0).map_err(file("read the superblock of", path))?;
    let size = u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[SECTOR_SIZE_AT + i])));
    let known = [
        (number(&bytes, 0) == MAGIC, "has no magic number"),
        (number(&bytes, 8) == VERSION, "is of another version"),
        (size == SECTOR, "has other sectors"),
    ];
    for (holds, otherwise) in known {
        ensure(holds, || format!("write log {} {otherwise}", path.display()))?;
    }
    Ok(number(&bytes, COUNT_AT))
}

impl WriteLog {
    /// Reads where everything is.
    ///
    /// # Errors
    /// Files; a log that is none, or that ends before its last write.
    pub fn open(path: &Path) -> Result<Self> {
        let count = length(path)?;
        let log = File::open(path).map_err(file("open", path))?;
        let end = log.metadata().map_err(file("look at", path))?.len();
        let (mut entries, mut at) = (Vec::new(), SECTOR);
        for which in 0..count {
            let bytes = sector(&log, at).map_err(file("read an entry of", path))?;
            let [first, sectors, flags] = [0, 8, 16].map(|field| number(&bytes, field));
            let data = (flags & DISCARD == 0).then_some(at + SECTOR);
            at += SECTOR + data.map_or(0, |_| sectors.min(MOST_SECTORS) * SECTOR);
            ensure(sectors <= MOST_SECTORS && at <= end, || {
                format!("write log {}: entry {which} of {count} is cut off", path.display())
            })?;
            entries.push(Entry { sector: first, sectors, data });
        }
        Ok(Self { path: path.to_path_buf(), log, entries })
    }

    /// Writes the first `count` of them on a card that holds what it held when the log began.
    ///
    /// # Errors
    /// Files.
    pub fn replay(&self, count: usize, card: &Card) -> Result {
        let disk = card.open()?;
        for entry in &self.entries[..count] {
            let written = disk.write_all_at(&self.data(entry)?, entry.sector * SECTOR);
            written.map_err(file("replay on", card.path()))?;
        }
        Ok(())
    }

    /// What was written; zeros where something was discarded.
    ///
    /// # Errors
    /// Files.
    pub fn data(&self, entry: &Entry) -> Result<Vec<u8>> {
        let mut bytes = vec![0; (entry.sectors * SECTOR) as usize];
        if let Some(at) = entry.data {
            let read = self.log.read_exact_at(&mut bytes, at);
            read.map_err(file("read a write of", &self.path))?;
        }
        Ok(bytes)
    }
}

fn sector(log: &File, at: u64) -> std::io::Result<[u8; SECTOR as usize]> {
    let mut bytes = [0; SECTOR as usize];
    log.read_exact_at(&mut bytes, at).map(|()| bytes)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;

    /// A log of these writes: first sector, flags, data.
    fn log(writes: &[(u64, u64, &[u8])]) -> Vec<u8> {
        let pad = |mut bytes: Vec<u8>| {
            bytes.resize(SECTOR as usize, 0);
            bytes
        };
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut bytes = pad(words(&[MAGIC, VERSION, writes.len() as u64, SECTOR]));
        for (sector, flags, data) in writes {
            let sectors = if *flags == DISCARD { 1 } else { data.len() as u64 / SECTOR };
            bytes.extend(pad(words(&[*sector, sectors, *flags, 0])));
            bytes.extend_from_slice(data);
        }
        bytes
    }

    fn stored(name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = paths::hil()?.join(format!("write-log-{name}"));
        std::fs::write(&path, bytes).map_err(file("write", &path))?;
        Ok(path)
    }

    #[test]
    fn a_prefix_of_the_writes_makes_the_card_of_that_moment() -> Result {
        let one = [1; SECTOR as usize];
        let two = [2; 2 * SECTOR as usize];
        let writes: &[(u64, u64, &[u8])] =
            &[(3, 0, &one), (0, 1, &[]), (3, 0, &two), (4, DISCARD, &[])];
        let log = WriteLog::open(&stored("prefix", &log(writes))?)?;
        let expected: [&[u8]; 5] = [&[9, 9, 9], &[1, 9, 9], &[1, 9, 9], &[2, 2, 9], &[2, 0, 9]];
        for (count, expected) in expected.into_iter().enumerate() {
            let image = stored("image", &[9; 8 * SECTOR as usize])?;
            let card = Card::new(&image, &image.with_extension("card"), 8 * SECTOR)?;
            log.replay(count, &card)?;
            let first = |sector| card.read(sector * SECTOR, 1);
            assert_eq!([first(3)?, first(4)?, first(5)?].concat(), expected, "{count} writes");
        }
        Ok(())
    }

    #[test]
    fn what_is_no_log_is_refused() -> Result {
        let whole = log(&[(3, 0, &[1; SECTOR as usize])]);
        let mut foreign = whole.clone();
        foreign[0] ^= 1;
        let mut other_sectors = whole.clone();
        other_sectors[SECTOR_SIZE_AT + 1] = 16;
        let mut endless = whole.clone();
        endless[SECTOR as usize + 8..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
        let cases: [(&str, &[u8], &str); 5] = [
            ("empty", &[], "superblock"),
            ("foreign", &foreign, "magic"),
            ("sectors", &other_sectors, "sectors"),
            ("short", &whole[..whole.len() - 1], "cut off"),
            ("endless", &endless, "cut off"),
        ];
        for (name, bytes, reason) in cases {
            let opened = WriteLog::open(&stored(name, bytes)?);
            let error = opened.expect_err(name).to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
        Ok(())
    }
}
