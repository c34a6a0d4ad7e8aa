//! A snap from an HTTP address, into appd's own directory. Runs on a thread of its own.

use crate::{
    change::transition::ABORTED_CODE,
    data, device,
    error::{Context, Error, Result},
    incoming::MAX_SNAP,
    paths::Paths,
    verify,
};
use std::{
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// For the connection and the head of the answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// For all of it.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Fetches `url` to the partial file `number`, and compares its digest where one is given; until
/// it is `stopped`.
pub fn fetch(
    paths: &Paths,
    url: &str,
    sha256: Option<[u8; 32]>,
    number: u32,
    stopped: &dyn Fn() -> bool,
) -> Result<PathBuf> {
    let to = paths.partial(number);
    let result = fetch_to(paths, url, sha256, &to, stopped);
    if result.is_err() {
        let _ = fs::remove_file(&to);
    }
    result.map(|()| to)
}

/// Reads on until somebody wants it to stop.
struct Stoppable<'a, R> {
    from: R,
    stopped: &'a dyn Fn() -> bool,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match (self.stopped)() {
            true => Err(io::Error::other("aborted")),
            false => self.from.read(into),
        }
    }
}

fn fetch_to(
    paths: &Paths,
    url: &str,
    sha256: Option<[u8; 32]>,
    to: &PathBuf,
    stopped: &dyn Fn() -> bool,
) -> Result<()> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Error::refused("bad-url", format!("{url}: not http:// or https://")));
    }
    let failed = |e: ureq::Error| Error::refused("download", format!("{url}: {e}"));
    let response = agent(paths)?.get(url).call().map_err(failed)?;
    let length = response.body().content_length();
    let needed = length.unwrap_or(0);
    if needed > MAX_SNAP {
        let why = format!("{url}: {needed} bytes, at most {MAX_SNAP}");
        return Err(Error::refused("snap-too-large", why));
    }
    data::check_space(url, &paths.files(), needed)?;
    let body = response.into_body().into_reader().take(MAX_SNAP);
    let mut body = Stoppable { from: body, stopped };
    let mut file = File::create(to).at("create", to)?;
    let got = io::copy(&mut body, &mut file).map_err(|e| {
        let code = if stopped() { ABORTED_CODE } else { "download" };
        Error::refused(code, format!("{url}: {e}"))
    })?;
    if length.is_some_and(|length| length != got) {
        let why = format!("{url}: {got} of {needed} bytes");
        return Err(Error::refused("download", why));
    }
    file.sync_all().at("sync", to)?;
    let Some(expected) = sha256 else { return Ok(()) };
    if verify::digest(url, &mut File::open(to).at("open", to)?)? != expected {
        return Err(Error::refused("digest", format!("{url}: not the SHA-256 that was asked for")));
    }
    Ok(())
}

/// Public authorities, and one of the device's own, PEM; without that when it cannot be read.
fn roots(own: Option<String>) -> Vec<Certificate<'static>> {
    let own = own.and_then(|pem| {
        let read = Certificate::from_pem(pem.as_bytes());
        read.map_err(|error| eprintln!("device.toml: fleet.ca is not followed: {error}")).ok()
    });
    let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    public.map(|root| Certificate::from_der(root)).chain(own).collect()
}

/// Asks servers whose certificates are by an authority that is trusted here: the fleet's own, where
/// the device has one, and the public ones of Mozilla's list.
pub(crate) fn agent(paths: &Paths) -> Result<ureq::Agent> {
    let roots = roots(device::config(paths).fleet.map(|fleet| fleet.ca));
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build();
    Ok(ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(TOTAL_TIMEOUT))
        .build()
        .into())
}

#[cfg(test)]
mod tests {
    use super::roots;

    #[test]
    fn public_authorities_are_known() {
        let known = roots(None);
        // As it stands in the certificate's names.
        for name in [&b"ISRG Root X1"[..], b"DigiCert Global Root G2", b"GTS Root R1"] {
            let has = |der: &[u8]| der.windows(name.len()).any(|window| window == name);
            assert!(known.iter().any(|root| has(root.der())), "{}", name.escape_ascii());
        }
        assert_eq!(roots(Some("-----BEGIN".into())).len(), known.len());
    }
}
