//! Key pairs as files, and the key set that they make.

use crate::{Error, Result};
use protocol::keys::{KeySet, PrivateKey};
use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// File of the signed key set.
pub const KEY_SET: &str = "keys.cbor";
/// Who signs what; the file of a role is `ROLE.key`.
pub const ROLES: [&str; 4] = ["root", "release", "fleet", "app"];

/// Makes a key pair for each role and the key set, signed by the root key. Refuses a folder that
/// has any of them.
pub fn init(dir: &Path) -> Result<KeySet> {
    fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    let there = ROLES.iter().map(|role| key_file(dir, role)).chain([dir.join(KEY_SET)]);
    if let Some(path) = there.into_iter().find(|path| path.exists()) {
        return Err(Error::input(format!("{} exists; keys are never overwritten", path.display())));
    }
    let mut keys = Vec::new();
    for role in ROLES {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| Error::input(format!("no random numbers: {e}")))?;
        let key = PrivateKey::from_seed(&seed);
        write_private(&key_file(dir, role), key.to_text().as_bytes())?;
        keys.push(key);
    }
    let public: Vec<[u8; 32]> = keys.iter().map(PrivateKey::public).collect();
    let set = KeySet::simple(1, &public[0], &public[1], &public[2], &public[3]);
    let path = dir.join(KEY_SET);
    fs::write(&path, set.sign(&[&keys[0]])?).map_err(Error::file("write", path))?;
    Ok(set)
}

/// Reads the private key of a role.
pub fn private(dir: &Path, role: &str) -> Result<PrivateKey> {
    private_file(&key_file(dir, role))
}

/// Reads a private key file.
pub fn private_file(path: &Path) -> Result<PrivateKey> {
    if !path.exists() {
        let path = path.display();
        return Err(Error::input(format!(
            "no key {path}; `holdfast keys init --dir DIR` makes keys"
        )));
    }
    let text = fs::read_to_string(path).map_err(Error::file("read", path))?;
    PrivateKey::from_text(&text).map_err(|e| Error::input(format!("{}: {e}", path.display())))
}

/// Reads and checks the key set.
pub fn key_set(dir: &Path) -> Result<KeySet> {
    let path = dir.join(KEY_SET);
    if !path.exists() {
        let path = path.display();
        return Err(Error::input(format!(
            "no key set {path}; `holdfast keys init --dir DIR` makes it"
        )));
    }
    let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
    KeySet::open(&bytes).map_err(|e| Error::input(format!("{}: {e}", path.display())))
}

fn key_file(dir: &Path, role: &str) -> PathBuf {
    dir.join(format!("{role}.key"))
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(Error::file("create", path))?;
    file.write_all(bytes).map_err(Error::file("write", path))
}
