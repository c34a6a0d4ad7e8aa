//! An app as a [`Confinement`] and a [`Process`].

use crate::{
    content::{self, Offer},
    error::Result,
    inside,
    interface::{Granted, Reach},
    layouts, media,
    meta::{ARCHITECTURE, App, Snap, environment::Environment, environment::expand, hook::Hook},
    network::Network,
    paths::Paths,
    service::NOTIFY_INSIDE,
    state::{FIRST_UID, LAST_UID},
};
use oci::process::ImageProcess;
use protocol::{control::APP_SOCKET, quota::Quota};
use sandbox::{
    CgroupPlace, Confinement, IdMap, Identity, Limits, Mount, Process, Resource, profile,
};
use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

/// Where the ranges of ids begin that snaps have beside their user.
const OTHERS: u32 = 1 << 20;
const _: () = assert!((LAST_UID - FIRST_UID) as u64 * 65_536 + (2 << 20) < u32::MAX as u64);
/// Memory of one service in bytes.
const MEMORY_MAX: u64 = 128 << 20;
/// Processes and threads of one service.
const PIDS_MAX: u64 = 128;
/// Share of the processor against the system's 100.
const CPU_WEIGHT: u32 = 50;
/// Size of an app's /tmp and /run in bytes; their pages count as the service's memory.
pub(crate) const TMP_SIZE: u64 = 16 << 20;
/// Open files of one process.
const OPEN_FILES: u64 = 1024;
/// Controllers that the limits need.
pub const CONTROLLERS: [&str; 5] = ["memory", "pids", "cpu", "cpuset", "io"];

/// What is the same for all services of a revision.
#[derive(Debug, Clone)]
pub struct Place {
    /// User and group.
    pub uid: u32,
    /// Revision.
    pub revision: u32,
    /// Controllers that the machine lacks; their limits are not set, which appd's log tells at
    /// start.
    pub missing: Vec<&'static str>,
    /// What a person bounds the snap as a whole to, in place of what each service is bounded to
    /// without.
    pub quota: Quota,
    /// What its services say who they are with.
    pub cookie: String,
    /// The files of its base, which are its root; absent: its own are.
    pub base: Option<PathBuf>,
    /// What other snaps share with it.
    pub content: Vec<Offer>,
    /// The network of the snap, if any of its plugs stands for one.
    pub network: Option<Rc<Network>>,
    /// The clocks of the snap, the same for all its services, since they tell each other the time;
    /// absent: the device's.
    pub clocks: Option<Arc<OwnedFd>>,
}

impl Place {
    /// The variables by which `snapctl` knows that it is asked by an app.
    pub fn cookie(&self) -> Extra {
        cookie(&self.cookie)
    }
}

/// `SNAP_COOKIE`, and its older name.
pub fn cookie(cookie: &str) -> Extra {
    ["SNAP_COOKIE", "SNAP_CONTEXT"].map(|name| (name.to_string(), cookie.to_string())).into()
}

/// What of a snap is run.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// An app by its name.
    App(&'a str, &'a App),
    /// A hook.
    Hook(&'a Hook),
}

impl Who<'_> {
    fn environment(&self) -> &Environment {
        match self {
            Who::App(_, app) => &app.environment,
            Who::Hook(hook) => &hook.environment,
        }
    }

    fn chain(&self) -> &[String] {
        match self {
            Who::App(_, app) => &app.command_chain,
            Who::Hook(hook) => &hook.command_chain,
        }
    }
}

/// Variables that only one process gets.
pub type Extra = Vec<(String, String)>;

