//! Folders and files of the data partition: names and contents are durable apart from each other,
//! the names of each folder apart from those of others. Stricter than ext4, which orders much of it
//! by itself.

use crate::disk::SECTOR;
use crate::loss::Loss;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Number of a file, whatever it is called.
type Inode = u64;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(Inode),
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
enum Naming {
    New(PathBuf, Entry),
    Gone(PathBuf),
    Renamed(PathBuf, PathBuf),
}

#[derive(Debug, Clone, Default, Hash)]
struct File {
    now: Arc<[u8]>,
    durable: Arc<[u8]>,
}

type Names = BTreeMap<PathBuf, Entry>;

/// The partition.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    names: Names,
    durable: Names,
    pending: Vec<Naming>,
    files: BTreeMap<Inode, File>,
    next: Inode,
}

/// Tells partitions apart by what is durable and by what is not yet; numbers of files say nothing.
impl Hash for Tree {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let file = |entry: &Entry| match entry {
            Entry::File(inode) => self.files.get(inode),
            Entry::Folder => None,
        };
        for (name, entry) in self.names.iter().chain(&self.durable) {
            (name, file(entry)).hash(state);
        }
        for change in &self.pending {
            match change {
                Naming::New(path, entry) => (0, path, file(entry)).hash(state),
                Naming::Gone(path) => (1, path).hash(state),
                Naming::Renamed(from, to) => (2, from, to).hash(state),
            }
        }
    }
}

impl Naming {
    /// The folder whose sync makes it durable.
    fn folder(&self) -> Option<&Path> {
        match self {
            Naming::New(path, _) | Naming::Gone(path) | Naming::Renamed(_, path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Naming::New(path, entry) => drop(names.insert(path.clone(), *entry)),
            Naming::Gone(path) => names.retain(|name, _| !name.starts_with(path)),
            Naming::Renamed(from, to) => {
                let moved: Vec<(PathBuf, Entry)> = names
                    .iter()
                    .filter_map(|(name, entry)| {
                        let rest = name.strip_prefix(from).ok()?;
                        let whole =
                            if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                        Some((whole, *entry))
                    })
                    .collect();
                if moved.is_empty() {
                    return;
                }
                names.retain(|name, _| !name.starts_with(from) && !name.starts_with(to));
                names.extend(moved);
            }
        }
    }
}

impl Tree {
    /// The content of a file.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        match self.names.get(path)? {
            Entry::File(inode) => self.files.get(inode).map(|file| file.now.to_vec()),
            Entry::Folder => None,
        }
    }

    /// Whether something has this name.
    pub fn exists(&self, path: &Path) -> bool {
        self.names.contains_key(path)
    }

    /// Whether it is a folder.
    pub fn is_folder(&self, path: &Path) -> bool {
        self.names.get(path) == Some(&Entry::Folder)
    }

    /// Names in a folder.
    pub fn list(&self, folder: &Path) -> Vec<String> {
        let inside = self.names.keys().filter(|name| name.parent() == Some(folder));
        inside.filter_map(|name| Some(name.file_name()?.to_string_lossy().into_owned())).collect()
    }

    /// Everything below a folder: its name there, and its content unless it is a folder.
    pub fn below(&self, folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let inside = self.names.iter().filter(|(name, _)| name.starts_with(folder));
        inside.map(|(name, _)| (name.clone(), self.read(name))).collect()
    }

    fn name(&mut self, change: Naming) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    /// Makes a folder in a folder that is there.
    pub fn make_folder(&mut self, path: &Path) {
        if !self.exists(path) {
            self.name(Naming::New(path.into(), Entry::Folder));
        }
    }

    /// Creates or empties, then writes. The folder must be there.
    pub fn write(&mut self, path: &Path, content: &[u8]) -> bool {
        let inode = match self.names.get(path) {
            Some(Entry::File(inode)) => *inode,
            Some(Entry::Folder) => return false,
            None if !path.parent().is_some_and(|folder| self.is_folder(folder)) => return false,
            None => {
                self.next += 1;
                self.name(Naming::New(path.into(), Entry::File(self.next)));
                self.next
            }
        };
        self.files.entry(inode).or_default().now = content.into();
        true
    }

    /// Makes a content durable, not its name.
    pub fn sync(&mut self, path: &Path) {
        if let Some(Entry::File(inode)) = self.names.get(path)
            && let Some(file) = self.files.get_mut(inode)
        {
            file.durable = file.now.clone();
        }
    }

    /// Makes the names of one folder durable.
    pub fn sync_names(&mut self, folder: &Path) {
        for change in std::mem::take(&mut self.pending) {
            match change.folder() == Some(folder) {
                true => change.apply(&mut self.durable),
                false => self.pending.push(change),
            }
        }
    }

    /// Makes everything durable.
    pub fn sync_all(&mut self) {
        self.durable = self.names.clone();
        self.pending.clear();
        self.files.values_mut().for_each(|file| file.durable = file.now.clone());
    }

    /// Renames a file or a folder. A folder is not renamed to one that has something in it.
    pub fn rename(&mut self, from: &Path, to: &Path) -> bool {
        let Some(entry) = self.names.get(from).copied() else { return false };
        let in_the_way = match entry {
            Entry::Folder => self.exists(to) && (!self.is_folder(to) || !self.list(to).is_empty()),
            Entry::File(_) => self.is_folder(to),
        };
        if !in_the_way {
            self.name(Naming::Renamed(from.into(), to.into()));
        }
        !in_the_way
    }

    /// Removes a file or an empty folder.
    pub fn remove(&mut self, path: &Path) {
        if self.exists(path) {
            self.name(Naming::Gone(path.into()));
        }
    }

    /// Whether a cut could lose something.
    pub fn is_dirty(&self) -> bool {
        let unsynced = |file: &File| file.durable != file.now;
        !self.pending.is_empty() || self.files.values().any(unsynced)
    }

    /// The power goes.
    pub fn lose_power(&mut self, loss: Loss, random: &mut fastrand::Rng) {
        for change in std::mem::take(&mut self.pending) {
            if loss.keeps(random) {
                change.apply(&mut self.durable);
            }
        }
        // What lies in a folder whose own name was lost is lost with it.
        while let Some(lost) = self.durable.keys().find(|name| !has_parents(&self.durable, name)) {
            let lost = lost.clone();
            self.durable.remove(&lost);
        }
        self.names = self.durable.clone();
        let named: Vec<Entry> = self.names.values().copied().collect();
        self.files.retain(|inode, _| named.contains(&Entry::File(*inode)));
        self.files.values_mut().for_each(|file| file.lose_power(loss, random));
    }
}

