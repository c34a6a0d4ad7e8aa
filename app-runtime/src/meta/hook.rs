//! Hooks: programs of a snap that are run when something happens to it.

use super::{environment::Environment, invalid};
use crate::error::Result;
use serde::Deserialize;

/// The hooks that have a meaning here.
pub const KNOWN: [&str; 7] = [
    "install",
    "configure",
    "default-configure",
    "pre-refresh",
    "post-refresh",
    "remove",
    "check-health",
];

/// Hooks that snapd runs on occasions that do not exist here, by how their names begin.
const ELSEWHERE: [(&str, &str); 12] = [
    ("prepare-device", "there is no store to register with"),
    ("install-device", "there is no store to register with"),
    ("prepare-serial-request", "there is no store to register with"),
    ("prepare-", "connections are made without asking the snap"),
    ("unprepare-", "connections are made without asking the snap"),
    ("connect-", "connections are made without asking the snap"),
    ("disconnect-", "connections are made without asking the snap"),
    ("fde-setup", "the disk is not encrypted"),
    ("gate-auto-refresh", "nothing is refreshed by itself"),
    ("change-view-", "there are no confdb views"),
    ("save-view-", "there are no confdb views"),
    ("query-view-", "there are no confdb views"),
];

/// How a hook is run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hook {
    /// Plugs that it uses.
    #[serde(default)]
    pub plugs: Vec<String>,
    /// Slots that it provides.
    #[serde(default)]
    pub slots: Vec<String>,
    /// Added to the snap's.
    #[serde(default)]
    pub environment: Environment,
    /// Programs in the snap, each of which gets what follows as its arguments.
    #[serde(default)]
    pub command_chain: Vec<String>,
}

/// Refuses a hook that would never run, and says why.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if KNOWN.contains(&name) {
        return Ok(());
    }
    let elsewhere = ELSEWHERE.iter().find(|(begin, _)| name.starts_with(begin));
    let why = elsewhere.map_or("no such hook is known", |(_, why)| why);
    Err(invalid(format!("hooks.{name}"), format!("it would never run: {why}")))
}
