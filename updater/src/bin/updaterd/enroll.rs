//! Asks for an identity: the key is made here and never leaves; the token serves once.
//!
//! Order on the disk: key, request, certificate and authority, `identity.json` last (it makes the
//! identity complete), then the token is removed. After a cut before the end the same key is used.

use crate::failure;
use crate::fetch::Web;
use crate::files;
use crate::identity::{Identity, Site};
use protocol::control::Failure;
use protocol::device::FleetConfig;
use protocol::fleet::{EnrollRequest, EnrollResponse};

/// Largest answer in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// One attempt.
pub fn enroll(site: &Site, fleet: &FleetConfig) -> Result<Identity, Failure> {
    let token = fleet
        .token
        .clone()
        .ok_or_else(|| failure("no-token", "device.toml has no token to enrol with"))?;
    let dir = site.paths.identity();
    let key = match files::read_text(&dir.join("device.key"))? {
        Some(pem) => rcgen::KeyPair::from_pem(&pem),
        None => rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
    }
    .map_err(|e| failure("device-key", e))?;
    let key_pem = key.serialize_pem();
    files::write(&dir.join("device.key"), key_pem.as_bytes())?;
    let name = name_of(site);
    let request = EnrollRequest {
        token,
        csr: signing_request(&key, &name)?,
        name,
        board: site.build.board.clone(),
        serial: files::read_text(&site.paths.at("/proc/device-tree/serial-number"))
            .ok()
            .flatten()
            .map(|text| text.trim_matches(['\0', '\n']).to_owned()),
    };
    let web = Web::new(&fleet.url, &fleet.ca, None)?;
    let body = serde_json::to_vec(&request).map_err(|e| failure("enroll", e))?;
    let answer = web.post("/v1/enroll", &body, MAX_ANSWER)?;
    let answer: EnrollResponse =
        serde_json::from_slice(&answer).map_err(|e| failure("bad-answer", e))?;
    let stored = serde_json::to_vec_pretty(&answer).map_err(|e| failure("enroll", e))?;
    let certificate = answer.certificate.clone();
    let identity = Identity::new(answer, fleet.ca.clone(), certificate, key_pem)?;
    files::write(&dir.join("device.crt"), identity.certificate.as_bytes())?;
    files::write(&dir.join("ca.crt"), identity.ca.as_bytes())?;
    files::write(&dir.join("identity.json"), &stored)?;
    forget_token(site)?;
    Ok(identity)
}

/// The name wished for: as configured, else the host name.
fn name_of(site: &Site) -> String {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    site.config.name.clone().unwrap_or_else(host)
}

fn signing_request(key: &rcgen::KeyPair, name: &str) -> Result<String, Failure> {
    let bad = |e: rcgen::Error| failure("device-key", e);
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).map_err(bad)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.serialize_request(key).and_then(|request| request.pem()).map_err(bad)
}

/// The token is of no use any more; a copy of the card's file must not give it away.
fn forget_token(site: &Site) -> Result<(), Failure> {
    let mut config = protocol::device::DeviceConfig::clone(&site.config);
    if let Some(fleet) = &mut config.fleet {
        fleet.token = None;
    }
    let text = toml::to_string_pretty(&config).map_err(|e| failure("device-toml", e))?;
    files::write(&site.paths.device_toml(), text.as_bytes())
}
