//! All snaps: what is installed, what is mounted, what runs.

use crate::{
    change::{keep, run::World},
    confine::{self, Place},
    content::{self, Offer},
    disk::{Disk, Partition},
    error::{Context, Error, Result},
    hooks::{self, Hooks},
    inside,
    interface::{Granted, Interfaces},
    media,
    meta::Snap,
    mounting,
    network::{self, Network},
    paths::Paths,
    quota, rebuild, ring, server,
    service::{self, Service},
    settings::{Edit, Settings},
    state::{Role, State},
    transact::Abort,
    verify,
};
use protocol::control::{AppServiceStatus, SnapInfo};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    os::fd::OwnedFd,
    path::PathBuf,
    rc::{Rc, Weak},
    sync::Arc,
};
use tokio::{
    sync::{Mutex, Notify},
    task::JoinHandle,
};

/// Most lines that a request for logs gets; the log files bound the rest.
const MAX_LINES: usize = 2000;

/// Everything that appd holds.
pub struct Manager {
    /// Where everything lies.
    pub paths: Paths,
    pub(crate) interfaces: Interfaces,
    /// Controllers that the machine lacks.
    pub(crate) missing: Vec<&'static str>,
    /// Hooks that run, and what snaps said of their health.
    pub(crate) hooks: Hooks,
    /// For what a snap that runs starts on its own.
    me: RefCell<Weak<Manager>>,
    pub(crate) state: RefCell<State>,
    running: RefCell<BTreeMap<String, Running>>,
    /// Why a snap that is installed does not run.
    broken: RefCell<BTreeMap<String, String>>,
    /// One change at a time.
    pub(crate) turn: Arc<Mutex<()>>,
    /// What a person wants undone.
    pub(crate) abort: RefCell<Abort>,
    /// Copies that were checked and have not become files yet.
    pub(crate) fetched: RefCell<BTreeSet<u32>>,
    /// Who follows removable media is told when a snap may see them, or no longer.
    pub(crate) media: Notify,
    /// Revisions whose file was checked since appd started.
    pub(crate) trusted: RefCell<BTreeSet<(String, u32)>>,
    /// What a person should know of the start.
    pub warnings: Vec<String>,
}

