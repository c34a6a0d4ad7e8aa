//! A snapshot: the data of one snap in one file, a gzip-compressed tar.
//!
//! | entry | what |
//! |---|---|
//! | `meta.json` | [`Head`], always first |
//! | `common`, `common/…` | the data that all revisions share |
//! | `data`, `data/…` | the data of the revision |
//!
//! Files, folders and symbolic links are kept, with their modes; sockets, pipes and devices are
//! not. What is read may come from outside ([`exported`]), so that nothing in it is believed: no
//! entry leads out of its folder, nothing is written through a link, and no more than was
//! announced.

pub mod exported;

use crate::{
    data,
    error::{Context, Error, Result},
    settings::{self, Config},
    state::Snapshot,
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use protocol::keys::to_hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};
use tar::{Archive, Builder, EntryType, Header};

/// Folder of the data that all revisions share.
pub const COMMON: &str = "common";
/// Folder of a revision's data.
pub const DATA: &str = "data";
/// Name of the head.
const META: &str = "meta.json";
/// Largest head in bytes: the configuration, and a little.
const MAX_META: u64 = settings::MAX_CONFIG as u64 + 4096;
/// Version of the format.
const FORMAT: u32 = 1;
/// Most entries in one snapshot; each takes an inode.
const MAX_ENTRIES: usize = 100_000;
/// Bits of a mode that are kept: none that give somebody's rights away.
const MODES: u32 = 0o777;

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Version of the format.
    pub format: u32,
    /// Snap.
    pub snap: String,
    /// Version of the snap.
    pub version: String,
    /// Revision of the snap.
    pub revision: u32,
    /// Unix time in seconds when it was taken.
    pub time: u64,
    /// The snap's configuration then.
    #[serde(default, skip_serializing_if = "Config::is_empty")]
    pub config: Config,
    /// Bytes that the data needs when it is laid out.
    pub bytes: u64,
}

impl Head {
    /// What the state notes of a file that begins with this head.
    pub(crate) fn of_file(self, size: u64, digest: String) -> Snapshot {
        Snapshot {
            time: self.time,
            version: self.version,
            revision: self.revision,
            auto: false,
            config: self.config,
            bytes: self.bytes,
            size,
            digest,
        }
    }

    /// The head of what is about to be written.
    pub fn new(snap: &str, snapshot: &Snapshot) -> Self {
        Self {
            format: FORMAT,
            snap: snap.into(),
            version: snapshot.version.clone(),
            revision: snapshot.revision,
            time: snapshot.time,
            config: snapshot.config.clone(),
            bytes: snapshot.bytes,
        }
    }
}

/// The file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub digest: String,
}

/// Counts and hashes what goes through.
struct Measured<W> {
    to: W,
    size: u64,
    hash: Sha256,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes folders, each under its name; a folder that is not there is empty.
pub fn pack(head: &Head, parts: &[(&str, PathBuf)], to: &Path) -> Result<Packed> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).at("make directory", folder)?;
    }
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(to);
    let file = BufWriter::new(file.at("create", to)?);
    let measured = Measured { to: file, size: 0, hash: Sha256::new() };
    let mut tar = Builder::new(GzEncoder::new(measured, Compression::fast()));
    let text = serde_json::to_vec(head).context("encode", META)?;
    let mut entry = header(EntryType::Regular, 0o600);
    entry.set_size(text.len() as u64);
    tar.append_data(&mut entry, META, text.as_slice()).at("write", to)?;
    for (name, folder) in parts {
        append_folder(&mut tar, Path::new(name), folder, to, 0)?;
    }
    let finished = tar.into_inner().and_then(GzEncoder::finish);
    let Measured { to: mut file, size, hash } = finished.at("write", to)?;
    file.flush().at("write", to)?;
    Ok(Packed { size, digest: to_hex(&hash.finalize()) })
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode & MODES);
    header.set_size(0);
    header
}

