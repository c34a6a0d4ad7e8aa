//! The fleet's certificate authority: one key, made at first start, that vouches for the server
//! to the devices and for the devices to the broker.
//!
//! Invariants:
//! - the subject of a device's certificate is chosen here; whatever a signing request says about
//!   names, extensions or authority is ignored, only its public key (whose possession it proves) is
//!   taken;
//! - a device's certificate is good for client authentication only, the server's for both;
//! - private keys are written with mode 0600 before anything uses them.

use crate::artifacts::sha256_hex;
use crate::clock::random_hex;
use crate::error::Error;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams,
    CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SerialNumber,
};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// Common name of the server's certificate, and so its user name at the broker. Device ids never
/// equal it: they end in a random suffix.
pub const SERVER_NAME: &str = "holdfast-fleet";
/// Lifetime of device certificates: gateways stay in the field that long.
const DEVICE_DAYS: i64 = 3650;
/// Lifetime of the CA and of the server's certificate, which is made anew at every start.
const CA_DAYS: i64 = 7300;
/// Certificates begin a day early: a gateway without a clock may lag.
const BACKDATE_DAYS: i64 = 1;
/// Largest certificate signing request in bytes; a real one is below 1 KiB.
pub const MAX_CSR: usize = 8 * 1024;

/// The authority and where its files lie.
pub struct Ca {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    server_pem: String,
    server_key_pem: String,
}

/// What enrolment gives a device.
#[derive(Debug, Clone)]
pub struct DeviceCertificate {
    /// The certificate.
    pub pem: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of the DER.
    pub fingerprint: String,
}

/// A verified signing request.
pub struct Request(CertificateSigningRequestParams);

impl Request {
    /// Parses the request and checks that its sender holds the key.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        if pem.len() > MAX_CSR {
            return Err(Error::TooLarge { what: "signing request", limit: MAX_CSR as u64 });
        }
        CertificateSigningRequestParams::from_pem(pem)
            .map(Self)
            .map_err(|e| Error::invalid("csr", e.to_string()))
    }

    /// SHA-256 of the public key, to know the sender again.
    pub fn key_digest(&self) -> String {
        sha256_hex(self.0.public_key.der_bytes())
    }
}

impl Ca {
    /// Opens the authority in `dir`, or makes it; the server's certificate is made anew, for
    /// `hosts`.
    pub fn open(dir: &Path, hosts: &[String]) -> Result<Self, Error> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(Error::file("make directory", dir))?;
        let (key_path, cert_path) = (dir.join("ca.key"), dir.join("ca.crt"));
        if !key_path.exists() || !cert_path.exists() {
            make_ca(&key_path, &cert_path)?;
        }
        let read = |path: &Path| fs::read_to_string(path).map_err(Error::file("read", path));
        let ca_pem = read(&cert_path)?;
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(failed("read the CA's key"))?;
        let issuer =
            Issuer::from_ca_cert_pem(&ca_pem, key).map_err(failed("read the CA's certificate"))?;
        let (server_pem, server_key_pem) = make_server(&issuer, hosts)?;
        write_private(&dir.join("server.key"), &server_key_pem)?;
        write_private(&dir.join("server.crt"), &server_pem)?;
        Ok(Self { dir: dir.to_owned(), issuer, ca_pem, server_pem, server_key_pem })
    }

    /// PEM of the authority's certificate: what devices trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// PEM of the server's certificate and key.
    pub fn server_pem(&self) -> (&str, &str) {
        (&self.server_pem, &self.server_key_pem)
    }

    /// Where a file of the authority lies: `ca.crt`, `server.crt`, `server.key`, `revoked.crl`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A client certificate for the key of `request`, with the common name `device`.
    pub fn issue(&self, request: Request, device: &str) -> Result<DeviceCertificate, Error> {
        let serial = random_serial();
        let mut params = base_params(device, DEVICE_DAYS, &serial);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params
            .signed_by(&request.0.public_key, &self.issuer)
            .map_err(failed("issue a device certificate"))?;
        Ok(DeviceCertificate {
            pem: certificate.pem(),
            serial,
            fingerprint: sha256_hex(certificate.der()),
        })
    }

    /// Writes the revocation list that the broker checks; (serial, Unix time of revocation).
    pub fn write_crl(&self, revoked: &[(String, u64)]) -> Result<(), Error> {
        let now = OffsetDateTime::now_utc();
        let list = CertificateRevocationListParams {
            this_update: now - Duration::days(BACKDATE_DAYS),
            next_update: now + Duration::days(DEVICE_DAYS),
            crl_number: SerialNumber::from(now.unix_timestamp().unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|(serial, time)| RevokedCertParams {
                    serial_number: serial_of(serial),
                    revocation_time: OffsetDateTime::from_unix_timestamp(*time as i64)
                        .unwrap_or(now),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list
            .signed_by(&self.issuer)
            .and_then(|list| list.pem())
            .map_err(failed("make the revocation list"))?;
        write_private(&self.path("revoked.crl"), &pem)
    }
}

fn failed(action: &'static str) -> impl FnOnce(rcgen::Error) -> Error {
    move |why| Error::Certificate { action, why: why.to_string() }
}

/// 16 random bytes, positive and without a leading zero byte, as hexadecimal digits.
fn random_serial() -> String {
    format!("4{}", &random_hex::<16>()[1..])
}

fn serial_of(hex: &str) -> SerialNumber {
    let bytes: [u8; 16] = protocol::keys::from_hex(hex).unwrap_or([0; 16]);
    SerialNumber::from_slice(&bytes)
}

fn base_params(name: &str, days: i64, serial: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(BACKDATE_DAYS);
    params.not_after = now + Duration::days(days);
    params.serial_number = Some(serial_of(serial));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

fn make_ca(key_path: &Path, cert_path: &Path) -> Result<(), Error> {
    let key = KeyPair::generate().map_err(failed("make the CA's key"))?;
    let serial = random_serial();
    let mut params = base_params(&format!("Holdfast fleet CA {}", &serial[..8]), CA_DAYS, &serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(failed("make the CA's certificate"))?;
    write_private(key_path, &key.serialize_pem())?;
    write_private(cert_path, &certificate.pem())
}

fn make_server(
    issuer: &Issuer<'static, KeyPair>,
    hosts: &[String],
) -> Result<(String, String), Error> {
    let key = KeyPair::generate().map_err(failed("make the server's key"))?;
    let named = CertificateParams::new(hosts.to_vec()).map_err(failed("read a host name"))?;
    let mut params = base_params(SERVER_NAME, CA_DAYS, &random_serial());
    params.subject_alt_names = named.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate =
        params.signed_by(&key, issuer).map_err(failed("make the server's certificate"))?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Writes a file that only its owner may read, completely or not at all.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(Error::file("write", &temporary))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(Error::file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::file("rename to", path))
}
