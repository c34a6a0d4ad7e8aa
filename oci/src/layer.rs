//! A layer as a plain tar file on disk: decompressed, bounded, and verified twice, as it came and
//! as it is.

use crate::blobs::Blobs;
use crate::digest::{Digest, Hashing};
use crate::error::io;
use crate::manifest::Descriptor;
use crate::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Read, Write};

/// Bytes moved at a time.
const BLOCK: usize = 128 * 1024;
/// A zstd frame may ask for more memory than a gateway has: what `zstd -19` needs, as log2 of
/// bytes.
const ZSTD_WINDOW: u32 = 23;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the media type; docker-archives have none, and say it by the first bytes.
    fn of(what: &str, media_type: &str, first: &[u8]) -> Result<Self> {
        match media_type {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Self::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd" => Ok(Self::Zstd),
            "" if first.starts_with(&[0x1f, 0x8b]) => Ok(Self::Gzip),
            "" if first.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) => Ok(Self::Zstd),
            "" => Ok(Self::None),
            other => Err(Error::invalid(what, format!("layers of type {other} are not supported"))),
        }
    }
}

/// Unpacks a layer into `to`; its bytes are taken from `budget`. `diff_id` is the digest of the
/// plain tar file.
pub fn unpack(
    blobs: &dyn Blobs,
    what: &str,
    layer: &Descriptor,
    diff_id: &Digest,
    budget: &mut u64,
    to: &mut File,
) -> Result<()> {
    let digest = layer.digest(what)?;
    let mut first = [0; 4];
    let count = match layer.media_type.as_str() {
        "" => fill(&mut blobs.open(&digest)?, &mut first).map_err(io("read", what))?,
        // Nothing is opened for what is known: it may be a request to a registry.
        _ => 0,
    };
    let compression = Compression::of(what, &layer.media_type, &first[..count])?;
    // One byte more than announced is enough to be another content.
    let limit = layer.size.saturating_add(1);
    let mut compressed = Hashing::new(blobs.open(&digest)?.take(limit));
    let buffered = BufReader::with_capacity(BLOCK, &mut compressed);
    let (found, size) = match compression {
        Compression::None => pour(what, buffered, budget, to)?,
        Compression::Gzip => {
            pour(what, flate2::bufread::MultiGzDecoder::new(buffered), budget, to)?
        }
        Compression::Zstd => {
            let failed = io("read", what);
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered).map_err(failed)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(io("read", what))?;
            pour(what, decoder, budget, to)?
        }
    };
    let (came, came_size) = compressed.finish().map_err(io("read", what))?;
    if came != digest || came_size != layer.size {
        return Err(Error::Digest { what: what.into(), digest: digest.to_string() });
    }
    if found != *diff_id {
        return Err(Error::Digest { what: what.into(), digest: diff_id.to_string() });
    }
    *budget -= size;
    Ok(())
}

/// Copies all that can be read, up to the budget.
fn pour(what: &str, from: impl Read, budget: &u64, to: &mut File) -> Result<(Digest, u64)> {
    let mut from = Hashing::new(from);
    let mut block = vec![0; BLOCK];
    let mut left = *budget;
    loop {
        let count = match from.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::invalid(what, format!("cannot be unpacked: {error}"))),
        };
        left = left.checked_sub(count as u64).ok_or_else(|| {
            Error::too_much(format!("{what}: unpacked"), format!("{budget} bytes"))
        })?;
        to.write_all(&block[..count]).map_err(io("write", what))?;
    }
    from.finish().map_err(io("read", what))
}

fn fill(from: &mut dyn Read, into: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}
