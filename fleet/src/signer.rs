//! The online `fleet` key and the key set that releases and snaps are checked against.
//!
//! Invariants: the server holds no key but that of the `fleet` role; it can say who runs what is
//! already signed, never what may run. It passes on the chain of key sets, and the chain that it
//! passes on ends with the set that it signs by.

use crate::clock::now;
use crate::error::Error;
use protocol::envelope;
use protocol::fleet::{ASSIGNMENT_CONTEXT, Assignment, COMMAND_CONTEXT, Command, Desired};
use protocol::keychain::KeyChain;
use protocol::keys::{KeySet, PrivateKey, RoleName};
use protocol::release::ReleaseManifest;
use serde_bytes::ByteBuf;
use std::fs;
use std::path::Path;

/// The signed key set in the key directory.
pub const KEY_SET_FILE: &str = "keys.cbor";
/// The chain of key sets beside it, there once keys were rotated.
pub const KEY_CHAIN_FILE: &str = "keys.chain";
/// The private key of the `fleet` role in the key directory.
pub const FLEET_KEY_FILE: &str = "fleet.key";
/// Signed before it is trusted, to find a key that the key set does not name at start already.
const PROBE: &[u8] = b"holdfast/probe/1";

/// Key set and online key.
pub struct Signer {
    keys: KeySet,
    chain: Option<Vec<u8>>,
    key: PrivateKey,
}

impl Signer {
    /// Reads the files of `dir` and checks that the key is one of the set's `fleet` role.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let set_path = dir.join(KEY_SET_FILE);
        let bytes = fs::read(&set_path).map_err(Error::file("read", &set_path))?;
        let keys = KeySet::open(&bytes)
            .map_err(|e| Error::Keys { path: set_path.clone(), why: e.to_string() })?;
        let chain = read_chain(&dir.join(KEY_CHAIN_FILE), &keys)?;
        let key_path = dir.join(FLEET_KEY_FILE);
        let text = fs::read_to_string(&key_path).map_err(Error::file("read", &key_path))?;
        let key = PrivateKey::from_text(&text)
            .map_err(|e| Error::Keys { path: key_path.clone(), why: e.to_string() })?;
        let probe = envelope::sign(PROBE, PROBE, &[&key])?;
        envelope::open(&probe, PROBE, &keys.role(RoleName::Fleet)).map_err(|_| Error::Keys {
            path: key_path,
            why: format!("key {} is not in the key set's role `fleet`", key.id()),
        })?;
        Ok(Self { keys, chain, key })
    }

    /// The key set.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// The body of `keys` for every device: the chain that leads to the key set.
    pub fn chain(&self) -> Option<&[u8]> {
        self.chain.as_deref()
    }

    /// The assignment in a body of `desired` and whether devices still follow it by this key set.
    pub fn stands_behind(&self, body: &[u8]) -> Result<(Desired, Assignment, bool), Error> {
        let desired: Desired = envelope::decode(body, "desired")?;
        let payload = envelope::unverified_payload(&desired.assignment)?;
        let assignment = envelope::decode(payload, "assignment")?;
        let holds = Assignment::open(&desired.assignment, &self.keys).is_ok();
        Ok((desired, assignment, holds))
    }

    /// Verifies an uploaded manifest.
    pub fn open_manifest(&self, bytes: &[u8]) -> Result<ReleaseManifest, Error> {
        Ok(ReleaseManifest::open(bytes, &self.keys)?)
    }

    /// The body of `desired`: a signed assignment beside the manifest.
    pub fn desired(&self, assignment: &Assignment, manifest: &[u8]) -> Result<Vec<u8>, Error> {
        let signed = envelope::sign_as(assignment, ASSIGNMENT_CONTEXT, &[&self.key])?;
        Ok(envelope::to_cbor(&Desired {
            assignment: ByteBuf::from(signed),
            manifest: ByteBuf::from(manifest.to_vec()),
        }))
    }

    /// A signed command.
    pub fn command(&self, command: &Command) -> Result<Vec<u8>, Error> {
        debug_assert!(command.expires > now());
        Ok(envelope::sign_as(command, COMMAND_CONTEXT, &[&self.key])?)
    }
}

/// The chain, which must end with the set beside it: devices would follow it elsewhere.
fn read_chain(path: &Path, keys: &KeySet) -> Result<Option<Vec<u8>>, Error> {
    let wrong = |why: String| Error::Keys { path: path.to_owned(), why };
    if !path.exists() {
        return match keys.version {
            0..=1 => Ok(None),
            version => Err(wrong(format!(
                "missing; devices with an older set need it to come to key set {version}"
            ))),
        };
    }
    let bytes = fs::read(path).map_err(Error::file("read", path))?;
    let chain = KeyChain::decode(&bytes).map_err(|e| wrong(e.to_string()))?;
    match chain.last().map_err(|e| wrong(e.to_string()))? {
        Some(last) if last == *keys => Ok(Some(bytes)),
        _ => Err(wrong(format!("does not end with key set {}, the one beside it", keys.version))),
    }
}
