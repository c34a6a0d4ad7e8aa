//! An empty root with the entries of a directory in it, and mount points that the directory lacks.
//!
//! A read-only directory cannot be given mount points. So its root is *expanded*: made anew in
//! memory, each entry bound
//! one by one; and so is every directory on the way to a mount point that does not exist.
//! Directories that need
//! nothing are bound whole.

use crate::{
    error::{Context, Error, Result},
    fence::Access,
    mount_attr::{NO_DEVICES, NO_SUID, READ_ONLY},
    plan::Steps,
    view::{attributes, below, bind, link, make_directory, make_file},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Entries that are bound one by one; more is a directory not meant to be a root.
const MAX_ENTRIES: usize = 512;

/// What a mount point must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    /// No mount point: a link in its place, to this path.
    Link(PathBuf),
}

impl Kind {
    /// What fits the source of a bind mount.
    pub(crate) fn of(source: &Path) -> Result<Self> {
        let found = fs::metadata(source).context("look at", source.display())?;
        Ok(if found.is_dir() { Kind::Directory } else { Kind::File })
    }
}

/// Directories that are made anew, and mount points made in them.
struct Layout {
    expanded: BTreeSet<PathBuf>,
    points: BTreeMap<PathBuf, Kind>,
}

/// Adds the steps that fill the empty file system at `staging`. Returns, for each target, the
/// directories that must be
/// made right before it is mounted, because it lies in an earlier mount.
pub(crate) fn build(
    root: &Path,
    staging: &Path,
    targets: &[(&Path, Kind)],
    list: &mut Steps,
) -> Result<Vec<Vec<PathBuf>>> {
    let mut layout =
        Layout { expanded: BTreeSet::from([PathBuf::from("/")]), points: BTreeMap::new() };
    let mut late = Vec::new();
    for (target, kind) in targets {
        late.push(layout.place(root, staging, target, kind)?);
    }
    layout.emit(root, staging, list)?;
    Ok(late)
}

impl Layout {
    fn place(
        &mut self,
        root: &Path,
        staging: &Path,
        target: &Path,
        kind: &Kind,
    ) -> Result<Vec<PathBuf>> {
        let mut ancestors: Vec<&Path> = target.ancestors().skip(1).collect();
        ancestors.reverse();
        for (depth, ancestor) in ancestors.iter().enumerate() {
            if self.points.contains_key(*ancestor) {
                if let Kind::Link(_) = kind {
                    return Err(Error::Invalid {
                        what: format!("link {}", target.display()),
                        why: format!("it lies in the mount {}", ancestor.display()),
                    });
                }
                let mut missing: Vec<_> =
                    ancestors[depth + 1..].iter().map(|p| below(staging, p)).collect();
                missing.push(below(staging, target));
                return Ok(missing);
            }
            if self.expanded.contains(*ancestor) {
                continue;
            }
            match fs::symlink_metadata(below(root, ancestor)) {
                Ok(found) if found.is_dir() && exists_plainly(root, ancestor, target, kind) => {
                    return Ok(Vec::new());
                }
                Ok(found) if !found.is_dir() => {
                    return Err(Error::Invalid {
                        what: format!("mount {}", target.display()),
                        why: format!("{} is not a directory", ancestor.display()),
                    });
                }
                _ => {
                    self.expanded.insert(ancestor.to_path_buf());
                }
            }
        }
        self.points.insert(target.to_path_buf(), kind.clone());
        Ok(Vec::new())
    }

    fn emit(&self, root: &Path, staging: &Path, list: &mut Steps) -> Result<()> {
        let mut count = 0;
        for directory in &self.expanded {
            if directory != Path::new("/") {
                make_directory(list, &below(staging, directory), 0o755)?;
            }
            let source = below(root, directory);
            if !source.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&source).context("read directory", source.display())? {
                let name = entry.context("read directory", source.display())?.file_name();
                let path = directory.join(name);
                if self.expanded.contains(&path) || self.points.contains_key(&path) {
                    continue;
                }
                count += 1;
                if count > MAX_ENTRIES {
                    return Err(Error::Invalid {
                        what: format!("root {}", root.display()),
                        why: format!("more than {MAX_ENTRIES} entries to bind"),
                    });
                }
                entry_steps(&below(root, &path), &below(staging, &path), path, list)?;
            }
        }
        for (path, kind) in &self.points {
            match kind {
                Kind::Directory => make_directory(list, &below(staging, path), 0o755)?,
                Kind::File => make_file(list, &below(staging, path))?,
                Kind::Link(to) => link(list, to, &below(staging, path))?,
            }
        }
        Ok(())
    }
}

/// Whether everything from `ancestor` down to `target` is there, without symbolic links, and of the
/// right kind.
fn exists_plainly(root: &Path, ancestor: &Path, target: &Path, kind: &Kind) -> bool {
    let way = target.ancestors().take_while(|path| *path != ancestor);
    way.enumerate().all(|(up, path)| {
        fs::symlink_metadata(below(root, path)).is_ok_and(|found| match kind {
            Kind::File if up == 0 => found.is_file(),
            Kind::Link(_) if up == 0 => false,
            _ => found.is_dir(),
        })
    })
}

/// One entry of an expanded directory, which the process sees as `path`. Devices, sockets and pipes
/// are left out.
fn entry_steps(source: &Path, at: &Path, path: PathBuf, list: &mut Steps) -> Result<()> {
    let found = fs::symlink_metadata(source).context("look at", source.display())?.file_type();
    if found.is_symlink() {
        let to = fs::read_link(source).context("read link", source.display())?;
        return link(list, &to, at);
    }
    let access = Access::files(false, true);
    if found.is_dir() {
        make_directory(list, at, 0o755)?;
        list.allow(path, access);
    } else if found.is_file() {
        make_file(list, at)?;
        list.allow(path, access.of_file());
    } else {
        return Ok(());
    }
    bind(list, source, at, false)?;
    attributes(list, at, READ_ONLY | NO_SUID | NO_DEVICES, 0, false)
}
