//! What is installed, which snapshots there are, and the changes that led there: `state.json`,
//! replaced in one step (new file, fsync, rename, fsync of the directory), then `state.copy.json`
//! likewise. Each carries a check sum over its meaning, so that a card that returns other bytes
//! than were written is noticed; [`crate::rebuild`] takes the copy then.
//!
//! Format 1 had no changes and no snapshots, format 2 no settings. Both are read, and written again
//! as long as there are none, so that a release that falls back to one that knows nothing else
//! finds its own.

use crate::{
    change::Change,
    disk::Disk,
    error::{Context, Error, Result},
    mutant::{self, Mutant},
    settings::{Config, Settings},
};
use protocol::keys::to_hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, path::Path};

/// Version of the format.
const FORMAT: u32 = 3;
/// The one before, without settings.
const FORMAT_2: u32 = 2;
/// The first one, without changes and snapshots as well.
const FORMAT_1: u32 = 1;
/// Changes that came to an end, and are remembered.
const REMEMBERED: usize = 16;
/// A change that came to an end is remembered so long, in seconds.
const REMEMBERED_S: u64 = 30 * 86_400;
/// First user id of a snap; below are the system's and people's.
pub(crate) const FIRST_UID: u32 = 20_000;
/// Last user id of a snap.
pub(crate) const LAST_UID: u32 = 59_999;
/// Largest file that is read.
const MAX_STATE: u64 = 4 << 20;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of the format.
    pub format: u32,
    /// User id of the next new snap. Never reused, so that no snap inherits another's files.
    pub next_uid: u32,
    /// Snaps by name.
    pub snaps: BTreeMap<String, Installed>,
    /// What was decided about snaps, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Settings>,
    /// Snapshots by set and snap.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub snapshots: BTreeMap<u32, BTreeMap<String, Snapshot>>,
    /// Highest set ever used.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last_set: u32,
    /// Changes by number; all but the last one have come to an end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changes: BTreeMap<u32, Change>,
    /// Highest number of a change ever used.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub last_change: u32,
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
    /// Revisions whose files are kept: the current one, and the one before it. One above the
    /// current one was reverted from.
    pub revisions: BTreeMap<u32, Revision>,
    /// Not to be started until it is enabled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
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
    /// SHA-256 of the squashfs in hexadecimal; absent: installed by a release that kept none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Configuration of the snap when this was its current revision; absent: there was none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: Config,
    /// What it is to other snaps.
    #[serde(default, skip_serializing_if = "Role::is_alone")]
    pub role: Role,
}

/// What a snap is to others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Nothing: its files are its own root.
    #[default]
    Alone,
    /// Its files are the root of snaps that name it.
    Base,
    /// The files of this snap are its root.
    On(String),
}

impl Role {
    fn is_alone(&self) -> bool {
        *self == Role::Alone
    }
}

