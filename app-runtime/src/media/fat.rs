//! What a FAT volume is called, by its first sector.
//!
//! Source: Microsoft, FAT: General Overview of On-Disk Format, version 1.03, "Boot Sector and BPB".

/// Bytes of the sector.
pub const SECTOR: usize = 512;

/// Where its last two bytes are, and which.
const SIGNATURE: (usize, [u8; 2]) = (510, [0x55, 0xaa]);
/// Kinds of FAT: where `BS_FilSysType` is, how it begins, and where `BS_VolID` is; the label
/// follows that.
const KINDS: [(usize, &[u8], usize); 2] = [(82, b"FAT32", 67), (54, b"FAT", 39)];
const LABEL: usize = 11;
/// What tools write who were given no label.
const NONE: &str = "NO NAME";

/// The label that is in the sector as the name of a folder, or the volume's number as others show
/// it, `1A2B-3C4D`; `None`: it is not FAT.
pub fn name(sector: &[u8; SECTOR]) -> Option<String> {
    let (at, signature) = SIGNATURE;
    if sector[at..] != signature {
        return None;
    }
    let kind = KINDS.iter().find(|(kind, text, _)| sector[*kind..].starts_with(text));
    let (_, _, number) = *kind?;
    let label = &sector[number + 4..][..LABEL];
    let plain = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(*byte),
        b' ' | 0 => ' ',
        _ => '_',
    };
    let label: String = label.iter().map(plain).collect();
    let label = label.trim();
    if !label.is_empty() && label != NONE {
        return Some(label.replace(' ', "_"));
    }
    let [a, b, c, d] = [0, 1, 2, 3].map(|nth| sector[number + nth]);
    Some(format!("{d:02X}{c:02X}-{b:02X}{a:02X}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, os::unix::fs::FileExt, process::Command};

    fn made(options: &[&str], mib: u64) -> [u8; SECTOR] {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(mib << 20).unwrap();
        let made = Command::new("mkfs.fat").args(options).arg(file.path()).output();
        assert!(made.expect("Debian's package dosfstools").status.success());
        let mut sector = [0; SECTOR];
        File::open(file.path()).unwrap().read_exact_at(&mut sector, 0).unwrap();
        sector
    }

    #[test]
    fn a_volume_is_named_by_its_label_or_its_number() {
        for (options, mib, expected) in [
            (&["-F", "32", "-n", "LOGS"][..], 64, "LOGS"),
            (&["-F", "16", "-n", "A b&c!D"], 16, "A_b_c_D"),
            (&["-F", "12"], 2, "1A2B-3C4D"),
            (&["-F", "32"], 64, "1A2B-3C4D"),
        ] {
            let options = [&["-i", "1A2B3C4D"], options].concat();
            assert_eq!(name(&made(&options, mib)).as_deref(), Some(expected), "{options:?}");
        }
    }

    #[test]
    fn what_is_no_fat_has_no_name() {
        let good = made(&["-F", "32", "-n", "LOGS"], 64);
        let mut unsigned = good;
        unsigned[511] = 0;
        let mut other = good;
        other[82..90].copy_from_slice(b"NTFS    ");
        for sector in [[0; SECTOR], unsigned, other] {
            assert_eq!(name(&sector), None);
        }
    }
}
