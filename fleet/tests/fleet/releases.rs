//! Releases: what is taken, what is refused, and what a gateway is told.

use crate::gateway::{Gateway, PATIENCE, json, state};
use crate::stage::{Stage, manifest, noise, read};
use fleet::client::Client;
use fleet::rollout::Step;
use protocol::control::{AppRequest, AppResponse, Failure};
use protocol::envelope;
use protocol::fleet::{
    ASSIGNMENT_CONTEXT, Action, Assignment, COMMAND_CONTEXT, Command, CommandResult, Desired,
    UpdatePhase,
};
use protocol::keys::{PrivateKey, RoleName};
use protocol::release::ReleaseManifest;
use sha2::{Digest, Sha256};
use std::fs;

fn code<T: std::fmt::Debug>(result: Result<T, fleet::client::ClientError>) -> String {
    result.expect_err("refused").code().unwrap_or("no code").to_owned()
}

#[test]
fn a_deployed_release_reaches_the_gateway_with_both_signatures() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "one");
    let (manifest, payload) = stage.release(2, &noise(5_000));
    let release = client.upload_release(&manifest, &payload).expect("upload");
    assert!(release.ready);
    let before = fleet::clock::now();
    let rollout = client.deploy(&release.digest, &[gateway.id()]).expect("deploy");
    assert_eq!(rollout.devices[0].step, Step::Pending);

    let publish = stage.runtime.block_on(async {
        let mut connection = gateway.connect().await;
        connection.message("/desired").await
    });
    assert!(publish.retain, "it was published before the gateway came");
    let expiry = publish.properties.and_then(|p| p.message_expiry_interval).expect("an expiry");
    assert!(expiry > 29 * 86_400 && expiry <= 30 * 86_400, "{expiry}");

    let desired: Desired = envelope::decode(&publish.payload, "desired").expect("CBOR");
    let opened = ReleaseManifest::open(&desired.manifest, &stage.keys).expect("release role");
    assert_eq!(opened.sequence, 2);
    let role = stage.keys.role(RoleName::Fleet);
    let assignment: Assignment =
        envelope::open_as(&desired.assignment, ASSIGNMENT_CONTEXT, &role, "assignment")
            .expect("fleet role");
    assert_eq!((assignment.fleet.as_str(), assignment.device.as_str()), ("main", gateway.id()));
    assert_eq!(assignment.counter, 1);
    assert_eq!(assignment.release.as_slice(), Sha256::digest(read(&manifest)).as_slice());
    assert!(assignment.issued >= before);
    assert_eq!(assignment.expires - assignment.issued, 30 * 86_400);
    let source = &assignment.sources[0];
    let url = format!("{}{source}", stage.running().device_url);
    let mut answer = crate::gateway::https(&stage.running().ca_pem).get(url).call().expect("fetch");
    assert_eq!(answer.body_mut().read_to_vec().expect("body"), read(&payload));

    client.deploy_to_all(&release.digest).expect("again");
    let device = client.device(gateway.id()).expect("device").device;
    assert_eq!(device.counter, 2, "the counter grows");
    let first = client.deployment(rollout.deployment.id).expect("first");
    assert_eq!(first.devices[0].step, Step::Superseded);
}

#[test]
fn a_deployment_is_followed_until_it_is_confirmed_or_fell_back() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "one");
    let (manifest, payload) = stage.release(2, &noise(5_000));
    let release = client.upload_release(&manifest, &payload).expect("upload");
    let rollout = client.deploy(&release.digest, &[gateway.id()]).expect("deploy");
    let mut report = state(gateway.id(), "1.1.0", 1);
    report.update.version = Some("1.2.0".into());
    report.update.sequence = Some(2);
    report.update.chunks_total = 80;
    let fallback = Failure { code: "unhealthy".into(), message: "relay: not ready".into() };
    let mut connection = stage.runtime.block_on(gateway.connect());
    for (phase, failure, expected) in [
        (UpdatePhase::Downloading, None, Step::Downloading),
        (UpdatePhase::Staged, None, Step::Staged),
        (UpdatePhase::FellBack, Some(fallback), Step::FellBack),
    ] {
        report.update.phase = phase;
        report.update.failure = failure.clone();
        report.update.chunks_done += 20;
        stage.runtime.block_on(connection.publish(&gateway.topic("state"), json(&report), true));
        let seen = wait_for_step(&client, rollout.deployment.id, expected);
        assert_eq!((seen.chunks_total, seen.failure), (80, failure));
    }
    report.system.sequence = 2;
    report.system.version = "1.2.0".into();
    report.update.phase = UpdatePhase::Confirmed;
    report.update.failure = None;
    stage.runtime.block_on(connection.publish(&gateway.topic("state"), json(&report), true));
    wait_for_step(&client, rollout.deployment.id, Step::Confirmed);
    client.wait_for_rollout(rollout.deployment.id, PATIENCE).expect("ended");
}

