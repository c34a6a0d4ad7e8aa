//! Images of containers, as one file.
//!
//! No fuzzer guesses a digest. So the target takes its bytes as an archive as they are, and as a
//! configuration with two layers that somebody packed well: check sums and digests are made right
//! here, and what comes of it must be a snap that appd takes.

use crate::mode;
use app_runtime::meta;
use oci::archive::{Archive, Image};
use oci::config::Execution;
use oci::convert::{Wish, convert};
use oci::digest::Digest;
use oci::snap;
use std::path::Path;
use tar::Header;

/// Bytes of a block of tar.
const BLOCK: usize = 512;
/// Bytes that layers may have unpacked.
const UNPACKED: u64 = 1 << 20;
const MACHINE: &str = meta::ARCHITECTURE;

/// The parts of an image that is packed here: `[u16 length of the JSON][u8 blocks of the lower
/// layer][JSON of how to run it][layers]`.
struct Parts<'a> {
    run: &'a str,
    layers: [Vec<u8>; 2],
}

/// An archive, and what is made of it.
pub fn image(data: &[u8]) {
    let Some((kind, rest)) = mode(data) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("image.tar");
    let (archive, run) = match kind {
        0 => (rest.to_vec(), None),
        _ => {
            let Some(parts) = parts(rest) else { return };
            (packed(&parts), Some(parts.run))
        }
    };
    std::fs::write(&file, archive).expect("a file");
    let Ok(mut archive) = Archive::open(&file) else { return };
    let Ok(image) = archive.image(MACHINE, None) else { return };
    converted(&archive, &image, run, folder.path());
}

fn converted(archive: &Archive, image: &Image, run: Option<&str>, folder: &Path) {
    let wish = Wish { name: Some("image"), architecture: MACHINE, unpacked: UNPACKED };
    let mut to = tempfile::tempfile_in(folder).expect("a file");
    let Ok(made) = convert(archive, image, &wish, folder, &mut to) else { return };
    let length = to.metadata().expect("the file").len();
    assert!(made.size <= length, "{} of {length} bytes", made.size);
    let Some(run) = run else { return };
    let execution: Execution = serde_json::from_str(run).expect("it was converted");
    let yaml = snap::yaml(&made.naming, MACHINE, &execution, &made.process, &image.digest);
    if yaml.len() as u64 > meta::MAX_YAML {
        return;
    }
    if let Err(error) = meta::parse_with(&yaml, Some(made.process)) {
        panic!("appd does not take what was made: {error}\n{yaml}");
    }
}

fn parts(data: &[u8]) -> Option<Parts<'_>> {
    let (head, rest) = data.split_first_chunk::<3>()?;
    let length = usize::from(u16::from_le_bytes([head[0], head[1]]));
    let (run, layers) = rest.split_at_checked(length)?;
    let (lower, upper) = layers.split_at(layers.len().min(usize::from(head[2]) * BLOCK));
    let layers = [lower, upper].map(|layer| mended(layer.to_vec()));
    Some(Parts { run: std::str::from_utf8(run).ok()?, layers })
}

/// A layer whose headers have the check sums that they should have.
fn mended(mut layer: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(block) = layer.get_mut(at..at + BLOCK) {
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().unwrap_or(0).min(layer.len() as u64) as usize;
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    layer
}

/// What `docker save` writes of it.
fn packed(parts: &Parts<'_>) -> Vec<u8> {
    let ids = parts.layers.each_ref().map(|layer| format!("\"{}\"", Digest::of(layer)));
    let config = format!(
        "{{\"architecture\": \"{MACHINE}\", \"os\": \"linux\", \"config\": {},
           \"rootfs\": {{\"type\": \"layers\", \"diff_ids\": [{}]}}}}",
        parts.run,
        ids.join(", ")
    );
    let list = "[{\"Config\": \"config\", \"Layers\": [\"lower\", \"upper\"]}]";
    let [lower, upper] = &parts.layers;
    let mut archive = Vec::new();
    for (name, bytes) in [
        ("manifest.json", list.as_bytes()),
        ("config", config.as_bytes()),
        ("lower", lower),
        ("upper", upper),
    ] {
        archive.extend(entry(name, bytes));
    }
    archive.extend([0; 2 * BLOCK]);
    archive
}

/// An ordinary file in a tar, without the end of one.
pub fn entry(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_path(name).expect("a short name");
    header.set_mode(0o755);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    let mut entry = [header.as_bytes(), bytes].concat();
    entry.resize(entry.len().next_multiple_of(BLOCK), 0);
    entry
}
