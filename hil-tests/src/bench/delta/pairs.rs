//! The images that are compared.
//!
//! The Debian pair is as near to two point releases as the archive offers without its past: Debian
//! 12 for arm64 as its last point release left it, and the same with everything that came since
//! (`bookworm-security`, `bookworm-updates`). Packages are extracted, nothing of them is run; what
//! apt left behind is removed; each tree becomes an uncompressed EROFS by the image builder.

use crate::child;
use crate::error::{Result, file};
use crate::releases::Releases;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a gateway on Debian has, by apt's patterns and by name.
const PACKAGES: &[&str] = &[
    "?essential",
    "?priority(required)",
    "?priority(important)",
    "?priority(standard)",
    "openssh-server,nginx,sqlite3,rsyslog,libnss3,bind9,mosquitto,python3-lxml,python3-aiohttp",
];
const MAIN: &str = "deb http://deb.debian.org/debian bookworm main";
const SINCE: [&str; 2] = [
    "deb http://deb.debian.org/debian bookworm-updates main",
    "deb http://deb.debian.org/debian-security bookworm-security main",
];

/// An old and a new image.
#[derive(Debug)]
pub struct Pair {
    /// For people.
    pub name: String,
    /// The image that a device has.
    pub old: PathBuf,
    /// The image that it shall have.
    pub new: PathBuf,
    /// The same as folders, for tools that know no images.
    pub trees: [PathBuf; 2],
}

/// Makes a pair in a folder; `None`: it cannot be had here.
type Make = fn(&Path) -> Result<Option<Pair>>;

/// Every pair, made in a folder; what was made there before is used again. `None`: cannot be made
/// here, which was said.
pub const ALL: &[Make] = &[debian, own];

fn debian(folder: &Path) -> Result<Option<Pair>> {
    if !super::tools::is_there("mmdebstrap") {
        println!("skipped: no Debian pair, mmdebstrap is not installed (Debian: mmdebstrap)");
        return Ok(None);
    }
    let make = |name: &str, suites: &[&str]| -> Result<(PathBuf, PathBuf)> {
        let (tree, image) = (folder.join(name), folder.join(format!("{name}.erofs")));
        if !image.exists() {
            let _ = fs::remove_dir_all(&tree);
            let mut command = Command::new("mmdebstrap");
            command.args(["--mode=root", "--architectures=arm64", "--variant=extract"]);
            command.args(PACKAGES.iter().map(|pattern| format!("--include={pattern}")));
            child::run(command.arg("bookworm").arg(&tree).args(suites))?;
            for left in ["var/lib/apt/lists", "var/cache/apt", "var/lib/dpkg/parts", "dev"] {
                let _ = fs::remove_dir_all(tree.join(left));
            }
            let bytes = image_builder::rootfs::erofs(&tree, &image, 0)?;
            fs::write(&image, padded(bytes)).map_err(file("write", &image))?;
        }
        Ok((tree, image))
    };
    let (old_tree, old) = make("debian-point-release", &[MAIN])?;
    let (new_tree, new) = make("debian-today", &[&[MAIN], SINCE.as_slice()].concat())?;
    let name = "Debian 12 arm64".into();
    Ok(Some(Pair { name, old, new, trees: [old_tree, new_tree] }))
}

/// Whole chunks, as a slot image has.
fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    let size = protocol::release::CHUNK_SIZE as usize;
    bytes.resize(bytes.len().next_multiple_of(size), 0);
    bytes
}

/// The first release, and the next: what every release changes at the least.
fn own(folder: &Path) -> Result<Option<Pair>> {
    let releases = Releases::get()?;
    let (first, second) = (releases.first()?, releases.second()?);
    let trees = [("own-1", &first), ("own-2", &second)].map(|(name, release)| {
        let tree = folder.join(name);
        let _ = fs::remove_dir_all(&tree);
        (tree, &release.slot_image)
    });
    for (tree, image) in &trees {
        fs::create_dir_all(tree).map_err(file("make", tree))?;
        let to = tree.join("slot");
        fs::copy(image, &to).map_err(file("copy to", &to))?;
    }
    let name = format!("holdfast {} to {}", first.version, second.version);
    let [(old_tree, old), (new_tree, new)] = trees;
    Ok(Some(Pair { name, old: old.clone(), new: new.clone(), trees: [old_tree, new_tree] }))
}
