//! The files of an image as a tree in memory: names, modes, links, and where the bytes of each file
//! lie. Nothing here is ever a path of the machine.
//!
//! A path is a list of names without `.`, `..` and symbolic links: [`Tree::resolve`] makes it.
//! Links lead from the tree's root and never out of it.

use crate::{Error, Result};
use std::collections::BTreeMap;

/// Symbolic links followed on the way to one file, as Linux.
const MAX_HOPS: usize = 40;
/// Names on the way to one file.
const MAX_DEPTH: usize = 128;
/// Bytes of one name, as Linux.
const MAX_NAME: usize = 255;
/// Bytes of a symbolic link's target, as Linux.
const MAX_TARGET: usize = 4095;
/// Files and directories of an image.
pub const MAX_ENTRIES: usize = 200_000;

/// A path: names from the root.
pub type Path = Vec<Vec<u8>>;

/// Owner, permissions and time of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, set-user-id among them.
    pub mode: u16,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Unix time of the last change in seconds.
    pub mtime: u32,
}

impl Meta {
    /// Of a directory that no layer describes.
    pub const DIRECTORY: Self = Self { mode: 0o755, uid: 0, gid: 0, mtime: 0 };
    /// Of a file that we make.
    pub const FILE: Self = Self { mode: 0o644, uid: 0, gid: 0, mtime: 0 };
}

/// Where the bytes of a file lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In the plain tar file of a layer.
    Layer {
        /// Its number.
        layer: usize,
        /// Offset in bytes.
        at: u64,
        /// Length in bytes.
        size: u64,
    },
    /// Here.
    Bytes(Vec<u8>),
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory(Directory),
    /// A file.
    File(Content, Meta),
    /// A symbolic link and its target.
    Link(Vec<u8>, Meta),
}

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its own.
    pub meta: Meta,
    /// Names in it.
    pub children: BTreeMap<Vec<u8>, Child>,
}

impl Directory {
    fn new(meta: Meta) -> Self {
        Self { meta, children: BTreeMap::new() }
    }
}

/// A node and the number of the layer that put it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// What it is.
    pub node: Node,
    /// Which layer it is of.
    pub layer: usize,
}

/// All files.
#[derive(Debug)]
pub struct Tree {
    root: Directory,
    entries: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self { root: Directory::new(Meta::DIRECTORY), entries: 0 }
    }
}

/// For people.
pub fn show(path: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for name in path {
        text.push('/');
        text.push_str(&String::from_utf8_lossy(name));
    }
    if text.is_empty() { "/".into() } else { text }
}

/// The names of a path as written; `..` stays, `.` and what is empty goes.
pub fn split(bytes: &[u8]) -> Result<Path> {
    let mut names = Vec::new();
    for name in bytes.split(|b| *b == b'/') {
        if name.is_empty() || name == b"." {
            continue;
        }
        if name.len() > MAX_NAME {
            return Err(Error::too_much("a name in the image", format!("{MAX_NAME} bytes")));
        }
        if name.contains(&0) {
            return Err(Error::invalid("a name in the image", "a zero byte in it"));
        }
        names.push(name.to_vec());
    }
    if names.len() > MAX_DEPTH {
        return Err(Error::too_much("a path in the image", format!("{MAX_DEPTH} names")));
    }
    Ok(names)
}

impl Tree {
    /// The root directory.
    pub fn root(&self) -> &Directory {
        &self.root
    }

    /// Follows the links of a path; names that do not exist stay as they are. With `last`, the last
    /// name is followed, too.
    pub fn resolve(&self, names: &[Vec<u8>], last: bool) -> Result<Path> {
        let mut done: Path = Vec::new();
        let mut left: Vec<Vec<u8>> = names.iter().rev().cloned().collect();
        let mut hops = 0;
        while let Some(name) = left.pop() {
            if name == b".." {
                done.pop();
                continue;
            }
            done.push(name);
            let follow = last || !left.is_empty();
            let Some(Node::Link(target, _)) = self.find(&done).filter(|_| follow) else { continue };
            hops += 1;
            if hops > MAX_HOPS {
                return Err(Error::too_much(show(names), format!("{MAX_HOPS} symbolic links")));
            }
            done.pop();
            if target.starts_with(b"/") {
                done.clear();
            }
            left.extend(split(target)?.into_iter().rev());
            if left.len() + done.len() > MAX_DEPTH {
                return Err(Error::too_much(show(names), format!("{MAX_DEPTH} names")));
            }
        }
        Ok(done)
    }

