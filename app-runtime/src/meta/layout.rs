//! Layouts: places of an app's view that the snap fills. snapd's rules, of its function
//! `ValidateLayoutAll`.

use super::{
    invalid,
    places::{OwnPath, check_plain},
};
use crate::error::Result;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Directories below the root in which a layout may be, as in snapd.
const TOP: [&str; 14] = [
    "bin", "etc", "lib", "lib64", "meta", "mnt", "opt", "root", "sbin", "snap", "srv", "usr",
    "var", "writable",
];
/// What no layout may be in: snapd's list.
const OFF_LIMITS: [&str; 16] = [
    "/dev",
    "/proc",
    "/sys",
    "/media",
    "/run",
    "/var/run",
    "/tmp",
    "/var/lib/snapd",
    "/lib/firmware",
    "/usr/lib/firmware",
    "/lib/modules",
    "/usr/lib/modules",
    "/var/snap",
    "/home",
    "/boot",
    "/lost+found",
];
/// Permission bits of what a layout makes.
const MODE: u32 = 0o755;
/// Bits that a mode may have.
const MODE_BITS: u32 = 0o1777;

/// One place.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Layout {
    /// A directory of the snap or its data.
    #[serde(default)]
    pub bind: Option<String>,
    /// A file of the snap or its data.
    #[serde(default)]
    pub bind_file: Option<String>,
    /// Where a symbolic link leads.
    #[serde(default)]
    pub symlink: Option<String>,
    /// `tmpfs`: an empty directory in memory.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// `root`, which stands for the snap's own user.
    #[serde(default)]
    pub user: Option<String>,
    /// `root`, which stands for the snap's own group.
    #[serde(default)]
    pub group: Option<String>,
    /// Permission bits in octal of what has to be made.
    #[serde(default)]
    pub mode: Option<String>,
}

/// What fills a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filling {
    /// A directory.
    Bind(OwnPath),
    /// A file.
    BindFile(OwnPath),
    /// A symbolic link.
    Symlink(OwnPath),
    /// An empty directory in memory.
    Tmpfs,
}

impl Layout {
    /// What fills it; the error is about `field`.
    pub fn filling(&self, field: &str) -> Result<Filling> {
        let own = |key: &str, path: &str| OwnPath::parse(&format!("{field}.{key}"), path);
        match (&self.bind, &self.bind_file, &self.symlink, self.kind.as_deref()) {
            (Some(path), None, None, None) => Ok(Filling::Bind(own("bind", path)?)),
            (None, Some(path), None, None) => Ok(Filling::BindFile(own("bind-file", path)?)),
            (None, None, Some(path), None) => Ok(Filling::Symlink(own("symlink", path)?)),
            (None, None, None, Some("tmpfs")) => Ok(Filling::Tmpfs),
            (None, None, None, Some(kind)) => {
                Err(invalid(format!("{field}.type"), format!("{kind:?} is not tmpfs")))
            }
            _ => Err(invalid(field, "not one of bind, bind-file, symlink and type")),
        }
    }

    /// Permission bits of what has to be made.
    pub fn mode(&self) -> u32 {
        self.mode.as_deref().and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(MODE)
    }

    fn check(&self, field: &str) -> Result<()> {
        self.filling(field)?;
        for (key, who) in [("user", &self.user), ("group", &self.group)] {
            if who.as_deref().is_some_and(|who| who != "root") {
                let why = "only root, which stands for the snap's own user";
                return Err(invalid(format!("{field}.{key}"), why));
            }
        }
        match self.mode.as_deref().map(|mode| u32::from_str_radix(mode, 8)) {
            Some(mode)
                if mode.as_ref().is_ok_and(|mode| mode & MODE_BITS != *mode) || mode.is_err() =>
            {
                Err(invalid(format!("{field}.mode"), "not permission bits in octal"))
            }
            _ => Ok(()),
        }
    }
}

/// Where a place is in the view of an app of `snap`.
pub fn target(snap: &str, path: &str) -> String {
    match path.strip_prefix("$SNAP") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            format!("/snap/{snap}/current{rest}")
        }
        _ => path.into(),
    }
}

/// Whether `path` is `tree` or in it.
pub(crate) fn is_in(path: &str, tree: &str) -> bool {
    path.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path that must begin with a variable of the snap's own directories.
pub(crate) fn check_own_path(field: &str, path: &str) -> Result<()> {
    OwnPath::parse(field, path).map(drop)
}

/// Checks all places of a snap.
///
/// The volumes of an image are wherever it wants them.
pub(crate) fn check(snap: &str, layouts: &BTreeMap<String, Layout>, of_image: bool) -> Result<()> {
    let mut before: Vec<String> = Vec::new();
    let mut kinds: BTreeMap<OwnPath, bool> = BTreeMap::new();
    for (path, layout) in layouts {
        let field = format!("layout.{path}");
        check_target(snap, &field, path, of_image)?;
        layout.check(&field)?;
        let at = target(snap, path);
        if let Some(other) = before.iter().find(|other| is_in(&at, other) || is_in(other, &at)) {
            return Err(invalid(field, format!("it lies in, or around, the layout {other}")));
        }
        let (source, is_file) = match layout.filling(&field)? {
            Filling::Bind(source) => (source, false),
            Filling::BindFile(source) => (source, true),
            Filling::Symlink(_) | Filling::Tmpfs => {
                before.push(at);
                continue;
            }
        };
        if kinds.insert(source.clone(), is_file).is_some_and(|other| other != is_file) {
            return Err(invalid(field, format!("{source} is a file here and a directory there")));
        }
        before.push(at);
    }
    Ok(())
}

fn check_target(snap: &str, field: &str, path: &str, anywhere: bool) -> Result<()> {
    let at = target(snap, path);
    let relative = at
        .strip_prefix('/')
        .ok_or_else(|| invalid(field, "neither an absolute path nor one that begins with $SNAP"))?;
    check_plain(field, path, relative)?;
    let top = relative.split('/').next().unwrap_or_default();
    if let Some(off) = OFF_LIMITS.iter().find(|off| is_in(&at, off)) {
        return Err(invalid(field, format!("{off} is not for layouts")));
    }
    if !anywhere && !TOP.contains(&top) {
        return Err(invalid(field, format!("/{top} is no directory in which layouts may be")));
    }
    let own = format!("/snap/{snap}/current");
    if is_in(&at, "/snap") && !is_in(&at, &format!("{own}/")) && !at.starts_with(&format!("{own}/"))
    {
        return Err(invalid(field, "in /snap only what is below $SNAP/"));
    }
    match at == "/var" {
        true => Err(invalid(field, "it would cover the snap's data")),
        false => Ok(()),
    }
}
