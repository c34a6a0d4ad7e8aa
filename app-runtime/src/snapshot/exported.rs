//! A set of snapshots as one file, to be carried away: a tar with one entry `NAME.snapshot` for
//! each snap. What comes back is checked as if a stranger had made it.

use crate::{
    error::{Context, Error, Result},
    meta, snapshot,
    state::Snapshot,
};
use protocol::keys::to_hex;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tar::{Archive, Builder, EntryType, Header};

/// What an entry's name ends with.
const SUFFIX: &str = ".snapshot";
/// Most snapshots in one file.
const MAX_SNAPSHOTS: usize = 256;

/// Writes the snapshots of a set, by snap, into a file that is not there.
pub fn write(snapshots: &BTreeMap<String, PathBuf>, to: &Path) -> Result<u64> {
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(to).at("create", to)?;
    let written = fill(snapshots, file, to);
    if written.is_err() {
        let _ = fs::remove_file(to);
    }
    written
}

fn fill(snapshots: &BTreeMap<String, PathBuf>, file: File, to: &Path) -> Result<u64> {
    let mut tar = Builder::new(file);
    for (name, path) in snapshots {
        let from = File::open(path).at("open", path)?;
        let size = from.metadata().at("look at", path)?.len();
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(size);
        tar.append_data(&mut header, format!("{name}{SUFFIX}"), from.take(size)).at("write", to)?;
    }
    let file = tar.into_inner().at("write", to)?;
    file.sync_all().at("sync", to)?;
    Ok(file.metadata().at("look at", to)?.len())
}

/// Writes each snapshot of such a file where it is to be, by its snap, and checks it there.
pub fn split(from: &Path, to: &dyn Fn(&str) -> PathBuf) -> Result<BTreeMap<String, Snapshot>> {
    let bad =
        |why: String| Error::refused("snapshot-corrupt", format!("{}: {why}", from.display()));
    let mut archive = Archive::new(BufReader::new(File::open(from).at("open", from)?));
    let mut made = BTreeMap::new();
    for entry in archive.entries().map_err(|e| bad(e.to_string()))? {
        let mut entry = entry.map_err(|e| bad(e.to_string()))?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path
            .strip_suffix(SUFFIX)
            .filter(|name| meta::check_name("snapshot", name).is_ok())
            .ok_or_else(|| bad(format!("{path:?} is not NAME{SUFFIX}")))?
            .to_string();
        if entry.header().entry_type() != EntryType::Regular {
            return Err(bad(format!("{path}: not a file")));
        }
        if made.len() >= MAX_SNAPSHOTS || made.contains_key(&name) {
            return Err(bad(format!("{path}: once too often")));
        }
        let snapshot = take(&mut entry, &name, &to(&name)).map_err(|error| match error {
            Error::Refused { message, .. } => bad(message),
            other => other,
        })?;
        made.insert(name, snapshot);
    }
    if made.is_empty() {
        return Err(bad("no snapshot is in it".into()));
    }
    Ok(made)
}

fn take(entry: &mut impl Read, name: &str, to: &Path) -> Result<Snapshot> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).at("make directory", folder)?;
    }
    let mut options = File::options();
    let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(to);
    let mut file = file.at("create", to)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let count = match entry.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) => return Err(Error::refused("snapshot-corrupt", format!("{name}: {e}"))),
        };
        hash.update(&block[..count]);
        io::Write::write_all(&mut file, &block[..count]).at("write", to)?;
        size += count as u64;
    }
    let head = snapshot::check(to)?;
    if head.snap != name {
        let why = format!("{name}{SUFFIX}: it is of {}", head.snap);
        return Err(Error::refused("snapshot-corrupt", why));
    }
    Ok(head.of_file(size, to_hex(&hash.finalize())))
}
