//! Layouts of a snap as mounts. What they show is opened here, before the app is started, and the
//! mounts are made of what was opened: between a look and a mount a running service of the same
//! snap could put a link in its place.

use crate::{
    beneath,
    confine::{Place, TMP_SIZE},
    data,
    error::{Context, Result},
    meta::{
        Snap, invalid,
        layout::{self, Filling},
        places::{Base, OwnPath},
    },
    paths::Paths,
};
use sandbox::{Identity, Mount};
use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Where one of a snap's directories is on the device.
pub fn base(paths: &Paths, snap: &str, place: &Place, base: Base) -> PathBuf {
    of_revision(paths, snap, place.revision, base)
}

/// The same of any revision.
pub fn of_revision(paths: &Paths, snap: &str, revision: u32, base: Base) -> PathBuf {
    match base {
        Base::Snap => paths.mount(snap, revision),
        Base::Data => paths.revision_data(snap, revision),
        Base::Common => paths.common(snap),
    }
}

/// Where one of them is in the app's view.
pub fn inside(snap: &str, revision: u32, path: &OwnPath) -> PathBuf {
    let base = match path.base {
        Base::Snap => format!("/snap/{snap}/current"),
        Base::Data => format!("/var/snap/{snap}/{revision}"),
        Base::Common => format!("/var/snap/{snap}/common"),
    };
    // Joining nothing would add a slash.
    if path.rest.is_empty() { base.into() } else { Path::new(&base).join(&path.rest) }
}

/// Mounts for all layouts, and what must stay open until the app is started.
pub fn mounts(paths: &Paths, snap: &Snap, place: &Place) -> Result<(Vec<Mount>, Vec<OwnedFd>)> {
    let (mut mounts, mut held) = (Vec::new(), Vec::new());
    for (path, layout) in &snap.layout {
        let field = format!("layout.{path}");
        let target = PathBuf::from(layout::target(&snap.name, path));
        let owner = Identity { uid: place.uid, gid: place.uid };
        mounts.push(match layout.filling(&field)? {
            Filling::Tmpfs => Mount::Tmpfs { target, size: TMP_SIZE, mode: layout.mode(), owner },
            Filling::Symlink(to) => {
                Mount::Link { to: inside(&snap.name, place.revision, &to), target }
            }
            Filling::Bind(source) => {
                if snap.image.is_some() {
                    begin_volume(paths, snap, place, path, &source)?;
                }
                let fd = open(paths, snap, place, &source, layout.mode(), false)?;
                bind(&mut held, fd, target, source.base)
            }
            Filling::BindFile(source) => {
                let fd = open(paths, snap, place, &source, layout.mode(), true)?;
                bind(&mut held, fd, target, source.base)
            }
        });
    }
    Ok((mounts, held))
}

/// A volume begins with what the image has in its place, as Docker's do. It is copied beside and
/// then named, so that a power cut leaves none that is half full.
fn begin_volume(
    paths: &Paths,
    snap: &Snap,
    place: &Place,
    path: &str,
    source: &OwnPath,
) -> Result<()> {
    if source.base == Base::Snap {
        return Ok(());
    }
    let (parent, name) = source.rest.rsplit_once('/').unwrap_or(("", &source.rest));
    let base = base(paths, &snap.name, place, source.base);
    let parent = beneath::directory(&base, parent, 0o755, place.uid)?;
    let held = beneath::path(&parent);
    if fs::symlink_metadata(held.join(name)).is_ok() {
        return Ok(());
    }
    let mount = paths.mount(&snap.name, place.revision);
    let Ok(content) = beneath::open(&mount, path.trim_start_matches('/')) else { return Ok(()) };
    let part = held.join(format!("{name}.part"));
    data::remove(&part)?;
    data::copy(&beneath::path(&content), &part, place.uid)?;
    fs::rename(&part, held.join(name)).at("rename", &part)
}

fn bind(held: &mut Vec<OwnedFd>, fd: OwnedFd, target: PathBuf, base: Base) -> Mount {
    let source = beneath::path(&fd);
    held.push(fd);
    Mount::Bind { source, target, writable: base != Base::Snap, executable: true }
}

/// What a layout shows; in data it is made when it is missing, as snapd does.
fn open(
    paths: &Paths,
    snap: &Snap,
    place: &Place,
    source: &OwnPath,
    mode: u32,
    is_file: bool,
) -> Result<OwnedFd> {
    let base = base(paths, &snap.name, place, source.base);
    if source.base == Base::Snap {
        return beneath::open(&base, &source.rest);
    }
    if !is_file {
        return beneath::directory(&base, &source.rest, mode, place.uid);
    }
    let (parent, name) = source.rest.rsplit_once('/').unwrap_or(("", &source.rest));
    let directory = beneath::directory(&base, parent, 0o755, place.uid)?;
    beneath::file(&directory, name, mode & 0o666, place.uid)?;
    beneath::open(&base, &source.rest)
}

/// Whether the layouts fit what is in the snap, which is mounted: what they show is there, and
/// nothing on the way to where they show it is a file or a link.
pub fn check(snap: &Snap, mount: &Path) -> Result<()> {
    for (path, layout) in &snap.layout {
        let field = format!("layout.{path}");
        let wrong = |why: String| Err(invalid(&field, why));
        let filling = layout.filling(&field)?;
        if let Filling::Bind(source) | Filling::BindFile(source) = &filling
            && source.base == Base::Snap
        {
            let file = matches!(filling, Filling::BindFile(_));
            let found = beneath::open(mount, &source.rest)
                .ok()
                .and_then(|fd| fs::metadata(beneath::path(&fd)).ok());
            if !found.is_some_and(|found| found.is_file() == file && found.is_dir() != file) {
                let kind = if file { "file" } else { "directory" };
                return wrong(format!("{source} is no {kind} of the snap"));
            }
        }
        let target = layout::target(&snap.name, path);
        if let Some(rest) = target.strip_prefix(&format!("/snap/{}/current/", snap.name)) {
            let file = matches!(filling, Filling::BindFile(_));
            let plain = is_plain(mount, rest, file) && !matches!(filling, Filling::Symlink(_));
            if !plain {
                return wrong(
                    "in a snap only what is there can be covered, and not by a link".into(),
                );
            }
        } else if let Some(odd) = not_a_directory(mount, Path::new(target.trim_start_matches('/')))
        {
            return wrong(format!("/{} of the snap is no directory", odd.display()));
        }
    }
    Ok(())
}

/// Whether a path leads to a directory (or file) over nothing but directories.
fn is_plain(mount: &Path, rest: &str, file: bool) -> bool {
    let mut at = mount.to_path_buf();
    let parts: Vec<&str> = rest.split('/').collect();
    parts.iter().enumerate().all(|(index, part)| {
        at.push(part);
        let last = index + 1 == parts.len();
        fs::symlink_metadata(&at)
            .is_ok_and(|found| if last && file { found.is_file() } else { found.is_dir() })
    })
}

/// The first thing on the way to `target` that is there and is no directory.
fn not_a_directory<'a>(mount: &Path, target: &'a Path) -> Option<&'a Path> {
    let mut above: Vec<&Path> = target.ancestors().skip(1).collect();
    above.reverse();
    above
        .into_iter()
        .find(|path| fs::symlink_metadata(mount.join(path)).is_ok_and(|found| !found.is_dir()))
}
