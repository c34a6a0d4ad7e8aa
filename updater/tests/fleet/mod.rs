//! A small fleet on the loopback for tests: certificate authority, HTTPS server with enrolment and
//! ranges, a real mosquitto that requires certificates, and a client with the server's rights.

#![allow(dead_code, reason = "each test program uses a part")]

use protocol::fleet::{DeviceState, EnrollRequest, EnrollResponse, UpdatePhase, topic};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer};
use rcgen::{DnType, KeyPair};
use rumqttc::{Client, Event, Incoming, MqttOptions, PublishOptions, QoS};
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub const FLEET: &str = "home";
pub const DEVICE: &str = "gw-1";
pub const TOKEN: &str = "one-time";
/// A test that waits for longer has hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// Key and certificate, PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "test authority");
        let certificate = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    pub fn issue(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    fn answer(&self, csr: &str, name: &str) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        request.params.distinguished_name = rcgen::DistinguishedName::new();
        request.params.distinguished_name.push(DnType::CommonName, name);
        request.signed_by(&self.issuer).unwrap().pem()
    }
}

/// What the server has and has seen.
#[derive(Default)]
pub struct Served {
    pub files: Mutex<BTreeMap<String, Vec<u8>>>,
    pub enrolled: Mutex<Vec<EnrollRequest>>,
    pub ranges: Mutex<Vec<String>>,
    /// What a hostile server calls the device; honest when absent.
    pub device: Mutex<Option<String>>,
}

/// Serves HTTPS until the process ends; returns the port.
pub fn serve_https(authority: Arc<Authority>, broker: u16) -> (u16, Arc<Served>) {
    let pair = authority.issue("localhost");
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = Arc::new(Served::default());
    let shared = served.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, shared, authority) = (config.clone(), shared.clone(), authority.clone());
            thread::spawn(move || {
                let tls = rustls::ServerConnection::new(config).unwrap();
                let stream = rustls::StreamOwned::new(tls, stream);
                let _ = converse(stream, &shared, &authority, broker);
            });
        }
    });
    (port, served)
}

type Tls = rustls::StreamOwned<rustls::ServerConnection, TcpStream>;

fn converse(
    stream: Tls,
    served: &Served,
    authority: &Authority,
    broker: u16,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let answer = match method {
            "POST" => enroll(&body, served, authority, broker),
            _ => get(path, headers.get("range"), served),
        };
        let (status, extra, content) = answer;
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{extra}\r\n", content.len());
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(&content)?;
        stream.get_mut().flush()?;
    }
}