fn append_folder<W: Write>(
    tar: &mut Builder<W>,
    name: &Path,
    folder: &Path,
    to: &Path,
    depth: usize,
) -> Result<()> {
    let mode = fs::symlink_metadata(folder).map_or(0o700, |found| found.permissions().mode());
    tar.append_data(&mut header(EntryType::Directory, mode), name, io::empty()).at("write", to)?;
    let mut entries = data::entries(folder, depth)?;
    entries.sort();
    for path in entries {
        let name = name.join(path.file_name().unwrap_or_default());
        let found = match fs::symlink_metadata(&path) {
            // it was removed by the app, which runs
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            found => found.at("look at", &path)?,
        };
        let mode = found.permissions().mode();
        if found.is_symlink() {
            let target = fs::read_link(&path).at("read", &path)?;
            let mut entry = header(EntryType::Symlink, mode);
            tar.append_link(&mut entry, &name, &target).at("write", to)?;
        } else if found.is_dir() {
            append_folder(tar, &name, &path, to, depth + 1)?;
        } else if found.is_file() {
            let mut entry = header(EntryType::Regular, mode);
            entry.set_size(found.len());
            let file = File::open(&path).at("open", &path)?;
            // a file that shrinks meanwhile must not shift what follows
            let content = file.chain(io::repeat(0)).take(found.len());
            tar.append_data(&mut entry, &name, content).at("write", to)?;
        }
    }
    Ok(())
}

type Entries<'a> = tar::Entries<'a, GzDecoder<BufReader<File>>>;

fn corrupt(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::refused("snapshot-corrupt", format!("{}: {why}", path.display()))
}

fn open(path: &Path) -> Result<Archive<GzDecoder<BufReader<File>>>> {
    let file = File::open(path).at("open", path)?;
    Ok(Archive::new(GzDecoder::new(BufReader::new(file))))
}

/// The head, which is the first entry.
fn head(path: &Path, entries: &mut Entries<'_>) -> Result<Head> {
    let bad = |why: String| corrupt(path, why);
    let first = entries.next().ok_or_else(|| bad("it is empty".into()))?;
    let mut first = first.map_err(|e| bad(e.to_string()))?;
    if first.path_bytes().as_ref() != META.as_bytes() || first.size() > MAX_META {
        return Err(bad(format!("does not begin with {META}")));
    }
    let mut text = Vec::new();
    first.read_to_end(&mut text).map_err(|e| bad(e.to_string()))?;
    let mut head: Head = serde_json::from_slice(&text).map_err(|e| bad(format!("{META}: {e}")))?;
    if head.format != FORMAT {
        return Err(bad(format!("{META}: format {}, this is {FORMAT}", head.format)));
    }
    head.config = settings::checked(head.config).map_err(|e| bad(format!("{META}: {e}")))?;
    Ok(head)
}

/// Lays a snapshot out in folders that are not there, for a snap's user.
pub fn unpack(from: &Path, parts: &[(&str, PathBuf)], uid: u32) -> Result<()> {
    walk(from, &mut Layout { parts, uid, made: BTreeSet::new() }).map(drop)?;
    parts.iter().filter(|(_, folder)| !folder.exists()).try_for_each(|(_, f)| data::make(f, uid))
}

/// Reads a snapshot through, as when it is laid out.
pub fn check(from: &Path) -> Result<Head> {
    walk(from, &mut Layout { parts: &[], uid: 0, made: BTreeSet::new() })
}

/// Where entries go. Without parts nothing is written.
struct Layout<'a> {
    parts: &'a [(&'a str, PathBuf)],
    uid: u32,
    /// Folders of this snapshot; only they get entries, and none of them is a link.
    made: BTreeSet<PathBuf>,
}

