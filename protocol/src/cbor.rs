//! CBOR of received bytes, bounded before anything is built from it.
//!
//! Invariant: a decoder is only ever given bytes of which [`check`] holds: of bounded length and
//! nesting, every length within the bytes that are there, nothing behind the end. So no length that
//! somebody wrote makes us allocate or recurse beyond what the bytes themselves bound.

use crate::error::Error;
use serde::{Deserialize, Serialize};

/// Deepest nesting of arrays, maps and tags; our deepest message, a command to appd, has 5.
pub const MAX_DEPTH: usize = 16;

/// Major types of RFC 8949 section 3.1.
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// CBOR of a message of this crate.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    // Encoding to memory fails only for types that CBOR has no form for; ours have.
    serde_cbor::to_vec(message).expect("wire types encode")
}

/// Decodes a message of at most `limit` bytes. Unknown fields are tolerated.
pub fn decode<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    limit: usize,
    what: &'static str,
) -> Result<T, Error> {
    let refuse = |why: String| Error::MalformedPayload { what, why };
    if bytes.len() > limit {
        return Err(refuse(format!("{} bytes, {limit} is the limit", bytes.len())));
    }
    check(bytes).map_err(|why| refuse(why.into()))?;
    serde_cbor::from_slice(bytes).map_err(|e| refuse(e.to_string()))
}

/// Whether these bytes are one CBOR item within the limits, without allocating or recursing.
pub fn check(bytes: &[u8]) -> Result<(), &'static str> {
    // Items that are still to come at each open level.
    let mut open = [0_u64; MAX_DEPTH];
    let mut depth = 0;
    let mut rest = bytes;
    loop {
        let (major, argument) = head(&mut rest)?;
        let inside = match major {
            BYTES | TEXT => {
                let length = usize::try_from(argument).map_err(|_| "length beyond the end")?;
                rest = rest.get(length..).ok_or("length beyond the end")?;
                0
            }
            ARRAY => argument,
            MAP => argument.checked_mul(2).ok_or("count beyond the end")?,
            TAG => 1,
            _ => 0,
        };
        // An item takes a byte at least.
        if inside > rest.len() as u64 {
            return Err("count beyond the end");
        }
        if inside > 0 {
            *open.get_mut(depth).ok_or("nested too deeply")? = inside;
            depth += 1;
            continue;
        }
        while depth > 0 {
            open[depth - 1] -= 1;
            if open[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
        if depth == 0 {
            return if rest.is_empty() { Ok(()) } else { Err("bytes behind the end") };
        }
    }
}

/// Major type and argument of the next item.
fn head(rest: &mut &[u8]) -> Result<(u8, u64), &'static str> {
    let (first, after) = rest.split_first().ok_or("ends early")?;
    let (major, info) = (first >> 5, first & 0x1f);
    let length = match info {
        0..24 => 0,
        24..28 => 1 << (info - 24),
        28..31 => return Err("reserved head"),
        _ => return Err("indefinite length"),
    };
    let (argument, after) = after.split_at_checked(length).ok_or("ends early")?;
    *rest = after;
    let value = argument.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Ok((major, if length == 0 { u64::from(info) } else { value }))
}
