//! Key pairs as files, and the key set that they make.
//!
//! | file of a key folder | what |
//! |---|---|
//! | `keys.cbor` | the signed key set in force |
//! | `keys.chain` | its predecessors' successors, oldest first; there once keys were rotated |
//! | `keys-N.cbor` | the set N that was replaced |
//! | `keys.draft` | the next set, being signed; see [`draft`] |
//! | `ROLE.key`, `ROLE-N.key` | private keys; the latter made for set N |
//!
//! Invariants: no private key is ever overwritten or written for others to read, and none that
//! others can read is used; whatever a folder says, a key signs for a role only if the set in force
//! names it there.

pub mod draft;

use crate::{Error, Result};
use protocol::{
    keychain::{KeyChain, MAX_CHAIN},
    keys::{KeyId, KeySet, PrivateKey, RoleName, from_hex, to_hex},
};
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// File of the signed key set.
pub const KEY_SET: &str = "keys.cbor";
/// File of the chain that leads to it.
pub const KEY_CHAIN: &str = "keys.chain";
/// Who signs what; the file of a role is `ROLE.key`.
pub const ROLES: [&str; 4] = ["root", "release", "fleet", "app"];
/// First word of a public key file.
const PUBLIC_KEY_MAGIC: &str = "holdfast-ed25519-public";
/// Largest key file that is read, in bytes.
const MAX_KEY_FILE: u64 = 1024;

/// Makes a key pair for each role and the key set, signed by the root key. Refuses a folder that
/// has any of them.
pub fn init(dir: &Path) -> Result<KeySet> {
    fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    let there = ROLES.iter().map(|role| key_file(dir, role)).chain([dir.join(KEY_SET)]);
    if let Some(path) = there.into_iter().find(|path| path.exists()) {
        return Err(Error::input(format!("{} exists; keys are never overwritten", path.display())));
    }
    let keys =
        ROLES.iter().map(|role| generate(&key_file(dir, role))).collect::<Result<Vec<_>>>()?;
    let public: Vec<[u8; 32]> = keys.iter().map(PrivateKey::public).collect();
    let set = KeySet::simple(1, &public[0], &public[1], &public[2], &public[3]);
    let path = dir.join(KEY_SET);
    fs::write(&path, set.sign(&[&keys[0]])?).map_err(Error::file("write", path))?;
    Ok(set)
}

/// Makes a key pair: the private key in `path`, for its owner only, the public one in `path.pub`.
pub fn make(path: &Path) -> Result<PrivateKey> {
    let public = public_file(path);
    if public.exists() {
        let public = public.display();
        return Err(Error::input(format!("{public} exists; keys are never overwritten")));
    }
    let key = generate(path)?;
    fs::write(&public, public_text(&key.public())).map_err(Error::file("write", &public))?;
    Ok(key)
}

fn generate(path: &Path) -> Result<PrivateKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| Error::input(format!("no random numbers: {e}")))?;
    let key = PrivateKey::from_seed(&seed);
    write_private(path, key.to_text().as_bytes())?;
    Ok(key)
}

/// Reads the private key of a role: of the role's files, the one that the set in force names.
pub fn private(dir: &Path, role: &str) -> Result<PrivateKey> {
    let plain = key_file(dir, role);
    let Ok(set) = key_set(dir) else { return private_file(&plain) };
    let Some(name) = role_name(role) else { return private_file(&plain) };
    let named = set.role(name);
    for path in key_files(dir, role)? {
        let key = private_file(&path)?;
        if named.names(&key.id()) {
            return Ok(key);
        }
    }
    if plain.exists() {
        let id = private_file(&plain)?.id();
        let (path, version) = (plain.display(), set.version);
        return Err(Error::input(format!(
            "{path}: key {id} is not of the role {role} in key set {version}"
        )));
    }
    private_file(&plain)
}

/// Reads a private key file; refuses one that others can read or write.
pub fn private_file(path: &Path) -> Result<PrivateKey> {
    if !path.exists() {
        let path = path.display();
        return Err(Error::input(format!(
            "no key {path}; `holdfast keys init --dir DIR` makes keys"
        )));
    }
    let file = fs::File::open(path).map_err(Error::file("read", path))?;
    let mode = file.metadata().map_err(Error::file("look at", path))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(Error::input(format!(
            "{path}: its mode {mode:04o} lets others use the key; `chmod 600 {path}`, and revoke \
             the key if it was so for long"
        )));
    }
    let text = bounded_text(file, path)?;
    PrivateKey::from_text(&text).map_err(|e| Error::input(format!("{}: {e}", path.display())))
}

