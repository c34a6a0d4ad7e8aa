//! Index and manifest of an image (OCI image specification, `image-index.md`, `manifest.md`; Docker
//! image manifest version 2, schema 2 has the same members).
//!
//! Members that we do not know are let pass, as the specification demands.

use crate::blobs::{self, Blobs};
use crate::digest::Digest;
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most layers of an image; overlay file systems elsewhere bear about as many.
pub const MAX_LAYERS: usize = 128;
/// Most manifests in an index.
const MAX_MANIFESTS: usize = 256;
/// An index that points to an index that …
const MAX_DEPTH: usize = 4;
/// Name of the annotation with an image's tag in a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFEST_TYPES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// What content is, where it is not looked at yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of content.
    #[serde(default)]
    pub media_type: String,
    /// `sha256:…`
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// What machines it is for; in an index.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Remarks.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Of content without a media type.
    pub(crate) fn plain(digest: Digest, size: u64) -> Self {
        Self {
            media_type: String::new(),
            digest: digest.to_string(),
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Its digest; the error names `what`.
    pub fn digest(&self, what: &str) -> Result<Digest> {
        Digest::parse(what, &self.digest)
    }
}

/// What machines an image is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// Go's name: `arm64`, `amd64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// `v8` of arm64.
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    fn runs_on(&self, architecture: &str) -> bool {
        let variant = self.variant.as_deref();
        let plain = architecture != "arm64" || matches!(variant, None | Some("" | "v8"));
        self.os == "linux" && self.architecture == architecture && plain
    }

    fn name(&self) -> String {
        let variant = self.variant.as_ref().map(|v| format!("/{v}")).unwrap_or_default();
        format!("{}/{}{variant}", self.os, self.architecture)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    manifests: Vec<Descriptor>,
}

/// An image: its configuration and layers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    /// The configuration.
    pub config: Descriptor,
    /// Layers, lowest first.
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// Of these parts.
    pub(crate) fn of(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, config, layers }
    }

    /// Reads and checks a manifest.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let manifest: Self =
            serde_json::from_slice(json).map_err(|e| Error::invalid("manifest", e))?;
        check_schema("manifest", manifest.schema_version)?;
        if manifest.layers.len() > MAX_LAYERS {
            return Err(Error::too_much("manifest: layers", MAX_LAYERS));
        }
        if manifest.layers.is_empty() {
            return Err(Error::invalid("manifest", "an image without layers"));
        }
        Ok(manifest)
    }
}

fn check_schema(what: &str, version: u32) -> Result<()> {
    if version == 2 {
        return Ok(());
    }
    Err(Error::invalid(what, format!("schemaVersion {version} is not supported (only 2)")))
}

/// Finds the one image for `architecture` from an index, which may lead to further ones; returns
/// its digest, too.
pub fn choose(
    blobs: &dyn Blobs,
    index: &[u8],
    architecture: &str,
    tag: Option<&str>,
) -> Result<(Digest, Manifest)> {
    choose_at(blobs, index, architecture, tag, 0)
}

fn choose_at(
    blobs: &dyn Blobs,
    index: &[u8],
    architecture: &str,
    tag: Option<&str>,
    depth: usize,
) -> Result<(Digest, Manifest)> {
    if depth == MAX_DEPTH {
        return Err(Error::too_much("index: indexes in each other", MAX_DEPTH));
    }
    let index: Index = serde_json::from_slice(index).map_err(|e| Error::invalid("index", e))?;
    check_schema("index", index.schema_version)?;
    if index.manifests.len() > MAX_MANIFESTS {
        return Err(Error::too_much("index: manifests", MAX_MANIFESTS));
    }
    let found = one_of(&index.manifests, architecture, tag)?;
    let json = blobs::small(blobs, "manifest", found)?;
    if INDEX_TYPES.contains(&found.media_type.as_str()) {
        return choose_at(blobs, &json, architecture, None, depth + 1);
    }
    Ok((found.digest("manifest")?, Manifest::parse(&json)?))
}

/// The one that fits. Descriptors without a platform fit: the configuration tells in the end.
fn one_of<'a>(
    all: &'a [Descriptor],
    architecture: &str,
    tag: Option<&str>,
) -> Result<&'a Descriptor> {
    let known = |d: &&Descriptor| {
        let media = d.media_type.as_str();
        INDEX_TYPES.contains(&media) || MANIFEST_TYPES.contains(&media) || media.is_empty()
    };
    let tagged =
        |d: &&Descriptor| tag.is_none() || d.annotations.get(REF_NAME).map(String::as_str) == tag;
    let images: Vec<&Descriptor> = all.iter().filter(known).filter(tagged).collect();
    let fits = |d: &&Descriptor| d.platform.as_ref().is_none_or(|p| p.runs_on(architecture));
    let fitting: Vec<&Descriptor> = images.iter().copied().filter(fits).collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] if images.is_empty() => Err(Error::invalid("index", "there is no image in it")),
        [] => {
            let names: Vec<String> =
                images.iter().filter_map(|d| d.platform.as_ref()).map(Platform::name).collect();
            let why = format!("image for {}, this is linux/{architecture}", names.join(", "));
            Err(Error::Platform(why))
        }
        several => {
            let tags: Vec<&str> = several
                .iter()
                .filter_map(|d| d.annotations.get(REF_NAME))
                .map(String::as_str)
                .collect();
            let why = format!("{} images fit, tags: {}", several.len(), tags.join(", "));
            Err(Error::invalid("index", why))
        }
    }
}
