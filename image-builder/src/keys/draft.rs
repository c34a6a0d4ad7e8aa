//! The next key set while it is made and signed: `keys.draft`, passed from one root key's holder to
//! the next.
//!
//! The file is the set's CBOR until somebody signs, then a COSE_Sign over it that grows by one
//! signature at a time. It becomes the set in force when a threshold of the old and of its own root
//! have signed; nothing else than that makes it one.
//!
//! Invariants: a draft has the version after the set in force; an edit drops the signatures that
//! there were, since they were given for something else.

use super::{KEY_CHAIN, KEY_SET, kept_file, key_chain, key_set};
use crate::{Error, Result};
use protocol::{
    envelope::{self, MAX_ENVELOPE},
    keys::{KEYSET_CONTEXT, KeyId, KeySet, PrivateKey, Role, RoleName},
};
use std::{fs, path::Path};

/// File of the draft.
pub const DRAFT: &str = "keys.draft";

/// A draft, with what lies in the file.
#[derive(Debug)]
pub struct Draft {
    /// The set that it is to be.
    pub set: KeySet,
    /// Keys that have signed it.
    pub signers: Vec<KeyId>,
    bytes: Vec<u8>,
}

/// How far a draft is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signatures {
    /// Root keys of the set in force that have signed, and its threshold.
    pub old: (usize, u8),
    /// Root keys of the draft itself that have signed, and its threshold.
    pub new: (usize, u8),
}

impl Signatures {
    /// Whether the draft may come into force.
    pub fn complete(&self) -> bool {
        self.old.0 >= usize::from(self.old.1) && self.new.0 >= usize::from(self.new.1)
    }
}

/// Reads the draft of a folder, if there is one.
pub fn open(dir: &Path) -> Result<Option<Draft>> {
    let path = dir.join(DRAFT);
    if !path.exists() {
        return Ok(None);
    }
    let size = path.metadata().map_err(Error::file("look at", &path))?.len();
    if size > MAX_ENVELOPE as u64 {
        let (what, limit) = (path.display().to_string(), MAX_ENVELOPE as u64);
        return Err(Error::TooLarge { what, size, limit });
    }
    let bytes = fs::read(&path).map_err(Error::file("read", &path))?;
    let wrong = |e: protocol::Error| Error::input(format!("{}: {e}", path.display()));
    let signed = envelope::takes_signatures(&bytes);
    let signers = if signed { envelope::named_keys(&bytes).map_err(wrong)? } else { Vec::new() };
    let payload =
        if signed { envelope::unverified_payload(&bytes).map_err(wrong)? } else { &bytes };
    let set: KeySet = envelope::decode(payload, "draft").map_err(wrong)?;
    let expected = key_set(dir)?.version + 1;
    if set.version != expected {
        let (path, got) = (path.display(), set.version);
        return Err(Error::input(format!("{path}: version {got}, {expected} would be next")));
    }
    Ok(Some(Draft { set, signers, bytes }))
}

/// Changes the draft, which begins as the set in force; returns it and how many signatures the
/// change made worthless.
pub fn edit(dir: &Path, change: impl FnOnce(&mut KeySet) -> Result<()>) -> Result<(KeySet, usize)> {
    let (mut set, dropped) = match open(dir)? {
        Some(draft) => (draft.set, draft.signers.len()),
        None => {
            let mut set = key_set(dir)?;
            set.version += 1;
            (set, 0)
        }
    };
    change(&mut set)?;
    forget_unused(&mut set);
    set.validate()?;
    replace(&dir.join(DRAFT), &envelope::to_cbor(&set))?;
    Ok((set, dropped))
}

/// Gives a role one more key.
pub fn add(set: &mut KeySet, role: RoleName, public: &[u8; 32]) -> Result<KeyId> {
    let id = KeyId::of(public);
    set.keys.insert(id, public.to_vec().into());
    let keys = &mut role_of(set, role).keys;
    if keys.contains(&id) {
        return Err(Error::input(format!("key {id} has the role {role:?} already")));
    }
    keys.push(id);
    Ok(id)
}