fn has_parents(names: &Names, name: &Path) -> bool {
    let Some(folder) = name.parent() else { return true };
    folder.as_os_str().is_empty() || names.get(folder) == Some(&Entry::Folder)
}

impl File {
    fn lose_power(&mut self, loss: Loss, random: &mut fastrand::Rng) {
        if self.durable != self.now {
            self.durable = match loss {
                Loss::Everything => self.durable.clone(),
                Loss::Nothing => self.now.clone(),
                Loss::Random => match random.u8(..4) {
                    0 => self.durable.clone(),
                    1 => self.now.clone(),
                    // the size was written before the content
                    2 => vec![0; self.now.len()].into(),
                    _ => {
                        let sectors = random.usize(..=self.now.len() / SECTOR);
                        self.now[..(sectors * SECTOR).min(self.now.len())].into()
                    }
                },
            };
        }
        self.now = self.durable.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathBuf {
        text.into()
    }

    fn new() -> Tree {
        let mut tree = Tree::default();
        tree.make_folder(&path("d"));
        tree.write(&path("d/a"), b"old");
        tree.sync_all();
        tree
    }

    #[test]
    fn contents_and_names_are_lost_each_for_itself() {
        let random = &mut fastrand::Rng::with_seed(1);
        let mut tree = new();
        tree.write(&path("d/b"), b"new");
        tree.sync(&path("d/b"));
        let mut lost = tree.clone();
        lost.lose_power(Loss::Everything, random);
        assert_eq!(lost.read(&path("d/b")), None, "the name was not synced");
        tree.sync_names(&path("d"));
        tree.write(&path("d/b"), b"newer");
        tree.lose_power(Loss::Everything, random);
        assert_eq!(tree.read(&path("d/b")).as_deref(), Some(&b"new"[..]));
    }

    #[test]
    fn the_names_of_another_folder_are_not_synced_along() {
        let random = &mut fastrand::Rng::with_seed(1);
        let mut tree = new();
        tree.make_folder(&path("e"));
        tree.write(&path("e/x"), b"x");
        tree.sync(&path("e/x"));
        tree.sync_names(&path("e"));
        tree.lose_power(Loss::Everything, random);
        assert!(!tree.exists(&path("e/x")), "it lies in a folder that is not there");
        assert_eq!(tree.names.len(), 2);
    }

    #[test]
    fn a_folder_is_renamed_with_what_is_in_it() {
        let mut tree = new();
        assert!(tree.rename(&path("d"), &path("f")));
        assert_eq!(tree.read(&path("f/a")).as_deref(), Some(&b"old"[..]));
        assert!(!tree.exists(&path("d/a")));
        tree.make_folder(&path("d"));
        tree.write(&path("d/b"), b"");
        assert!(!tree.rename(&path("f"), &path("d")), "something is in it");
        tree.lose_power(Loss::Everything, &mut fastrand::Rng::with_seed(1));
        assert_eq!(tree.names.keys().cloned().collect::<Vec<_>>(), [path("d"), path("d/a")]);
    }
}
