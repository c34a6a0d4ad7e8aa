//! Who may use API and pages: the holder of the admin token, by header or by a session's cookie.
//!
//! Invariants:
//! - a cookie alone changes nothing: requests that change something and come with a cookie must
//!   carry the session's page token in a header, which another site cannot know or send;
//! - the cookie is `HttpOnly` and `SameSite=Strict`; the store keeps its hash.

use crate::artifacts::sha256_hex;
use crate::clock::{now, random_hex};
use crate::core::Fleet;
use crate::error::Error;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;

/// Name of the session's cookie.
pub const COOKIE: &str = "holdfast_session";
/// Header that carries the page token.
pub const GUARD_HEADER: &str = "x-holdfast-page";
/// Seconds that a session lasts: a week.
pub const SESSION_S: u64 = 7 * 86_400;

/// Lets through who is signed in.
pub async fn require(
    State(fleet): State<Arc<Fleet>>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let headers = request.headers();
    if !bearer(&fleet, headers) {
        let guard = session(&fleet, headers)?.ok_or(Error::Unauthorized)?;
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let sent = headers.get(GUARD_HEADER).map(|value| value.as_bytes());
        if !reads && sent != Some(guard.as_bytes()) {
            return Err(Error::CrossSite);
        }
    }
    Ok(next.run(request).await)
}

/// Whether a token is the admin's. Hashes are compared, so the time tells nothing.
pub fn is_admin(fleet: &Fleet, token: &str) -> bool {
    sha256_hex(token.trim().as_bytes()) == fleet.admin_hash
}

fn bearer(fleet: &Fleet, headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .is_some_and(|token| is_admin(fleet, token))
}

/// The page token of the session that the request's cookie names.
pub fn session(fleet: &Fleet, headers: &HeaderMap) -> Result<Option<String>, Error> {
    match cookie(headers) {
        Some(value) => fleet.store.session(&sha256_hex(value.as_bytes()), now()),
        None => Ok(None),
    }
}

/// The session cookie's value.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// Begins a session; returns the `Set-Cookie` header.
pub fn begin(fleet: &Fleet) -> Result<String, Error> {
    let (value, guard) = (random_hex::<32>(), random_hex::<16>());
    let time = now();
    fleet.store.add_session(&sha256_hex(value.as_bytes()), &guard, time, time + SESSION_S)?;
    let secure = if fleet.config.listen_tls { "; Secure" } else { "" };
    Ok(format!("{COOKIE}={value}; Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict{secure}"))
}
