//! An app as a [`Confinement`] and a [`Process`].

use crate::{
    interface::{Interface, Network},
    meta::{App, Snap},
    paths::Paths,
};
use sandbox::{
    CgroupPlace, Confinement, IdMap, Identity, Limits, Mount, Process, Resource, profile,
};
use std::path::PathBuf;

/// Memory of one service in bytes.
const MEMORY_MAX: u64 = 128 << 20;
/// Processes and threads of one service.
const PIDS_MAX: u64 = 128;
/// Share of the processor against the system's 100.
const CPU_WEIGHT: u32 = 50;
/// Size of an app's /tmp and /run in bytes; their pages count as the service's memory.
const TMP_SIZE: u64 = 16 << 20;
/// Open files of one process.
const OPEN_FILES: u64 = 1024;
/// Controllers that the limits need.
pub const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// What is the same for all services of a revision.
#[derive(Debug, Clone)]
pub struct Place {
    /// User and group.
    pub uid: u32,
    /// Revision.
    pub revision: u32,
    /// Controllers that the machine lacks; their limits are not set, which appd's log tells at
    /// start.
    pub missing: Vec<&'static str>,
}

/// What bounds the service `service` (`snap.app`).
pub fn confinement(
    paths: &Paths,
    snap: &Snap,
    service: &str,
    place: &Place,
    granted: &[&Interface],
) -> Confinement {
    let mount = paths.mount(&snap.name, place.revision);
    let identity = Identity { uid: place.uid, gid: place.uid };
    // The same number on both sides, so that data folders of earlier releases keep their owner.
    let ids = IdMap { inside: place.uid, outside: place.uid, count: 1 };
    let mut confinement = Confinement::app(&mount, identity, ids, &profile::APP);
    confinement.hostname = Some(snap.name.clone());
    confinement.mounts = mounts(paths, snap, place, mount);
    if granted.iter().any(|interface| interface.network == Network::Host) {
        confinement.namespaces.net = false;
        confinement.mounts.push(Mount::Bind {
            source: paths.app_resolver(),
            target: "/etc/resolv.conf".into(),
            writable: false,
            executable: false,
        });
    }
    let unless_missing = |controller| !place.missing.contains(&controller);
    confinement.cgroup = Some(CgroupPlace {
        path: paths.service_cgroup(service),
        limits: Limits {
            memory_max: unless_missing("memory").then_some(MEMORY_MAX),
            pids_max: unless_missing("pids").then_some(PIDS_MAX),
            cpu_weight: unless_missing("cpu").then_some(CPU_WEIGHT),
            ..Limits::default()
        },
    });
    confinement.rlimits = vec![(Resource::Nofile, OPEN_FILES), (Resource::Core, 0)];
    confinement
}

fn mounts(paths: &Paths, snap: &Snap, place: &Place, mount: PathBuf) -> Vec<Mount> {
    let bind = |source, target: String, writable, executable| Mount::Bind {
        source,
        target: target.into(),
        writable,
        executable,
    };
    let owner = Identity { uid: 0, gid: 0 };
    let tmpfs = |target: &str, mode| {
        let target = target.into();
        Mount::Tmpfs { target, size: TMP_SIZE, mode, owner }
    };
    vec![
        Mount::Proc,
        Mount::Dev,
        tmpfs("/tmp", 0o1777),
        tmpfs("/run", 0o1777),
        bind(mount, snap_directory(snap), false, true),
        bind(paths.common(&snap.name), format!("{}/common", data_directory(snap)), true, true),
        bind(
            paths.revision_data(&snap.name, place.revision),
            format!("{}/{}", data_directory(snap), place.revision),
            true,
            true,
        ),
    ]
}

fn snap_directory(snap: &Snap) -> String {
    format!("/snap/{}/current", snap.name)
}

fn data_directory(snap: &Snap) -> String {
    format!("/var/snap/{}", snap.name)
}

/// What is executed, without its descriptors.
pub fn process(snap: &Snap, app: &App, place: &Place) -> Process<'static> {
    let directory = snap_directory(snap);
    let mut words = app.command.split(' ').filter(|word| !word.is_empty());
    let program = format!("{directory}/{}", words.next().unwrap_or_default());
    let data = format!("{}/{}", data_directory(snap), place.revision);
    let mut env: Vec<(String, String)> = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("SNAP", &directory),
        ("SNAP_NAME", &snap.name),
        ("SNAP_INSTANCE_NAME", &snap.name),
        ("SNAP_VERSION", &snap.version),
        ("SNAP_REVISION", &place.revision.to_string()),
        ("SNAP_DATA", &data),
        ("SNAP_COMMON", &format!("{}/common", data_directory(snap))),
        ("SNAP_ARCH", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
        ("HOME", &data),
        ("TMPDIR", "/tmp"),
    ]
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .to_vec();
    for (name, value) in snap.environment.iter().chain(&app.environment) {
        env.retain(|(existing, _)| existing != name);
        env.push((name.clone(), expand(value, &env)));
    }
    Process {
        args: words.map(Into::into).collect(),
        env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        cwd: data.into(),
        ..Process::new(program)
    }
}

/// `$NAME` and `${NAME}` from the variables so far, as snapd does; unknown ones become empty.
fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, remaining) = match after.strip_prefix('{').and_then(|a| a.split_once('}')) {
            Some(parts) => parts,
            None => {
                let plain = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
                after.split_at(after.find(plain).unwrap_or(after.len()))
            }
        };
        if let Some((_, value)) = env.iter().find(|(existing, _)| existing == name) {
            out.push_str(value);
        }
        rest = remaining;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn variables_are_expanded() {
        let env = [("SNAP".to_string(), "/snap/x/current".to_string())];
        for (text, expected) in [
            ("plain", "plain"),
            ("$SNAP/lib", "/snap/x/current/lib"),
            ("${SNAP}lib:$NONE", "/snap/x/currentlib:"),
            ("100$", "100"),
        ] {
            assert_eq!(expand(text, &env), expected, "{text}");
        }
    }
}
