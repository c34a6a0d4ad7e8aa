//! An image as one tar file: an OCI layout (OCI image specification, `image-layout.md`), or what
//! `docker save` writes. The file is only indexed; the blobs are read in place.

use crate::blobs::{Blobs, MAX_JSON};
use crate::digest::{Digest, Hashing};
use crate::error::io;
use crate::manifest::{self, Descriptor, MAX_LAYERS, Manifest};
use crate::part::Part;
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self as stdio, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Most files in an archive: two for each layer of a few images.
const MAX_FILES: usize = 4096;
/// Bytes of a name in an archive.
const MAX_NAME: usize = 512;

/// An archive and where its files lie.
pub struct Archive {
    file: File,
    files: BTreeMap<String, Place>,
    blobs: BTreeMap<Digest, Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    size: u64,
}

/// An image in an archive.
#[derive(Debug)]
pub struct Image {
    /// Digest of its manifest; of a docker-archive, which has none, of its configuration.
    pub digest: Digest,
    /// Its parts.
    pub manifest: Manifest,
    /// `name:tag`, where the archive says it.
    pub reference: Option<String>,
}

/// `oci-layout`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

/// An element of `manifest.json` of a docker-archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Blobs for Archive {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + '_>> {
        let layout = || self.files.get(&format!("blobs/sha256/{}", digest.hex()));
        let place = self.blobs.get(digest).or_else(layout);
        let place = place.ok_or_else(|| Error::invalid("archive", format!("no blob {digest}")))?;
        Ok(Box::new(self.part(*place)))
    }
}

impl Archive {
    /// Indexes an archive.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let mut file = File::open(path).map_err(io("open", shown.to_string()))?;
        let mut start = [0; 2];
        if file.read_exact_at(&mut start, 0).is_ok() && start == [0x1f, 0x8b] {
            let why = "compressed; unpack it first (gunzip), its layers are compressed anyway";
            return Err(Error::invalid(&shown.to_string(), why));
        }
        let length = file.metadata().map_err(io("look at", shown.to_string()))?.len();
        file.rewind().map_err(io("read", shown.to_string()))?;
        let files = index(&file, length)?;
        Ok(Self { file, files, blobs: BTreeMap::new() })
    }

    /// The image for `architecture`; `tag` chooses where there are several.
    pub fn image(&mut self, architecture: &str, tag: Option<&str>) -> Result<Image> {
        if self.files.contains_key("oci-layout") {
            return self.layout_image(architecture, tag);
        }
        if self.files.contains_key("manifest.json") {
            return self.saved_image(tag);
        }
        Err(Error::invalid("archive", "neither oci-layout nor manifest.json: not an image"))
    }

    fn layout_image(&self, architecture: &str, tag: Option<&str>) -> Result<Image> {
        let layout: Layout = self.json("oci-layout")?;
        if layout.image_layout_version != "1.0.0" {
            let why = format!("imageLayoutVersion {:?} (only 1.0.0)", layout.image_layout_version);
            return Err(Error::invalid("oci-layout", why));
        }
        let (digest, manifest) =
            manifest::choose(self, &self.bytes("index.json")?, architecture, tag)?;
        Ok(Image { digest, manifest, reference: tag.map(str::to_string) })
    }

    fn saved_image(&mut self, tag: Option<&str>) -> Result<Image> {
        let all: Vec<Saved> = self.json("manifest.json")?;
        let tags = |saved: &Saved| saved.repo_tags.clone().unwrap_or_default();
        let named = |saved: &&Saved| tag.is_none_or(|tag| tags(saved).iter().any(|t| t == tag));
        let fitting: Vec<&Saved> = all.iter().filter(named).collect();
        let [saved] = fitting.as_slice() else {
            let known: Vec<String> = all.iter().flat_map(tags).collect();
            let why = format!("{} images fit, tags: {}", fitting.len(), known.join(", "));
            return Err(Error::invalid("manifest.json", why));
        };
        if saved.layers.len() > MAX_LAYERS || saved.layers.is_empty() {
            let why = format!("{} layers (1 to {MAX_LAYERS})", saved.layers.len());
            return Err(Error::invalid("manifest.json", why));
        }
        let config = self.take(&saved.config)?;
        let layers = saved.layers.iter().map(|name| self.take(name)).collect::<Result<_>>()?;
        let reference = tag.map(str::to_string).or_else(|| tags(saved).into_iter().next());
        let digest = config.digest("configuration")?;
        Ok(Image { digest, manifest: Manifest::of(config, layers), reference })
    }

    /// A file of a docker-archive becomes a blob: its digest is that of what lies there.
    fn take(&mut self, name: &str) -> Result<Descriptor> {
        let place = self.place(name)?;
        let (digest, size) = Hashing::new(self.part(place)).finish().map_err(io("read", name))?;
        self.blobs.insert(digest, place);
        Ok(Descriptor::plain(digest, size))
    }

    fn part(&self, Place { at, size }: Place) -> Part<'_> {
        Part { file: &self.file, at, left: size }
    }

    fn place(&self, name: &str) -> Result<Place> {
        let place = self.files.get(name).copied();
        place.ok_or_else(|| Error::invalid("archive", format!("there is no file {name} in it")))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let place = self.place(name)?;
        if place.size > MAX_JSON {
            return Err(Error::too_much(name, format!("{MAX_JSON} bytes")));
        }
        let mut bytes = Vec::new();
        self.part(place).read_to_end(&mut bytes).map_err(io("read", name))?;
        Ok(bytes)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        serde_json::from_slice(&self.bytes(name)?).map_err(|e| Error::invalid(name, e))
    }
}

/// Where the files lie. A link, as old docker-archives have for layers in common, stands for the
/// file that it leads to when that came before it.
fn index(file: &File, length: u64) -> Result<BTreeMap<String, Place>> {
    let broken = |error: stdio::Error| Error::invalid("archive", error);
    let mut files: BTreeMap<String, Place> = BTreeMap::new();
    let mut links = Vec::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name.len() > MAX_NAME || files.len() + links.len() >= MAX_FILES {
            return Err(Error::too_much("archive", format!("{MAX_FILES} files")));
        }
        let name = name.trim_start_matches("./").to_string();
        let kind = entry.header().entry_type();
        if kind.is_file() {
            let place = Place { at: entry.raw_file_position(), size: entry.size() };
            if place.at.checked_add(place.size).is_none_or(|end| end > length) {
                return Err(Error::invalid("archive", format!("cut off in {name}")));
            }
            files.insert(name, place);
        } else if let (true, Some(target)) =
            (kind.is_symlink() || kind.is_hard_link(), entry.link_name_bytes())
        {
            let target = String::from_utf8_lossy(&target).into_owned();
            links.push((name, target, kind.is_symlink()));
        }
    }
    for (name, target, symbolic) in links {
        let target = if symbolic { beside(&name, &target) } else { target };
        if let Some(place) = files.get(&target).copied() {
            files.insert(name, place);
        }
    }
    Ok(files)
}

/// A symbolic link's target, seen from the archive's root.
fn beside(name: &str, target: &str) -> String {
    let mut names: Vec<&str> = name.split('/').collect();
    names.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(names.pop()),
            part => names.push(part),
        }
    }
    names.join("/")
}