    /// What lies at a resolved path.
    pub fn find(&self, path: &[Vec<u8>]) -> Option<&Node> {
        let (name, parents) = path.split_last()?;
        let mut at = &self.root;
        for parent in parents {
            match &at.children.get(parent)?.node {
                Node::Directory(directory) => at = directory,
                _ => return None,
            }
        }
        Some(&at.children.get(name)?.node)
    }

    /// The directory at a resolved path, made where it is missing.
    fn directory(&mut self, path: &[Vec<u8>], layer: usize) -> Result<&mut Directory> {
        let mut at = &mut self.root;
        for name in path {
            let entries = &mut self.entries;
            let child = at.children.entry(name.clone()).or_insert_with(|| {
                *entries += 1;
                Child { node: Node::Directory(Directory::new(Meta::DIRECTORY)), layer }
            });
            match &mut child.node {
                Node::Directory(directory) => at = directory,
                _ => return Err(Error::invalid(&show(path), "a file where a directory should be")),
            }
        }
        Ok(at)
    }

    /// Puts a node at a resolved path. A directory upon a directory changes its owner and mode
    /// only; everything else takes the place of what was there.
    pub fn put(&mut self, path: &[Vec<u8>], node: Node, layer: usize) -> Result<()> {
        if let Node::Link(target, _) = &node
            && target.len() > MAX_TARGET
        {
            return Err(Error::too_much(show(path), format!("{MAX_TARGET} bytes of target")));
        }
        let Some((name, parents)) = path.split_last() else {
            return match node {
                Node::Directory(directory) => {
                    self.root.meta = directory.meta;
                    Ok(())
                }
                _ => Err(Error::invalid("/", "not a directory")),
            };
        };
        let parent = self.directory(parents, layer)?;
        match (parent.children.get_mut(name), node) {
            (Some(Child { node: Node::Directory(old), layer: of }), Node::Directory(new)) => {
                (old.meta, *of) = (new.meta, layer);
            }
            (_, node) => {
                if parent.children.insert(name.clone(), Child { node, layer }).is_none() {
                    self.entries += 1;
                }
            }
        }
        // What was replaced still counts: a bound on work, too.
        if self.entries > MAX_ENTRIES {
            return Err(Error::too_much("image: files", MAX_ENTRIES));
        }
        Ok(())
    }

    /// A new, empty directory.
    pub fn empty(meta: Meta) -> Node {
        Node::Directory(Directory::new(meta))
    }

    /// A whiteout: what layers below `layer` put at this path is gone.
    pub fn white_out(&mut self, parent: &[Vec<u8>], name: &[u8], layer: usize) -> Result<()> {
        let children = &mut self.directory(parent, layer)?.children;
        if children.get(name).is_some_and(|child| below(child, layer)) {
            children.remove(name);
        } else if let Some(Child { node: Node::Directory(directory), .. }) = children.get_mut(name)
        {
            // The directory itself is of this layer, which may have come before its whiteout.
            empty_below(directory, layer);
        }
        Ok(())
    }

    /// An opaque whiteout: what layers below `layer` put into this directory is gone.
    pub fn make_opaque(&mut self, path: &[Vec<u8>], layer: usize) -> Result<()> {
        empty_below(self.directory(path, layer)?, layer);
        Ok(())
    }
}

/// Nothing of this node is of `layer`.
fn below(child: &Child, layer: usize) -> bool {
    child.layer < layer
        && match &child.node {
            Node::Directory(directory) => directory.children.values().all(|c| below(c, layer)),
            _ => true,
        }
}

