//! The fields of an ext4 superblock that init needs. Source of the format: the kernel's
//! `fs/ext4/ext4.h`.

/// Offset of the superblock in the partition, and its length.
pub const OFFSET: u64 = 1024;
/// Bytes of a superblock.
pub const LENGTH: usize = 1024;

const MAGIC: u16 = 0xef53;
const INCOMPAT_64BIT: u32 = 0x80;
const STATE_ERRORS: u16 = 2;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Volume label.
    pub label: String,
    /// Blocks in the file system.
    pub blocks: u64,
    /// Bytes per block.
    pub block_size: u64,
    /// The kernel found errors since the last check.
    pub has_errors: bool,
}

impl Superblock {
    /// `None` when this is no ext superblock.
    pub fn parse(raw: &[u8; LENGTH]) -> Option<Self> {
        let u16_at = |at: usize| u16::from_le_bytes([raw[at], raw[at + 1]]);
        let u32_at =
            |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
        let log_block_size = u32_at(0x18);
        if u16_at(0x38) != MAGIC || log_block_size > 6 {
            return None;
        }
        let mut blocks = u64::from(u32_at(0x04));
        if u32_at(0x60) & INCOMPAT_64BIT != 0 {
            blocks |= u64::from(u32_at(0x150)) << 32;
        }
        let label = &raw[0x78..0x88];
        let end = label.iter().position(|b| *b == 0).unwrap_or(label.len());
        Some(Self {
            label: String::from_utf8_lossy(&label[..end]).into_owned(),
            blocks,
            block_size: 1024 << log_block_size,
            has_errors: u16_at(0x3a) & STATE_ERRORS != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, io::Read, process::Command};

    #[test]
    fn zeros_and_a_wild_block_size_are_no_superblock() {
        let mut raw = [0; LENGTH];
        assert_eq!(Superblock::parse(&raw), None);
        raw[0x38..0x3a].copy_from_slice(&MAGIC.to_le_bytes());
        assert!(Superblock::parse(&raw).is_some());
        raw[0x18] = 7;
        assert_eq!(Superblock::parse(&raw), None);
    }

    #[test]
    fn what_mke2fs_made_is_read() {
        let path = std::env::temp_dir().join(format!("holdfast-ext4-{}", std::process::id()));
        File::create(&path).unwrap().set_len(32 << 20).unwrap();
        let made = Command::new("/sbin/mke2fs")
            .args(["-q", "-t", "ext4", "-b", "4096", "-L", "data"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        let mut start = [0; 2048];
        File::open(&path).unwrap().read_exact(&mut start).unwrap();
        std::fs::remove_file(&path).unwrap();
        let read = Superblock::parse(start[1024..].try_into().unwrap()).unwrap();
        let expected =
            Superblock { label: "data".into(), blocks: 8192, block_size: 4096, has_errors: false };
        assert_eq!(read, expected);
    }
}
