//! A scripted gateway: key and signing request made here, enrolled over real TLS, connected with a
//! real MQTT client.

use protocol::control::{
    AppServiceStatus, BootKind, BootReason, Health, ServiceStatus, SlotName, SnapInfo, SystemStatus,
};
use protocol::fleet::{
    DeviceState, EnrollRequest, EnrollResponse, UpdatePhase, UpdateStatus, topic,
};
use rcgen::{CertificateParams, KeyPair};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v5::{LastWill, Packet, Publish};
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, PublishOptions, TlsConfiguration, Transport,
};
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Long enough for a loaded machine; nothing waits that long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Gateway {
    pub key: KeyPair,
    pub identity: EnrollResponse,
    pub ca: String,
}

/// An HTTPS client that trusts the fleet's CA only.
pub fn https(ca: &str) -> ureq::Agent {
    let ca = Certificate::from_pem(ca.as_bytes()).expect("CA");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[ca]))
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let config = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).build();
    ureq::Agent::new_with_config(config)
}

pub fn request(token: &str, name: &str, key: &KeyPair) -> EnrollRequest {
    let mut params = CertificateParams::default();
    // The server ignores what the request says about itself.
    params.distinguished_name.push(rcgen::DnType::CommonName, "holdfast-fleet");
    let csr = params.serialize_request(key).expect("request").pem().expect("PEM");
    EnrollRequest {
        token: token.into(),
        name: name.into(),
        board: "rpi3".into(),
        serial: Some("00000000c0ffee01".into()),
        csr,
    }
}

pub fn post_enroll(url: &str, ca: &str, body: &EnrollRequest) -> (u16, serde_json::Value) {
    let mut answer = https(ca).post(format!("{url}/v1/enroll")).send_json(body).expect("an answer");
    (answer.status().as_u16(), answer.body_mut().read_json().expect("JSON"))
}

impl Gateway {
    pub fn enroll(client: &fleet::client::Client, name: &str) -> Self {
        let token = client.enrollment_token(None, None).expect("token");
        let key = KeyPair::generate().expect("key");
        let body = request(&token.token, name, &key);
        let (status, answer) = post_enroll(&token.url, &token.ca, &body);
        assert_eq!(status, 200, "{answer}");
        let identity = serde_json::from_value(answer).expect("identity");
        Self { key, identity, ca: token.ca }
    }

    pub fn id(&self) -> &str {
        &self.identity.device
    }

    pub fn topic(&self, leaf: &str) -> String {
        topic(&self.identity.fleet, self.id(), leaf)
    }

    /// The same gateway after the server was started again on other ports.
    pub fn moved(&self, port: u16) -> Self {
        let (host, _) = self.identity.broker.rsplit_once(':').expect("host:port");
        let identity = EnrollResponse { broker: format!("{host}:{port}"), ..self.identity.clone() };
        let key = KeyPair::from_pem(&self.key.serialize_pem()).expect("key");
        Self { key, identity, ca: self.ca.clone() }
    }

    pub fn options(&self) -> MqttOptions {
        options(
            &self.identity.broker,
            self.id(),
            &self.ca,
            Some((&self.identity.certificate, &self.key.serialize_pem())),
        )
    }

    /// Connects, subscribes to what a gateway subscribes to, and says that it is there.
    pub async fn connect(&self) -> Connection {
        let mut options = self.options();
        let will = LastWill::new(self.topic("online"), "false", QoS::AtLeastOnce, true, None);
        options.set_last_will(will);
        let mut connection = Connection::open(options).await.expect("connects");
        connection.subscribe(&self.topic("desired")).await;
        connection.subscribe(&self.topic("cmd/+")).await;
        connection.publish(&self.topic("online"), "true", true).await;
        connection
    }
}

pub fn options(broker: &str, id: &str, ca: &str, client_auth: Option<(&str, &str)>) -> MqttOptions {
    let (host, port) = broker.rsplit_once(':').expect("host:port");
    let mut options = MqttOptions::new(id, (host, port.parse::<u16>().expect("port")));
    options.set_max_packet_size(Some(fleet::broker::MAX_PACKET));
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Simple {
        ca: ca.as_bytes().to_vec(),
        alpn: None,
        client_auth: client_auth
            .map(|(cert, key)| (cert.as_bytes().to_vec(), key.as_bytes().to_vec())),
    }));
    options
}

pub struct Connection {
    client: AsyncClient,
    events: EventLoop,
    /// What came while something else was waited for.
    inbox: Vec<Publish>,
}

