//! The `meta/snap.yaml` of an image.

use crate::config::Execution;
use crate::digest::Digest;
use crate::process::{ImageProcess, Port};
use crate::{Error, Result};
use protocol::naming;

/// Digits of the digest that stand for a version where there is none.
const SHORT: usize = 12;
/// Before what belongs to an app.
const INDENT: &str = "    ";
/// Its attribute `ports` lists what leads to the image.
const BIND: &str = "network-bind";

/// Labels of an image that say something to people (OCI image specification, `annotations.md`).
const VERSION: &str = "org.opencontainers.image.version";
const TITLE: &str = "org.opencontainers.image.title";
const DESCRIPTION: &str = "org.opencontainers.image.description";

/// Name and version of a snap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The snap's name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Naming {
    /// From what was asked for (`wished`), the image's own name (`registry/path/name:tag`) and
    /// labels, and its digest, in this order.
    pub fn new(
        wished: Option<&str>,
        reference: Option<&str>,
        execution: &Execution,
        digest: &Digest,
    ) -> Result<Self> {
        let (own, tag) = reference.map_or(("", None), parts);
        let name = wished.map_or_else(|| plain_name(own), str::to_string);
        naming::check_name(&name).map_err(|why| {
            let more = match wished {
                Some(_) => String::new(),
                None => format!(", made of {own:?}; give --name"),
            };
            Error::invalid("image", why + &more)
        })?;
        let label = execution.labels.as_ref().and_then(|labels| labels.get(VERSION));
        let version = [label.map(String::as_str), tag.filter(|tag| *tag != "latest")]
            .into_iter()
            .flatten()
            .find(|version| naming::check_version(version).is_ok())
            .map_or_else(|| digest.hex()[..SHORT].to_string(), str::to_string);
        Ok(Self { name, version })
    }
}

/// Last name of a reference, and its tag.
fn parts(reference: &str) -> (&str, Option<&str>) {
    let reference = reference.split_once('@').map_or(reference, |(before, _)| before);
    let last = reference.rsplit('/').next().unwrap_or(reference);
    last.split_once(':').map_or((last, None), |(name, tag)| (name, Some(tag)))
}

/// What remains of a name when only what snapd allows does.
fn plain_name(own: &str) -> String {
    let mut name = String::new();
    for c in own.to_ascii_lowercase().chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if c != '-' || !(name.is_empty() || name.ends_with('-')) {
            name.push(c);
        }
    }
    name.truncate(*naming::NAME.end());
    name.trim_end_matches('-').to_string()
}

/// The text. A quoted string of JSON is one of YAML, too.
pub fn yaml(
    naming: &Naming,
    architecture: &str,
    execution: &Execution,
    process: &ImageProcess,
    digest: &Digest,
) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let label = |name| execution.labels.as_ref().and_then(|labels| labels.get(name));
    let title = label(TITLE).map_or(naming.name.as_str(), String::as_str);
    let summary: String =
        title.lines().next().unwrap_or_default().chars().take(naming::MAX_SUMMARY).collect();
    let made = format!("Made from an OCI image, {digest}.");
    let most = naming::MAX_DESCRIPTION - made.len() - 1;
    let told = label(DESCRIPTION).map(|text| text.chars().take(most).collect::<String>() + "\n");
    let description = told.unwrap_or_default() + &made;
    let mut plugs = vec!["network"];
    if !process.ports.is_empty() {
        plugs.push(BIND);
    }
    let Naming { name, version } = naming;
    let program = process.program.trim_start_matches('/');
    let mut text = format!(
        "name: {name}\nversion: {}\nsummary: {}\ndescription: {}\ntype: app\nbase: bare\n\
         architectures: [{architecture}]\nconfinement: strict\ngrade: stable\napps:\n  {name}:\n\
         {INDENT}command: {}\n{INDENT}daemon: simple\n{INDENT}plugs: [{}]\n",
        quoted(version),
        quoted(&summary),
        quoted(&description),
        quoted(program),
        plugs.join(", "),
    );
    if !process.ports.is_empty() {
        let port = |port: &Port| match port.udp {
            true => quoted(&format!("{}/udp", port.number)),
            false => port.number.to_string(),
        };
        let ports: Vec<String> = process.ports.iter().map(port).collect();
        text.push_str(&format!("plugs:\n  {BIND}:\n    ports: [{}]\n", ports.join(", ")));
    }
    if !process.volumes.is_empty() {
        text.push_str("layout:\n");
        for (number, volume) in process.volumes.iter().enumerate() {
            text.push_str(&format!(
                "  {}:\n    bind: $SNAP_DATA/volumes/{number}\n",
                quoted(volume)
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_from_what_there_is() {
        let digest = Digest::of(b"");
        let label = |version: &str| Execution {
            labels: Some([(VERSION.to_string(), version.to_string())].into()),
            ..Execution::default()
        };
        let (none, short) = (Execution::default(), &digest.hex()[..12]);
        for (wished, reference, execution, expected) in [
            (None, Some("localhost:5000/eclipse/Mosquitto:2.0.18"), &none, ("mosquitto", "2.0.18")),
            (None, Some("my__app:latest"), &none, ("my-app", short)),
            (Some("other"), Some("xy:1"), &none, ("other", "1")),
            (Some("other"), None, &label("3.1"), ("other", "3.1")),
            (None, Some("xy@sha256:00"), &label("not a version"), ("xy", short)),
            (None, Some("xy:1_2"), &none, ("xy", short)),
        ] {
            let naming = Naming::new(wished, reference, execution, &digest).unwrap();
            assert_eq!((naming.name.as_str(), naming.version.as_str()), expected, "{reference:?}");
        }
        for (wished, reference) in [(None, None), (None, Some("42")), (None, Some("x:1"))] {
            let error = Naming::new(wished, reference, &none, &digest).unwrap_err().to_string();
            assert!(error.contains("give --name"), "{error}");
        }
    }
}
