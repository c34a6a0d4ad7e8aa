//! Steps that make what the process sees as `/`.

use crate::{
    confinement::{Confinement, Mount, Root},
    error::{Context, Error, Result},
    fence::Access,
    mount_attr::{NO_DEVICES, NO_EXECUTION, NO_SUID, READ_ONLY},
    plan::{Op, Steps, c_path, c_string},
    skeleton::{self, Kind},
};
use rustix::{
    fs::CWD,
    mount::{MountFlags, OpenTreeFlags},
};
use std::{
    ffi::{CStr, OsStr},
    path::{Component, Path, PathBuf},
};

/// Where a new root is put together; only the new process's own mount namespace ever has something
/// here.
pub(crate) const STAGING: &str = "/run/holdfast/sandbox";
/// Sources of mounts that the caller has opened.
const DESCRIPTORS: &str = "/proc/self/fd";
/// Options of the empty root: directories and mount points only.
const ROOT_OPTIONS: &str = "mode=755,size=1m,nr_inodes=4096";
/// Options of `/dev`: links and mount points only.
const DEV_OPTIONS: &str = "mode=755,size=64k,nr_inodes=64";
/// Options of `/dev/shm`; its pages count against the cgroup's memory.
const SHM_OPTIONS: &str = "mode=1777,size=16m";
/// Where devices are.
const DEV: &str = "/dev";
/// The devices that every program may use.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// The standard links in `/dev`.
const DEV_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];
/// What in `/proc` tells of the host or of the kernel's memory, even to a process without rights.
const PROC_HIDDEN: [&str; 13] = [
    "acpi",
    "asound",
    "cmdline",
    "config.gz",
    "device-tree",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
];
/// What in `/proc` changes the host; read-only whatever the file permissions say.
const PROC_READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// Adds all mount steps of a confinement with a mount namespace.
pub(crate) fn build(confinement: &Confinement, list: &mut Steps) -> Result<()> {
    for mount in &confinement.mounts {
        check_target(mount)?;
    }
    let live = confinement.mounts.iter().any(|mount| matches!(mount, Mount::Live { .. }));
    match live {
        true => list.push("follow", "mounts", Op::FollowMounts),
        false => make_private(list, Path::new("/"))?,
    }
    match &confinement.root {
        Root::Host => host(confinement, list),
        Root::Directory(directory) => directory_root(directory, confinement, list),
    }
}

/// A target is absolute and plain, so that it stays below the root it is joined to.
fn check_target(mount: &Mount) -> Result<()> {
    let path = target(mount);
    let plain = path.components().skip(1).all(|c| matches!(c, Component::Normal(_)));
    let refuse = |why: &str| {
        Err(Error::Invalid { what: format!("mount {}", path.display()), why: why.into() })
    };
    match mount {
        _ if !path.is_absolute() || !plain || path == Path::new("/") => {
            refuse("not a plain absolute path")
        }
        Mount::Dev(also) if also.iter().any(|node| node.parent() != Some(path)) => {
            refuse("not a node of it")
        }
        _ => Ok(()),
    }
}

pub(crate) fn target(mount: &Mount) -> &Path {
    match mount {
        Mount::Bind { target, .. }
        | Mount::Live { target, .. }
        | Mount::Tmpfs { target, .. }
        | Mount::Link { target, .. } => target,
        Mount::Writable(path) | Mount::ReadOnly(path) | Mount::Hide(path) => path,
        Mount::Proc => Path::new("/proc"),
        Mount::Dev(_) => Path::new(DEV),
    }
}

/// The host's view, read-only but for what is writable. Flags belong to mounts, so that what
/// differs from what it lies in becomes a mount of its own first, the outer before the inner.
fn host(confinement: &Confinement, list: &mut Steps) -> Result<()> {
    let mut parts: Vec<(&Path, bool)> = confinement
        .mounts
        .iter()
        .filter_map(|mount| match mount {
            Mount::Writable(path) => Some((path.as_path(), true)),
            Mount::ReadOnly(path) => Some((path.as_path(), false)),
            _ => None,
        })
        .filter(|(path, _)| path.exists())
        .collect();
    parts.sort();
    for (path, _) in &parts {
        bind(list, path, path, true)?;
    }
    attributes(list, Path::new("/"), READ_ONLY, 0, true)?;
    for (path, writable) in parts {
        let (set, clear) = if writable { (0, READ_ONLY) } else { (READ_ONLY, 0) };
        attributes(list, path, set, clear, true)?;
    }
    for mount in &confinement.mounts {
        match mount {
            Mount::Writable(_) | Mount::ReadOnly(_) => {}
            Mount::Hide(path) => hide(list, path, path)?,
            Mount::Dev(also) => {
                // Elsewhere first: where it will be is what it is made of.
                let (made, at) = (Path::new(STAGING), Path::new(DEV));
                dev(list, made, also, confinement.namespaces.ipc)?;
                let (from, to) = (c_path(made)?, c_path(at)?);
                list.push("move to", at.display(), Op::Move { from, to });
            }
            Mount::Live { target, .. } => {
                return Err(Error::Invalid {
                    what: format!("mount {}", target.display()),
                    why: "only a root of its own has live ones".into(),
                });
            }
            other => put(list, Path::new("/"), other, confinement.namespaces.ipc)?,
        }
    }
    Ok(())
}

