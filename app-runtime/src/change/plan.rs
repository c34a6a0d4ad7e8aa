//! A request becomes steps, against what is installed. Nothing here touches a disk.
//!
//! | request | steps for each snap, in the order in which they are done |
//! |---|---|
//! | install | fetch; take-file, copy-data, link, settle, hooks, start, hooks |
//! | refresh | fetch; hook, take-file, stop, copy-data, link, hook, start, hooks; drop-revision of what is no longer kept |
//! | revert | stop, link, settle (its configuration), start |
//! | enable | stop, link, start |
//! | disable | stop, link |
//! | remove | pack (unless purged), stop, hook, stop, settle, link; drop-revision, drop-snap |
//! | save | pack |
//! | restore | stop, unpack, swap, settle where the configuration was another, start; drop-replaced |
//! | forget | forget; drop-snapshot |
//! | import | import |
//! | set, connect, disconnect, set-quota | see [`settings`] |
//!
//! Hooks are run where snapd runs them: `install` and `default-configure` before a first start,
//! `pre-refresh` before the old revision stops, `post-refresh` before the new one starts,
//! `configure` and `check-health` after that, `remove` between the stop and the removal.
//!
//! What is kept after a refresh: the new revision and the one that ran before it. What was reverted
//! from goes with the next refresh.

pub mod settings;

use super::{Change, Step};
use crate::{
    error::{Error, Result},
    mutant::{self, Mutant},
    settings::Settings,
    state::{Installed, Revision, Role, Snapshot, State},
};
use protocol::change::{Order, Origin};
use std::collections::{BTreeMap, BTreeSet};

/// Revisions that are kept: the current one and the one before.
pub const KEPT: usize = 2;
/// Most snaps in one change.
const MOST_SNAPS: usize = 32;
/// A snapshot of a removed snap is kept so long, in seconds.
pub const AUTO_KEPT_S: u64 = 31 * 86_400;
/// What the data may grow by, at least, while its snapshot is taken.
const GROWTH: u64 = 1 << 20;

/// A change that may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For people.
    pub summary: String,
    /// What is done.
    pub steps: Vec<Step>,
    /// What to tell when it is done.
    pub told: Vec<String>,
    /// Bytes that must be free, apart from the reserve.
    pub needed: u64,
}

/// A copy that was checked, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Number of the copy.
    pub copy: u32,
    /// Name from snap.yaml.
    pub name: String,
    /// The rest of what is known.
    pub revision: Revision,
    /// Only what is installed already, and was not reverted from.
    pub refresh: bool,
    /// Its hooks.
    pub hooks: BTreeSet<String>,
    /// Hooks of the revision that is current.
    pub earlier_hooks: BTreeSet<String>,
    /// Its services that do not start with it, until somebody says otherwise.
    pub idle: BTreeSet<String>,
    /// Fields of snap.yaml that nothing here looks at.
    pub unused: Vec<String>,
}

/// What is known of the snaps that a request names, besides the state.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Bytes of their data.
    pub sizes: BTreeMap<String, u64>,
    /// Hooks of their current revisions.
    pub hooks: BTreeMap<String, BTreeSet<String>>,
}

impl Facts {
    fn size(&self, name: &str) -> u64 {
        self.sizes.get(name).copied().unwrap_or(0)
    }

    fn hook(&self, name: &str, hook: &str) -> Option<Step> {
        let has = self.hooks.get(name).is_some_and(|hooks| hooks.contains(hook));
        has.then(|| run(name, hook))
    }
}

fn run(name: &str, hook: &str) -> Step {
    Step::Hook { name: name.into(), hook: hook.into(), before: None }
}

fn no_set(set: u32) -> Error {
    Error::refused("no-snapshot", format!("there is no snapshot set #{set}"))
}

/// `"a", "b"`, as snapd writes it.
fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let many = if names.len() == 1 { "snap" } else { "snaps" };
    format!("{} {many}", quoted.join(", "))
}

/// The steps of a request.
pub fn plan(state: &State, order: &Order, now: u64, facts: &Facts) -> Result<Plan> {
    match order {
        Order::Install { from, name, dangerous, refresh } => {
            install(from, name.as_ref(), *dangerous, *refresh)
        }
        Order::Revert { names, revision } => revert(state, names, *revision),
        Order::Remove { names, purge } => remove(state, names, *purge, now, facts),
        Order::Enable { names } => able(state, names, false),
        Order::Disable { names } => able(state, names, true),
        Order::Save { names } => save(state, names, now, facts),
        Order::Restore { set, names } => restore(state, *set, names),
        Order::Forget { set, names } => forget(state, *set, names),
        Order::Import { path } => {
            let set = state.last_set.saturating_add(1);
            let step = Step::Import { path: path.clone(), set };
            Ok(Plan {
                summary: step.summary(),
                steps: vec![step],
                told: vec![format!("Imported snapshot as #{set}")],
                needed: 0,
            })
        }
        Order::Set { name, values } => settings::set(state, name, values, facts),
        Order::Connect { plug, attributes } => settings::connect(state, plug, attributes),
        Order::Disconnect { plug } => settings::disconnect(state, plug),
        Order::SetQuota { name, quota } => settings::quota(state, name, quota),
    }
}

