//! What this crate refuses, each refusal with a frozen code that fleet and logs may rely on.

use crate::control::Failure;

/// A refusal. The text names the object; [`Error::code`] never changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not one of the two COSE structures, not canonical, or with headers other than ours.
    #[error("envelope: {0}")]
    MalformedEnvelope(&'static str),
    /// Larger than [`crate::envelope::MAX_ENVELOPE`].
    #[error("envelope of {0} bytes exceeds the limit")]
    EnvelopeTooLarge(usize),
    /// No signature is by a key of the role.
    #[error("envelope is signed by no key of the role; it names {0}")]
    UnknownKey(String),
    /// A key of the role is named, but the signature is not its.
    #[error("signature of key {0} does not verify")]
    BadSignature(String),
    /// Fewer good signatures than the role's threshold.
    #[error("{good} good signatures, {threshold} needed")]
    ThresholdNotMet {
        /// Distinct keys of the role with a good signature.
        good: usize,
        /// The role's threshold.
        threshold: u8,
    },
    /// The signed bytes are not what was expected.
    #[error("{what}: {why}")]
    MalformedPayload {
        /// Kind of message.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A key set that contradicts itself.
    #[error("key set: {0}")]
    BadKeySet(String),
    /// The next key set must have the version after the present one.
    #[error("key set version {got}, {expected} expected")]
    KeySetVersion {
        /// Version of the new set.
        got: u64,
        /// The only version that may follow.
        expected: u64,
    },
    /// A private key file that cannot be read.
    #[error("private key: {0}")]
    BadPrivateKey(&'static str),
    /// A manifest whose fields contradict each other or exceed limits.
    #[error("manifest: {0}")]
    BadManifest(String),
    /// A payload container whose header cannot be right.
    #[error("payload: {0}")]
    BadPayload(String),
    /// A chunk that does not decode to the expected size.
    #[error("chunk: {0}")]
    BadChunk(String),
    /// The file ends before its trailer says so, or has a trailer that cannot be right.
    #[error("snap trailer: {0}")]
    BadTrailer(&'static str),
    /// The file is not the one that was signed.
    #[error("snap differs from what was signed: {0}")]
    SnapMismatch(&'static str),
}

impl Error {
    /// The frozen name of the refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MalformedEnvelope(_) => "malformed-envelope",
            Self::EnvelopeTooLarge(_) => "envelope-too-large",
            Self::UnknownKey(_) => "unknown-key",
            Self::BadSignature(_) => "bad-signature",
            Self::ThresholdNotMet { .. } => "threshold-not-met",
            Self::MalformedPayload { .. } => "malformed-payload",
            Self::BadKeySet(_) => "bad-key-set",
            Self::KeySetVersion { .. } => "key-set-version",
            Self::BadPrivateKey(_) => "bad-private-key",
            Self::BadManifest(_) => "bad-manifest",
            Self::BadPayload(_) => "bad-payload",
            Self::BadChunk(_) => "bad-chunk",
            Self::BadTrailer(_) => "bad-trailer",
            Self::SnapMismatch(_) => "snap-mismatch",
        }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { code: error.code().into(), message: error.to_string() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}
