//! Files of a snap's own directories, opened so that no symbolic link in them leads out: the snap's
//! author made what is in the snap, the app itself what is in its data, and appd is root.

use crate::error::{Context, Result};
use rustix::{
    fs::{AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid},
    io::Errno,
};
use std::{
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

/// Opens `rest` below `base` as a place to be bound or looked at. Links stay below `base`.
pub fn open(base: &Path, rest: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, base, flags | OFlags::DIRECTORY, Mode::empty());
    let root = root.at("open", base)?;
    let rest = if rest.is_empty() { "." } else { rest };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(&root, rest, flags, Mode::empty(), resolve).at("open", &base.join(rest))
}

/// Opens a directory below `base`, and makes what of it is missing, for a user. No links at all.
pub fn directory(base: &Path, rest: &str, mode: u32, uid: u32) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut at = rustix::fs::openat(CWD, base, flags, Mode::empty()).at("open", base)?;
    for part in rest.split('/').filter(|part| !part.is_empty()) {
        let what = || base.join(rest);
        match rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(mode)) {
            Ok(()) => own(&at, part, uid).at("set owner of", &what())?,
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e).at("make directory", &what()),
        }
        at = rustix::fs::openat(&at, part, flags, Mode::empty()).at("open", &what())?;
    }
    Ok(at)
}

/// Makes an empty file in an open directory, unless something is there.
pub fn file(directory: &OwnedFd, name: &str, mode: u32, uid: u32) -> Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(mode)) {
        Ok(_) => own(directory, name, uid).context("set owner of", name),
        Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e).context("make", name),
    }
}

/// Gives an entry to a user, without following a link.
pub fn own(directory: &OwnedFd, name: &str, uid: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
    rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

/// A path that leads to an open file, whatever becomes of its names; as long as it is open.
pub fn path(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}
