//! The MQTT broker: Debian's mosquitto, configured, supervised and spoken to by this server.
//!
//! Invariants:
//! - nobody connects without a certificate of the fleet's CA that is not revoked;
//! - user name and client id are the certificate's common name, so a device can neither name itself
//!   otherwise nor push another off the broker;
//! - a device reads and writes below its own topic level only;
//! - the broker ends with the server, and is ended by its process, never by name.

mod config;
mod link;
mod prctl;
mod supervisor;

pub use config::{BrokerConfig, MAX_PACKET};
pub use link::{Incoming, Leaf, Link, LinkConfig};
pub use supervisor::Supervisor;
