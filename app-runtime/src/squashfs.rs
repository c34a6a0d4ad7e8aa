//! The superblock of a squashfs, read before the kernel's own parser sees the file.

use crate::error::{Error, Result};

/// Bytes of the superblock.
pub const SUPERBLOCK: usize = 96;
const MAGIC: u32 = 0x7371_7368;
/// The only version that Linux mounts.
const VERSION: (u16, u16) = (4, 0);
/// Block sizes that Linux mounts.
const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 4096..=1 << 20;
/// Compressors by their number; lzma is not in Linux.
const COMPRESSORS: [(u16, &str); 5] = [(1, "gzip"), (3, "lzo"), (4, "xz"), (5, "lz4"), (6, "zstd")];

/// Checks the superblock of a file with `available` bytes of squashfs; returns the bytes that the
/// squashfs says it has.
pub fn check(what: &str, header: &[u8], available: u64) -> Result<u64> {
    let corrupt = |why: String| Error::refused("snap-corrupt", format!("{what}: {why}"));
    let header: &[u8; SUPERBLOCK] = header
        .first_chunk()
        .ok_or_else(|| corrupt(format!("{} bytes are too few for a squashfs", header.len())))?;
    let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
    if u32_at(0) != MAGIC {
        return Err(corrupt("not a squashfs".into()));
    }
    let (compressor, version) = (u16_at(20), (u16_at(28), u16_at(30)));
    if version != VERSION {
        return Err(corrupt(format!("squashfs version {}.{}", version.0, version.1)));
    }
    if !BLOCK_SIZES.contains(&u32_at(12)) || !u32_at(12).is_power_of_two() {
        return Err(corrupt(format!("squashfs with blocks of {} bytes", u32_at(12))));
    }
    if !COMPRESSORS.iter().any(|(number, _)| *number == compressor) {
        return Err(corrupt(format!("squashfs with compressor number {compressor}")));
    }
    let used = u64::from(u32_at(40)) | u64::from(u32_at(44)) << 32;
    if used > available || used < SUPERBLOCK as u64 {
        return Err(corrupt(format!("truncated: {available} of {used} bytes")));
    }
    Ok(used)
}
