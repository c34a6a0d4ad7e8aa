//! Requests that change something: each is planned against what is installed, stored, and carried
//! out on its own, so that a client that goes away ends nothing. One at a time: a request waits for
//! its turn, and is planned then.

use crate::{
    change::{
        Change, Step,
        plan::{self, Accepted, Facts},
        run::{self, World},
        transition::ABORTED_CODE,
        work::{self, Outcome, Way},
    },
    data,
    disk::{Disk, Partition},
    download,
    error::{Context, Error, Result},
    image, incoming,
    manager::{Manager, blocking},
    meta::{Snap, app::InstallMode, support},
    mounting,
    paths::Paths,
    quota,
    registry::{self, Address, Registry},
    settings::Edit,
    snapshot::exported,
    state::State,
    verify,
};
use protocol::{
    change::{ChangeInfo, Order, Origin, SnapshotInfo, TaskInfo, Which},
    control::AppResponse,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::OwnedMutexGuard, time::sleep};

/// How often it is looked for snapshots that are too old.
const EXPIRY: Duration = Duration::from_secs(3600);

/// What a person wants undone.
#[derive(Debug, Default)]
pub(crate) struct Abort {
    /// The change.
    id: Option<u32>,
    /// Seen by what copies and downloads.
    flag: Arc<AtomicBool>,
}

impl Manager {
    /// Changes something. Answers when it is done or undone; or, without waiting, when it is
    /// stored.
    pub async fn transact(self: &Rc<Self>, order: Order, wait: bool) -> Result<AppResponse> {
        let paths = self.paths.clone();
        let order = blocking(move || glance(&paths, &order).map(|()| order)).await?;
        let turn = self.turn.clone().lock_owned().await;
        self.check_decision(&order)?;
        let facts = Facts { sizes: self.sizes(&order).await?, hooks: self.all_hooks() };
        let plan = plan::plan(&self.state.borrow(), &order, self.now(), &facts)?;
        if plan.needed > 0 {
            self.room(&plan.summary, plan.needed)?;
        }
        let mut change = Change::new(order.kind(), plan.summary, self.now(), plan.steps);
        change.told = plan.told;
        let id = run::begin(&**self, change)?;
        let running = self.carry_out(id, turn);
        if !wait {
            return Ok(AppResponse::Began(id));
        }
        match running.await {
            Ok(Ok(told)) => Ok(AppResponse::Ok(told)),
            Ok(Err(failure)) => Err(Error::Change(failure)),
            Err(error) => Err(Error::refused("internal", error)),
        }
    }

    /// The current revision's snap.yaml: of what runs, or of its file, checked as before any start.
    /// A damaged file tells nothing, and a new revision is what mends it.
    async fn current(&self, name: &str, copy: u32) -> Option<Rc<Snap>> {
        if let Some(running) = self.snap(name) {
            return Some(running);
        }
        let (file, revision) = {
            let state = self.state.borrow();
            let installed = state.snaps.get(name)?;
            let revision = installed.revisions.get(&installed.current)?.clone();
            (self.paths.file(name, installed.current), revision)
        };
        let (paths, name) = (self.paths.clone(), name.to_string());
        let read = blocking(move || {
            verify::check(&name, &file, &paths.keys(), !revision.signed)?;
            incoming::look_inside(&paths, &name, &file, copy, revision.image)
        });
        read.await.ok().map(Rc::new)
    }

    fn carry_out(
        self: &Rc<Self>,
        id: u32,
        turn: OwnedMutexGuard<()>,
    ) -> tokio::task::JoinHandle<std::result::Result<String, protocol::control::Failure>> {
        *self.abort.borrow_mut() = Abort::default();
        let manager = self.clone();
        tokio::task::spawn_local(async move {
            let ended = run::run(&*manager, id).await;
            manager.hold_to_quotas();
            manager.follow_content().await;
            drop(turn);
            ended
        })
    }

