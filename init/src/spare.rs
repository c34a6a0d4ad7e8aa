//! The spare copy: what makes a gateway itself, kept on the card outside the data partition, in the
//! gap before the boot partition. And the check note: that the data partition is to be checked at
//! the next boot, for when `/data` cannot be written any more.
//!
//! What always holds:
//! - A record is taken only with its check sum right; of the two copies one is always whole,
//!   because they are written alternately.
//! - Only the names in [`GROUPS`] are ever written to `/data`, and only where they are missing.
//! - The identity is saved as a whole, after enrolment has completed it; a copy of it is never
//!   replaced by less.

use crate::{
    Error,
    error::{At, Result},
    files,
};
use bootloader_config::layout::{CHECK_NOTE_OFFSET, CHECK_NOTE_SIZE, SPARE_OFFSETS, SPARE_SIZE};
use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    num::NonZeroU64,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// What is kept, below `/data/system`, in groups that belong together. The last name of a group
/// is the file that makes it complete.
const GROUPS: &[&[&str]] = &[
    &["device.imported.json", "device.toml"],
    &["identity/device.key", "identity/device.crt", "identity/ca.crt", "identity/identity.json"],
];
/// Longest file that is kept, in bytes.
const FILE_LIMIT: u64 = 64 << 10;
/// How records begin.
const SPARE_MAGIC: &[u8; 8] = b"HFSPARE1";
const NOTE_MAGIC: &[u8; 8] = b"HFCHECK1";
/// Bytes of a record before its body: magic, number, length, check sum.
const HEAD: usize = 8 + 4 + 4 + 32;

/// Files by name.
type Files = BTreeMap<String, String>;

/// The places on a disk.
#[derive(Debug, Clone)]
pub struct Spare {
    disk: PathBuf,
    root: PathBuf,
    /// What the files looked like when they were last compared.
    seen: Vec<Option<(u64, i64, i64)>>,
}

impl Spare {
    /// On this whole-disk device (or image file), for files below `root` (`/data/system`).
    pub fn new(disk: PathBuf, root: PathBuf) -> Self {
        Self { disk, root, seen: Vec::new() }
    }

    /// Writes a new copy when the files have changed; whether it did.
    pub fn save(&mut self) -> Result<bool> {
        let looks = self.look();
        if looks == self.seen {
            return Ok(false);
        }
        let disk = self.open()?;
        let newest = self.newest(&disk);
        let (number, which, before) = match newest {
            Some((number, which, files)) => (number, which, files),
            None => (0, 1, Files::new()),
        };
        let mut files = before.clone();
        for group in GROUPS {
            if let Some(read) = self.read_group(group)? {
                files.retain(|name, _| !group.contains(&name.as_str()));
                files.extend(read);
            }
        }
        if files != before {
            let body = serde_json::to_vec(&files).map_err(std::io::Error::from);
            let body = body.at("encode the spare copy for", &self.disk)?;
            let record = encode(SPARE_MAGIC, number.wrapping_add(1), &body);
            write_back(&disk, &self.disk, SPARE_OFFSETS[1 - which], &record, SPARE_SIZE)?;
        }
        self.seen = looks;
        Ok(files != before)
    }

