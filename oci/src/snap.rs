//! The `meta/snap.yaml` of an image.

use crate::config::Execution;
use crate::digest::Digest;
use crate::process::{ImageProcess, Port};
use crate::{Error, Result};

/// snapd's limit for names.
const MAX_NAME: usize = 40;
/// snapd's limit for versions.
const MAX_VERSION: usize = 32;
/// snapd's limit for a summary.
const MAX_SUMMARY: usize = 128;
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
        if !is_name(&name) {
            let why = format!("no snap can be called {name:?} (from {own:?}); give --name");
            return Err(Error::invalid("image", why));
        }
        let label = execution.labels.as_ref().and_then(|labels| labels.get(VERSION));
        let version = [label.map(String::as_str), tag.filter(|tag| *tag != "latest")]
            .into_iter()
            .flatten()
            .find(|version| is_version(version))
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
    name.truncate(MAX_NAME);
    name.trim_end_matches('-').to_string()
}

fn is_name(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    plain && !hyphens && name.bytes().any(|b| b.is_ascii_lowercase()) && name.len() <= MAX_NAME
}

fn is_version(version: &str) -> bool {
    let plain = version.bytes().all(|b| b.is_ascii_alphanumeric() || b":.+~-_".contains(&b));
    let ends = version.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    plain && ends && version.len() <= MAX_VERSION
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
        title.lines().next().unwrap_or_default().chars().take(MAX_SUMMARY).collect();
    let description = label(DESCRIPTION).map(|text| format!("{text}\n")).unwrap_or_default();
    let description = format!("{description}Made from an OCI image, {digest}.");
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
            (Some("other"), Some("x:1"), &none, ("other", "1")),
            (Some("other"), None, &label("3.1"), ("other", "3.1")),
            (None, Some("x@sha256:00"), &label("not a version"), ("x", short)),
        ] {
            let naming = Naming::new(wished, reference, execution, &digest).unwrap();
            assert_eq!((naming.name.as_str(), naming.version.as_str()), expected, "{reference:?}");
        }
        for (wished, reference) in [(None, None), (None, Some("42")), (Some("A"), Some("x"))] {
            let error = Naming::new(wished, reference, &none, &digest).unwrap_err().to_string();
            assert!(error.contains("give --name"), "{error}");
        }
    }
}
