//! Rotated keys: what the server passes on, signs anew and withdraws; and what it must not do for
//! strangers.

use crate::gateway::{Gateway, https, json, state};
use crate::stage::{Stage, noise};
use fleet::{Config, Server};
use protocol::envelope;
use protocol::fleet::{Assignment, Desired};
use protocol::keychain::KeyChain;
use protocol::keys::{KeySet, PrivateKey};
use std::fs;

fn key(byte: u8) -> PrivateKey {
    PrivateKey::from_seed(&[byte; 32])
}

/// The stage's set with another release and fleet key.
fn successor(release: u8, fleet: u8) -> KeySet {
    let [root, release, fleet, app] = [1, release, fleet, 4].map(|byte| key(byte).public());
    KeySet::simple(2, &root, &release, &fleet, &app)
}

impl Stage {
    fn rotate(&mut self, release: u8, fleet: u8) -> KeySet {
        self.stop();
        let set = successor(release, fleet);
        let envelope = set.sign(&[&key(1)]).expect("sign");
        let dir = self.dir.join("keys");
        fs::write(dir.join("keys.cbor"), &envelope).expect("write");
        let chain = KeyChain::default().extended(&envelope).encode();
        fs::write(dir.join("keys.chain"), chain).expect("write");
        fs::write(dir.join("fleet.key"), key(fleet).to_text()).expect("write");
        self.restart();
        set
    }
}

#[test]
fn a_rotated_set_reaches_every_gateway_and_assignments_are_signed_anew() {
    let mut stage = Stage::new();
    let gateway = Gateway::enroll(&stage.client(), "one");
    let (manifest, payload) = stage.release(2, &noise(5_000));
    let client = stage.client();
    let release = client.upload_release(&manifest, &payload).expect("upload");
    let rollout = client.deploy(&release.digest, &[gateway.id()]).expect("deploy");
    let old = stage.keys.clone();
    let set = stage.rotate(2, 9);
    let client = stage.client();
    let again = Gateway::enroll(&client, "two");
    for gateway in [&gateway, &again] {
        let moved = gateway.moved(stage.running().mqtt_port);
        let body = stage.runtime.block_on(async {
            let mut connection = moved.connect().await;
            connection.subscribe(&moved.topic("keys")).await;
            connection.message("/keys").await.payload
        });
        let chain = KeyChain::decode(&body).expect("a chain");
        assert_eq!(chain.follow(&old).expect("it leads on"), set);
    }
    let moved = gateway.moved(stage.running().mqtt_port);
    let body = stage.runtime.block_on(async {
        let mut connection = moved.connect().await;
        let mut report = state(moved.id(), "1.1.0", 1);
        report.keys.version = 2;
        connection.publish(&moved.topic("state"), json(&report), true).await;
        connection.message("/desired").await.payload
    });
    let desired: Desired = envelope::decode(&body, "desired").expect("CBOR");
    let assignment = Assignment::open(&desired.assignment, &set).expect("the new fleet key");
    assert_eq!(assignment.counter, 2, "no device takes two assignments of one counter");
    let first = client.deployment(rollout.deployment.id).expect("deployment");
    assert_eq!(first.devices[0].step, fleet::rollout::Step::Pending, "the same deployment");
    let seen =
        client.wait_for_device(gateway.id(), "key set 2", crate::gateway::PATIENCE, |device| {
            device.state.as_ref().is_some_and(|state| state.keys.version == 2)
        });
    assert!(seen.is_ok(), "the API shows which key set a device trusts");
}

#[test]
fn what_a_revoked_release_key_signed_is_withdrawn_and_not_deployed_again() {
    let mut stage = Stage::new();
    let gateway = Gateway::enroll(&stage.client(), "one");
    let (manifest, payload) = stage.release(2, &noise(5_000));
    let client = stage.client();
    let release = client.upload_release(&manifest, &payload).expect("upload");
    client.deploy(&release.digest, &[gateway.id()]).expect("deploy");
    stage.rotate(8, 3);
    let client = stage.client();
    let refused = client.deploy(&release.digest, &[gateway.id()]).expect_err("refused");
    assert_eq!(refused.code(), Some("unknown-key"), "{refused}");
    let refused = client.upload_release(&manifest, &payload).expect_err("refused");
    assert_eq!(refused.code(), Some("unknown-key"), "{refused}");
    let events = client.device(gateway.id()).expect("device").events;
    let withdrawn = |event: &fleet::store::Event| event.text.starts_with("assignment withdrawn");
    assert!(events.iter().any(withdrawn), "{events:?}");
}

