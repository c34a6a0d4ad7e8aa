//! A gateway on which apps are installed: its card, what runs, and `app_runtime`'s world on top.

use super::tree::Tree;
use crate::loss::Loss;
use app_runtime::change::plan::{self, Accepted, Facts};
use app_runtime::change::run::{self, World};
use app_runtime::change::work::{self, Outcome, Way};
use app_runtime::change::{Change, Step, keep};
use app_runtime::disk::Disk;
use app_runtime::paths::Paths;
use app_runtime::settings::{Config, Edit, Settings};
use app_runtime::snapshot::{COMMON, DATA, Head, Packed};
use app_runtime::state::{Revision, Role, Snapshot, State};
use app_runtime::{Error, Result};
use protocol::change::{Order, Origin};
use protocol::control::{APPS_CGROUP, Failure};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Poll, Waker};

/// Time stands still.
const NOW: u64 = 1_800_000_000;
/// Bytes of a snap file, and of a file that an app writes: several sectors, so that it can tear.
const SIZE: usize = 1500;
/// What the version of an app is that does not stay up.
const BAD: &str = "9";
/// The version that starts once, and never again once it wrote its data.
const ONCE: &str = "8";
/// A snap whose data cannot be copied: the partition fills up meanwhile.
const FULL: &str = "c";
/// The snap that has hooks.
const HOOKED: &str = "h";
/// Its version that says of itself that it is not well.
const SICK: &str = "6";
/// The value of `mode` that its configure hook does not take.
const REFUSED: &str = "bad";
/// Bytes that a snapshot may announce.
const LARGE: u64 = 1 << 20;

/// The gateway.
pub struct Machine {
    paths: Paths,
    tree: RefCell<Tree>,
    /// The card before each operation, when that is asked for.
    recorded: RefCell<Option<Vec<Tree>>>,
    state: RefCell<State>,
    running: RefCell<BTreeMap<String, u32>>,
    /// What must never happen.
    wrong: RefCell<Vec<String>>,
}

/// What there is, as one can see it from outside: two that look the same are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    snaps: BTreeMap<String, (u32, Vec<u32>, bool)>,
    running: BTreeMap<String, u32>,
    settings: BTreeMap<String, Settings>,
    snapshots: BTreeMap<u32, Vec<String>>,
    files: BTreeMap<PathBuf, String>,
}

/// Tells contents apart, and fits a line.
fn in_short(content: Option<Vec<u8>>) -> String {
    let Some(content) = content else { return "folder".into() };
    let mut hash = DefaultHasher::new();
    content.hash(&mut hash);
    let start: String = content.iter().take(8).map(|byte| char::from(*byte)).collect();
    format!("{start:?} {:x}", hash.finish())
}

fn paths() -> Paths {
    Paths::new("/", APPS_CGROUP)
}

/// `NAME-VERSION.snap`
fn source(from: &Origin) -> Option<(String, String)> {
    let Origin::Path(path) = from else { return None };
    let stem = Path::new(path).file_stem()?.to_str()?;
    stem.split_once('-').map(|(name, version)| (name.into(), version.into()))
}

/// Hooks of a snap.
fn hooks(name: &str) -> BTreeSet<String> {
    let all = ["install", "pre-refresh", "post-refresh", "configure", "check-health", "remove"];
    all.into_iter().filter(|_| name == HOOKED).map(String::from).collect()
}

/// The bytes of a snap file, and of what an app writes.
fn content(what: &str) -> Vec<u8> {
    what.bytes().cycle().take(SIZE).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the simulated world never waits"),
    }
}

impl Machine {
    /// A new gateway.
    pub fn new() -> Self {
        let paths = paths();
        let mut tree = Tree::default();
        for folder in [paths.files(), paths.all_data(), paths.snapshots()] {
            let parents: Vec<&Path> = folder.ancestors().collect();
            parents.iter().rev().for_each(|parent| tree.make_folder(parent));
        }
        tree.sync_all();
        Self::with(tree)
    }

    fn with(tree: Tree) -> Self {
        Self {
            paths: paths(),
            tree: RefCell::new(tree),
            recorded: RefCell::default(),
            state: RefCell::default(),
            running: RefCell::default(),
            wrong: RefCell::default(),
        }
    }

