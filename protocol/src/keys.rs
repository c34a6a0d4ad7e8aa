//! Keys and the key set: who may sign what, and how many must.
//!
//! Invariants:
//! - a key's id is derived from the key, so no key can stand in a set under two names and count
//!   twice towards a threshold;
//! - a set is signed by a threshold of its own root role, and a set that replaces another also by a
//!   threshold of the other's; versions go up by exactly one;
//! - a role's threshold is at least 1 and at most the number of its keys.

use crate::envelope;
use crate::error::Error;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Context of a key set's envelope.
pub const KEYSET_CONTEXT: &[u8] = b"holdfast/keys/1";
/// Most keys in a set.
pub const MAX_KEYS: usize = 64;
/// Bytes of a key id.
const ID_LEN: usize = 8;
/// First word of a private key file.
const PRIVATE_KEY_MAGIC: &str = "holdfast-ed25519-seed";

/// First 8 bytes of the SHA-256 of the public key; 16 hexadecimal digits for people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; ID_LEN]);

impl KeyId {
    /// Id of a public key of 32 bytes.
    pub fn of(public: &[u8; 32]) -> Self {
        let digest = Sha256::digest(public);
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&digest[..ID_LEN]);
        Self(id)
    }

    /// From the bytes of an envelope's header; `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes for an envelope's header.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        from_hex(&text).map(Self).ok_or_else(|| format!("{text:?} is not a key id"))
    }
}

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes from lower- or upper-case hexadecimal digits.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(bytes)
}

/// A signing key. Its memory is wiped when dropped; its file's mode (0600) is the writer's duty.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// From 32 bytes of randomness.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// From the text of a key file: one line, `holdfast-ed25519-seed` and 64 hexadecimal digits.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some(PRIVATE_KEY_MAGIC) {
            return Err(Error::BadPrivateKey("does not begin with holdfast-ed25519-seed"));
        }
        let seed = words.next().and_then(from_hex).ok_or(Error::BadPrivateKey("seed"))?;
        match words.next() {
            None => Ok(Self::from_seed(&seed)),
            Some(_) => Err(Error::BadPrivateKey("more than one line")),
        }
    }

    /// The text of a key file.
    pub fn to_text(&self) -> String {
        format!("{PRIVATE_KEY_MAGIC} {}\n", to_hex(self.0.as_bytes()))
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Id of the public half.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.public())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).to_bytes().to_vec()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.id())
    }
}

/// A key that can verify.
#[derive(Debug, Clone)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Refuses what is no point of the curve, and points of small order.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

/// What a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleName {
    /// Key sets.
    Root,
    /// Release manifests; kept offline.
    Release,
    /// Assignments and commands; online, on the fleet server.
    Fleet,
    /// Snaps.
    App,
}

/// One role: its keys and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Distinct keys that must sign.
    pub threshold: u8,
    /// Ids of the keys of the role.
    pub keys: Vec<KeyId>,
}

/// The four roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// See [`RoleName::Root`].
    pub root: Role,
    /// See [`RoleName::Release`].
    pub release: Role,
    /// See [`RoleName::Fleet`].
    pub fleet: Role,
    /// See [`RoleName::App`].
    pub app: Role,
}

/// Payload of the key set's envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySet {
    /// 1, 2, 3, …
    pub version: u64,
    /// Public keys, 32 bytes each.
    pub keys: BTreeMap<KeyId, ByteBuf>,
    /// Who may sign what.
    pub roles: Roles,
}

/// The keys of one role, ready to verify.
#[derive(Debug)]
pub struct RoleKeys<'a> {
    /// Distinct keys that must sign.
    pub threshold: u8,
    ids: &'a [KeyId],
    keys: &'a BTreeMap<KeyId, ByteBuf>,
}

