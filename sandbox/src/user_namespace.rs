//! A user namespace, made by a helper process before the process that will enter it.
//!
//! Ids can only be mapped from outside, while a process is in the namespace. A helper that waits in
//! it until that is done leaves the new process nothing to wait for: it enters by descriptor, late,
//! when its mounts and its other namespaces are made. Those belong to the machine's own user
//! namespace therefore: nothing is locked or refused while they are made, and no right in the new
//! user namespace reaches them.

use crate::{
    clone::{Side, exit_now, fork_into},
    confinement::{IdMap, Identity},
    error::{Context, Error, Result},
    exec, signals,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    pipe::PipeFlags,
    process::{Pid, WaitOptions},
};
use std::{
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// How many user namespaces may be made inside; the file is the one of the opener's namespace.
const NESTED: &std::ffi::CStr = c"/proc/sys/user/max_user_namespaces";

/// Makes a namespace with the ids of `map`, in which setgroups(2) is denied and no further user
/// namespace can be made. It lives as long as the descriptor, which is CLOEXEC.
pub(crate) fn create(map: IdMap, identity: Identity) -> Result<OwnedFd> {
    check(map, identity)?;
    let (wait, go) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context("make", "helper's pipe")?;
    // As in `spawn`: no handler of the caller may run in the helper, which allocates nothing.
    let blocked = signals::block_all();
    let forked = fork_into(libc::CLONE_NEWUSER as u64, None);
    if let Ok(Side::Child) = forked {
        exit_now(hold(wait.as_fd()));
    }
    drop((blocked, wait));
    let Side::Parent(pid, _) = forked.context("clone into", "user namespace")? else {
        unreachable!("the child does not come back");
    };
    let made = fill(pid, map);
    drop(go);
    // It has nothing left to wait for.
    let status = rustix::process::waitpid(Some(pid), WaitOptions::empty());
    let made = made?;
    let code = status.context("wait for", "helper")?.and_then(|(_, status)| status.exit_status());
    match code {
        Some(0) => Ok(made),
        Some(errno) => Err(Errno::from_raw_os_error(errno)).context("forbid", "user namespaces"),
        None => Err(Error::Vanished { program: "helper in the user namespace".into() }),
    }
}

/// What the kernel would refuse without saying why, and what nobody should want.
fn check(map: IdMap, identity: Identity) -> Result<()> {
    let IdMap { inside, outside, count, others } = map;
    let refuse = |why: &str| {
        let what = format!("ids {inside} to {outside}, {count} of them");
        Err(Error::Invalid { what, why: why.into() })
    };
    // The last number of all means "no id".
    let fits = |first: u32| first.checked_add(count).is_some();
    let beside = |base: u32| {
        let end = base.checked_add(IdMap::RANGE);
        base != 0 && end.is_some_and(|end| outside >= end || outside.saturating_add(count) <= base)
    };
    match map {
        _ if count == 0 => refuse("an empty range"),
        _ if outside == 0 => refuse("user 0 of the machine is not given away"),
        _ if !fits(inside) || !fits(outside) => refuse("the range ends past the last id"),
        _ if !others.is_none_or(beside) => refuse(&format!(
            "the others, from {} on, are no range beside them",
            others.unwrap_or(0)
        )),
        _ => [("user", identity.uid), ("group", identity.gid)].into_iter().try_for_each(
            |(what, id)| match map.outside(id) {
                Some(_) if id != 0 => Ok(()),
                Some(_) => Err(Error::Invalid {
                    what: format!("{what} 0"),
                    why: "no program gets the first user of a user namespace".into(),
                }),
                None => Err(Error::Invalid {
                    what: format!("{what} {id}"),
                    why: format!("not one of the {count} ids from {inside} on"),
                }),
            },
        ),
    }
}

/// From outside, while the helper waits: the maps, and the descriptor.
fn fill(pid: Pid, map: IdMap) -> Result<OwnedFd> {
    let directory = format!("/proc/{}", pid.as_raw_nonzero());
    let lines = map.parts().into_iter().map(|part| part.map(|id| id.to_string()).join(" "));
    let lines = lines.collect::<Vec<String>>().join("\n");
    for (name, text) in [("setgroups", "deny"), ("gid_map", &lines), ("uid_map", &lines)] {
        let path = format!("{directory}/{name}");
        fs::write(&path, text).context("write", format_args!("{text:?} to {path}"))?;
    }
    let path = format!("{directory}/ns/user");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).context("open", path)
}

/// The helper's life: waits for the end of the pipe, takes the right to nest, ends with the errno.
///
/// It keeps nothing else open: its own end of the pipe would keep it waiting, and that of a helper
/// which another thread makes at the same time would keep both waiting for each other.
fn hold(wait: BorrowedFd<'_>) -> i32 {
    exec::close_all_but(Some(wait.as_raw_fd()));
    while rustix::io::read(wait, &mut [0]) == Err(Errno::INTR) {}
    let limit = rustix::fs::open(NESTED, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    match limit.and_then(|file| rustix::io::write(&file, b"0")) {
        Ok(_) => 0,
        Err(errno) => errno.raw_os_error(),
    }
}
