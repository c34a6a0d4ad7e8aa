//! From value to steps, in the caller: everything that needs memory, a look at the file system or a
//! decision happens
//! here, so that the new process only makes system calls.

use crate::{
    capability::CapabilitySet,
    confinement::{Confinement, Identity, Landlock, Root},
    error::{Context, Error, Result},
    exec::Image,
    fence::{self, Access, Report},
    landlock::Ruleset,
    process::{Process, Stdio},
    seccomp::Filter,
    user_namespace, view,
};
use rustix::{
    fs::{Mode, OFlags},
    mount::MountFlags,
    process::{Resource, Signal},
    thread::{LinkNameSpaceType, ThreadNameSpaceType},
};
use std::{
    ffi::{CString, OsStr},
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

/// One system call, or a few that belong together.
pub(crate) enum Op {
    NewSession,
    ResetSignals,
    UnshareCgroup,
    HostName(String),
    LoopbackUp,
    /// Enters the namespace that the descriptor refers to.
    Enter(Arc<OwnedFd>, LinkNameSpaceType),
    /// No mount made here is seen by the caller, and none of the caller's is seen here later.
    PrivateMounts {
        below: CString,
    },
    /// What the caller mounts and shares is mounted here too, and not the other way.
    FollowMounts,
    FileSystem {
        kind: &'static std::ffi::CStr,
        target: CString,
        flags: MountFlags,
        options: CString,
    },
    Bind {
        source: CString,
        target: CString,
        recursive: bool,
    },
    /// Takes a mount and those in it to another place.
    Move {
        from: CString,
        to: CString,
    },
    /// Puts a detached mount in its place.
    Attach {
        tree: OwnedFd,
        target: CString,
    },
    Attributes {
        target: CString,
        set: u64,
        clear: u64,
        recursive: bool,
    },
    Directory {
        path: CString,
        mode: u32,
    },
    File {
        path: CString,
    },
    Link {
        to: CString,
        path: CString,
    },
    PivotRoot {
        root: CString,
    },
    Umask(u32),
    Limit(Resource, u64),
    Descriptors,
    SecureBits,
    BoundingSet(CapabilitySet),
    Groups,
    Ids(Identity),
    Capabilities(CapabilitySet),
    NoNewPrivileges,
    ParentDeath(Signal),
    WorkingDirectory(CString),
    /// Enters these namespaces of the process that the descriptor refers to.
    Join(RawFd, ThreadNameSpaceType),
    /// With the descriptor to tell that the program went into the background.
    Reaper(Option<RawFd>),
    Landlock(Ruleset),
    Seccomp(Filter),
    Execute(Image),
}

/// A step with what is said when it fails.
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) name: &'static str,
    pub(crate) object: String,
}

/// All steps, in order; the last is [`Op::Execute`].
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) descriptors: Vec<RawFd>,
    pub(crate) namespaces: u64,
    /// What the kernel has of the Landlock that is asked for.
    pub(crate) landlock: Option<Report>,
    /// Kept open until the fork.
    _null: OwnedFd,
    _background: Option<OwnedFd>,
}

impl Plan {
    /// Checks the values and makes the list. With `into`, the namespaces are those of that process
    /// instead of new ones.
    pub(crate) fn new(
        confinement: &Confinement,
        process: &Process<'_>,
        into: Option<BorrowedFd<'_>>,
    ) -> Result<Self> {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .context("open", "/dev/null")?;
        let mut list = Steps::default();
        let descriptors = descriptors(process, &null);
        // Out of the way of the numbers that the program's descriptors get.
        let background = process.background.map(|fd| {
            rustix::io::fcntl_dupfd_cloexec(fd, descriptors.len() as i32)
                .context("move", "descriptor of the reaper")
        });
        let background = background.transpose()?;
        match into {
            Some(process) => join(confinement, process, &mut list)?,
            None => {
                isolate(confinement, &mut list);
                root(confinement, &mut list)?;
            }
        }
        let tell = background.as_ref().map(AsRawFd::as_raw_fd);
        reduce(confinement, process, (tell, into), &mut list)?;
        let landlock = match &confinement.landlock {
            Some(asked) => Some(fence(asked, confinement, into.is_some(), &mut list)?),
            None => None,
        };
        // Last: the filter forbids most of what is above.
        if let Some(profile) = confinement.seccomp {
            let filter = Filter::compile(profile);
            list.push("install seccomp profile", profile.name, Op::Seccomp(filter));
        }
        list.push("execute", process.program.display(), Op::Execute(image(process)?));
        Ok(Self {
            steps: list.steps,
            landlock,
            descriptors,
            namespaces: if into.is_some() { 0 } else { clone_flags(confinement) },
            _null: null,
            _background: background,
        })
    }
}