impl Connection {
    /// One attempt.
    pub async fn open(options: MqttOptions) -> Result<Self, String> {
        let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
        let connected = async {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        tokio::time::timeout(PATIENCE, connected).await.map_err(|_| "no answer".to_owned())??;
        Ok(Self { client, events, inbox: Vec::new() })
    }

    /// Until `wish` takes a packet; messages are kept meanwhile.
    async fn until<T>(&mut self, what: &str, mut wish: impl FnMut(&Packet) -> Option<T>) -> T {
        let looking = async {
            loop {
                match self.events.poll().await {
                    Ok(Event::Incoming(packet)) => {
                        if let Some(found) = wish(&packet) {
                            return found;
                        }
                        if let Packet::Publish(publish) = packet {
                            self.inbox.push(publish);
                        }
                    }
                    Ok(_) => {}
                    Err(error) => panic!("connection ended while waiting for {what}: {error}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("no {what}"))
    }

    /// Subscribes; returns the broker's reason, as text.
    pub async fn subscribe(&mut self, filter: &str) -> String {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.expect("queue");
        self.until("answer to a subscription", |packet| match packet {
            Packet::SubAck(ack) => Some(format!("{:?}", ack.return_codes)),
            _ => None,
        })
        .await
    }

    /// Publishes with QoS 1; returns the broker's reason, as text.
    pub async fn publish(&mut self, topic: &str, body: impl Into<Vec<u8>>, retain: bool) -> String {
        let options = PublishOptions::at_least_once().retain(retain);
        self.client.publish(topic, body.into(), options).await.expect("queue");
        self.until("answer to a publication", |packet| match packet {
            Packet::PubAck(ack) => Some(format!("{:?}", ack.reason)),
            _ => None,
        })
        .await
    }

    /// The next message on a topic that ends so.
    pub async fn message(&mut self, suffix: &str) -> Publish {
        let fits = |publish: &Publish| String::from_utf8_lossy(&publish.topic).ends_with(suffix);
        if let Some(index) = self.inbox.iter().position(fits) {
            return self.inbox.remove(index);
        }
        let what = format!("message on …{suffix}");
        self.until(&what, |packet| match packet {
            Packet::Publish(publish) if fits(publish) => Some(publish.clone()),
            _ => None,
        })
        .await
    }

    /// Every message that has come once the broker has answered a ping.
    pub async fn everything(&mut self, own_topic: &str) -> Vec<String> {
        // The broker handles one connection's packets in order: its answer comes after whatever a
        // subscription made before brought.
        self.publish(own_topic, "true", true).await;
        self.inbox
            .drain(..)
            .map(|publish| String::from_utf8_lossy(&publish.topic).into_owned())
            .collect()
    }

    /// Answers pings until the connection ends; the error as text.
    pub async fn stay(&mut self) -> String {
        loop {
            if let Err(error) = self.events.poll().await {
                return error.to_string();
            }
        }
    }

    /// The connection ends soon.
    pub async fn ended(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.stay()).await.expect("the connection ends")
    }
}

pub fn state(device: &str, version: &str, sequence: u64) -> DeviceState {
    let service = |name: &str| ServiceStatus {
        memory_kib: None,
        name: name.into(),
        state: "ready".into(),
        pid: Some(40 + name.len() as u32),
        restarts: 0,
        last_exit: None,
    };
    DeviceState {
        device: device.into(),
        keys: Default::default(),
        slots: Default::default(),
        policy: Default::default(),
        system: SystemStatus {
            rollback_marks: Default::default(),
            init_memory_kib: None,
            hostname: "barn".into(),
            board: "rpi3".into(),
            version: version.into(),
            sequence,
            floor: 1,
            slot: SlotName::A,
            confirmed: Some(SlotName::A),
            trial: None,
            boot_kind: BootKind::Confirmed,
            boot_reason: BootReason::Cold,
            boot_id: format!("boot-of-{sequence}"),
            uptime_s: 4_211,
            health: Health::Healthy,
            services: ["netd", "timed", "updaterd", "appd"].map(service).to_vec(),
            temperature_mc: Some(51_540),
            warnings: Vec::new(),
        },
        update: UpdateStatus {
            phase: UpdatePhase::Idle,
            version: None,
            sequence: None,
            chunks_done: 0,
            chunks_total: 0,
            bytes_fetched: 0,
            failure: None,
            waiting: None,
        },
        time: 1_700_000_000,
    }
}

pub fn apps() -> Vec<SnapInfo> {
    vec![SnapInfo {
        name: "relay".into(),
        version: "0.3".into(),
        revision: 2,
        summary: "Switches relays by HTTP".into(),
        signed: true,
        size: 1_286_144,
        services: vec![AppServiceStatus {
            name: "relay.server".into(),
            daemon: "simple".into(),
            state: "active".into(),
            pid: Some(212),
            restarts: 1,
            memory: Some(2_400_000),
        }],
        connections: vec!["network-bind".into()],
        disabled: false,
        health: None,
    }]
}

pub fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON")
}
