//! What can go wrong in the fleet server, with the codes that the HTTP API answers.
//!
//! Codes are frozen: programs and the dashboard rely on them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::control::Failure;
use std::path::{Path, PathBuf};

/// A refusal or failure; the text names operation and object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory.
    #[error("{action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A listener could not be opened.
    #[error("listen on {address} for {what}: {source}")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The database.
    #[error("database, {action}: {source}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The database was written by a newer server.
    #[error("database has version {found}, this server knows up to {known}: use a newer server")]
    DatabaseTooNew {
        /// Version of the file.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// A certificate could not be made or read.
    #[error("{action}: {why}")]
    Certificate {
        /// What was tried.
        action: &'static str,
        /// Why not.
        why: String,
    },
    /// The key directory.
    #[error("key file {path}: {why}")]
    Keys {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Signed data was refused.
    #[error("{0}")]
    Signed(#[from] protocol::Error),
    /// There is no such thing.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// A request that makes no sense.
    #[error("{what}: {why}")]
    Invalid {
        /// Which part of the request.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// No or a wrong token.
    #[error("not signed in: send the admin token as `Authorization: Bearer …`")]
    Unauthorized,
    /// A page's request without the page's own header.
    #[error("the request does not carry the page's token: reload the page")]
    CrossSite,
    /// Enrolment token unknown, used or expired.
    #[error("the enrolment token is unknown, already used or expired")]
    TokenRefused,
    /// The state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// An upload that ended early.
    #[error("payload has {got} bytes, the signed manifest says {expected}")]
    PayloadTruncated {
        /// Bytes received.
        got: u64,
        /// Bytes that the manifest promises.
        expected: u64,
    },
    /// An upload whose bytes are others than the signed ones.
    #[error("payload has SHA-256 {got}, the signed manifest says {expected}")]
    PayloadMismatch {
        /// Digest of what was received.
        got: String,
        /// Digest in the manifest.
        expected: String,
    },
    /// A body above its limit.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What was uploaded.
        what: &'static str,
        /// Limit in bytes.
        limit: u64,
    },
    /// The connection broke during an upload.
    #[error("upload of {what} broke off: {why}")]
    Upload {
        /// What was uploaded.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// mosquitto is not installed.
    #[error(
        "the MQTT broker `mosquitto` was found neither on PATH nor in /usr/sbin: \
         install Debian's package `mosquitto`"
    )]
    BrokerMissing,
    /// mosquitto does not come up or does not take a message.
    #[error("MQTT broker: {0}")]
    Broker(String),
    /// The API would be reachable from other machines without encryption.
    #[error(
        "refusing to serve the API on {0} without TLS: listen on a loopback address \
         or give --listen-tls"
    )]
    PlainOutside(std::net::SocketAddr),
    /// Something that cannot happen unless this program is wrong.
    #[error("internal: {0}")]
    Internal(String),
}

impl Error {
    /// For `map_err` on file operations.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// A request that makes no sense.
    pub fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { what, why: why.into() }
    }

    /// There is no such thing.
    pub fn not_found(what: &'static str, id: &str) -> Self {
        Self::NotFound { what, id: id.chars().take(80).collect() }
    }

    /// The frozen name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "storage",
            Self::Listen { .. } => "listen",
            Self::Database { .. } | Self::DatabaseTooNew { .. } => "database",
            Self::Certificate { .. } => "certificate",
            Self::Keys { .. } => "keys",
            Self::Signed(error) => error.code(),
            Self::NotFound { .. } => "not-found",
            Self::Invalid { .. } => "invalid-request",
            Self::Unauthorized => "unauthorized",
            Self::CrossSite => "cross-site",
            Self::TokenRefused => "token-refused",
            Self::Conflict(_) => "conflict",
            Self::PayloadTruncated { .. } => "payload-truncated",
            Self::PayloadMismatch { .. } => "payload-mismatch",
            Self::TooLarge { .. } => "too-large",
            Self::Upload { .. } => "upload-broken",
            Self::BrokerMissing => "broker-missing",
            Self::Broker(_) => "broker-down",
            Self::PlainOutside(_) => "plain-outside",
            Self::Internal(_) => "internal",
        }
    }

    /// HTTP status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Signed(_) | Self::PayloadTruncated { .. } | Self::PayloadMismatch { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Invalid { .. } | Self::Upload { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::TokenRefused => StatusCode::UNAUTHORIZED,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broker(_) | Self::BrokerMissing => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let message = if status == StatusCode::INTERNAL_SERVER_ERROR {
            eprintln!("fleet: {self}");
            "the server could not do it; its log says why".to_owned()
        } else {
            self.to_string()
        };
        let body = Failure { code: self.code().to_owned(), message };
        (status, Json(body)).into_response()
    }
}
