//! The crate's error. Codes are frozen: programs and the fleet match on them.

use protocol::control::Failure;
use std::{fmt::Display, io, path::Path};

/// Why a request was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Refused for a reason that has a code.
    #[error("{message}")]
    Refused {
        /// Frozen, kebab-case.
        code: &'static str,
        /// What happened to what, for people.
        message: String,
    },
    /// The system refused an operation.
    #[error("{operation} {object}: {source}")]
    Io {
        /// What was done.
        operation: &'static str,
        /// To what.
        object: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A process could not be confined and started.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// A change was undone, for a reason that is stored with it.
    #[error("{}", .0.message)]
    Change(Failure),
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A refusal.
    pub fn refused(code: &'static str, message: impl Display) -> Self {
        Self::Refused { code, message: message.to_string() }
    }

    /// A snap that is not there.
    pub(crate) fn not_installed(name: &str) -> Self {
        Self::refused("not-installed", format!("{name}: no such snap is installed"))
    }

    /// The frozen code.
    pub fn code(&self) -> &str {
        match self {
            Error::Refused { code, .. } => code,
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => "no-space",
            Error::Io { .. } => "io",
            Error::Sandbox(_) => "sandbox",
            Error::Change(failure) => &failure.code,
        }
    }

    /// For the control socket.
    pub fn failure(&self) -> Failure {
        Failure { code: self.code().into(), message: self.to_string() }
    }
}

/// Attaches operation and object to an I/O error.
pub trait Context<T> {
    /// For any object.
    fn context(self, operation: &'static str, object: impl Display) -> Result<T>;
    /// For a path.
    fn at(self, operation: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, operation: &'static str, object: impl Display) -> Result<T> {
        self.map_err(|e| Error::Io { operation, object: object.to_string(), source: e.into() })
    }

    fn at(self, operation: &'static str, path: &Path) -> Result<T> {
        self.context(operation, path.display())
    }
}