/// Snaps that are named once each.
fn checked<'a>(state: &'a State, names: &'a [String]) -> Result<Vec<(&'a String, &'a Installed)>> {
    let mut seen = BTreeSet::new();
    if names.is_empty() || names.len() > MOST_SNAPS {
        let why = format!("{} snaps in one change, from 1 to {MOST_SNAPS}", names.len());
        return Err(Error::refused("bad-request", why));
    }
    let find = |name: &'a String| match state.snaps.get(name) {
        _ if !seen.insert(name) => Err(twice(name)),
        Some(snap) => Ok((name, snap)),
        None => Err(Error::not_installed(name)),
    };
    names.iter().map(find).collect()
}

fn twice(name: &str) -> Error {
    Error::refused("bad-request", format!("{name}: twice in one change"))
}

fn install(from: &[Origin], name: Option<&String>, dangerous: bool, refresh: bool) -> Result<Plan> {
    if name.is_some() && from.len() > 1 {
        return Err(Error::refused("bad-request", "one name for several snaps"));
    }
    if from.is_empty() || from.len() > MOST_SNAPS {
        let why = format!("{} snaps in one change, from 1 to {MOST_SNAPS}", from.len());
        return Err(Error::refused("bad-request", why));
    }
    let verb = if refresh { "Refresh" } else { "Install" };
    let places: Vec<&str> = from
        .iter()
        .map(|origin| match origin {
            Origin::Path(path) => path.as_str(),
            Origin::Url { url, .. } => url.as_str(),
        })
        .collect();
    let steps = (1..).zip(from).map(|(copy, from)| Step::Fetch {
        from: from.clone(),
        name: name.cloned(),
        dangerous,
        refresh,
        copy,
    });
    let summary = format!("{verb} from {}", places.join(", "));
    Ok(Plan { summary, steps: steps.collect(), told: Vec::new(), needed: 0 })
}

/// The steps that follow once it is known which snap a copy is. A user id that is given out stays
/// given out.
pub fn accepted(
    state: &mut State,
    change: &Change,
    new: &Accepted,
    data: u64,
) -> Result<(Vec<Step>, String)> {
    let name = &new.name;
    let before = state.snaps.get(name).cloned();
    if change.is_about(name) {
        return Err(twice(name));
    }
    if let Role::On(base) = &new.revision.role
        && state.role(base) != Role::Base
        && !change.is_about(base)
    {
        let why = format!("{name} is built on {base}, which is not installed: install that first");
        return Err(Error::refused("base-missing", format!("{why}, or name it before")));
    }
    if new.refresh {
        let installed = before.as_ref().ok_or_else(|| Error::not_installed(name))?;
        refuse_reverted(name, installed, &new.revision)?;
    }
    let (uid, revision) = match &before {
        Some(old) => (old.uid, old.last.saturating_add(1)),
        None => (state.take_uid()?, 1),
    };
    let from = before.as_ref().map(|old| old.current);
    let mut revisions = before.as_ref().map(|old| old.revisions.clone()).unwrap_or_default();
    let dropped = no_longer_kept(&revisions, from);
    dropped.iter().for_each(|revision| drop(revisions.remove(revision)));
    revisions.insert(revision, new.revision.clone());
    let settings = state.settings_of(name);
    if let Some(old) = from.and_then(|from| revisions.get_mut(&from)) {
        old.config.clone_from(&settings.config);
    }
    let disabled = before.as_ref().is_some_and(|old| old.disabled);
    let after = Installed { uid, current: revision, last: revision, revisions, disabled };

    let told = accepted_told(new, before.is_some(), revision);
    let after = (revision, after);
    let riders = riders(state, name);
    let steps = accepted_steps(new, (before, settings), after, dropped, data);
    Ok((with_riders(steps, &riders), told))
}

/// Snaps that run and are on this base: what they see as their root is made when they start.
fn riders(state: &State, base: &str) -> Vec<String> {
    let runs = |name: &String| state.snaps.get(name).is_some_and(|snap| !snap.disabled);
    state.on(base).into_iter().filter(runs).collect()
}

