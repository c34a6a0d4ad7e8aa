//! What a plug may grant: `interfaces/*.toml`, and which plugs of a snap are granted.
//!
//! | plug | then |
//! |---|---|
//! | connected by a person | granted |
//! | disconnected by a person | not granted |
//! | neither, and its interface connects by itself | granted |
//! | neither, and it does not | not granted |
//!
//! What is granted lacks no attribute: one that nobody gave keeps a plug from being granted.

use crate::{
    content,
    error::{Context, Error, Result},
    meta::Snap,
    network::port::Port,
    settings::Settings,
};
use protocol::change::{ConnectionInfo, InterfaceInfo, PlugName};
use serde::Deserialize;
use serde_norway::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Largest interface file in bytes.
const MAX_FILE: u64 = 64 * 1024;
/// Most ports of one plug.
const MOST_PORTS: usize = 64;
/// The attribute with ports.
const PORTS: &str = "ports";
/// Code of an attribute that cannot be.
const ATTRIBUTE_CODE: &str = "plug-attribute";

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
    /// A piece of hardware that the app gets a descriptor of.
    #[serde(default)]
    pub hardware: Option<Hardware>,
    /// What of the device's files the app sees, at the same place.
    #[serde(default)]
    pub files: Vec<SharedFile>,
    /// The administrator's control socket of appd.
    #[serde(default)]
    pub administers: bool,
    /// What is plugged into USB.
    #[serde(default)]
    pub media: bool,
    /// It gives times of the device's clocks, so that the app reads these, and not its snap's.
    #[serde(default)]
    pub device_clocks: bool,
    /// What a plug, or who connects it, must say.
    #[serde(default)]
    pub attributes: BTreeMap<String, Attribute>,
}

/// Which network an app sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A loopback interface of its own.
    #[default]
    None,
    /// That of its snap, from which it reaches what the device reaches.
    Snap,
    /// The same, and what comes to the ports that the attribute `ports` lists; the device's own
    /// network where it lists none.
    Ports,
}

/// Which piece of hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hardware {
    /// A line of a GPIO chip.
    GpioLine,
    /// An address on an I²C bus.
    I2cAddress,
    /// A chip select of a SPI bus.
    SpiDevice,
    /// A UART.
    SerialPort,
}

/// A file or directory of the device that an app sees.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedFile {
    /// Its path, here and there.
    pub path: PathBuf,
    /// Where the app sees it, if not there.
    #[serde(default)]
    pub at: Option<PathBuf>,
    /// It can be written, as far as its permissions allow.
    #[serde(default)]
    pub writable: bool,
}

/// What must be said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// For people.
    pub summary: String,
    /// A number from 0 to this one; absent: a name.
    #[serde(default)]
    pub most: Option<u32>,
    /// It is a list of ports.
    #[serde(default)]
    pub ports: bool,
    /// What holds when nobody says it.
    #[serde(default)]
    pub default: Option<Value>,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A number.
    Number(u32),
    /// A name: letters, digits, hyphens.
    Name(String),
    /// Ports, each of the device once.
    Ports(Vec<Port>),
}

impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Given::Number(number) => write!(f, "{number}"),
            Given::Name(name) => f.write_str(name),
            Given::Ports(ports) => {
                let texts: Vec<String> = ports.iter().map(Port::to_string).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

/// A plug that is granted.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The plug.
    pub plug: String,
    /// Its interface.
    pub interface: Interface,
    /// All that the interface asks to know.
    pub attributes: BTreeMap<String, Given>,
}

/// The network that a granted plug stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'a> {
    /// None.
    Nothing,
    /// The snap's, to which these ports of the device lead.
    Snap(&'a [Port]),
    /// The device's.
    Device,
}

impl Granted {
    /// A number; 0 when the interface does not ask for it.
    pub fn number(&self, name: &str) -> u32 {
        match self.attributes.get(name) {
            Some(Given::Number(number)) => *number,
            _ => 0,
        }
    }

    /// The network that it stands for; with the ports that lead there.
    pub fn network(&self) -> Reach<'_> {
        match (self.interface.network, self.attributes.get(PORTS)) {
            (Network::None, _) => Reach::Nothing,
            (Network::Ports, Some(Given::Ports(ports))) if !ports.is_empty() => Reach::Snap(ports),
            (Network::Ports, _) => Reach::Device,
            (Network::Snap, _) => Reach::Snap(&[]),
        }
    }

    /// A name; empty when the interface does not ask for it.
    pub fn name(&self, name: &str) -> &str {
        match self.attributes.get(name) {
            Some(Given::Name(name)) => name,
            _ => "",
        }
    }
}