fn empty_below(directory: &mut Directory, layer: usize) {
    directory.children.retain(|_, child| !below(child, layer));
    for child in directory.children.values_mut() {
        if let Node::Directory(inner) = &mut child.node {
            empty_below(inner, layer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        split(text.as_bytes()).unwrap()
    }

    fn link(tree: &mut Tree, at: &str, target: &str) {
        tree.put(&path(at), Node::Link(target.into(), Meta::FILE), 0).unwrap();
    }

    fn file(tree: &mut Tree, at: &str, layer: usize) {
        tree.put(&path(at), Node::File(Content::Bytes(at.into()), Meta::FILE), layer).unwrap();
    }

    fn names(tree: &Tree, at: &str) -> Vec<String> {
        let directory = match tree.find(&path(at)) {
            Some(Node::Directory(directory)) => directory,
            None if at == "/" => tree.root(),
            other => panic!("{at}: {other:?}"),
        };
        directory.children.keys().map(|name| String::from_utf8_lossy(name).into()).collect()
    }

    #[test]
    fn links_lead_from_the_root_and_never_out_of_it() {
        let mut tree = Tree::default();
        link(&mut tree, "bin", "usr/bin");
        link(&mut tree, "abs", "/usr/bin");
        link(&mut tree, "usr/up", "../../../../etc");
        link(&mut tree, "usr/bin/sh", "dash");
        for (from, last, to) in [
            ("bin/sh", false, "/usr/bin/sh"),
            ("bin/sh", true, "/usr/bin/dash"),
            ("abs/x", false, "/usr/bin/x"),
            ("usr/up/passwd", true, "/etc/passwd"),
            ("../../etc", true, "/etc"),
            ("new/a/b", true, "/new/a/b"),
        ] {
            assert_eq!(show(&tree.resolve(&path(from), last).unwrap()), to, "{from}");
        }
        link(&mut tree, "loop", "loop");
        let error = tree.resolve(&path("loop/x"), false).unwrap_err().to_string();
        assert_eq!(error, "/loop/x: more than 40 symbolic links");
    }

    #[test]
    fn a_whiteout_takes_what_is_below_and_leaves_what_is_of_its_layer() {
        let mut tree = Tree::default();
        file(&mut tree, "d/old", 0);
        file(&mut tree, "d/sub/old", 0);
        file(&mut tree, "d/sub/new", 1);
        file(&mut tree, "d/new", 1);
        file(&mut tree, "gone", 0);
        tree.white_out(&[], b"gone", 1).unwrap();
        tree.white_out(&[], b"never", 1).unwrap();
        assert_eq!(names(&tree, "/"), ["d"]);
        tree.make_opaque(&path("d"), 1).unwrap();
        assert_eq!(names(&tree, "d"), ["new", "sub"]);
        assert_eq!(names(&tree, "d/sub"), ["new"]);
    }

    #[test]
    fn a_directory_upon_a_directory_keeps_what_is_in_it() {
        let mut tree = Tree::default();
        file(&mut tree, "d/file", 0);
        let meta = Meta { mode: 0o700, ..Meta::DIRECTORY };
        tree.put(&path("d"), Tree::empty(meta), 1).unwrap();
        assert_eq!(names(&tree, "d"), ["file"]);
        file(&mut tree, "d", 2);
        assert!(matches!(tree.find(&path("d")), Some(Node::File(..))));
        let error = tree.put(&path("d/x"), Tree::empty(meta), 3).unwrap_err().to_string();
        assert_eq!(error, "/d: a file where a directory should be");
    }

    #[test]
    fn names_and_depths_are_bounded() {
        assert!(split(&[b'a'; 256]).is_err() && split(&[b'a'; 255]).is_ok());
        assert!(split("a/".repeat(129).as_bytes()).is_err());
        assert!(split(b"a\0b").is_err());
    }
}
