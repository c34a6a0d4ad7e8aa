//! Images from a registry: the pull half of the OCI distribution specification 1.1
//! <https://github.com/opencontainers/distribution-spec>, which is Docker's registry API v2.
//!
//! What always holds:
//! - A tag is asked for once; all that follows is asked for by digest, and compared with it. An
//!   address with a digest gets that content or an error.
//! - A connection that breaks costs what was not read yet: the next one goes on there, and gives up
//!   after [`ATTEMPTS`] that brought nothing. So does a power cut: what came of a layer is kept
//!   beside the snaps until the image is whole, and never believed: all of it is compared with its
//!   digest as if it had just come.
//! - A registry that wants a token gets an anonymous one
//!   (<https://distribution.github.io/distribution/spec/auth/token/>). No password is known here.
//!
//! `oci://` is HTTPS; `oci+http://` is for a registry of one's own network that has no certificate.

use crate::{
    change::transition::ABORTED_CODE,
    download,
    error::{Error, Result},
    meta::ARCHITECTURE,
    paths::Paths,
};
use oci::{
    archive::Image,
    blobs::{Blobs, MAX_JSON},
    digest::Digest,
    manifest::{self, Manifest},
};
use serde::Deserialize;
use std::{
    cell::RefCell,
    fmt,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};
use ureq::{Body, http::Response};

const SECURE: &str = "oci://";
const PLAIN: &str = "oci+http://";
/// Docker's own registry, by the name that people know, and by its host.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");
/// What is asked for: images and lists of them, of OCI and of Docker.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
                      application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";
/// Longest name of a repository, and of a tag (distribution specification).
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;
/// Largest answer with a token in bytes.
const MAX_TOKEN: u64 = 64 << 10;
/// Connections in a row that may end without having brought a byte.
const ATTEMPTS: u32 = 5;
/// Wait before the second of them; each further one waits longer.
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes of a layer that are written before they are made durable.
const SYNCED: u64 = 4 << 20;

/// Whether an address is one of a registry.
pub fn is_address(url: &str) -> bool {
    url.starts_with(SECURE) || url.starts_with(PLAIN)
}

/// `oci://host[:port]/repository[:tag][@sha256:…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    plain: bool,
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Address {
    /// Reads an address.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |why: &str| Error::refused("bad-url", format!("{url}: {why}"));
        let plain = url.starts_with(PLAIN);
        let rest = url.strip_prefix(SECURE).or_else(|| url.strip_prefix(PLAIN));
        let rest = rest.ok_or_else(|| wrong("not oci:// or oci+http://"))?;
        let (host, path) =
            rest.split_once('/').ok_or_else(|| wrong("not HOST/REPOSITORY[:TAG][@DIGEST]"))?;
        let host_letter = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
        if host.is_empty() || !host.bytes().all(host_letter) {
            return Err(wrong("not a host and port"));
        }
        let (path, digest) = match path.split_once('@') {
            Some((path, digest)) => (path, Some(Digest::parse(url, digest)?)),
            None => (path, None),
        };
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_string())),
            None => (path, None),
        };
        if !is_repository(repository) {
            return Err(wrong("not a repository: lower-case letters, digits, . _ - and /"));
        }
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("not a tag: letters, digits, . _ -"));
        }
        let hub = host == HUB.0;
        let library = hub && !repository.contains('/');
        let repository =
            if library { format!("library/{repository}") } else { repository.to_string() };
        let host = if hub { HUB.1 } else { host }.to_string();
        Ok(Self { plain, host, repository, tag, digest })
    }

    fn url(&self, kind: &str, reference: &str) -> String {
        let scheme = if self.plain { "http" } else { "https" };
        format!("{scheme}://{}/v2/{}/{kind}/{reference}", self.host, self.repository)
    }

    /// Digest or tag that is asked for.
    fn reference(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

fn is_repository(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let part = |part: &str| {
        let ends = [part.bytes().next(), part.bytes().last()];
        ends.into_iter().all(|b| b.is_some_and(letter))
            && part.bytes().all(|b| letter(b) || b"._-".contains(&b))
    };
    text.len() <= MAX_REPOSITORY && text.split('/').all(part)
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b".-".contains(&b))
}

/// A registry, as far as one image is concerned.
pub struct Registry<'a> {
    agent: ureq::Agent,
    address: &'a Address,
    token: RefCell<Option<String>>,
    /// Where layers are kept while they come.
    kept: PathBuf,
    stopped: &'a dyn Fn() -> bool,
}

/// What a manifest has when it is a list of them.
#[derive(Deserialize)]
struct Probe {
    manifests: Option<serde_json::Value>,
}