    /// Bytes of the data that a request saves.
    async fn sizes(&self, order: &Order) -> Result<BTreeMap<String, u64>> {
        let names: Vec<String> = match order {
            Order::Save { names } if names.is_empty() => {
                self.state.borrow().snaps.keys().cloned().collect()
            }
            Order::Save { names } | Order::Remove { names, purge: false } => names.clone(),
            _ => return Ok(BTreeMap::new()),
        };
        let folders: Vec<(String, [PathBuf; 2])> = names
            .into_iter()
            .filter_map(|name| {
                let current = self.state.borrow().snaps.get(&name)?.current;
                let folders = [self.paths.common(&name), self.paths.revision_data(&name, current)];
                Some((name, folders))
            })
            .collect();
        blocking(move || {
            let sizes = folders
                .into_iter()
                .map(|(name, [common, own])| Ok((name, data::size(&common)? + data::size(&own)?)));
            sizes.collect()
        })
        .await
    }

    /// Carries on what was under way when appd ended. Whoever calls holds the turn.
    pub(crate) async fn carry_on(&self) {
        let Some(id) = run::resume(self) else { return };
        eprintln!("change {id} was under way and goes on");
        match run::run(self, id).await {
            Ok(told) => eprintln!("change {id}: {told}"),
            Err(failure) => eprintln!("change {id} is undone: {failure}"),
        }
    }

    /// Forgets snapshots of removed snaps when their time is over; never ends.
    pub async fn expire(self: Rc<Self>) {
        loop {
            sleep(EXPIRY).await;
            let expired = plan::expired(&self.state.borrow(), self.now());
            for set in expired {
                let order = Order::Forget { set, names: Vec::new() };
                if let Err(error) = self.transact(order, true).await {
                    eprintln!("snapshot set {set}: {error}");
                }
            }
        }
    }

    /// Has a change undone that is under way.
    pub fn abort(&self, which: &Which) -> Result<String> {
        let (id, change) = self.find_change(which)?;
        if change.ended.is_some() {
            let why = format!("change {id} has come to its end: {}", change.status());
            return Err(Error::refused("change-ended", why));
        }
        if !change.can_turn() {
            let why = format!("change {id} is undone already, or only removes what is left over");
            return Err(Error::refused("change-ended", why));
        }
        let mut abort = self.abort.borrow_mut();
        abort.id = Some(id);
        abort.flag.store(true, Ordering::Relaxed);
        Ok(format!("change {id} is being undone"))
    }

    fn find_change(&self, which: &Which) -> Result<(u32, Change)> {
        let state = self.state.borrow();
        let found = match which {
            Which::Id(id) => state.changes.get_key_value(id),
            Which::Last(kind) => state.changes.iter().rfind(|(_, change)| change.kind == *kind),
        };
        let missing = || match which {
            Which::Id(id) => format!("there is no change {id}, or no longer"),
            Which::Last(kind) => format!("there is no change of the kind {kind}, or no longer"),
        };
        found
            .map(|(id, change)| (*id, change.clone()))
            .ok_or_else(|| Error::refused("no-change", missing()))
    }

    /// One change with its tasks.
    pub fn change(&self, which: &Which) -> Result<ChangeInfo> {
        let (id, change) = self.find_change(which)?;
        let tasks = change.tasks.iter().map(|task| TaskInfo {
            status: task.status.name().into(),
            summary: task.summary.clone(),
            log: task.log.clone(),
        });
        Ok(ChangeInfo { tasks: tasks.collect(), ..describe(id, &change) })
    }

    /// The changes that are remembered, oldest first.
    pub fn changes(&self) -> Vec<ChangeInfo> {
        let state = self.state.borrow();
        state.changes.iter().map(|(id, change)| describe(*id, change)).collect()
    }

    /// Snapshots, of all sets or of one.
    pub fn saved(&self, set: Option<u32>) -> Result<Vec<SnapshotInfo>> {
        let state = self.state.borrow();
        if let Some(set) = set.filter(|set| !state.snapshots.contains_key(set)) {
            let why = format!("there is no snapshot set #{set}");
            return Err(Error::refused("no-snapshot", why));
        }
        let sets = state.snapshots.iter().filter(|(id, _)| set.is_none_or(|set| set == **id));
        let all = sets.flat_map(|(set, snaps)| snaps.iter().map(move |(snap, s)| (*set, snap, s)));
        Ok(all
            .map(|(set, snap, snapshot)| SnapshotInfo {
                set,
                snap: snap.clone(),
                time: snapshot.time,
                version: snapshot.version.clone(),
                revision: snapshot.revision,
                size: snapshot.size,
                auto: snapshot.auto,
            })
            .collect())
    }

