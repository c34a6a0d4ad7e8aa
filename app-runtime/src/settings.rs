//! What was decided about an installed snap, by people and by the snap itself: its configuration,
//! which plugs are connected, what it may use, and which services do not start with it.
//!
//! What always holds: settings are replaced only in one write with the rest of the state; a hook's
//! edits are applied to what is there when it has ended, all of them or none; keys and sizes are
//! bounded, whoever sets them.

use crate::{
    error::{Error, Result},
    meta::Snap,
};
use protocol::quota::Quota;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Code of a configuration, or a part of one, that cannot be.
const CONFIG_CODE: &str = "config-invalid";
/// Largest configuration of a snap in bytes of JSON.
pub(crate) const MAX_CONFIG: usize = 64 * 1024;
/// Most parts of a key: `a.b.c` has three.
const MAX_DEPTH: usize = 16;
/// Longest key in bytes.
const MAX_KEY: usize = 256;

/// Values by the first part of their keys.
pub type Config = BTreeMap<String, Value>;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What `snapctl set` sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: Config,
    /// What a person decided of a plug; the interface's policy holds for the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub connections: BTreeMap<String, Connection>,
    /// What all its processes together may use.
    #[serde(default, skip_serializing_if = "Quota::is_none")]
    pub quota: Quota,
    /// Services that are not started with the snap.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub idle: BTreeSet<String>,
}

/// What a person decided of a plug.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Connected, or not to be, whatever the policy is.
    pub connected: bool,
    /// Attributes that the person gave; the plug's hold for the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
}

/// One change of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A value at a key; null takes it away.
    Set(String, Value),
    /// Nothing at a key.
    Unset(String),
    /// Whether a service starts with the snap.
    Startup(String, bool),
}

impl Settings {
    /// What a person bounds a snap to, and where no person does what it bounds itself to.
    pub fn quota_of(&self, snap: &Snap) -> Quota {
        self.quota.clone().or(&snap.quota)
    }

    /// Nothing was decided.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Applies all edits, or none when one cannot be.
    pub fn apply(&mut self, edits: &[Edit]) -> Result<()> {
        let mut changed = self.clone();
        for edit in edits {
            match edit {
                Edit::Set(key, value) => set(&mut changed.config, key, value.clone())?,
                Edit::Unset(key) => set(&mut changed.config, key, Value::Null)?,
                Edit::Startup(service, true) => drop(changed.idle.remove(service)),
                Edit::Startup(service, false) => drop(changed.idle.insert(service.clone())),
            }
        }
        let size = serde_json::to_vec(&changed.config).map_or(usize::MAX, |text| text.len());
        if size > MAX_CONFIG {
            let why = format!("the configuration has {size} bytes, at most {MAX_CONFIG}");
            return Err(Error::refused(CONFIG_CODE, why));
        }
        *self = changed;
        Ok(())
    }
}

/// A configuration that comes from outside, if it is one that could have been set here.
pub fn checked(config: Config) -> Result<Config> {
    let edits: Vec<Edit> = config.into_iter().map(|(key, value)| Edit::Set(key, value)).collect();
    let mut settings = Settings::default();
    settings.apply(&edits)?;
    Ok(settings.config)
}

/// The value at a key, `a.b.c`.
pub fn get<'a>(config: &'a Config, key: &str) -> Result<Option<&'a Value>> {
    let parts = parts(key)?;
    let mut value = config.get(parts[0]);
    for part in &parts[1..] {
        value = match value {
            None => return Ok(None),
            Some(Value::Object(map)) => map.get(*part),
            Some(_) => return Err(no_map(key)),
        };
    }
    Ok(value)
}

/// Those of some keys that have a value, as one document.
pub fn document(config: &Config, keys: &[String]) -> Result<Value> {
    let mut found = serde_json::Map::new();
    for key in keys {
        if let Some(value) = get(config, key)? {
            found.insert(key.clone(), value.clone());
        }
    }
    Ok(Value::Object(found))
}

