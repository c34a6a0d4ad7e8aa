//! What a plug may grant: `interfaces/*.toml`.

use crate::error::{Context, Error, Result};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::Path};

/// Largest interface file in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// One interface.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// What plugs call it; the file's name.
    pub name: String,
    /// For people.
    pub summary: String,
    /// Granted to every snap that asks.
    pub auto_connect: bool,
    /// The network that the app gets.
    #[serde(default)]
    pub network: Network,
}

/// Which network an app sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A loopback interface of its own.
    #[default]
    Own,
    /// The device's.
    Host,
}

/// All interfaces by name.
#[derive(Debug, Clone, Default)]
pub struct Interfaces(BTreeMap<String, Interface>);

impl Interfaces {
    /// Reads all files of a directory; none is no interfaces.
    pub fn load(directory: &Path) -> Result<Self> {
        let mut all = BTreeMap::new();
        let Ok(list) = fs::read_dir(directory) else { return Ok(Self::default()) };
        for entry in list {
            let path = entry.at("list", directory)?.path();
            if path.extension().is_none_or(|e| e != "toml") {
                continue;
            }
            let wrong =
                |why: String| Error::refused("interface", format!("{}: {why}", path.display()));
            if fs::metadata(&path).at("read", &path)?.len() > MAX_FILE {
                return Err(wrong("too large".into()));
            }
            let text = fs::read_to_string(&path).at("read", &path)?;
            let interface: Interface = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
            if path.file_stem().is_none_or(|stem| *stem != *interface.name) {
                return Err(wrong(format!("is named {}", interface.name)));
            }
            all.insert(interface.name.clone(), interface);
        }
        Ok(Self(all))
    }

    /// Those of `wanted` that are granted; one that does not exist is an error.
    pub fn grant(&self, snap: &str, wanted: &[String]) -> Result<Vec<&Interface>> {
        let mut granted = Vec::new();
        for name in wanted {
            let interface = self.0.get(name).ok_or_else(|| {
                let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
                let why = format!("no interface {name} here (there are: {})", known.join(", "));
                Error::refused("interface-unknown", format!("{snap}: snap.yaml: plugs: {why}"))
            })?;
            if interface.auto_connect {
                granted.push(interface);
            }
        }
        Ok(granted)
    }
}
