//! The one error type of init, netd and timed. Every error names the operation and its object.

use std::{io, path::Path};

/// What failed, at what, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the kernel.
    #[error("{operation} {object}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// At which file, device or process.
        object: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Something that was read is not what it should be.
    #[error("{object}: {problem}")]
    Invalid {
        /// File, field or device.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Invalid`].
    pub fn invalid(object: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { object: object.into(), problem: problem.into() }
    }
}

/// Names the operation and the path of a failed call.
pub trait At<T> {
    /// Adds both to the error.
    fn at(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Io {
            operation,
            object: path.as_ref().display().to_string(),
            source: source.into(),
        })
    }
}
