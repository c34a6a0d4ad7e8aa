//! What a step does to files, and how that is taken back. Every one of these may be done twice, be
//! undone half done, and be undone without having been done.
//!
//! | step | do | undo |
//! |---|---|---|
//! | fetch | (the copy is made by [`super::run::World::fetch`]) | remove the copy |
//! | take-file | name the copy after its revision; copy-data syncs the name | remove the file |
//! | copy-data | remove what is there, copy, sync | remove the copy, never the original |
//! | pack | write, sync, name, sync the name | remove the file |
//! | import | the same for each snapshot of the file | remove the set's files |
//! | unpack | remove `X.new` and `X.old`, lay out as `X.new`, sync | remove `X.new` |
//! | swap | `X` to `X.old`, `X.new` to `X`, each name synced before the next | back |
//! | drop-… | remove | – |

use super::Step;
use crate::{
    disk::Disk,
    error::{Error, Result},
    mutant::{self, Mutant},
    paths::Paths,
    settings::Edit,
    snapshot::{self, Head},
    state::Snapshot,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is done.
    Do,
    /// It is taken back.
    Undo,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing that the state must know.
    Done,
    /// Snapshots that are there now.
    Made(BTreeMap<String, Snapshot>),
    /// What a hook decided.
    Decided(Vec<Edit>),
}

/// Does to the files what a step does, or takes it back.
pub fn carry_out(disk: &impl Disk, paths: &Paths, step: &Step, way: Way) -> Result<Outcome> {
    match (step, way) {
        (Step::Fetch { copy, .. }, Way::Undo) => disk.remove(&paths.partial(*copy))?,
        (Step::TakeFile { copy, name, revision }, Way::Do) => {
            take_file(disk, &paths.partial(*copy), &paths.file(name, *revision))?;
        }
        (Step::TakeFile { name, revision, .. }, Way::Undo) => {
            disk.remove(&paths.file(name, *revision))?;
        }
        (Step::CopyData { name, uid, from, to, .. }, Way::Do) => {
            copy_data(disk, paths, name, *uid, *from, *to)?;
        }
        (Step::CopyData { name, from: None, .. }, Way::Undo) => disk.remove(&paths.data(name))?,
        (Step::CopyData { name, from: Some(from), to, .. }, Way::Undo) => {
            let wrong = mutant::is(Mutant::UndoDeletesTheOldData);
            disk.remove(&paths.revision_data(name, if wrong { *from } else { *to }))?;
        }
        (Step::Pack { set, name, snapshot }, Way::Do) => {
            return pack(disk, paths, *set, name, snapshot);
        }
        (Step::Pack { set, name, .. }, Way::Undo) => {
            disk.remove(&paths.snapshot(*set, name).with_extension("partial"))?;
            disk.remove(&paths.snapshot(*set, name))?;
        }
        (Step::Import { path, set }, Way::Do) => {
            return import(disk, paths, Path::new(path), *set);
        }
        (Step::Import { set, .. }, Way::Undo) => {
            disk.remove_those(&paths.snapshots(), |name| name.starts_with(&format!("{set}_")))?;
        }
        (Step::Unpack { set, name, revision, uid }, Way::Do) => {
            unpack(disk, paths, &paths.snapshot(*set, name), name, *revision, *uid)?;
        }
        (Step::Unpack { name, revision, .. }, Way::Undo) => {
            for folder in folders(paths, name, *revision) {
                disk.remove(&new(&folder))?;
            }
        }
        (Step::Swap { name, revision }, way) => swap(disk, paths, name, *revision, way)?,
        (Step::DropRevision { name, revision }, Way::Do) => {
            disk.remove(&paths.file(name, *revision))?;
            disk.remove(&paths.revision_data(name, *revision))?;
        }
        (Step::DropSnap { name }, Way::Do) => drop_snap(disk, paths, name)?,
        (Step::DropReplaced { name }, Way::Do) => {
            disk.remove_those(&paths.data(name), |name| name.ends_with(".old"))?;
        }
        (Step::DropSnapshot { set, name }, Way::Do) => {
            disk.remove(&paths.snapshot(*set, name))?;
        }
        // What runs and what the state says are changed elsewhere.
        (Step::Fetch { .. } | Step::Stop { .. } | Step::Link { .. } | Step::Start { .. }, _)
        | (Step::Forget { .. } | Step::Settle { .. } | Step::Hook { .. }, _)
        | (
            Step::DropRevision { .. }
            | Step::DropSnap { .. }
            | Step::DropReplaced { .. }
            | Step::DropSnapshot { .. },
            Way::Undo,
        ) => {}
    }
    Ok(Outcome::Done)
}