type Answer = (&'static str, String, Vec<u8>);

fn enroll(body: &[u8], served: &Served, authority: &Authority, broker: u16) -> Answer {
    let request: EnrollRequest = serde_json::from_slice(body).unwrap();
    if request.token != TOKEN {
        return ("403 Forbidden", String::new(), b"unknown token".to_vec());
    }
    let answer = EnrollResponse {
        device: served.device.lock().unwrap().clone().unwrap_or_else(|| DEVICE.into()),
        fleet: FLEET.into(),
        certificate: authority.answer(&request.csr, DEVICE),
        broker: format!("localhost:{broker}"),
    };
    served.enrolled.lock().unwrap().push(request);
    ("200 OK", String::new(), serde_json::to_vec(&answer).unwrap())
}

fn get(path: &str, range: Option<&String>, served: &Served) -> Answer {
    let files = served.files.lock().unwrap();
    let Some(file) = files.get(path) else {
        return ("404 Not Found", String::new(), Vec::new());
    };
    let Some(range) = range else { return ("200 OK", String::new(), file.clone()) };
    served.ranges.lock().unwrap().push(range.clone());
    let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let start: usize = start.parse().unwrap();
    let end = end.parse::<usize>().map_or(file.len(), |end| (end + 1).min(file.len()));
    if start >= file.len() {
        let extra = format!("content-range: bytes */{}\r\n", file.len());
        return ("416 Range Not Satisfiable", extra, Vec::new());
    }
    let extra = format!("content-range: bytes {start}-{}/{}\r\n", end - 1, file.len());
    ("206 Partial Content", extra, file[start..end].to_vec())
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A real broker that requires certificates of the authority.
pub struct Mosquitto(Child);

impl Mosquitto {
    pub fn start(directory: &Path, authority: &Authority, port: u16) -> Self {
        let pair = authority.issue("localhost");
        fs::create_dir_all(directory).unwrap();
        for (name, text) in
            [("ca.crt", &authority.certificate), ("s.crt", &pair.certificate), ("s.key", &pair.key)]
        {
            fs::write(directory.join(name), text).unwrap();
        }
        let dir = directory.display();
        let config = format!(
            "listener {port} 127.0.0.1\ncafile {dir}/ca.crt\ncertfile {dir}/s.crt\n\
             keyfile {dir}/s.key\nrequire_certificate true\nuse_identity_as_username true\n\
             allow_anonymous false\nuser root\nlog_dest none\n"
        );
        let path = directory.join("mosquitto.conf");
        fs::write(&path, config).unwrap();
        let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"];
        let program = program.iter().find(|path| Path::new(path).exists());
        let program = program.expect("the Debian package mosquitto is installed");
        let child = Command::new(program).arg("-c").arg(path).stdout(Stdio::null()).spawn();
        let broker = Self(child.unwrap());
        wait("mosquitto listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        broker
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls until there is a value; panics when it takes too long.
pub fn wait<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

type Messages = Arc<(Mutex<Vec<(String, Vec<u8>)>>, Condvar)>;

/// The server's side of the broker.
pub struct Server {
    client: Client,
    messages: Messages,
}

impl Server {
    pub fn connect(authority: &Authority, port: u16) -> Self {
        let pair = authority.issue("server");
        let mut options = MqttOptions::new("server", ("localhost".to_owned(), port));
        options.set_max_packet_size(Some(1 << 20));
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Simple {
            ca: authority.certificate.clone().into_bytes(),
            alpn: None,
            client_auth: Some((pair.certificate.into_bytes(), pair.key.into_bytes())),
        }));
        let (client, mut connection) = Client::builder(options).capacity(32).build();
        client.subscribe(format!("holdfast/1/{FLEET}/#"), QoS::AtLeastOnce).unwrap();
        let messages = Messages::default();
        let kept = messages.clone();
        thread::spawn(move || {
            for event in connection.iter() {
                if let Ok(Event::Incoming(Incoming::Publish(message))) = event {
                    let topic = String::from_utf8(message.topic.to_vec()).unwrap();
                    kept.0.lock().unwrap().push((topic, message.payload.to_vec()));
                    kept.1.notify_all();
                }
            }
        });
        Self { client, messages }
    }

    pub fn publish(&self, leaf: &str, body: Vec<u8>, retain: bool) {
        let options = PublishOptions::at_least_once().retain(retain);
        self.client.publish(topic(FLEET, DEVICE, leaf), body, options).unwrap();
    }

    /// Number of messages so far: what came before is not waited for.
    pub fn mark(&self) -> usize {
        self.messages.0.lock().unwrap().len()
    }

    /// Waits for a `state` with this phase and failure code.
    pub fn expect_state(&self, mark: usize, phase: UpdatePhase, code: Option<&str>) -> DeviceState {
        let what = format!("state {phase:?} {code:?}");
        self.expect(mark, "state", &what, |state: &DeviceState| {
            let failure = state.update.failure.as_ref().map(|failure| failure.code.as_str());
            state.update.phase == phase && failure == code
        })
    }

    /// The first message on a leaf since `mark` that satisfies.
    pub fn expect<T: serde::de::DeserializeOwned>(
        &self,
        mark: usize,
        leaf: &str,
        what: &str,
        satisfies: impl Fn(&T) -> bool,
    ) -> T {
        let topic = topic(FLEET, DEVICE, leaf);
        wait(what, || {
            let messages = self.messages.0.lock().unwrap();
            let fitting = messages[mark..].iter().filter(|(name, _)| *name == topic);
            fitting
                .filter_map(|(_, body)| serde_json::from_slice(body).ok())
                .find(|message| satisfies(message))
        })
    }
}
