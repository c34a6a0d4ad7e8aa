//! Deltas: chunks of a slot image written as changes to the slot image that a device runs.
//!
//! The container is that of [`crate::payload`] with another [`Kind`](crate::payload::Kind): an
//! index with a size per chunk, then the coded chunks. A chunk of size 0 has no delta, and the
//! device takes it from the ordinary payload.
//!
//! A coded chunk is one byte, the method ([`PATCH`]), and one zstd frame of
//!
//! | size | content |
//! |---|---|
//! | 4 | size of the operations, c |
//! | 4 | bytes that are patched, p |
//! | c | operations: four LEB128 numbers each, *copy*, *patch*, *insert*, *seek* (zigzag) |
//! | p | differences: new byte minus old byte |
//! | the rest | inserted bytes |
//!
//! Integers are little-endian. An operation moves *seek* bytes from where the last one stopped in
//! the old image (the first: from its start), takes *copy* bytes from there as they are, adds
//! *patch* differences to those that follow, and then inserts *insert* bytes.
//!
//! Nothing here is trusted: a decoded chunk counts only when it has the digest of the signed
//! manifest. Invariants: no allocation above [`MEMORY`], whatever is decoded; the old image is read
//! only within its bounds, at most [`MAX_OPERATIONS`] times a chunk; a chunk is written whole or
//! refused.

use crate::error::Error;
use crate::keys::to_hex;
use crate::payload::{Chunk, Decoder};
use crate::release::CHUNK_SIZE;
use sha2::{Digest, Sha256};

/// Method: copy, patch and insert. (1 was the same without *copy*: 1 MiB of zeros costs zstd more
/// than all that an update changes in it.)
pub const PATCH: u8 = 2;
/// Most operations of a chunk; each is a read of the card.
pub const MAX_OPERATIONS: usize = 16_384;
/// Largest coded chunk: a larger one is no gain.
pub const MAX_CODED: u32 = CHUNK_SIZE;
/// Most bytes that decoding takes beside the coded and the decoded chunk and zstd's context.
pub const MEMORY: usize = HEADER + MAX_CONTROL + CHUNK;

const CHUNK: usize = CHUNK_SIZE as usize;
const HEADER: usize = 8;
/// Longest encoded operation: three lengths below 2^21, an offset below 2^35.
const MAX_OPERATION: usize = 3 + 3 + 3 + 5;
const MAX_CONTROL: usize = MAX_OPERATIONS * MAX_OPERATION;
/// Bytes without a difference that are worth an operation of their own.
const EXACT: usize = 4096;

/// Where a fleet server has deltas; then follow [`build_name`], `/`, and the SHA-256 of the new
/// release's manifest.
pub const PATH: &str = "/v1/deltas";

/// What a delta's address calls the build that a device runs: it knows that of itself, also when it
/// was flashed and never saw its manifest. SHA-256 of board, version and sequence, hexadecimal.
pub fn build_name(board: &str, version: &str, sequence: u64) -> String {
    to_hex(&Sha256::digest(format!("{board}\n{version}\n{sequence}")))
}

/// One step of writing a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Where to read the old image.
    pub old: u64,
    /// Bytes to read there and to patch.
    pub patch: u32,
    /// Bytes to insert afterwards.
    pub insert: u32,
}

/// A device's running slot: reads `into.len()` bytes at an offset; `false` when it cannot.
pub type ReadOld<'a> = dyn FnMut(u64, &mut [u8]) -> bool + 'a;

fn bad(why: impl std::fmt::Display) -> Error {
    Error::BadChunk(format!("delta: {why}"))
}

/// Codes `chunk` as `operations` on `old`; `level` as zstd's.
///
/// Refused: operations that do not cover the chunk, lie outside `old`, or are too many.
pub fn encode(
    operations: &[Operation],
    old: &[u8],
    chunk: &[u8],
    level: i32,
) -> Result<Vec<u8>, Error> {
    if chunk.len() != CHUNK || operations.len() > MAX_OPERATIONS {
        return Err(bad("operations"));
    }
    let (mut control, mut differences, mut inserted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rest, mut expected) = (chunk, 0);
    let mut spare = MAX_OPERATIONS - operations.len();
    for operation in operations {
        let (patch, insert) = (operation.patch as usize, operation.insert as usize);
        let start = usize::try_from(operation.old).map_err(|_| bad("offset"))?;
        let from = start.checked_add(patch).and_then(|end| old.get(start..end));
        let from = from.ok_or_else(|| bad("outside the old image"))?;
        let (patched, after) = rest.split_at_checked(patch).ok_or_else(|| bad("too long"))?;
        let (new, after) = after.split_at_checked(insert).ok_or_else(|| bad("too long"))?;
        let changes: Vec<u8> =
            patched.iter().zip(from).map(|(new, old)| new.wrapping_sub(*old)).collect();
        let pieces = pieces(&changes, &mut spare);
        let (mut seek, mut at) = (operation.old as i64 - expected, 0);
        for (number, (copy, patch)) in pieces.iter().enumerate() {
            let last = number + 1 == pieces.len();
            for length in [*copy, *patch, if last { insert } else { 0 }] {
                put(length as u64, &mut control);
            }
            put(zigzag(std::mem::take(&mut seek)), &mut control);
            differences.extend_from_slice(&changes[at + copy..][..*patch]);
            at += copy + patch;
        }
        inserted.extend_from_slice(new);
        expected = (operation.old + u64::from(operation.patch)) as i64;
        rest = after;
    }
    if !rest.is_empty() {
        return Err(bad("too short"));
    }
    let sizes = [control.len(), differences.len()].map(|size| (size as u32).to_le_bytes());
    let plain = [&sizes.concat(), &control, &differences, &inserted].map(Vec::as_slice).concat();
    let frame = zstd::bulk::compress(&plain, level).map_err(|e| bad(format!("compress: {e}")))?;
    Ok([&[PATCH], frame.as_slice()].concat())
}

