//! What a process may see and do, as a value. Nothing here touches the system.
//!
//! A [`Confinement`] starts at everything denied ([`Confinement::service`], [`Confinement::app`])
//! and is opened field
//! by field. `no_new_privs` is not a field: it is always set.

use crate::{capability::CapabilitySet, cgroup::Limits, profile::Profile};
use rustix::process::{Resource, Signal};
use std::{os::fd::OwnedFd, path::PathBuf, sync::Arc};

/// Everything that bounds a process.
#[derive(Debug, Clone)]
pub struct Confinement {
    /// What the process sees as `/`.
    pub root: Root,
    /// What is mounted over the root, in this order.
    pub mounts: Vec<Mount>,
    /// Namespaces of its own.
    pub namespaces: Namespaces,
    /// With [`Namespaces::net`]: this one, which was made before, instead of a new one.
    pub network: Option<Arc<OwnedFd>>,
    /// Clocks of its own, that [`crate::clocks::new`] made, in place of the caller's.
    pub clocks: Option<Arc<OwnedFd>>,
    /// Run under a small process 1 that forwards signals and reaps orphans; needs
    /// [`Namespaces::pid`].
    ///
    /// Without it the program itself is process 1 of its namespace: the kernel then drops every
    /// signal that it has no
    /// handler for, so that SIGTERM does not end most programs, and orphans stay zombies. The
    /// reaper ends with the
    /// program's exit code, or 128 + N when signal N ended the program.
    pub reaper: bool,
    /// User and group, as numbered inside of [`Namespaces::user`]; there are never supplementary
    /// groups.
    pub identity: Identity,
    /// Capabilities kept (bounding, permitted, effective, inheritable and ambient alike); all
    /// others are lost for good.
    pub capabilities: CapabilitySet,
    /// System calls allowed; `None` allows all (for nothing that runs on a device).
    pub seccomp: Option<&'static Profile>,
    /// The mounts once more as Landlock rules (with [`Root::Directory`]), ports, and no signals or
    /// abstract sockets out of it. What the kernel lacks of it is in [`crate::Spawned::landlock`].
    pub landlock: Option<Landlock>,
    /// The cgroup to be born in.
    pub cgroup: Option<CgroupPlace>,
    /// Resource limits, soft and hard alike.
    pub rlimits: Vec<(Resource, u64)>,
    /// Host name in the process's own UTS namespace.
    pub hostname: Option<String>,
    /// Signal that the kernel sends when the thread that called `spawn` ends.
    pub parent_death_signal: Option<Signal>,
    /// Begin a session, so that signals of a terminal do not reach the process.
    pub new_session: bool,
    /// Permission bits that new files never get.
    pub umask: u32,
}

impl Confinement {
    /// A system service: the host's files, all read-only, in a mount namespace of its own; identity
    /// 0 without any capability; host network; the host's name as it is at the start. Open what the
    /// manifest lists with [`Mount::Writable`] and `capabilities`.
    pub fn service(seccomp: &'static Profile) -> Self {
        Self {
            namespaces: Namespaces { mount: true, ipc: true, uts: true, ..Namespaces::NONE },
            capabilities: CapabilitySet::empty(),
            seccomp: Some(seccomp),
            landlock: Some(Landlock::default()),
            umask: 0o077,
            ..Self::unconfined()
        }
    }

    /// What has to do anything: nothing taken but new privileges and what [`crate::spawn`] always
    /// takes (descriptors, environment, signal dispositions).
    pub fn unconfined() -> Self {
        Self {
            root: Root::Host,
            mounts: Vec::new(),
            namespaces: Namespaces::NONE,
            network: None,
            clocks: None,
            reaper: false,
            identity: Identity { uid: 0, gid: 0 },
            capabilities: CapabilitySet::all(),
            seccomp: None,
            landlock: None,
            cgroup: None,
            rlimits: Vec::new(),
            hostname: None,
            parent_death_signal: None,
            new_session: true,
            umask: 0o022,
        }
    }

    /// An app: only the files below `root`, read-only, every namespace its own (but the clocks,
    /// which are to be given), a user of its own out of the range `ids`.
    pub fn app(
        root: impl Into<PathBuf>,
        identity: Identity,
        ids: IdMap,
        seccomp: &'static Profile,
    ) -> Self {
        Self {
            root: Root::Directory(root.into()),
            namespaces: Namespaces { user: Some(ids), ..Namespaces::APP },
            reaper: true,
            identity,
            parent_death_signal: Some(Signal::KILL),
            umask: 0o022,
            ..Self::service(seccomp)
        }
    }
}

/// What Landlock bounds besides files, devices, abstract sockets and signals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Landlock {
    /// TCP ports to listen at.
    pub bind_tcp: Ports,
    /// TCP ports to connect to.
    pub connect_tcp: Ports,
    /// The least version (see [`crate::fence`]) with which the process is started at all; with 0 it
    /// is started without any Landlock too, if the kernel has none.
    pub least_version: u32,
}

/// Port numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ports {
    /// Every one.
    #[default]
    All,
    /// These; 0 is any that the kernel chooses.
    Only(Vec<u16>),
}

/// What the process sees as `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The caller's view, all of it read-only but for [`Mount::Writable`].
    Host,
    /// A directory of the caller's view. Its entries are bound read-only into an empty root, in
    /// which
    /// mount points can be made that the directory does not have.
    Directory(PathBuf),
}

