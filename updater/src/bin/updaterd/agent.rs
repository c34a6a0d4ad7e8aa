//! MQTT: one task polls the connection, one decides what a message means and what is published.
//!
//! Invariants: nothing here blocks; the broker is not trusted (what it delivers is opened with the
//! key set, elsewhere); a lost connection is tried again for ever, with pauses.

use crate::backoff::Backoff;
use crate::commands::{Arrived, Commands};
use crate::desk::{Desk, Errand};
use crate::failure;
use crate::identity::{Identity, Site};
use crate::session::EmptySession;
use crate::worker::{Board, Order};
use protocol::control::Failure;
use protocol::envelope::MAX_ENVELOPE;
use protocol::fleet::topic;
use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, IncomingPacketSizeLimit, LastWill, MqttOptions,
    Publish, PublishOptions, QoS, SubscribeFilterInput, TlsConfiguration, Transport,
};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval};

/// Seconds between signs of life; a dead connection is noticed after one and a half of it.
const KEEP_ALIVE_S: u16 = 30;
/// The broker keeps commands that arrive meanwhile for this long, in seconds.
const SESSION_EXPIRY_S: u32 = 7 * 24 * 3600;
/// Requests that wait for the connection; further ones are dropped, the next report follows.
const QUEUE: usize = 64;
/// Publications with QoS 1 that wait for their acknowledgement. The client keeps a table of them:
/// without a limit it has 65,536 places, 15 MiB of memory.
const IN_FLIGHT: u16 = 32;
/// Two envelopes and their wrapping; nothing larger is meant for a device.
const MAX_INCOMING: u32 = 2 * MAX_ENVELOPE as u32 + 4096;
/// TCP and TLS together; a slow board behind a slow line needs seconds for the handshake.
const CONNECT: Duration = Duration::from_secs(30);
/// Pauses between attempts to connect.
const CONNECT_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often init is asked whether something changed, and the state published even if not.
const LOOK: Duration = Duration::from_secs(3);
const REPORT: Duration = Duration::from_secs(60);
const APPS: Duration = Duration::from_secs(30);
/// Least time between two reports of progress.
const PROGRESS: Duration = Duration::from_secs(1);

/// What other threads want published.
pub enum Out {
    /// The update's phase changed.
    Changed,
    /// A chunk more.
    Progress,
    /// appd did something.
    AppsChanged,
    /// A body for a leaf of this device.
    Publish {
        /// Below the device.
        leaf: String,
        /// The message.
        body: Vec<u8>,
        /// Whether the broker keeps it.
        retain: bool,
    },
}

enum Link {
    Up,
    Down(String),
    Message(Publish),
}

/// Connects and serves for ever.
pub fn run(
    site: Site,
    identity: Identity,
    board: Board,
    worker: mpsc::Sender<Order>,
    out: UnboundedSender<Out>,
    mut published: UnboundedReceiver<Out>,
) -> Result<(), Failure> {
    let (errands, errand_inbox) = mpsc::channel();
    let desk = Desk::new(site.clone(), identity.clone(), board.clone(), out.clone());
    thread::spawn(move || desk.run(&errand_inbox));
    let (commands, command_inbox) = mpsc::channel();
    let executor = Commands::new(site, identity.clone(), worker.clone(), out);
    thread::spawn(move || executor.run(&command_inbox));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| failure("runtime", e))?;
    runtime.block_on(async move {
        let client = AsyncClient::builder(options(&identity)).capacity(QUEUE).try_build();
        let (client, connection) = client.map_err(|e| failure("mqtt", e))?;
        let (link, mut events) = unbounded_channel();
        tokio::spawn(poll(connection, link));
        let mut agent = Agent { identity, board, worker, errands, commands, client, up: false };
        let mut look = every(LOOK);
        let mut report = every(REPORT);
        let mut apps = every(APPS);
        let mut progress = every(PROGRESS);
        let mut moved = false;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => agent.on_link(event),
                    None => return Err(failure("mqtt", "the connection's task has ended")),
                },
                wish = published.recv() => match wish {
                    Some(Out::Progress) => moved = true,
                    Some(wish) => agent.on_wish(wish),
                    None => return Err(failure("agent", "the other threads have ended")),
                },
                _ = progress.tick(), if moved => {
                    moved = false;
                    agent.progress();
                }
                _ = look.tick(), if agent.up => agent.errand(Errand::State { always: false }),
                _ = report.tick(), if agent.up => agent.errand(Errand::State { always: true }),
                _ = apps.tick(), if agent.up => agent.errand(Errand::Apps { always: false }),
            }
        }
    })
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn options(identity: &Identity) -> MqttOptions {
    let (host, port) = identity.broker.clone();
    let mut options = MqttOptions::new(&identity.device, (host, port));
    let online = topic(&identity.fleet, &identity.device, "online");
    options
        .set_keep_alive(KEEP_ALIVE_S)
        .set_connect_timeout(CONNECT)
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_EXPIRY_S))
        .set_session_store(EmptySession { expiry_s: SESSION_EXPIRY_S, in_flight: IN_FLIGHT })
        .set_outgoing_inflight_upper_limit(IN_FLIGHT)
        .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(MAX_INCOMING))
        .set_last_will(LastWill::new(online, "false", QoS::AtLeastOnce, true, None))
        .set_transport(Transport::tls_with_config(TlsConfiguration::Simple {
            ca: identity.ca.clone().into_bytes(),
            alpn: None,
            client_auth: Some((
                identity.certificate.clone().into_bytes(),
                identity.key.clone().into_bytes(),
            )),
        }));
    options
}

