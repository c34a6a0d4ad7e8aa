//! A gateway with a key of its own for each role, and what an attack must not have done to it.

use crate::device::{Daemon, Gateway, RUNNING, Release};
use crate::fleet::Server;
use protocol::control::{InitRequest, SlotName};
use protocol::fleet::{DeviceState, UpdatePhase};
use protocol::keys::{KeySet, PrivateKey};
use protocol::release::CHUNK_SIZE;

/// Where the one chunk lies that differs between releases.
pub const FETCHED: usize = 3 * CHUNK_SIZE as usize;

fn key(byte: u8) -> PrivateKey {
    PrivateKey::from_seed(&[byte; 32])
}

pub fn root() -> PrivateKey {
    key(2)
}

pub fn release_key() -> PrivateKey {
    key(3)
}

pub fn fleet_key() -> PrivateKey {
    key(4)
}

pub fn app_key() -> PrivateKey {
    key(5)
}

/// A key of the attacker's own.
pub fn thief() -> PrivateKey {
    key(0x66)
}

/// Each role with its own key.
pub fn key_set() -> KeySet {
    let [root, release, fleet, app] =
        [root(), release_key(), fleet_key(), app_key()].map(|key| key.public());
    KeySet::simple(1, &root, &release, &fleet, &app)
}

/// A release that the release role signed.
pub fn release(sequence: u64) -> Release {
    Release::new(sequence, 0x22).signed_by(&release_key())
}

pub struct Scene {
    pub gateway: Gateway,
    pub server: Server,
}

impl Scene {
    pub fn new(name: &str) -> Self {
        Self::trusting(name, &key_set(), &[&root()])
    }

    /// With another key set in the image.
    pub fn trusting(name: &str, set: &KeySet, root: &[&PrivateKey]) -> Self {
        let gateway = Gateway::new(&format!("attack-{name}"));
        gateway.write("etc/holdfast/keys.cbor", &set.sign(root).unwrap());
        let server = gateway.server();
        Self { gateway, server }
    }

    /// Starts the daemon; returns once it is connected.
    pub fn start(&self) -> Daemon {
        let mark = self.server.mark();
        let daemon = self.gateway.start();
        self.server.expect(mark, "online", "birth", |online: &bool| *online);
        daemon
    }

    /// The broker delivers `body`; the gateway refuses it by this name and nothing happens.
    pub fn refused(&self, what: &str, body: Vec<u8>, code: &str) -> DeviceState {
        self.ends(what, body, UpdatePhase::Refused, code)
    }

    /// As [`Scene::refused`], for what is tried again later.
    pub fn ends(&self, what: &str, body: Vec<u8>, phase: UpdatePhase, code: &str) -> DeviceState {
        println!("{what}: {code}");
        let mark = self.server.mark();
        self.server.publish("desired", body, true);
        let state = self.server.expect_state(mark, phase, Some(code));
        assert_eq!(state.system.sequence, RUNNING, "{what}");
        self.untouched(what);
        state
    }

    /// The running slot is as it was, the other has nothing of the attacker's, nothing is staged.
    pub fn untouched(&self, what: &str) {
        let running = self.gateway.slot(SlotName::A);
        assert!(running.starts_with(&Release::new(RUNNING, 0x11).image), "{what}: running slot");
        let other = self.gateway.slot(SlotName::B);
        assert!(other[FETCHED..].iter().all(|byte| *byte == 0xee), "{what}: other slot");
        let staged = self.gateway.init.asked(|r| matches!(r, InitRequest::StageTrial { .. }));
        assert!(!staged, "{what}: staged");
    }

    /// After the attacks an honest release is still installed.
    pub fn recovers(&self, counter: u64) {
        let honest = release(20);
        self.gateway.publish_payload(&honest);
        let mark = self.server.mark();
        self.server.publish(
            "desired",
            honest.assigned(&fleet_key(), |a| a.counter = counter),
            true,
        );
        self.server.expect_state(mark, UpdatePhase::Staged, None);
        assert!(self.gateway.slot(SlotName::B).starts_with(&honest.image));
    }
}
