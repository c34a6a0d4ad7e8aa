//! Epochs: which data a snap can read, and which it writes.
//!
//! | written | reads | writes |
//! |---|---|---|
//! | absent, `0` | 0 | 0 |
//! | `N` | N | N |
//! | `N*` | N-1, N | N |
//! | `{read: […], write: […]}` | as listed, by default what it writes | as listed, by default the last that it reads |

use super::invalid;
use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, de};
use std::fmt;

/// snapd's limit of both lists.
const MAX_EPOCHS: usize = 10;

/// Both lists, growing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Data that it understands.
    pub read: Vec<u32>,
    /// Data that it leaves behind.
    pub write: Vec<u32>,
}

impl Default for Epoch {
    fn default() -> Self {
        Self { read: vec![0], write: vec![0] }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    read: Option<Vec<u32>>,
    write: Option<Vec<u32>>,
}

impl Epoch {
    fn short(text: &str) -> std::result::Result<Self, String> {
        let (digits, star) = match text.strip_suffix('*') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let plain = digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        let wrong = || format!("epoch: {text:?} is not an epoch like 1 or 1*");
        let number: u32 = digits.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
        let read = match (number, star) {
            (0, true) => return Err(wrong()),
            (number, true) => vec![number - 1, number],
            (number, false) => vec![number],
        };
        Ok(Self { read, write: vec![number] })
    }

    fn long(lists: Lists) -> Self {
        match (lists.read, lists.write) {
            (Some(read), Some(write)) => Self { read, write },
            (Some(read), None) => {
                let write = read.last().copied().into_iter().collect();
                Self { read, write }
            }
            (None, Some(write)) => Self { read: write.clone(), write },
            (None, None) => Self::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (field, list) in [("epoch.read", &self.read), ("epoch.write", &self.write)] {
            if list.is_empty() || list.len() > MAX_EPOCHS || !list.is_sorted_by(|a, b| a < b) {
                return Err(invalid(field, format!("not 1 to {MAX_EPOCHS} growing numbers")));
            }
        }
        match self.read.iter().any(|epoch| self.write.contains(epoch)) {
            true => Ok(()),
            false => Err(invalid("epoch", "it cannot read anything that it writes")),
        }
    }

    /// Whether a snap of this epoch may follow one that wrote the data of `old`.
    pub fn follows(&self, snap: &str, old: &Epoch) -> Result<()> {
        if self.read.iter().any(|epoch| old.write.contains(epoch)) {
            return Ok(());
        }
        let why = format!("it reads the data of {:?}, what runs writes {:?}", self.read, old.write);
        Err(Error::refused("snap-epoch", format!("{snap}: snap.yaml: epoch: {why}")))
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        from.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Epoch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an epoch like 1, 1* or {read: [1], write: [1]}")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> std::result::Result<Epoch, E> {
        Epoch::short(&number.to_string()).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Epoch, E> {
        Epoch::short(text).map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> std::result::Result<Epoch, A::Error> {
        Lists::deserialize(de::value::MapAccessDeserializer::new(map)).map(Epoch::long)
    }
}

#[cfg(test)]
mod tests {
    use super::Epoch;

    #[test]
    fn epochs_and_what_may_follow_what() {
        let rows = [
            ("0", Some(("[0]", "[0]"))),
            ("3", Some(("[3]", "[3]"))),
            ("3*", Some(("[2, 3]", "[3]"))),
            ("{read: [1, 2, 3], write: [1, 3]}", Some(("[1, 2, 3]", "[1, 3]"))),
            ("{read: [1, 2]}", Some(("[1, 2]", "[2]"))),
            ("{write: [1, 2]}", Some(("[1, 2]", "[1, 2]"))),
            ("0*", None),
            ("03", None),
            ("-1", None),
            ("1.5", None),
            ("{read: [2, 1]}", None),
            ("{read: []}", None),
            ("{read: [1], write: [2]}", None),
            ("{read: [1], colour: [2]}", None),
            ("{read: [1,2,3,4,5,6,7,8,9,10,11]}", None),
            ("4294967296", None),
        ];
        for (text, expected) in rows {
            let epoch: Option<Epoch> =
                serde_norway::from_str(text).ok().filter(|epoch: &Epoch| epoch.check().is_ok());
            let found = epoch.map(|e| (format!("{:?}", e.read), format!("{:?}", e.write)));
            let expected = expected.map(|(r, w)| (r.to_string(), w.to_string()));
            assert_eq!(found, expected, "{text}");
        }
        let epoch = |text: &str| Epoch::short(text).unwrap();
        for (new, old, may) in
            [("0", "0", true), ("1", "0", false), ("1*", "0", true), ("0", "1", false)]
        {
            assert_eq!(epoch(new).follows("x", &epoch(old)).is_ok(), may, "{old} to {new}");
        }
    }
}