/// An empty root with the directory's entries in it, then the mounts, then the change of root.
fn directory_root(directory: &Path, confinement: &Confinement, list: &mut Steps) -> Result<()> {
    let staging = Path::new(STAGING);
    file_system(list, c"tmpfs", staging, MountFlags::NOSUID, ROOT_OPTIONS)?;
    let targets: Vec<(&Path, Kind)> = confinement
        .mounts
        .iter()
        .map(|mount| match mount {
            Mount::Writable(path) | Mount::ReadOnly(path) | Mount::Hide(path) => {
                Err(Error::Invalid {
                    what: format!("mount {}", path.display()),
                    why: "only the host's view has it".into(),
                })
            }
            Mount::Bind { source, target, .. } => Ok((target.as_path(), Kind::of(source)?)),
            Mount::Link { to, target } => Ok((target.as_path(), Kind::Link(to.clone()))),
            other => Ok((target(other), Kind::Directory)),
        })
        .collect::<Result<_>>()?;
    list.allow("/".into(), Access::LIST);
    let late = skeleton::build(directory, staging, &targets, list)?;
    let mut live = Vec::new();
    for ((mount, late), (_, kind)) in confinement.mounts.iter().zip(late).zip(&targets) {
        let last = late.len().saturating_sub(1);
        for (nth, path) in late.iter().enumerate() {
            match kind {
                Kind::File if nth == last => make_file(list, path)?,
                _ => make_directory(list, path, 0o755)?,
            }
        }
        match mount {
            Mount::Live { .. } => live.push(mount),
            other => put(list, staging, other, confinement.namespaces.ipc)?,
        }
    }
    // Until here all followed the caller's mounts, so that what these get now is not missed.
    if !live.is_empty() {
        make_private(list, staging)?;
    }
    live.into_iter().try_for_each(|mount| put(list, staging, mount, false))?;
    attributes(list, staging, READ_ONLY | NO_SUID | NO_DEVICES, 0, false)?;
    list.push("change root to", directory.display(), Op::PivotRoot { root: c_path(staging)? });
    Ok(())
}

/// One mount below `base`; with `queues` those of the IPC namespace are seen in `/dev`.
fn put(list: &mut Steps, base: &Path, mount: &Mount, queues: bool) -> Result<()> {
    let at = below(base, target(mount));
    let seen = target(mount).to_path_buf();
    match mount {
        Mount::Bind { source, writable, executable, .. } => {
            let access = Access::files(*writable, *executable);
            let directory = Kind::of(source)? == Kind::Directory;
            list.allow(seen, if directory { access } else { access.of_file() });
            if source.starts_with(DESCRIPTORS) {
                attach(list, source, &at)?;
            } else {
                bind(list, source, &at, false)?;
            }
            let read_only = if *writable { 0 } else { READ_ONLY };
            let no_execution = if *executable { 0 } else { NO_EXECUTION };
            attributes(list, &at, NO_SUID | NO_DEVICES | read_only | no_execution, 0, false)
        }
        Mount::Live { source, .. } => {
            list.allow(seen, Access::files(true, false));
            // A bind of what follows the caller's mounts follows them, too.
            bind(list, source, &at, true)?;
            attributes(list, &at, NO_SUID | NO_DEVICES | NO_EXECUTION, 0, true)?;
            // Nothing is made beside what is mounted.
            attributes(list, &at, READ_ONLY, 0, false)
        }
        Mount::Tmpfs { size, mode, owner, .. } => {
            list.allow(seen, Access::files(true, true));
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            let owner = format!("uid={},gid={}", owner.uid, owner.gid);
            let options = format!("mode={mode:o},size={size},{owner}");
            file_system(list, c"tmpfs", &at, flags, &options)
        }
        Mount::Proc => {
            list.allow(seen, Access::PROC);
            proc(list, &at)
        }
        Mount::Dev(also) => {
            list.allow(seen.join("shm"), Access::files(true, false));
            if queues {
                list.allow(seen.join("mqueue"), Access::files(true, false));
            }
            list.allow(seen, Access::DEVICES);
            dev(list, &at, also, queues)
        }
        // A link is made with the root's entries, or is no mount.
        Mount::Writable(_) | Mount::ReadOnly(_) | Mount::Hide(_) | Mount::Link { .. } => Ok(()),
    }
}