/// Collects steps.
#[derive(Default)]
pub(crate) struct Steps {
    steps: Vec<Step>,
    /// What may be done where, in the process's view.
    allowed: Vec<(PathBuf, Access)>,
}

impl Steps {
    pub(crate) fn push(&mut self, name: &'static str, object: impl ToString, op: Op) {
        self.steps.push(Step { op, name, object: object.to_string() });
    }

    pub(crate) fn allow(&mut self, path: PathBuf, access: Access) {
        self.allowed.push((path, access));
    }
}

/// After the reaper is left behind: it stays outside of the program's domain, out of reach of its
/// signals.
fn fence(
    asked: &Landlock,
    confinement: &Confinement,
    joined: bool,
    list: &mut Steps,
) -> Result<Report> {
    let mounts = (confinement.root != Root::Host).then_some(list.allowed.as_slice());
    let (ruleset, report) = fence::build(asked, mounts, fence::version())?;
    if let Some(mut ruleset) = ruleset {
        if joined && confinement.namespaces.pid {
            // A domain cannot be joined, and a stop-command is there to signal the program. The
            // pid namespace bounds both.
            fence::let_signals_out(&mut ruleset);
        }
        list.push("restrict itself with", "landlock", Op::Landlock(ruleset));
    }
    Ok(report)
}

fn clone_flags(confinement: &Confinement) -> u64 {
    let own = &confinement.namespaces;
    // The cgroup namespace is not here: clone3 would root it in the caller's group, not in the new
    // one.
    [
        (own.mount, libc::CLONE_NEWNS),
        (own.pid, libc::CLONE_NEWPID),
        (own.net && confinement.network.is_none(), libc::CLONE_NEWNET),
        (own.ipc, libc::CLONE_NEWIPC),
        (own.uts, libc::CLONE_NEWUTS),
    ]
    .into_iter()
    .filter(|(wanted, _)| *wanted)
    .fold(0, |flags, (_, flag)| flags | flag as u64)
}

/// What it sees as `/`.
fn root(confinement: &Confinement, list: &mut Steps) -> Result<()> {
    match &confinement.root {
        _ if confinement.namespaces.mount => view::build(confinement, list),
        Root::Host if confinement.mounts.is_empty() => Ok(()),
        _ => {
            Err(Error::Invalid { what: "mounts".into(), why: "they need a mount namespace".into() })
        }
    }
}

/// The namespaces of another process instead of new ones; its user namespace is entered later, as a
/// new one is.
fn join(confinement: &Confinement, process: BorrowedFd<'_>, list: &mut Steps) -> Result<()> {
    let own = &confinement.namespaces;
    let kinds = [
        (own.mount, ThreadNameSpaceType::MOUNT),
        (own.pid, ThreadNameSpaceType::PROCESS_ID),
        (own.net, ThreadNameSpaceType::NETWORK),
        (own.ipc, ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION),
        (own.uts, ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME),
        (own.cgroup, ThreadNameSpaceType::CONTROL_GROUP),
        (confinement.clocks.is_some(), ThreadNameSpaceType::TIME),
    ];
    let kinds = kinds.into_iter().filter(|(own, _)| *own).map(|(_, kind)| kind).collect();
    list.push("reset", "signal dispositions", Op::ResetSignals);
    list.push("begin", "session", Op::NewSession);
    list.push("enter", "namespaces of a process", Op::Join(process.as_raw_fd(), kinds));
    // The mounts are there; what Landlock allows in them is needed all the same.
    let mut made = Steps::default();
    root(confinement, &mut made)?;
    list.allowed = made.allowed;
    Ok(())
}

/// What comes before the mounts: it needs privileges that are lost later, but no view of its own.
fn isolate(confinement: &Confinement, list: &mut Steps) {
    list.push("reset", "signal dispositions", Op::ResetSignals);
    if confinement.new_session {
        list.push("begin", "session", Op::NewSession);
    }
    if confinement.namespaces.cgroup {
        list.push("unshare", "cgroup namespace", Op::UnshareCgroup);
    }
    if let Some(made) = &confinement.clocks {
        let op = Op::Enter(made.clone(), LinkNameSpaceType::Time);
        list.push("enter", "time namespace", op);
    }
    if let Some(name) = &confinement.hostname
        && confinement.namespaces.uts
    {
        list.push("set host name", name, Op::HostName(name.clone()));
    }
    match &confinement.network {
        _ if !confinement.namespaces.net => {}
        Some(made) => {
            let op = Op::Enter(made.clone(), LinkNameSpaceType::Network);
            list.push("enter", "network namespace", op);
        }
        None => list.push("bring up", "loopback interface", Op::LoopbackUp),
    }
}

