//! Writing the mapped blocks, and reading them back.

use crate::{Error, Result, bmap::Bmap, disk::BLOCK};
use protocol::keys::to_hex;
use rustix::fs::{Advice, OFlags};
use sha2::{Digest, Sha256};
use std::{
    fs::{File, OpenOptions},
    io::{BufReader, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Bytes that are written at once.
const PIECE: u64 = 4 << 20;

/// Told how far it is: what is done, bytes done, bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64);

/// Writes an image (`.img` or `.img.zst`, with its block map beside it) to a block device that
/// [`super::judge`] let pass.
pub fn image_to_device(image: &Path, device: &Path, progress: Progress<'_>) -> Result<()> {
    let mut options = OpenOptions::new();
    // O_EXCL on a block device: the kernel refuses when somebody mounted it meanwhile.
    options.read(true).write(true).custom_flags(OFlags::EXCL.bits() as i32);
    let file = options.open(device).map_err(Error::file("open", device))?;
    copy(image, &file, device, progress)
}

/// The same into a regular file, which gets the image's size.
pub fn image_to_file(image: &Path, path: &Path, progress: Progress<'_>) -> Result<()> {
    let size = block_map(image)?.image_size;
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).map_err(Error::file("open", path))?;
    let meta = file.metadata().map_err(Error::file("read", path))?;
    if !meta.is_file() {
        return Err(Error::input(format!("{} is not a regular file", path.display())));
    }
    file.set_len(size).map_err(Error::file("size", path))?;
    copy(image, &file, path, progress)
}

/// The block map beside an image.
pub fn block_map(image: &Path) -> Result<Bmap> {
    let plain = match image.extension() {
        Some(extension) if extension == "zst" => image.with_extension(""),
        _ => image.to_path_buf(),
    };
    let path = plain.with_extension("bmap");
    if !path.is_file() {
        let (image, path) = (image.display(), path.display());
        return Err(Error::input(format!("{image} has no block map beside it ({path})")));
    }
    Bmap::read(&path)
}

fn copy(image: &Path, to: &File, path: &Path, progress: Progress<'_>) -> Result<()> {
    let map = block_map(image)?;
    let total = map.mapped_blocks() * BLOCK;
    let mut source = Source::open(image)?;
    let mut done = 0;
    for (range, expected) in &map.ranges {
        source.skip_to(range.start * BLOCK)?;
        let mut digest = Sha256::new();
        let end = range.end * BLOCK;
        while source.at < end {
            let piece = source.take((end - source.at).min(PIECE), map.image_size)?;
            digest.update(&piece);
            to.write_all_at(&piece, source.at - piece.len() as u64)
                .map_err(Error::file("write", path))?;
            done += piece.len() as u64;
            progress("writing", done, total);
        }
        if to_hex(&digest.finalize()) != *expected {
            let text = format!(
                "{}: blocks from {} do not have the digest of the block map; nothing \
                 on {} can be relied on",
                image.display(),
                range.start,
                path.display()
            );
            return Err(Error::Input(text));
        }
    }
    progress("syncing", total, total);
    to.sync_all().map_err(Error::file("sync", path))?;
    verify(&map, to, path, progress)
}

/// Reads every mapped block back from the medium, not from memory.
fn verify(map: &Bmap, file: &File, path: &Path, progress: Progress<'_>) -> Result<()> {
    let dropped = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
    dropped.map_err(|e| Error::file("drop the cache of", path)(e.into()))?;
    let total = map.mapped_blocks() * BLOCK;
    let mut done = 0;
    for (range, expected) in &map.ranges {
        let mut digest = Sha256::new();
        let mut at = range.start * BLOCK;
        let end = (range.end * BLOCK).min(map.image_size);
        while at < end {
            let mut piece = vec![0; (end - at).min(PIECE) as usize];
            file.read_exact_at(&mut piece, at).map_err(Error::file("read back", path))?;
            digest.update(&piece);
            at += piece.len() as u64;
            done += piece.len() as u64;
            progress("verifying", done, total);
        }
        if to_hex(&digest.finalize()) != *expected {
            return Err(Error::ReadBack { path: path.into(), block: range.start });
        }
    }
    Ok(())
}

/// An image that is read forwards, compressed or not.
struct Source {
    reader: Box<dyn Read>,
    path: PathBuf,
    at: u64,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::file("open", path))?;
        let reader: Box<dyn Read> = if path.extension().is_some_and(|e| e == "zst") {
            let decoder = zstd::Decoder::new(file).map_err(Error::file("decompress", path))?;
            Box::new(decoder)
        } else {
            Box::new(BufReader::new(file))
        };
        Ok(Self { reader, path: path.into(), at: 0 })
    }

    fn skip_to(&mut self, offset: u64) -> Result<()> {
        let wanted = offset - self.at;
        let skipped = std::io::copy(&mut self.reader.by_ref().take(wanted), &mut std::io::sink());
        if skipped.map_err(Error::file("read", &self.path))? != wanted {
            return Err(Error::input(format!("{} is cut off", self.path.display())));
        }
        self.at = offset;
        Ok(())
    }

    fn take(&mut self, bytes: u64, image_size: u64) -> Result<Vec<u8>> {
        let bytes = bytes.min(image_size.saturating_sub(self.at));
        let mut piece = vec![0; bytes as usize];
        self.reader.read_exact(&mut piece).map_err(Error::file("read", &self.path))?;
        self.at += bytes;
        Ok(piece)
    }
}
