//! The daemon itself against a real broker and an HTTPS server: enrolment, an update, refusals,
//! commands. init and appd are scripted at their real sockets.

mod device;
mod fleet;

use device::{Gateway, RUNNING, Release};
use fleet::{DEVICE, TOKEN, wait};
use protocol::control::{AppRequest, AppResponse, InitRequest, SlotName};
use protocol::fleet::{Action, CommandResult, UpdatePhase};
use protocol::keys::PrivateKey;

#[test]
fn a_gateway_enrols_updates_and_reports() {
    let gateway = Gateway::new("updates");
    let server = gateway.server();
    let daemon = gateway.start();
    server.expect(0, "online", "birth", |online: &bool| *online);
    let state = server.expect_state(0, UpdatePhase::Idle, None);
    assert_eq!((state.device.as_str(), state.system.sequence), (DEVICE, RUNNING));
    let enrolled = gateway.served.enrolled.lock().unwrap().clone();
    assert_eq!(enrolled.len(), 1);
    assert_eq!(enrolled[0].name, "barn");
    assert!(enrolled[0].csr.contains("BEGIN CERTIFICATE REQUEST"));
    assert!(!gateway.device_toml().contains(TOKEN), "the token is gone");
    gateway.init.expect(|r| matches!(r, InitRequest::Ready));
    gateway
        .init
        .expect(|r| matches!(r, InitRequest::Check { name, ok: true, .. } if name == "fleet"));

    let release = Release::new(4, 0x22);
    let mark = server.mark();
    gateway.publish_payload(&release);
    server.publish("desired", release.desired(1), true);
    server.expect_state(mark, UpdatePhase::Staged, None);
    gateway.init.expect(|r| *r == InitRequest::StageTrial { slot: SlotName::B, attempts: 3 });
    gateway.init.expect(|r| matches!(r, InitRequest::Reboot { .. }));
    assert!(gateway.slot(SlotName::B).starts_with(&release.image), "the slot holds the release");
    assert!(gateway.slot(SlotName::A).starts_with(&Release::new(RUNNING, 0x11).image));
    // Of four chunks one differs; the others are copied from the running slot.
    assert_eq!(gateway.served.ranges.lock().unwrap().len(), 2, "index and one chunk");

    drop(daemon);
    server.expect(mark, "online", "last will", |online: &bool| !*online);
    let mark = server.mark();
    gateway.boot_trial(&release);
    let daemon = gateway.start();
    server.expect_state(mark, UpdatePhase::Trial, None);
    gateway.init.confirm();
    let state = server.expect_state(mark, UpdatePhase::Confirmed, None);
    assert_eq!(state.update.version.as_deref(), Some("4.0.0"));
    assert_eq!(gateway.served.enrolled.lock().unwrap().len(), 1, "enrolled once");
    drop(daemon);
}

#[test]
fn what_is_wrong_is_refused_by_name_and_the_running_slot_stays() {
    let gateway = Gateway::new("refuses");
    let server = gateway.server();
    let _daemon = gateway.start();
    server.expect(0, "online", "birth", |online: &bool| *online);
    let before = gateway.slot(SlotName::A);
    let refused = |body: Vec<u8>, code: &str| {
        let mark = server.mark();
        server.publish("desired", body, true);
        let state = server.expect_state(mark, UpdatePhase::Refused, Some(code));
        assert_eq!(state.system.sequence, RUNNING);
    };
    let release = Release::new(4, 0x22);
    let mut damaged = release.clone();
    *damaged.manifest.last_mut().unwrap() ^= 1;
    refused(damaged.desired(1), "bad-signature");
    let stranger = PrivateKey::from_seed(&[0x77; 32]);
    refused(release.signed_by(&stranger).desired(2), "unknown-key");
    refused(release.changed(|m| m.boards = vec!["rpi4".into()]).desired(3), "wrong-board");
    refused(release.changed(|m| m.product = "toaster".into()).desired(4), "wrong-product");
    refused(Release::new(2, 0x22).desired(5), "sequence-too-low");
    refused(release.desired(5), "assignment-replayed");
    let mut truncated = release.clone();
    truncated.payload.truncate(truncated.payload.len() - 1);
    gateway.publish_payload(&truncated);
    refused(release.desired(6), "payload-truncated");
    assert!(gateway.slot(SlotName::A) == before, "the running slot is untouched");
    assert!(!gateway.init.asked(|r| matches!(r, InitRequest::StageTrial { .. })));

    // The server is repaired: what was truncated is tried again without a word.
    let mark = server.mark();
    gateway.publish_payload(&release);
    server.expect_state(mark, UpdatePhase::Staged, None);
}

#[test]
fn commands_are_checked_executed_once_and_answered() {
    let gateway = Gateway::new("commands");
    let server = gateway.server();
    let _daemon = gateway.start();
    server.expect(0, "online", "birth", |online: &bool| *online);
    let key = device::key();
    let answer = |id: &str, body: Vec<u8>| {
        let mark = server.mark();
        server.publish(&format!("cmd/{id}"), body, false);
        let leaf = format!("cmd/{id}/result");
        server.expect(mark, &leaf, "result", |_: &CommandResult| true)
    };
    let code = |result: CommandResult| result.failure.map(|failure| failure.code);

    let log = Action::Log { service: "netd".into(), lines: 5 };
    let result = answer("log", device::command("log", log.clone(), &key));
    assert_eq!((result.ok, result.output), (true, serde_json::json!(["a line"])));

    let stranger = PrivateKey::from_seed(&[0x77; 32]);
    let forged = device::command("forged", Action::Reboot, &stranger);
    assert_eq!(code(answer("forged", forged)).as_deref(), Some("unknown-key"));
    let elsewhere = device::command("one", Action::Reboot, &key);
    assert_eq!(code(answer("two", elsewhere)).as_deref(), Some("wrong-topic"));
    let old = device::command_until("old", Action::Reboot, &key, 1);
    assert_eq!(code(answer("old", old)).as_deref(), Some("command-expired"));

    let snap = vec![0x73; 70_000];
    gateway.served.files.lock().unwrap().insert("/v1/artifacts/hello".into(), snap.clone());
    let install = |sha256| {
        let url = "/v1/artifacts/hello".into();
        Action::App(AppRequest::InstallUrl { url, sha256: Some(sha256), dangerous: false })
    };
    let bad = answer("bad", device::command("bad", install([0; 32]), &key));
    assert_eq!(code(bad).as_deref(), Some("snap-mismatch"));
    let digest = device::sha256(&snap);
    let result = answer("app", device::command("app", install(digest), &key));
    assert_eq!(result.output, serde_json::to_value(AppResponse::Ok("installed".into())).unwrap());
    assert_eq!(gateway.appd.installed(), vec![snap], "appd was given the whole file");
    assert_eq!(gateway.inbox_files(), 0, "nothing is left behind");

    assert!(!gateway.init.asked(|r| matches!(r, InitRequest::Reboot { .. })));
    let reboot = device::command("again", Action::Reboot, &key);
    assert!(answer("again", reboot.clone()).ok);
    let reboots = || gateway.init.count(|r| matches!(r, InitRequest::Reboot { .. }));
    wait("the reboot", || (reboots() == 1).then_some(()));
    server.publish("cmd/again", reboot, false);
    assert!(answer("after", device::command("after", log, &key)).ok);
    assert_eq!(reboots(), 1, "executed once");
}
