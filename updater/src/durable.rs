//! Replacing a file so that a power cut leaves the old content or the new one, never anything else.
//!
//! The order of the steps is here and nowhere else: content, sync of the content, name, sync of the
//! name. Each of them is needed: a file system may write names before contents, and a name that was
//! not synced may be the old one again after a cut. The folder is behind a trait, so that the
//! daemon runs these steps on ext4 and the simulator the same ones on something less kind.

use protocol::control::Failure;

/// Name that a new content has until it is whole.
const NEW: &str = "tmp";

/// A folder of small files. What a step did is durable only after the sync that is for it.
pub trait Folder {
    /// The content of a file; `None` when there is none.
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure>;
    /// Creates a file, or empties it, and writes its content.
    fn write(&mut self, name: &str, content: &[u8]) -> Result<(), Failure>;
    /// Makes a file's content durable.
    fn sync(&mut self, name: &str) -> Result<(), Failure>;
    /// Gives a file another name; whoever had that is gone.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Failure>;
    /// Makes names durable.
    fn sync_names(&mut self) -> Result<(), Failure>;
}

/// Replaces a file: durable when it returns, the old content or the new one whenever it does not.
pub fn replace(folder: &mut impl Folder, name: &str, content: &[u8]) -> Result<(), Failure> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let temporary = format!("{stem}.{NEW}");
    folder.write(&temporary, content)?;
    folder.sync(&temporary)?;
    folder.rename(&temporary, name)?;
    folder.sync_names()
}
