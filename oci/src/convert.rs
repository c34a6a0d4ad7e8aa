//! All of it in order: configuration, layers, tree, what it runs, squashfs.

use crate::apply::{self, LeftOut};
use crate::archive::Image;
use crate::blobs::{self, Blobs};
use crate::config::ImageConfig;
use crate::error::io;
use crate::layer;
use crate::process::{ImageProcess, TreeFiles};
use crate::snap::{self, Naming};
use crate::squash;
use crate::tree::{self, Content, Meta, Node, Tree};
use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{BufReader, Seek};
use std::path::Path;

/// Largest `/etc/passwd` and `/etc/group` that is looked into.
const MAX_TEXT: u64 = 1 << 20;
/// Bytes of all files, with each name of a hard link counted, for each byte of unpacked layers.
const LINKED: u64 = 4;

/// What is wished of a conversion.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// Name of the snap, where it is not the image's.
    pub name: Option<&'a str>,
    /// Go's name of the processor: `arm64`, `amd64`.
    pub architecture: &'a str,
    /// Bytes that all layers may have unpacked.
    pub unpacked: u64,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Name and version of the snap.
    pub naming: Naming,
    /// What it runs.
    pub process: ImageProcess,
    /// What was left out.
    pub left_out: LeftOut,
    /// Length of the squashfs in bytes.
    pub size: u64,
}

/// Converts `image` into a squashfs at the start of `to`. Unpacked layers lie in `scratch`
/// meanwhile, without a name, so that a power cut leaves nothing there.
pub fn convert(
    blobs: &dyn Blobs,
    image: &Image,
    wish: &Wish<'_>,
    scratch: &Path,
    to: &mut File,
) -> Result<Converted> {
    let manifest = &image.manifest;
    let config = ImageConfig::parse(&blobs::small(blobs, "configuration", &manifest.config)?)?;
    config.check_platform(wish.architecture)?;
    let diff_ids = config.layers(manifest.layers.len())?;
    let execution = config.execution();
    let naming = Naming::new(wish.name, image.reference.as_deref(), &execution, &image.digest)?;

    let (mut tree, mut left_out) = (Tree::default(), LeftOut::default());
    let (mut layers, mut budget) = (Vec::new(), wish.unpacked);
    for (number, (descriptor, diff_id)) in manifest.layers.iter().zip(&diff_ids).enumerate() {
        let mut file = nameless(scratch)?;
        let what = format!("layer {number}");
        layer::unpack(blobs, &what, descriptor, diff_id, &mut budget, &mut file)?;
        file.rewind().map_err(io("read", &what))?;
        apply::apply(&mut tree, number, BufReader::new(&file), &mut left_out)?;
        layers.push(file);
    }
    let linked = wish.unpacked.saturating_mul(LINKED);
    if squash::content(&tree) > linked {
        return Err(Error::too_much(
            "image: files with their hard links",
            format!("{linked} bytes"),
        ));
    }

    let read = |content: &Content| squash::read(content, &layers, MAX_TEXT);
    let process = ImageProcess::new(&execution, &TreeFiles { tree: &tree, read })?;
    let yaml = snap::yaml(&naming, wish.architecture, &execution, &process, &image.digest);
    let json = serde_json::to_vec_pretty(&process).map_err(|e| Error::invalid("process", e))?;
    for (name, bytes) in [("meta/snap.yaml", yaml.into_bytes()), ("meta/oci.json", json)] {
        add(&mut tree, name, bytes, layers.len())?;
    }
    for volume in &process.volumes {
        let path = tree.resolve(&tree::split(volume.as_bytes())?, true)?;
        if tree.find(&path).is_none() {
            tree.put(&path, Tree::empty(Meta::DIRECTORY), layers.len())?;
        }
    }
    let size = squash::write(&tree, &layers, 0, to)?;
    Ok(Converted { naming, process, left_out, size })
}

/// Puts a file of ours in; what the image has in its place is replaced, links are not followed.
fn add(tree: &mut Tree, name: &str, bytes: Vec<u8>, layer: usize) -> Result<()> {
    let path = tree::split(name.as_bytes())?;
    if !matches!(tree.find(&path[..1]), Some(Node::Directory(_))) {
        tree.put(&path[..1], Tree::empty(Meta::DIRECTORY), layer)?;
    }
    tree.put(&path, Node::File(Content::Bytes(bytes), Meta::FILE), layer)
}

fn nameless(folder: &Path) -> Result<File> {
    let path = folder.join("layer.tar");
    let shown = path.display().to_string();
    let _ = fs::remove_file(&path);
    let options = File::options().read(true).write(true).create_new(true).open(&path);
    let file = options.map_err(io("make", shown.clone()))?;
    fs::remove_file(&path).map_err(io("remove", shown))?;
    Ok(file)
}
