//! The crate's error type.

use std::io;

/// What failed, at what, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to the kernel.
    #[error("{operation} {object}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// At which device or file.
        object: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A board file or device that is not what it should be.
    #[error("{object}: {problem}")]
    Invalid {
        /// File, field or device.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        object: impl Into<String>,
        source: io::Error,
    ) -> Self {
        Self::Io { operation, object: object.into(), source }
    }

    pub(crate) fn invalid(object: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { object: object.into(), problem: problem.into() }
    }
}

impl embedded_hal::digital::Error for Error {
    fn kind(&self) -> embedded_hal::digital::ErrorKind {
        embedded_hal::digital::ErrorKind::Other
    }
}
