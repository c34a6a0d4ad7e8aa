//! The online `fleet` key and the key set that releases and snaps are checked against.
//!
//! Invariant: the server holds no key but that of the `fleet` role; it can say who runs what is
//! already signed, never what may run.

use crate::clock::now;
use crate::error::Error;
use protocol::envelope;
use protocol::fleet::{ASSIGNMENT_CONTEXT, Assignment, COMMAND_CONTEXT, Command, Desired};
use protocol::keys::{KeySet, PrivateKey, RoleName};
use protocol::release::ReleaseManifest;
use serde_bytes::ByteBuf;
use std::fs;
use std::path::Path;

/// The signed key set in the key directory.
pub const KEY_SET_FILE: &str = "keys.cbor";
/// The private key of the `fleet` role in the key directory.
pub const FLEET_KEY_FILE: &str = "fleet.key";
/// Signed before it is trusted, to find a key that the key set does not name at start already.
const PROBE: &[u8] = b"holdfast/probe/1";

/// Key set and online key.
pub struct Signer {
    keys: KeySet,
    key: PrivateKey,
}

impl Signer {
    /// Reads both files of `dir` and checks that the key is one of the set's `fleet` role.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let set_path = dir.join(KEY_SET_FILE);
        let bytes = fs::read(&set_path).map_err(Error::file("read", &set_path))?;
        let keys = KeySet::open(&bytes)
            .map_err(|e| Error::Keys { path: set_path.clone(), why: e.to_string() })?;
        let key_path = dir.join(FLEET_KEY_FILE);
        let text = fs::read_to_string(&key_path).map_err(Error::file("read", &key_path))?;
        let key = PrivateKey::from_text(&text)
            .map_err(|e| Error::Keys { path: key_path.clone(), why: e.to_string() })?;
        let probe = envelope::sign(PROBE, PROBE, &[&key])?;
        envelope::open(&probe, PROBE, &keys.role(RoleName::Fleet)).map_err(|_| Error::Keys {
            path: key_path,
            why: format!("key {} is not in the key set's role `fleet`", key.id()),
        })?;
        Ok(Self { keys, key })
    }

    /// The key set.
    pub fn keys(&self) -> &KeySet {
        &self.keys
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