/// The steps of a base, which its riders stop before and start after.
fn with_riders(mut steps: Vec<Step>, riders: &[String]) -> Vec<Step> {
    let stops = riders.iter().map(|name| Step::Stop { name: name.clone() });
    let starts = riders.iter().map(|name| Step::Start { name: name.clone() });
    let is_stop = |step: &Step| matches!(step, Step::Stop { .. });
    let is_start = |step: &Step| matches!(step, Step::Start { .. });
    if let Some(at) = steps.iter().position(is_stop) {
        steps.splice(at..at, stops);
    }
    if let Some(at) = steps.iter().rposition(is_start) {
        steps.splice(at + 1..at + 1, starts);
    }
    steps
}

/// Refuses to take away what others stand on.
fn in_use(state: &State, name: &str, leaving: &[String]) -> Result<()> {
    let riders: Vec<String> =
        state.on(name).into_iter().filter(|rider| !leaving.contains(rider)).collect();
    match riders.is_empty() {
        true => Ok(()),
        false => {
            let why = format!("{name} is the base of {}", riders.join(", "));
            Err(Error::refused("base-in-use", why))
        }
    }
}

fn accepted_told(new: &Accepted, refreshed: bool, revision: u32) -> String {
    let done = if refreshed { "refreshed to" } else { "installed" };
    let signed = if new.revision.signed { "" } else { " (not signed)" };
    let version = &new.revision.version;
    let mut told = format!("{} {done} {version} (revision {revision}){signed}", new.name);
    for field in &new.unused {
        told.push_str(&format!("\nnot used: {field}"));
    }
    told
}

fn accepted_steps(
    new: &Accepted,
    (before, settings): (Option<Installed>, Settings),
    (revision, after): (u32, Installed),
    dropped: Vec<u32>,
    data: u64,
) -> Vec<Step> {
    let name = &new.name;
    let owned = || name.clone();
    let (first, from) = (before.is_none(), before.as_ref().map(|old| old.current));
    let hook = |hook: &str| new.hooks.contains(hook).then(|| run(name, hook));
    // Before the file is taken: that is made durable with the data, and nothing may be stored in
    // between.
    let before_all = "pre-refresh";
    let asked = new.earlier_hooks.contains(before_all).then(|| run(name, before_all));
    let mut steps: Vec<Step> = asked.into_iter().collect();
    steps.push(Step::TakeFile { copy: new.copy, name: owned(), revision });
    if !first {
        steps.push(Step::Stop { name: owned() });
    }
    let (uid, size) = (after.uid, data);
    let copy = Step::CopyData { name: owned(), uid, from, to: revision, size };
    let link = Step::Link { name: owned(), before, after: Some(after) };
    steps.extend([copy, link]);
    match first {
        true => {
            if !new.idle.is_empty() {
                let after = Settings { idle: new.idle.clone(), ..settings.clone() };
                steps.push(Step::Settle { name: owned(), before: settings, after });
            }
            steps.extend(["install", "default-configure"].into_iter().filter_map(hook));
        }
        false => steps.extend(hook("post-refresh")),
    }
    let drops = dropped.into_iter().map(|revision| Step::DropRevision { name: owned(), revision });
    let start = Step::Start { name: owned() };
    match mutant::is(Mutant::DeletesBeforeProof) {
        true => steps.extend(drops.chain([start])),
        false => {
            steps.push(start);
            steps.extend(["configure", "check-health"].into_iter().filter_map(hook));
            steps.extend(drops);
        }
    }
    steps
}

/// Of the revisions before a refresh: what is not among those that stay beside the new one, and
/// what was reverted from.
fn no_longer_kept(revisions: &BTreeMap<u32, Revision>, current: Option<u32>) -> Vec<u32> {
    let current = current.unwrap_or(0);
    let older: Vec<u32> = revisions.keys().copied().filter(|r| *r <= current).collect();
    let stay = &older[older.len().saturating_sub(KEPT - 1)..];
    revisions.keys().copied().filter(|revision| !stay.contains(revision)).collect()
}

/// Who went back from a revision does not want it again unasked.
fn refuse_reverted(name: &str, installed: &Installed, new: &Revision) -> Result<()> {
    let same = |revision: &Revision| revision.digest.is_some() && revision.digest == new.digest;
    let mut above = installed.revisions.range(installed.current + 1..);
    let Some((revision, _)) = above.find(|(_, revision)| same(revision)) else { return Ok(()) };
    let why = format!("{name}: this is revision {revision}, which was reverted from");
    Err(Error::refused("reverted", format!("{why}; `install` takes it all the same")))
}

