//! Service manifests, `/etc/holdfast/services/*.toml`: what runs, in which order, and with which
//! rights. What a manifest does not ask for, the service cannot do. A broken manifest is an error
//! that names file and field; it does not stop the others.

use crate::{
    Error,
    error::{At, Result},
    files,
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Where the image has them.
pub const DIRECTORY: &str = "/etc/holdfast/services";
/// Longest manifest in bytes.
const SIZE_LIMIT: u64 = 16 << 10;
/// Most services.
const COUNT_LIMIT: usize = 32;

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name: that of the file, of the log and of the cgroup.
    pub name: String,
    /// Absolute path of the program.
    pub command: String,
    /// Arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Started once these are ready or were seen not to come up.
    #[serde(default)]
    pub after: Vec<String>,
    /// Started only once these are ready.
    #[serde(default)]
    pub requires: Vec<String>,
    /// When it counts as ready.
    #[serde(default)]
    pub ready: Readiness,
    /// Whether the health gate waits for it.
    #[serde(default)]
    pub required: bool,
    /// What follows its end.
    #[serde(default)]
    pub restart: Restart,
    /// Whether it runs at all.
    #[serde(default)]
    pub when: Condition,
    /// Signal that asks it to stop.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// Seconds after which it is killed.
    #[serde(default = "default_stop_timeout")]
    pub stop_timeout_s: u32,
    /// Where its output goes.
    #[serde(default)]
    pub output: Output,
    /// Its whole environment, besides PATH.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Resource limits.
    #[serde(default)]
    pub limits: Limits,
    /// What it may do; absent: everything (only for what runs other programs).
    #[serde(default)]
    pub confinement: Option<Rights>,
}

fn default_stop_timeout() -> u32 {
    5
}

/// When a service counts as ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// Its process runs.
    #[default]
    Started,
    /// It said `Ready` on init's control socket.
    Notify,
}

/// What follows a service's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// It is started again, after a growing pause.
    #[default]
    Always,
    /// It stays ended.
    Never,
}

/// Whether a service runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// On every device.
    #[default]
    Always,
    /// Only with `[console] enabled = true` in `device.toml`.
    Console,
}

/// How a service is asked to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGHUP.
    Hup,
    /// SIGKILL.
    Kill,
}

/// Where standard output and error go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// To the bounded log; lines that begin with `holdfast: ` to the console as well.
    #[default]
    Log,
    /// The serial console is its terminal.
    Console,
}

/// `[limits]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of its cgroup in MiB.
    pub memory_mib: Option<u64>,
    /// Processes and threads of its cgroup.
    pub processes: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
}

/// `[confinement]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Profile of allowed system calls, `sandbox/profiles/NAME.toml`.
    pub seccomp: String,
    /// Capabilities as in capabilities(7), without `CAP_`, in lower case.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Paths that it may write; everything else is read-only.
    #[serde(default)]
    pub writable: Vec<String>,
    /// Paths below those that it may not; what is below these and writable again it may.
    #[serde(default)]
    pub read_only: Vec<String>,
    /// Paths that appear empty to it.
    #[serde(default)]
    pub hidden: Vec<String>,
    /// Whether Landlock keeps it from signals, memory and abstract sockets of what is not its own.
    #[serde(default = "yes")]
    pub landlock: bool,
    /// Devices that it sees.
    #[serde(default)]
    pub devices: Devices,
    /// Permission bits that its new files never get.
    #[serde(default = "default_umask")]
    pub umask: u32,
}

fn yes() -> bool {
    true
}

/// What of `/dev` a service sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Devices {
    /// What every program may use: null, zero, full, random, urandom, tty.
    #[default]
    Standard,
    /// These, and the partitions of both slots.
    Slots,
    /// All but the disk that the device runs from.
    Hardware,
}

/// What a service makes is nobody else's business.
fn default_umask() -> u32 {
    0o077
}

/// What was read: services in start order, and what was wrong with others.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In an order in which every service comes after those that it names.
    pub services: Vec<Manifest>,
    /// Broken ones: name (of the file) and what is wrong.
    pub broken: Vec<(String, Error)>,
}

/// Reads all manifests of a directory.
pub fn load(directory: &Path) -> Loaded {
    let mut loaded = Loaded::default();
    let mut paths: Vec<_> = match fs::read_dir(directory).at("list", directory) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => {
            loaded.broken.push(("services".into(), error));
            return loaded;
        }
    };
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    paths.truncate(COUNT_LIMIT);
    let mut manifests = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match read(&path, &name) {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => loaded.broken.push((name, error)),
        }
    }
    order(manifests, &mut loaded);
    loaded
}

fn read(path: &Path, stem: &str) -> Result<Manifest> {
    let file = path.display().to_string();
    let text = String::from_utf8(files::read_bounded(path, SIZE_LIMIT)?)
        .map_err(|_| Error::invalid(&file, "not UTF-8"))?;
    let manifest: Manifest = toml::from_str(&text)
        .map_err(|e| Error::invalid(&file, e.to_string().replace('\n', " ")))?;
    check(&manifest, stem).map_err(|problem| Error::invalid(&file, problem))?;
    Ok(manifest)
}