impl RoleKeys<'_> {
    /// Whether a key has the role.
    pub fn names(&self, id: &KeyId) -> bool {
        self.ids.contains(id)
    }

    pub(crate) fn key(&self, id: &KeyId) -> Option<PublicKey> {
        self.ids.contains(id).then(|| PublicKey::from_bytes(self.keys.get(id)?)).flatten()
    }
}

impl KeySet {
    /// A set with thresholds of 1, for the four given public keys (they may be the same).
    pub fn simple(
        version: u64,
        root: &[u8; 32],
        release: &[u8; 32],
        fleet: &[u8; 32],
        app: &[u8; 32],
    ) -> Self {
        let role = |key: &[u8; 32]| Role { threshold: 1, keys: vec![KeyId::of(key)] };
        let roles =
            Roles { root: role(root), release: role(release), fleet: role(fleet), app: role(app) };
        let keys = [root, release, fleet, app]
            .map(|key| (KeyId::of(key), ByteBuf::from(key.to_vec())))
            .into();
        Self { version, keys, roles }
    }

    /// The keys of a role.
    pub fn role(&self, name: RoleName) -> RoleKeys<'_> {
        let role = self.role_entry(name);
        RoleKeys { threshold: role.threshold, ids: &role.keys, keys: &self.keys }
    }

    fn role_entry(&self, name: RoleName) -> &Role {
        match name {
            RoleName::Root => &self.roles.root,
            RoleName::Release => &self.roles.release,
            RoleName::Fleet => &self.roles.fleet,
            RoleName::App => &self.roles.app,
        }
    }

    /// Signs this set with root keys; refuses a set that contradicts itself.
    pub fn sign(&self, root: &[&PrivateKey]) -> Result<Vec<u8>, Error> {
        self.validate()?;
        envelope::sign_as(self, KEYSET_CONTEXT, root)
    }

    /// Opens a set that is trusted for where it lies (baked into the image): consistent, and signed
    /// by a threshold of its own root.
    pub fn open(bytes: &[u8]) -> Result<Self, Error> {
        let set: Self = envelope::decode(envelope::unverified_payload(bytes)?, "key set")?;
        set.validate()?;
        envelope::open(bytes, KEYSET_CONTEXT, &set.role(RoleName::Root))?;
        Ok(set)
    }

    /// Opens the set that follows this one: signed by a threshold of this root and of its own.
    pub fn rotate(&self, bytes: &[u8]) -> Result<Self, Error> {
        envelope::open(bytes, KEYSET_CONTEXT, &self.role(RoleName::Root))?;
        let next = Self::open(bytes)?;
        let expected = self.version.saturating_add(1);
        if next.version != expected {
            return Err(Error::KeySetVersion { got: next.version, expected });
        }
        Ok(next)
    }

    /// Whether the set agrees with itself; [`KeySet::sign`] and [`KeySet::open`] insist on it.
    pub fn validate(&self) -> Result<(), Error> {
        if self.keys.len() > MAX_KEYS {
            return Err(Error::BadKeySet(format!("{} keys", self.keys.len())));
        }
        for (id, key) in &self.keys {
            let derived = <&[u8; 32]>::try_from(key.as_slice()).ok().map(KeyId::of);
            if derived != Some(*id) || PublicKey::from_bytes(key).is_none() {
                return Err(Error::BadKeySet(format!("key {id} is not what its id says")));
            }
        }
        for name in [RoleName::Root, RoleName::Release, RoleName::Fleet, RoleName::App] {
            let role = self.role_entry(name);
            let distinct: BTreeSet<&KeyId> = role.keys.iter().collect();
            if distinct.len() != role.keys.len() {
                return Err(Error::BadKeySet(format!("{name:?} names a key twice")));
            }
            if role.threshold == 0 || usize::from(role.threshold) > distinct.len() {
                return Err(Error::BadKeySet(format!("threshold of {name:?}")));
            }
            if let Some(id) = distinct.iter().find(|id| !self.keys.contains_key(id)) {
                return Err(Error::BadKeySet(format!("{name:?} names {id}, which is missing")));
            }
        }
        Ok(())
    }
}