/// A token server's answer; servers use either name.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Registry<'a> {
    /// A registry that was not spoken to yet.
    pub fn new(paths: &Paths, address: &'a Address, stopped: &'a dyn Fn() -> bool) -> Result<Self> {
        let (agent, kept) = (download::agent(paths)?, paths.blobs());
        Ok(Self { agent, address, token: RefCell::default(), kept, stopped })
    }

    /// Finds the image for this machine.
    pub fn image(&self) -> Result<Image> {
        let reference = self.address.reference();
        let mut bytes = Vec::new();
        let from = Reader::new(self, self.address.url("manifests", &reference));
        from.take(MAX_JSON + 1).read_to_end(&mut bytes).map_err(|e| self.failed(&reference, &e))?;
        let found = Digest::of(&bytes);
        if let Some(wanted) = self.address.digest.filter(|wanted| *wanted != found) {
            let why = format!("{}: the registry sends {found}, not {wanted}", self.address);
            return Err(Error::refused("image-digest", why));
        }
        let probe: Probe = serde_json::from_slice(&bytes).map_err(|e| {
            Error::refused("image-invalid", format!("{}: no manifest: {e}", self.address))
        })?;
        let (digest, manifest) = match probe.manifests {
            Some(_) => manifest::choose(&Manifests(self), &bytes, ARCHITECTURE, None)?,
            None => (found, Manifest::parse(&bytes)?),
        };
        let Address { repository, tag, .. } = self.address;
        let tag = tag.as_deref().map_or(String::new(), |tag| format!(":{tag}"));
        Ok(Image { digest, manifest, reference: Some(format!("{repository}{tag}")) })
    }

    fn failed(&self, what: &str, error: &dyn fmt::Display) -> Error {
        let code = if (self.stopped)() { ABORTED_CODE } else { "download" };
        Error::refused(code, format!("{}: {what}: {error}", self.address))
    }

    /// One request from byte `at` on; a token is got when it is asked for.
    fn get(&self, url: &str, at: u64) -> io::Result<Response<Body>> {
        let response = self.try_get(url, at)?;
        if response.status() != 401 {
            return Ok(response);
        }
        let challenge = response.headers().get("www-authenticate");
        let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = self.fetch_token(challenge)?;
        *self.token.borrow_mut() = Some(token);
        self.try_get(url, at)
    }

    fn try_get(&self, url: &str, at: u64) -> io::Result<Response<Body>> {
        let mut request = self.agent.get(url).header("accept", ACCEPT);
        if let Some(token) = &*self.token.borrow() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if at > 0 {
            request = request.header("range", format!("bytes={at}-"));
        }
        let request = request.config().http_status_as_error(false).build();
        request.call().map_err(io::Error::other)
    }

    fn fetch_token(&self, challenge: &str) -> io::Result<String> {
        let wrong = |why: &str| io::Error::other(format!("{why}: {challenge:?}"));
        let fields = challenge
            .strip_prefix("Bearer ")
            .ok_or_else(|| wrong("it wants a login that is not anonymous"))?;
        let field = |name: &str| {
            fields.split(',').find_map(|field| {
                let (key, value) = field.trim().split_once('=')?;
                (key == name).then(|| value.trim_matches('"').to_string())
            })
        };
        let realm = field("realm").ok_or_else(|| wrong("no realm of tokens"))?;
        if !realm.starts_with("https://") && !self.address.plain {
            return Err(wrong("tokens come over https only"));
        }
        let scope = format!("repository:{}:pull", self.address.repository);
        let mut request = self.agent.get(&realm).query("scope", &scope);
        if let Some(service) = field("service") {
            request = request.query("service", &service);
        }
        let body = request.call().map_err(io::Error::other)?.into_body();
        let mut text = Vec::new();
        body.into_reader().take(MAX_TOKEN).read_to_end(&mut text)?;
        let answer: Token = serde_json::from_slice(&text).map_err(io::Error::other)?;
        let token = answer.token.or(answer.access_token);
        token.ok_or_else(|| wrong("the answer has no token"))
    }
}

impl Blobs for Registry<'_> {
    fn open(&self, digest: &Digest) -> oci::Result<Box<dyn Read + '_>> {
        let url = self.address.url("blobs", &digest.to_string());
        let kept = Kept::open(&self.kept, digest).inspect_err(|error| {
            eprintln!("{url}: {error}: it will not go on there after a power cut");
        });
        Ok(Box::new(Reader { kept: kept.ok(), ..Reader::new(self, url) }))
    }
}

/// The manifests of a list, which have an address of another kind.
struct Manifests<'a>(&'a Registry<'a>);

