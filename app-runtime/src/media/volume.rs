//! Which file system a medium has, and what it is called, by its own bytes: the kernel is given
//! nothing that is not one of these.

use super::{exfat, fat};
use std::{ffi::CStr, io};

/// Bytes of the first sector that are looked at.
pub const SECTOR: usize = 512;
/// Where the last two of them are, and which.
const SIGNATURE: (usize, [u8; 2]) = (510, [0x55, 0xaa]);
/// The most that is read of a root directory: a label is one of its first entries.
const MOST: u64 = 64 * 1024;

/// Reads so many bytes at a place of the medium.
pub type Read<'a> = dyn Fn(u64, &mut [u8]) -> io::Result<()> + 'a;

/// A file system that is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// exFAT, which sticks and cards above 32 GB have.
    Exfat,
}

impl Kind {
    /// What the kernel calls it.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Fat => "vfat",
            Self::Exfat => "exfat",
        }
    }

    /// Everybody who sees it may read and write. Where the kernel has options for that, what was
    /// written is on the medium soon, since it may be pulled out at any time, and chmod(2) has no
    /// effect, but is no error.
    pub fn options(self) -> &'static CStr {
        match self {
            Self::Fat => c"umask=0,flush,quiet,utf8",
            Self::Exfat => c"umask=0,iocharset=utf8",
        }
    }
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its file system.
    pub kind: Kind,
    /// Its label as the name of a folder, or its number as others show it, `1A2B-3C4D`.
    pub name: String,
}

/// The volume that can be read there; `None`: another file system, or none.
pub fn find(read: &Read<'_>) -> io::Result<Option<Volume>> {
    let mut sector = [0; SECTOR];
    read(0, &mut sector)?;
    if sector[SIGNATURE.0..] != SIGNATURE.1 {
        return Ok(None);
    }
    let exfat = exfat::read(&sector, read).map(|found| (Kind::Exfat, found));
    let found = exfat.or_else(|| Some((Kind::Fat, fat::read(&sector, read)?)));
    Ok(found.map(|(kind, Labelled { label, number })| {
        let name = label.and_then(|label| folder(&label)).unwrap_or_else(|| as_number(number));
        Volume { kind, name }
    }))
}

/// What a volume says of itself.
pub struct Labelled {
    /// What people call it.
    pub label: Option<String>,
    /// The number that it got when it was made.
    pub number: u32,
}

/// A label as the name of a folder; `None`: it is empty.
fn folder(label: &str) -> Option<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let label = label.trim_matches([' ', '\0']);
    (!label.is_empty()).then(|| label.chars().map(plain).collect())
}

fn as_number(number: u32) -> String {
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}

/// Entries of a directory in the order in which they lie, 32 bytes each, as far as `MOST`: of one
/// extent after the other, each with its place and length.
pub fn entries<'a>(
    extents: impl Iterator<Item = (u64, u64)> + 'a,
    read: &'a Read<'_>,
) -> impl Iterator<Item = [u8; 32]> + 'a {
    // Extents without any bytes would go on for as long as the chain does.
    let extents = extents.take((MOST / SECTOR as u64) as usize);
    let places = extents.flat_map(|(at, length)| (0..length / 32).map(move |nth| at + nth * 32));
    places.take((MOST / 32) as usize).map_while(|at| {
        let mut entry = [0; 32];
        read(at, &mut entry).ok()?;
        Some(entry)
    })
}

/// Clusters of a chain, from the first one on, by a table of 32-bit numbers at `table`. A chain
/// that goes in circles goes on for as long as anybody asks.
pub fn chain<'a>(
    first: u32,
    table: u64,
    mask: u32,
    read: &'a Read<'_>,
) -> impl Iterator<Item = u64> + 'a {
    let last = mask - 8;
    let clusters = std::iter::successors(Some(first), move |cluster| {
        let mut next = [0; 4];
        read(table + u64::from(*cluster) * 4, &mut next).ok()?;
        Some(u32::from_le_bytes(next) & mask)
    });
    clusters.take_while(move |cluster| (2..last).contains(cluster)).map(u64::from)
}

/// The number of that many bytes at a place.
pub fn number<const BYTES: usize>(sector: &[u8; SECTOR], at: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..BYTES].copy_from_slice(&sector[at..at + BYTES]);
    u64::from_le_bytes(wide)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::{fs::File, os::unix::fs::FileExt, process::Command};

    /// A medium that a tool made.
    pub struct Medium(tempfile::NamedTempFile);

    impl Medium {
        pub fn made(tool: &[&str], mib: u64) -> Self {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(mib << 20).unwrap();
            let medium = Self(file);
            medium.changed(tool);
            medium
        }

        /// As another tool left it, which gets the file's name last.
        pub fn changed(&self, tool: &[&str]) {
            let ran = Command::new(tool[0]).args(&tool[1..]).arg(self.0.path()).output();
            let ran = ran.unwrap_or_else(|e| panic!("{tool:?}: {e}"));
            assert!(ran.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&ran.stderr));
        }

        pub fn file(&self) -> &File {
            self.0.as_file()
        }

        pub fn found(&self) -> Option<Volume> {
            find(&|at, into| self.file().read_exact_at(into, at)).unwrap()
        }

        pub fn name(&self) -> String {
            self.found().unwrap().name
        }
    }

    #[test]
    fn what_is_neither_is_none() {
        let fat = Medium::made(&["mkfs.fat", "-F", "32", "-n", "LOGS"], 64);
        let mut good = [0; SECTOR];
        fat.file().read_exact_at(&mut good, 0).unwrap();
        let (mut unsigned, mut other) = (good, good);
        unsigned[511] = 0;
        other[82..90].copy_from_slice(b"NTFS    ");
        for sector in [[0; SECTOR], unsigned, other] {
            fat.file().write_all_at(&sector, 0).unwrap();
            assert_eq!(fat.found(), None);
        }
        let short = |_: u64, _: &mut [u8]| Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        assert!(find(&short).is_err());
    }

    #[test]
    fn a_chain_in_circles_ends() {
        // Cluster 2 follows cluster 2; no entry of it is the last one.
        let read = |at: u64, into: &mut [u8]| {
            into.fill(if at < 4096 { 0 } else { 0xe5 });
            if at == 8 {
                into[0] = 2;
            }
            Ok(())
        };
        for (length, expected) in [(512, MOST / 32), (1 << 20, MOST / 32), (0, 0)] {
            let extents = chain(2, 0, 0x0fff_ffff, &read).map(|cluster| (cluster * 4096, length));
            assert_eq!(entries(extents, &read).count() as u64, expected);
        }
    }
}
