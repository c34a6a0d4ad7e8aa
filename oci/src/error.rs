//! What can be wrong with an image. Codes are frozen: scripts and the fleet read them.

/// Why an image could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the machine could not be read or written.
    #[error("{operation} {object}: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Not an image, or not one that can be honoured; the text names the part.
    #[error("{0}")]
    Invalid(String),
    /// Content that is not what its digest says.
    #[error("{what}: not the content of {digest}")]
    Digest {
        /// Which part.
        what: String,
        /// Digest that was named.
        digest: String,
    },
    /// Made for other machines.
    #[error("{0}")]
    Platform(String),
    /// Larger, deeper or more than is allowed.
    #[error("{what}: more than {limit}")]
    TooMuch {
        /// What there is too much of.
        what: String,
        /// The limit with its unit.
        limit: String,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The constant name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Invalid(_) => "image-invalid",
            Self::Digest { .. } => "image-digest",
            Self::Platform(_) => "image-architecture",
            Self::TooMuch { .. } => "image-too-large",
        }
    }

    pub(crate) fn invalid(what: &str, why: impl std::fmt::Display) -> Self {
        Self::Invalid(format!("{what}: {why}"))
    }

    pub(crate) fn too_much(what: impl Into<String>, limit: impl std::fmt::Display) -> Self {
        Self::TooMuch { what: what.into(), limit: limit.to_string() }
    }
}

/// Names operation and object of an I/O error.
pub(crate) fn io<'a>(
    operation: &'static str,
    object: impl std::fmt::Display + 'a,
) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::Io { operation, object: object.to_string(), source }
}
