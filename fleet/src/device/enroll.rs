//! A one-time token and a signing request become a client certificate.

use crate::artifacts::sha256_hex;
use crate::ca::Request;
use crate::clock::{now, random_hex};
use crate::core::Fleet;
use crate::error::Error;
use crate::feed::News;
use crate::store::{Enrolled, NewDevice};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use protocol::fleet::{EnrollRequest, EnrollResponse};
use std::sync::Arc;

/// Longest part of a device id that comes from its name.
const MAX_SLUG: usize = 24;
/// Longest name, board and serial number taken.
const MAX_FIELD: usize = 64;

/// `POST /v1/enroll`
pub async fn enroll(
    State(fleet): State<Arc<Fleet>>,
    headers: HeaderMap,
    Json(wish): Json<EnrollRequest>,
) -> Result<Json<EnrollResponse>, Error> {
    for (what, text) in [("name", &wish.name), ("board", &wish.board)]
        .into_iter()
        .chain(wish.serial.as_ref().map(|serial| ("serial", serial)))
    {
        if text.len() > MAX_FIELD || text.chars().any(char::is_control) {
            return Err(Error::invalid(what, "at most 64 bytes, no control characters"));
        }
    }
    let request = Request::from_pem(&wish.csr)?;
    let key = request.key_digest();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(without_port);
    let host = fleet.known_host(host).to_owned();
    let id = format!("{}-{}", slug(&wish.name), random_hex::<3>());
    let certificate = fleet.ca.issue(request, &id)?;
    let new = NewDevice {
        id: id.clone(),
        name: if wish.name.is_empty() { id.clone() } else { wish.name },
        board: wish.board,
        serial: wish.serial,
        certificate: certificate.pem.clone(),
        cert_serial: certificate.serial,
        fingerprint: certificate.fingerprint,
        base_url: fleet.device_url(&host),
    };
    let token = sha256_hex(wish.token.as_bytes());
    let (device, certificate) = match fleet.store.enroll(&token, &key, &new, now())? {
        Enrolled::Refused => return Err(Error::TokenRefused),
        Enrolled::Again { device, certificate } => (device, certificate),
        Enrolled::New => {
            fleet.note(&id, "enrolled", &format!("as {} ({})", new.name, new.board));
            fleet.audit(&id, "enrol", &format!("{} {}", new.name, new.fingerprint));
            fleet.feed.tell(News::Tokens);
            fleet.publish_keys(&id)?;
            (id, certificate.pem)
        }
    };
    Ok(Json(EnrollResponse {
        device,
        fleet: fleet.config.fleet.clone(),
        certificate,
        broker: format!("{host}:{}", fleet.mqtt_port),
    }))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// What of a name may stand in a topic level and a certificate: lower-case letters, digits and
/// hyphens.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= MAX_SLUG {
            break;
        }
    }
    match slug.trim_end_matches('-') {
        "" => "gateway".into(),
        slug => slug.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_nothing_that_means_something_in_a_topic() {
        for (name, expected) in [
            ("Barn 3", "barn-3"),
            ("a/b/#", "a-b"),
            ("+", "gateway"),
            ("", "gateway"),
            ("Über-Gateway", "ber-gateway"),
            ("abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwx"),
        ] {
            assert_eq!(slug(name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_port_is_cut_off_a_host() {
        assert_eq!(without_port("10.0.2.2:8443"), "10.0.2.2");
        assert_eq!(without_port("fleet.example"), "fleet.example");
    }
}
