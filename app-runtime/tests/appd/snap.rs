//! Snaps made from busybox and shell scripts.

use crate::bench::{app_key, run};
use protocol::{
    keys::PrivateKey,
    snap::{ALIGN, SnapClaim, trailer},
};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

const BUSYBOX: &str = "/bin/busybox";

/// Counts its starts in the common data, keeps its versions in its own, and runs until it is told
/// to end.
pub const STEADY: &str = "#!/bin/sh
echo \"started $SNAP_NAME $SNAP_VERSION revision $SNAP_REVISION\"
echo start >> $SNAP_COMMON/starts
echo $SNAP_VERSION >> $SNAP_DATA/versions
trap 'echo stopping; exit 0' TERM
while true; do busybox sleep 0.05; done
";

/// A snap to be packed.
pub struct Snap {
    pub yaml: String,
    pub script: String,
}

impl Snap {
    /// `name` with one service `main` that runs `script`.
    pub fn new(name: &str, version: &str, script: &str) -> Self {
        let yaml = format!(
            "name: {name}\nversion: '{version}'\nsummary: a test\n\
             apps:\n  main:\n    command: bin/main\n    daemon: simple\n"
        );
        Self { yaml, script: script.into() }
    }

    /// `name` with one service `main`, a program in Perl, with more fields.
    pub fn perl(name: &str, fields: &str, script: &str) -> Self {
        let mut snap = Self::new(name, "1", script);
        let command = "command: bin/perl $SNAP/bin/main";
        snap.yaml = snap.yaml.replace("command: bin/main", command) + fields;
        snap
    }

    /// The squashfs alone.
    pub fn image(&self, dir: &Path) -> Vec<u8> {
        self.image_with(dir, &[])
    }

    /// With further programs in it: path and text.
    pub fn image_with(&self, dir: &Path, programs: &[(&str, &str)]) -> Vec<u8> {
        let tree = self.tree(dir);
        for (path, text) in programs {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        aligned(&tree)
    }

    /// What is packed.
    pub fn tree(&self, dir: &Path) -> PathBuf {
        assert!(Path::new(BUSYBOX).exists(), "these tests need Debian's package busybox-static");
        let tree = dir.join("tree");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(tree.join("meta")).unwrap();
        fs::create_dir_all(tree.join("bin")).unwrap();
        fs::write(tree.join("meta/snap.yaml"), &self.yaml).unwrap();
        fs::write(tree.join("bin/main"), &self.script).unwrap();
        fs::set_permissions(tree.join("bin/main"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(BUSYBOX, tree.join("bin/busybox")).unwrap();
        symlink("busybox", tree.join("bin/sh")).unwrap();
        if self.yaml.contains("bin/perl") {
            borrow(&tree, "/usr/bin/perl", "bin/perl");
        }
        tree
    }

    /// Signed with the device's key.
    pub fn signed(&self, dir: &Path) -> PathBuf {
        write(dir, &sign(self.image(dir), &app_key(), None))
    }
}

/// A tree as a squashfs that can be signed.
fn aligned(tree: &Path) -> Vec<u8> {
    let mut bytes = squash(tree, "zstd");
    bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0);
    bytes
}

/// A tree as `NAME.snap` in a folder, signed with the device's key.
pub fn pack(tree: &Path, dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(format!("{name}.snap"));
    fs::write(&path, sign(aligned(tree), &app_key(), None)).unwrap();
    path
}

/// A directory as a squashfs.
pub fn squash(tree: &Path, compressor: &str) -> Vec<u8> {
    let image = tree.with_extension("image");
    let _ = fs::remove_file(&image);
    run(Command::new("mksquashfs").arg(tree).arg(&image).args(["-comp", compressor, "-noappend"]));
    fs::read(image).unwrap()
}

/// Copies a program of this machine, and the libraries that it is linked with, into a tree.
pub fn borrow(tree: &Path, program: &str, to: &str) {
    fs::copy(program, tree.join(to)).unwrap();
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
        let at = tree.join(library.trim_start_matches('/'));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::copy(library, at).unwrap();
    }
}

/// A signed snap from its squashfs.
pub fn sign(mut image: Vec<u8>, key: &PrivateKey, name: Option<&str>) -> Vec<u8> {
    let claim = SnapClaim {
        sha256: ByteBuf::from(Sha256::digest(&image).to_vec()),
        size: image.len() as u64,
        name: name.map(Into::into),
    };
    image.extend(trailer(&claim, &[key]).unwrap());
    image
}

/// Bytes as `test.snap` in a folder.
pub fn write(dir: &Path, bytes: &[u8]) -> PathBuf {
    let path = dir.join("test.snap");
    fs::write(&path, bytes).unwrap();
    path
}
