//! An image of containers in place of a snap file: recognised, and converted into a snap without a
//! signature in appd's own directory. What becomes of an image is crate `oci`'s; here are the
//! limits of a gateway, and how what the image says of its process is read back from the snap.
//!
//! Runs on a thread of its own: it decompresses, hashes and compresses.

use crate::{
    data,
    error::{Context, Error, Result},
    incoming::MAX_SNAP,
    meta::{ARCHITECTURE, invalid},
    paths::Paths,
};
use oci::{
    archive::{Archive, Image},
    blobs::Blobs,
    convert::{Wish, convert},
    process::ImageProcess,
};
use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// What an image says of its process, in the snap that it became.
pub const PROCESS: &str = "meta/oci.json";
/// Largest such file in bytes: what `oci` writes is smaller.
const MAX_PROCESS: u64 = 4 << 20;
/// Bytes that all layers of an image may have unpacked, if there is room for them.
const MAX_UNPACKED: u64 = 2 << 30;
/// Where a tar file says that it is one (`pax(1)`, ustar interchange format).
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
/// First bytes of a compressed one, which is refused with the way out.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
/// First bytes of a squashfs.
const SNAP_MAGIC: &[u8] = b"hsqs";

/// Whether a file is a tar file, and so may be an image.
pub fn is_archive(path: &Path) -> Result<bool> {
    let mut first = Vec::new();
    let (at, magic) = TAR_MAGIC;
    let file = File::open(path).at("open", path)?;
    file.take((at + magic.len()) as u64).read_to_end(&mut first).at("read", path)?;
    let is_tar = first.get(at..).is_some_and(|rest| rest == magic);
    Ok(!first.starts_with(SNAP_MAGIC) && (is_tar || first.starts_with(GZIP_MAGIC)))
}

/// An image has no signature of ours: the digest that names it says which one it is, and not who
/// vouches for it.
pub fn check_allowed(what: &str, dangerous: bool) -> Result<()> {
    if dangerous {
        return Ok(());
    }
    let how = "install it with --dangerous if you trust where it came from, or make a signed snap \
               of it with `holdfast app import`";
    Err(Error::refused("snap-unsigned", format!("{what}: an image has no signature; {how}")))
}

/// Converts an archive into the partial file `number`; returns its path and what was left out.
pub fn import(
    paths: &Paths,
    archive: &Path,
    name: Option<&str>,
    number: u32,
) -> Result<(PathBuf, Vec<String>)> {
    let mut archive = Archive::open(archive)?;
    let image = archive.image(ARCHITECTURE, None)?;
    make(paths, &archive, &image, name, number)
}

/// Converts an image, wherever its content comes from.
pub fn make(
    paths: &Paths,
    blobs: &dyn Blobs,
    image: &Image,
    name: Option<&str>,
    number: u32,
) -> Result<(PathBuf, Vec<String>)> {
    let to = paths.partial(number);
    let result = make_at(paths, blobs, image, name, &to);
    if result.is_err() {
        let _ = fs::remove_file(&to);
    }
    result.map(|told| (to, told))
}

fn make_at(
    paths: &Paths,
    blobs: &dyn Blobs,
    image: &Image,
    name: Option<&str>,
    to: &Path,
) -> Result<Vec<String>> {
    // Layers and snap are there at the same time, and neither may fill the partition.
    let unpacked = (data::free(&paths.files())? / 2).min(MAX_UNPACKED);
    let wish = Wish { name, architecture: ARCHITECTURE, unpacked };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(to)
        .at("create", to)?;
    let made = convert(blobs, image, &wish, &paths.files(), &mut file)?;
    if made.size > MAX_SNAP {
        let why = format!("{}: {} bytes, at most {MAX_SNAP}", made.naming.name, made.size);
        return Err(Error::refused("snap-too-large", why));
    }
    file.sync_all().at("sync", to)?;
    Ok(made.left_out.told())
}

