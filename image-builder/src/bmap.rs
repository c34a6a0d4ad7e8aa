//! The block map of an image, in the format of bmaptool, version 2.0: which blocks must be written,
//! with checksums.

use crate::{Error, Result, disk::BLOCK};
use protocol::keys::to_hex;
use sha2::{Digest, Sha256};
use std::{fs::File, ops::Range, os::unix::fs::FileExt, path::Path};

/// Largest block map that is read, in bytes.
const MAX_BMAP: u64 = 1 << 20;

/// Ranges of blocks with the SHA-256 of each range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bmap {
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Blocks, in order, and the digest of their bytes as hexadecimal digits.
    pub ranges: Vec<(Range<u64>, String)>,
}

impl Bmap {
    /// Hashes the extents (bytes, whole blocks, in order) of an image.
    pub fn of(image: &Path, extents: &[Range<u64>]) -> Result<Self> {
        let file = File::open(image).map_err(Error::file("open", image))?;
        let image_size = file.metadata().map_err(Error::file("read", image))?.len();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for extent in extents {
            let blocks = extent.start / BLOCK..extent.end.div_ceil(BLOCK);
            match ranges.last_mut() {
                Some(last) if last.end >= blocks.start => last.end = last.end.max(blocks.end),
                _ => ranges.push(blocks),
            }
        }
        let ranges = ranges.into_iter().map(|range| {
            let mut bytes = vec![0; ((range.end - range.start) * BLOCK) as usize];
            file.read_exact_at(&mut bytes, range.start * BLOCK)
                .map_err(Error::file("read", image))?;
            Ok((range, to_hex(&Sha256::digest(&bytes))))
        });
        Ok(Self { image_size, ranges: ranges.collect::<Result<_>>()? })
    }

    /// Blocks to write.
    pub fn mapped_blocks(&self) -> u64 {
        self.ranges.iter().map(|(range, _)| range.end - range.start).sum()
    }

    /// The file, with its own checksum in it.
    pub fn encode(&self) -> String {
        // The file's checksum is that of the file with zeroes in the checksum's place.
        let blank = "0".repeat(64);
        let text = self.text(&blank);
        text.replacen(&blank, &to_hex(&Sha256::digest(&text)), 1)
    }

    fn text(&self, checksum: &str) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    \
             <ImageSize> {} </ImageSize>\n    \
             <BlockSize> {BLOCK} </BlockSize>\n    <BlocksCount> {} </BlocksCount>\n    \
             <MappedBlocksCount> {} </MappedBlocksCount>\n    \
             <ChecksumType> sha256 </ChecksumType>\n    \
             <BmapFileChecksum> {checksum} </BmapFileChecksum>\n    <BlockMap>\n",
            self.image_size,
            self.image_size.div_ceil(BLOCK),
            self.mapped_blocks(),
        );
        for (range, digest) in &self.ranges {
            let (first, last) = (range.start, range.end - 1);
            let place = if first == last { format!("{first}") } else { format!("{first}-{last}") };
            text.push_str(&format!("        <Range chksum=\"{digest}\"> {place} </Range>\n"));
        }
        text.push_str("    </BlockMap>\n</bmap>\n");
        text
    }

    /// Reads a block map as [`Bmap::encode`] writes it (one element per line).
    pub fn read(path: &Path) -> Result<Self> {
        let size = path.metadata().map_err(Error::file("read", path))?.len();
        let wrong = |what: &str| Error::input(format!("{}: {what}", path.display()));
        if size > MAX_BMAP {
            return Err(wrong("too large for a block map"));
        }
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        Self::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> std::result::Result<Self, &'static str> {
        let element = |name: &str| {
            let value = text.split_once(&format!("<{name}>"))?.1;
            value.split_once("</").map(|(value, _)| value.trim())
        };
        let number = |name: &str| element(name).and_then(|value| value.parse::<u64>().ok());
        if element("ChecksumType") != Some("sha256") || number("BlockSize") != Some(BLOCK) {
            return Err("not a block map with SHA-256 and blocks of 4096 bytes");
        }
        let checksum = element("BmapFileChecksum").ok_or("no checksum")?;
        let blanked = text.replacen(checksum, &"0".repeat(checksum.len()), 1);
        if to_hex(&Sha256::digest(blanked)) != checksum {
            return Err("its own checksum is wrong");
        }
        let image_size = number("ImageSize").ok_or("no image size")?;
        let mut ranges = Vec::new();
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("<Range chksum=\"")) {
            let (digest, rest) = line.split_once("\">").ok_or("a range without a checksum")?;
            let (place, _) = rest.split_once("</Range>").ok_or("a range without an end")?;
            let place = place.trim();
            let (first, last) = place.split_once('-').unwrap_or((place, place));
            let first: u64 = first.parse().map_err(|_| "a range that is no number")?;
            let last: u64 = last.parse().map_err(|_| "a range that is no number")?;
            let after = ranges.last().map_or(0, |(range, _): &(Range<u64>, String)| range.end);
            if first < after || last < first || last >= image_size.div_ceil(BLOCK) {
                return Err("ranges out of order or beyond the image");
            }
            ranges.push((first..last + 1, digest.to_string()));
        }
        if ranges.is_empty() {
            return Err("no ranges");
        }
        Ok(Self { image_size, ranges })
    }
}