#[test]
fn a_chain_that_does_not_lead_to_the_set_beside_it_is_named_at_start() {
    let mut stage = Stage::new();
    stage.stop();
    let dir = stage.dir.join("keys");
    let second = successor(2, 3).sign(&[&key(1)]).expect("sign");
    fs::write(dir.join("keys.cbor"), &second).expect("write");
    let start = || {
        let config = Config::local(stage.dir.join("data"), &dir);
        stage.runtime.block_on(Server::start(config)).map(drop).expect_err("refused").to_string()
    };
    let missing = start();
    assert!(missing.contains("keys.chain: missing"), "{missing}");
    let other = successor(7, 3).sign(&[&key(1)]).expect("sign");
    fs::write(dir.join("keys.chain"), KeyChain::default().extended(&other).encode()).expect("w");
    let elsewhere = start();
    assert!(elsewhere.contains("does not end with key set 2"), "{elsewhere}");
}

#[test]
fn a_bulk_action_that_names_another_fleets_gateway_touches_none() {
    let (ours, theirs) = (Stage::new(), Stage::new());
    let (mine, foreign) =
        (Gateway::enroll(&ours.client(), "mine"), Gateway::enroll(&theirs.client(), "foreign"));
    let (manifest, payload) = ours.release(2, &noise(5_000));
    let client = ours.client();
    let release = client.upload_release(&manifest, &payload).expect("upload");
    let refused = client.deploy(&release.digest, &[mine.id(), foreign.id()]).expect_err("refused");
    assert_eq!(refused.code(), Some("not-found"), "{refused}");
    let refused = client.command(foreign.id(), &protocol::fleet::Action::Reboot);
    assert_eq!(refused.expect_err("refused").code(), Some("not-found"));
    assert_eq!(client.revoke(foreign.id()).expect_err("refused").code(), Some("not-found"));
    for (client, id) in [(ours.client(), mine.id()), (theirs.client(), foreign.id())] {
        let device = client.device(id).expect("device").device;
        assert_eq!((device.counter, device.revoked), (0, None), "{id} was not touched");
    }
    // The token of one fleet is worth nothing at the other, and nor is a gateway's certificate.
    let stranger =
        fleet::client::Client::new(&theirs.running().api_url, &ours.running().admin_token);
    let refused = stranger.devices().expect_err("refused");
    assert_eq!(refused.code(), Some("unauthorized"), "{refused}");
}

#[test]
fn an_unsigned_snap_is_not_sent_to_a_gateway() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "one");
    let path = stage.dir.join("evil.snap");
    let mut squashfs = noise(8_192);
    squashfs[..4].copy_from_slice(b"hsqs");
    fs::write(&path, squashfs).expect("write");
    let snap = client.upload_snap(&path).expect("upload");
    assert!(!snap.signed);
    let timeout = crate::gateway::PATIENCE;
    let refused = client.install(gateway.id(), &snap.sha256, true, timeout).expect_err("refused");
    assert_eq!(refused.code(), Some("invalid-request"), "{refused}");
}

#[test]
fn artefact_names_that_climb_give_nothing() {
    let stage = Stage::new();
    for name in [
        "..%2f..%2fadmin.token",
        "%2e%2e%2fca%2fca.key",
        "..",
        "%00",
        "/etc/passwd",
        "x".repeat(64).as_str(),
    ] {
        let url = format!("{}/v1/artifacts/{name}", stage.running().device_url);
        let answer = https(&stage.running().ca_pem).get(&url).call().expect("an answer");
        let status = answer.status().as_u16();
        assert!((400..500).contains(&status), "{name}: {status}");
    }
}