fn revert(state: &State, names: &[String], to: Option<u32>) -> Result<Plan> {
    let (mut steps, mut told) = (Vec::new(), Vec::new());
    for (name, snap) in checked(state, names)? {
        let target = match to {
            Some(revision) if revision == snap.current => {
                let why = format!("{name}: revision {revision} is the current one");
                return Err(Error::refused("no-revision", why));
            }
            Some(revision) => Some(revision).filter(|r| snap.revisions.contains_key(r)),
            None => snap.revisions.range(..snap.current).next_back().map(|(r, _)| *r),
        };
        let Some(target) = target else {
            let kept: Vec<String> = snap.revisions.keys().map(u32::to_string).collect();
            let wanted = to.map_or("one before it".into(), |revision| revision.to_string());
            let why = format!("{name}: no revision {wanted} is kept, only {}", kept.join(", "));
            return Err(Error::refused("no-revision", why));
        };
        let version = snap.revisions.get(&target).map_or("", |r| r.version.as_str());
        told.push(format!("{name} reverted to {version} (revision {target})"));
        let before = state.settings_of(name);
        let config = snap.revisions.get(&target).map(|r| r.config.clone()).unwrap_or_default();
        let mut after = Installed { current: target, ..snap.clone() };
        if let Some(left) = after.revisions.get_mut(&snap.current) {
            left.config.clone_from(&before.config);
        }
        let settled = Settings { config, ..before.clone() };
        let settle = (settled != before).then(|| Step::Settle {
            name: name.clone(),
            before,
            after: settled,
        });
        let mut own = Vec::new();
        switch(&mut own, name, snap, after, settle);
        steps.extend(with_riders(own, &riders(state, name)));
    }
    Ok(Plan { summary: format!("Revert {}", quoted(names)), steps, told, needed: 0 })
}

fn switch(
    steps: &mut Vec<Step>,
    name: &str,
    before: &Installed,
    after: Installed,
    settle: Option<Step>,
) {
    let starts = !after.disabled;
    steps.push(Step::Stop { name: name.into() });
    steps.push(Step::Link { name: name.into(), before: Some(before.clone()), after: Some(after) });
    steps.extend(settle);
    if starts {
        steps.push(Step::Start { name: name.into() });
    }
}

fn able(state: &State, names: &[String], disabled: bool) -> Result<Plan> {
    let (mut steps, mut told) = (Vec::new(), Vec::new());
    let done = if disabled { "disabled" } else { "enabled" };
    for (name, snap) in checked(state, names)? {
        if snap.disabled == disabled {
            let why = format!("{name} is {done} already");
            return Err(match disabled {
                true => Error::refused("snap-disabled", why),
                false => Error::refused("snap-enabled", why),
            });
        }
        if disabled {
            in_use(state, name, &[])?;
        }
        switch(&mut steps, name, snap, Installed { disabled, ..snap.clone() }, None);
        told.push(format!("{name} {done}"));
    }
    let verb = if disabled { "Disable" } else { "Enable" };
    Ok(Plan { summary: format!("{verb} {}", quoted(names)), steps, told, needed: 0 })
}

fn remove(state: &State, names: &[String], purge: bool, now: u64, facts: &Facts) -> Result<Plan> {
    let (mut steps, mut told, mut needed) = (Vec::new(), Vec::new(), 0);
    let set = state.last_set.saturating_add(1);
    for (name, snap) in checked(state, names)? {
        in_use(state, name, names)?;
        let bytes = facts.size(name);
        let mut done = format!("{name} removed");
        if !purge && bytes > 0 {
            steps.push(pack(state, set, (name, snap), bytes, now, true));
            needed += bytes;
            done.push_str(&format!(" (its data is kept in snapshot set #{set})"));
        }
        told.push(done);
        steps.push(Step::Stop { name: name.clone() });
        if let Some(hook) = facts.hook(name, "remove") {
            // It needs the snap's files, which a second stop lets go of.
            steps.extend([hook, Step::Stop { name: name.clone() }]);
        }
        let before = state.settings_of(name);
        if !before.is_default() {
            let after = Settings::default();
            steps.push(Step::Settle { name: name.clone(), before, after });
        }
        steps.push(Step::Link { name: name.clone(), before: Some(snap.clone()), after: None });
        for revision in snap.revisions.keys() {
            steps.push(Step::DropRevision { name: name.clone(), revision: *revision });
        }
        steps.push(Step::DropSnap { name: name.clone() });
    }
    Ok(Plan { summary: format!("Remove {}", quoted(names)), steps, told, needed })
}