    /// The gateway starts with what its card has: as appd does, sweep, start what is not being
    /// changed, carry on, start the rest.
    pub fn boot(tree: Tree, record: bool) -> Self {
        let machine = Self::with(tree);
        if record {
            machine.record();
        }
        match State::load(&machine, &machine.paths.state()) {
            Ok(Some(state)) => machine.hold(state),
            Ok(None) if machine.exists(&machine.paths.state_copy()) => {
                machine.must_not("the state is gone".into());
            }
            Ok(None) => {}
            Err(error) => machine.must_not(error.to_string()),
        }
        machine.sweep();
        let state = machine.state();
        let under_way = state.under_way().and_then(|id| state.changes.get(&id));
        machine.start_those(|name| !under_way.is_some_and(|change| change.is_about(name)));
        if let Some(id) = run::resume(&machine) {
            let _ = block_on(run::run(&machine, id));
            machine.sweep();
        }
        machine.start_those(|_| true);
        machine
    }

    fn sweep(&self) {
        if let Err(error) = keep::sweep(self, &self.paths, &self.state()) {
            self.must_not(error.to_string());
        }
    }

    fn start_those(&self, wanted: impl Fn(&str) -> bool) {
        for name in self.state().snaps.keys().filter(|name| wanted(name)) {
            if !self.running.borrow().contains_key(name)
                && let Err(error) = block_on(self.start(name, false))
            {
                self.must_not(format!("{name} does not start: {error}"));
            }
        }
    }

    /// Asks for a change, and waits for its end.
    pub fn ask(&self, order: &Order) -> std::result::Result<String, Failure> {
        let state = self.state();
        let sizes = state.snaps.keys().map(|name| (name.clone(), SIZE as u64)).collect();
        let facts = Facts { sizes, hooks: BTreeMap::from([(HOOKED.to_string(), hooks(HOOKED))]) };
        let plan = plan::plan(&state, order, NOW, &facts).map_err(|e| e.failure())?;
        let mut change = Change::new(order.kind(), plan.summary, NOW, plan.steps);
        change.told = plan.told;
        let id = run::begin(self, change).map_err(|error| error.failure())?;
        block_on(run::run(self, id))
    }

    /// From here on the card is kept as it is before each operation.
    pub fn record(&self) {
        *self.recorded.borrow_mut() = Some(Vec::new());
    }

    /// The cards that were kept, and the one of now.
    pub fn recorded(&self) -> Vec<Tree> {
        let mut cards = self.recorded.borrow_mut().take().unwrap_or_default();
        cards.push(self.tree.borrow().clone());
        cards
    }

    /// The card after a power cut.
    pub fn cut(tree: &Tree, loss: Loss, seed: u64) -> Tree {
        let mut tree = tree.clone();
        let mut hash = DefaultHasher::new();
        (&tree, seed).hash(&mut hash);
        tree.lose_power(loss, &mut fastrand::Rng::with_seed(hash.finish()));
        tree
    }

    /// The card as it is.
    pub fn card(&self) -> Tree {
        self.tree.borrow().clone()
    }

    /// What there is, or what must not be.
    pub fn view(&self) -> std::result::Result<View, String> {
        let state = self.state();
        if let Some(wrong) = self.wrong.borrow().first() {
            return Err(wrong.clone());
        }
        if let Some(id) = state.under_way() {
            return Err(format!("change {id} is still under way: {:?}", state.changes.get(&id)));
        }
        let folders = [self.paths.files(), self.paths.all_data(), self.paths.snapshots()];
        let tree = self.tree.borrow();
        let snaps = state.snaps.iter().map(|(name, snap)| {
            let revisions = snap.revisions.keys().copied().collect();
            (name.clone(), (snap.current, revisions, snap.disabled))
        });
        let snapshots = state.snapshots.iter();
        Ok(View {
            snaps: snaps.collect(),
            running: self.running.borrow().clone(),
            settings: state.settings.clone(),
            snapshots: snapshots.map(|(set, s)| (*set, s.keys().cloned().collect())).collect(),
            files: folders
                .iter()
                .flat_map(|folder| tree.below(folder))
                .map(|(path, content)| (path, in_short(content)))
                .collect(),
        })
    }

    /// How the newest change ended.
    pub fn last_failure(&self) -> Option<Failure> {
        self.state().changes.values().next_back().and_then(|change| change.failure.clone())
    }

    fn must_not(&self, what: String) {
        self.wrong.borrow_mut().push(what);
    }

    /// One operation on the card.
    fn operate<T>(&self, work: impl FnOnce(&mut Tree) -> T) -> T {
        let mut tree = self.tree.borrow_mut();
        if let Some(recorded) = &mut *self.recorded.borrow_mut() {
            recorded.push(tree.clone());
        }
        work(&mut tree)
    }