    /// Puts back the groups that are missing; their names.
    pub fn restore(&self) -> Result<Vec<String>> {
        let disk = File::open(&self.disk).at("open", &self.disk)?;
        let Some((_, _, files)) = self.newest(&disk) else { return Ok(Vec::new()) };
        let mut restored = Vec::new();
        for group in GROUPS {
            let complete = group.last().map(|name| self.root.join(name));
            if complete.is_some_and(|path| path.exists()) {
                continue;
            }
            for name in *group {
                let Some(content) = files.get(*name) else { continue };
                let path = self.root.join(name);
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder).at("create", folder)?;
                    let private = fs::Permissions::from_mode(0o700);
                    fs::set_permissions(folder, private).at("set mode of", folder)?;
                }
                files::replace(&path, content.as_bytes(), 0o600)?;
                restored.push(name.to_string());
            }
        }
        Ok(restored)
    }

    /// Notes on the card that the next boot is to check the data partition, and why. An error means
    /// that the card does not take writes any more.
    pub fn note_check(&self, why: &str) -> Result<()> {
        let record = encode(NOTE_MAGIC, 0, why.as_bytes());
        write_back(&self.open()?, &self.disk, CHECK_NOTE_OFFSET, &record, CHECK_NOTE_SIZE)
    }

    /// Takes the note away and returns it.
    pub fn take_note(&self) -> Option<String> {
        let disk = self.open().ok()?;
        let (_, why) = decode(NOTE_MAGIC, &read_at(&disk, CHECK_NOTE_OFFSET, CHECK_NOTE_SIZE)?)?;
        let _ = disk.write_all_at(&[0; HEAD], CHECK_NOTE_OFFSET).and_then(|()| disk.sync_all());
        String::from_utf8(why).ok()
    }

    fn open(&self) -> Result<File> {
        OpenOptions::new().read(true).write(true).open(&self.disk).at("open", &self.disk)
    }

    /// The newer whole copy: its number, which one it is, its files.
    fn newest(&self, disk: &File) -> Option<(u32, usize, Files)> {
        let whole = |which: usize| {
            let raw = read_at(disk, SPARE_OFFSETS[which], SPARE_SIZE)?;
            let (number, body) = decode(SPARE_MAGIC, &raw)?;
            Some((number, which, serde_json::from_slice(&body).ok()?))
        };
        // numbers go round; the difference tells which is newer
        match (whole(0), whole(1)) {
            (Some(one), Some(two)) => {
                let first_is_newer = one.0.wrapping_sub(two.0) < u32::MAX / 2;
                Some(if first_is_newer { one } else { two })
            }
            (one, two) => one.or(two),
        }
    }

    /// The files of a group that is complete.
    fn read_group(&self, group: &[&str]) -> Result<Option<Files>> {
        let complete = group.last().is_some_and(|name| self.root.join(name).exists());
        if !complete {
            return Ok(None);
        }
        let mut found = Files::new();
        for name in group {
            let path = self.root.join(name);
            if !path.exists() {
                continue;
            }
            let text = String::from_utf8(files::read_bounded(&path, FILE_LIMIT)?);
            let text = text.map_err(|_| Error::invalid(path.display().to_string(), "not UTF-8"))?;
            found.insert(name.to_string(), text);
        }
        Ok(Some(found))
    }

    fn look(&self) -> Vec<Option<(u64, i64, i64)>> {
        let look = |name: &&str| {
            let found = fs::metadata(self.root.join(name)).ok()?;
            Some((found.len(), found.mtime(), found.mtime_nsec()))
        };
        GROUPS.iter().copied().flatten().map(look).collect()
    }
}

fn encode(magic: &[u8; 8], number: u32, body: &[u8]) -> Vec<u8> {
    let mut record = magic.to_vec();
    record.extend(number.to_le_bytes());
    record.extend((body.len() as u32).to_le_bytes());
    record.extend(sum(&record, body));
    record.extend_from_slice(body);
    record
}

fn decode(magic: &[u8; 8], raw: &[u8]) -> Option<(u32, Vec<u8>)> {
    let (head, rest) = raw.split_at_checked(HEAD)?;
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| head[at + i]));
    let body = rest.get(..word(12) as usize)?;
    let whole = head.starts_with(magic) && head[16..] == sum(&head[..16], body);
    whole.then(|| (word(8), body.to_vec()))
}

fn sum(head: &[u8], body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(head).chain_update(body).finalize().into()
}

fn read_at(disk: &File, offset: u64, length: usize) -> Option<Vec<u8>> {
    let mut raw = vec![0; length];
    disk.read_exact_at(&mut raw, offset).ok().map(|()| raw)
}

