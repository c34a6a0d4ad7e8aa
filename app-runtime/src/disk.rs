//! What appd does to files, behind a trait: the daemon on ext4, the simulator on something less
//! kind. What a call did is durable only after the sync that is for it.

use crate::{
    data,
    error::{Context, Result},
    snapshot::{self, Head, Packed, exported},
    state::Snapshot,
};
use rustix::fs::syncfs;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// Files and folders.
pub trait Disk {
    /// At most so many bytes of a file; `None` when there is none.
    fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>>;
    /// Whether something has this name.
    fn exists(&self, path: &Path) -> bool;
    /// Names in a folder; none when there is no folder.
    fn list(&self, folder: &Path) -> Result<Vec<String>>;
    /// Creates a file, or empties it, and writes its content.
    fn write(&self, path: &Path, content: &[u8]) -> Result<()>;
    /// Makes the content of a file durable, not its name.
    fn sync(&self, path: &Path) -> Result<()>;
    /// Makes the names in a folder durable.
    fn sync_names(&self, folder: &Path) -> Result<()>;
    /// Makes everything durable that was done so far to the file system on which this lies.
    fn sync_all(&self, path: &Path) -> Result<()>;
    /// Gives a file or folder another name; a file that had it is gone.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file or a tree; what is not there is fine.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Removes those entries of a folder.
    fn remove_those(&self, folder: &Path, which: impl Fn(&str) -> bool) -> Result<()> {
        for entry in self.list(folder)?.into_iter().filter(|entry| which(entry)) {
            self.remove(&folder.join(entry))?;
        }
        Ok(())
    }
    /// Makes a folder for a snap's user alone; one that is there stays.
    fn make_folder(&self, path: &Path, uid: u32) -> Result<()>;
    /// Copies a tree to a folder that is not there, for a snap's user.
    fn copy_tree(&self, from: &Path, to: &Path, uid: u32) -> Result<()>;
    /// Writes folders, each under its name, into one file.
    fn pack(&self, head: &Head, parts: &[(&str, PathBuf)], to: &Path) -> Result<Packed>;
    /// Lays such a file out in folders that are not there, for a snap's user.
    fn unpack(&self, from: &Path, parts: &[(&str, PathBuf)], uid: u32) -> Result<()>;
    /// Writes each snapshot of an exported file where it is to be, by its snap.
    fn split(
        &self,
        from: &Path,
        to: &dyn Fn(&str) -> PathBuf,
    ) -> Result<BTreeMap<String, Snapshot>>;
}

/// The file system of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Partition;

impl Disk for Partition {
    fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.at("open", path)?,
        };
        let mut content = Vec::new();
        file.take(most).read_to_end(&mut content).at("read", path)?;
        Ok(Some(content))
    }

    fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>> {
        let list = match fs::read_dir(folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.at("list", folder)?,
        };
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|e| e.file_name().to_string_lossy().into_owned()).at("list", folder)
        };
        list.map(name).collect()
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        let mut file = File::create(path).at("create", path)?;
        file.write_all(content).at("write", path)
    }

    fn sync(&self, path: &Path) -> Result<()> {
        File::open(path).and_then(|file| file.sync_all()).at("sync", path)
    }

    fn sync_names(&self, folder: &Path) -> Result<()> {
        self.sync(folder)
    }

    fn sync_all(&self, path: &Path) -> Result<()> {
        let folder = File::open(path).at("open", path)?;
        syncfs(&folder).at("sync the file system of", path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).at("rename to", to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        data::remove(path)
    }

    fn make_folder(&self, path: &Path, uid: u32) -> Result<()> {
        data::make(path, uid)
    }

    fn copy_tree(&self, from: &Path, to: &Path, uid: u32) -> Result<()> {
        data::copy(from, to, uid)
    }

    fn pack(&self, head: &Head, parts: &[(&str, PathBuf)], to: &Path) -> Result<Packed> {
        snapshot::pack(head, parts, to)
    }

    fn unpack(&self, from: &Path, parts: &[(&str, PathBuf)], uid: u32) -> Result<()> {
        snapshot::unpack(from, parts, uid)
    }

    fn split(
        &self,
        from: &Path,
        to: &dyn Fn(&str) -> PathBuf,
    ) -> Result<BTreeMap<String, Snapshot>> {
        exported::split(from, to)
    }
}
