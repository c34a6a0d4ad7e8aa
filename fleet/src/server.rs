//! Starting and stopping a whole server.
//!
//! Order of starting: files and keys, listeners, broker, connection to the broker, then requests.
//! `DATA/ports.json` appears when everything is up.

use crate::artifacts::{Artifacts, sha256_hex};
use crate::broker::{BrokerConfig, Incoming, Link, LinkConfig, Supervisor};
use crate::ca::{Ca, write_private};
use crate::clock::random_hex;
use crate::config::{Config, Ports};
use crate::core::Fleet;
use crate::deltas::{self, Deltas};
use crate::error::Error;
use crate::feed::Feed;
use crate::signer::Signer;
use crate::store::Store;
use crate::tls::{TlsListener, server_config};
use crate::{api, device, ingest, pages, sntp};
use axum::Router;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How long the broker may take to come up.
const BROKER_START: Duration = Duration::from_secs(20);
/// Messages of devices that may wait to be taken.
const INBOX: usize = 1024;
/// Largest part of the broker's log shown in an error.
const LOG_TAIL: usize = 600;

/// Starts servers.
pub struct Server;

/// A server that runs; dropping it, or [`Running::stop`], ends it and its broker.
pub struct Running {
    /// Base address of API and dashboard.
    pub api_url: String,
    /// The admin token.
    pub admin_token: String,
    /// Base address of the devices' listener, by the first host name.
    pub device_url: String,
    /// Port of the broker.
    pub mqtt_port: u16,
    /// PEM of the CA that devices trust.
    pub ca_pem: String,
    /// What everything listens on.
    pub ports: Ports,
    fleet: Arc<Fleet>,
    tasks: JoinSet<()>,
}

impl Running {
    /// The address that signs a browser in.
    pub fn login_url(&self) -> String {
        format!("{}/login?token={}", self.api_url, self.admin_token)
    }

    /// Ends listeners and broker; returns when the broker has written its state.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        let broker = self.fleet.broker.lock().ok().and_then(|mut broker| broker.take());
        // Dropping waits for the broker's process.
        let _ = tokio::task::spawn_blocking(move || drop(broker)).await;
    }
}

struct Listeners {
    api: TcpListener,
    device: TcpListener,
}

impl Server {
    /// Starts everything; returns when the broker takes messages and requests are answered.
    pub async fn start(mut config: Config) -> Result<Running, Error> {
        check(&config)?;
        config.data = private_dir(&config.data)?;
        // Some parts ask for the process's default; a second setting of the same is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ports_path = config.data.join("ports.json");
        let _ = fs::remove_file(&ports_path);
        let signer = Signer::open(&config.keys)?;
        let ca = Ca::open(&config.data.join("ca"), &certificate_names(&config))?;
        let store = Store::open(&config.data.join("fleet.db"))?;
        store.forget_presence()?;
        ca.write_crl(&store.revoked_serials()?)?;
        let artifacts = Artifacts::open(&config.data.join("artifacts"))?;
        let feed = Feed::default();
        let deltas = Deltas::open(&config.data.join("deltas"), deltas::LIMIT, feed.clone())?;
        let admin_token = admin_token(&config.data)?;

        let listeners = Listeners {
            api: listen("API", config.listen).await?,
            device: listen("devices", config.device_listen).await?,
        };
        let device_port = port_of(&listeners.device)?;
        config.listen.set_port(port_of(&listeners.api)?);
        let mqtt_port = free_port(config.device_listen.ip(), config.mqtt_port)?;
        let broker = BrokerConfig {
            dir: config.data.join("broker"),
            address: config.device_listen.ip(),
            port: mqtt_port,
            fleet: config.fleet.clone(),
            ca: config.data.join("ca"),
        };
        let supervisor = Supervisor::start(&broker)?;
        let (sender, inbox) = mpsc::channel(INBOX);
        let (connected, connections) = watch::channel(0);
        let (link, link_task) =
            Link::start(link_config(&config, &ca, mqtt_port, sender, connected));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _abort = AbortOnDrop(link_task.abort_handle());
            let _ = link_task.await;
        });
        let fleet = Arc::new(Fleet {
            admin_hash: sha256_hex(admin_token.as_bytes()),
            store,
            ca,
            signer,
            artifacts,
            deltas,
            feed,
            link,
            broker: Mutex::new(Some(supervisor)),
            device_port,
            mqtt_port,
            config,
        });
        wait_for_broker(connections.clone(), &broker.log_path()).await?;
        fleet.renew_assignments()?;
        tasks.spawn(ingest::run(fleet.clone(), inbox));
        tasks.spawn(republish(fleet.clone(), connections));
        run(fleet, listeners, admin_token, tasks, &ports_path).await
    }
}

