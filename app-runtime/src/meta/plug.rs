//! Plugs and slots: what a snap asks for, and what it offers.
//!
//! | written | means |
//! |---|---|
//! | `network:` | interface `network` |
//! | `web: network-bind` | interface `network-bind` |
//! | `data: {interface: content, content: db, target: $SNAP/db}` | interface `content` with attributes |

use super::{invalid, layout, names};
use crate::error::Result;
use serde::{Deserialize, Deserializer, de};
use serde_norway::Value;
use std::{collections::BTreeMap, fmt};

/// Names that snapd keeps for itself begin so.
const RESERVED: char = '$';

/// A plug or a slot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plug {
    /// Interface, where it is not the plug's name.
    pub interface: Option<String>,
    /// For people.
    pub label: Option<String>,
    /// What the interface asks to know.
    pub attributes: BTreeMap<String, Value>,
}

/// What is shared with another snap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What plug and slot must agree on.
    pub content: String,
    /// Where a plug wants it.
    pub target: Option<String>,
    /// The snap that a plug expects it from.
    pub provider: Option<String>,
    /// What a slot gives to read.
    pub read: Vec<String>,
    /// What a slot gives to write.
    pub write: Vec<String>,
}

impl Plug {
    /// The attributes of a plug (or `slot`) of the interface `content`.
    pub fn content(&self, field: &str, name: &str, slot: bool) -> Result<Content> {
        let known: &[&str] = match slot {
            true => &["content", "read", "write", "source"],
            false => &["content", "target", "default-provider"],
        };
        self.only(field, known)?;
        let text = |key: &str| match self.attributes.get(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(invalid(format!("{field}.{key}"), "not a text")),
        };
        let mut content = Content {
            content: text("content")?.unwrap_or_else(|| name.into()),
            target: text("target")?,
            provider: text("default-provider")?,
            read: Vec::new(),
            write: Vec::new(),
        };
        if let Some(provider) = &content.provider {
            let snap = provider.split(':').next().unwrap_or_default();
            names::check_name(&format!("{field}.default-provider"), snap)?;
        }
        if !slot {
            let why = "where the content is to appear is not said";
            let target =
                content.target.as_ref().ok_or_else(|| invalid(format!("{field}.target"), why))?;
            layout::check_own_path(&format!("{field}.target"), target)?;
            return Ok(content);
        }
        (content.read, content.write) = self.shared(field)?;
        Ok(content)
    }

    /// Lists `read` and `write` of a slot, also below `source`.
    fn shared(&self, field: &str) -> Result<(Vec<String>, Vec<String>)> {
        let source = match self.attributes.get("source") {
            None => None,
            Some(Value::Mapping(map)) => Some(map),
            Some(_) => return Err(invalid(format!("{field}.source"), "not read and write")),
        };
        let list = |key: &str| {
            let given = source.map_or_else(|| self.attributes.get(key), |map| map.get(key));
            let wrong = || invalid(format!("{field}.{key}"), "not a list of paths");
            let paths = match given {
                None => Vec::new(),
                Some(Value::Sequence(list)) => list
                    .iter()
                    .map(|path| path.as_str().map(String::from).ok_or_else(wrong))
                    .collect::<Result<_>>()?,
                Some(_) => return Err(wrong()),
            };
            for path in &paths {
                // A path without a variable is one of the snap.
                let whole = match path.starts_with('$') {
                    true => path.clone(),
                    false => format!("$SNAP/{}", path.trim_start_matches('/')),
                };
                layout::check_own_path(&format!("{field}.{key}"), whole.trim_end_matches('/'))?;
            }
            Ok(paths)
        };
        let (read, write) = (list("read")?, list("write")?);
        match read.is_empty() && write.is_empty() {
            true => Err(invalid(field, "it neither reads nor writes anything")),
            false => Ok((read, write)),
        }
    }

    /// Refuses attributes that nothing would look at.
    pub(crate) fn only(&self, field: &str, known: &[&str]) -> Result<()> {
        match self.attributes.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(invalid(field, format!("unknown field `{name}` of this interface"))),
        }
    }
}

impl<'de> Deserialize<'de> for Plug {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Plug;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing, the name of an interface, or attributes")
    }

    fn visit_unit<E: de::Error>(self) -> std::result::Result<Plug, E> {
        Ok(Plug::default())
    }

    fn visit_none<E: de::Error>(self) -> std::result::Result<Plug, E> {
        Ok(Plug::default())
    }

    fn visit_str<E: de::Error>(self, interface: &str) -> std::result::Result<Plug, E> {
        Ok(Plug { interface: Some(interface.into()), ..Plug::default() })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<Plug, A::Error> {
        let mut plug = Plug::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "interface" => plug.interface = Some(map.next_value()?),
                "label" => plug.label = Some(map.next_value()?),
                _ if key.is_empty() || key.starts_with(RESERVED) => {
                    return Err(de::Error::custom(format!("{key:?} is a reserved attribute")));
                }
                _ => {
                    if plug.attributes.insert(key.clone(), map.next_value()?).is_some() {
                        return Err(de::Error::custom(format!("{key} is there twice")));
                    }
                }
            }
        }
        Ok(plug)
    }
}