fn walk(from: &Path, layout: &mut Layout<'_>) -> Result<Head> {
    let bad = |why: String| corrupt(from, why);
    let mut archive = open(from)?;
    let mut entries = archive.entries().map_err(|e| bad(e.to_string()))?;
    let head = head(from, &mut entries)?;
    let mut left = head.bytes;
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|e| bad(e.to_string()))?;
        if count >= MAX_ENTRIES {
            return Err(bad(format!("more than {MAX_ENTRIES} entries")));
        }
        let name = entry.path().map_err(|e| bad(e.to_string()))?.into_owned();
        left = left.checked_sub(entry.size()).ok_or_else(|| {
            bad(format!("{}: more than the {} bytes that it announces", name.display(), head.bytes))
        })?;
        layout.place(&name, &mut entry).map_err(|error| match error {
            Error::Refused { message, .. } => bad(message),
            other => other,
        })?;
    }
    Ok(head)
}

impl Layout<'_> {
    fn place(&mut self, name: &Path, entry: &mut tar::Entry<'_, impl Read>) -> Result<()> {
        let bad = |why: &str| Error::refused("", format!("{}: {why}", name.display()));
        let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
        let mut parts = name.components();
        let root = match parts.next() {
            Some(Component::Normal(first)) if plain => first.to_string_lossy().into_owned(),
            _ => return Err(bad("leads out of its folder")),
        };
        if ![COMMON, DATA].contains(&root.as_str()) {
            return Err(bad("neither common nor data"));
        }
        let is_root = name.components().count() == 1;
        let has_parent = name.parent().is_some_and(|parent| self.made.contains(parent));
        let kind = entry.header().entry_type();
        if is_root != (kind == EntryType::Directory && !has_parent) || (!is_root && !has_parent) {
            return Err(bad("not in a folder of the snapshot"));
        }
        if kind == EntryType::Directory && !self.made.insert(name.to_path_buf()) {
            return Err(bad("is there twice"));
        }
        let part = self.parts.iter().find(|(part, _)| *part == root);
        let target = part.map(|(_, folder)| folder.join(parts.as_path()));
        let mode = entry.header().mode().unwrap_or(0o600) & MODES;
        match (kind, target) {
            (EntryType::Directory | EntryType::Symlink, None) => Ok(()),
            (EntryType::Regular, None) => read_through(entry).map_err(|e| bad(&e.to_string())),
            (EntryType::Directory, Some(target)) => {
                // joined with nothing, a path ends in a slash
                let target: PathBuf = target.components().collect();
                fs::create_dir(&target).at("make directory", &target)?;
                self.finish(&target, Some(mode | 0o700))
            }
            (EntryType::Symlink, Some(target)) => {
                let link = entry.link_name().ok().flatten().ok_or_else(|| bad("a link to nothing"));
                symlink(link?, &target).at("link", &target)?;
                self.finish(&target, None)
            }
            (EntryType::Regular, Some(target)) => {
                let mut options = File::options();
                let file = options.write(true).create_new(true).mode(0o600).open(&target);
                let mut file = file.at("create", &target)?;
                let size = entry.size();
                let copied = match io::copy(entry, &mut file) {
                    // the card's trouble, not the snapshot's
                    Err(e) if e.raw_os_error().is_some() => return Err(e).at("write", &target),
                    Err(e) => return Err(bad(&e.to_string())),
                    Ok(copied) => copied,
                };
                if copied != size {
                    return Err(bad(&format!("{copied} of {size} bytes")));
                }
                self.finish(&target, Some(mode))
            }
            _ => Err(bad("neither file, folder nor symbolic link")),
        }
    }

    fn finish(&self, target: &Path, mode: Option<u32>) -> Result<()> {
        data::own(target, self.uid)?;
        let Some(mode) = mode else { return Ok(()) };
        fs::set_permissions(target, fs::Permissions::from_mode(mode)).at("set mode of", target)
    }
}

fn read_through(entry: &mut impl Read) -> io::Result<()> {
    io::copy(entry, &mut io::sink()).map(drop)
}
