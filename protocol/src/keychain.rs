//! From the key set in the image to the one in force: the chain of its successors.
//!
//! A device trusts the set that is baked into its image. The fleet hands it the successors, each
//! signed by its predecessor's root role; the fleet is not trusted for them. Body of the leaf
//! `keys`, and of the file that `holdfast keys` writes and the device keeps: a CBOR array of
//! envelopes, oldest first.
//!
//! Invariants:
//! - each successor is verified against the set before it ([`KeySet::rotate`]): version plus one,
//!   a threshold of the old and of its own root;
//! - successors that the image's own set has overtaken are passed over, so that a newer image wins
//!   over an older chain;
//! - a chain leads somewhere as a whole or not at all: what does not verify changes nothing.

use crate::cbor;
use crate::envelope::{self, MAX_ENVELOPE};
use crate::error::Error;
use crate::keys::KeySet;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Most successors in a chain. Older ones are dropped: images that need them are that much older.
pub const MAX_SUCCESSORS: usize = 32;
/// Largest encoded chain in bytes; a set of a handful of keys takes about 600.
pub const MAX_CHAIN: usize = 2 * MAX_ENVELOPE;

/// Where a device keeps the chain: updaterd writes it, appd reads it.
pub const STORED: &str = "/data/system/updater/keys.chain";

/// The successors of a key set, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyChain(Vec<ByteBuf>);

impl KeyChain {
    /// Decodes and bounds a received chain; nothing is verified.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let chain: Self = cbor::decode(bytes, MAX_CHAIN, "key chain")?;
        if chain.0.len() > MAX_SUCCESSORS {
            let why = format!("{} successors, {MAX_SUCCESSORS} is the limit", chain.0.len());
            return Err(Error::MalformedPayload { what: "key chain", why });
        }
        match chain.0.iter().find(|envelope| envelope.len() > MAX_ENVELOPE) {
            Some(envelope) => Err(Error::EnvelopeTooLarge(envelope.len())),
            None => Ok(chain),
        }
    }

    /// The encoded chain.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// With one more successor; the oldest are dropped when that is too many or too much.
    #[must_use]
    pub fn extended(&self, envelope: &[u8]) -> Self {
        let mut chain = self.clone();
        chain.0.push(ByteBuf::from(envelope.to_vec()));
        while chain.0.len() > MAX_SUCCESSORS || chain.encode().len() > MAX_CHAIN {
            chain.0.remove(0);
        }
        chain
    }

    /// The newest set, signed by its own root; whether it follows from the others is not looked at.
    pub fn last(&self) -> Result<Option<KeySet>, Error> {
        self.0.last().map(|envelope| KeySet::open(envelope)).transpose()
    }

    /// The set that this chain leads to from `base`: `base` itself when nothing is newer.
    pub fn follow(&self, base: &KeySet) -> Result<KeySet, Error> {
        let mut set = base.clone();
        for successor in &self.0 {
            let payload = envelope::unverified_payload(successor)?;
            let named: KeySet = envelope::decode(payload, "key set")?;
            if named.version > base.version {
                set = set.rotate(successor)?;
            }
        }
        Ok(set)
    }
}

/// The set in force on a device: the image's own, or what the stored chain leads to from it.
///
/// A chain that does not verify is ignored and said why; only a broken set in the image is an
/// error.
pub fn in_force(image: &[u8], chain: Option<&[u8]>) -> Result<(KeySet, Option<Error>), Error> {
    let base = KeySet::open(image)?;
    let Some(chain) = chain else { return Ok((base, None)) };
    match KeyChain::decode(chain).and_then(|chain| chain.follow(&base)) {
        Ok(set) => Ok((set, None)),
        Err(error) => Ok((base, Some(error))),
    }
}
