//! The fields of an ext4 superblock that init needs. Source of the format: the kernel's
//! `fs/ext4/ext4.h`.

/// Offset of the superblock in the partition, and its length.
pub const OFFSET: u64 = 1024;
/// Bytes of a superblock.
pub const LENGTH: usize = 1024;

const MAGIC: u16 = 0xef53;
const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_64BIT: u32 = 0x80;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
const STATE_VALID: u16 = 1;
const STATE_ERRORS: u16 = 2;
/// Where the check sum is: over everything before it.
const CHECKSUM_AT: usize = 0x3fc;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Volume label.
    pub label: String,
    /// Blocks in the file system.
    pub blocks: u64,
    /// Bytes per block.
    pub block_size: u64,
    /// The block group that this copy lies in: 0 for the first.
    pub group: u16,
    /// The kernel found errors since the last check, or the file system was left without a journal
    /// that could bring it in order.
    pub has_errors: bool,
    /// The journal holds changes that are to be made; or it is time for a check, by the file
    /// system's own count of mounts (which is off as built).
    pub is_unclean: bool,
    /// The check sum is right, or there is none.
    pub is_whole: bool,
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
        let (mounts, most_mounts) = (u16_at(0x34) as i16, u16_at(0x36) as i16);
        let state = u16_at(0x3a);
        let journal = u32_at(0x5c) & COMPAT_HAS_JOURNAL != 0;
        let error_count = u32_at(0x194);
        let has_checksum = u32_at(0x64) & RO_COMPAT_METADATA_CSUM != 0;
        Some(Self {
            label: String::from_utf8_lossy(&label[..end]).into_owned(),
            blocks,
            block_size: 1024 << log_block_size,
            group: u16_at(0x5a),
            has_errors: state & STATE_ERRORS != 0
                || error_count != 0
                || (state & STATE_VALID == 0 && !journal),
            is_unclean: u32_at(0x60) & INCOMPAT_RECOVER != 0
                || state & STATE_VALID == 0
                || (most_mounts > 0 && mounts >= most_mounts),
            is_whole: !has_checksum || u32_at(CHECKSUM_AT) == crc32c(&raw[..CHECKSUM_AT]),
        })
    }
}

/// Blocks that hold a copy of the superblock, in a file system of blocks of 4096 bytes, which the
/// image builder makes: the first of the groups 1 and powers of 3, 5, 7 (`sparse_super`).
pub fn backup_blocks() -> impl Iterator<Item = u64> {
    /// Blocks of a group: as many as a block has bits.
    const GROUP: u64 = 8 * 4096;
    [1, 3, 5, 7, 9, 25, 27, 49, 81].into_iter().map(|group| group * GROUP)
}

/// ext4's: Castagnoli's polynomial, begun with ones, not inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    const REFLECTED: u32 = 0x82f6_3b78;
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| (c >> 1) ^ ((c & 1) * REFLECTED))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::{self, File},
        io::Read,
        path::Path,
        process::Command,
    };

    #[test]
    fn zeros_and_a_wild_block_size_are_no_superblock() {
        let mut raw = [0; LENGTH];
        assert_eq!(Superblock::parse(&raw), None);
        raw[0x38..0x3a].copy_from_slice(&MAGIC.to_le_bytes());
        assert!(Superblock::parse(&raw).is_some());
        raw[0x18] = 7;
        assert_eq!(Superblock::parse(&raw), None);
    }

    fn read(path: &Path) -> [u8; LENGTH] {
        let mut start = [0; 2048];
        File::open(path).unwrap().read_exact(&mut start).unwrap();
        start[1024..].try_into().unwrap()
    }

    fn tool(program: &str, arguments: &[&str], path: &Path) {
        let done = Command::new(program).args(arguments).arg(path).output().unwrap();
        assert!(done.status.success(), "{program} {arguments:?}: {done:?}");
    }

    #[test]
    fn what_mke2fs_made_and_debugfs_changed_is_read() {
        let path = std::env::temp_dir().join(format!("holdfast-ext4-{}", std::process::id()));
        File::create(&path).unwrap().set_len(32 << 20).unwrap();
        tool("/sbin/mke2fs", &["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "data"], &path);
        let mut expected = Superblock {
            label: "data".into(),
            blocks: 8192,
            block_size: 4096,
            group: 0,
            has_errors: false,
            is_unclean: false,
            is_whole: true,
        };
        assert_eq!(Superblock::parse(&read(&path)).unwrap(), expected);
        tool("/sbin/debugfs", &["-w", "-R", "feature needs_recovery"], &path);
        expected.is_unclean = true;
        assert_eq!(Superblock::parse(&read(&path)).unwrap(), expected);
        tool("/sbin/debugfs", &["-w", "-R", "set_super_value state 3"], &path);
        expected.has_errors = true;
        assert_eq!(Superblock::parse(&read(&path)).unwrap(), expected);
        let mut torn = read(&path);
        torn[0x10] ^= 1;
        assert!(!Superblock::parse(&torn).unwrap().is_whole);
        fs::remove_file(&path).unwrap();
    }
}