/// What bounds the service `service` (`snap.app`), and what must stay open until it is started.
pub fn confinement(
    paths: &Paths,
    snap: &Snap,
    service: &str,
    place: &Place,
    granted: &[Granted],
) -> Result<(Confinement, Vec<OwnedFd>)> {
    let mount = paths.mount(&snap.name, place.revision);
    let identity = Identity { uid: inside_uid(snap, place), gid: inside_uid(snap, place) };
    let ids = IdMap::one(identity.uid, place.uid, others(place.uid));
    let root = place.base.as_ref().unwrap_or(&mount);
    let mut confinement = Confinement::app(root, identity, ids, &profile::APP);
    confinement.hostname = Some(snap.name.clone());
    confinement.mounts = mounts(paths, snap, place, mount);
    confinement.mounts.extend(inside::mounts(paths, &snap.name));
    confinement.mounts.extend(shared(paths, snap, granted));
    let reaches: Vec<Reach<'_>> = granted.iter().map(Granted::network).collect();
    if reaches.contains(&Reach::Device) {
        confinement.namespaces.net = false;
    } else if reaches.iter().any(|reach| matches!(reach, Reach::Snap(_))) {
        confinement.network = place.network.as_ref().map(|network| network.namespace.clone());
    }
    if !confinement.namespaces.net || confinement.network.is_some() {
        confinement.mounts.push(Mount::Bind {
            source: paths.app_resolver(),
            target: "/etc/resolv.conf".into(),
            writable: false,
            executable: false,
        });
    }
    confinement.clocks = place.clocks.clone();
    let (layouts, mut held) = layouts::mounts(paths, snap, place)?;
    confinement.mounts.extend(layouts);
    let (shared, open) = content::mounts(paths, snap, place.revision, &place.content)?;
    confinement.mounts.extend(shared);
    held.extend(open);
    let unless_missing = |controller| !place.missing.contains(&controller);
    confinement.cgroup = Some(CgroupPlace {
        path: paths.service_cgroup(service),
        limits: Limits {
            memory_max: (unless_missing("memory") && place.quota.memory.is_none())
                .then_some(MEMORY_MAX),
            pids_max: (unless_missing("pids") && place.quota.threads.is_none()).then_some(PIDS_MAX),
            cpu_weight: unless_missing("cpu").then_some(CPU_WEIGHT),
            ..Limits::default()
        },
    });
    confinement.rlimits = vec![(Resource::Nofile, OPEN_FILES), (Resource::Core, 0)];
    Ok((confinement, held))
}

/// What of the device the plugs let it see.
fn shared(paths: &Paths, snap: &Snap, granted: &[Granted]) -> Vec<Mount> {
    let bind = |source: &Path, target: &Path, writable| Mount::Bind {
        source: source.into(),
        target: target.into(),
        writable,
        executable: false,
    };
    let files = granted.iter().flat_map(|granted| &granted.interface.files);
    let mut mounts: Vec<Mount> = files
        .filter(|file| file.path.exists())
        .map(|file| bind(&file.path, file.at.as_ref().unwrap_or(&file.path), file.writable))
        .collect();
    if granted.iter().any(|granted| granted.interface.administers) {
        mounts.push(bind(&paths.administers(&snap.name), Path::new(APP_SOCKET), true));
    }
    if granted.iter().any(|granted| granted.interface.media) {
        mounts.push(Mount::Live { source: paths.media(), target: media::INSIDE.into() });
    }
    mounts
}

/// First id on the device of those that a snap has beside its own user's: a range for each snap,
/// above all users.
fn others(uid: u32) -> u32 {
    OTHERS + (uid - FIRST_UID) * IdMap::RANGE
}

/// The snap's one user as the app itself sees it: the same number as outside, or the one that its
/// image names. Nobody is root: an image that would be is the snap's own user.
fn inside_uid(snap: &Snap, place: &Place) -> u32 {
    let named = snap.image.as_ref().map(|image| image.uid);
    named.filter(|uid| (1..IdMap::RANGE).contains(uid)).unwrap_or(place.uid)
}

/// The socket for what a service tells of itself.
pub fn notify(directory: &Path) -> Mount {
    Mount::Bind {
        source: directory.to_path_buf(),
        target: NOTIFY_INSIDE.into(),
        writable: false,
        executable: false,
    }
}

fn mounts(paths: &Paths, snap: &Snap, place: &Place, mount: PathBuf) -> Vec<Mount> {
    let bind = |source, target: String, writable, executable| Mount::Bind {
        source,
        target: target.into(),
        writable,
        executable,
    };
    let root = Identity { uid: 0, gid: 0 };
    let tmpfs = |target: &str, mode, owner| {
        let target = target.into();
        Mount::Tmpfs { target, size: TMP_SIZE, mode, owner }
    };
    let owner = Identity { uid: place.uid, gid: place.uid };
    vec![
        Mount::Proc,
        Mount::Dev(Vec::new()),
        tmpfs("/tmp", 0o1777, root),
        tmpfs("/run", 0o1777, root),
        tmpfs(&runtime_directory(snap, place), 0o700, owner),
        bind(mount, snap_directory(snap), false, true),
        bind(paths.common(&snap.name), format!("{}/common", data_directory(snap)), true, true),
        bind(
            paths.revision_data(&snap.name, place.revision),
            format!("{}/{}", data_directory(snap), place.revision),
            true,
            true,
        ),
    ]
}

