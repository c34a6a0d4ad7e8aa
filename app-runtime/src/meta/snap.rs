//! The file as a whole.

use super::{
    app::{App, Daemon, StopMode},
    environment::Environment,
    epoch::Epoch,
    hook::{self, Hook},
    layout::Layout,
    order,
    plug::Plug,
};
use crate::{error::Result, state::Role};
use oci::process::ImageProcess;
use protocol::quota::Quota;
use rustix::process::Signal;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_norway::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Bases that are no snap.
const OWN_ROOT: [&str; 2] = ["bare", "none"];

/// A whole snap.yaml, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Snap {
    /// Lower-case letters, digits and hyphens.
    pub name: String,
    /// For people.
    pub version: String,
    /// For people, at most 40 characters.
    #[serde(default)]
    pub title: String,
    /// One line.
    #[serde(default)]
    pub summary: String,
    /// Several lines.
    #[serde(default)]
    pub description: String,
    /// `app` or `base`.
    #[serde(default = "app", rename = "type")]
    pub kind: String,
    /// Absent or `bare`: the snap is its own root; else the snap whose files are.
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
    /// Which data it can read, and which it writes.
    #[serde(default)]
    pub epoch: Epoch,
    /// What the system that runs it must have.
    #[serde(default)]
    pub assumes: Vec<String>,
    /// Environment of all apps and hooks.
    #[serde(default)]
    pub environment: Environment,
    /// Plugs by name; those that no app or hook names belong to all of them.
    #[serde(default)]
    pub plugs: BTreeMap<String, Plug>,
    /// Slots by name, bound to apps as plugs are.
    #[serde(default)]
    pub slots: BTreeMap<String, Plug>,
    /// Commands and services.
    #[serde(default)]
    pub apps: BTreeMap<String, App>,
    /// Hooks, also those that the file does not name once [`Snap::add_hooks`] was called.
    #[serde(default, deserialize_with = "or_defaults")]
    pub hooks: BTreeMap<String, Hook>,
    /// Places of the app's view that the snap fills, by path.
    #[serde(default)]
    pub layout: BTreeMap<String, Layout>,
    /// What all its processes together may use, unless a person says otherwise.
    #[serde(default, deserialize_with = "bounds")]
    pub quota: Quota,
    /// SPDX expression, for people.
    #[serde(default)]
    pub license: Option<String>,
    /// Addresses by kind, for people.
    #[serde(default)]
    pub links: BTreeMap<String, Vec<String>>,
    /// For people.
    #[serde(default)]
    pub website: Option<String>,
    /// For people.
    #[serde(default)]
    pub contact: Option<String>,
    /// For people.
    #[serde(default)]
    pub donation: Option<String>,
    /// For people.
    #[serde(default)]
    pub issues: Option<String>,
    /// For people.
    #[serde(default)]
    pub source_code: Option<String>,
    /// How it came to the store, for people.
    #[serde(default)]
    pub provenance: Option<String>,
    /// A picture, for people.
    #[serde(default)]
    pub icon: Option<String>,
    /// Parts of a snap that are installed singly.
    #[serde(default)]
    pub components: Option<Value>,
    /// Users that its services become.
    #[serde(default)]
    pub system_usernames: Option<Value>,
    /// Not of the file: how to run it, where it was made of an image.
    #[serde(skip)]
    pub image: Option<ImageProcess>,
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

/// A map whose values may be left out: `configure:` alone.
fn or_defaults<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> std::result::Result<BTreeMap<String, T>, D::Error> {
    let map = BTreeMap::<String, Option<T>>::deserialize(from)?;
    Ok(map.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect())
}

/// Bounds by name; each a text, a number, or a list of numbers.
fn bounds<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Quota, D::Error> {
    let wrong = |name: &str, why: &str| D::Error::custom(format!("quota.{name}: {why}"));
    let mut quota = Quota::default();
    for (name, value) in BTreeMap::<String, Value>::deserialize(from)? {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let text = match &value {
            Value::Sequence(list) => list.iter().map(text).collect::<Option<Vec<_>>>(),
            one => text(one).map(|text| vec![text]),
        };
        let text = text.ok_or_else(|| wrong(&name, "not a text, a number or numbers"))?;
        quota.set(&name, &text.join(",")).map_err(|why| wrong(&name, &why))?;
    }
    Ok(quota)
}

impl Snap {
    /// Services with their names as `snap.app`, in the order in which they start.
    pub fn services(&self) -> impl Iterator<Item = (String, &App, Daemon)> {
        // A cycle was refused when the file was read.
        let names = order::services(&self.apps).unwrap_or_default();
        names.into_iter().filter_map(|name| {
            let app = self.apps.get(&name)?;
            Some((format!("{}.{name}", self.name), app, app.daemon?))
        })
    }

    /// The hooks that lie in `meta/hooks` and that the file does not name.
    pub fn add_hooks(&mut self, names: impl IntoIterator<Item = String>) -> Result<()> {
        for name in names {
            hook::check_name(&name)?;
            self.hooks.entry(name).or_default();
        }
        Ok(())
    }

    /// How a service is stopped: as it says, else as the image that it was made of does, whose
    /// first process is meant to hear it.
    pub fn stop_mode(&self, app: &App) -> StopMode {
        let of_image = || {
            let signal = Signal::from_named_raw(self.image.as_ref()?.stop_signal.into())?;
            Some(StopMode { signal, all: false })
        };
        app.stop_mode.or_else(of_image).unwrap_or_default()
    }

    /// Interfaces that an app asks for: its own plugs, and the snap's that nothing names.
    pub fn interfaces_of(&self, app: &App) -> Vec<String> {
        let mut interfaces: Vec<String> =
            self.plugs_of(&app.plugs).map(|plug| self.interface_of(plug).into()).collect();
        interfaces.sort();
        interfaces.dedup();
        interfaces
    }

    /// What it is to other snaps.
    pub fn role(&self) -> Role {
        match self.base.as_deref().filter(|base| !OWN_ROOT.contains(base)) {
            _ if self.kind == "base" => Role::Base,
            Some(base) => Role::On(base.into()),
            None => Role::Alone,
        }
    }

    /// Names of all plugs.
    pub fn all_plugs(&self) -> BTreeSet<&str> {
        let apps = self.apps.values().flat_map(|app| &app.plugs);
        let hooks = self.hooks.values().flat_map(|hook| &hook.plugs);
        self.plugs.keys().chain(apps).chain(hooks).map(String::as_str).collect()
    }

    /// Names of the plugs of an app or hook that names `own`.
    pub fn plugs_of<'a>(&'a self, own: &'a [String]) -> impl Iterator<Item = &'a str> {
        let named = |plug: &String| {
            self.apps.values().any(|app| app.plugs.contains(plug))
                || self.hooks.values().any(|hook| hook.plugs.contains(plug))
        };
        let shared = self.plugs.keys().filter(move |plug| !named(plug));
        own.iter().chain(shared).map(String::as_str)
    }

    /// The interface of a plug: what it says, else its name.
    pub fn interface_of<'a>(&'a self, plug: &'a str) -> &'a str {
        self.plugs.get(plug).and_then(|plug| plug.interface.as_deref()).unwrap_or(plug)
    }
}