impl Blobs for Manifests<'_> {
    fn open(&self, digest: &Digest) -> oci::Result<Box<dyn Read + '_>> {
        let registry = self.0;
        let url = registry.address.url("manifests", &digest.to_string());
        Ok(Box::new(Reader::new(registry, url)))
    }
}

/// What came of a layer.
struct Kept {
    file: File,
    length: u64,
    unsynced: u64,
}

impl Kept {
    fn open(folder: &Path, digest: &Digest) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(digest.to_string().replace(':', "-"));
        let file = File::options().read(true).append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length, unsynced: 0 })
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNCED {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// Content by its address, over as many connections as it takes.
struct Reader<'a> {
    registry: &'a Registry<'a>,
    url: String,
    /// Bytes that were read.
    at: u64,
    /// All of them, where the registry says it.
    length: Option<u64>,
    body: Option<Box<dyn Read>>,
    /// Connections in a row that brought nothing.
    failures: u32,
    kept: Option<Kept>,
}

impl<'a> Reader<'a> {
    fn new(registry: &'a Registry<'a>, url: String) -> Self {
        Self { registry, url, at: 0, length: None, body: None, failures: 0, kept: None }
    }

    fn connect(&mut self) -> io::Result<Box<dyn Read>> {
        let response = self.registry.get(&self.url, self.at)?;
        let status = response.status().as_u16();
        let length = response.body().content_length();
        match status {
            200 => self.length = length,
            206 if self.at > 0 => {
                self.length = self.length.or(length.map(|rest| self.at + rest));
            }
            // All of it was kept.
            416 if self.at > 0 => {
                self.length = Some(self.at);
                return Ok(Box::new(io::empty()));
            }
            _ => return Err(io::Error::other(Refusal { url: self.url.clone(), status })),
        }
        let mut body: Box<dyn Read> = Box::new(response.into_body().into_reader());
        if status == 200 && self.at > 0 {
            // It knows no ranges: what was read is read again.
            let skipped = io::copy(&mut (&mut body).take(self.at), &mut io::sink())?;
            if skipped < self.at {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(body)
    }

    fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(kept) = self.kept.as_ref().filter(|kept| self.at < kept.length) {
            return kept.file.read_at(into, self.at);
        }
        let mut body = match self.body.take() {
            Some(body) => body,
            None => self.connect()?,
        };
        let count = body.read(into)?;
        if count == 0 && self.length.is_some_and(|length| self.at < length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.body = Some(body);
        // On a full disk it goes on without.
        if self.kept.as_mut().is_some_and(|kept| kept.add(&into[..count]).is_err()) {
            self.kept = None;
        }
        Ok(count)
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if (self.registry.stopped)() {
                return Err(io::Error::other("aborted"));
            }
            match self.try_read(into) {
                Ok(count) => {
                    self.failures = 0;
                    self.at += count as u64;
                    return Ok(count);
                }
                // What was refused is refused the next time, too.
                Err(error) if error.get_ref().is_some_and(|e| e.is::<Refusal>()) => {
                    return Err(error);
                }
                Err(error) => {
                    self.failures += 1;
                    if self.failures == ATTEMPTS {
                        return Err(error);
                    }
                    eprintln!("{}: byte {}: {error}; goes on there", self.url, self.at);
                    sleep(PAUSE * (self.failures - 1));
                }
            }
        }
    }
}

/// The registry understood, and says no.
#[derive(Debug)]
struct Refusal {
    url: String,
    status: u16,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: status {}", self.url, self.status)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let hex = "ab".repeat(32);
        let pinned = format!("oci://r.example:5000/a/b@sha256:{hex}");
        for (url, request, shown) in [
            ("oci://docker.io/nginx", "https://registry-1.docker.io/v2/library/nginx/x/latest", ""),
            ("oci://h/a/b_c.d:v1.0-x", "https://h/v2/a/b_c.d/x/v1.0-x", "h/a/b_c.d:v1.0-x"),
            ("oci+http://127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/a/x/latest", ""),
            (&pinned, &format!("https://r.example:5000/v2/a/b/x/sha256:{hex}"), &pinned[6..]),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.url("x", &address.reference()), request);
            assert!(address.to_string().contains(shown), "{address}");
        }
        for (url, why) in [
            ("http://h/a", "not oci://"),
            ("oci://h", "not HOST/REPOSITORY"),
            ("oci:///a", "not a host"),
            ("oci://h o/a", "not a host"),
            ("oci://h/A", "not a repository"),
            ("oci://h/a//b", "not a repository"),
            ("oci://h/../b", "not a repository"),
            ("oci://h/a:", "not a tag"),
            ("oci://h/a:b c", "not a tag"),
            ("oci://h/a@md5:00", "md5"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
