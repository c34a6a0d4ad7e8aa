//! What is installed: `state.json`, replaced in one step (new file, fsync, rename, fsync of the
//! directory).

use crate::error::{Context, Error, Result};
use serde::{Deserialize, Serialize};
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of the format, 1.
    pub format: u32,
    /// User id of the next new snap. Never reused, so that no snap inherits another's files.
    pub next_uid: u32,
    /// Snaps by name.
    pub snaps: BTreeMap<String, Installed>,
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
        Self { format: FORMAT, next_uid: FIRST_UID, snaps: BTreeMap::new() }
    }
}

impl State {
    /// Reads the file; none is an empty state.
    pub fn load(path: &Path) -> Result<Self> {
        let size = match fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            found => found.at("read", path)?.len(),
        };
        let bad = |why: String| Error::refused("state", format!("{}: {why}", path.display()));
        if size > MAX_STATE {
            return Err(bad(format!("{size} bytes")));
        }
        let text = fs::read(path).at("read", path)?;
        let state: Self = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        if state.format != FORMAT {
            return Err(bad(format!("format {}, this is {FORMAT}", state.format)));
        }
        Ok(state)
    }

    /// Replaces the file. Afterwards, and only then, the change is made, whatever happens to the
    /// power.
    pub fn store(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).context("encode", "state")?;
        replace(path, &text)
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