/// What the image says of its process, where the mounted snap was made of one.
pub fn process(name: &str, mount: &Path) -> Result<Option<ImageProcess>> {
    let path = mount.join(PROCESS);
    let corrupt = |why: String| Error::refused("snap-invalid", format!("{name}: {PROCESS}: {why}"));
    match fs::symlink_metadata(&path) {
        Err(_) => return Ok(None),
        Ok(found) if !found.is_file() => return Err(corrupt("not a file".into())),
        Ok(_) => {}
    }
    let mut text = Vec::new();
    let file = File::open(&path).map_err(|e| corrupt(e.to_string()))?;
    file.take(MAX_PROCESS + 1).read_to_end(&mut text).map_err(|e| corrupt(e.to_string()))?;
    if text.len() as u64 > MAX_PROCESS {
        return Err(corrupt(format!("larger than {MAX_PROCESS} bytes")));
    }
    let process: ImageProcess =
        serde_json::from_slice(&text).map_err(|e| corrupt(e.to_string()))?;
    check(&process).map(|()| Some(process))
}

/// Anybody can write such a file: what is not as `oci` writes it would fail at the first start.
fn check(process: &ImageProcess) -> Result<()> {
    let wrong = |field: &str, why: &str| Err(invalid(format!("{PROCESS}: {field}"), why));
    let has_nul = |text: &String| text.contains('\0');
    if process.args.is_empty() || process.args.iter().any(has_nul) {
        return wrong("args", "empty, or with a zero byte in it");
    }
    let plain = |(name, value): &(String, String)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !has_nul(value)
    };
    if !process.env.iter().all(plain) {
        return wrong("env", "a name without letters, or with '=' or a zero byte in it");
    }
    for (field, path) in [("program", &process.program), ("cwd", &process.cwd)] {
        if !path.starts_with('/') || has_nul(path) {
            return wrong(field, "not an absolute path");
        }
    }
    match process.stop_signal {
        1..=64 => Ok(()),
        _ => wrong("stop_signal", "not from 1 to 64"),
    }
}

impl From<oci::Error> for Error {
    fn from(error: oci::Error) -> Self {
        match error {
            oci::Error::Io { operation, object, source } => Error::Io { operation, object, source },
            other => Error::refused(other.code(), other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_from_snaps_by_their_first_bytes() {
        let path = std::env::temp_dir().join(format!("holdfast-image-{}", std::process::id()));
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let mut squashfs = tar.clone();
        squashfs[..4].copy_from_slice(b"hsqs");
        let rows: [(&[u8], bool); 6] = [
            (&tar, true),
            (&squashfs, false),
            (&tar[..261], false),
            (&[0x1f, 0x8b, 8], true),
            (b"text", false),
            (b"", false),
        ];
        for (bytes, expected) in rows {
            fs::write(&path, bytes).unwrap();
            assert_eq!(is_archive(&path).unwrap(), expected, "{} bytes", bytes.len());
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_no_conversion_writes_is_refused_by_its_field() {
        let good = ImageProcess {
            program: "/bin/a".into(),
            args: vec!["a".into()],
            env: vec![("A".into(), "b=c".into())],
            uid: 1,
            gid: 1,
            cwd: "/".into(),
            stop_signal: 15,
            ports: vec![],
            volumes: vec![],
        };
        check(&good).unwrap();
        let with = |change: fn(&mut ImageProcess)| {
            let mut process = good.clone();
            change(&mut process);
            check(&process).unwrap_err().to_string()
        };
        for (field, error) in [
            ("args", with(|p| p.args.clear())),
            ("args", with(|p| p.args[0].push('\0'))),
            ("env", with(|p| p.env[0].0.push('='))),
            ("program", with(|p| p.program = "bin/a".into())),
            ("cwd", with(|p| p.cwd = String::new())),
            ("stop_signal", with(|p| p.stop_signal = 65)),
        ] {
            assert!(error.starts_with(&format!("snap.yaml: {PROCESS}: {field}: ")), "{error}");
        }
    }
}
