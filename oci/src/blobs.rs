//! Where the content of an image comes from.

use crate::digest::{Digest, Hashing};
use crate::error::io;
use crate::manifest::Descriptor;
use crate::{Error, Result};
use std::io::Read;

/// Largest index, manifest or configuration in bytes; the distribution specification asks
/// registries to take manifests up to this.
pub const MAX_JSON: u64 = 4 << 20;

/// Content by digest: an archive, or a folder that a registry filled.
pub trait Blobs {
    /// The bytes of this digest, not verified yet.
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + '_>>;
}

/// Reads a small blob whole, and verifies it.
pub fn small(blobs: &dyn Blobs, what: &str, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let digest = descriptor.digest(what)?;
    if descriptor.size > MAX_JSON {
        return Err(Error::too_much(what, format!("{MAX_JSON} bytes")));
    }
    let mut bytes = Vec::new();
    // A byte too many is enough to be another content.
    let mut reader = Hashing::new(blobs.open(&digest)?.take(descriptor.size + 1));
    reader.read_to_end(&mut bytes).map_err(io("read", what))?;
    let (found, size) = reader.finish().map_err(io("read", what))?;
    if found != digest || size != descriptor.size {
        return Err(Error::Digest { what: what.into(), digest: digest.to_string() });
    }
    Ok(bytes)
}
