//! HTTPS to the fleet: ranges of payloads, snaps, enrolment.
//!
//! Trust: only the fleet's own certificate authority is believed. What is fetched is checked
//! against signed digests by the caller; limits here are against endless and slow data.

use crate::backoff::Backoff;
use crate::failure;
use crate::identity::Identity;
use protocol::control::Failure;
use protocol::fleet::MAX_URL;
use rustix::fs::statvfs;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use updater::Error;
use updater::ports::Transport;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

const CONNECT: Duration = Duration::from_secs(15);
const FIRST_BYTE: Duration = Duration::from_secs(30);
/// A transfer may take this long, and longer by its size at [`SLOWEST`].
const LEAST_TIME: Duration = Duration::from_secs(30);
/// Bytes a second below which a source counts as one that does not answer.
const SLOWEST: u64 = 8 * 1024;
/// Largest snap that is fetched.
const MAX_SNAP: u64 = 512 << 20;
/// Bytes of the data partition that a fetched snap leaves free.
const RESERVE: u64 = 16 << 20;
/// Attempts to fetch a snap; each goes on where the last one ended.
const SNAP_ATTEMPTS: u32 = 6;
const SNAP_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A client for one fleet.
pub struct Web {
    agent: Agent,
    base: String,
}

impl Web {
    /// `ca` is PEM; the identity, where there is one, is shown to servers that ask for it.
    pub fn new(base: &str, ca: &str, identity: Option<&Identity>) -> Result<Self, Failure> {
        let bad = |what: &str| failure("bad-certificate", what);
        let roots: Vec<Certificate<'static>> = parse_pem(ca.as_bytes())
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if roots.is_empty() {
            return Err(bad("the fleet's ca in device.toml holds no certificate"));
        }
        let client = match identity {
            None => None,
            Some(identity) => {
                let certificate = Certificate::from_pem(identity.certificate.as_bytes());
                let key = PrivateKey::from_pem(identity.key.as_bytes());
                let certificate = certificate.map_err(|_| bad("certificate of the device"))?;
                let key = key.map_err(|_| bad("key of the device"))?;
                Some(ClientCert::new_with_certs(&[certificate], key))
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::new_with_certs(&roots))
            .client_cert(client)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(3)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(FIRST_BYTE))
            .max_idle_connections(1)
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self { agent, base: base.trim_end_matches('/').into() })
    }

    /// The whole address of what begins with `/` or is whole already.
    pub fn resolve(&self, source: &str) -> Result<String, Failure> {
        if source.len() > MAX_URL || !source.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(failure("bad-address", "too long, or not printable"));
        }
        if source.starts_with('/') {
            return Ok(format!("{}{source}", self.base));
        }
        if source.starts_with("https://") || source.starts_with("http://") {
            return Ok(source.into());
        }
        Err(failure("bad-address", format!("{source:?} is neither of the fleet nor of the web")))
    }

    /// Whether the fleet itself serves this address.
    pub fn is_fleet(&self, source: &str) -> bool {
        let after = source.strip_prefix(&self.base);
        source.starts_with('/') || after.is_some_and(|after| after.starts_with('/'))
    }

    /// Posts JSON and returns at most `limit` bytes of the answer; refuses other than 200.
    pub fn post(&self, path: &str, body: &[u8], limit: u64) -> Result<Vec<u8>, Failure> {
        let unreachable = |e: ureq::Error| failure("fleet-unreachable", e);
        let response = self
            .agent
            .post(self.resolve(path)?)
            .header("content-type", "application/json")
            .config()
            .timeout_global(Some(LEAST_TIME))
            .build()
            .send(body)
            .map_err(unreachable)?;
        let status = response.status();
        let mut answer = Vec::new();
        let read = response.into_body().into_reader().take(limit + 1).read_to_end(&mut answer);
        read.map_err(|e| failure("fleet-unreachable", e))?;
        if answer.len() as u64 > limit {
            return Err(failure("bad-answer", format!("more than {limit} bytes")));
        }
        if status != StatusCode::OK {
            let text: String = String::from_utf8_lossy(&answer).chars().take(200).collect();
            return Err(failure("fleet-refused", format!("{status}: {text}")));
        }
        Ok(answer)
    }

    fn get(&self, url: &str, range: &str, size: u64) -> Result<Response<Body>, ureq::Error> {
        let time = LEAST_TIME + Duration::from_secs(size / SLOWEST);
        self.agent
            .get(url)
            .header("range", format!("bytes={range}"))
            .config()
            .timeout_global(Some(time))
            .build()
            .call()
    }

    /// Exactly `range` of what `source` names.
    fn fetch_range(
        &self,
        source: &str,
        range: Range<u64>,
        into: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let unreachable = |why: String| Error::Unreachable { source_url: source.into(), why };
        let url = self.resolve(source).map_err(|e| unreachable(e.message))?;
        let length = range.end - range.start;
        let span = format!("{}-{}", range.start, range.end - 1);
        let response = self.get(&url, &span, length).map_err(|e| unreachable(e.to_string()))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, range.start) => {}
            StatusCode::OK if range.start == 0 => {}
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(Error::PayloadTruncated(source.into()));
            }
            status => return Err(unreachable(format!("answered {status}"))),
        }
        into.clear();
        into.reserve_exact(length as usize);
        let mut body = response.into_body().into_reader().take(length);
        body.read_to_end(into).map_err(|e| unreachable(e.to_string()))?;
        if (into.len() as u64) < length {
            return Err(Error::PayloadTruncated(source.into()));
        }
        Ok(())
    }

    /// Fetches a snap into a file, durably; `sha256` is checked where it is known.
    pub fn fetch_snap(
        &self,
        source: &str,
        sha256: Option<[u8; 32]>,
        path: &Path,
    ) -> Result<(), Failure> {
        let url = self.resolve(source)?;
        let fail = |e: std::io::Error| failure("snap-fetch", format!("{}: {e}", path.display()));
        let mut file = File::create(path).map_err(fail)?;
        let mut hash = Sha256::new();
        let mut done = 0;
        let mut backoff = Backoff::new(SNAP_PAUSE.0, SNAP_PAUSE.1);
        for attempt in 1.. {
            match self.fetch_rest(&url, path, &mut file, &mut hash, &mut done) {
                Ok(()) => break,
                Err(error) if error.code != "fleet-unreachable" || attempt == SNAP_ATTEMPTS => {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(backoff.next()),
            }
        }
        file.sync_all().map_err(fail)?;
        match sha256 {
            Some(expected) if hash.finalize()[..] != expected => {
                Err(failure("snap-mismatch", "what was fetched has another SHA-256"))
            }
            _ => Ok(()),
        }
    }

    /// From `done` to the end; what arrived before a failure is kept.
    fn fetch_rest(
        &self,
        url: &str,
        path: &Path,
        file: &mut File,
        hash: &mut Sha256,
        done: &mut u64,
    ) -> Result<(), Failure> {
        let lost = |e: &dyn std::fmt::Display| failure("fleet-unreachable", e);
        let response = self.get(url, &format!("{done}-"), MAX_SNAP).map_err(|e| lost(&e))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, *done) => {}
            StatusCode::OK if *done == 0 => {}
            status => return Err(failure("snap-fetch", format!("answered {status}"))),
        }
        let rest = response.body().content_length();
        let rest = rest.ok_or_else(|| failure("snap-fetch", "answered without a length"))?;
        if done.saturating_add(rest) > MAX_SNAP {
            return Err(failure("snap-fetch", format!("larger than {MAX_SNAP} bytes")));
        }
        let space = statvfs(path).map(|fs| fs.f_bavail * fs.f_frsize).unwrap_or(0);
        if rest + RESERVE > space {
            return Err(failure("no-space", format!("{rest} bytes to fetch, {space} free")));
        }
        let mut body = response.into_body().into_reader().take(rest);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = body.read(&mut buffer).map_err(|e| lost(&e))?;
            if read == 0 {
                break;
            }
            let written = file.write_all(&buffer[..read]);
            written.map_err(|e| failure("snap-fetch", format!("{}: {e}", path.display())))?;
            hash.update(&buffer[..read]);
            *done += read as u64;
        }
        if body.limit() > 0 { Err(lost(&"ended early")) } else { Ok(()) }
    }
}

/// Whether the answer is a range from `start` on, whatever its length.
fn starts_at(response: &Response<Body>, start: u64) -> bool {
    let header = response.headers().get("content-range").and_then(|value| value.to_str().ok());
    header.is_some_and(|text| text.starts_with(&format!("bytes {start}-")))
}

/// Removes what an earlier run fetched and nobody took.
pub fn empty_inbox(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

impl Transport for Web {
    fn fetch(&mut self, source: &str, range: Range<u64>, into: &mut Vec<u8>) -> Result<(), Error> {
        self.fetch_range(source, range, into)
    }
}

/// A stand-alone device has no sources.
pub struct NoWeb;

impl Transport for NoWeb {
    fn fetch(&mut self, source: &str, _: Range<u64>, _: &mut Vec<u8>) -> Result<(), Error> {
        let why = "the device belongs to no fleet".into();
        Err(Error::Unreachable { source_url: source.into(), why })
    }
}
