//! What an exFAT volume says of itself.
//!
//! Source: Microsoft, exFAT file system specification, sections 3.1 (main boot sector), 4.1 (FAT),
//! 7.3 (volume label).

use super::volume::{Labelled, Read, SECTOR, chain, entries, number};

/// `FileSystemName`, where it is, and the 53 bytes behind it that are 0, where FAT has its own.
const NAME: (usize, &[u8; 8]) = (3, b"EXFAT   ");
const ZEROS: std::ops::Range<usize> = 11..64;
/// `BytesPerSectorShift` and `SectorsPerClusterShift`: what they may be, the latter together.
const SECTOR_SHIFTS: std::ops::RangeInclusive<u64> = 9..=12;
const CLUSTER_SHIFT: u64 = 25;
/// `EntryType` of the label, and of what is behind the last entry.
const LABEL: u8 = 0x83;
const END: u8 = 0;
/// Characters of a label, UTF-16.
const MOST: usize = 11;

/// `None`: it is not exFAT.
pub fn read(sector: &[u8; SECTOR], read: &Read<'_>) -> Option<Labelled> {
    let named = sector[NAME.0..].starts_with(NAME.1);
    if !named || sector[ZEROS].iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(Labelled { label: in_root(sector, read), number: number::<4>(sector, 100) as u32 })
}

fn in_root(sector: &[u8; SECTOR], read: &Read<'_>) -> Option<String> {
    let (bytes, sectors) = (number::<1>(sector, 108), number::<1>(sector, 109));
    if !SECTOR_SHIFTS.contains(&bytes) || bytes + sectors > CLUSTER_SHIFT {
        return None;
    }
    let table = number::<4>(sector, 80) << bytes;
    let heap = number::<4>(sector, 88) << bytes;
    let cluster = 1 << (bytes + sectors);
    let clusters = chain(number::<4>(sector, 96) as u32, table, u32::MAX, read);
    let extents = clusters.map(|nth| (heap + (nth - 2) * cluster, cluster));
    let mut there = entries(extents, read).take_while(|entry| entry[0] != END);
    let found = there.find(|entry| entry[0] == LABEL)?;
    let length = usize::from(found[1]).min(MOST);
    let units = found[2..].chunks_exact(2).take(length);
    let units = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    Some(char::decode_utf16(units).map(|c| c.unwrap_or('_')).collect())
}

#[cfg(test)]
mod tests {
    use super::super::volume::{Kind, tests::Medium};
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_volume_is_named_by_its_label_or_its_number() {
        for (options, expected) in [
            (&["-L", "Big stick"][..], "Big_stick"),
            (&["-L", "Mäx"], "M_x"),
            (&["-L", "clusters", "-c", "1M"], "clusters"),
            (&[], "1A2B-3C4D"),
        ] {
            let medium = Medium::made(&[&["mkfs.exfat"], options].concat(), 64);
            medium.file().write_all_at(&0x1a2b_3c4d_u32.to_le_bytes(), 100).unwrap();
            let found = medium.found().unwrap();
            assert_eq!((found.kind, &*found.name), (Kind::Exfat, expected), "{options:?}");
        }
    }
}
