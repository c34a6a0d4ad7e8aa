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

    /// The squashfs alone.
    pub fn image(&self, dir: &Path) -> Vec<u8> {
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
        let image = dir.join("image");
        let _ = fs::remove_file(&image);
        run(Command::new("mksquashfs").arg(&tree).arg(&image).args(["-comp", "zstd", "-noappend"]));
        let mut bytes = fs::read(image).unwrap();
        bytes.resize(bytes.len().next_multiple_of(ALIGN as usize), 0);
        bytes
    }

    /// Signed with the device's key.
    pub fn signed(&self, dir: &Path) -> PathBuf {
        write(dir, &sign(self.image(dir), &app_key(), None))
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
