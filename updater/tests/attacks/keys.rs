//! Attacks with keys: revoked ones, and key sets that nobody entitled has signed.

use crate::device::{Release, command};
use crate::mirror::{Mirror, part};
use crate::scene::{Scene, app_key, fleet_key, key_set, release, root, thief};
use protocol::control::AppRequest;
use protocol::envelope::{MAX_ENVELOPE, sign_as, to_cbor};
use protocol::fleet::{Action, CommandResult, DeviceState, UpdatePhase};
use protocol::keychain::{KeyChain, MAX_SUCCESSORS};
use protocol::keys::{KEYSET_CONTEXT, KeySet, PrivateKey};
use serde_bytes::ByteBuf;
use std::sync::{Arc, Condvar, Mutex};

fn new_fleet_key() -> PrivateKey {
    PrivateKey::from_seed(&[0x44; 32])
}

fn new_release_key() -> PrivateKey {
    PrivateKey::from_seed(&[0x43; 32])
}

/// The set in which release and fleet key are replaced.
fn rotated(version: u64) -> KeySet {
    let [root, release, fleet, app] =
        [root(), new_release_key(), new_fleet_key(), app_key()].map(|key| key.public());
    KeySet::simple(version, &root, &release, &fleet, &app)
}

fn chain(successors: &[Vec<u8>]) -> KeyChain {
    successors.iter().fold(KeyChain::default(), |chain, envelope| chain.extended(envelope))
}

impl Scene {
    fn keys(&self, body: Vec<u8>, satisfies: impl Fn(&DeviceState) -> bool) -> DeviceState {
        let mark = self.server.mark();
        self.server.publish("keys", body, true);
        self.server.expect(mark, "state", "a state after the keys", satisfies)
    }

    fn rotate(&self) {
        let body = chain(&[rotated(2).sign(&[&root()]).unwrap()]).encode();
        self.keys(body, |state| state.keys.version == 2 && state.keys.refused.is_none());
    }

    fn command(&self, id: &str, key: &PrivateKey) -> CommandResult {
        let action = Action::Log { service: "netd".into(), lines: 1 };
        let mark = self.server.mark();
        self.server.publish(&format!("cmd/{id}"), command(id, action, key), false);
        let leaf = format!("cmd/{id}/result");
        self.server.expect(mark, &leaf, "result", |_: &CommandResult| true)
    }
}

#[test]
fn rotated_keys_are_in_force_at_once_and_after_a_restart() {
    let scene = Scene::new("rotated");
    let daemon = scene.start();
    assert!(scene.command("before", &fleet_key()).ok);
    // The server is quicker than the rotation: what the new key signed is refused at first.
    let honest = Release::new(4, 0x22).signed_by(&new_release_key());
    let early = honest.assigned(&new_fleet_key(), |a| a.counter = 3);
    scene.refused("the new key before its set", early, "unknown-key");
    scene.gateway.publish_payload(&honest);
    let mark = scene.server.mark();
    scene.rotate();
    scene.server.expect_state(mark, UpdatePhase::Staged, None);
    drop(daemon);

    let scene = Scene::new("revoked");
    let daemon = scene.start();
    scene.rotate();
    let revoked = |scene: &Scene, counter| {
        let body = release(4).assigned(&fleet_key(), |a| a.counter = counter);
        scene.refused("a revoked fleet key", body, "unknown-key");
        let body = release(4).assigned(&new_fleet_key(), |a| a.counter = counter + 1);
        scene.refused("a revoked release key", body, "unknown-key");
        let result = scene.command(&format!("old-{counter}"), &fleet_key());
        assert_eq!(result.failure.map(|failure| failure.code).as_deref(), Some("unknown-key"));
        assert!(scene.command(&format!("new-{counter}"), &new_fleet_key()).ok);
    };
    revoked(&scene, 1);
    drop(daemon);
    let _daemon = scene.start();
    revoked(&scene, 3);
}

