//! What is installed: `state.json`, replaced in one step (new file, fsync, rename, fsync of the
//! directory), then `state.copy.json` likewise. Each carries a check sum over its meaning, so
//! that a card that returns other bytes than were written is noticed; [`crate::rebuild`] takes the
//! copy then.

use crate::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path,
};

/// Version of the format.
const FORMAT: u32 = 1;
/// First user id of a snap; below are the system's and people's.
const FIRST_UID: u32 = 20_000;
/// Last user id of a snap.
const LAST_UID: u32 = 59_999;
/// Largest file that is read.
const MAX_STATE: u64 = 4 << 20;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of the format, 1.
    pub format: u32,
    /// User id of the next new snap. Never reused, so that no snap inherits another's files.
    pub next_uid: u32,
    /// Snaps by name.
    pub snaps: BTreeMap<String, Installed>,
    /// SHA-256 in hexadecimal over the same without this field, as compact JSON. A file without it
    /// was written by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sum: Option<String>,
}

/// One installed snap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// User and group id of its processes and data.
    pub uid: u32,
    /// Revision that runs.
    pub current: u32,
    /// Highest revision ever used.
    pub last: u32,
    /// Revisions whose files are kept: the current one, and the one before it.
    pub revisions: BTreeMap<u32, Revision>,
}

/// One kept revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// Version from snap.yaml.
    pub version: String,
    /// Signed by an `app` key.
    pub signed: bool,
    /// Size of the file in bytes.
    pub size: u64,
    /// Bytes of it that are the squashfs.
    pub image: u64,
}

impl Default for State {
    fn default() -> Self {
        Self { format: FORMAT, next_uid: FIRST_UID, snaps: BTreeMap::new(), sum: None }
    }
}

impl State {
    /// Reads the file; `None` when there is none.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        let size = match fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            found => found.at("read", path)?.len(),
        };
        let bad = |why: String| Error::refused("state", format!("{}: {why}", path.display()));
        if size > MAX_STATE {
            return Err(bad(format!("{size} bytes")));
        }
        let text = fs::read(path).at("read", path)?;
        let mut state: Self = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        if state.format != FORMAT {
            return Err(bad(format!("format {}, this is {FORMAT}", state.format)));
        }
        if let Some(sum) = state.sum.take()
            && sum != state.digest()?
        {
            return Err(bad("the check sum is wrong".into()));
        }
        Ok(Some(state))
    }

    /// Replaces the file, then the copy. After the first, and only then, the change is made,
    /// whatever happens to the power.
    pub fn store(&self, path: &Path, copy: &Path) -> Result<()> {
        let stored = Self { sum: Some(self.digest()?), ..self.clone() };
        let text = serde_json::to_vec_pretty(&stored).context("encode", "state")?;
        replace(path, &text)?;
        replace(copy, &text)
    }

    fn digest(&self) -> Result<String> {
        let text = serde_json::to_vec(self).context("encode", "state")?;
        Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Takes note that a user id is in use.
    pub fn reserve_uid(&mut self, uid: u32) {
        if Self::is_snap_uid(uid) {
            self.next_uid = self.next_uid.max(uid + 1);
        }
    }

    /// Whether a user id can be a snap's.
    pub fn is_snap_uid(uid: u32) -> bool {
        (FIRST_UID..=LAST_UID).contains(&uid)
    }

    /// A user id that no snap ever had.
    pub fn take_uid(&mut self) -> Result<u32> {
        if self.next_uid > LAST_UID {
            return Err(Error::refused("no-uid", "all user ids for snaps are used up"));
        }
        self.next_uid += 1;
        Ok(self.next_uid - 1)
    }
}

/// Writes a file whole or not at all.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new).at("create", &new)?;
    file.write_all(content).at("write", &new)?;
    file.sync_all().at("sync", &new)?;
    fs::rename(&new, path).at("replace", path)?;
    sync_parent(path)
}

/// Makes a rename or removal in a directory last.
pub fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent).and_then(|directory| directory.sync_all()).at("sync", parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_of_the_stored_file_is_noticed_or_means_the_same() {
        let folder = std::env::temp_dir().join(format!("appd-state-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, copy) = (folder.join("state.json"), folder.join("state.copy.json"));
        let mut state = State::default();
        let uid = state.take_uid().unwrap();
        let entry = Revision { version: "1.0".into(), signed: true, size: 4096, image: 4000 };
        let revisions = BTreeMap::from([(1, entry)]);
        state.snaps.insert("hello".into(), Installed { uid, current: 1, last: 1, revisions });
        state.store(&path, &copy).unwrap();
        assert_eq!(State::load(&path).unwrap().as_ref(), Some(&state));
        let good = fs::read(&path).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), good);
        let mut noticed = 0;
        for bit in (0..good.len() * 8).step_by(7) {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            match State::load(&path) {
                Ok(read) => assert_eq!(read.as_ref(), Some(&state), "bit {bit}"),
                Err(_) => noticed += 1,
            }
        }
        assert!(noticed > good.len() / 2, "{noticed}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
