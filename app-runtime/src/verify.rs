//! The signature of a snap file, over appd's own copy of it.

use crate::{
    error::{Context, Error, Result},
    paths::KeyFiles,
    squashfs,
};
use protocol::{
    keychain::{self, MAX_CHAIN},
    keys::KeySet,
    snap::{self, FOOTER, SnapClaim},
};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

/// Bytes hashed at a time.
const BLOCK: usize = 64 * 1024;

/// What is known of a snap file before it is mounted.
#[derive(Debug)]
pub struct Checked {
    /// Signed by an `app` key, and the digest is right.
    pub signed: bool,
    /// Name that the signature is for.
    pub name: Option<String>,
    /// Bytes from the start that may be mounted.
    pub image: u64,
    /// SHA-256 of them, where the signature vouches for it.
    pub digest: Option<[u8; 32]>,
}

/// Whether the file says that it is signed: where its envelope lies.
fn envelope(what: &str, file: &mut File, size: u64) -> Result<Option<std::ops::Range<u64>>> {
    let mut footer = [0; FOOTER];
    let Some(start) = size.checked_sub(FOOTER as u64) else { return Ok(None) };
    file.seek(SeekFrom::Start(start)).context("read", what)?;
    file.read_exact(&mut footer).context("read", what)?;
    snap::locate(size, &footer).map_err(|e| signature(what, &e))
}

fn signature(what: &str, error: &protocol::Error) -> Error {
    Error::refused("snap-signature", format!("{what}: {error}"))
}

fn unsigned(what: &str) -> Error {
    let how = "install it with --dangerous if you trust where it came from";
    Error::refused("snap-unsigned", format!("{what}: no signature; {how}"))
}

/// A first look, before anything is copied: superblock, length, and whether there is a signature at
/// all.
pub fn glance(what: &str, path: &Path, dangerous: bool) -> Result<u64> {
    let mut file = File::open(path).at("open", path)?;
    let found = file.metadata().at("look at", path)?;
    if !found.is_file() {
        return Err(Error::refused("snap-corrupt", format!("{what}: not a file")));
    }
    let size = found.len();
    let mut header = Vec::with_capacity(squashfs::SUPERBLOCK);
    file.by_ref().take(squashfs::SUPERBLOCK as u64).read_to_end(&mut header).at("read", path)?;
    squashfs::check(what, &header, size)?;
    if !dangerous && envelope(what, &mut file, size)?.is_none() {
        return Err(unsigned(what));
    }
    Ok(size)
}

/// The whole check. With `dangerous` a missing or wrong signature is no error; the snap is then not
/// signed.
pub fn check(what: &str, path: &Path, keys: &KeyFiles, dangerous: bool) -> Result<Checked> {
    let mut file = File::open(path).at("open", path)?;
    let size = file.metadata().at("look at", path)?.len();
    let claim = match claim(what, &mut file, size, keys) {
        Err(_) if dangerous => None,
        Ok(None) if !dangerous => return Err(unsigned(what)),
        other => other?,
    };
    let image = claim.as_ref().map_or(size, |claim| claim.size);
    let mut header = vec![0; squashfs::SUPERBLOCK.min(size as usize)];
    file.seek(SeekFrom::Start(0)).at("read", path)?;
    file.read_exact(&mut header).at("read", path)?;
    squashfs::check(what, &header, image)?;
    let digest = claim.as_ref().and_then(|claim| claim.sha256.as_slice().try_into().ok());
    Ok(Checked { signed: claim.is_some(), name: claim.and_then(|c| c.name), image, digest })
}

fn claim(what: &str, file: &mut File, size: u64, keys: &KeyFiles) -> Result<Option<SnapClaim>> {
    let Some(range) = envelope(what, file, size)? else { return Ok(None) };
    let set = in_force(keys)?;
    let mut envelope = vec![0; (range.end - range.start) as usize];
    file.seek(SeekFrom::Start(range.start)).context("read", what)?;
    file.read_exact(&mut envelope).context("read", what)?;
    let claim = snap::open(&envelope, range.start, &set).map_err(|e| signature(what, &e))?;
    file.seek(SeekFrom::Start(0)).context("read", what)?;
    if digest(what, &mut file.take(range.start))? != claim.sha256.as_slice() {
        return Err(signature(what, &protocol::Error::SnapMismatch("sha256")));
    }
    Ok(Some(claim))
}

/// The key set in force, verified anew: nobody is asked what it is.
fn in_force(files: &KeyFiles) -> Result<KeySet> {
    let image = std::fs::read(&files.image).at("read", &files.image)?;
    let mut chain = Vec::new();
    let found = match File::open(&files.chain) {
        Ok(file) => {
            // A byte too many is enough to be refused as too long.
            file.take(MAX_CHAIN as u64 + 1).read_to_end(&mut chain).at("read", &files.chain)?;
            Some(&chain[..])
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).at("open", &files.chain),
    };
    let (set, ignored) = keychain::in_force(&image, found)
        .map_err(|e| signature(&files.image.display().to_string(), &e))?;
    if let Some(why) = ignored {
        eprintln!("{} is ignored: {why}", files.chain.display());
    }
    Ok(set)
}

/// SHA-256 of all that can be read.
pub fn digest(what: &str, from: &mut impl Read) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block).context("read", what)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&block[..count]),
        }
    }
}
