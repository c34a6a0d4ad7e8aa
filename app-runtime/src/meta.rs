//! `meta/snap.yaml`: the fields of the snapcraft schema that make sense here. Anything else is
//! refused by name and path,
//! never silently dropped.

use crate::{
    duration,
    error::{Error, Result},
};
use serde::{Deserialize, Deserializer, de};
use std::{collections::BTreeMap, time::Duration};

/// Largest snap.yaml in bytes. Depth and aliases are bounded by the parser.
pub const MAX_YAML: u64 = 64 * 1024;
/// Most apps in one snap.
const MAX_APPS: usize = 64;
/// snapd's limit for names of snaps and apps.
const MAX_NAME: usize = 40;
/// snapd's limit for versions.
const MAX_VERSION: usize = 32;
/// How long a service may take to end after the signal, unless it says so.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// What `architectures` may name on this machine.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// A whole snap.yaml, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Snap {
    /// Lower-case letters, digits and hyphens.
    pub name: String,
    /// For people.
    pub version: String,
    /// One line.
    #[serde(default)]
    pub summary: String,
    /// Several lines.
    #[serde(default)]
    pub description: String,
    /// `app` and nothing else.
    #[serde(default = "app", rename = "type")]
    pub kind: String,
    /// Absent or `bare`: the snap is its own root.
    #[serde(default)]
    pub base: Option<String>,
    /// `all`, or those that it runs on.
    #[serde(default = "all")]
    pub architectures: Vec<String>,
    /// `strict` and nothing else.
    #[serde(default = "strict")]
    pub confinement: String,
    /// `stable` or `devel`.
    #[serde(default = "stable")]
    pub grade: String,
    /// Environment of all apps.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Plugs by name; those that no app names belong to all apps.
    #[serde(default)]
    pub plugs: BTreeMap<String, Option<Plug>>,
    /// Commands and services.
    #[serde(default)]
    pub apps: BTreeMap<String, App>,
    /// For people.
    #[serde(default)]
    pub title: Option<String>,
    /// For people.
    #[serde(default)]
    pub license: Option<String>,
    /// For people.
    #[serde(default)]
    pub website: Option<String>,
    /// For people.
    #[serde(default)]
    pub contact: Option<String>,
}

/// A plug with attributes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plug {
    /// Interface, where it is not the plug's name.
    #[serde(default)]
    pub interface: Option<String>,
}

/// One app.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct App {
    /// Program in the snap and its arguments, separated by spaces.
    pub command: String,
    /// Absent: a command that nothing starts.
    #[serde(default)]
    pub daemon: Option<Daemon>,
    /// Added to the snap's.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Plugs that it uses.
    #[serde(default)]
    pub plugs: Vec<String>,
    /// When to start it again after it ended.
    #[serde(default)]
    pub restart_condition: RestartCondition,
    /// Wait at least this long before starting it again.
    #[serde(default, deserialize_with = "optional_duration")]
    pub restart_delay: Option<Duration>,
    /// How long it may take to end after SIGTERM.
    #[serde(default = "stop_timeout", deserialize_with = "some_duration")]
    pub stop_timeout: Duration,
}

/// How a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Daemon {
    /// Runs until it is stopped.
    Simple,
    /// Does something and ends.
    Oneshot,
}

impl Daemon {
    /// As snap.yaml writes it.
    pub fn name(self) -> &'static str {
        match self {
            Daemon::Simple => "simple",
            Daemon::Oneshot => "oneshot",
        }
    }
}

/// When a service that ended by itself is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// After an exit code other than 0 or a signal.
    #[default]
    OnFailure,
    /// After exit code 0.
    OnSuccess,
    /// After a signal.
    OnAbnormal,
    /// After a signal that means a crash.
    OnAbort,
    /// Whenever it ended.
    Always,
    /// Not at all.
    Never,
}

impl RestartCondition {
    /// Whether to start again after this exit code (128 + N for signal N).
    pub fn holds(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::OnSuccess => code == 0,
            Self::OnFailure => code != 0,
            Self::OnAbnormal => code > 128,
            Self::OnAbort => [4, 6, 7, 8, 11].contains(&(code - 128)),
        }
    }
}

fn app() -> String {
    "app".into()
}
fn strict() -> String {
    "strict".into()
}
fn stable() -> String {
    "stable".into()
}
fn all() -> Vec<String> {
    vec!["all".into()]
}
fn stop_timeout() -> Duration {
    STOP_TIMEOUT
}

fn some_duration<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Duration, D::Error> {
    duration::parse(&String::deserialize(from)?).map_err(de::Error::custom)
}

