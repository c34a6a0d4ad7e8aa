//! HTTPS to the fleet: ranges of payloads, snaps, enrolment.
//!
//! Trust: only the fleet's own certificate authority is believed. What is fetched is checked
//! against signed digests by the caller; limits here are against endless and slow data: never more
//! than was asked for, and never slower than [`SLOWEST`] for long. An update's download is not
//! faster than its limit.

use crate::backoff::Backoff;
use crate::failure;
use crate::identity::Identity;
use crate::pace::{Limit, Paced, SLOWEST};
use protocol::control::Failure;
use protocol::fleet::MAX_URL;
use rustix::fs::statvfs;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
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
/// A transfer may take this long, and longer by twice its size at [`SLOWEST`] or at the limit.
const LEAST_TIME: Duration = Duration::from_secs(30);
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
    limit: Limit,
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
        Ok(Self { agent, base: base.trim_end_matches('/').into(), limit: Limit::default() })
    }

    /// With a limit to how fast it fetches.
    pub fn limited(self, limit: Limit) -> Self {
        Self { limit, ..self }
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
        // A limit that is set while it runs ends the request at worst; it goes on with the next.
        let rate = self.limit.get().map_or(SLOWEST, |limit| limit.min(SLOWEST));
        let time = LEAST_TIME + Duration::from_secs(size.div_ceil(rate) * 2);
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
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(Error::PayloadTruncated(source.into()));
            }
            StatusCode::OK => return Err(unreachable("does not serve ranges".into())),
            StatusCode::NOT_FOUND => return Err(Error::NotServed(source.into())),
            StatusCode::ACCEPTED => return Err(Error::NotYet(source.into())),
            status => return Err(unreachable(format!("answered {status}"))),
        }
        match answered_range(&response) {
            Some((start, end)) if start == range.start && end > range.end => {
                return Err(Error::Oversized(source.into()));
            }
            Some((start, _)) if start == range.start => {}
            _ => return Err(unreachable("answered another range".into())),
        }
        into.clear();
        into.reserve_exact(length as usize);
        let mut body = Paced::new(response.into_body().into_reader(), self.limit.clone());
        let mut left = body.by_ref().take(length);
        left.read_to_end(into).map_err(|e| slow_or(source, &e))?;
        if (into.len() as u64) < length {
            return Err(Error::PayloadTruncated(source.into()));
        }
        match body.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::Oversized(source.into())),
            Err(error) => Err(slow_or(source, &error)),
        }
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
            StatusCode::PARTIAL_CONTENT
                if answered_range(&response).is_some_and(|(start, _)| start == *done) => {}
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
        let mut body =
            Paced::new(response.into_body().into_reader(), self.limit.clone()).take(rest);
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

/// The range that an answer says it is, its end excluded.
fn answered_range(response: &Response<Body>) -> Option<(u64, u64)> {
    let header = response.headers().get("content-range")?.to_str().ok()?;
    let (range, _) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (start, last) = range.split_once('-')?;
    Some((start.parse().ok()?, last.parse::<u64>().ok()?.checked_add(1)?))
}

/// What went wrong while a body was read.
fn slow_or(source: &str, error: &io::Error) -> Error {
    let (source_url, why) = (source.into(), error.to_string());
    let timeout = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    let timeout = matches!(timeout, Some(ureq::Error::Timeout(_)));
    match error.kind() == io::ErrorKind::TimedOut || timeout {
        true => Error::TooSlow { source_url, why },
        false => Error::Unreachable { source_url, why },
    }
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