/// Takes a key out of every role, or out of one.
///
/// Errors: it has none, or too few keys would be left for a threshold.
pub fn revoke(set: &mut KeySet, id: &KeyId, only: Option<RoleName>) -> Result<()> {
    let mut found = false;
    for role in [RoleName::Root, RoleName::Release, RoleName::Fleet, RoleName::App] {
        if only.is_some_and(|only| only != role) {
            continue;
        }
        let Role { threshold, keys } = role_of(set, role);
        let before = keys.len();
        keys.retain(|key| key != id);
        found |= keys.len() < before;
        if keys.len() < usize::from(*threshold) {
            let left = keys.len();
            return Err(Error::input(format!(
                "without key {id} the role {role:?} has {left} keys and needs {threshold}: add \
                 another key first (`keys rotate`), or lower the threshold (`keys threshold`)"
            )));
        }
    }
    if found { Ok(()) } else { Err(Error::input(format!("key {id} has no role in the set"))) }
}

/// Sets how many keys of a role must sign.
pub fn threshold(set: &mut KeySet, role: RoleName, threshold: u8) -> Result<()> {
    let entry = role_of(set, role);
    if threshold == 0 || usize::from(threshold) > entry.keys.len() {
        let keys = entry.keys.len();
        return Err(Error::input(format!(
            "threshold {threshold}: the role {role:?} has {keys} keys, so 1 to {keys} are possible"
        )));
    }
    entry.threshold = threshold;
    Ok(())
}

/// Adds a root key's signature; when that was the last one needed, the draft becomes the set in
/// force: `keys.chain` grows, the old set is kept beside, `keys.cbor` is replaced.
pub fn sign(dir: &Path, key: &PrivateKey) -> Result<(KeySet, Signatures)> {
    let now = key_set(dir)?;
    let Some(draft) = open(dir)? else {
        let path = dir.join(DRAFT);
        let path = path.display();
        return Err(Error::input(format!(
            "no draft {path}; `keys rotate`, `revoke` and `threshold` make one"
        )));
    };
    draft.set.validate()?;
    let (id, next) = (key.id(), draft.set.version);
    let entitled = [&now, &draft.set].iter().any(|set| set.role(RoleName::Root).names(&id));
    if !entitled {
        let version = now.version;
        return Err(Error::input(format!(
            "key {id} is no root key, neither of set {version} nor of the draft of set {next}"
        )));
    }
    let bytes = match draft.signers.is_empty() {
        true => envelope::begin_signing(&draft.bytes, KEYSET_CONTEXT, key)?,
        false => envelope::add_signature(&draft.bytes, KEYSET_CONTEXT, key)?,
    };
    let signed = signatures(&now, &draft.set, &envelope::named_keys(&bytes)?);
    replace(&dir.join(DRAFT), &bytes)?;
    if signed.complete() {
        adopt(dir, &now, &bytes)?;
    }
    Ok((draft.set, signed))
}

/// Who of both root roles is among the signers.
pub fn signatures(now: &KeySet, draft: &KeySet, signers: &[KeyId]) -> Signatures {
    let of = |set: &KeySet| {
        let role = set.role(RoleName::Root);
        (signers.iter().filter(|id| role.names(id)).count(), role.threshold)
    };
    Signatures { old: of(now), new: of(draft) }
}

fn adopt(dir: &Path, now: &KeySet, bytes: &[u8]) -> Result<()> {
    // The count above believed what the draft says of itself; this does not.
    let set = now.rotate(bytes)?;
    let chain = key_chain(dir)?;
    // A run that was cut off may have come as far as the chain.
    if chain.last()? != Some(set) {
        replace(&dir.join(KEY_CHAIN), &chain.extended(bytes).encode())?;
    }
    let (path, kept) = (dir.join(KEY_SET), dir.join(kept_file(now.version)));
    let old = fs::read(&path).map_err(Error::file("read", &path))?;
    replace(&kept, &old)?;
    replace(&path, bytes)?;
    let draft = dir.join(DRAFT);
    fs::remove_file(&draft).map_err(Error::file("remove", draft))
}

/// A public key without a role says nothing.
fn forget_unused(set: &mut KeySet) {
    let roles = &set.roles;
    let used: Vec<KeyId> = [&roles.root, &roles.release, &roles.fleet, &roles.app]
        .into_iter()
        .flat_map(|role| role.keys.clone())
        .collect();
    set.keys.retain(|id, _| used.contains(id));
}

fn role_of(set: &mut KeySet, role: RoleName) -> &mut Role {
    match role {
        RoleName::Root => &mut set.roles.root,
        RoleName::Release => &mut set.roles.release,
        RoleName::Fleet => &mut set.roles.fleet,
        RoleName::App => &mut set.roles.app,
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes).map_err(Error::file("write", &new))?;
    fs::rename(&new, path).map_err(Error::file("replace", path))
}
