//! The server's own connection to the broker (MQTT 5 over TLS, with its own certificate).
//!
//! Reconnects for ever. After each connect it subscribes anew, and says so through
//! [`LinkConfig::connected`], so that what the broker may have lost is published again.

use super::config::MAX_PACKET;
use crate::ca::SERVER_NAME;
use crate::error::Error;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, PublishOptions, SubscribeFilter, TlsConfiguration,
    Transport,
};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Seconds between pings.
const KEEP_ALIVE_S: u16 = 20;
/// Pause before a new attempt to connect.
const RETRY: Duration = Duration::from_millis(250);
/// Messages that may wait while the broker is away.
const QUEUE: usize = 4096;
/// What the server listens to, below `holdfast/1/{fleet}/+/`.
const LEAVES: [&str; 5] = ["state", "online", "progress", "apps", "cmd/+/result"];

/// What a device said.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Device id, from the topic: the broker vouches for it.
    pub device: String,
    /// Which topic.
    pub leaf: Leaf,
    /// The body.
    pub body: Vec<u8>,
}

/// Topics that the server listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// A report.
    State,
    /// Connected or not.
    Online,
    /// How far an update is.
    Progress,
    /// Installed snaps.
    Apps,
    /// The result of the command with this id.
    Result(String),
}

/// What a link is made from.
pub struct LinkConfig {
    /// Address of the broker, one of the names in its certificate.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Fleet id.
    pub fleet: String,
    /// PEM of the CA.
    pub ca: String,
    /// PEM of the server's certificate and key.
    pub identity: (String, String),
    /// Where messages go.
    pub incoming: mpsc::Sender<Incoming>,
    /// Counts connections.
    pub connected: watch::Sender<u64>,
}

/// Publishes through the connection.
#[derive(Clone)]
pub struct Link {
    client: AsyncClient,
    fleet: String,
}

impl Link {
    /// Starts connecting in the background.
    pub fn start(config: LinkConfig) -> (Self, tokio::task::JoinHandle<()>) {
        let mut options = MqttOptions::new(SERVER_NAME, (config.host.as_str(), config.port));
        options.set_keep_alive(KEEP_ALIVE_S);
        options.set_max_packet_size(Some(MAX_PACKET));
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Simple {
            ca: config.ca.clone().into_bytes(),
            alpn: None,
            client_auth: Some((
                config.identity.0.clone().into_bytes(),
                config.identity.1.clone().into_bytes(),
            )),
        }));
        let (client, events) = AsyncClient::builder(options).capacity(QUEUE).build();
        let link = Self { client: client.clone(), fleet: config.fleet.clone() };
        (link, tokio::spawn(run(config, client, events)))
    }

    /// Queues a message for a device's topic; `expiry` in seconds.
    pub fn publish(
        &self,
        device: &str,
        leaf: &str,
        body: Vec<u8>,
        retain: bool,
        expiry: u64,
        response: Option<(String, String)>,
    ) -> Result<(), Error> {
        let topic = protocol::fleet::topic(&self.fleet, device, leaf);
        let (response_topic, correlation) = response.unzip();
        let properties = PublishProperties {
            message_expiry_interval: Some(expiry.min(u64::from(u32::MAX)) as u32),
            response_topic: response_topic
                .map(|leaf| protocol::fleet::topic(&self.fleet, device, &leaf)),
            correlation_data: correlation.map(|id| id.into_bytes().into()),
            ..PublishProperties::default()
        };
        let options = PublishOptions::at_least_once().retain(retain).properties(properties);
        self.client
            .try_publish(topic, body, options)
            .map_err(|e| Error::Broker(format!("does not take messages: {e}")))
    }

    /// Clears a retained message.
    pub fn clear(&self, device: &str, leaf: &str) -> Result<(), Error> {
        let topic = protocol::fleet::topic(&self.fleet, device, leaf);
        self.client
            .try_publish(topic, Vec::new(), PublishOptions::at_least_once().retained())
            .map_err(|e| Error::Broker(format!("does not take messages: {e}")))
    }
}

async fn run(config: LinkConfig, client: AsyncClient, mut events: EventLoop) {
    let prefix = format!("holdfast/1/{}/", config.fleet);
    let filters: Vec<SubscribeFilter> = LEAVES
        .iter()
        .map(|leaf| SubscribeFilter::new(format!("{prefix}+/{leaf}"), QoS::AtLeastOnce))
        .collect();
    let mut complained = false;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                complained = false;
                if let Err(error) = client.try_subscribe_many(filters.clone()) {
                    eprintln!("fleet: subscribe: {error}");
                }
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                config.connected.send_modify(|count| *count += 1);
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = String::from_utf8_lossy(&publish.topic);
                let Some((device, leaf)) = parse_topic(&prefix, &topic) else { continue };
                let incoming = Incoming { device, leaf, body: publish.payload.to_vec() };
                if config.incoming.send(incoming).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => {
                // While the broker restarts this comes several times; once is enough to know.
                if !complained && *config.connected.borrow() > 0 {
                    eprintln!("fleet: connection to the broker: {error}");
                    complained = true;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn parse_topic(prefix: &str, topic: &str) -> Option<(String, Leaf)> {
    let (device, leaf) = topic.strip_prefix(prefix)?.split_once('/')?;
    let leaf = match leaf {
        "state" => Leaf::State,
        "online" => Leaf::Online,
        "progress" => Leaf::Progress,
        "apps" => Leaf::Apps,
        other => Leaf::Result(other.strip_prefix("cmd/")?.strip_suffix("/result")?.to_owned()),
    };
    Some((device.to_owned(), leaf))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_as_they_are_written() {
        let of = |leaf: &str| parse_topic("holdfast/1/f/", &format!("holdfast/1/f/gw/{leaf}"));
        assert_eq!(of("state"), Some(("gw".into(), Leaf::State)));
        assert_eq!(of("cmd/x1/result"), Some(("gw".into(), Leaf::Result("x1".into()))));
        assert_eq!(of("cmd/x1"), None, "a command is not a result");
        assert_eq!(parse_topic("holdfast/1/f/", "holdfast/1/other/gw/state"), None);
    }
}