/// Starts answering requests and says where.
async fn run(
    fleet: Arc<Fleet>,
    listeners: Listeners,
    admin_token: String,
    mut tasks: JoinSet<()>,
    ports_path: &Path,
) -> Result<Running, Error> {
    let (certificate, key) = fleet.ca.server_pem();
    let tls = server_config(certificate, key)?;
    let wrap = |listener: TcpListener| {
        TlsListener::new(listener, tls.clone()).map_err(|e| Error::Internal(e.to_string()))
    };
    let app = api::router(fleet.clone()).merge(pages::router(fleet.clone()));
    let scheme = if fleet.config.listen_tls {
        tasks.spawn(serve(wrap(listeners.api)?, app));
        "https"
    } else {
        tasks.spawn(serve(listeners.api, app));
        "http"
    };
    tasks.spawn(serve(wrap(listeners.device)?, device::router(fleet.clone())));
    let sntp = match fleet.config.sntp {
        None => None,
        Some(address) => {
            let socket = sntp::bind(address).await?;
            let port = socket.local_addr().ok().map(|address| address.port());
            tasks.spawn(sntp::serve(socket));
            port
        }
    };
    let mut shown = fleet.config.listen;
    if shown.ip().is_unspecified() {
        shown.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let ports = Ports {
        pid: std::process::id(),
        api_url: format!("{scheme}://{shown}"),
        api: shown.port(),
        device: fleet.device_port,
        mqtt: fleet.mqtt_port,
        sntp,
    };
    let text = serde_json::to_string_pretty(&ports).map_err(|e| Error::Internal(e.to_string()))?;
    write_private(ports_path, &text)?;
    Ok(Running {
        api_url: ports.api_url.clone(),
        admin_token,
        device_url: fleet.device_url(fleet.known_host(None)),
        mqtt_port: fleet.mqtt_port,
        ca_pem: fleet.ca.ca_pem().to_owned(),
        ports,
        fleet,
        tasks,
    })
}

async fn serve<L>(listener: L, app: Router)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    if let Err(error) = axum::serve(listener, app).await {
        eprintln!("fleet: listener: {error}");
    }
}

/// After every connection, also the first: what the broker may not have is published again.
async fn republish(fleet: Arc<Fleet>, mut connections: watch::Receiver<u64>) {
    connections.mark_changed();
    while connections.changed().await.is_ok() {
        if let Err(error) = fleet.publish_desired() {
            eprintln!("fleet: publish assignments again: {error}");
        }
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn check(config: &Config) -> Result<(), Error> {
    if !config.listen.ip().is_loopback() && !config.listen_tls {
        return Err(Error::PlainOutside(config.listen));
    }
    let level = &config.fleet;
    if level.is_empty() || !level.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(Error::invalid("fleet id", "letters, digits and hyphens only"));
    }
    if config.hosts.is_empty() {
        return Err(Error::invalid("hosts", "at least one name is needed"));
    }
    Ok(())
}

/// Makes a directory that only its owner may enter; returns its absolute path, for the broker.
fn private_dir(path: &Path) -> Result<std::path::PathBuf, Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::file("make directory", path))?;
    path.canonicalize().map_err(Error::file("find", path))
}

fn admin_token(data: &Path) -> Result<String, Error> {
    let path = data.join("admin.token");
    if !path.exists() {
        write_private(&path, &format!("{}\n", random_hex::<24>()))?;
    }
    let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    Ok(text.trim().to_owned())
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen {
        what,
        address: address.to_string(),
        source,
    })
}

fn port_of(listener: &TcpListener) -> Result<u16, Error> {
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|e| Error::Internal(format!("local address: {e}")))
}

/// A port for the broker, which cannot pick one itself; finds out now that a given one is taken.
fn free_port(address: IpAddr, port: u16) -> Result<u16, Error> {
    let wanted = SocketAddr::new(address, port);
    std::net::TcpListener::bind(wanted)
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| Error::Listen { what: "MQTT", address: wanted.to_string(), source })
}

/// Where the server itself reaches the broker.
fn own_address(config: &Config) -> IpAddr {
    match config.device_listen.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    }
}

/// The configured names, and those by which this machine itself reaches the server.
fn certificate_names(config: &Config) -> Vec<String> {
    let mut names = config.hosts.clone();
    for own in ["localhost".into(), "127.0.0.1".into(), own_address(config).to_string()] {
        if !names.contains(&own) {
            names.push(own);
        }
    }
    names
}

fn link_config(
    config: &Config,
    ca: &Ca,
    port: u16,
    incoming: mpsc::Sender<Incoming>,
    connected: watch::Sender<u64>,
) -> LinkConfig {
    let (certificate, key) = ca.server_pem();
    LinkConfig {
        host: own_address(config).to_string(),
        port,
        fleet: config.fleet.clone(),
        ca: ca.ca_pem().to_owned(),
        identity: (certificate.to_owned(), key.to_owned()),
        incoming,
        connected,
    }
}

async fn wait_for_broker(mut connections: watch::Receiver<u64>, log: &Path) -> Result<(), Error> {
    let up = connections.wait_for(|count| *count > 0);
    if matches!(tokio::time::timeout(BROKER_START, up).await, Ok(Ok(_))) {
        return Ok(());
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    let tail: String = text.chars().rev().take(LOG_TAIL).collect();
    let tail: String = tail.chars().rev().collect();
    Err(Error::Broker(format!("does not answer; end of {}:\n{tail}", log.display())))
}