fn proc(list: &mut Steps, at: &Path) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    file_system(list, c"proc", at, flags, "hidepid=invisible")?;
    for name in PROC_READ_ONLY {
        if Path::new("/proc").join(name).exists() {
            let path = at.join(name);
            bind(list, &path, &path, false)?;
            attributes(list, &path, READ_ONLY, 0, false)?;
        }
    }
    // The kernel is the same, so the caller's /proc tells what there is to hide.
    PROC_HIDDEN
        .iter()
        .try_for_each(|name| hide(list, &Path::new("/proc").join(name), &at.join(name)))
}

fn dev(list: &mut Steps, at: &Path, also: &[PathBuf], queues: bool) -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    file_system(list, c"tmpfs", at, flags, DEV_OPTIONS)?;
    // Bound from the caller's /dev: mknod would need a mount that allows devices to be made.
    let standard = DEVICES.iter().map(|name| Path::new(DEV).join(name));
    let also = also.iter().filter(|node| node.exists()).cloned();
    for node in standard.chain(also) {
        let path = at.join(node.strip_prefix(DEV).unwrap_or(&node));
        list.push("make file", path.display(), Op::File { path: c_path(&path)? });
        bind(list, &node, &path, false)?;
        attributes(list, &path, NO_SUID | NO_EXECUTION, 0, false)?;
    }
    for (name, to) in DEV_LINKS {
        link(list, Path::new(to), &at.join(name))?;
    }
    make_directory(list, &at.join("pts"), 0o755)?;
    file_system(list, c"devpts", &at.join("pts"), flags, "newinstance,ptmxmode=0666,mode=620")?;
    make_directory(list, &at.join("shm"), 0o1777)?;
    file_system(list, c"tmpfs", &at.join("shm"), flags | MountFlags::NODEV, SHM_OPTIONS)?;
    if queues {
        // Landlock has rules for what can be named, and refuses what has none: without this mount
        // mq_open(3) would be.
        make_directory(list, &at.join("mqueue"), 0o755)?;
        file_system(list, c"mqueue", &at.join("mqueue"), flags | MountFlags::NODEV, "")?;
    }
    attributes(list, at, READ_ONLY, 0, false)
}

/// Makes `at` appear empty, if what the caller sees as `path` exists.
fn hide(list: &mut Steps, path: &Path, at: &Path) -> Result<()> {
    let Ok(found) = path.metadata() else { return Ok(()) };
    if found.is_dir() {
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        return file_system(list, c"tmpfs", at, flags, "mode=555,size=4k,nr_inodes=2");
    }
    bind(list, Path::new("/dev/null"), at, false)?;
    attributes(list, at, READ_ONLY, 0, false)
}

/// `path` of the process's view below `base`.
pub(crate) fn below(base: &Path, path: &Path) -> PathBuf {
    base.join(path.strip_prefix("/").unwrap_or(path))
}

fn file_system(
    list: &mut Steps,
    kind: &'static CStr,
    at: &Path,
    flags: MountFlags,
    options: &str,
) -> Result<()> {
    let (target, options) = (c_path(at)?, c_string(OsStr::new(options))?);
    list.push("mount", at.display(), Op::FileSystem { kind, target, flags, options });
    Ok(())
}

pub(crate) fn bind(list: &mut Steps, source: &Path, at: &Path, recursive: bool) -> Result<()> {
    let object = format!("{} on {}", source.display(), at.display());
    let op = Op::Bind { source: c_path(source)?, target: c_path(at)?, recursive };
    list.push("bind", object, op);
    Ok(())
}

/// As a bind. The caller clones the mount of what it opened: from the mount namespace of the new
/// process the kernel binds nothing of another one.
fn attach(list: &mut Steps, source: &Path, at: &Path) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, source, flags).context("clone", source.display())?;
    let object = format!("{} on {}", source.display(), at.display());
    list.push("bind", object, Op::Attach { tree, target: c_path(at)? });
    Ok(())
}

pub(crate) fn attributes(
    list: &mut Steps,
    at: &Path,
    set: u64,
    clear: u64,
    recursive: bool,
) -> Result<()> {
    let op = Op::Attributes { target: c_path(at)?, set, clear, recursive };
    list.push("set flags of mount", at.display(), op);
    Ok(())
}

fn make_private(list: &mut Steps, at: &Path) -> Result<()> {
    list.push("make private", "mounts", Op::PrivateMounts { below: c_path(at)? });
    Ok(())
}

pub(crate) fn make_directory(list: &mut Steps, at: &Path, mode: u32) -> Result<()> {
    list.push("make directory", at.display(), Op::Directory { path: c_path(at)?, mode });
    Ok(())
}

pub(crate) fn make_file(list: &mut Steps, at: &Path) -> Result<()> {
    list.push("make file", at.display(), Op::File { path: c_path(at)? });
    Ok(())
}

pub(crate) fn link(list: &mut Steps, to: &Path, at: &Path) -> Result<()> {
    let op = Op::Link { to: c_path(to)?, path: c_path(at)? };
    list.push("make link", at.display(), op);
    Ok(())
}
