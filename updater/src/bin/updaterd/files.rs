//! Bounded reads and atomic, durable writes.

use crate::failure;
use protocol::control::Failure;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use updater::durable::{self, Folder};

/// Largest file that is read into memory.
pub const MAX_FILE: u64 = 256 * 1024;

fn io(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let what = format!("{what} {}", path.display());
    move |error| failure("file-io", format!("{what}: {error}"))
}

/// The content of a file; `None` when there is none. Refuses files above [`MAX_FILE`].
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(failure("file-io", format!("{} exceeds {MAX_FILE} bytes", path.display())));
    }
    Ok(Some(bytes))
}

/// [`read`] of a file that must be there.
pub fn read_needed(path: &Path) -> Result<Vec<u8>, Failure> {
    read(path)?.ok_or_else(|| failure("file-io", format!("{} is missing", path.display())))
}

/// [`read`] of text.
pub fn read_text(path: &Path) -> Result<Option<String>, Failure> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| failure("file-io", format!("{} is not UTF-8", path.display())))
}

/// Replaces a file (mode 0600): the old content or the new one is there after a power cut, and the
/// new one once this returns.
pub fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| failure("file-io", format!("{} is no file", path.display())))?;
    durable::replace(&mut Disk(directory.into()), name, content)
}

/// A folder on the disk, made when something is written to it.
#[derive(Debug)]
pub struct Disk(pub PathBuf);

impl Folder for Disk {
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        read(&self.0.join(name))
    }

    fn write(&mut self, name: &str, content: &[u8]) -> Result<(), Failure> {
        make_directory(&self.0)?;
        let path = self.0.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&path).map_err(io("create", &path))?;
        file.write_all(content).map_err(io("write", &path))
    }

    fn sync(&mut self, name: &str) -> Result<(), Failure> {
        let path = self.0.join(name);
        File::open(&path).and_then(|file| file.sync_all()).map_err(io("sync", &path))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        let to = self.0.join(to);
        fs::rename(self.0.join(from), &to).map_err(io("rename to", &to))
    }

    fn sync_names(&mut self) -> Result<(), Failure> {
        sync_directory(&self.0)
    }
}

/// A directory of mode 0700, with those above it.
pub fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make", path))
}

/// Makes names in a directory durable.
pub fn sync_directory(path: &Path) -> Result<(), Failure> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_reads_are_bounded() {
        let dir = std::env::temp_dir().join(format!("updaterd-files-{}", std::process::id()));
        let path = dir.join("below/x.json");
        assert_eq!(read(&path).unwrap(), None);
        assert_eq!(read_needed(&path).unwrap_err().code, "file-io");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"two"[..]));
        let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "no temporary file is left");
        write(&path, &vec![0; MAX_FILE as usize + 1]).unwrap();
        assert_eq!(read(&path).unwrap_err().code, "file-io");
        fs::remove_dir_all(&dir).unwrap();
    }
}