fn optional_duration<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<Duration>, D::Error> {
    some_duration(from).map(Some)
}

fn invalid(field: &str, why: impl std::fmt::Display) -> Error {
    Error::refused("snap-invalid", format!("snap.yaml: {field}: {why}"))
}

/// Reads and checks a snap.yaml.
pub fn parse(text: &str) -> Result<Snap> {
    if text.len() as u64 > MAX_YAML {
        return Err(invalid("file", format!("larger than {MAX_YAML} bytes")));
    }
    let snap: Snap = serde_norway::from_str(text)
        .map_err(|e| Error::refused("snap-invalid", format!("snap.yaml: {e}")))?;
    snap.check()?;
    Ok(snap)
}

impl Snap {
    fn check(&self) -> Result<()> {
        check_name("name", &self.name)?;
        check_version(&self.version)?;
        only("type", &self.kind, &["app"])?;
        if let Some(base) = &self.base {
            only("base", base, &["bare"])?;
        }
        only("confinement", &self.confinement, &["strict"])?;
        only("grade", &self.grade, &["stable", "devel"])?;
        if !self.architectures.iter().any(|a| a == "all" || a == ARCHITECTURE) {
            let why = format!("made for {}, this is {ARCHITECTURE}", self.architectures.join(", "));
            return Err(Error::refused("snap-architecture", format!("{}: {why}", self.name)));
        }
        if self.apps.len() > MAX_APPS {
            return Err(invalid("apps", format!("more than {MAX_APPS}")));
        }
        check_environment("environment", &self.environment)?;
        for (name, app) in &self.apps {
            let field = format!("apps.{name}");
            check_name(&field, name)?;
            check_environment(&format!("{field}.environment"), &app.environment)?;
            check_command(&format!("{field}.command"), &app.command)?;
        }
        Ok(())
    }

    /// Services with their names as `snap.app`.
    pub fn services(&self) -> impl Iterator<Item = (String, &App, Daemon)> {
        self.apps.iter().filter_map(|(name, app)| {
            app.daemon.map(|daemon| (format!("{}.{name}", self.name), app, daemon))
        })
    }

    /// Interfaces that an app asks for: its own plugs, and the snap's that no app names.
    pub fn interfaces_of(&self, app: &App) -> Vec<String> {
        let named = |plug: &str| self.apps.values().any(|a| a.plugs.iter().any(|p| p == plug));
        let shared = self.plugs.keys().filter(|plug| !named(plug));
        let mut interfaces: Vec<String> = app
            .plugs
            .iter()
            .chain(shared)
            .map(|plug| {
                let attributes = self.plugs.get(plug).and_then(Option::as_ref);
                attributes.and_then(|a| a.interface.clone()).unwrap_or_else(|| plug.clone())
            })
            .collect();
        interfaces.sort();
        interfaces.dedup();
        interfaces
    }
}

fn only(field: &str, value: &str, allowed: &[&str]) -> Result<()> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(invalid(field, format!("{value:?} is not supported here (only {})", allowed.join(", "))))
}

/// snapd's rule: lower-case letters, digits, single hyphens inside, at least one letter.
/// Whether a text can be the name of a snap or app; the error names the field.
pub(crate) fn check_name(field: &str, name: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    let letter = name.bytes().any(|b| b.is_ascii_lowercase());
    if plain && !hyphens && letter && name.len() <= MAX_NAME {
        return Ok(());
    }
    let rule = format!("lower-case letters, digits and single hyphens, at most {MAX_NAME}");
    Err(invalid(field, format!("{name:?} is not a name ({rule})")))
}

fn check_version(version: &str) -> Result<()> {
    let plain = version.bytes().all(|b| b.is_ascii_alphanumeric() || b":.+~-_".contains(&b));
    let ends = version.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if plain && ends && version.len() <= MAX_VERSION {
        return Ok(());
    }
    Err(invalid(
        "version",
        format!("{version:?} is not a version of at most {MAX_VERSION} characters"),
    ))
}

fn check_environment(field: &str, environment: &BTreeMap<String, String>) -> Result<()> {
    for (name, value) in environment {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || name.is_empty() || value.contains('\0') {
            return Err(invalid(&format!("{field}.{name}"), "not a variable"));
        }
    }
    Ok(())
}

