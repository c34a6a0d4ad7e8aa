//! The file system of the data partition, made by mke2fs: as it lies on a new card, and as the
//! template that devices carry to make it anew.

use crate::{Error, Result, disk::BLOCK, tool};
use bootloader_config::layout;
use protocol::template;
use std::{
    fs::{self, File},
    ops::Range,
    path::Path,
};

/// UUID of the data file system; devices find it by its label.
const DATA_UUID: &str = "686f6c64-6661-7374-0000-00000000da7a";
/// Seed of the data file system's directory hashes.
const DATA_HASH_SEED: &str = "686f6c64-6661-7374-0000-0000005eed00";
/// Stated in full, so that the host's mke2fs.conf does not decide. `64bit` and `resize_inode` are
/// what growing the mounted file system to the card needs.
const DATA_FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,\
     64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// All bytes of a new data partition.
pub struct DataVolume(Vec<u8>);

impl DataVolume {
    /// Makes it, with a temporary file in the folder `work`.
    pub fn make(work: &Path, time: u64) -> Result<Self> {
        let path = work.join("data.tmp");
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
        bytes.map(Self)
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Extents in use, in bytes.
    pub fn used(&self) -> Result<Vec<Range<u64>>> {
        used_blocks(&self.0)
    }

    /// What devices carry: see [`protocol::template`].
    pub fn template(&self) -> Result<Vec<u8>> {
        let block = |byte: u64| (byte / BLOCK) as u32;
        let used = self.used()?;
        let used = used.into_iter().map(|range| block(range.start)..block(range.end));
        Ok(template::encode(&self.0, used))
    }
}

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
