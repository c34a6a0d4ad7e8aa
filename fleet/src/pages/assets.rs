//! Style, script and icon, embedded.

use crate::error::Error;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

/// Short: a new server's pages and assets belong together.
const CACHE: &str = "public, max-age=60";

pub(super) async fn send(Path(name): Path<String>) -> Result<Response, Error> {
    let (kind, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", include_str!("../assets/style.css")),
        "app.js" => ("text/javascript; charset=utf-8", include_str!("../assets/app.js")),
        "icon.svg" => ("image/svg+xml", include_str!("../assets/icon.svg")),
        other => return Err(Error::not_found("asset", other)),
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, CACHE)], text).into_response())
}