fn snap_directory(snap: &Snap) -> String {
    format!("/snap/{}/current", snap.name)
}

fn data_directory(snap: &Snap) -> String {
    format!("/var/snap/{}", snap.name)
}

/// `XDG_RUNTIME_DIR`, in memory and the service's own.
fn runtime_directory(snap: &Snap, place: &Place) -> String {
    format!("/run/user/{}/snap.{}", place.uid, snap.name)
}

/// What is executed, without its descriptors: `command` of an app or hook, behind its
/// command-chain. Arguments that are empty once their variables are put in are left out, as in
/// snapd.
pub fn process(
    snap: &Snap,
    who: Who<'_>,
    command: &str,
    place: &Place,
    extra: Extra,
) -> Process<'static> {
    let directory = snap_directory(snap);
    let mut env = variables(snap, who, place);
    env.extend(extra);
    if let Some(image) = &snap.image {
        return image_process(image, env);
    }
    for (name, value) in snap.environment.iter().chain(who.environment().iter()) {
        let value = expand(value, &env);
        env.retain(|(existing, _)| existing != name);
        env.push((name.clone(), value));
    }
    let mut words = command.split(' ').filter(|word| !word.is_empty());
    let program = words.next().unwrap_or_default();
    let programs = who.chain().iter().map(String::as_str).chain([program]);
    let mut line = programs.map(|program| format!("{directory}/{program}"));
    let first = line.next().unwrap_or_default();
    let words = words.map(|word| expand(word, &env)).filter(|word| !word.is_empty());
    Process {
        args: line.chain(words).map(Into::into).collect(),
        cwd: format!("{}/{}", data_directory(snap), place.revision).into(),
        env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        ..Process::new(first)
    }
}

/// As the image says; its variables come last, and its words are taken as they are.
fn image_process(image: &ImageProcess, mut env: Vec<(String, String)>) -> Process<'static> {
    for (name, value) in &image.env {
        env.retain(|(existing, _)| existing != name);
        env.push((name.clone(), value.clone()));
    }
    Process {
        args: image.args.iter().skip(1).map(Into::into).collect(),
        cwd: image.cwd.clone().into(),
        env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        ..Process::new(&image.program)
    }
}

/// The variables that snapd documents. There are no people with home directories here: what is a
/// user's elsewhere is the service's own data.
fn variables(snap: &Snap, who: Who<'_>, place: &Place) -> Vec<(String, String)> {
    let data = format!("{}/{}", data_directory(snap), place.revision);
    let common = format!("{}/common", data_directory(snap));
    let (revision, uid) = (place.revision.to_string(), place.uid.to_string());
    let mut env = vec![
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ("SNAP", snap_directory(snap)),
        ("SNAP_NAME", snap.name.clone()),
        ("SNAP_INSTANCE_NAME", snap.name.clone()),
        ("SNAP_INSTANCE_KEY", String::new()),
        ("SNAP_VERSION", snap.version.clone()),
        ("SNAP_REVISION", revision),
        ("SNAP_DATA", data.clone()),
        ("SNAP_COMMON", common.clone()),
        ("SNAP_USER_DATA", data.clone()),
        ("SNAP_USER_COMMON", common),
        ("SNAP_ARCH", ARCHITECTURE.into()),
        ("SNAP_UID", uid.clone()),
        ("SNAP_EUID", uid),
        // Nothing of the system's is lent to apps, and no other appd is run instead.
        ("SNAP_LIBRARY_PATH", String::new()),
        ("SNAP_REEXEC", String::new()),
        ("SNAP_REAL_HOME", data.clone()),
        ("HOME", data),
        ("XDG_RUNTIME_DIR", runtime_directory(snap, place)),
        ("TMPDIR", "/tmp".into()),
    ];
    if let Who::App(name, app) = who {
        env.push(("SNAP_APP_NAME", name.into()));
        env.extend(app.common_id.clone().map(|id| ("SNAP_APP_COMMON_ID", id)));
    }
    env.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}
