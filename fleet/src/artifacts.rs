//! Files named by their SHA-256: payloads and snaps.
//!
//! Invariants:
//! - a file under its digest's name is complete and was hashed as it was written;
//! - nothing above its limit is ever on the disk: uploads are counted as they arrive.

use crate::clock::random_hex;
use crate::error::Error;
use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt, stream};
use protocol::keys::to_hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Bytes read at a time when a file is sent.
const SEND_CHUNK: usize = 64 * 1024;

/// SHA-256 as lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

/// The directory of artefacts.
pub struct Artifacts {
    dir: PathBuf,
}

/// An upload that is on the disk under a temporary name; removed again unless kept.
pub struct Upload {
    path: PathBuf,
    /// SHA-256 of what arrived.
    pub sha256: String,
    /// Bytes that arrived.
    pub size: u64,
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Gone already when it was kept.
        let _ = fs::remove_file(&self.path);
    }
}

impl Upload {
    /// Where the bytes lie until they are kept.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Artifacts {
    /// Opens the directory, and removes uploads that a crash left behind.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::file("make directory", dir))?;
        let entries = fs::read_dir(dir).map_err(Error::file("list", dir))?;
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with("upload-") {
                let path = entry.path();
                fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            }
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Where an artefact lies, if it is there. Anything but 64 hexadecimal digits is not.
    pub fn find(&self, sha256: &str) -> Option<PathBuf> {
        let digest: [u8; 32] = protocol::keys::from_hex(sha256)?;
        let path = self.dir.join(to_hex(&digest));
        path.is_file().then_some(path)
    }

    /// Writes a body to the disk, hashing; refuses the first byte above `limit`.
    pub async fn receive(
        &self,
        what: &'static str,
        body: Body,
        limit: u64,
    ) -> Result<Upload, Error> {
        let path = self.dir.join(format!("upload-{}", random_hex::<8>()));
        let mut file = File::create(&path).await.map_err(Error::file("create", &path))?;
        let mut upload = Upload { path, sha256: String::new(), size: 0 };
        let mut hasher = Sha256::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| Error::Upload { what, why: e.to_string() })?;
            upload.size += chunk.len() as u64;
            if upload.size > limit {
                return Err(Error::TooLarge { what, limit });
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(Error::file("write", &upload.path))?;
        }
        file.flush().await.map_err(Error::file("write", &upload.path))?;
        file.sync_all().await.map_err(Error::file("sync", &upload.path))?;
        upload.sha256 = to_hex(&hasher.finalize());
        Ok(upload)
    }

    /// Gives an upload its lasting name.
    pub fn keep(&self, upload: &Upload) -> Result<(), Error> {
        let path = self.dir.join(&upload.sha256);
        fs::rename(&upload.path, &path).map_err(Error::file("rename to", &path))
    }
}

/// `length` bytes of a file from `start`, in chunks.
pub async fn read_range(
    path: &Path,
    start: u64,
    length: u64,
) -> std::io::Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>> {
    let mut file = File::open(path).await?;
    file.seek(std::io::SeekFrom::Start(start)).await?;
    Ok(stream::unfold((file.take(length), false), |(mut file, failed)| async move {
        if failed {
            return None;
        }
        let mut buffer = vec![0; SEND_CHUNK];
        match file.read(&mut buffer).await {
            Ok(0) => None,
            Ok(count) => {
                buffer.truncate(count);
                Some((Ok(Bytes::from(buffer)), (file, false)))
            }
            Err(error) => Some((Err(error), (file, true))),
        }
    }))
}
