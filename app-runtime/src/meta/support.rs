//! What of the schema is not honoured: refused ([`check`]), or for people and desktops only
//! ([`told`]). Everything else is honoured. docs/reference/snap-yaml.md has a row for each field; a
//! test holds it to this code.

use super::{app::RefreshMode, invalid, snap::Snap};
use crate::error::Result;

/// What `assumes` may name: snapd's features that are here as well.
const FEATURES: [&str; 5] =
    ["command-chain", "common-data-dir", "snap-env", "app-refresh-mode", "snap-uid-envvars"];

/// Refuses what has no meaning on a gateway.
pub(super) fn check(snap: &Snap) -> Result<()> {
    let refuse =
        |field: String, why: &str| Err(invalid(field, format!("not supported here: {why}")));
    if snap.components.is_some() {
        return refuse("components".into(), "a snap is installed whole");
    }
    if snap.system_usernames.is_some() {
        let why = "each snap has one user of its own, and never is root";
        return refuse("system-usernames".into(), why);
    }
    for feature in &snap.assumes {
        if !FEATURES.contains(&feature.as_str()) && !is_version(feature) {
            return refuse("assumes".into(), &format!("{feature:?} is not here"));
        }
    }
    for (name, app) in &snap.apps {
        let field = |key: &str| format!("apps.{name}.{key}");
        if app.bus_name.is_some() || !app.activates_on.is_empty() {
            let key = if app.bus_name.is_some() { "bus-name" } else { "activates-on" };
            return refuse(field(key), "there is no D-Bus");
        }
        if app.daemon_scope.as_deref().is_some_and(|scope| scope != "system") {
            return refuse(field("daemon-scope"), "nobody logs in: only \"system\"");
        }
        match (app.refresh_mode, app.daemon) {
            (Some(RefreshMode::Endure), _) => {
                return refuse(field("refresh-mode"), "no service outlives its revision");
            }
            (Some(RefreshMode::IgnoreRunning), Some(_)) | (Some(RefreshMode::Restart), None) => {
                return refuse(
                    field("refresh-mode"),
                    "services take restart, commands ignore-running",
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// `snapd2.55`: a version of snapd, which this is not.
fn is_version(feature: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    feature.strip_prefix("snapd").is_some_and(|version| version.split('.').all(number))
}

/// What is accepted although nothing here looks at it, each with the reason: told at the install.
pub fn told(snap: &Snap) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |field: String, why: &str| told.push(format!("snap.yaml: {field}: {why}"));
    if let Some(version) = snap.assumes.iter().find(|feature| is_version(feature)) {
        tell("assumes".into(), &format!("{version} is a version of snapd, which this is not"));
    }
    for (name, app) in &snap.apps {
        for (key, given, why) in [
            ("aliases", !app.aliases.is_empty(), "there is no shell to type them in"),
            ("completer", app.completer.is_some(), "there is no shell to complete in"),
            ("desktop", app.desktop.is_some(), "there is no desktop"),
            ("autostart", app.autostart.is_some(), "there is no desktop session"),
        ] {
            if given {
                tell(format!("apps.{name}.{key}"), why);
            }
        }
    }
    told
}
