//! What is installed, when appd starts: `state.json`, or what can be known without it.
//!
//! | `state.json` | copy | snap files or data | then |
//! |---|---|---|---|
//! | good | any | any | it holds |
//! | none | none | none | a new device: an empty state is written |
//! | none, damaged | good | any | the copy holds, which is the same or one change older |
//! | none, damaged | none, damaged | any | rebuilt from snap files and data directories |
//!
//! What always holds: a damaged state is put aside, not lost; what was rebuilt runs only when its
//! file is signed, because that a snap was installed without a signature stood in the state alone;
//! data of a snap is kept, even where its file is gone, and so is every snapshot that can be read
//! through.

use crate::{
    change::plan::KEPT,
    data,
    disk::Partition,
    error::{Context, Result},
    incoming, meta,
    paths::Paths,
    settings::Config,
    snapshot,
    state::{Installed, Revision, Role, Snapshot, State},
    verify,
};
use protocol::keys::to_hex;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What stands for a version that cannot be known.
const UNKNOWN_VERSION: &str = "unknown";

/// What was found in one place.
enum Found {
    Good(State),
    None,
    Damaged(String),
}

fn look(path: &Path) -> Found {
    match State::load(&Partition, path) {
        Ok(Some(state)) => Found::Good(state),
        Ok(None) => Found::None,
        Err(error) => Found::Damaged(error.to_string()),
    }
}

/// The state, and what a person should know about how it was found.
pub fn open(paths: &Paths) -> Result<(State, Vec<String>)> {
    let left = remains(paths);
    let (state, why) = match (look(&paths.state()), look(&paths.state_copy())) {
        (Found::Good(state), _) => return Ok((state, Vec::new())),
        (Found::None, Found::None) if left.is_empty() => (State::default(), None),
        (Found::None, Found::Good(copy)) => (copy, Some(("is gone".into(), "its copy holds"))),
        (Found::Damaged(why), Found::Good(copy)) => (copy, Some((why, "its copy holds"))),
        (Found::None, _) => (rebuilt(paths, &left)?, Some(("is gone".into(), REBUILT))),
        (Found::Damaged(why), _) => (rebuilt(paths, &left)?, Some((why, REBUILT))),
    };
    let aside = paths.state_damaged();
    let was_put_aside = fs::rename(paths.state(), &aside).is_ok();
    // a partition that takes no writes any more is no reason not to run what is there
    let stored = state.store(&Partition, &paths.state(), &paths.state_copy());
    let mut warnings = Vec::new();
    warnings.extend(stored.err().map(|error| format!("apps: state.json: {error}")));
    warnings.extend(why.map(|(why, what)| format!("apps: state.json: {why}; {what}")));
    if was_put_aside {
        warnings.push(format!("apps: the damaged state is kept as {}", aside.display()));
    }
    Ok((state, warnings))
}

/// How a state that was rebuilt is told.
const REBUILT: &str =
    "rebuilt from snap files and data; what was installed without a signature must be again";

/// What lies on the partition for one name.
#[derive(Default)]
struct Remains {
    files: BTreeSet<u32>,
    data: BTreeSet<u32>,
    uid: Option<u32>,
}

/// Snaps that have files or data, by name.
fn remains(paths: &Paths) -> BTreeMap<String, Remains> {
    let mut found: BTreeMap<String, Remains> = BTreeMap::new();
    for name in names(&paths.files()) {
        if let Some((snap, revision)) = snap_file(&name) {
            found.entry(snap.into()).or_default().files.insert(revision);
        }
    }
    for snap in names(&paths.all_data()) {
        if meta::check_name("data", &snap).is_err() {
            continue;
        }
        let revisions = names(&paths.data(&snap)).into_iter().filter_map(|n| n.parse().ok());
        let entry = found.entry(snap.clone()).or_default();
        entry.data = revisions.collect();
        let last = entry.data.last().map(|last| paths.revision_data(&snap, *last));
        entry.uid = std::iter::once(paths.common(&snap))
            .chain(last)
            .find_map(|path| fs::metadata(path).ok().map(|found| found.uid()))
            .filter(|uid| State::is_snap_uid(*uid));
    }
    found.retain(|_, remains| !remains.files.is_empty() || !remains.data.is_empty());
    found
}

/// Name and revision of `NAME_REVISION.snap`.
fn snap_file(name: &str) -> Option<(&str, u32)> {
    let (snap, revision) = name.strip_suffix(".snap")?.rsplit_once('_')?;
    meta::check_name("file", snap).ok()?;
    Some((snap, revision.parse().ok()?))
}