/// Changes as bytes without one and bytes with some, in turn; at least one of both. `spare`: how
/// many more than one it may be.
fn pieces(changes: &[u8], spare: &mut usize) -> Vec<(usize, usize)> {
    let same = |from: usize| changes[from..].iter().take_while(|change| **change == 0).count();
    let (mut pieces, mut copied, mut start) = (Vec::new(), 0, 0);
    let mut at = 0;
    while at < changes.len() {
        let run = same(at);
        let ends_one = at > start && *spare > 0;
        if run >= EXACT && (at == start || ends_one) {
            if ends_one {
                pieces.push((copied, at - start));
                *spare -= 1;
            }
            (copied, start) = (run, at + run);
        }
        at += run.max(1);
    }
    pieces.push((copied, changes.len() - start));
    pieces
}

/// Decodes one coded chunk into `chunk`; `plain` is room that is used again.
///
/// `old_size` bounds what is asked of `old`. After an error `chunk` holds anything.
pub fn decode(
    decoder: &mut Decoder,
    plain: &mut Vec<u8>,
    coded: &[u8],
    old_size: u64,
    old: &mut ReadOld<'_>,
    chunk: &mut Chunk,
) -> Result<(), Error> {
    let (method, frame) = coded.split_first().ok_or_else(|| bad("empty"))?;
    if *method != PATCH {
        return Err(bad(format!("unknown method {method}")));
    }
    plain.clear();
    plain.reserve_exact(MEMORY);
    decoder.unpack(frame, plain)?;
    let (header, body) = plain.split_at_checked(HEADER).ok_or_else(|| bad("too short"))?;
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i])) as usize;
    let (mut control, body) = body.split_at_checked(word(0)).ok_or_else(|| bad("too short"))?;
    let (mut patches, mut inserted) =
        body.split_at_checked(word(4)).ok_or_else(|| bad("too short"))?;
    let (mut rest, mut at) = (&mut chunk[..], 0_i64);
    for _ in 0..MAX_OPERATIONS {
        if control.is_empty() {
            break;
        }
        let [copy, patch, insert] =
            [length(&mut control)?, length(&mut control)?, length(&mut control)?];
        at = at.checked_add(unzigzag(take(&mut control)?)).ok_or_else(|| bad("offset"))?;
        let offset = u64::try_from(at).map_err(|_| bad("offset"))?;
        let read = copy + patch;
        if offset.checked_add(read as u64).is_none_or(|end| end > old_size) {
            return Err(bad("outside the old image"));
        }
        let target = split_mut(&mut rest, read)?;
        if read > 0 && !old(offset, target) {
            return Err(bad("the old image cannot be read"));
        }
        let differences = split(&mut patches, patch)?;
        target[copy..]
            .iter_mut()
            .zip(differences)
            .for_each(|(byte, d)| *byte = byte.wrapping_add(*d));
        split_mut(&mut rest, insert)?.copy_from_slice(split(&mut inserted, insert)?);
        at += read as i64;
    }
    match control.is_empty() && rest.is_empty() && patches.is_empty() && inserted.is_empty() {
        true => Ok(()),
        false => Err(bad("operations do not cover the chunk")),
    }
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Error> {
    bytes.split_off(..length).ok_or_else(|| bad("too short"))
}

fn split_mut<'a>(bytes: &mut &'a mut [u8], length: usize) -> Result<&'a mut [u8], Error> {
    bytes.split_off_mut(..length).ok_or_else(|| bad("longer than a chunk"))
}

/// A length that is not above a chunk.
fn length(control: &mut &[u8]) -> Result<usize, Error> {
    let length = take(control)?;
    if length > u64::from(CHUNK_SIZE) {
        return Err(bad("longer than a chunk"));
    }
    Ok(length as usize)
}

/// Appends a LEB128 number.
fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a LEB128 number below 2^35.
fn take(control: &mut &[u8]) -> Result<u64, Error> {
    let mut value = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = control.split_off_first().ok_or_else(|| bad("too short"))?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(bad("number too large"))
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
