//! The one error type of the harness. Its `Debug` prints the same as its `Display`, because that is
//! what the test runner shows when a story ends with it.

use std::fmt;
use std::path::PathBuf;

/// A story, or a step of one.
pub type Result<T = ()> = std::result::Result<T, Error>;

/// Why a story could not go on.
#[derive(thiserror::Error)]
pub enum Error {
    /// A file operation.
    #[error("{operation} {path}: {cause}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// A program did not start or did not succeed.
    #[error("`{line}` {how}")]
    Command {
        /// The command line.
        line: String,
        /// How it ended, with what it printed.
        how: String,
    },
    /// The console did not say what was waited for.
    #[error("{machine}: {why} while waiting for {awaited:?}; the console's last lines:\n{tail}")]
    Console {
        /// Name of the machine.
        machine: String,
        /// Time-out, or the end of QEMU.
        why: String,
        /// What was waited for.
        awaited: String,
        /// Last lines.
        tail: String,
    },
    /// QEMU's control socket.
    #[error("QMP {command}: {cause}")]
    Qmp {
        /// The command.
        command: String,
        /// What went wrong.
        cause: String,
    },
    /// The image builder.
    #[error("image builder: {0}")]
    Builder(#[from] image_builder::Error),
    /// The fleet server, or the way to it.
    #[error("fleet server: {0}")]
    Fleet(#[from] fleet::client::ClientError),
    /// Something was not as the story says.
    #[error("{0}")]
    Story(String),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Names the operation and the path of a failed file operation.
pub fn file(
    operation: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |cause| Error::File { operation, path, cause }
}

/// Ends the story unless `holds`.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result {
    if holds { Ok(()) } else { Err(Error::Story(otherwise())) }
}
