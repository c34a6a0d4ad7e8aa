//! Range requests, as an updater that resumes makes them.

use crate::gateway::https;
use crate::stage::{Stage, noise};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

struct Server {
    stage: Stage,
    url: String,
    payload: Vec<u8>,
    digest: String,
}

impl Server {
    fn new() -> Self {
        let stage = Stage::new();
        let payload = noise(300_000);
        let (manifest, file) = stage.release(2, &payload);
        let release = stage.client().upload_release(&manifest, &file).expect("upload");
        let digest = release.payload_digest;
        let url = format!("{}/v1/artifacts/{digest}", stage.running().device_url);
        Self { stage, url, payload, digest }
    }

    fn get(&self, headers: &[(&str, &str)]) -> (u16, Option<String>, Vec<u8>) {
        let mut request = https(&self.stage.running().ca_pem).get(&self.url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.call().expect("an answer");
        let range = answer
            .headers()
            .get("content-range")
            .map(|value| value.to_str().expect("text").to_owned());
        let body = answer.body_mut().read_to_vec().expect("body");
        (answer.status().as_u16(), range, body)
    }
}

#[test]
fn whole_files_parts_and_what_cannot_be() {
    let server = Server::new();
    let size = server.payload.len();
    let etag = format!("\"{}\"", server.digest);
    let text = |start: usize, end: usize| Some(format!("bytes {start}-{end}/{size}"));

    assert_eq!(server.get(&[]), (200, None, server.payload.clone()));
    let part = server.get(&[("range", "bytes=100000-199999")]);
    assert_eq!(part, (206, text(100_000, 199_999), server.payload[100_000..200_000].to_vec()));
    let tail = server.get(&[("range", "bytes=-10")]);
    assert_eq!(tail, (206, text(size - 10, size - 1), server.payload[size - 10..].to_vec()));
    let beyond = server.get(&[("range", "bytes=300000-")]);
    assert_eq!(beyond, (416, Some(format!("bytes */{size}")), Vec::new()));
    let same = server.get(&[("range", "bytes=0-0"), ("if-range", &etag)]);
    assert_eq!(same, (206, text(0, 0), server.payload[..1].to_vec()));
    let changed = server.get(&[("range", "bytes=0-0"), ("if-range", "\"other\"")]);
    assert_eq!(changed.0, 200, "another version: all of this one");
    assert_eq!(server.get(&[("if-none-match", &etag)]).0, 304);
}

#[test]
fn head_says_what_get_would() {
    let server = Server::new();
    let answer = https(&server.stage.running().ca_pem).head(&server.url).call().expect("answer");
    let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(header("content-length"), server.payload.len().to_string());
    assert_eq!(header("accept-ranges"), "bytes");
    assert_eq!(header("etag"), format!("\"{}\"", server.digest));
}

#[test]
fn only_digests_name_files() {
    let server = Server::new();
    let base = &server.stage.running().device_url;
    for name in ["00".repeat(32).as_str(), "..%2f..%2ffleet.db", "admin.token", "%00"] {
        let mut answer = https(&server.stage.running().ca_pem)
            .get(format!("{base}/v1/artifacts/{name}"))
            .call()
            .expect("answer");
        assert!(matches!(answer.status().as_u16(), 400 | 404), "{name}: {}", answer.status());
        let _ = answer.body_mut().read_to_vec();
    }
}

/// A client without any HTTP library: reads a part, loses the connection, goes on where it was.
#[test]
fn a_broken_download_goes_on_where_it_was() {
    let server = Server::new();
    let mut got = Vec::new();
    let mut attempts = 0;
    while got.len() < server.payload.len() {
        let mut stream = raw_tls(&server);
        let etag = &server.digest;
        write!(
            stream,
            "GET /v1/artifacts/{etag} HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes={}-\r\n\
             If-Range: \"{etag}\"\r\nConnection: close\r\n\r\n",
            got.len()
        )
        .expect("request");
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 206 Partial Content"), "{head}");
        let range = format!("content-range: bytes {}-299999/300000", got.len());
        assert!(head.to_ascii_lowercase().contains(&range), "{head}");
        // At most so much before the connection is lost.
        let before = got.len();
        let _ = stream.take(90_001).read_to_end(&mut got);
        assert!(got.len() > before, "nothing came");
        attempts += 1;
    }
    assert_eq!(attempts, 4);
    assert_eq!(got, server.payload);
}

fn raw_tls(server: &Server) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    use rustls::pki_types::pem::PemObject;
    let ca =
        rustls::pki_types::CertificateDer::from_pem_slice(server.stage.running().ca_pem.as_bytes())
            .expect("CA");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca).expect("root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").expect("name");
    let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("TLS");
    let port = server.stage.running().ports.device;
    rustls::StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).expect("TCP"))
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}
