//! The key set in force: the image's own, or what the chain of its successors leads to.
//!
//! Invariants:
//! - a chain is stored before its set is in force, and every set was verified against its
//!   predecessor, back to the one in the image;
//! - the set in force never goes back, not over a power cut either;
//! - a stored chain that does not verify is ignored with a warning: the image's own set holds.

use crate::durable::{self, Folder};
use crate::mutant::{self, Mutant};
use protocol::control::Failure;
use protocol::keychain::{self, KeyChain};
use protocol::keys::KeySet;

/// Name of the stored chain in its folder.
pub const CHAIN: &str = "keys.chain";

/// The image's set, and the one in force.
#[derive(Debug)]
pub struct Keyring<F> {
    folder: F,
    image: KeySet,
    set: KeySet,
    refused: Option<Failure>,
}

impl<F: Folder> Keyring<F> {
    /// Reads the stored chain beside the signed set of the image.
    ///
    /// # Errors
    /// Only a broken set in the image.
    pub fn open(image: &[u8], mut folder: F) -> Result<Self, Failure> {
        let stored = folder.read(CHAIN).unwrap_or_else(|failure| {
            eprintln!("stored key sets are ignored: {failure}");
            None
        });
        let (set, broken) = keychain::in_force(image, stored.as_deref())?;
        let refused = broken.map(Failure::from);
        if let Some(failure) = &refused {
            eprintln!("stored key sets are ignored: {failure}");
        }
        Ok(Self { folder, image: KeySet::open(image)?, set, refused })
    }

    /// The set in force.
    pub fn in_force(&self) -> &KeySet {
        &self.set
    }

    /// Why the last chain that was stored or received does not count.
    pub fn refused(&self) -> Option<&Failure> {
        self.refused.as_ref()
    }

    /// Takes a received chain; the set that is in force from now on, when it is another.
    ///
    /// # Errors
    /// A chain that does not verify, leads back, or could not be stored; nothing has changed then.
    pub fn adopt(&mut self, body: &[u8]) -> Result<Option<&KeySet>, Failure> {
        let adopted = self.verified(body);
        self.refused = adopted.as_ref().err().cloned();
        let Some(set) = adopted? else { return Ok(None) };
        self.set = set;
        Ok(Some(&self.set))
    }

    fn verified(&mut self, body: &[u8]) -> Result<Option<KeySet>, Failure> {
        let chain = KeyChain::decode(body)?;
        let set = chain.follow(&self.image)?;
        let now = self.set.version;
        if set.version < now && !mutant::is(Mutant::TakesOlderKeys) {
            let message = format!("key set {now} is in force, {} was sent", set.version);
            return Err(Failure { code: "key-set-version".into(), message });
        }
        if set.version == now {
            return Ok(None);
        }
        durable::replace(&mut self.folder, CHAIN, &chain.encode())?;
        Ok(Some(set))
    }
}