/// A mounted snap with its services.
struct Running {
    snap: Rc<Snap>,
    place: Place,
    services: Vec<Rc<Service>>,
    tasks: Vec<JoinHandle<()>>,
    /// It may see removable media.
    media: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Manager {
    /// Reads what is installed and removes what an interrupted change left behind. Nothing runs
    /// yet.
    pub fn open(paths: Paths) -> Result<Self> {
        for directory in [paths.files(), paths.all_data(), paths.snapshots(), paths.mounts()] {
            fs::create_dir_all(&directory).at("make directory", &directory)?;
        }
        // From the top down: init has enabled them for this group.
        let missing = sandbox::cgroup::enable_controllers(paths.cgroup(), &confine::CONTROLLERS)?;
        if !missing.is_empty() {
            eprintln!(
                "no cgroup controllers {}: apps run without those limits",
                missing.join(", ")
            );
        }
        let interfaces = Interfaces::load(&paths.interfaces())?;
        let (state, warnings) = rebuild::open(&paths)?;
        let mut manager = Self {
            paths,
            interfaces,
            missing,
            hooks: Hooks::default(),
            me: RefCell::default(),
            state: RefCell::new(state),
            running: RefCell::default(),
            broken: RefCell::default(),
            turn: Arc::default(),
            abort: RefCell::default(),
            fetched: RefCell::default(),
            media: Notify::new(),
            trusted: RefCell::default(),
            warnings,
        };
        if let Err(error) = media::prepare(&manager.paths) {
            manager.warnings.push(format!("apps: no removable media: {error}"));
        }
        // Rules of an appd that was killed lead to nobody.
        if let Err(error) = network::translate([]) {
            eprintln!("{error}: no snap has a network of its own");
        }
        if let Err(error) = manager.sweep() {
            manager.warnings.push(format!("apps: leftovers stay: {error}"));
        }
        Ok(manager)
    }

    /// Removes what an interrupted change left behind, and mounts of snaps that were looked at.
    fn sweep(&self) -> Result<()> {
        for name in Partition.list(&self.paths.mounts())? {
            if name.starts_with(".incoming-") {
                mounting::unmount(&self.paths.mounts().join(name))?;
            }
        }
        keep::sweep(&Partition, &self.paths, &self.state.borrow())
    }

    /// Starts all installed snaps, then carries on a change that was under way, then starts those
    /// that it was about. One that fails is told, and stops no other.
    pub async fn start_all(self: &Rc<Self>) {
        *self.me.borrow_mut() = Rc::downgrade(self);
        let _turn = self.turn.lock().await;
        let changing = {
            let state = self.state.borrow();
            state.under_way().and_then(|id| state.changes.get(&id)).cloned()
        };
        self.start_those(|name| !changing.as_ref().is_some_and(|c| c.is_about(name))).await;
        if changing.is_some() {
            self.carry_on().await;
            // What a task removed before the power went may be back, and belongs to nobody now.
            if let Err(error) = self.sweep() {
                eprintln!("after a change: {error}");
            }
            self.start_those(|_| true).await;
        }
    }

    /// Who gets content waits until all who may share theirs are there: else it would see for a
    /// moment nobody's, or that of a snap that is the only one so far.
    async fn start_those(&self, wanted: impl Fn(&str) -> bool) {
        let names: Vec<String> = self.state.borrow().snaps.keys().cloned().collect();
        let mut waiting = Vec::new();
        for name in names.into_iter().filter(|name| wanted(name)) {
            if self.running.borrow().contains_key(&name) || self.is_disabled(&name) {
                continue;
            }
            let made = self.make_active(&name).await;
            match self.snap(&name).filter(|snap| content::is_wanted_by(snap)) {
                Some(_) => waiting.push(name),
                None => self.start_or_tell(&name, made).await,
            }
        }
        self.follow_content().await;
        for name in waiting {
            self.start_or_tell(&name, Ok(())).await;
        }
    }

    /// Starts a snap that was made active, as far as that went well.
    async fn start_or_tell(&self, name: &str, made: Result<()>) {
        let started = match made {
            Ok(()) => self.start(name, false).await,
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            eprintln!("{name}: {}: {error}", error.code());
            self.broken.borrow_mut().insert(name.into(), error.to_string());
        }
    }

    fn is_disabled(&self, name: &str) -> bool {
        self.state.borrow().snaps.get(name).is_some_and(|snap| snap.disabled)
    }

    /// Stops all services, together: an orderly shutdown waits for the slowest only. Mounts end
    /// with appd's mount namespace.
    pub async fn stop_all(&self) {
        let services: Vec<Rc<Service>> =
            self.running.borrow().values().flat_map(|r| r.services.clone()).collect();
        service::stop(&services).await;
    }

    /// Before a snap is mounted after a boot, its bytes are checked again: the data partition is
    /// not verified.
    pub(crate) async fn activate_checked(&self, name: &str) -> Result<()> {
        let (file, signed, keys, current) = {
            let state = self.state.borrow();
            let installed = state.snaps.get(name).ok_or_else(|| Error::not_installed(name))?;
            for lost in [self.paths.common(name), self.paths.revision_data(name, installed.current)]
            {
                if !lost.exists() {
                    eprintln!("{name}: {} was lost, made anew", lost.display());
                    crate::data::make(&lost, installed.uid)?;
                }
            }
            let signed = installed.revisions.get(&installed.current).is_some_and(|r| r.signed);
            let file = self.paths.file(name, installed.current);
            (file, signed, self.paths.keys(), installed.current)
        };
        let what = name.to_string();
        let check = move || {
            verify::check(&what, &file, &keys, !signed).map(drop).map_err(|error| match error {
                Error::Refused { message, .. } => Error::refused("snap-corrupt", message),
                other => other,
            })
        };
        blocking(check).await?;
        self.trusted.borrow_mut().insert((name.into(), current));
        self.activate(name)
    }

    /// Mounts what is current, checked first where that was not done, and makes its services; what
    /// is so already stays.
    pub(crate) async fn make_active(&self, name: &str) -> Result<()> {
        let Some(current) = self.state.borrow().snaps.get(name).map(|snap| snap.current) else {
            return Ok(());
        };
        if self.running.borrow().get(name).is_some_and(|r| r.place.revision == current) {
            return Ok(());
        }
        let role = self.state.borrow().role(name);
        if let Role::On(base) = role {
            // It is on none itself: this goes no deeper.
            Box::pin(self.make_active(&base)).await?;
        }
        let trusted = self.trusted.borrow().contains(&(name.into(), current));
        match trusted {
            true => self.activate(name),
            false => self.activate_checked(name).await,
        }
    }

    /// Mounts the current revision and makes its services, which do not run yet.
    fn activate(&self, name: &str) -> Result<()> {
        let (place, image, settings) = {
            let state = self.state.borrow();
            let installed = state.snaps.get(name).ok_or_else(|| Error::not_installed(name))?;
            let settings = state.settings_of(name);
            let place = Place {
                uid: installed.uid,
                revision: installed.current,
                missing: self.missing.clone(),
                cookie: hooks::cookie()?,
                // Known once its snap.yaml is read.
                content: Vec::new(),
                network: None,
                clocks: None,
                quota: settings.quota.clone(),
                base: match state.role(name) {
                    Role::On(base) => Some(self.root_of(&base)?),
                    Role::Alone | Role::Base => None,
                },
            };
            let image = installed.revisions.get(&installed.current).map_or(0, |r| r.image);
            (place, image, settings)
        };
        let mount = self.paths.mount(name, place.revision);
        mounting::mount(name, &self.paths.file(name, place.revision), image, &mount)?;
        let snap = Rc::new(mounting::read_meta(name, &mount)?);
        if snap.name != name {
            let why = format!("{name}: the file is a snap named {}", snap.name);
            return Err(Error::refused("snap-corrupt", why));
        }
        let granted = self.interfaces.grant(&snap, snap.all_plugs(), &settings)?;
        let network = self.network_of(&snap, &granted, place.uid)?;
        let content = self.offers(&snap, &settings);
        let place = Place { content, network, clocks: clocks_of(name, &granted), ..place };
        quota::make(&self.paths, name, &settings.quota_of(&snap))?;
        let services = service::of(&snap, &place, &self.paths, &self.interfaces, &settings)?;
        let mut tasks: Vec<JoinHandle<()>> =
            services.iter().map(|s| tokio::task::spawn_local(s.clone().supervise())).collect();
        if let Some(me) = self.me.borrow().upgrade() {
            let listener = inside::listen(&self.paths.inside(name), place.uid)?;
            let asks = snap.hooks.contains_key(hooks::CHECK_HEALTH);
            let serve = inside::serve(listener, me.clone(), name.into());
            tasks.push(tokio::task::spawn_local(serve));
            if granted.iter().any(|granted| granted.interface.administers) {
                let listener = inside::listen(&self.paths.administers(name), place.uid)?;
                tasks.push(tokio::task::spawn_local(server::serve(listener, me.clone())));
            }
            if asks {
                tasks.push(tokio::task::spawn_local(me.watch_health(name.into())));
            }
        }
        let media = granted.iter().any(|granted| granted.interface.media);
        let running = Running { snap, place, services, tasks, media };
        self.running.borrow_mut().insert(name.into(), running);
        self.media.notify_one();
        self.broken.borrow_mut().remove(name);
        Ok(())
    }

    /// Makes the network of a snap if a plug stands for one, and leads its ports there.
    fn network_of(
        &self,
        snap: &Snap,
        granted: &[Granted],
        uid: u32,
    ) -> Result<Option<Rc<Network>>> {
        let Some(ports) = network::ports(granted) else { return Ok(None) };
        let others = self.networks();
        for (name, other) in &others {
            if let Some(port) = other.taken(&ports) {
                let why = format!("{}: port {port} of the device leads to {name}", snap.name);
                return Err(Error::refused("port-taken", why));
            }
        }
        let network = Network::make(uid, ports)?;
        network::translate(others.values().map(Rc::as_ref).chain([&network]))?;
        Ok(Some(Rc::new(network)))
    }

    /// Networks of the snaps that are active.
    fn networks(&self) -> BTreeMap<String, Rc<Network>> {
        let running = self.running.borrow();
        let networks =
            running.iter().map(|(name, r)| Some((name.clone(), r.place.network.clone()?)));
        networks.flatten().collect()
    }

    /// A snap that is active may see removable media.
    pub(crate) fn wants_media(&self) -> bool {
        self.running.borrow().values().any(|running| running.media)
    }

    /// What other snaps that are active share with one.
    pub(crate) fn offers(&self, snap: &Snap, settings: &Settings) -> Vec<Offer> {
        let running = self.running.borrow();
        let active: Vec<content::Active> =
            running.values().map(|r| (r.snap.clone(), r.place.revision)).collect();
        content::offers(snap, settings, &active)
    }

    /// Running groups whose quota is not what was decided are bounded as it is.
    pub(crate) fn hold_to_quotas(&self) {
        let state = self.state.borrow();
        for (name, running) in self.running.borrow_mut().iter_mut() {
            let settings = state.settings_of(name);
            if running.place.quota == settings.quota {
                continue;
            }
            if let Err(error) = quota::change(&self.paths, name, &settings.quota_of(&running.snap))
            {
                eprintln!("{name}: {error}");
            }
            running.place.quota = settings.quota;
        }
    }

    /// Starts those anew whose content is not what it was: who shares it came, changed, or left.
    pub(crate) async fn follow_content(&self) {
        let names: Vec<String> = self.running.borrow().keys().cloned().collect();
        for name in names {
            let Some(snap) = self.snap(&name) else { continue };
            let settings = self.state.borrow().settings_of(&name);
            let now = self.offers(&snap, &settings);
            if self.place(&name).is_ok_and(|place| place.content == now) {
                continue;
            }
            self.deactivate(&name).await;
            self.start_or_tell(&name, Ok(())).await;
        }
    }

    /// Where the files of a base are, which is active.
    fn root_of(&self, base: &str) -> Result<PathBuf> {
        let running = self.running.borrow();
        let place = running.get(base).map(|running| &running.place);
        let mount = place.map(|place| self.paths.mount(base, place.revision));
        mount.ok_or_else(|| {
            Error::refused("base-missing", format!("the base {base} is not installed"))
        })
    }

    /// Stops the services of a snap and forgets them; its mounts stay.
    pub(crate) async fn deactivate(&self, name: &str) {
        service::stop(&self.services_of(name)).await;
        let running = self.running.borrow_mut().remove(name);
        self.media.notify_one();
        if let Some(running) = running {
            let group = self.paths.snap_cgroup(name);
            // Hooks and commands beside services are gone by now, or must be.
            let _ = sandbox::cgroup::kill(&group);
            service::clear(&group).await;
            if let Some(network) = &running.place.network {
                network.remove();
                let left = self.networks();
                if let Err(error) = network::translate(left.values().map(Rc::as_ref)) {
                    eprintln!("{name}: {error}");
                }
            }
        }
    }

    /// What is the same for all services of a snap that is active.
    pub(crate) fn place(&self, name: &str) -> Result<Place> {
        let running = self.running.borrow();
        let place = running.get(name).map(|running| running.place.clone());
        place.ok_or_else(|| Error::not_installed(name))
    }

    /// What a snap itself decides holds at once.
    pub(crate) fn decide(&self, name: &str, edits: &[Edit]) -> Result<()> {
        if edits.is_empty() {
            return Ok(());
        }
        let mut state = self.state.borrow().clone();
        let before = state.settings_of(name);
        let mut settings = before.clone();
        settings.apply(edits)?;
        // What is so already is not written again.
        if settings == before {
            return Ok(());
        }
        state.settle(name, settings);
        self.commit(state)
    }

    /// What runs under a name.
    pub(crate) fn snap(&self, name: &str) -> Option<Rc<Snap>> {
        self.running.borrow().get(name).map(|running| running.snap.clone())
    }

    pub(crate) fn services_of(&self, name: &str) -> Vec<Rc<Service>> {
        self.running.borrow().get(name).map(|r| r.services.clone()).unwrap_or_default()
    }

    /// Services that `name` means: a snap's, or the one `snap.app`.
    pub fn find(&self, name: &str) -> Result<Vec<Rc<Service>>> {
        let snap = name.split('.').next().unwrap_or_default();
        if !self.state.borrow().snaps.contains_key(snap) {
            return Err(Error::not_installed(snap));
        }
        if self.is_disabled(snap) {
            return Err(Error::refused("snap-disabled", format!("{snap} is disabled")));
        }
        if let Some(why) = self.broken.borrow().get(snap) {
            return Err(Error::refused("snap-corrupt", why));
        }
        let mut services = self.services_of(snap);
        services.retain(|service| snap == name || service.name == name);
        if services.is_empty() && snap != name {
            return Err(Error::refused("no-service", format!("{name}: no such service")));
        }
        Ok(services)
    }

    /// Services of all snaps, or of one.
    pub fn services(&self, name: Option<&str>) -> Result<Vec<AppServiceStatus>> {
        let services = match name {
            Some(name) => self.find(name)?,
            None => self.running.borrow().values().flat_map(|r| r.services.clone()).collect(),
        };
        Ok(services.iter().map(|service| service.describe()).collect())
    }

    /// All installed snaps.
    pub fn list(&self) -> Vec<SnapInfo> {
        let names: Vec<String> = self.state.borrow().snaps.keys().cloned().collect();
        names.iter().filter_map(|name| self.info(name).ok()).collect()
    }

    /// All about one.
    pub fn info(&self, name: &str) -> Result<SnapInfo> {
        let state = self.state.borrow();
        let installed = state.snaps.get(name).ok_or_else(|| Error::not_installed(name))?;
        let revision = installed
            .revisions
            .get(&installed.current)
            .ok_or_else(|| Error::not_installed(name))?;
        let running = self.running.borrow();
        let running = running.get(name);
        let broken = self.broken.borrow().get(name).map(|why| format!("broken: {why}"));
        let connections = running.map_or_else(Vec::new, |r| {
            let all = self.plugs(&r.snap, &state.settings_of(name));
            let connected = all.into_iter().filter(|found| found.connected);
            connected.map(|found| found.interface).collect::<BTreeSet<_>>().into_iter().collect()
        });
        Ok(SnapInfo {
            name: name.into(),
            version: revision.version.clone(),
            revision: installed.current,
            summary: broken.or_else(|| running.map(|r| r.snap.summary.clone())).unwrap_or_default(),
            signed: revision.signed,
            size: revision.size,
            services: running
                .map(|r| r.services.iter().map(|s| s.describe()).collect())
                .unwrap_or_default(),
            connections,
            disabled: installed.disabled,
            health: self.hooks.health(name),
        })
    }

    /// Last lines of the logs of a snap, service or hook (`snap.hook.NAME`), each with its service
    /// before it when there are several.
    pub fn logs(&self, name: &str, lines: u32) -> Result<Vec<String>> {
        let lines = (lines as usize).min(MAX_LINES);
        if let Some((snap, hook)) = name.split_once(".hook.") {
            return match self.snap(snap).is_some_and(|snap| snap.hooks.contains_key(hook)) {
                true => Ok(ring::tail(&self.paths.log(name), lines)),
                false => Err(Error::refused("no-service", format!("{name}: no such hook"))),
            };
        }
        let services = self.find(name)?;
        if let [service] = services.as_slice() {
            return Ok(ring::tail(&self.paths.log(&service.name), lines));
        }
        let mut all: Vec<String> = Vec::new();
        for service in &services {
            let tail = ring::tail(&self.paths.log(&service.name), lines);
            all.extend(tail.iter().map(|line| match line.split_once(' ') {
                Some((time, text)) => format!("{time} {}: {text}", service.name),
                None => line.clone(),
            }));
        }
        all.sort();
        Ok(all.split_off(all.len().saturating_sub(lines)))
    }
}

/// Clocks of a snap's own, unless a plug gives times of the device's.
fn clocks_of(name: &str, granted: &[Granted]) -> Option<Arc<OwnedFd>> {
    if granted.iter().any(|granted| granted.interface.device_clocks) {
        return None;
    }
    let made = sandbox::clocks::new();
    made.map_err(|error| eprintln!("{name}: it has the device's clocks: {error}"))
        .ok()
        .map(Arc::new)
}

/// Runs something that waits for disk or network on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::refused("internal", e.to_string())))
}