fn wait_for_step(client: &Client, id: i64, step: Step) -> fleet::rollout::Progress {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let device = client.deployment(id).expect("deployment").devices.remove(0);
        if device.step == step {
            return device;
        }
        assert!(std::time::Instant::now() < deadline, "{step:?}, not {device:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn what_the_release_role_did_not_sign_is_refused() {
    let stage = Stage::new();
    let client = stage.client();
    let payload = noise(2_000);
    let good = manifest(2, &payload);
    let stranger = PrivateKey::from_seed(&[99; 32]);
    let fleet_key = PrivateKey::from_seed(&[3; 32]);
    let mut flipped = good.sign(&[&stage.release_key]).expect("sign");
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    for (bytes, expected) in [
        (good.sign(&[&stranger]).expect("sign"), "unknown-key"),
        (good.sign(&[&fleet_key]).expect("sign"), "unknown-key"),
        (flipped, "bad-signature"),
        (b"no envelope".to_vec(), "malformed-envelope"),
        (vec![0; 65 * 1024], "too-large"),
    ] {
        let (manifest, file) = stage.files(9, &bytes, &payload);
        assert_eq!(code(client.upload_release(&manifest, &file)), expected);
    }
    assert!(client.releases().expect("releases").is_empty(), "nothing was kept");
}

#[test]
fn a_payload_that_is_not_the_signed_one_is_refused_and_leaves_nothing() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "one");
    let payload = noise(200_000);
    let (manifest, file) = stage.release(2, &payload);
    for (bytes, expected) in [
        (payload[..150_000].to_vec(), "payload-truncated"),
        ([&payload[..], b"x"].concat(), "too-large"),
        ([&payload[1..], b"x"].concat(), "payload-mismatch"),
    ] {
        fs::write(&file, bytes).expect("write");
        assert_eq!(code(client.upload_release(&manifest, &file)), expected);
    }
    let release = client.releases().expect("releases").remove(0);
    assert!(!release.ready);
    assert_eq!(code(client.deploy(&release.digest, &[gateway.id()])), "conflict");
    let left = fs::read_dir(stage.dir.join("data/artifacts")).expect("list").count();
    assert_eq!(left, 0, "files of refused uploads");
    fs::write(&file, payload).expect("write");
    assert!(client.upload_release(&manifest, &file).expect("the right one").ready);
}

#[test]
fn a_release_for_another_board_is_not_deployed() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "pi-3");
    let payload = noise(1_000);
    let mut other = manifest(2, &payload);
    other.boards = vec!["rpi4".into()];
    let bytes = other.sign(&[&stage.release_key]).expect("sign");
    let (manifest, file) = stage.files(2, &bytes, &payload);
    let release = client.upload_release(&manifest, &file).expect("upload");
    assert_eq!(code(client.deploy(&release.digest, &[gateway.id()])), "conflict");
    assert_eq!(code(client.deploy_to_all(&release.digest)), "invalid-request");
    assert_eq!(code(client.deploy(&release.digest, &["nobody"])), "not-found");
}

#[test]
fn an_assignment_survives_a_broker_that_lost_everything() {
    let mut stage = Stage::new();
    let gateway = Gateway::enroll(&stage.client(), "one");
    let (manifest, payload) = stage.release(2, &noise(1_000));
    let client = stage.client();
    let release = client.upload_release(&manifest, &payload).expect("upload");
    client.deploy(&release.digest, &[gateway.id()]).expect("deploy");
    stage.stop();
    fs::remove_file(stage.dir.join("data/broker/mosquitto.db")).expect("the broker's memory");
    stage.restart();
    let mut moved = gateway;
    moved.identity.broker = format!("127.0.0.1:{}", stage.running().mqtt_port);
    stage.runtime.block_on(async {
        let mut connection = moved.connect().await;
        connection.message("/desired").await
    });
}

