//! The dashboard: pages made on the server, kept live by server-sent events.
//!
//! Invariants:
//! - everything shown passes through maud's escaping; no page holds a script or a style of its own
//!   (the content security policy forbids both);
//! - parts marked `data-live` have an id and are complete in themselves: the script replaces them
//!   by the same part of the page fetched anew;
//! - pages only read; what changes something goes through the API with the page token.

mod assets;
mod device;
mod devices;
mod enroll;
mod layout;
mod login;
mod policy;
mod releases;

use crate::api::auth::session;
use crate::core::Fleet;
use crate::error::Error;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use layout::Page;
use maud::{Markup, html};
use std::sync::Arc;

/// No script, style, frame or connection but our own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The routes.
pub fn router(fleet: Arc<Fleet>) -> Router {
    Router::new()
        .route("/", get(devices_page))
        .route("/devices/{id}", get(device_page))
        .route("/releases", get(releases_page))
        .route("/enroll", get(enroll_page))
        .route("/login", get(login::show).post(login::enter))
        .route("/logout", post(login::leave))
        .route("/assets/{name}", get(assets::send))
        .fallback(unknown)
        .layer(middleware::from_fn(harden))
        .with_state(fleet)
}

async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Why a page is not shown.
enum Refusal {
    /// To the login page, and back here afterwards.
    SignIn(String),
    /// Something to say.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn(uri) if uri == "/" => Redirect::to("/login").into_response(),
            Self::SignIn(uri) => Redirect::to(&format!("/login?next={uri}")).into_response(),
            Self::Failed(error) => {
                let status = error.status();
                let text = match status {
                    StatusCode::INTERNAL_SERVER_ERROR => {
                        eprintln!("fleet: {error}");
                        "The server could not make this page; its log says why.".to_owned()
                    }
                    _ => error.to_string(),
                };
                (
                    status,
                    layout::bare(
                        if status == StatusCode::NOT_FOUND { "Not found" } else { "That failed" },
                        &html! { p { (text) } p { a.button href="/" { "To the gateways" } } },
                    ),
                )
                    .into_response()
            }
        }
    }
}

/// The page token, or the way to the login page.
fn guard(fleet: &Fleet, uri: &Uri, headers: &axum::http::HeaderMap) -> Result<String, Refusal> {
    session(fleet, headers)?.ok_or_else(|| Refusal::SignIn(uri.path().to_owned()))
}

type Answer = Result<Markup, Refusal>;
type Shared = State<Arc<Fleet>>;

async fn devices_page(State(fleet): Shared, uri: Uri, headers: axum::http::HeaderMap) -> Answer {
    let guard = guard(&fleet, &uri, &headers)?;
    let body = devices::body(&fleet.store.devices()?);
    Ok(Page { title: "Gateways", here: "/", guard: &guard, subject: None }.render(&body))
}

async fn device_page(
    State(fleet): Shared,
    Path(id): Path<String>,
    uri: Uri,
    headers: axum::http::HeaderMap,
) -> Answer {
    let guard = guard(&fleet, &uri, &headers)?;
    let device = fleet.store.device(&id)?;
    let body = device::body(&fleet, &device)?;
    let page = Page { title: &device.name, here: "/", guard: &guard, subject: Some(&device.id) };
    Ok(page.render(&body))
}

async fn releases_page(State(fleet): Shared, uri: Uri, headers: axum::http::HeaderMap) -> Answer {
    let guard = guard(&fleet, &uri, &headers)?;
    let body = releases::body(&fleet)?;
    Ok(Page { title: "Releases", here: "/releases", guard: &guard, subject: None }.render(&body))
}

async fn enroll_page(State(fleet): Shared, uri: Uri, headers: axum::http::HeaderMap) -> Answer {
    let guard = guard(&fleet, &uri, &headers)?;
    let body = enroll::body(&fleet)?;
    Ok(Page { title: "Enrol", here: "/enroll", guard: &guard, subject: None }.render(&body))
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::Failed(Error::not_found("page", uri.path()))
}
