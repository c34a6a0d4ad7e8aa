//! Which files belong to somebody. What neither the state names nor a change that is under way was
//! left behind by a change that the power ended, and is swept away when appd starts.

use super::{Status, Step};
use crate::{
    disk::Disk,
    error::Result,
    mutant::{self, Mutant},
    paths::Paths,
    state::State,
};
use std::collections::BTreeSet;

/// What must stay.
#[derive(Debug, Default)]
struct Kept {
    /// Snaps and revisions with file and data.
    revisions: BTreeSet<(String, u32)>,
    /// Snaps whose data is being replaced.
    replaced: BTreeSet<String>,
    /// Numbers of copies.
    copies: BTreeSet<u32>,
    /// Snapshots by set and snap.
    snapshots: BTreeSet<(u32, String)>,
    /// Sets that are being imported.
    sets: BTreeSet<u32>,
}

impl Kept {
    fn of(state: &State) -> Self {
        let mut kept = Self::default();
        for (name, snap) in &state.snaps {
            kept.revisions.extend(snap.revisions.keys().map(|r| (name.clone(), *r)));
        }
        for (set, snaps) in &state.snapshots {
            kept.snapshots.extend(snaps.keys().map(|name| (*set, name.clone())));
        }
        let under_way = state.under_way().and_then(|id| state.changes.get(&id));
        for task in under_way.into_iter().flat_map(|change| &change.tasks) {
            if let Some(step) = task.step.as_ref().filter(|step| !is_released(step, task.status)) {
                kept.add(step);
            }
        }
        kept
    }

    fn add(&mut self, step: &Step) {
        match step {
            Step::Fetch { copy, .. } => drop(self.copies.insert(*copy)),
            Step::TakeFile { name, revision, .. } => {
                self.revisions.insert((name.clone(), *revision));
            }
            Step::CopyData { name, to, .. } => drop(self.revisions.insert((name.clone(), *to))),
            Step::Link { name, before, .. } => {
                let before = before.iter().flat_map(|snap| snap.revisions.keys());
                self.revisions.extend(before.map(|revision| (name.clone(), *revision)));
            }
            Step::Pack { set, name, .. } | Step::Forget { set, name, .. } => {
                self.snapshots.insert((*set, name.clone()));
            }
            Step::Import { set, .. } => drop(self.sets.insert(*set)),
            Step::Unpack { name, .. } | Step::Swap { name, .. } => {
                self.replaced.insert(name.clone());
            }
            Step::Stop { .. }
            | Step::Start { .. }
            | Step::Settle { .. }
            | Step::Hook { .. }
            | Step::DropRevision { .. }
            | Step::DropSnap { .. }
            | Step::DropReplaced { .. }
            | Step::DropSnapshot { .. } => {}
        }
    }

    fn has_snap(&self, name: &str) -> bool {
        self.revisions.iter().any(|(kept, _)| kept == name)
    }

    /// Whether an entry of a snap's data folder stays. What appd did not make stays, too.
    fn has_data(&self, name: &str, entry: &str) -> bool {
        match entry.parse() {
            Ok(revision) => self.revisions.contains(&(name.to_string(), revision)),
            Err(_) => {
                !(entry.ends_with(".new") || entry.ends_with(".old"))
                    || self.replaced.contains(name)
            }
        }
    }

    fn has_snapshot(&self, entry: &str) -> bool {
        let stem = entry.strip_suffix(".snapshot").or_else(|| entry.strip_suffix(".partial"));
        let parts = stem.and_then(|stem| stem.split_once('_'));
        parts.and_then(|(set, name)| Some((set.parse().ok()?, name.to_string()))).is_some_and(
            |(set, name)| self.sets.contains(&set) || self.snapshots.contains(&(set, name)),
        )
    }
}

/// Whether a step no longer needs what it made: it was undone, never begun, or failed and cleaned
/// up, perhaps not durably. What was there before a link stays, and data that a swap that failed
/// may have moved away.
fn is_released(step: &Step, status: Status) -> bool {
    match (step, status) {
        (Step::Link { .. }, _) | (Step::Swap { .. }, Status::Error) => false,
        (_, status) => matches!(status, Status::Undone | Status::Hold | Status::Error),
    }
}

/// Removes what belongs to nobody.
pub fn sweep(disk: &impl Disk, paths: &Paths, state: &State) -> Result<()> {
    if mutant::is(Mutant::SweepsNothing) {
        return Ok(());
    }
    if state.under_way().is_none() {
        disk.remove(&paths.blobs())?;
    }
    let kept = Kept::of(state);
    let copies = kept.copies.iter().map(|copy| paths.partial(*copy));
    let named = kept.revisions.iter().map(|(name, revision)| paths.file(name, *revision));
    let files: BTreeSet<_> = copies.chain(named).collect();
    for entry in disk.list(&paths.files())? {
        let file = paths.files().join(entry);
        if !files.contains(&file) {
            eprintln!("removing {}: left by an interrupted change", file.display());
            disk.remove(&file)?;
        }
    }
    for name in disk.list(&paths.all_data())? {
        if !kept.has_snap(&name) {
            disk.remove(&paths.data(&name))?;
            continue;
        }
        disk.remove_those(&paths.data(&name), |entry| !kept.has_data(&name, entry))?;
    }
    disk.remove_those(&paths.snapshots(), |entry| !kept.has_snapshot(entry))
}