impl Attribute {
    /// What a value means.
    fn read(&self, field: &str, value: &Value) -> Result<Given> {
        let wrong = |why: String| Error::refused(ATTRIBUTE_CODE, format!("{field}: {why}"));
        if self.ports {
            return ports(value).map(Given::Ports).map_err(wrong);
        }
        match (self.most, value) {
            (Some(most), Value::Number(number)) => {
                let fits = number.as_u64().filter(|n| *n <= u64::from(most));
                let number = fits.and_then(|n| u32::try_from(n).ok());
                number.map(Given::Number).ok_or_else(|| wrong(format!("not from 0 to {most}")))
            }
            (Some(most), _) => Err(wrong(format!("not a number from 0 to {most}"))),
            (None, Value::String(name)) if is_name(name) => Ok(Given::Name(name.clone())),
            (None, _) => Err(wrong("not a name of letters, digits and hyphens".into())),
        }
    }
}

/// A list, or as a person writes one: with commas.
fn ports(value: &Value) -> std::result::Result<Vec<Port>, String> {
    let mut ports: Vec<Port> = Vec::new();
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err("not a list of ports".to_string()),
    };
    let texts: Vec<String> = match value {
        Value::Sequence(list) => list.iter().map(text).collect::<std::result::Result<_, _>>()?,
        one => text(one)?.split(',').map(|text| text.trim().to_string()).collect(),
    };
    for port in texts.iter().filter(|text| !text.is_empty()) {
        let port: Port = port.parse()?;
        if ports.iter().any(|other| other.is_the_same(port)) {
            return Err(format!("{port}: that port of the device is named twice"));
        }
        ports.push(port);
    }
    match ports.len() > MOST_PORTS {
        true => Err(format!("more than {MOST_PORTS} ports")),
        false => Ok(ports),
    }
}