fn take_file(disk: &impl Disk, copy: &Path, file: &Path) -> Result<()> {
    if disk.exists(copy) {
        disk.rename(copy, file)?;
    } else if !disk.exists(file) {
        let why = format!("{}: the checked copy is gone", copy.display());
        return Err(Error::refused("copy-lost", why));
    }
    // Made durable with the data that is copied next.
    Ok(())
}

fn copy_data(
    disk: &impl Disk,
    paths: &Paths,
    name: &str,
    uid: u32,
    from: Option<u32>,
    to: u32,
) -> Result<()> {
    let target = paths.revision_data(name, to);
    disk.remove(&target)?;
    disk.make_folder(&paths.common(name), uid)?;
    match from {
        Some(from) => disk.copy_tree(&paths.revision_data(name, from), &target, uid)?,
        None => disk.make_folder(&target, uid)?,
    }
    if mutant::is(Mutant::CopyIsNotSynced) {
        return Ok(());
    }
    disk.sync_all(&paths.snaps())
}

fn pack(
    disk: &impl Disk,
    paths: &Paths,
    set: u32,
    name: &str,
    snapshot: &Snapshot,
) -> Result<Outcome> {
    let file = paths.snapshot(set, name);
    let partial = file.with_extension("partial");
    let head = Head::new(name, snapshot);
    let [common, data] = folders(paths, name, snapshot.revision);
    let parts = [(snapshot::COMMON, common), (snapshot::DATA, data)];
    let packed = disk.pack(&head, &parts, &partial)?;
    if !mutant::is(Mutant::SnapshotIsNotSynced) {
        disk.sync(&partial)?;
    }
    disk.rename(&partial, &file)?;
    disk.sync_names(parent(&file))?;
    let made = Snapshot { size: packed.size, digest: packed.digest, ..snapshot.clone() };
    Ok(Outcome::Made(BTreeMap::from([(name.to_string(), made)])))
}

fn import(disk: &impl Disk, paths: &Paths, from: &Path, set: u32) -> Result<Outcome> {
    let partial = |name: &str| paths.snapshot(set, name).with_extension("partial");
    let made = disk.split(from, &partial)?;
    for name in made.keys() {
        disk.sync(&partial(name))?;
        disk.rename(&partial(name), &paths.snapshot(set, name))?;
    }
    disk.sync_names(&paths.snapshots())?;
    Ok(Outcome::Made(made))
}

fn unpack(
    disk: &impl Disk,
    paths: &Paths,
    file: &Path,
    name: &str,
    revision: u32,
    uid: u32,
) -> Result<()> {
    for folder in folders(paths, name, revision) {
        disk.remove(&new(&folder))?;
        disk.remove(&old(&folder))?;
    }
    let [common, data] = folders(paths, name, revision).map(|folder| new(&folder));
    disk.unpack(file, &[(snapshot::COMMON, common), (snapshot::DATA, data)], uid)?;
    if mutant::is(Mutant::SwapsWithoutSync) {
        return Ok(());
    }
    disk.sync_all(&paths.snaps())
}

/// Where each of three names may be, a cut may leave any of: `X` and `X.new`; `X.old` and `X.new`;
/// `X.old` and `X`.
fn swap(disk: &impl Disk, paths: &Paths, name: &str, revision: u32, way: Way) -> Result<()> {
    let folder = paths.data(name);
    for current in folders(paths, name, revision) {
        let (new, old) = (new(&current), old(&current));
        let (away, back) = match way {
            Way::Do => (&old, &new),
            Way::Undo => (&new, &old),
        };
        if !disk.exists(back) {
            continue;
        }
        if disk.exists(&current) {
            disk.rename(&current, away)?;
            disk.sync_names(&folder)?;
        }
        disk.rename(back, &current)?;
        disk.sync_names(&folder)?;
    }
    Ok(())
}

fn drop_snap(disk: &impl Disk, paths: &Paths, name: &str) -> Result<()> {
    disk.remove(&paths.data(name))?;
    let services = format!("{name}.");
    disk.remove_those(&paths.logs(), |log| log.starts_with(&services))
}

/// The data that all revisions share, and that of one.
fn folders(paths: &Paths, name: &str, revision: u32) -> [PathBuf; 2] {
    [paths.common(name), paths.revision_data(name, revision)]
}

fn new(folder: &Path) -> PathBuf {
    folder.with_extension("new")
}

fn old(folder: &Path) -> PathBuf {
    folder.with_extension("old")
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}