/// What comes after the mounts, in the order that the kernel's rules force.
fn reduce(
    confinement: &Confinement,
    process: &Process<'_>,
    (background, into): (Option<RawFd>, Option<BorrowedFd<'_>>),
    list: &mut Steps,
) -> Result<()> {
    list.push("set", "umask", Op::Umask(confinement.umask));
    // Raising a hard limit needs CAP_SYS_RESOURCE, so limits come before capabilities go.
    for (resource, value) in &confinement.rlimits {
        list.push("set resource limit", format_args!("{resource:?}"), Op::Limit(*resource, *value));
    }
    // Where a user namespace is entered setgroups(2) is denied.
    list.push("drop", "supplementary groups", Op::Groups);
    if let Some(map) = confinement.namespaces.user {
        // Everything above needs the caller's rights. From here on there are only those of the
        // namespace, all of them at first. And before descriptors are placed over this one.
        let op = match into {
            Some(process) => Op::Join(process.as_raw_fd(), ThreadNameSpaceType::USER),
            None => {
                let made = user_namespace::create(map, confinement.identity)?;
                Op::Enter(Arc::new(made), LinkNameSpaceType::User)
            }
        };
        list.push("enter", "user namespace", op);
    }
    list.push("place", "descriptors", Op::Descriptors);
    let keep = confinement.capabilities;
    let all = keep == CapabilitySet::all();
    if !all {
        // Both need CAP_SETPCAP, which changing the user id takes away.
        list.push("set", "secure bits", Op::SecureBits);
        list.push("drop", "bounding set", Op::BoundingSet(keep));
    }
    let Identity { uid, gid } = confinement.identity;
    list.push("set ids", format_args!("{uid}:{gid}"), Op::Ids(confinement.identity));
    if !all {
        list.push("reduce", "capabilities", Op::Capabilities(keep));
    }
    // A change of ids clears it, so it comes after.
    if let Some(signal) = confinement.parent_death_signal {
        list.push("set", "parent-death signal", Op::ParentDeath(signal));
    }
    // Permissions are checked as the new user.
    let cwd = c_path(&process.cwd)?;
    list.push("enter", process.cwd.display(), Op::WorkingDirectory(cwd));
    list.push("set", "no_new_privs", Op::NoNewPrivileges);
    if confinement.reaper {
        if !confinement.namespaces.pid {
            return Err(Error::Invalid {
                what: "reaper".into(),
                why: "it needs a pid namespace".into(),
            });
        }
        list.push("start", "reaper", Op::Reaper(background));
    }
    if background.is_some() && (into.is_some() || !confinement.reaper) {
        // A reaper outside of the namespace could not count what the program left behind.
        return Err(Error::Invalid {
            what: "background".into(),
            why: "it needs a reaper that is process 1".into(),
        });
    }
    Ok(())
}

fn image(process: &Process<'_>) -> Result<Image> {
    if !process.program.is_absolute() {
        return Err(Error::Invalid {
            what: format!("program {}", process.program.display()),
            why: "not an absolute path".into(),
        });
    }
    let args = process.args.iter().map(|arg| c_string(arg)).collect::<Result<_>>()?;
    let env = process.env.iter().map(|(name, value)| {
        let mut pair = name.clone();
        pair.push("=");
        pair.push(value);
        c_string(&pair)
    });
    Ok(Image::new(c_path(&process.program)?, args, env.collect::<Result<_>>()?))
}

fn descriptors(process: &Process<'_>, null: &OwnedFd) -> Vec<RawFd> {
    let standard = [process.stdin, process.stdout, process.stderr];
    let mut out: Vec<RawFd> = (0..)
        .zip(standard)
        .map(|(number, stdio)| match stdio {
            Stdio::Null => null.as_raw_fd(),
            Stdio::Inherit => number,
            Stdio::Fd(fd) => fd.as_raw_fd(),
        })
        .collect();
    out.extend(process.descriptors.iter().map(AsRawFd::as_raw_fd));
    out
}

/// A string for the kernel; one with a NUL byte is refused.
pub(crate) fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| Error::Invalid {
        what: format!("{:?}", text.to_string_lossy()),
        why: "contains a NUL byte".into(),
    })
}

/// A path for the kernel.
pub(crate) fn c_path(path: &Path) -> Result<CString> {
    c_string(path.as_os_str())
}
