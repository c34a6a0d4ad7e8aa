//! One-time enrolment tokens.

use crate::artifacts::sha256_hex;
use crate::clock::{now, random_hex};
use crate::core::Fleet;
use crate::error::Error;
use crate::feed::News;
use crate::store::Token;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Seconds that a token is good for unless told otherwise: a day.
const TOKEN_TTL_S: u64 = 86_400;
/// Longest: 90 days, for cards that are written well before they are used.
pub const MAX_TOKEN_TTL_S: u64 = 90 * 86_400;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokenWish {
    /// Seconds.
    ttl: Option<u64>,
    /// Name or address by which the device reaches this server; one of those in its certificate.
    host: Option<String>,
}

/// Answer to `POST tokens`: the only time that the token is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// The token.
    pub token: String,
    /// Until when it is good, Unix seconds.
    pub expires: u64,
    /// `https://host:port` for the device.
    pub url: String,
    /// `host:port` of the broker, which enrolment tells the device.
    pub broker: String,
    /// PEM of the CA.
    pub ca: String,
    /// The `[fleet]` section for `device.toml`.
    pub device_toml: String,
}

pub(super) async fn list(State(fleet): State<Arc<Fleet>>) -> Result<Json<Vec<Token>>, Error> {
    Ok(Json(fleet.store.tokens(now())?))
}

pub(super) async fn add(
    State(fleet): State<Arc<Fleet>>,
    Json(wish): Json<TokenWish>,
) -> Result<Json<TokenAnswer>, Error> {
    let ttl = wish.ttl.unwrap_or(TOKEN_TTL_S);
    if !(1..=MAX_TOKEN_TTL_S).contains(&ttl) {
        return Err(Error::invalid("ttl", "must be 1 second to 90 days"));
    }
    let host = fleet.known_host(wish.host.as_deref()).to_owned();
    if wish.host.as_ref().is_some_and(|wanted| *wanted != host) {
        let known = fleet.config.hosts.join(", ");
        return Err(Error::invalid("host", format!("the server's certificate is for {known}")));
    }
    let (token, created) = (random_hex::<20>(), now());
    fleet.store.add_token(&sha256_hex(token.as_bytes()), created, created + ttl)?;
    fleet.audit("admin", "make token", &format!("good for {ttl} s"));
    fleet.feed.tell(News::Tokens);
    let url = fleet.device_url(&host);
    let ca = fleet.ca.ca_pem().to_owned();
    Ok(Json(TokenAnswer {
        device_toml: snippet(&url, &token, &ca),
        broker: format!("{host}:{}", fleet.mqtt_port),
        expires: created + ttl,
        token,
        url,
        ca,
    }))
}

fn snippet(url: &str, token: &str, ca: &str) -> String {
    format!("[fleet]\nurl = \"{url}\"\ntoken = \"{token}\"\nca = \"\"\"\n{}\n\"\"\"\n", ca.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snippet_is_a_device_toml() {
        let text =
            snippet("https://10.0.2.2:8443", "abc", "-----BEGIN X-----\nAA\n-----END X-----\n");
        let config: protocol::device::DeviceConfig = toml::from_str(&text).expect("parses");
        let fleet = config.fleet.expect("has a fleet");
        assert_eq!(fleet.url, "https://10.0.2.2:8443");
        assert_eq!(fleet.token.as_deref(), Some("abc"));
        assert!(fleet.ca.starts_with("-----BEGIN X-----\n"));
    }
}
