//! A folder of the data partition: names and contents are durable apart from each other, each only
//! after its own sync. Stricter than ext4, which orders some of it by itself.

use crate::disk::SECTOR;
use crate::loss::Loss;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Number of a file, whatever it is called.
type Inode = u64;

#[derive(Debug, Clone, Default, Hash)]
struct File {
    now: Arc<[u8]>,
    /// `None`: never synced.
    durable: Option<Arc<[u8]>>,
}

/// A change of names that is not durable yet: `to` is set, `from` is gone, both at once.
#[derive(Debug, Clone)]
struct Renaming {
    from: Option<String>,
    to: String,
    inode: Inode,
}

/// The folder.
#[derive(Debug, Clone, Default)]
pub struct Files {
    names: BTreeMap<String, Inode>,
    durable_names: BTreeMap<String, Inode>,
    pending: Vec<Renaming>,
    files: BTreeMap<Inode, File>,
    next: Inode,
}

impl Files {
    /// What a reader sees now.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.files.get(self.names.get(name)?)?;
        Some(file.now.to_vec())
    }

    /// Creates or empties, then writes.
    pub fn write(&mut self, name: &str, content: &[u8]) {
        let inode = match self.names.get(name) {
            Some(inode) => *inode,
            None => {
                self.next += 1;
                let inode = self.next;
                self.names.insert(name.into(), inode);
                self.pending.push(Renaming { from: None, to: name.into(), inode });
                inode
            }
        };
        self.files.entry(inode).or_default().now = content.into();
    }

    /// Makes a content durable, not its name.
    pub fn sync(&mut self, name: &str) {
        let file = self.names.get(name).and_then(|inode| self.files.get_mut(inode));
        if let Some(file) = file {
            file.durable = Some(file.now.clone());
        }
    }

    /// Renames. A file that is not there is not renamed.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(inode) = self.names.remove(from) else { return false };
        self.names.insert(to.into(), inode);
        self.pending.push(Renaming { from: Some(from.into()), to: to.into(), inode });
        true
    }

    /// Makes names durable.
    pub fn sync_names(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable_names);
        }
    }

    /// Whether a cut could lose something.
    pub fn is_dirty(&self) -> bool {
        let unsynced = |file: &File| file.durable.as_ref() != Some(&file.now);
        !self.pending.is_empty() || self.files.values().any(unsynced)
    }

    /// The power goes.
    pub fn lose_power(&mut self, loss: Loss, random: &mut fastrand::Rng) {
        for change in std::mem::take(&mut self.pending) {
            if loss.keeps(random) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let named: Vec<Inode> = self.names.values().copied().collect();
        self.files.retain(|inode, _| named.contains(inode));
        for file in self.files.values_mut() {
            file.lose_power(loss, random);
        }
    }
}

/// Tells folders apart by what is durable and by what is not yet; numbers of files say nothing.
impl Hash for Files {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (name, inode) in self.names.iter().chain(&self.durable_names) {
            (name, self.files.get(inode)).hash(state);
        }
        for Renaming { from, to, inode } in &self.pending {
            (from, to, self.files.get(inode)).hash(state);
        }
    }
}

impl Renaming {
    fn apply(self, names: &mut BTreeMap<String, Inode>) {
        if let Some(from) = self.from
            && names.get(&from) == Some(&self.inode)
        {
            names.remove(&from);
        }
        names.insert(self.to, self.inode);
    }
}

impl File {
    fn lose_power(&mut self, loss: Loss, random: &mut fastrand::Rng) {
        if self.durable.as_ref() != Some(&self.now) {
            let old = self.durable.clone().unwrap_or_default();
            self.now = match loss {
                Loss::Everything => old,
                Loss::Nothing => self.now.clone(),
                Loss::Random => match random.u8(..4) {
                    0 => old,
                    1 => self.now.clone(),
                    // the size was written before the content
                    2 => vec![0; self.now.len()].into(),
                    _ => self.now[..torn_length(self.now.len(), random)].into(),
                },
            };
        }
        self.durable = Some(self.now.clone());
    }
}

/// A length that ends at a sector.
fn torn_length(whole: usize, random: &mut fastrand::Rng) -> usize {
    (random.usize(..=whole / SECTOR) * SECTOR).min(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_survives_and_nothing_else_need_to() {
        for seed in 0..64 {
            let random = &mut fastrand::Rng::with_seed(seed);
            let mut files = Files::default();
            files.write("a", b"old");
            files.sync("a");
            files.sync_names();
            files.write("new", b"new");
            files.sync("new");
            files.rename("new", "a");
            let mut cut = files.clone();
            cut.lose_power(Loss::Random, random);
            let found = cut.read("a").expect("the name was durable");
            assert!(found == b"old" || found == b"new", "{found:?}");
            files.sync_names();
            files.write("a", b"torn");
            files.lose_power(Loss::Everything, random);
            assert_eq!(files.read("a").as_deref(), Some(&b"new"[..]));
        }
    }
}
