//! `holdfast-fleet`: the fleet server as a program.

use clap::{Parser, Subcommand};
use fleet::config::DEFAULT_HOSTS;
use fleet::{Config, Server};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// The fleet server of Holdfast.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the server until it is asked to end.
    Serve(Serve),
}

#[derive(clap::Args)]
struct Serve {
    /// Directory of everything that the server keeps.
    #[arg(long)]
    data: PathBuf,
    /// Directory with `keys.cbor` and `fleet.key`, as `holdfast keys` makes it.
    #[arg(long)]
    keys: PathBuf,
    /// Address of API and dashboard; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Serve API and dashboard over TLS; needed on other than loopback addresses.
    #[arg(long)]
    listen_tls: bool,
    /// Address of the devices' HTTPS listener and of the broker; port 0 picks a free one.
    #[arg(long, default_value = "0.0.0.0:8443")]
    device_listen: SocketAddr,
    /// Port of the MQTT broker; 0 picks a free one.
    #[arg(long, default_value_t = 8883)]
    mqtt_port: u16,
    /// Answer SNTP on this address, for networks without another source of time.
    #[arg(long)]
    sntp: Option<SocketAddr>,
    /// Name or address by which devices reach this server; may be given several times.
    #[arg(long = "host")]
    hosts: Vec<String>,
    /// Fleet id, a topic level.
    #[arg(long, default_value = "main")]
    fleet: String,
}

impl From<Serve> for Config {
    fn from(serve: Serve) -> Self {
        let hosts = match serve.hosts {
            none if none.is_empty() => DEFAULT_HOSTS.map(String::from).to_vec(),
            hosts => hosts,
        };
        Self {
            data: serve.data,
            keys: serve.keys,
            listen: serve.listen,
            listen_tls: serve.listen_tls,
            device_listen: serve.device_listen,
            mqtt_port: serve.mqtt_port,
            sntp: serve.sntp,
            hosts,
            fleet: serve.fleet,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Verb::Serve(serve) = Arguments::parse().command;
    match run(serve.into()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holdfast-fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), fleet::Error> {
    let signals = |kind| signal(kind).map_err(|e| fleet::Error::Internal(e.to_string()));
    let (mut term, mut int) =
        (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
    let data = config.data.clone();
    let running = Server::start(config).await?;
    println!("dashboard   {}", running.login_url());
    println!("devices     {} (HTTPS), port {} (MQTT)", running.device_url, running.mqtt_port);
    if let Some(port) = running.ports.sntp {
        println!("time        port {port} (SNTP)");
    }
    println!("data        {}", data.display());
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    running.stop().await;
    Ok(())
}
