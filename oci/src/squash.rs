//! The tree as a squashfs, compressed with zstd. Bytes of files go from the layers straight into
//! it.

use crate::error::io;
use crate::part::Part;
use crate::tree::{Content, Directory, Meta, Node, Tree};
use crate::{Error, Result};
use backhand::compression::Compressor;
use backhand::{FilesystemCompressor, FilesystemWriter, NodeHeader, kind, kind::Kind};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// mksquashfs's, and what its kernel side is tuned for.
const BLOCK_SIZE: u32 = 128 * 1024;

/// Reads at most `most` bytes of a file.
pub fn read(content: &Content, layers: &[File], most: u64) -> Option<Vec<u8>> {
    match content {
        Content::Bytes(bytes) => Some(bytes.clone()),
        Content::Layer { layer, at, size } => {
            let mut bytes = Vec::new();
            let mut part = Part { file: layers.get(*layer)?, at: *at, left: (*size).min(most) };
            part.read_to_end(&mut bytes).ok()?;
            Some(bytes)
        }
    }
}

/// Bytes of all files, each name of a hard link counted: what writing costs.
pub fn content(tree: &Tree) -> u64 {
    fn of(directory: &Directory) -> u64 {
        let size = |node: &Node| match node {
            Node::Directory(directory) => of(directory),
            Node::File(Content::Layer { size, .. }, _) => *size,
            Node::File(Content::Bytes(bytes), _) => bytes.len() as u64,
            Node::Link(..) => 0,
        };
        directory.children.values().fold(0, |sum, child| sum.saturating_add(size(&child.node)))
    }
    of(tree.root())
}

/// Writes it from the start of `to`; returns its length in bytes.
pub fn write(tree: &Tree, layers: &[File], time: u32, to: &mut File) -> Result<u64> {
    let failed = |error: backhand::BackhandError| Error::Io {
        operation: "write",
        object: "squashfs".into(),
        source: std::io::Error::other(error.to_string()),
    };
    let mut writer = FilesystemWriter::default();
    writer.set_kind(Kind::from_const(kind::LE_V4_0).map_err(|e| Error::invalid("squashfs", e))?);
    writer.set_block_size(BLOCK_SIZE);
    writer.set_time(time);
    writer.set_compressor(FilesystemCompressor::new(Compressor::Zstd, None).map_err(failed)?);
    let Meta { mode, uid, gid, .. } = tree.root().meta;
    writer.set_root_mode(mode);
    writer.set_root_uid(uid);
    writer.set_root_gid(gid);
    let mut path = PathBuf::from("/");
    add(&mut writer, tree.root(), &mut path, layers).map_err(failed)?;
    let (_, written) = writer.write(&mut *to).map_err(failed)?;
    to.set_len(written).map_err(io("cut", "squashfs"))?;
    Ok(written)
}

fn add<'c>(
    writer: &mut FilesystemWriter<'_, '_, 'c>,
    directory: &'c Directory,
    path: &mut PathBuf,
    layers: &'c [File],
) -> std::result::Result<(), backhand::BackhandError> {
    for (name, child) in &directory.children {
        path.push(OsStr::from_bytes(name));
        match &child.node {
            Node::Directory(inner) => {
                writer.push_dir(&*path, header(&inner.meta))?;
                add(writer, inner, path, layers)?;
            }
            Node::File(Content::Bytes(bytes), meta) => {
                writer.push_file(Cursor::new(bytes.as_slice()), &*path, header(meta))?;
            }
            Node::File(Content::Layer { layer, at, size }, meta) => {
                let part = Part { file: &layers[*layer], at: *at, left: *size };
                writer.push_file(part, &*path, header(meta))?;
            }
            Node::Link(target, meta) => {
                writer.push_symlink(OsStr::from_bytes(target), &*path, header(meta))?;
            }
        }
        path.pop();
    }
    Ok(())
}

fn header(meta: &Meta) -> NodeHeader {
    NodeHeader::new(meta.mode, meta.uid, meta.gid, meta.mtime)
}
