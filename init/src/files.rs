//! Reading small files with a bound, and replacing files so that a power cut leaves either the old
//! or the new one.

use crate::error::{At, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// At most `limit` bytes of a file; a longer file is an error, so that nothing is parsed half.
pub fn read_bounded(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    let file = File::open(path).at("open", path)?;
    file.take(limit + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(crate::Error::invalid(
            path.display().to_string(),
            format!("longer than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

/// A small text file of the kernel's without its end of line or NUL; `None` when it cannot be read.
pub fn read_line(path: impl AsRef<Path>) -> Option<String> {
    const KERNEL_TEXT_LIMIT: u64 = 4096;
    let bytes = read_bounded(path, KERNEL_TEXT_LIMIT).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_string())
}

/// Writes a temporary file beside `path`, syncs it, renames it and syncs the directory.
pub fn replace(path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<()> {
    let path = path.as_ref();
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .at("create", &temporary)?;
    file.write_all(bytes).at("write", &temporary)?;
    file.sync_all().at("sync", &temporary)?;
    fs::rename(&temporary, path).at("rename to", path)?;
    if let Some(directory) = path.parent() {
        File::open(directory).and_then(|d| d.sync_all()).at("sync", directory)?;
    }
    Ok(())
}

/// Like [`replace`], without the syncs: for files in memory.
pub fn replace_volatile(path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> Result<()> {
    let path = path.as_ref();
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .at("create", &temporary)?;
    file.write_all(bytes).at("write", &temporary)?;
    fs::rename(&temporary, path).at("rename to", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_holds_the_new_bytes_and_leaves_nothing_beside_it() {
        let dir = std::env::temp_dir().join(format!("holdfast-files-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("state.json");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        assert!(read_bounded(&path, 2).is_err());
        assert_eq!(read_line(&path).as_deref(), Some("two"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