async fn poll(mut connection: EventLoop, link: UnboundedSender<Link>) {
    let mut backoff = Backoff::new(CONNECT_PAUSE.0, CONNECT_PAUSE.1);
    loop {
        let event = match connection.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                backoff.reset();
                Link::Up
            }
            Ok(Event::Incoming(Incoming::Publish(message))) => Link::Message(message),
            Ok(_) => continue,
            Err(error) => Link::Down(error.to_string()),
        };
        let down = matches!(event, Link::Down(_));
        if link.send(event).is_err() {
            return;
        }
        if down {
            tokio::time::sleep(backoff.next()).await;
        }
    }
}

struct Agent {
    identity: Identity,
    board: Board,
    worker: mpsc::Sender<Order>,
    errands: mpsc::Sender<Errand>,
    commands: mpsc::Sender<Arrived>,
    client: AsyncClient,
    up: bool,
}

impl Agent {
    fn topic(&self, leaf: &str) -> String {
        topic(&self.identity.fleet, &self.identity.device, leaf)
    }

    fn errand(&self, errand: Errand) {
        let _ = self.errands.send(errand);
    }

    fn publish(&self, leaf: &str, body: Vec<u8>, options: PublishOptions) {
        if let Err(error) = self.client.try_publish(self.topic(leaf), body, options) {
            eprintln!("{leaf} is not published: {error}");
        }
    }

    fn on_link(&mut self, event: Link) {
        match event {
            Link::Up => {
                println!(
                    "holdfast: MQTT connected to {}:{}",
                    self.identity.broker.0, self.identity.broker.1
                );
                self.up = true;
                let filter = |leaf| SubscribeFilterInput::new(self.topic(leaf), QoS::AtLeastOnce);
                // In this order: what the new keys signed must find them in force.
                let filters = [filter("keys"), filter("desired"), filter("cmd/+")];
                if let Err(error) = self.client.try_subscribe_many(filters) {
                    eprintln!("subscribe: {error}");
                }
                self.publish(
                    "online",
                    b"true".to_vec(),
                    PublishOptions::at_least_once().retained(),
                );
                self.errand(Errand::Connected(true, "connected to the broker".into()));
                self.errand(Errand::State { always: true });
                self.errand(Errand::Apps { always: true });
            }
            Link::Down(why) => {
                eprintln!("not connected to {}: {why}", self.identity.broker.0);
                self.up = false;
                self.errand(Errand::Connected(false, why));
            }
            Link::Message(message) => self.on_message(&message),
        }
    }

    fn on_message(&self, message: &Publish) {
        let prefix = self.topic("");
        let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
        let Some(leaf) = topic.strip_prefix(&prefix) else { return };
        let body = message.payload.to_vec();
        if body.is_empty() {
            // A cleared retained message asks for nothing.
            return;
        }
        if leaf == "desired" {
            let _ = self.worker.send(Order::Desired(body));
        } else if leaf == "keys" {
            let _ = self.worker.send(Order::Keys(body));
        } else if let Some(id) = leaf.strip_prefix("cmd/") {
            let _ = self.commands.send(Arrived { id: id.into(), body });
        }
    }

    fn on_wish(&self, wish: Out) {
        match wish {
            // Connecting reports everything.
            Out::Changed if !self.up => {}
            Out::Changed => {
                self.progress();
                self.errand(Errand::State { always: true });
            }
            Out::Progress => {}
            Out::AppsChanged => self.errand(Errand::Apps { always: false }),
            Out::Publish { leaf, body, retain } => {
                let options = PublishOptions::at_least_once().retain(retain);
                self.publish(&leaf, body, options);
            }
        }
    }

    fn progress(&self) {
        if let Ok(body) = serde_json::to_vec(&self.board.status().update)
            && self.up
        {
            self.publish("progress", body, PublishOptions::at_most_once());
        }
    }
}