fn check(manifest: &Manifest, stem: &str) -> std::result::Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if manifest.name != stem || manifest.name.is_empty() || !manifest.name.chars().all(plain) {
        return Err(format!("name: must be the file's name, of a-z, 0-9 and '-': {stem}"));
    }
    if !manifest.command.starts_with('/') {
        return Err(format!("command: not an absolute path: {}", manifest.command));
    }
    if let Some(rights) = &manifest.confinement {
        if sandbox::profile::by_name(&rights.seccomp).is_none() {
            return Err(format!("confinement.seccomp: no profile {}", rights.seccomp));
        }
        for path in rights.writable.iter().chain(&rights.read_only).chain(&rights.hidden) {
            if !path.starts_with('/') {
                return Err(format!("confinement: not an absolute path: {path}"));
            }
        }
        if let Some(path) = rights.writable.iter().find(|path| rights.read_only.contains(path)) {
            return Err(format!("confinement: both writable and read_only: {path}"));
        }
        if rights.umask > 0o777 {
            return Err(format!("confinement.umask: not permission bits: {:o}", rights.umask));
        }
        if let Err(name) =
            sandbox::capability::by_names(rights.capabilities.iter().map(String::as_str))
        {
            return Err(format!("confinement.capabilities: unknown: {name}"));
        }
    }
    Ok(())
}

/// Sorts by dependency. Services that name an unknown one, or each other in a circle, are broken.
fn order(mut left: Vec<Manifest>, loaded: &mut Loaded) {
    let names: BTreeSet<String> = left.iter().map(|m| m.name.clone()).collect();
    let broken: BTreeSet<String> = loaded.broken.iter().map(|(name, _)| name.clone()).collect();
    left.retain(|manifest| {
        for (field, list) in [("after", &manifest.after), ("requires", &manifest.requires)] {
            if let Some(unknown) = list.iter().find(|n| !names.contains(*n) && !broken.contains(*n))
            {
                let error = Error::invalid(
                    format!("{}.toml", manifest.name),
                    format!("{field}: no service {unknown}"),
                );
                loaded.broken.push((manifest.name.clone(), error));
                return false;
            }
        }
        true
    });
    while !left.is_empty() {
        let waiting: BTreeSet<String> = left.iter().map(|m| m.name.clone()).collect();
        let free = left.iter().position(|m| {
            m.after.iter().chain(&m.requires).all(|dependency| !waiting.contains(dependency))
        });
        if let Some(index) = free {
            loaded.services.push(left.remove(index));
            continue;
        }
        let circle: Vec<String> = waiting.into_iter().collect();
        for manifest in left.drain(..) {
            let error = Error::invalid(
                format!("{}.toml", manifest.name),
                format!("after, requires: in a circle, or behind one, of {}", circle.join(", ")),
            );
            loaded.broken.push((manifest.name, error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        toml::from_str(text).unwrap()
    }

    fn service(name: &str, after: &str, requires: &str) -> Manifest {
        manifest(&format!(
            "name = '{name}'\ncommand = '/x'\nafter = [{after}]\nrequires = [{requires}]"
        ))
    }

    fn names(services: &[Manifest]) -> Vec<&str> {
        services.iter().map(|m| m.name.as_str()).collect()
    }

    #[test]
    fn services_come_after_what_they_name() {
        let mut loaded = Loaded::default();
        let services = vec![service("a", "'b'", ""), service("b", "", "'c'"), service("c", "", "")];
        order(services, &mut loaded);
        assert_eq!(names(&loaded.services), ["c", "b", "a"]);
        assert!(loaded.broken.is_empty());
    }

    #[test]
    fn a_circle_and_an_unknown_name_do_not_stop_the_rest() {
        let mut loaded = Loaded::default();
        let services = vec![
            service("a", "'b'", ""),
            service("b", "'a'", ""),
            service("c", "'nobody'", ""),
            service("d", "", ""),
        ];
        order(services, &mut loaded);
        assert_eq!(names(&loaded.services), ["d"]);
        let mut told: Vec<String> = loaded.broken.iter().map(|(_, e)| e.to_string()).collect();
        told.sort();
        assert_eq!(
            told,
            [
                "a.toml: after, requires: in a circle, or behind one, of a, b",
                "b.toml: after, requires: in a circle, or behind one, of a, b",
                "c.toml: after: no service nobody",
            ]
        );
    }

    #[test]
    fn mistakes_are_named_by_file_and_field() {
        let dir = std::env::temp_dir().join(format!("holdfast-manifests-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (name, text, told) in [
            ("typo", "name='typo'\ncommand='/x'\nrequried=true", "unknown field `requried`"),
            ("other", "name='another'\ncommand='/x'", "name: must be the file's name"),
            ("path", "name='path'\ncommand='x'", "command: not an absolute path: x"),
            (
                "both",
                "name='both'\ncommand='/x'\n[confinement]\nseccomp='service'\n\
                 writable=['/a']\nread_only=['/a']",
                "both writable and read_only: /a",
            ),
            (
                "umask",
                "name='umask'\ncommand='/x'\n[confinement]\nseccomp='service'\numask=0o1000",
                "confinement.umask: not permission bits: 1000",
            ),
            (
                "caps",
                "name='caps'\ncommand='/x'\n[confinement]\nseccomp='service'\ncapabilities=['fly']",
                "confinement.capabilities: unknown: fly",
            ),
        ] {
            let path = dir.join(format!("{name}.toml"));
            fs::write(&path, text).unwrap();
            let error = read(&path, name).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains(name), "{error}");
        }
        assert_eq!(load(&dir).broken.len(), 6);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_manifests_of_the_repository_are_right() {
        let loaded = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("services"));
        assert!(loaded.broken.is_empty(), "{:?}", loaded.broken);
        assert_eq!(loaded.services.len(), 5);
    }
}
