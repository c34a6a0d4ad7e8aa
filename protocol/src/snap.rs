//! The trailer of a signed snap, behind the squashfs, where mounting it does not see it:
//!
//! `[squashfs, padded to 4096][envelope][u32 length of the envelope][8 bytes, MAGIC]`
//!
//! The envelope (role `app`) holds a [`SnapClaim`] about the bytes before it. The functions work on
//! slices that the caller reads: the last [`FOOTER`] bytes, then the envelope.

use crate::envelope::{self, MAX_ENVELOPE};
use crate::error::Error;
use crate::keys::{KeySet, PrivateKey, RoleName};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::ops::Range;

/// Context of the envelope.
pub const CONTEXT: &[u8] = b"holdfast/snap/1";
/// Last bytes of a signed snap.
pub const MAGIC: &[u8; 8] = b"HFSNAP\r\n";
/// Bytes of envelope length and magic.
pub const FOOTER: usize = 12;
/// The squashfs is padded to a multiple of this.
pub const ALIGN: u64 = 4096;

/// What the `app` role signs about a snap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapClaim {
    /// SHA-256 of the padded squashfs.
    pub sha256: ByteBuf,
    /// Size of the padded squashfs in bytes.
    pub size: u64,
    /// Name of the snap; a claim with a name is good for that name only.
    #[serde(default)]
    pub name: Option<String>,
}

/// Where the envelope of a file of `size` bytes lies, from its last [`FOOTER`] bytes; `None`:
/// unsigned.
///
/// Errors: it says that it is signed, but the place cannot be right.
pub fn locate(size: u64, footer: &[u8; FOOTER]) -> Result<Option<Range<u64>>, Error> {
    let (length, magic) = footer.split_at(4);
    if magic != MAGIC {
        return Ok(None);
    }
    let length = u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
    if length == 0 || length > MAX_ENVELOPE as u64 {
        return Err(Error::BadTrailer("length of the envelope"));
    }
    let end = size.checked_sub(FOOTER as u64).ok_or(Error::BadTrailer("file too short"))?;
    let start = end.checked_sub(length).ok_or(Error::BadTrailer("file too short"))?;
    if start == 0 || !start.is_multiple_of(ALIGN) {
        return Err(Error::BadTrailer("squashfs is not padded"));
    }
    Ok(Some(start..end))
}

/// Opens the claim; `start` is where the envelope begins.
///
/// The caller then hashes the bytes before `start` and compares with [`SnapClaim::sha256`].
pub fn open(envelope: &[u8], start: u64, keys: &KeySet) -> Result<SnapClaim, Error> {
    let claim: SnapClaim =
        envelope::open_as(envelope, CONTEXT, &keys.role(RoleName::App), "snap claim")?;
    if claim.sha256.len() != 32 {
        return Err(Error::BadTrailer("digest"));
    }
    if claim.size != start {
        return Err(Error::SnapMismatch("size"));
    }
    Ok(claim)
}

/// [`locate`] and [`open`] for a whole snap in memory, with its digest compared; `None`: unsigned.
pub fn verify(file: &[u8], keys: &KeySet) -> Result<Option<SnapClaim>, Error> {
    use sha2::{Digest, Sha256};
    let Some(footer) = file.last_chunk::<FOOTER>() else { return Ok(None) };
    let Some(range) = locate(file.len() as u64, footer)? else { return Ok(None) };
    let start = range.start as usize;
    let claim = open(&file[start..range.end as usize], range.start, keys)?;
    if Sha256::digest(&file[..start]).as_slice() != claim.sha256.as_slice() {
        return Err(Error::SnapMismatch("sha256"));
    }
    Ok(Some(claim))
}

/// The trailer to append to a squashfs padded to [`ALIGN`].
pub fn trailer(claim: &SnapClaim, keys: &[&PrivateKey]) -> Result<Vec<u8>, Error> {
    if claim.size == 0 || !claim.size.is_multiple_of(ALIGN) {
        return Err(Error::BadTrailer("squashfs is not padded"));
    }
    let mut bytes = envelope::sign_as(claim, CONTEXT, keys)?;
    let length = bytes.len() as u32;
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(MAGIC);
    Ok(bytes)
}
