//! Variables in the order of the file: a later one may use an earlier one.

use serde::{Deserialize, Deserializer, de};
use std::{collections::BTreeSet, fmt};

/// Variables in order, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Environment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Environment, A::Error> {
        let (mut list, mut names) = (Vec::new(), BTreeSet::new());
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("{name} is there twice")));
            }
            list.push((name, value));
        }
        Ok(Environment(list))
    }
}

/// `$NAME` and `${NAME}` from `known`; unknown ones become empty, as in snapd.
pub fn expand(text: &str, known: &[(String, String)]) -> String {
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
        if let Some((_, value)) = known.iter().find(|(existing, _)| existing == name) {
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
