//! `GET` and `HEAD` of artefacts, whole or one range.

use super::range::{Selection, select};
use crate::artifacts::read_range;
use crate::core::Fleet;
use crate::error::Error;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use std::sync::Arc;

/// A name that is a digest never gets other content.
const CACHE: &str = "public, max-age=31536000, immutable";

/// `GET /v1/artifacts/{sha256}`
pub async fn send(
    State(fleet): State<Arc<Fleet>>,
    Path(sha256): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response<Body>, Error> {
    let path =
        fleet.artifacts.find(&sha256).ok_or_else(|| Error::not_found("artefact", &sha256))?;
    send_file(&path, &sha256.to_ascii_lowercase(), CACHE, &method, &headers).await
}

/// A file, or the part of it that the headers ask for. `tag` becomes its entity tag.
pub(super) async fn send_file(
    path: &std::path::Path,
    tag: &str,
    cache: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Error> {
    let size = tokio::fs::metadata(path).await.map_err(Error::file("read size of", path))?.len();
    let etag = format!("\"{tag}\"");
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let answer = Response::builder()
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, &etag)
        .header(header::CACHE_CONTROL, cache);
    let built = |e: axum::http::Error| Error::Internal(e.to_string());
    if text(header::IF_NONE_MATCH).is_some_and(|tags| tags.contains(&etag) || tags.trim() == "*") {
        return answer.status(StatusCode::NOT_MODIFIED).body(Body::empty()).map_err(built);
    }
    // A range of another version of the file is no use: then all of this one is sent.
    let fresh = text(header::IF_RANGE).is_none_or(|tag| tag == etag);
    let selection = match fresh && *method == Method::GET {
        true => select(text(header::RANGE), size),
        false => Selection::Whole,
    };
    let (answer, start, length) = match selection {
        Selection::Unsatisfiable => {
            return answer
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{size}"))
                .body(Body::empty())
                .map_err(built);
        }
        Selection::Whole => (answer.status(StatusCode::OK), 0, size),
        Selection::Part { start, length } => {
            let range = format!("bytes {start}-{}/{size}", start + length - 1);
            let answer =
                answer.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
            (answer, start, length)
        }
    };
    let answer = answer
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, length);
    if *method == Method::HEAD {
        return answer.body(Body::empty()).map_err(built);
    }
    let stream = read_range(path, start, length).await.map_err(Error::file("open", path))?;
    answer.body(Body::from_stream(stream)).map_err(built)
}
