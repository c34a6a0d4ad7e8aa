//! What a FAT volume says of itself. Its label stands twice: in the root directory, which is where
//! Windows and others change it, and in the first sector, which tools write that make the volume.
//!
//! Source: Microsoft, FAT: General Overview of On-Disk Format, version 1.03, "Boot Sector and BPB",
//! "FAT Directory Structure".

use super::volume::{Labelled, Read, SECTOR, chain, entries, number};

/// Kinds of FAT: where `BS_FilSysType` is, how it begins, and where `BS_VolID` is; the label
/// follows that.
const KINDS: [(usize, &[u8], usize); 2] = [(82, b"FAT32", 67), (54, b"FAT", 39)];
const LABEL: usize = 11;
/// What tools write who were given no label.
const NONE: &str = "NO NAME";
/// Bits of an entry of FAT32's table that number a cluster.
const CLUSTER: u32 = 0x0fff_ffff;
/// Attributes of an entry: where they are, the one that makes it the label, and those that make it
/// part of a long name.
const ATTRIBUTES: usize = 11;
const IS_LABEL: u8 = 8;
const IS_LONG: u8 = 15;
/// First bytes of a name: no further entry, and one that was removed.
const END: u8 = 0;
const REMOVED: u8 = 0xe5;

/// `None`: it is not FAT.
pub fn read(sector: &[u8; SECTOR], read: &Read<'_>) -> Option<Labelled> {
    let kind = KINDS.iter().find(|(kind, text, _)| sector[*kind..].starts_with(text));
    let (_, _, at) = *kind?;
    let beside = || text(&sector[at + 4..][..LABEL]);
    let label = in_root(sector, read).unwrap_or_else(beside);
    let label = Some(label).filter(|label| label.trim() != NONE);
    Some(Labelled { label, number: number::<4>(sector, at) as u32 })
}

/// The label in the root directory.
fn in_root(sector: &[u8; SECTOR], read: &Read<'_>) -> Option<String> {
    let bytes = number::<2>(sector, 11);
    let sectors = number::<1>(sector, 13);
    if !(512..=4096).contains(&bytes) || !bytes.is_power_of_two() || !sectors.is_power_of_two() {
        return None;
    }
    let cluster = sectors * bytes;
    let table = number::<2>(sector, 14) * bytes;
    let tables = number::<1>(sector, 16) * bytes;
    match number::<2>(sector, 17) {
        0 => {
            let data = table + tables * number::<4>(sector, 36);
            let first = number::<4>(sector, 44) as u32;
            let clusters = chain(first, table, CLUSTER, read);
            label(entries(clusters.map(|nth| (data + (nth - 2) * cluster, cluster)), read))
        }
        root => {
            let at = table + tables * number::<2>(sector, 22);
            label(entries([(at, root * 32)].into_iter(), read))
        }
    }
}

fn label(entries: impl Iterator<Item = [u8; 32]>) -> Option<String> {
    let mut there = entries.take_while(|entry| entry[0] != END);
    let found = there.find(|entry| {
        let attributes = entry[ATTRIBUTES];
        entry[0] != REMOVED && attributes & IS_LONG != IS_LONG && attributes & IS_LABEL != 0
    })?;
    Some(text(&found[..LABEL]))
}

/// Of a code page that is not known: what is not ASCII is only not ASCII.
fn text(label: &[u8]) -> String {
    label.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::super::volume::{Kind, tests::Medium};
    use std::os::unix::fs::FileExt;

    /// Where the first sector has a label, of FAT32 and of others.
    const BESIDE: [(&str, u64); 3] = [("32", 71), ("16", 43), ("12", 43)];

    fn made(kind: &str, options: &[&str]) -> Medium {
        let mib = match kind {
            "32" => 64,
            "16" => 16,
            _ => 4,
        };
        Medium::made(&[&["mkfs.fat", "-F", kind, "-i", "1A2B3C4D"], options].concat(), mib)
    }

    #[test]
    fn a_volume_is_named_by_its_label_or_its_number() {
        for (kind, options, expected) in [
            ("32", &["-n", "LOGS"][..], "LOGS"),
            ("16", &["-n", "A b&c!D"], "A_b_c_D"),
            ("12", &[], "1A2B-3C4D"),
            ("32", &[], "1A2B-3C4D"),
        ] {
            let found = made(kind, options).found().unwrap();
            assert_eq!((found.kind, &*found.name), (Kind::Fat, expected), "{options:?}");
        }
    }

    #[test]
    fn a_label_that_was_changed_in_the_root_directory_is_the_label() {
        for (kind, beside) in BESIDE {
            let medium = made(kind, &["-n", "BEFORE"]);
            // A file with a long name comes first.
            medium.changed(&["sh", "-c", "mcopy -i $0 /etc/hostname '::A long name.text'"]);
            medium.changed(&["sh", "-c", "mlabel -i $0 ::AFTER"]);
            medium.file().write_all_at(b"NO NAME    ", beside).unwrap();
            assert_eq!(medium.name(), "AFTER", "FAT{kind}");
        }
    }

    #[test]
    fn a_label_beside_a_root_directory_without_one_counts() {
        for (kind, beside) in BESIDE {
            let medium = made(kind, &[]);
            medium.file().write_all_at(b"BESIDE     ", beside).unwrap();
            assert_eq!(medium.name(), "BESIDE", "FAT{kind}");
        }
    }
}