    fn whole(&self, path: &Path, what: &str) -> bool {
        let found = self.tree.borrow().read(path);
        let whole = found.as_ref().is_some_and(|found| *found == content(what));
        if !whole {
            let how = if found.is_some() { "torn" } else { "gone" };
            self.must_not(format!("{} is {how}", path.display()));
        }
        whole
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

fn refused(done: bool, what: &str, path: &Path) -> Result<()> {
    match done {
        true => Ok(()),
        false => Err(Error::refused("io", format!("{what} {}", path.display()))),
    }
}

impl Disk for Machine {
    fn read(&self, path: &Path, _: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.tree.borrow().read(path))
    }

    fn exists(&self, path: &Path) -> bool {
        self.tree.borrow().exists(path)
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>> {
        Ok(self.tree.borrow().list(folder))
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        refused(self.operate(|tree| tree.write(path, content)), "write", path)
    }

    fn sync(&self, path: &Path) -> Result<()> {
        self.operate(|tree| tree.sync(path));
        Ok(())
    }

    fn sync_names(&self, folder: &Path) -> Result<()> {
        self.operate(|tree| tree.sync_names(folder));
        Ok(())
    }

    fn sync_all(&self, _: &Path) -> Result<()> {
        self.operate(Tree::sync_all);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        refused(self.operate(|tree| tree.rename(from, to)), "rename to", to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let below: Vec<PathBuf> = self.tree.borrow().below(path).into_keys().collect();
        below.iter().rev().for_each(|path| self.operate(|tree| tree.remove(path)));
        Ok(())
    }

    fn make_folder(&self, path: &Path, _: u32) -> Result<()> {
        let missing = path.ancestors().take_while(|folder| !self.exists(folder));
        let missing: Vec<&Path> = missing.collect();
        missing.iter().rev().for_each(|folder| self.operate(|tree| tree.make_folder(folder)));
        Ok(())
    }

    fn copy_tree(&self, from: &Path, to: &Path, uid: u32) -> Result<()> {
        self.make_folder(to, uid)?;
        if from.starts_with(self.paths.data(FULL)) {
            return Err(Error::refused("no-space", to.display()));
        }
        let below = self.tree.borrow().below(from);
        for (path, content) in below.iter().skip(1) {
            let target = to.join(path.strip_prefix(from).unwrap_or(path));
            match content {
                Some(content) => self.write(&target, content)?,
                None => self.make_folder(&target, uid)?,
            }
        }
        Ok(())
    }

    fn pack(&self, _: &Head, parts: &[(&str, PathBuf)], to: &Path) -> Result<Packed> {
        let mut packed: BTreeMap<PathBuf, Option<Vec<u8>>> = BTreeMap::new();
        for (name, folder) in parts {
            let below = self.tree.borrow().below(folder);
            packed.extend(below.into_iter().map(|(path, content)| {
                (Path::new(name).join(path.strip_prefix(folder).unwrap_or(&path)), content)
            }));
        }
        let text = serde_json::to_vec(&packed).expect("a map of text");
        self.write(to, &text)?;
        Ok(Packed { size: text.len() as u64, digest: String::new() })
    }

    fn unpack(&self, from: &Path, parts: &[(&str, PathBuf)], uid: u32) -> Result<()> {
        let text = self.tree.borrow().read(from).unwrap_or_default();
        let corrupt = |_| Error::refused("snapshot-corrupt", from.display());
        let packed: BTreeMap<PathBuf, Option<Vec<u8>>> =
            serde_json::from_slice(&text).map_err(corrupt).inspect_err(|_| {
                self.must_not(format!("{} is torn", from.display()));
            })?;
        for (path, content) in packed {
            let part =
                parts.iter().find_map(|(name, to)| Some((to, path.strip_prefix(name).ok()?)));
            let Some((to, rest)) = part else { continue };
            let target: PathBuf = to.join(rest).components().collect();
            match content {
                Some(content) => self.write(&target, &content)?,
                None => self.make_folder(&target, uid)?,
            }
        }
        Ok(())
    }

    fn split(&self, _: &Path, to: &dyn Fn(&str) -> PathBuf) -> Result<BTreeMap<String, Snapshot>> {
        let snapshot = Snapshot {
            time: NOW,
            version: "1".into(),
            revision: 1,
            auto: false,
            config: Default::default(),
            bytes: LARGE,
            size: SIZE as u64,
            digest: String::new(),
        };
        let kept = BTreeMap::from([
            (PathBuf::from(COMMON), None),
            (PathBuf::from(DATA), None),
            (PathBuf::from(DATA).join("from-elsewhere"), Some(content("elsewhere"))),
        ]);
        let text = serde_json::to_vec(&kept).expect("a map of text");
        for name in ["a", "b"] {
            self.write(&to(name), &text)?;
        }
        let names = ["a", "b"].map(|name| (name.to_string(), snapshot.clone()));
        Ok(names.into())
    }
}

impl World for Machine {
    fn state(&self) -> State {
        self.state.borrow().clone()
    }

    fn hold(&self, state: State) {
        *self.state.borrow_mut() = state;
    }

    fn commit(&self, state: State) -> Result<()> {
        state.store(self, &self.paths.state(), &self.paths.state_copy())?;
        self.hold(state);
        Ok(())
    }

    fn now(&self) -> u64 {
        NOW
    }

    fn is_aborted(&self, _: u32) -> bool {
        false
    }

    fn room(&self, _: &str, _: u64) -> Result<()> {
        Ok(())
    }

    fn data_size(&self, _: &str) -> Result<u64> {
        Ok(0)
    }

    async fn fetch(&self, step: &Step) -> Result<Accepted> {
        let Step::Fetch { from, refresh, copy, .. } = step else {
            return Err(Error::refused("internal", "only a fetch fetches"));
        };
        let (name, version) =
            source(from).ok_or_else(|| Error::refused("snap-corrupt", format!("{from:?}")))?;
        let to = self.paths.partial(*copy);
        let what = format!("{name}-{version} ");
        self.write(&to, &content(&what))?;
        self.sync(&to)?;
        self.sync_names(&self.paths.files())?;
        let size = SIZE as u64;
        let digest = Some(what);
        let config = Config::new();
        let revision = Revision {
            version,
            signed: true,
            size,
            image: size,
            digest,
            config,
            role: Role::Alone,
        };
        let before = self.state().snaps.contains_key(&name);
        Ok(Accepted {
            copy: *copy,
            hooks: hooks(&name),
            earlier_hooks: hooks(&name).into_iter().filter(|_| before).collect(),
            idle: hooks(&name).into_iter().filter(|hook| hook == "install").collect(),
            name,
            revision,
            refresh: *refresh,
            unused: Vec::new(),
        })
    }

    async fn files(&self, step: &Step, way: Way) -> Result<Outcome> {
        work::carry_out(self, &self.paths, step, way)
    }

    async fn stop(&self, name: &str) -> Result<()> {
        self.running.borrow_mut().remove(name);
        Ok(())
    }

    /// Notes which of its hooks ran, and of which version.
    async fn hook(&self, name: &str, hook: &str) -> Result<Vec<Edit>> {
        let state = self.state();
        let Some(snap) = state.snaps.get(name) else { return Ok(Vec::new()) };
        let version = snap.revisions.get(&snap.current).map_or("", |r| r.version.as_str());
        let config = state.settings_of(name).config;
        let refused = config.get("mode").is_some_and(|mode| mode == REFUSED);
        if hook == "configure" && refused || hook == "check-health" && version == SICK {
            return Err(Error::refused("hook-failed", format!("{name}: {hook}")));
        }
        Ok(vec![Edit::Set(format!("ran.{hook}"), version.into())])
    }

    /// The app writes to its data that it ran, and syncs that.
    async fn start(&self, name: &str, proof: bool) -> Result<()> {
        let state = self.state();
        let Some(snap) = state.snaps.get(name).filter(|snap| !snap.disabled) else {
            return Ok(());
        };
        let current = snap.current;
        let version = snap.revisions.get(&current).map_or("", |r| r.version.as_str());
        let file = self.paths.file(name, current);
        if !self.whole(&file, &format!("{name}-{version} ")) {
            return Err(Error::refused("snap-corrupt", file.display()));
        }
        let own = self.paths.revision_data(name, current);
        let ran = self.exists(&own.join(version));
        for folder in [self.paths.common(name), own] {
            if !self.exists(&folder) {
                self.must_not(format!("{} is gone", folder.display()));
                return Ok(());
            }
            let mark = folder.join(version);
            for other in self.list(&folder)?.iter().filter(|name| *name != version) {
                self.whole(&folder.join(other), other.trim_start_matches("from-"));
            }
            let is_written = self.tree.borrow().read(&mark) == Some(content(version));
            if folder.ends_with(COMMON) || is_written {
                continue;
            }
            self.write(&mark, &content(version))?;
            self.sync(&mark)?;
            self.sync_names(&folder)?;
        }
        if proof && (version == BAD || version == ONCE && ran) {
            return Err(Error::refused("start-failed", format!("{name}: ended")));
        }
        self.running.borrow_mut().insert(name.into(), current);
        Ok(())
    }
}