/// Reads a public key file: `holdfast-ed25519-public` and 64 hexadecimal digits.
pub fn public_key(path: &Path) -> Result<[u8; 32]> {
    let file = fs::File::open(path).map_err(Error::file("read", path))?;
    let text = bounded_text(file, path)?;
    let mut words = text.split_ascii_whitespace();
    let wrong = |what: &str| Error::input(format!("{}: {what}", path.display()));
    match (words.next(), words.next().and_then(from_hex), words.next()) {
        (Some(PUBLIC_KEY_MAGIC), Some(key), None) => Ok(key),
        (Some(PUBLIC_KEY_MAGIC), ..) => Err(wrong("key: 64 hexadecimal digits are wanted")),
        _ => Err(wrong("does not begin with holdfast-ed25519-public")),
    }
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

/// Reads the chain that leads to the key set; an empty one when there is none.
pub fn key_chain(dir: &Path) -> Result<KeyChain> {
    let path = dir.join(KEY_CHAIN);
    if !path.exists() {
        return Ok(KeyChain::default());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(&path).map_err(Error::file("read", &path))?;
    let read = file.take(MAX_CHAIN as u64 + 1).read_to_end(&mut bytes);
    read.map_err(Error::file("read", &path))?;
    KeyChain::decode(&bytes).map_err(|e| Error::input(format!("{}: {e}", path.display())))
}

/// Checks a folder: the set, that the chain leads to it from every set that was kept, and that no
/// private key lies open. Returns what is right, a line each.
pub fn verify(dir: &Path) -> Result<Vec<String>> {
    let set = key_set(dir)?;
    let chain = key_chain(dir)?;
    let mut right = vec![format!("{KEY_SET}: set {}, signed by its own root", set.version)];
    for version in 1..set.version {
        let path = dir.join(kept_file(version));
        if !path.exists() {
            continue;
        }
        let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
        let wrong = |e: protocol::Error| Error::input(format!("{}: {e}", path.display()));
        let led = KeySet::open(&bytes).and_then(|old| chain.follow(&old)).map_err(wrong)?;
        if led != set {
            let path = path.display();
            return Err(Error::input(format!(
                "{path}: {KEY_CHAIN} leads from it to set {}, not to {KEY_SET}",
                led.version
            )));
        }
        right.push(format!("{KEY_CHAIN}: leads from set {version} to set {}", set.version));
    }
    for role in ROLES {
        for path in key_files(dir, role)? {
            let id = private_file(&path)?.id();
            let named = role_name(role).is_some_and(|name| set.role(name).names(&id));
            let says = if named { "of this set" } else { "not of this set" };
            right.push(format!("{}: key {id}, {says}", path.display()));
        }
    }
    Ok(right)
}

/// The roles of a key in a set, for people.
pub fn roles_of(set: &KeySet, id: &KeyId) -> Vec<&'static str> {
    let of = |role: &&str| role_name(role).is_some_and(|name| set.role(name).names(id));
    ROLES.into_iter().filter(of).collect()
}

/// The role of this name.
pub fn role_name(role: &str) -> Option<RoleName> {
    match role {
        "root" => Some(RoleName::Root),
        "release" => Some(RoleName::Release),
        "fleet" => Some(RoleName::Fleet),
        "app" => Some(RoleName::App),
        _ => None,
    }
}

/// Where set `version` is kept once it was replaced.
pub(crate) fn kept_file(version: u64) -> String {
    format!("keys-{version}.cbor")
}

fn key_file(dir: &Path, role: &str) -> PathBuf {
    dir.join(format!("{role}.key"))
}

/// `ROLE.key` and `ROLE-N.key`, the newest first.
fn key_files(dir: &Path, role: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::file("list", dir))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(role).and_then(|rest| rest.strip_suffix(".key"));
        let number = match number {
            Some("") => Some(0),
            Some(rest) => rest.strip_prefix('-').and_then(|digits| digits.parse::<u64>().ok()),
            None => None,
        };
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}

fn public_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// The text of a public key file.
pub fn public_text(key: &[u8; 32]) -> String {
    format!("{PUBLIC_KEY_MAGIC} {}\n", to_hex(key))
}

fn bounded_text(file: fs::File, path: &Path) -> Result<String> {
    let mut text = String::new();
    file.take(MAX_KEY_FILE).read_to_string(&mut text).map_err(Error::file("read", path))?;
    Ok(text)
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(Error::file("create", path))?;
    file.write_all(bytes).map_err(Error::file("write", path))
}