/// One thing mounted over the root. Targets are absolute paths in the process's view; missing mount
/// points are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A file or directory of the caller's view.
    Bind {
        /// Path in the caller's view. `/proc/self/fd/N` is what descriptor N refers to, whatever
        /// has its name when the process is started; it must stay open until then.
        source: PathBuf,
        /// Path in the process's view.
        target: PathBuf,
        /// Whether it can be written.
        writable: bool,
        /// Whether programs in it can be executed.
        executable: bool,
    },
    /// A directory of the caller's view with what is mounted below it, now and whenever later: it
    /// is there when the caller mounts it, and gone when the caller unmounts it. The mounts
    /// themselves say what may be done, except that no program in them is executed. In the caller's
    /// view it must be a mount point that is shared (`mount_namespaces(7)`). Only with
    /// [`Root::Directory`]; mounted after all others.
    Live {
        /// Path in the caller's view.
        source: PathBuf,
        /// Path in the process's view.
        target: PathBuf,
    },
    /// With [`Root::Host`]: this path and what is mounted below it stays writable. Skipped when it
    /// does not exist.
    Writable(PathBuf),
    /// With [`Root::Host`]: this path below a writable one is not; one below it may be again.
    /// Skipped when it does not exist.
    ReadOnly(PathBuf),
    /// With [`Root::Host`]: this file or directory appears empty. Skipped when it does not exist.
    Hide(PathBuf),
    /// An empty file system in memory.
    Tmpfs {
        /// Path in the process's view.
        target: PathBuf,
        /// Bytes it can hold.
        size: u64,
        /// Permission bits of its root.
        mode: u32,
        /// User and group of its root.
        owner: Identity,
    },
    /// A symbolic link.
    Link {
        /// Where it leads, in the process's view.
        to: PathBuf,
        /// Path in the process's view.
        target: PathBuf,
    },
    /// `/proc` of the process's own pid namespace, without what tells of the host.
    Proc,
    /// `/dev` with null, zero, full, random, urandom, tty, pts, shm and the standard links; with an
    /// IPC namespace of its own also mqueue. And these nodes of the caller's `/dev`, as far as they
    /// exist.
    Dev(Vec<PathBuf>),
}

/// Namespaces of its own; `false` or `None` shares the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespaces {
    /// User ids. The namespace owns none of the other ones, which are made before it is entered:
    /// even all capabilities in it allow nothing to mounts, network or host name. No further user
    /// namespace can be made in it, whatever the seccomp profile says.
    ///
    /// Files whose owner is not mapped (all of the system's and of a snap) belong to 65534,
    /// "nobody", seen from inside; permission bits for others are what counts for them, as for any
    /// user that is not their owner.
    pub user: Option<IdMap>,
    /// Mounts; needed for everything but the bare [`Root::Host`] view.
    pub mount: bool,
    /// Process ids.
    pub pid: bool,
    /// Network: only a loopback interface, which is up; or what [`Confinement::network`] has.
    pub net: bool,
    /// System V and POSIX queues, semaphores and shared memory.
    pub ipc: bool,
    /// Host name.
    pub uts: bool,
    /// View of the cgroup tree.
    pub cgroup: bool,
}

impl Namespaces {
    /// Everything shared with the caller.
    pub const NONE: Self = Self {
        user: None,
        mount: false,
        pid: false,
        net: false,
        ipc: false,
        uts: false,
        cgroup: false,
    };
    /// Everything of its own that needs no further value.
    pub const APP: Self =
        Self { user: None, mount: true, pid: true, net: true, ipc: true, uts: true, cgroup: true };
}

/// User and group ids of a user namespace: `count` ids from `inside` on are, for the rest of the
/// machine, those from `outside` on. All but these and the `others` do not exist in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMap {
    /// First id as the process sees it.
    pub inside: u32,
    /// The same id as everybody else sees it, and as it stands in inodes.
    pub outside: u32,
    /// How many.
    pub count: u32,
    /// What the ids up to 65535 beside them are for everybody else, from 0 on: nobody there.
    pub others: Option<u32>,
}

impl IdMap {
    /// Ids of a range: as many as programs and images of containers expect (0 to 65535).
    pub const RANGE: u32 = 65_536;

    /// The range of all ids up to 65535, which are `base` and up for everybody else.
    pub const fn range(base: u32) -> Self {
        Self { inside: 0, outside: base, count: Self::RANGE, others: None }
    }

    /// The id `inside`, which is `outside` for everybody else; with the rest of a range from `base`
    /// on, so that a program finds the ids that it expects and none of them is anybody's.
    pub const fn one(inside: u32, outside: u32, base: u32) -> Self {
        Self { inside, outside, count: 1, others: Some(base) }
    }

    /// `inside outside count` of each part, as the kernel wants them.
    pub(crate) fn parts(&self) -> Vec<[u32; 3]> {
        let mut parts = vec![[self.inside, self.outside, self.count]];
        if let Some(base) = self.others {
            let below = self.inside.min(Self::RANGE);
            let above = self.inside.saturating_add(self.count).min(Self::RANGE);
            parts.push([0, base, below]);
            parts.push([above, base.saturating_add(above), Self::RANGE - above]);
        }
        parts.retain(|[_, _, count]| *count > 0);
        parts
    }

    /// What `id` of the process is for everybody else; `None` when it is not mapped.
    pub fn outside(&self, id: u32) -> Option<u32> {
        self.parts().into_iter().find_map(|[inside, outside, count]| {
            let nth = id.checked_sub(inside).filter(|nth| *nth < count)?;
            outside.checked_add(nth)
        })
    }
}

/// User and group ids, real, effective and saved alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A cgroup (v2) directory and its limits. It is made when missing; the parent's controllers must
/// be enabled
/// ([`crate::cgroup::enable_controllers`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPlace {
    /// Absolute path of the directory.
    pub path: PathBuf,
    /// What to bound in it.
    pub limits: Limits,
}