/// It becomes part of a path.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    !text.is_empty() && text.len() <= 32 && text.bytes().all(plain)
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
            for (name, attribute) in &interface.attributes {
                if let Some(value) = &attribute.default {
                    attribute.read(name, value).map_err(|e| wrong(e.to_string()))?;
                }
            }
            all.insert(interface.name.clone(), interface);
        }
        Ok(Self(all))
    }

    fn of<'a>(&'a self, snap: &Snap, plug: &str) -> Result<&'a Interface> {
        let name = snap.interface_of(plug);
        self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let why = format!("no interface {name} here (there are: {})", known.join(", "));
            Error::refused("interface-unknown", format!("{}: snap.yaml: plugs: {why}", snap.name))
        })
    }

    /// Refuses a snap with a plug that could never be granted.
    pub fn check(&self, snap: &Snap) -> Result<()> {
        for plug in snap.all_plugs() {
            self.attributes(snap, plug, &BTreeMap::new())?;
        }
        Ok(())
    }

    /// Refuses a connection that would not be granted: an attribute that is unknown, wrong or
    /// missing.
    pub fn check_connection(
        &self,
        snap: &Snap,
        plug: &str,
        given: &BTreeMap<String, serde_json::Value>,
    ) -> Result<()> {
        if !snap.all_plugs().contains(plug) {
            let plugs: Vec<&str> = snap.all_plugs().into_iter().collect();
            let why = format!("{} has no plug {plug:?}, only: {}", snap.name, plugs.join(", "));
            return Err(Error::refused("no-plug", why));
        }
        let (_, missing) = self.attributes(snap, plug, given)?;
        match missing.first() {
            None => Ok(()),
            Some(name) => {
                let summary = &self.of(snap, plug)?.attributes[name].summary;
                let why = format!("{}:{plug} says no {name} ({summary})", snap.name);
                Err(Error::refused(ATTRIBUTE_CODE, format!("{why}: connect it with {name}=…")))
            }
        }
    }

    /// Attributes of a plug, and names of those that nobody gave.
    fn attributes(
        &self,
        snap: &Snap,
        plug: &str,
        given: &BTreeMap<String, serde_json::Value>,
    ) -> Result<(BTreeMap<String, Given>, Vec<String>)> {
        let interface = self.of(snap, plug)?;
        // What a plug of content says was checked with the file, and is for `content`.
        let own = snap.plugs.get(plug).filter(|_| interface.name != content::INTERFACE);
        let own = own.map(|plug| &plug.attributes);
        let names = own.into_iter().flat_map(BTreeMap::keys).chain(given.keys());
        if let Some(name) = names.into_iter().find(|n| !interface.attributes.contains_key(*n)) {
            let why = format!("{}:{plug}: {} knows no attribute {name}", snap.name, interface.name);
            return Err(Error::refused(ATTRIBUTE_CODE, why));
        }
        let (mut read, mut missing) = (BTreeMap::new(), Vec::new());
        for (name, attribute) in &interface.attributes {
            let field = format!("{}:{plug}: {name}", snap.name);
            let by_person = given.get(name).map(serde_norway::to_value);
            let by_person = by_person.transpose().map_err(|e| Error::refused(ATTRIBUTE_CODE, e))?;
            let value = by_person
                .as_ref()
                .or_else(|| own.and_then(|own| own.get(name)))
                .or(attribute.default.as_ref());
            match value {
                Some(value) => drop(read.insert(name.clone(), attribute.read(&field, value)?)),
                None => missing.push(name.clone()),
            }
        }
        Ok((read, missing))
    }

    /// Those of `plugs` that are granted.
    pub fn grant<'a>(
        &self,
        snap: &Snap,
        plugs: impl IntoIterator<Item = &'a str>,
        settings: &Settings,
    ) -> Result<Vec<Granted>> {
        let mut granted: Vec<Granted> = Vec::new();
        for plug in plugs {
            let interface = self.of(snap, plug)?;
            let decision = settings.connections.get(plug);
            let wanted = decision.map_or(interface.auto_connect, |decision| decision.connected);
            if !wanted || granted.iter().any(|other| other.plug == plug) {
                continue;
            }
            let given = decision.map(|decision| decision.attributes.clone()).unwrap_or_default();
            let (attributes, missing) = self.attributes(snap, plug, &given)?;
            if missing.is_empty() {
                let interface = interface.clone();
                granted.push(Granted { plug: plug.into(), interface, attributes });
            }
        }
        Ok(granted)
    }

    /// What became of each plug of a snap.
    pub fn connections(&self, snap: &Snap, settings: &Settings) -> Vec<ConnectionInfo> {
        let granted = self.grant(snap, snap.all_plugs(), settings).unwrap_or_default();
        let describe = |plug: &str| {
            let decision = settings.connections.get(plug);
            let given = decision.map(|decision| decision.attributes.clone()).unwrap_or_default();
            let (read, missing) = self.attributes(snap, plug, &given).unwrap_or_default();
            let known = read.iter().map(|(name, value)| format!("{name}={value}"));
            let missing = missing.iter().map(|name| format!("{name}=?"));
            ConnectionInfo {
                plug: PlugName { snap: snap.name.clone(), plug: plug.into() },
                interface: snap.interface_of(plug).into(),
                connected: granted.iter().any(|granted| granted.plug == plug),
                manual: decision.is_some(),
                attributes: known.chain(missing).collect(),
            }
        };
        snap.all_plugs().into_iter().map(describe).collect()
    }

    /// All, or the one of a name, with the plugs that `snaps` have of them.
    pub fn describe(&self, name: Option<&str>, snaps: &[&Snap]) -> Result<Vec<InterfaceInfo>> {
        if let Some(name) = name.filter(|name| !self.0.contains_key(*name)) {
            return Err(Error::refused("interface-unknown", format!("no interface {name} here")));
        }
        let of = |interface: &Interface| InterfaceInfo {
            name: interface.name.clone(),
            summary: interface.summary.clone(),
            auto_connect: interface.auto_connect,
            attributes: interface
                .attributes
                .iter()
                .map(|(name, attribute)| (name.clone(), attribute.summary.clone()))
                .collect(),
            plugs: snaps
                .iter()
                .flat_map(|snap| {
                    let plugs = snap.all_plugs().into_iter();
                    let of_it = plugs.filter(|plug| snap.interface_of(plug) == interface.name);
                    of_it.map(|plug| PlugName { snap: snap.name.clone(), plug: plug.into() })
                })
                .collect(),
        };
        Ok(self.0.values().filter(|i| name.is_none_or(|name| name == i.name)).map(of).collect())
    }
}
