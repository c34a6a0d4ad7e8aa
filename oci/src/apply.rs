//! One layer's tar file upon the tree (OCI image specification, `layer.md`).
//!
//! | entry | what becomes of it |
//! |---|---|
//! | file, directory, symbolic link | is put there; its parent's links are followed inside the image |
//! | hard link | a second name of the same bytes |
//! | `.wh.NAME` | NAME of lower layers is gone |
//! | `.wh..wh..opq` | everything of lower layers in this directory is gone |
//! | device, pipe | left out, and counted: an app has no device but those it is granted |
//! | sparse file | refused: its bytes do not lie in one piece |

use crate::tree::{self, Content, Meta, Node, Tree};
use crate::{Error, Result};
use std::io::Read;
use tar::{Archive, Entry, EntryType};

/// How a whiteout's name begins.
const WHITEOUT: &[u8] = b".wh.";
/// The whiteout of a whole directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bits of a mode that a file keeps.
const MODE: u32 = 0o7777;

/// What was left out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LeftOut {
    /// Device nodes, pipes.
    pub special: usize,
}

impl LeftOut {
    /// For people; nothing where nothing was.
    pub fn told(self) -> Vec<String> {
        let special = format!("{} device nodes or pipes of the image", self.special);
        Vec::from_iter((self.special > 0).then_some(special))
    }
}

/// Puts the entries of layer number `layer` upon the tree.
pub fn apply(tree: &mut Tree, layer: usize, from: impl Read, left_out: &mut LeftOut) -> Result<()> {
    let what = format!("layer {layer}");
    let broken = |error: std::io::Error| Error::invalid(&what, error);
    let mut archive = Archive::new(from);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let written = entry.path_bytes().into_owned();
        let inside = |error: Error| {
            Error::invalid(&format!("{what}: {}", String::from_utf8_lossy(&written)), error)
        };
        one(tree, layer, &written, &mut entry, left_out).map_err(inside)?;
    }
    Ok(())
}

fn one(
    tree: &mut Tree,
    layer: usize,
    written: &[u8],
    entry: &mut Entry<'_, impl Read>,
    left_out: &mut LeftOut,
) -> Result<()> {
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        return Ok(());
    }
    let names = tree::split(written)?;
    if names.iter().any(|name| name == b"..") {
        return Err(Error::Invalid("leads out of the image".into()));
    }
    let path = tree.resolve(&names, false)?;
    if let Some((name, parent)) = path.split_last()
        && let Some(hidden) = name.strip_prefix(WHITEOUT)
    {
        return match hidden {
            _ if name == OPAQUE => tree.make_opaque(parent, layer),
            b"" | b"." | b".." => Err(Error::Invalid("a whiteout of nothing".into())),
            _ => tree.white_out(parent, hidden, layer),
        };
    }
    let meta = meta(entry)?;
    let node = match kind {
        EntryType::Regular | EntryType::Continuous => {
            check_in_one_piece(entry)?;
            let (at, size) = (entry.raw_file_position(), entry.size());
            Node::File(Content::Layer { layer, at, size }, meta)
        }
        EntryType::Directory => Tree::empty(meta),
        EntryType::Symlink => Node::Link(target(entry)?, meta),
        EntryType::Link => hard_link(tree, &target(entry)?)?,
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            left_out.special += 1;
            return Ok(());
        }
        other => {
            return Err(Error::Invalid(format!("entries of kind {other:?} are not supported")));
        }
    };
    tree.put(&path, node, layer)
}

fn meta(entry: &Entry<'_, impl Read>) -> Result<Meta> {
    let header = entry.header();
    let number = |name: &str, value: std::io::Result<u64>| {
        let value = value.map_err(|e| Error::invalid(name, e))?;
        u32::try_from(value).map_err(|_| Error::Invalid(format!("{name} {value} is too large")))
    };
    let mode = header.mode().map_err(|e| Error::invalid("mode", e))? & MODE;
    Ok(Meta {
        mode: mode as u16,
        uid: number("uid", header.uid())?,
        gid: number("gid", header.gid())?,
        // A time before 1970 or after 2106 is nothing to refuse an image for.
        mtime: header.mtime().ok().and_then(|time| u32::try_from(time).ok()).unwrap_or(0),
    })
}

fn target(entry: &Entry<'_, impl Read>) -> Result<Vec<u8>> {
    match entry.link_name_bytes() {
        Some(target) if !target.is_empty() && !target.contains(&0) => Ok(target.into_owned()),
        _ => Err(Error::Invalid("a link without a target".into())),
    }
}

/// The node that a hard link is another name of; links in the way to it are followed, it is not.
fn hard_link(tree: &Tree, target: &[u8]) -> Result<Node> {
    let path = tree.resolve(&tree::split(target)?, false)?;
    match tree.find(&path) {
        Some(node @ (Node::File(..) | Node::Link(..))) => Ok(node.clone()),
        Some(Node::Directory(_)) => Err(Error::Invalid("a hard link to a directory".into())),
        None => {
            Err(Error::Invalid(format!("a hard link to {}, which is not there", tree::show(&path))))
        }
    }
}

fn check_in_one_piece(entry: &mut Entry<'_, impl Read>) -> Result<()> {
    let extensions = entry.pax_extensions().map_err(|e| Error::invalid("pax header", e))?;
    for extension in extensions.into_iter().flatten() {
        let extension = extension.map_err(|e| Error::invalid("pax header", e))?;
        if extension.key_bytes().starts_with(b"GNU.sparse.") {
            return Err(Error::Invalid("sparse files are not supported".into()));
        }
    }
    Ok(())
}