/// The data of one snap, kept in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Unix time in seconds when it was taken.
    pub time: u64,
    /// Version of the snap.
    pub version: String,
    /// Revision of the snap.
    pub revision: u32,
    /// Taken because the snap was removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto: bool,
    /// The configuration then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: Config,
    /// Bytes that the data needs when it is laid out.
    pub bytes: u64,
    /// Size of the file in bytes.
    pub size: u64,
    /// SHA-256 of the file in hexadecimal.
    pub digest: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT_1,
            next_uid: FIRST_UID,
            snaps: BTreeMap::new(),
            settings: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            last_set: 0,
            changes: BTreeMap::new(),
            last_change: 0,
            sum: None,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl State {
    /// Reads the file; `None` when there is none.
    pub fn load(disk: &impl Disk, path: &Path) -> Result<Option<Self>> {
        let bad = |why: String| Error::refused("state", format!("{}: {why}", path.display()));
        let Some(text) = disk.read(path, MAX_STATE + 1)? else { return Ok(None) };
        if text.len() as u64 > MAX_STATE {
            return Err(bad(format!("more than {MAX_STATE} bytes")));
        }
        let mut state: Self = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        if ![FORMAT, FORMAT_2, FORMAT_1].contains(&state.format) {
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
    pub fn store(&self, disk: &impl Disk, path: &Path, copy: &Path) -> Result<()> {
        let mut stored = self.clone();
        stored.format = self.format.max(self.needed_format());
        stored.sum = Some(stored.digest()?);
        let text = serde_json::to_vec_pretty(&stored).context("encode", "state")?;
        replace(disk, path, &text)?;
        replace(disk, copy, &text)
    }

    fn needed_format(&self) -> u32 {
        let is_new = |r: &Revision| !r.config.is_empty() || !r.role.is_alone();
        let has_new = |snap: &Installed| snap.revisions.values().any(is_new);
        match self.last_change > 0 || self.last_set > 0 {
            _ if !self.settings.is_empty() || self.snaps.values().any(has_new) => FORMAT,
            true => FORMAT_2,
            false => FORMAT_1,
        }
    }

    /// What the current revision of a snap is to others; alone, when there is none.
    pub fn role(&self, name: &str) -> Role {
        let snap = self.snaps.get(name);
        let current = snap.and_then(|snap| snap.revisions.get(&snap.current));
        current.map(|revision| revision.role.clone()).unwrap_or_default()
    }

    /// Snaps whose root the files of this one are.
    pub fn on(&self, base: &str) -> Vec<String> {
        let names = self.snaps.keys();
        names.filter(|name| self.role(name) == Role::On(base.into())).cloned().collect()
    }

    /// What was decided about a snap.
    pub fn settings_of(&self, name: &str) -> Settings {
        self.settings.get(name).cloned().unwrap_or_default()
    }

    /// Replaces what was decided about a snap.
    pub fn settle(&mut self, name: &str, settings: Settings) {
        match settings.is_default() {
            true => drop(self.settings.remove(name)),
            false => drop(self.settings.insert(name.into(), settings)),
        }
    }

    fn digest(&self) -> Result<String> {
        let text = serde_json::to_vec(self).context("encode", "state")?;
        Ok(to_hex(&Sha256::digest(text)))
    }

    /// The change that is under way.
    pub fn under_way(&self) -> Option<u32> {
        self.changes.iter().find(|(_, change)| change.ended.is_none()).map(|(id, _)| *id)
    }

    /// Takes a change in, under a new number.
    pub fn begin(&mut self, change: Change) -> u32 {
        self.format = self.format.max(FORMAT_2);
        self.last_change = self.last_change.saturating_add(1);
        self.changes.insert(self.last_change, change);
        self.last_change
    }

    /// Forgets the oldest changes.
    pub fn forget_changes(&mut self, now: u64) {
        let ended = |change: &Change| change.ended.is_some();
        self.changes.retain(|_, change| {
            change.ended.is_none_or(|at| at >= now.saturating_sub(REMEMBERED_S))
        });
        while self.changes.values().filter(|change| ended(change)).count() > REMEMBERED {
            let oldest = self.changes.iter().find(|(_, change)| ended(change)).map(|(id, _)| *id);
            oldest.and_then(|id| self.changes.remove(&id));
        }
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
fn replace(disk: &impl Disk, path: &Path, content: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    disk.write(&new, content)?;
    if !mutant::is(Mutant::StateIsNotSynced) {
        disk.sync(&new)?;
    }
    disk.rename(&new, path)?;
    disk.sync_names(path.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{change::Step, disk::Partition};
    use std::fs;

    #[test]
    fn any_flipped_bit_of_the_stored_file_is_noticed_or_means_the_same() {
        let folder = std::env::temp_dir().join(format!("appd-state-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, copy) = (folder.join("state.json"), folder.join("state.copy.json"));
        let mut state = State::default();
        let uid = state.take_uid().unwrap();
        let entry = Revision {
            version: "1.0".into(),
            signed: true,
            size: 4096,
            image: 4000,
            digest: Some("00".into()),
            config: Config::from([("key".into(), "value".into())]),
            role: Role::On("core".into()),
        };
        let revisions = BTreeMap::from([(1, entry)]);
        let disabled = false;
        let snap = Installed { uid, current: 1, last: 1, revisions, disabled };
        let link = Step::Link { name: "hello".into(), before: None, after: Some(snap.clone()) };
        state.begin(Change::new("install", "test".into(), 7, vec![link]));
        state.snaps.insert("hello".into(), snap);
        let settings = Settings { idle: ["main".to_string()].into(), ..Settings::default() };
        state.settle("hello", settings);
        state.format = FORMAT;
        state.store(&Partition, &path, &copy).unwrap();
        assert_eq!(State::load(&Partition, &path).unwrap().as_ref(), Some(&state));
        let good = fs::read(&path).unwrap();
        assert_eq!(fs::read(&copy).unwrap(), good);
        let mut noticed = 0;
        for bit in (0..good.len() * 8).step_by(7) {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            match State::load(&Partition, &path) {
                Ok(read) => assert_eq!(read.as_ref(), Some(&state), "bit {bit}"),
                Err(_) => noticed += 1,
            }
        }
        assert!(noticed > good.len() / 2, "{noticed}");
        fs::remove_dir_all(&folder).unwrap();
    }

    /// As a release before the changes wrote it.
    const FORMAT_1_FILE: &str = r#"{
  "format": 1,
  "next_uid": 20001,
  "snaps": {
    "hello": {
      "uid": 20000,
      "current": 2,
      "last": 2,
      "revisions": {
        "1": {
          "version": "1.0",
          "signed": true,
          "size": 8192,
          "image": 4096
        },
        "2": {
          "version": "2.0",
          "signed": false,
          "size": 8192,
          "image": 8192
        }
      }
    }
  },
  "sum": "SUM"
}"#;

    #[test]
    fn the_format_before_is_read_and_kept_until_there_is_a_change() {
        let folder = std::env::temp_dir().join(format!("appd-format-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, copy) = (folder.join("state.json"), folder.join("state.copy.json"));
        let compact: String = FORMAT_1_FILE.split_whitespace().collect();
        let plain = compact.replace(",\"sum\":\"SUM\"", "");
        let file = FORMAT_1_FILE.replace("SUM", &to_hex(&Sha256::digest(plain)));
        fs::write(&path, &file).unwrap();
        let mut state = State::load(&Partition, &path).unwrap().unwrap();
        let hello = &state.snaps["hello"];
        assert_eq!((hello.current, hello.revisions.len(), hello.disabled), (2, 2, false));
        state.store(&Partition, &path, &copy).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), file);
        // A flipped number is noticed there as well.
        fs::write(&path, file.replace("20001", "20002")).unwrap();
        assert!(State::load(&Partition, &path).is_err());

        state.begin(Change::new("install", "test".into(), 7, Vec::new()));
        state.store(&Partition, &path, &copy).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("\"format\": 2"));
        assert_eq!(State::load(&Partition, &path).unwrap().unwrap(), state);

        let settings = Settings { idle: ["main".to_string()].into(), ..Settings::default() };
        state.settle("hello", settings);
        state.store(&Partition, &path, &copy).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("\"format\": 3"));
        assert_eq!(State::load(&Partition, &path).unwrap().unwrap().settings, state.settings);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn changes_are_forgotten_by_number_and_by_age_and_never_one_under_way() {
        let mut state = State::default();
        for _ in 0..40 {
            let id = state.begin(Change::new("save", String::new(), 5, Vec::new()));
            state.changes.get_mut(&id).unwrap().end(5);
        }
        let under_way = state.begin(Change::new("save", String::new(), 5, Vec::new()));
        state.forget_changes(6);
        assert_eq!(state.changes.len(), REMEMBERED + 1);
        assert_eq!(state.changes.keys().next(), Some(&25));
        state.forget_changes(6 + REMEMBERED_S);
        assert_eq!(state.changes.keys().collect::<Vec<_>>(), [&under_way]);
        assert_eq!((state.under_way(), state.last_change), (Some(41), 41));
    }
}
