//! The MQTT session of a daemon that was restarted: an empty one.
//!
//! The broker keeps commands for a device that is away; to receive them the session must be
//! resumed, and a client that has lost its half may not. Ours may be lost: everything the daemon
//! publishes is a report that is made anew after connecting, with QoS 0 or 1, for which the broker
//! keeps no state that could contradict. So nothing is written to the card for each message.

use rumqttc::{
    PersistedAckMode, PersistedSession, SessionStore, SessionStoreError, SessionStoreKey,
};
use std::future::{Future, ready};
use std::pin::Pin;

/// Version of the client's session model that is filled in below.
const FORMAT_VERSION: u16 = 1;

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// Says that there is a session, with nothing under way.
#[derive(Debug)]
pub struct EmptySession {
    /// Seconds that the broker keeps its half.
    pub expiry_s: u32,
    /// Publications that may wait for their acknowledgement; must be what the options say.
    pub in_flight: u16,
}

impl SessionStore for EmptySession {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Answer<'a, Option<PersistedSession>> {
        Box::pin(ready(Ok(Some(PersistedSession {
            format_version: FORMAT_VERSION,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(self.expiry_s),
            outgoing_inflight_upper_limit: Some(self.in_flight),
            ack_mode: PersistedAckMode::Automatic,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        }))))
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Answer<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Answer<'a, ()> {
        Box::pin(ready(Ok(())))
    }
}
