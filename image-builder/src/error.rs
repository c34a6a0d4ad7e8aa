//! What can go wrong, each with the operation and the object.

use std::{io, path::PathBuf};

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {operation} {path}: {source}")]
    File {
        /// `read`, `write`, …
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A foreign program is not installed.
    #[error("the program {program} is not installed (Debian package {package})")]
    MissingTool {
        /// Its name.
        program: String,
        /// Where Debian has it.
        package: &'static str,
    },
    /// A foreign program failed.
    #[error("{program} failed ({status}):\n{output}")]
    Tool {
        /// Its name and first argument.
        program: String,
        /// Exit status.
        status: String,
        /// The last lines that it printed.
        output: String,
    },
    /// An input is wrong; the text says what and what to do.
    #[error("{0}")]
    Input(String),
    /// A part does not fit its place.
    #[error("{what} has {size} bytes, and {limit} is the most that fits")]
    TooLarge {
        /// What.
        what: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Bytes that were read back are not those that were written.
    #[error("{path}: block {block} reads back differently from what was written")]
    ReadBack {
        /// Device or file.
        path: PathBuf,
        /// Index of the block.
        block: u64,
    },
    /// A signed message was refused.
    #[error(transparent)]
    Protocol(#[from] protocol::error::Error),
    /// Kernel, U-Boot or firmware could not be had.
    #[error("sources: {0}")]
    Sources(String),
}

impl Error {
    /// For `map_err`: names the operation and the file.
    pub fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { operation, path, source }
    }

    /// A wrong input.
    pub fn input(text: impl Into<String>) -> Error {
        Error::Input(text.into())
    }
}
