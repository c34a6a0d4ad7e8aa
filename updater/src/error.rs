//! Why a release is not followed or a step did not succeed; the codes are frozen.

use protocol::control::Failure;

/// A refusal or failure of the updater.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body of `desired` is not one.
    #[error("desired: {0}")]
    Desired(protocol::Error),
    /// The assignment does not verify or is malformed.
    #[error("assignment: {0}")]
    Assignment(protocol::Error),
    /// The manifest does not verify or is malformed.
    #[error("release manifest: {0}")]
    Manifest(protocol::Error),
    /// The assignment names another release than the manifest beside it.
    #[error("the assignment is for another release than the manifest beside it")]
    ReleaseMismatch,
    /// The assignment is for another device.
    #[error("assignment for {0:?}")]
    WrongDevice(String),
    /// The assignment is older than one that was seen, or differs from the one of this counter.
    #[error("assignment counter {got}, {seen} was seen")]
    Replayed {
        /// The assignment's counter.
        got: u64,
        /// The highest one seen.
        seen: u64,
    },
    /// The assignment's time is over.
    #[error("assignment expired at {expires}, it is {now}")]
    Expired {
        /// Unix seconds.
        expires: u64,
        /// Unix seconds.
        now: u64,
    },
    /// The release is for other boards.
    #[error("release for {0}")]
    WrongBoard(String),
    /// The release is of another product.
    #[error("release of {0:?}")]
    WrongProduct(String),
    /// The release is older than one that was confirmed here.
    #[error("release {got}, {have} was confirmed")]
    SequenceTooLow {
        /// Sequence of the release.
        got: u64,
        /// Highest sequence confirmed.
        have: u64,
    },
    /// The release is below the floor.
    #[error("release {got}, floor {floor}")]
    BelowFloor {
        /// Sequence of the release.
        got: u64,
        /// Floor.
        floor: u64,
    },
    /// Neither place says how far the device had come: nothing may be installed on a guess.
    #[error("neither the notes nor the boot environment say which sequence was confirmed")]
    MarksUnreadable,
    /// The image does not fit the slot.
    #[error("image of {image} chunks, slot of {slot}")]
    ImageTooLarge {
        /// Chunks of the image.
        image: u32,
        /// Chunks of the slot.
        slot: u32,
    },
    /// The slot to write is confirmed, or it is unknown whether it is.
    #[error("slot to write: {0}")]
    SlotInUse(&'static str),
    /// No source answered.
    #[error("source {source_url}: {why}")]
    Unreachable {
        /// Which source.
        source_url: String,
        /// What happened.
        why: String,
    },
    /// The source answers, but brings less than the least rate.
    #[error("source {source_url} is too slow: {why}")]
    TooSlow {
        /// Which source.
        source_url: String,
        /// How slow.
        why: String,
    },
    /// The source sends more than it was asked for.
    #[error("source {0} sends more than it was asked for")]
    Oversized(String),
    /// The source answers, and does not have it.
    #[error("source {0} does not have it")]
    NotServed(String),
    /// The source is about to make it.
    #[error("source {0} does not have it yet")]
    NotYet(String),
    /// The source has fewer bytes than the container says.
    #[error("source {0} ends before its container does")]
    PayloadTruncated(String),
    /// The container is malformed, or for another number of chunks.
    #[error("source {source_url}: {why}")]
    BadPayload {
        /// Which source.
        source_url: String,
        /// What is wrong.
        why: protocol::Error,
    },
    /// A fetched chunk has another digest than the manifest says.
    #[error("source {source_url}: chunk {chunk} has another digest")]
    ChunkMismatch {
        /// Which source.
        source_url: String,
        /// Which chunk.
        chunk: u32,
    },
    /// What was read back from the slot is not the image.
    #[error("slot read back: {0}")]
    ImageMismatch(String),
    /// The slot cannot be read or written.
    #[error("slot: {0}")]
    Storage(String),
    /// The updater's state cannot be read or written.
    #[error("update state: {0}")]
    State(String),
    /// init refused or does not answer.
    #[error("init: {0}")]
    Boot(Failure),
}

impl Error {
    /// The frozen name.
    pub fn code(&self) -> &str {
        match self {
            Self::Desired(e) | Self::Assignment(e) | Self::Manifest(e) => e.code(),
            Self::BadPayload { why, .. } => why.code(),
            Self::ReleaseMismatch => "release-mismatch",
            Self::WrongDevice(_) => "wrong-device",
            Self::Replayed { .. } => "assignment-replayed",
            Self::Expired { .. } => "assignment-expired",
            Self::WrongBoard(_) => "wrong-board",
            Self::WrongProduct(_) => "wrong-product",
            Self::SequenceTooLow { .. } => "sequence-too-low",
            Self::BelowFloor { .. } => "below-floor",
            Self::MarksUnreadable => "rollback-marks-unreadable",
            Self::ImageTooLarge { .. } => "image-too-large",
            Self::SlotInUse(_) => "slot-in-use",
            Self::Unreachable { .. } | Self::NotServed(_) => "source-unreachable",
            Self::NotYet(_) => "source-pending",
            Self::TooSlow { .. } => "source-too-slow",
            Self::Oversized(_) => "source-oversized",
            Self::PayloadTruncated(_) => "payload-truncated",
            Self::ChunkMismatch { .. } => "chunk-mismatch",
            Self::ImageMismatch(_) => "image-mismatch",
            Self::Storage(_) => "slot-io",
            Self::State(_) => "state-io",
            Self::Boot(failure) => &failure.code,
        }
    }

    /// Whether what was received is at fault, not the way or the device: reported as refused.
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::MarksUnreadable
                | Self::SlotInUse(_)
                | Self::Unreachable { .. }
                | Self::TooSlow { .. }
                | Self::NotServed(_)
                | Self::NotYet(_)
                | Self::Storage(_)
                | Self::State(_)
                | Self::Boot(_)
        )
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { code: error.code().into(), message: error.to_string() }
    }
}