#[test]
fn a_stolen_fleet_key_installs_no_unsigned_snap() {
    let scene = Scene::new("unsigned");
    let _daemon = scene.start();
    scene.gateway.served.files.lock().unwrap().insert("/v1/artifacts/evil".into(), vec![7; 9000]);
    let (url, sha256, dangerous) = ("/v1/artifacts/evil".into(), None, true);
    let path = "/data/system/updater/inbox/x".into();
    for (id, request) in [
        ("url", AppRequest::InstallUrl { url, sha256, dangerous }),
        ("path", AppRequest::Install { path, dangerous }),
    ] {
        let mark = scene.server.mark();
        let body = command(id, Action::App(request), &fleet_key());
        scene.server.publish(&format!("cmd/{id}"), body, false);
        let leaf = format!("cmd/{id}/result");
        let result = scene.server.expect(mark, &leaf, "an answer", |_: &CommandResult| true);
        assert_eq!(result.failure.unwrap().code, "dangerous-refused", "{id}");
    }
    assert!(scene.gateway.appd.installed().is_empty(), "nothing reached appd");
}

#[test]
fn a_revoked_release_key_stops_its_release_while_it_is_written() {
    let scene = Scene::new("stopped");
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (opened, bytes) = (gate.clone(), release(4).payload);
    // The mirror gives the index and holds the chunk back until the keys were rotated.
    let mirror = Mirror::start(move |range| {
        let (opened, honest) = (opened.clone(), part(&bytes, &range));
        let first = range.start == 0;
        Box::new(move |stream| {
            let mut open = opened.0.lock().unwrap();
            while !first && !*open {
                open = opened.1.wait(open).unwrap();
            }
            honest(stream)
        })
    });
    let _daemon = scene.start();
    let body = release(4).assigned(&fleet_key(), |a| a.sources = vec![mirror.url.clone()]);
    scene.server.publish("desired", body, true);
    crate::fleet::wait("the chunk is asked for", || {
        (mirror.requests.lock().unwrap().len() >= 2).then_some(())
    });
    let mark = scene.server.mark();
    let body = chain(&[rotated(2).sign(&[&root()]).unwrap()]).encode();
    scene.server.publish("keys", body, true);
    // The daemon is in the middle of a read: it turns to the keys when that has ended.
    std::thread::sleep(std::time::Duration::from_millis(500));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    scene.server.expect_state(mark, UpdatePhase::Refused, Some("unknown-key"));
    let staged = |r: &protocol::control::InitRequest| {
        matches!(r, protocol::control::InitRequest::StageTrial { .. })
    };
    assert!(!scene.gateway.init.asked(staged));
}

/// What a hostile broker may send as `keys`, and the refusal's name.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let thiefs = |version| {
        let public = thief().public();
        KeySet::simple(version, &public, &public, &public, &public)
    };
    // A set as a thief makes it, whatever `KeySet::sign` would say to it.
    let forged = |set: &KeySet, keys: &[&PrivateKey]| sign_as(set, KEYSET_CONTEXT, keys).unwrap();
    let one = |envelope: Vec<u8>| chain(&[envelope]).encode();
    let mut twice = rotated(2);
    twice.roles.root.threshold = 2;
    twice.roles.root.keys.push(root().id());
    let mut renamed = rotated(2);
    renamed.keys.insert(thief().id(), root().public().to_vec().into());
    let mut two_needed = rotated(2);
    two_needed.roles.root.threshold = 2;
    two_needed.roles.root.keys.push(thief().id());
    two_needed.keys.insert(thief().id(), thief().public().to_vec().into());
    let second = rotated(2).sign(&[&root()]).unwrap();
    let many = vec![ByteBuf::from(second.clone()); MAX_SUCCESSORS + 1];
    vec![
        ("signed by the thief", one(forged(&thiefs(2), &[&thief()])), "unknown-key"),
        (
            "signed by the stolen fleet key",
            one(forged(&rotated(2), &[&fleet_key()])),
            "unknown-key",
        ),
        (
            "by the stolen fleet key and a thief",
            one(forged(&thiefs(2), &[&fleet_key(), &thief()])),
            "unknown-key",
        ),
        (
            "below its own root's threshold",
            one(forged(&two_needed, &[&root()])),
            "threshold-not-met",
        ),
        (
            "one key twice towards a threshold",
            one(forged(&twice, &[&root(), &root()])),
            "bad-key-set",
        ),
        ("one key under two names", one(forged(&renamed, &[&root()])), "bad-key-set"),
        ("a version is skipped", one(rotated(3).sign(&[&root()]).unwrap()), "key-set-version"),
        (
            "the version comes again",
            chain(&[second.clone(), second.clone()]).encode(),
            "key-set-version",
        ),
        ("too many", to_cbor(&many), "malformed-payload"),
        ("too large", one(vec![0xd2; MAX_ENVELOPE + 1]), "envelope-too-large"),
    ]
}