/// snapd's rule for the characters; the program is a plain path inside the snap.
fn check_command(field: &str, command: &str) -> Result<()> {
    let plain = command.bytes().all(|b| b.is_ascii_alphanumeric() || b"/. _#:$-=,@+".contains(&b));
    let program = command.split(' ').next().unwrap_or_default();
    let inside = !program.is_empty()
        && !program.starts_with('/')
        && !program.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if plain && inside {
        return Ok(());
    }
    Err(invalid(field, format!("{command:?} is not a program of the snap and its arguments")))
}

#[cfg(test)]
mod tests {
    use super::{RestartCondition, parse};

    const GOOD: &str = "name: hello\nversion: '1.0'\n";

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let rows = [
            ("hooks: {}\n", "unknown field `hooks`"),
            (
                "apps: {a: {command: bin/a, daemon: simple, sockets: {}}}\n",
                "apps.a: unknown field `sockets`",
            ),
            (
                "apps: {a: {command: bin/a, daemon: forking}}\n",
                "apps.a.daemon: unknown variant `forking`",
            ),
            (
                "confinement: classic\n",
                "confinement: \"classic\" is not supported here (only strict)",
            ),
            ("type: gadget\n", "type: \"gadget\" is not supported here (only app)"),
            ("base: core22\n", "base: \"core22\" is not supported here (only bare)"),
            ("architectures: [s390x]\n", "hello: made for s390x"),
            ("plugs: {network: {colour: red}}\n", "plugs.network: unknown field `colour`"),
            (
                "apps: {a: {command: ../../bin/sh}}\n",
                "apps.a.command: \"../../bin/sh\" is not a program",
            ),
            ("apps: {a: {command: /bin/sh}}\n", "apps.a.command: \"/bin/sh\" is not a program"),
            ("apps: {A: {command: bin/a}}\n", "apps.A: \"A\" is not a name"),
            (
                "apps: {a: {command: bin/a, restart-delay: soon}}\n",
                "apps.a: \"soon\" is not a duration",
            ),
            ("environment: {'A=B': x}\n", "environment.A=B: not a variable"),
        ];
        for (more, expected) in rows {
            let message = parse(&format!("{GOOD}{more}")).unwrap_err().to_string();
            assert!(message.contains(expected), "{more}: {message}");
        }
    }

    #[test]
    fn names_and_versions() {
        for name in ["a", "hello", "a-b", "a1", "1a"] {
            assert!(parse(&format!("name: '{name}'\nversion: '1'\n")).is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "a--b", "A", "a_b", "../a", "1", "a/b", "a.b"] {
            assert!(parse(&format!("name: '{name}'\nversion: '1'\n")).is_err(), "{name}");
        }
        for version in ["", "-1", "1 2", "a/b", "123456789012345678901234567890123"] {
            assert!(parse(&format!("name: a\nversion: '{version}'\n")).is_err(), "{version}");
        }
    }

    #[test]
    fn a_bomb_is_refused_and_not_expanded() {
        let deep = format!("{GOOD}apps: {}", "[".repeat(10_000));
        assert!(parse(&deep).is_err());
        let mut laughs = String::from("name: a\nversion: '1'\nx0: &x0 [a,a,a,a,a,a,a,a,a]\n");
        for i in 1..12 {
            let previous = format!("*x{},", i - 1).repeat(9);
            laughs.push_str(&format!("x{i}: &x{i} [{previous}]\n"));
        }
        assert!(parse(&laughs).is_err());
        assert!(parse(&format!("{GOOD}description: {}", "x".repeat(70_000))).is_err());
    }

    #[test]
    fn plugs_of_the_snap_belong_to_all_apps_unless_one_names_them() {
        let snap = parse(&format!(
            "{GOOD}plugs: {{network: null, web: {{interface: network-bind}}}}\n\
             apps: {{a: {{command: a, plugs: [web]}}, b: {{command: b}}}}\n"
        ))
        .unwrap();
        assert_eq!(snap.interfaces_of(&snap.apps["a"]), ["network", "network-bind"]);
        assert_eq!(snap.interfaces_of(&snap.apps["b"]), ["network"]);
    }

    #[test]
    fn restart_conditions() {
        use RestartCondition::*;
        // Exit codes: success, failure, SIGTERM, SIGSEGV.
        let rows = [
            (OnFailure, [false, true, true, true]),
            (OnSuccess, [true, false, false, false]),
            (OnAbnormal, [false, false, true, true]),
            (OnAbort, [false, false, false, true]),
            (Always, [true, true, true, true]),
            (Never, [false, false, false, false]),
        ];
        for (condition, expected) in rows {
            assert_eq!(
                [0, 1, 143, 139].map(|code| condition.holds(code)),
                expected,
                "{condition:?}"
            );
        }
    }
}