/// Writes a record and reads it back from the card.
fn write_back(disk: &File, path: &Path, offset: u64, record: &[u8], room: usize) -> Result<()> {
    if record.len() > room {
        let problem = format!("{} bytes to keep, there is room for {room}", record.len());
        return Err(Error::invalid(path.display().to_string(), problem));
    }
    disk.write_all_at(record, offset).at("write the spare place of", path)?;
    disk.sync_all().at("sync", path)?;
    let _ = fadvise(disk, offset, NonZeroU64::new(room as u64), Advice::DontNeed);
    if read_at(disk, offset, record.len()).as_deref() != Some(record) {
        let problem = "the spare place reads back other bytes than were written";
        return Err(Error::invalid(path.display().to_string(), problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        folder: PathBuf,
        spare: Spare,
    }

    impl Bench {
        fn new(name: &str) -> Self {
            let folder = format!("holdfast-spare-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("system/identity")).unwrap();
            let disk = folder.join("disk");
            File::create(&disk).unwrap().set_len(4 << 20).unwrap();
            let spare = Spare::new(disk, folder.join("system"));
            Self { folder, spare }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.join("system").join(name), text).unwrap();
        }

        fn enrol(&self, device: &str) {
            for name in GROUPS[1] {
                self.write(name, &format!("{name} of {device}"));
            }
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.folder.join("system").join(name)).ok()
        }

        fn lose_everything(&self) {
            fs::remove_dir_all(self.folder.join("system")).unwrap();
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    #[test]
    fn a_gateway_is_itself_again_after_its_data_is_lost() {
        let mut bench = Bench::new("itself");
        assert!(!bench.spare.save().unwrap(), "there is nothing to keep yet");
        bench.write("device.toml", "name = \"one\"");
        assert!(bench.spare.save().unwrap());
        bench.enrol("one");
        assert!(bench.spare.save().unwrap());
        assert!(!bench.spare.save().unwrap(), "nothing has changed");
        bench.lose_everything();
        assert_eq!(bench.spare.restore().unwrap().len(), 5);
        assert_eq!(bench.read("device.toml").unwrap(), "name = \"one\"");
        assert_eq!(bench.read("identity/device.key").unwrap(), "identity/device.key of one");
        let mode = fs::metadata(bench.folder.join("system/identity/device.key")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_there_is_not_touched_and_a_copy_is_never_replaced_by_less() {
        let mut bench = Bench::new("less");
        bench.enrol("one");
        bench.write("device.toml", "old");
        bench.spare.save().unwrap();
        bench.write("device.toml", "newer");
        fs::remove_file(bench.folder.join("system/identity/identity.json")).unwrap();
        assert!(bench.spare.save().unwrap());
        assert_eq!(bench.spare.restore().unwrap().len(), 4, "the identity, and not device.toml");
        assert_eq!(bench.read("device.toml").unwrap(), "newer");
        assert!(bench.read("identity/identity.json").is_some());
    }

    #[test]
    fn one_damaged_copy_leaves_the_other_whatever_is_wrong_with_it() {
        for damage in [0, 9, 13, 20, HEAD as u64 + 3] {
            let mut bench = Bench::new("torn");
            for text in ["one", "two", "three"] {
                bench.write("device.toml", text);
                bench.spare.save().unwrap();
            }
            // the third is in the place of the first
            let disk = bench.spare.open().unwrap();
            disk.write_all_at(&[0xa5], SPARE_OFFSETS[0] + damage).unwrap();
            bench.lose_everything();
            bench.spare.restore().unwrap();
            assert_eq!(bench.read("device.toml").as_deref(), Some("two"), "damage at {damage}");
        }
    }

    #[test]
    fn without_a_copy_nothing_is_restored_and_a_strange_name_never_is() {
        let bench = Bench::new("strange");
        assert_eq!(bench.spare.restore().unwrap(), Vec::<String>::new());
        let body = br#"{"../outside":"x","boots.jsonl":"x"}"#;
        let disk = bench.spare.open().unwrap();
        disk.write_all_at(&encode(SPARE_MAGIC, 1, body), SPARE_OFFSETS[0]).unwrap();
        assert_eq!(bench.spare.restore().unwrap(), Vec::<String>::new());
        assert_eq!(bench.read("../outside"), None);
    }

    #[test]
    fn a_note_is_taken_once() {
        let bench = Bench::new("note");
        assert_eq!(bench.spare.take_note(), None);
        bench.spare.note_check("read-only").unwrap();
        assert_eq!(bench.spare.take_note().as_deref(), Some("read-only"));
        assert_eq!(bench.spare.take_note(), None);
    }
}