fn names(directory: &Path) -> Vec<String> {
    let list = fs::read_dir(directory).into_iter().flatten().flatten();
    list.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn rebuilt(paths: &Paths, left: &BTreeMap<String, Remains>) -> Result<State> {
    let mut state = State::default();
    left.values().filter_map(|remains| remains.uid).for_each(|uid| state.reserve_uid(uid));
    let mut taken = BTreeSet::new();
    for (name, remains) in left {
        let revisions: BTreeMap<u32, (Revision, bool)> = match remains.files.is_empty() {
            true => remains.data.iter().map(|r| (*r, (lost(0), false))).collect(),
            false => remains.files.iter().map(|r| (*r, judge(paths, name, *r))).collect(),
        };
        // the newest that is whole and has data; else the newest that is whole; else the newest
        let best = revisions.iter().max_by_key(|(revision, (_, whole))| {
            (*whole, remains.data.contains(*revision), **revision)
        });
        let Some(current) = best.map(|(revision, _)| *revision) else { continue };
        let last = revisions.keys().chain(&remains.data).copied().max().unwrap_or(current);
        let mut kept: BTreeMap<u32, Revision> =
            revisions.into_iter().map(|(revision, (entry, _))| (revision, entry)).collect();
        while kept.len() > KEPT {
            let oldest = kept.keys().copied().find(|revision| *revision != current);
            oldest.and_then(|revision| kept.remove(&revision));
        }
        // two snaps must not share a user
        let uid = match remains.uid.filter(|uid| taken.insert(*uid)) {
            Some(uid) => uid,
            None => state.take_uid()?,
        };
        data::make(&paths.common(name), uid)?;
        data::make(&paths.revision_data(name, current), uid)?;
        state.snaps.insert(
            name.clone(),
            Installed { uid, current, last, revisions: kept, disabled: false },
        );
    }
    for (set, name) in names(&paths.snapshots()).iter().filter_map(|n| snapshot_file(n)) {
        match look_through(&paths.snapshot(set, name), name) {
            Ok(snapshot) => {
                state.snapshots.entry(set).or_default().insert(name.into(), snapshot);
                state.last_set = state.last_set.max(set);
            }
            Err(error) => eprintln!("snapshot set {set}: {error}"),
        }
    }
    Ok(state)
}

/// Set and snap of `SET_NAME.snapshot`.
fn snapshot_file(name: &str) -> Option<(u32, &str)> {
    let (set, snap) = name.strip_suffix(".snapshot")?.split_once('_')?;
    meta::check_name("file", snap).ok()?;
    Some((set.parse().ok()?, snap))
}

/// What a snapshot tells, when it is whole.
fn look_through(path: &Path, name: &str) -> Result<Snapshot> {
    let head = snapshot::check(path)?;
    let mut file = fs::File::open(path).at("open", path)?;
    let size = file.metadata().at("look at", path)?.len();
    Ok(head.of_file(size, to_hex(&verify::digest(name, &mut file)?)))
}

/// What a snap file tells, and whether it is whole and signed.
fn judge(paths: &Paths, name: &str, revision: u32) -> (Revision, bool) {
    let file: PathBuf = paths.file(name, revision);
    let size = fs::metadata(&file).map_or(0, |found| found.len());
    let checked = verify::check(name, &file, &paths.keys(), false).and_then(|checked| {
        let snap = incoming::look_inside(paths, name, &file, 0, checked.image)?;
        Ok((checked, snap))
    });
    match checked {
        Ok((checked, snap)) if snap.name == name => {
            let (image, digest) = (checked.image, checked.digest.map(|digest| to_hex(&digest)));
            let role = snap.role();
            (
                Revision {
                    version: snap.version,
                    signed: true,
                    size,
                    image,
                    digest,
                    config: Config::new(),
                    role,
                },
                true,
            )
        }
        Ok((_, snap)) => {
            eprintln!("{}: the file is a snap named {}", file.display(), snap.name);
            (lost(size), false)
        }
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            (lost(size), false)
        }
    }
}

/// A revision of which nothing can be known. It counts as signed, so that it is checked before it
/// runs.
fn lost(size: u64) -> Revision {
    Revision {
        version: UNKNOWN_VERSION.into(),
        signed: true,
        size,
        image: size,
        digest: None,
        config: Config::new(),
        role: Role::Alone,
    }
}
