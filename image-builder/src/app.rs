//! Makes a signed snap of a folder or of an image of containers: squashfs, then the trailer of
//! `protocol::snap`.
//!
//! Only what packing needs is looked at in `meta/snap.yaml` (it is there, and has a name and a
//! version); `appd` judges the rest when the snap is installed.

use crate::{Error, Result, tool};
use oci::archive::Archive;
use oci::convert::{Wish, convert};
use protocol::{
    keys::PrivateKey,
    naming,
    snap::{self, SnapClaim},
};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use std::{fs, path::Path};

/// Largest `snap.yaml` in bytes.
const MAX_YAML: u64 = 256 * 1024;
/// Bytes that all layers of an image may have unpacked: more than any gateway takes.
const MAX_UNPACKED: u64 = 4 << 30;

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Name from `snap.yaml`.
    pub name: String,
    /// Version from `snap.yaml`.
    pub version: String,
    /// Size of the snap in bytes.
    pub size: u64,
}

/// Packs the folder `dir` into the file `to`; without a key the snap is not signed.
///
/// The same folder gives the same bytes: all files belong to root, and all times are `time` (Unix
/// seconds).
pub fn pack(dir: &Path, key: Option<&PrivateKey>, to: &Path, time: u64) -> Result<Packed> {
    pack_with(dir, key, to, time, &[])
}

/// The same with entries that a folder cannot have without root, or should not: `pseudo` are
/// definitions of mksquashfs (`NAME c 666 0 0 1 1`), for snaps that are made to be refused.
pub fn pack_with(
    dir: &Path,
    key: Option<&PrivateKey>,
    to: &Path,
    time: u64,
    pseudo: &[&str],
) -> Result<Packed> {
    let (name, version) = name_and_version(dir)?;
    if to.exists() {
        fs::remove_file(to).map_err(Error::file("replace", to))?;
    }
    let time = time.to_string();
    let mut command = tool::command("mksquashfs")?;
    command.arg(dir).arg(to).env_remove("SOURCE_DATE_EPOCH");
    command.args(["-noappend", "-quiet", "-no-progress", "-all-root", "-no-xattrs"]);
    command.args(["-comp", "zstd", "-mkfs-time", &time, "-all-time", &time]);
    for definition in pseudo {
        command.args(["-p", definition]);
    }
    tool::run(&mut command)?;
    sign(to, name, version, key)
}

/// Makes a snap of an image of containers: an OCI layout or a docker-archive as one tar file, for
/// machines of `architecture` (Go's name, `arm64`). The second part of the result says what was
/// left out. The layers are unpacked beside the snap meanwhile.
pub fn import(
    archive: &Path,
    name: Option<&str>,
    architecture: &str,
    key: Option<&PrivateKey>,
    to: &Path,
) -> Result<(Packed, Vec<String>)> {
    let wrong = |error: oci::Error| Error::input(format!("{}: {error}", archive.display()));
    let mut archive = Archive::open(archive).map_err(wrong)?;
    let image = archive.image(architecture, None).map_err(wrong)?;
    let scratch = match to.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(to)
        .map_err(Error::file("create", to))?;
    let wish = Wish { name, architecture, unpacked: MAX_UNPACKED };
    let made = convert(&archive, &image, &wish, scratch, &mut file).map_err(|error| {
        let _ = fs::remove_file(to);
        wrong(error)
    })?;
    let packed = sign(to, made.naming.name, made.naming.version, key)?;
    Ok((packed, made.left_out.told()))
}

/// Adds to a squashfs what makes it a snap that says who vouches for it.
fn sign(to: &Path, name: String, version: String, key: Option<&PrivateKey>) -> Result<Packed> {
    let mut bytes = fs::read(to).map_err(Error::file("read", to))?;
    bytes.resize(bytes.len().next_multiple_of(snap::ALIGN as usize), 0);
    if let Some(key) = key {
        let claim = SnapClaim {
            sha256: ByteBuf::from(Sha256::digest(&bytes).to_vec()),
            size: bytes.len() as u64,
            name: Some(name.clone()),
        };
        bytes.extend_from_slice(&snap::trailer(&claim, &[key])?);
    }
    fs::write(to, &bytes).map_err(Error::file("write", to))?;
    Ok(Packed { name, version, size: bytes.len() as u64 })
}

fn name_and_version(dir: &Path) -> Result<(String, String)> {
    let path = dir.join("meta/snap.yaml");
    if !path.is_file() {
        return Err(Error::input(format!("{} has no meta/snap.yaml: not a snap", dir.display())));
    }
    let size = path.metadata().map_err(Error::file("read", &path))?.len();
    if size > MAX_YAML {
        return Err(Error::TooLarge { what: path.display().to_string(), size, limit: MAX_YAML });
    }
    let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    let field = |name: &str| {
        let value = top_level(&text, name).filter(|value| !value.is_empty());
        value.ok_or_else(|| Error::input(format!("{}: no field {name:?}", path.display())))
    };
    let name = field("name")?;
    let wrong = |why: String| Error::input(format!("{}: {why}", path.display()));
    naming::check_name(&name).map_err(wrong)?;
    let version = field("version")?;
    naming::check_version(&version).map_err(wrong)?;
    Ok((name, version))
}

/// Value of a plain field at the top level of a YAML file.
fn top_level(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let value = value.split(" #").next().unwrap_or_default().trim();
    Some(value.trim_matches(['"', '\'']).to_string())
}
