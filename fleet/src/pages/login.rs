//! Signing in with the admin token, by link or by form.

use super::{Refusal, Shared, layout};
use crate::api::auth::{COOKIE, begin, cookie, is_admin};
use crate::artifacts::sha256_hex;
use crate::core::Fleet;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ticket {
    token: Option<String>,
    next: Option<String>,
}

/// The link that the server prints, or the form.
pub(super) async fn show(
    State(fleet): Shared,
    Query(ticket): Query<Ticket>,
) -> Result<Response, Refusal> {
    match &ticket.token {
        Some(token) => sign_in(&fleet, token, ticket.next.as_deref()),
        None => Ok(form(ticket.next.as_deref(), false)),
    }
}

/// The form's answer, `application/x-www-form-urlencoded`.
pub(super) async fn enter(State(fleet): Shared, body: String) -> Result<Response, Refusal> {
    let uri = format!("/login?{body}").parse().unwrap_or_default();
    let Query(ticket) = Query::<Ticket>::try_from_uri(&uri).unwrap_or_default();
    sign_in(&fleet, ticket.token.as_deref().unwrap_or_default(), ticket.next.as_deref())
}

/// Ends the session. `SameSite=Strict` keeps others from ending it.
pub(super) async fn leave(State(fleet): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    if let Some(value) = cookie(&headers) {
        fleet.store.end_session(&sha256_hex(value.as_bytes()))?;
    }
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    Ok(([(header::SET_COOKIE, gone)], Redirect::to("/login")).into_response())
}

fn sign_in(fleet: &Fleet, token: &str, next: Option<&str>) -> Result<Response, Refusal> {
    if !is_admin(fleet, token) {
        return Ok(form(next, true));
    }
    let cookie = begin(fleet)?;
    let to = Redirect::to(local(next.unwrap_or("/")));
    Ok(([(header::SET_COOKIE, cookie)], to).into_response())
}

/// A path of this site, whatever was asked for.
fn local(next: &str) -> &str {
    let ours = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b));
    if ours { next } else { "/" }
}

fn form(next: Option<&str>, wrong: bool) -> Response {
    let status = if wrong { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    let page = layout::bare(
        "Sign in",
        &html! {
            form method="post" action="/login" {
                @if wrong { p.warn { "That is not the admin token." } }
                @if let Some(next) = next { input type="hidden" name="next" value=(local(next)); }
                label {
                    "Admin token"
                    input type="password" name="token" autocomplete="current-password" required
                        autofocus;
                }
                button.main type="submit" { "Sign in" }
                p.small.soft {
                    "The server printed a link that signs in at its start; the token is in "
                    code { "admin.token" } " in its data directory."
                }
            }
        },
    );
    (status, page).into_response()
}
