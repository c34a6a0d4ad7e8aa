//! The crate's error: which step failed, on what, and the kernel's reason.

use rustix::io::Errno;
use std::io;

/// Why a process could not be confined and started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value of the confinement cannot be carried out; nothing was started.
    #[error("{what}: {why}")]
    Invalid {
        /// The field or object.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A step in the caller failed; nothing was started.
    #[error("{step} {object}: {source}")]
    Prepare {
        /// What was done.
        step: &'static str,
        /// To what.
        object: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A step in the new process failed before the program was executed; it has ended and was
    /// reaped.
    #[error("{step} {object}: {source} (in the new process)")]
    Child {
        /// What was done.
        step: &'static str,
        /// To what.
        object: String,
        /// The kernel's reason.
        source: Errno,
    },
    /// The new process ended before it executed the program and without saying why (killed from
    /// outside, most likely).
    #[error("{program}: the new process ended before it was executed")]
    Vanished {
        /// Program that was to be executed.
        program: String,
    },
}

impl Error {
    /// Whether the program itself does not exist or cannot be executed, as opposed to a failed
    /// confinement.
    pub fn is_exec(&self) -> bool {
        matches!(self, Error::Child { step: "execute", .. })
    }
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Attaches step and object to an I/O error of the caller's side.
pub(crate) trait Context<T> {
    fn context(self, step: &'static str, object: impl ToString) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, step: &'static str, object: impl ToString) -> Result<T> {
        self.map_err(|e| Error::Prepare { step, object: object.to_string(), source: e.into() })
    }
}