#[test]
fn a_command_is_signed_and_its_result_comes_back() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "one");
    let mut connection = stage.runtime.block_on(gateway.connect());
    let action = Action::App(AppRequest::Restart("relay".into()));
    let id = client.command(gateway.id(), &action).expect("command");
    stage.runtime.block_on(async {
        let publish = connection.message(&format!("/cmd/{id}")).await;
        let role = stage.keys.role(RoleName::Fleet);
        let command: Command =
            envelope::open_as(&publish.payload, COMMAND_CONTEXT, &role, "command").expect("signed");
        assert_eq!((command.device.as_str(), command.id.as_str()), (gateway.id(), id.as_str()));
        assert_eq!(command.action, action);
        let properties = publish.properties.expect("properties");
        let response = properties.response_topic.expect("response topic");
        assert_eq!(response, gateway.topic(&format!("cmd/{id}/result")));
        let result = CommandResult {
            id: id.clone(),
            ok: true,
            failure: None,
            output: serde_json::to_value(AppResponse::Ok("relay restarted".into())).expect("JSON"),
        };
        connection.publish(&response, json(&result), false).await;
    });
    let result = client.wait_for_command(&id, PATIENCE).expect("result");
    assert!(result.ok);
    assert!(result.output.to_string().contains("relay restarted"));
}

#[test]
fn one_gateway_cannot_answer_for_another() {
    let stage = Stage::new();
    let client = stage.client();
    let (victim, liar) = (Gateway::enroll(&client, "victim"), Gateway::enroll(&client, "liar"));
    let id = client.command(victim.id(), &Action::Reboot).expect("command");
    let lie = CommandResult { id: id.clone(), ok: true, failure: None, output: "done".into() };
    let report = state(victim.id(), "6.6.6", 666);
    stage.runtime.block_on(async {
        let mut connection = liar.connect().await;
        // On its own topics, where the broker lets it write, but about the other.
        connection.publish(&liar.topic(&format!("cmd/{id}/result")), json(&lie), false).await;
        connection.publish(&liar.topic("state"), json(&report), true).await;
    });
    client
        .wait_for_device(liar.id(), "the lie in its history", PATIENCE, |_| {
            let events = client.device(liar.id()).expect("detail").events;
            events.iter().any(|event| event.kind == "error")
        })
        .expect("noted");
    assert!(client.device(victim.id()).expect("victim").device.state.is_none());
    assert!(client.device(victim.id()).expect("victim").commands[0].result.is_none());
}

#[test]
fn snaps_are_kept_with_what_their_signature_says() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "one");
    let mut squashfs = noise(8_192);
    squashfs[..4].copy_from_slice(b"hsqs");
    let claim = protocol::snap::SnapClaim {
        sha256: Sha256::digest(&squashfs).to_vec().into(),
        size: squashfs.len() as u64,
        name: Some("relay".into()),
    };
    let app_key = PrivateKey::from_seed(&[4; 32]);
    let trailer = protocol::snap::trailer(&claim, &[&app_key]).expect("trailer");
    let signed = [&squashfs[..], &trailer].concat();
    let mut damaged = signed.clone();
    damaged[5_000] ^= 1;
    for (bytes, good, says) in [
        (&squashfs, false, "not signed"),
        (&signed, true, "signed by an app key"),
        (&damaged, false, "differs from what was signed"),
    ] {
        let path = stage.dir.join("relay_1.snap");
        fs::write(&path, bytes).expect("write");
        let snap = client.upload_snap(&path).expect("upload");
        assert_eq!(snap.signed, good, "{}", snap.signature);
        assert!(snap.signature.contains(says), "{}", snap.signature);
    }
    let path = stage.dir.join("not.snap");
    fs::write(&path, b"PK\x03\x04 a zip").expect("write");
    assert_eq!(code(client.upload_snap(&path)), "invalid-request");

    let digest = protocol::keys::to_hex(&Sha256::digest(&signed));
    let mut connection = stage.runtime.block_on(gateway.connect());
    let timeout = std::time::Duration::ZERO;
    let waiting = client.install(gateway.id(), &digest, false, timeout);
    assert!(matches!(waiting, Err(fleet::client::ClientError::TimedOut { .. })));
    let id = client.device(gateway.id()).expect("detail").commands[0].id.clone();
    let publish = stage.runtime.block_on(connection.message(&format!("/cmd/{id}")));
    let role = stage.keys.role(RoleName::Fleet);
    let command: Command =
        envelope::open_as(&publish.payload, COMMAND_CONTEXT, &role, "command").expect("signed");
    let Action::App(AppRequest::InstallUrl { url, sha256, dangerous }) = command.action else {
        panic!("{:?}", command.action);
    };
    assert_eq!(url, format!("{}/v1/artifacts/{digest}", stage.running().device_url));
    assert_eq!((sha256, dangerous), (protocol::keys::from_hex(&digest), false));
}