fn set(config: &mut Config, key: &str, value: Value) -> Result<()> {
    let parts = parts(key)?;
    let (first, rest) = (parts[0], &parts[1..]);
    let Some((last, between)) = rest.split_last() else {
        match value {
            Value::Null => drop(config.remove(first)),
            value => drop(config.insert(first.into(), without_nulls(value))),
        }
        return Ok(());
    };
    if value.is_null() && get(config, key)?.is_none() {
        return Ok(());
    }
    let mut at = config.entry(first.into()).or_insert_with(|| Value::Object(Default::default()));
    for part in between {
        let map = at.as_object_mut().ok_or_else(|| no_map(key))?;
        at = map.entry(*part).or_insert_with(|| Value::Object(Default::default()));
    }
    let map = at.as_object_mut().ok_or_else(|| no_map(key))?;
    match value {
        Value::Null => drop(map.remove(*last)),
        value => drop(map.insert((*last).into(), without_nulls(value))),
    }
    Ok(())
}

/// Null is "not there", at any depth.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        other => other,
    }
}

fn no_map(key: &str) -> Error {
    Error::refused(CONFIG_CODE, format!("{key}: a part of it is a value that has no parts"))
}

/// The parts of a key, at least one; each as snapd wants it.
fn parts(key: &str) -> Result<Vec<&str>> {
    let parts: Vec<&str> = key.split('.').collect();
    let good = |part: &&str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        part.bytes().all(plain)
            && part.bytes().any(|b| b.is_ascii_lowercase())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && !part.contains("--")
    };
    if key.len() > MAX_KEY || parts.len() > MAX_DEPTH || !parts.iter().all(good) {
        let why = "not a key: lower-case letters, digits and single hyphens, in parts between dots";
        return Err(Error::refused(CONFIG_CODE, format!("{key:?}: {why}")));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(value: Value) -> Config {
        serde_json::from_value(value).expect("a map")
    }

    #[test]
    fn values_are_set_and_taken_away_at_any_depth() {
        let table = [
            (json!({}), "a", json!(1), json!({"a": 1})),
            (json!({}), "a.b.c", json!("x"), json!({"a": {"b": {"c": "x"}}})),
            (json!({"a": {"b": 1}}), "a.c", json!(2), json!({"a": {"b": 1, "c": 2}})),
            (json!({"a": {"b": 1}}), "a", json!({"d": null, "e": 1}), json!({"a": {"e": 1}})),
            (json!({"a": {"b": 1}}), "a.b", Value::Null, json!({"a": {}})),
            (json!({"a": 1}), "a", Value::Null, json!({})),
            (json!({"a": {}}), "a.b.c", Value::Null, json!({"a": {}})),
        ];
        for (before, key, value, after) in table {
            let mut settings = Settings { config: config(before.clone()), ..Settings::default() };
            settings.apply(&[Edit::Set(key.into(), value)]).unwrap();
            assert_eq!(settings.config, config(after), "{before} {key}");
        }
    }

    #[test]
    fn all_edits_are_applied_or_none() {
        let mut settings = Settings { config: config(json!({"a": 1})), ..Settings::default() };
        let before = settings.clone();
        let bad = [
            Edit::Set("A".into(), json!(1)),
            Edit::Set("1".into(), json!(1)),
            Edit::Set("a..b".into(), json!(1)),
            Edit::Set("-a".into(), json!(1)),
            Edit::Set("a--b".into(), json!(1)),
            Edit::Set("a.b".into(), json!(1)),
            Edit::Unset(String::new()),
            Edit::Set("b".into(), json!("x".repeat(MAX_CONFIG))),
            Edit::Set(["b"; 20].join("."), json!(1)),
        ];
        for edit in bad {
            let edits = [Edit::Set("c".into(), json!(2)), edit.clone()];
            assert_eq!(settings.apply(&edits).unwrap_err().code(), CONFIG_CODE, "{edit:?}");
            assert_eq!(settings, before, "{edit:?}");
        }
        let good = [Edit::Unset("a".into()), Edit::Startup("main".into(), false)];
        settings.apply(&good).unwrap();
        assert!(settings.config.is_empty() && settings.idle.contains("main"));
        settings.apply(&[Edit::Startup("main".into(), true)]).unwrap();
        assert!(settings.is_default());
    }

    #[test]
    fn what_is_not_there_is_nothing_and_no_error() {
        let config = config(json!({"a": {"b": 1}, "c": 2}));
        assert_eq!(get(&config, "a.b").unwrap(), Some(&json!(1)));
        assert_eq!(get(&config, "a.x").unwrap(), None);
        assert_eq!(get(&config, "x.y.z").unwrap(), None);
        assert!(get(&config, "c.d").is_err());
    }
}