#[test]
fn hostile_key_sets_are_refused_by_name_and_the_old_one_stays() {
    let scene = Scene::new("keysets");
    let _daemon = scene.start();
    for (what, body, code) in hostile() {
        println!("{what}: {code}");
        scene.keys(body, |state| {
            let refused = state.keys.refused.as_ref().map(|failure| failure.code.as_str());
            state.keys.version == 1 && refused == Some(code)
        });
    }
    assert!(scene.command("still", &fleet_key()).ok, "the old keys are in force");
    // Once the set is newer, the broker cannot bring the older one back.
    scene.rotate();
    scene.keys(KeyChain::default().encode(), |state| {
        let refused = state.keys.refused.as_ref().map(|failure| failure.code.as_str());
        state.keys.version == 2 && refused == Some("key-set-version")
    });
}

#[test]
fn a_chain_that_is_damaged_on_the_card_is_ignored_until_the_fleet_mends_it() {
    let scene = Scene::new("damaged");
    let daemon = scene.start();
    scene.rotate();
    drop(daemon);
    scene.gateway.write("data/system/updater/keys.chain", b"rubbish");
    let mark = scene.server.mark();
    scene.server.publish("keys", Vec::new(), true);
    let _daemon = scene.start();
    let is = |version: u64, code: Option<&'static str>| {
        move |state: &DeviceState| {
            let refused = state.keys.refused.as_ref().map(|failure| failure.code.as_str());
            state.keys.version == version && refused == code
        }
    };
    scene.server.expect(mark, "state", "ignored", is(1, Some("malformed-payload")));
    scene.rotate();
}

#[test]
fn a_newer_image_wins_over_an_older_chain_and_may_be_left_again() {
    let scene = Scene::new("newer");
    let daemon = scene.start();
    scene.rotate();
    drop(daemon);
    // The next image has key set 3 baked in, of which the stored chain knows nothing.
    let mut third = key_set();
    third.version = 3;
    let [root_key, release, fleet] = [root(), new_release_key(), thief()].map(|key| key.public());
    let third = KeySet::simple(3, &root_key, &release, &fleet, &app_key().public());
    scene.gateway.write("etc/holdfast/keys.cbor", &third.sign(&[&root()]).unwrap());
    let mark = scene.server.mark();
    let daemon = scene.start();
    let version = |version: u64| move |state: &DeviceState| state.keys.version == version;
    scene.server.expect(mark, "state", "the image's set", version(3));
    assert!(scene.command("third", &thief()).ok, "the key of the third set");
    drop(daemon);
    // Back in the older image: its own set and the chain that belongs to it.
    scene.gateway.write("etc/holdfast/keys.cbor", &key_set().sign(&[&root()]).unwrap());
    let mark = scene.server.mark();
    let _daemon = scene.start();
    scene.server.expect(mark, "state", "the chain's set", version(2));
    assert!(scene.command("second", &new_fleet_key()).ok);
}