fn pack(
    state: &State,
    set: u32,
    (name, snap): (&str, &Installed),
    bytes: u64,
    now: u64,
    auto: bool,
) -> Step {
    let version = snap.revisions.get(&snap.current).map_or("", |r| r.version.as_str());
    let snapshot = Snapshot {
        time: now,
        config: state.settings_of(name).config,
        version: version.into(),
        revision: snap.current,
        auto,
        bytes: bytes + bytes / 4 + GROWTH,
        size: 0,
        digest: String::new(),
    };
    Step::Pack { set, name: name.into(), snapshot }
}

fn save(state: &State, names: &[String], now: u64, facts: &Facts) -> Result<Plan> {
    let all: Vec<String> = state.snaps.keys().cloned().collect();
    let names = if names.is_empty() { all.as_slice() } else { names };
    let set = state.last_set.saturating_add(1);
    let (mut steps, mut needed) = (Vec::new(), 0);
    for (name, snap) in checked(state, names)? {
        let bytes = facts.size(name);
        needed += bytes;
        steps.push(pack(state, set, (name, snap), bytes, now, false));
    }
    let told = vec![format!("Saved {} in snapshot set #{set}", quoted(names))];
    Ok(Plan { summary: format!("Save data of {}", quoted(names)), steps, told, needed })
}

/// Snaps of a set that are meant.
fn of_set<'a>(
    state: &'a State,
    set: u32,
    names: &'a [String],
) -> Result<Vec<(&'a String, &'a Snapshot)>> {
    let snaps = state.snapshots.get(&set).ok_or_else(|| no_set(set))?;
    if names.is_empty() {
        return Ok(snaps.iter().collect());
    }
    let mut seen = BTreeSet::new();
    let find = |name: &'a String| match snaps.get(name) {
        _ if !seen.insert(name) => Err(twice(name)),
        Some(snapshot) => Ok((name, snapshot)),
        None => {
            let why = format!("{name}: not in snapshot set #{set}");
            Err(Error::refused("no-snapshot", why))
        }
    };
    names.iter().map(find).collect()
}

fn restore(state: &State, set: u32, names: &[String]) -> Result<Plan> {
    let (mut steps, mut needed) = (Vec::new(), 0);
    for (name, snapshot) in of_set(state, set, names)? {
        let snap = state.snaps.get(name).ok_or_else(|| Error::not_installed(name))?;
        let (revision, uid) = (snap.current, snap.uid);
        needed += snapshot.bytes;
        let owned = || name.clone();
        steps.push(Step::Stop { name: owned() });
        steps.push(Step::Unpack { set, name: owned(), revision, uid });
        steps.push(Step::Swap { name: owned(), revision });
        let before = state.settings_of(name);
        if before.config != snapshot.config {
            let after = Settings { config: snapshot.config.clone(), ..before.clone() };
            steps.push(Step::Settle { name: owned(), before, after });
        }
        if !snap.disabled {
            steps.push(Step::Start { name: owned() });
        }
        steps.push(Step::DropReplaced { name: owned() });
    }
    let told = vec![format!("Restored snapshot #{set}.")];
    Ok(Plan { summary: format!("Restore snapshot set #{set}"), steps, told, needed })
}

fn forget(state: &State, set: u32, names: &[String]) -> Result<Plan> {
    let mut steps = Vec::new();
    for (name, snapshot) in of_set(state, set, names)? {
        let snapshot = snapshot.clone();
        steps.push(Step::Forget { set, name: name.clone(), snapshot });
        steps.push(Step::DropSnapshot { set, name: name.clone() });
    }
    let told = vec![format!("Snapshot #{set} forgotten.")];
    Ok(Plan { summary: format!("Forget snapshot set #{set}"), steps, told, needed: 0 })
}

/// Sets that were taken of removed snaps, all of whose snapshots are old enough.
pub fn expired(state: &State, now: u64) -> Vec<u32> {
    let old =
        |snapshot: &Snapshot| snapshot.auto && snapshot.time.saturating_add(AUTO_KEPT_S) < now;
    let sets = state.snapshots.iter().filter(|(_, snaps)| snaps.values().all(old));
    sets.map(|(set, _)| *set).collect()
}

/// Bytes that the copies of data need that are still to be made.
pub fn to_be_copied(change: &Change) -> u64 {
    let size = |step: &Step| match step {
        Step::CopyData { size, .. } => *size,
        _ => 0,
    };
    change.steps().map(size).sum()
}

#[cfg(test)]
mod tests;
