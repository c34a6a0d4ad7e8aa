//! The one error type of `xtask`. Each message names the operation and its object.

use std::fmt;

/// Why a command of `xtask` did not succeed.
#[derive(Debug)]
pub enum Error {
    /// Arguments that are not understood.
    Usage(String),
    /// A program could not be started, or ended with a failure.
    Command {
        /// The command line.
        line: String,
        /// How it ended.
        how: String,
    },
    /// A file operation failed.
    File {
        /// What was tried, with the path.
        what: String,
        /// The system's word.
        cause: std::io::Error,
    },
    /// Something must be there that is not, and cannot be installed by us.
    Missing(String),
    /// Some checks of a list failed; they were printed when they did.
    Checks(Vec<String>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Missing(text) => f.write_str(text.trim_end()),
            Self::Command { line, how } => write!(f, "`{line}` {how}"),
            Self::File { what, cause } => write!(f, "{what}: {cause}"),
            Self::Checks(names) => write!(f, "failed: {}", names.join(", ")),
        }
    }
}

impl std::error::Error for Error {}
