//! Data directories of snaps: owned by the snap's user, copied from revision to revision.

use crate::error::{Context, Error, Result};
use rustix::fs::{Gid, StatVfs, Uid};
use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

/// Kept free on the data partition, for logs and the updater's state.
pub const RESERVE: u64 = 4 << 20;
/// Block of the data partition's file system.
const BLOCK: u64 = 4096;
/// Deepest directory that is copied.
const MAX_DEPTH: usize = 64;

/// Makes a directory that only the snap may enter.
pub fn make(path: &Path, uid: u32) -> Result<()> {
    fs::create_dir_all(path).at("make directory", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).at("set mode of", path)?;
    own(path, uid)
}

pub(crate) fn own(path: &Path, uid: u32) -> Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    rustix::fs::chownat(
        rustix::fs::CWD,
        path,
        Some(user),
        Some(group),
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .at("give away", path)
}

/// Bytes that are free, the reserve among them.
pub fn free(path: &Path) -> Result<u64> {
    let StatVfs { f_bavail, f_frsize, .. } = rustix::fs::statvfs(path).at("look at", path)?;
    Ok(f_bavail.saturating_mul(f_frsize))
}

/// Refuses when `needed` bytes and the reserve do not fit where `path` lies.
pub fn check_space(what: &str, path: &Path, needed: u64) -> Result<()> {
    let free = free(path)?;
    if needed.saturating_add(RESERVE) <= free {
        return Ok(());
    }
    let why = format!("needs {needed} bytes and {RESERVE} in reserve, {free} are free");
    Err(Error::refused("no-space", format!("{what}: {why} in {}", path.display())))
}

/// Copies the data of one revision for the next. Links are copied as links; sockets and pipes are
/// left out.
pub fn copy(from: &Path, to: &Path, uid: u32) -> Result<()> {
    make(to, uid)?;
    copy_entries(from, to, uid, 0)
}

/// Bytes that a copy of a tree needs: each entry takes whole blocks.
pub fn size(tree: &Path) -> Result<u64> {
    size_below(tree, 0)
}

fn size_below(directory: &Path, depth: usize) -> Result<u64> {
    let mut total = 0;
    for entry in entries(directory, depth)? {
        let found = fs::symlink_metadata(&entry).at("look at", &entry)?;
        total += if found.is_dir() {
            BLOCK + size_below(&entry, depth + 1)?
        } else {
            found.len().next_multiple_of(BLOCK)
        };
    }
    Ok(total)
}

pub(crate) fn entries(directory: &Path, depth: usize) -> Result<Vec<std::path::PathBuf>> {
    if depth > MAX_DEPTH {
        let why = format!("{} is deeper than {MAX_DEPTH} directories", directory.display());
        return Err(Error::refused("data-depth", why));
    }
    match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && depth == 0 => Ok(Vec::new()),
        list => list
            .at("list", directory)?
            .map(|entry| entry.map(|e| e.path()).at("list", directory))
            .collect(),
    }
}

fn copy_entries(from: &Path, to: &Path, uid: u32, depth: usize) -> Result<()> {
    for source in entries(from, depth)? {
        let target = to.join(source.file_name().unwrap_or_default());
        let found = fs::symlink_metadata(&source).at("look at", &source)?;
        if found.is_symlink() {
            let link = fs::read_link(&source).at("read", &source)?;
            symlink(link, &target).at("link", &target)?;
        } else if found.is_dir() {
            fs::create_dir(&target).at("make directory", &target)?;
            copy_entries(&source, &target, uid, depth + 1)?;
            fs::set_permissions(&target, found.permissions()).at("set mode of", &target)?;
        } else if found.is_file() {
            fs::copy(&source, &target).at("copy to", &target)?;
        } else {
            continue;
        }
        own(&target, uid)?;
    }
    Ok(())
}

/// Removes a file or tree; what is not there is fine.
pub fn remove(path: &Path) -> Result<()> {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).at("remove", path),
        _ => Ok(()),
    }
}
