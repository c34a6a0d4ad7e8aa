//! When a gateway may update: the fleet's word travels in the signed assignment, is shown, and
//! survives the server.

use crate::browser::Browser;
use crate::gateway::{Connection, Gateway, json, state};
use crate::stage::{Stage, noise};
use fleet::rollout::Step;
use protocol::fleet::{ASSIGNMENT_CONTEXT, Assignment, Desired, UpdatePhase};
use protocol::keys::RoleName;
use protocol::policy::{Hold, Party, UpdatePolicy, WaitReason, Waiting};

fn policy(json: &str) -> UpdatePolicy {
    serde_json::from_str(json).expect(json)
}

/// The next assignment that the gateway is given.
fn assignment(stage: &Stage, connection: &mut Connection) -> Assignment {
    let publish = stage.runtime.block_on(connection.message("/desired"));
    let desired: Desired = protocol::envelope::decode(&publish.payload, "desired").expect("CBOR");
    let role = stage.keys.role(RoleName::Fleet);
    protocol::envelope::open_as(&desired.assignment, ASSIGNMENT_CONTEXT, &role, "assignment")
        .expect("fleet role")
}

#[test]
fn a_policy_is_signed_into_the_assignment_and_every_change_counts_up() {
    let mut stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "one");
    let hold = policy(r#"{"hold": "forever", "bandwidth": 65536}"#);
    // Before anything is deployed it is only kept.
    assert_eq!(client.set_policy(gateway.id(), &hold).expect("set").policy, hold);
    let (manifest, payload) = stage.release(2, &noise(5_000));
    let release = client.upload_release(&manifest, &payload).expect("upload");
    let rollout = client.deploy(&release.digest, &[gateway.id()]).expect("deploy");
    let mut connection = stage.runtime.block_on(gateway.connect());
    let first = assignment(&stage, &mut connection);
    assert_eq!((first.counter, &first.policy), (1, &hold));

    let window = policy(
        r#"{"window": {"days": ["sat"], "start": "02:00", "minutes": 90, "zone": "Asia/Tokyo"}}"#,
    );
    client.set_policy(gateway.id(), &window).expect("set");
    let second = assignment(&stage, &mut connection);
    assert_eq!((second.counter, &second.policy), (2, &window));
    let same = |a: &Assignment| (a.release.clone(), a.sources.clone(), a.expires);
    assert_eq!(same(&second), same(&first), "nothing else changes");
    let rollout = client.deployment(rollout.deployment.id).expect("deployment");
    assert_eq!(rollout.devices[0].step, Step::Pending, "it is the same deployment");

    drop(connection);
    stage.restart();
    let device = stage.client().device(gateway.id()).expect("device").device;
    assert_eq!(device.policy, window, "kept");
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_by_field_and_nothing_is_signed() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "one");
    for (body, why) in [
        (r#"{"hold": "soon"}"#, "neither \"forever\""),
        (r#"{"bandwidth": 1}"#, "at least 1024"),
        (r#"{"windw": null}"#, "windw"),
        (r#"{"window": {"start": "02:00", "minutes": 0}}"#, "not from 1 to 1440"),
        (
            r#"{"window": {"start": "02:00", "minutes": 9, "zone": "Europe/Berlim"}}"#,
            "no time zone",
        ),
    ] {
        let body = serde_json::from_str(body).expect("JSON");
        let error = client.set_policy_json(gateway.id(), &body).expect_err("refused");
        assert_eq!(error.code(), Some("invalid-request"), "{body}: {error}");
        assert!(error.to_string().contains(why), "{body}: {error}");
    }
    let device = client.device(gateway.id()).expect("device").device;
    assert_eq!((device.policy, device.counter), (UpdatePolicy::default(), 0));
}

#[test]
fn the_dashboard_sets_a_hold_and_shows_what_a_gateway_waits_for() {
    let stage = Stage::new();
    let client = stage.client();
    let gateway = Gateway::enroll(&client, "Barn 3");
    let mut connection = stage.runtime.block_on(gateway.connect());
    let mut report = state(gateway.id(), "1.1.0", 1);
    report.update.phase = UpdatePhase::Waiting;
    report.update.version = Some("1.2.0".into());
    report.update.sequence = Some(2);
    let waiting = Waiting { reason: WaitReason::Window, by: Party::Device, until: Some(86_400) };
    report.update.waiting = Some(waiting);
    let topic = gateway.topic("state");
    stage.runtime.block_on(connection.publish(&topic, json(&report), true));

    let mut browser = Browser::start(&stage.dir.join("browser"));
    browser.open(&stage.running().login_url());
    browser.open(&format!("{}/devices/{}", stage.running().api_url, gateway.id()));
    browser.shows("waits for the window of the device, which opens at 1970-01-02T00:00:00Z");
    browser.eval("document.querySelector('form[data-do=policy]').hold.value = 'forever'");
    browser.eval("document.querySelector('form[data-do=policy]').requestSubmit()");
    browser.shows("held until lifted");
    let device = client.device(gateway.id()).expect("device").device;
    assert_eq!(device.policy.hold, Some(Hold::Forever));
    assert_eq!(device.policy.window, None, "what was not filled in is not set");
}