    /// Writes a set of snapshots into one file.
    pub async fn export(&self, set: u32, path: PathBuf) -> Result<String> {
        absolute(&path)?;
        let snaps: BTreeMap<String, PathBuf> = self
            .saved(Some(set))?
            .into_iter()
            .map(|found| (found.snap.clone(), self.paths.snapshot(set, &found.snap)))
            .collect();
        let told = format!("Exported snapshot #{set} into {}", path.display());
        let size = blocking(move || exported::write(&snaps, &path)).await?;
        Ok(format!("{told} ({size} bytes)"))
    }
}

fn describe(id: u32, change: &Change) -> ChangeInfo {
    let done = change.ended.is_some() && change.failure.is_none();
    ChangeInfo {
        id,
        kind: change.kind.clone(),
        summary: change.summary.clone(),
        status: change.status().into(),
        spawn: change.made,
        ready: change.ended,
        tasks: Vec::new(),
        told: if done { change.told.clone() } else { Vec::new() },
        failure: change.failure.clone(),
    }
}

fn absolute(path: &Path) -> Result<()> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Error::refused("bad-path", format!("{}: not an absolute path", path.display())))
}

/// What can be refused before anything is stored or copied: what is no snap, and what does not fit.
fn glance(paths: &Paths, order: &Order) -> Result<()> {
    match order {
        Order::Install { from, dangerous, .. } => {
            let (mut needed, mut names) = (0, Vec::new());
            for origin in from {
                let path = match origin {
                    Origin::Path(path) => Path::new(path),
                    Origin::Url { url, .. } if registry::is_address(url) => {
                        image::check_allowed(url, *dangerous)?;
                        Address::parse(url)?;
                        continue;
                    }
                    Origin::Url { .. } => continue,
                };
                absolute(path)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                needed += match image::is_archive(path)? {
                    // What it needs is known once it is unpacked.
                    true => image::check_allowed(&name, *dangerous).map(|()| 0)?,
                    false => verify::glance(&name, path, *dangerous)?,
                };
                names.push(name);
            }
            if needed > 0 {
                data::check_space(&names.join(", "), &paths.files(), needed)?;
            }
            Ok(())
        }
        Order::Import { path } => {
            let path = Path::new(path);
            absolute(path)?;
            let found = fs::metadata(path).at("look at", path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            data::check_space(&name, &paths.snaps(), found.len())
        }
        _ => Ok(()),
    }
}

/// A file that may be a snap, from wherever it is, and what of an image was left out.
fn obtain(
    paths: &Paths,
    from: Origin,
    name: Option<&str>,
    copy: u32,
    stopped: &dyn Fn() -> bool,
) -> Result<(PathBuf, Vec<String>)> {
    match from {
        Origin::Path(path) if image::is_archive(Path::new(&path))? => {
            image::import(paths, Path::new(&path), name, copy)
        }
        Origin::Url { url, sha256: None } if registry::is_address(&url) => {
            let address = Address::parse(&url)?;
            let registry = Registry::new(paths, &address, stopped)?;
            let made = image::make(paths, &registry, &registry.image()?, name, copy);
            // What was fetched is of use only to who was interrupted, and never when it is wrong.
            data::remove(&paths.blobs())?;
            made
        }
        _ if name.is_some() => Err(Error::refused(
            "bad-request",
            "--name: a snap has its name in it, only images can be named",
        )),
        Origin::Path(path) => Ok((PathBuf::from(path), Vec::new())),
        Origin::Url { url, sha256 } => {
            download::fetch(paths, &url, sha256, copy, stopped).map(|path| (path, Vec::new()))
        }
    }
}

impl World for Manager {
    fn state(&self) -> State {
        self.state.borrow().clone()
    }

    fn hold(&self, state: State) {
        *self.state.borrow_mut() = state;
    }

    fn commit(&self, state: State) -> Result<()> {
        state.store(&Partition, &self.paths.state(), &self.paths.state_copy())?;
        self.hold(state);
        Ok(())
    }

    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn is_aborted(&self, id: u32) -> bool {
        self.abort.borrow().id == Some(id)
    }

    fn room(&self, what: &str, needed: u64) -> Result<()> {
        data::check_space(what, &self.paths.snaps(), needed)
    }

    fn data_size(&self, name: &str) -> Result<u64> {
        match self.state.borrow().snaps.get(name) {
            Some(snap) => data::size(&self.paths.revision_data(name, snap.current)),
            None => Ok(0),
        }
    }

    async fn fetch(&self, step: &Step) -> Result<Accepted> {
        let Step::Fetch { from, name, dangerous, refresh, copy } = step.clone() else {
            return Err(Error::refused("internal", "only a fetch fetches"));
        };
        let paths = self.paths.clone();
        let flag = self.abort.borrow().flag.clone();
        let stopped = move || flag.load(Ordering::Relaxed);
        let incoming = blocking(move || {
            let (path, left_out) = obtain(&paths, from, name.as_deref(), copy, &stopped)?;
            if stopped() {
                return Err(Error::refused(ABORTED_CODE, "aborted while it was fetched"));
            }
            incoming::accept(&paths, &path, copy, dangerous).map(|incoming| (incoming, left_out))
        });
        let (incoming, left_out) = incoming.await?;
        // Before anything is stopped: what it asks for must exist.
        let snap = &incoming.snap;
        self.interfaces.check(snap)?;
        quota::check(&self.paths, &snap.quota, &self.missing)?;
        let mut earlier_hooks = BTreeSet::new();
        if let Some(old) = self.current(&snap.name, copy).await {
            snap.epoch.follows(&snap.name, &old.epoch)?;
            earlier_hooks.extend(old.hooks.keys().cloned());
        }
        let hooks = snap.hooks.keys().cloned().collect();
        let idle =
            snap.apps.iter().filter(|(_, app)| app.install_mode == Some(InstallMode::Disable));
        let idle = idle.map(|(name, _)| name.clone()).collect();
        self.fetched.borrow_mut().insert(copy);
        let (name, revision) = (snap.name.clone(), incoming.revision());
        let unused = [left_out, support::told(snap)].concat();
        Ok(Accepted { copy, name, revision, refresh, hooks, earlier_hooks, idle, unused })
    }

    async fn files(&self, step: &Step, way: Way) -> Result<Outcome> {
        let (paths, work) = (self.paths.clone(), step.clone());
        let outcome = blocking(move || work::carry_out(&Partition, &paths, &work, way)).await?;
        if let (Step::TakeFile { copy, name, revision }, Way::Do) = (step, way)
            && self.fetched.borrow_mut().remove(copy)
        {
            self.trusted.borrow_mut().insert((name.clone(), *revision));
        }
        Ok(outcome)
    }

    async fn stop(&self, name: &str) -> Result<()> {
        self.deactivate(name).await;
        if !self.state.borrow().snaps.contains_key(name) {
            self.hooks.forget(name);
        }
        let mounts = self.paths.mounts().join(name);
        for revision in Partition.list(&mounts)? {
            mounting::unmount(&mounts.join(revision))?;
        }
        data::remove(&mounts)
    }

    async fn hook(&self, name: &str, hook: &str) -> Result<Vec<Edit>> {
        self.run_hook(name, hook).await
    }

    async fn start(&self, name: &str, proof: bool) -> Result<()> {
        let Some(snap) = self.state.borrow().snaps.get(name).cloned() else { return Ok(()) };
        if snap.disabled {
            return Ok(());
        }
        self.make_active(name).await?;
        let idle = self.state.borrow().settings_of(name).idle;
        for service in self.services_of(name) {
            match proof {
                _ if idle.contains(service.app()) => {}
                true => service.prove().await?,
                false => service.want(),
            }
        }
        Ok(())
    }
}
