//! The dashboard in a real browser, beside gateways that really speak.

use crate::browser::Browser;
use crate::gateway::{Gateway, PATIENCE, apps, json, state};
use crate::stage::{Stage, noise};
use protocol::control::{BootReason, Failure, Health, SlotName};
use protocol::envelope;
use protocol::fleet::{Action, COMMAND_CONTEXT, Command, CommandResult, UpdatePhase};
use protocol::keys::RoleName;
use std::path::PathBuf;

/// The page has its stream of news.
const LISTENS: &str = "document.querySelector('.link .dot.on')";

struct Scene {
    /// First, so that it ends before the directory that it writes to is removed.
    browser: Browser,
    stage: Stage,
}

impl Scene {
    fn new() -> Self {
        let stage = Stage::new();
        let mut browser = Browser::start(&stage.dir.join("browser"));
        browser.size(1180, 800, false);
        Self { browser, stage }
    }

    /// Signs in by the link that the server prints.
    fn sign_in(&mut self) {
        let link = self.stage.running().login_url();
        self.browser.open(&link);
        self.browser.until(LISTENS);
    }

    fn open(&mut self, path: &str) {
        let url = format!("{}{path}", self.stage.running().api_url);
        self.browser.open(&url);
        self.browser.until(LISTENS);
    }

    /// Keeps a picture when the environment says where: for people, no test depends on it.
    fn picture(&mut self, name: &str) {
        if let Some(dir) = std::env::var_os("FLEET_PICTURES") {
            self.browser.screenshot(&PathBuf::from(dir).join(name));
        }
    }
}

#[test]
fn an_empty_fleet_says_what_to_do_and_a_gateway_appears_by_itself() {
    let mut scene = Scene::new();
    scene.sign_in();
    scene.browser.shows("No gateway yet");
    scene.picture("empty.png");

    let gateway = Gateway::enroll(&scene.stage.client(), "Barn 3");
    scene.browser.shows("not reported");
    let mut connection = scene.stage.runtime.block_on(gateway.connect());
    scene.browser.shows("1 online");
    let mut report = state(gateway.id(), "1.1.0", 1);
    let topic = gateway.topic("state");
    scene.stage.runtime.block_on(connection.publish(&topic, json(&report), true));
    scene.browser.shows("1.1.0");
    scene.browser.shows("healthy");

    report.system.health = Health::Unhealthy(vec!["appd does not answer".into()]);
    scene.stage.runtime.block_on(connection.publish(&topic, json(&report), true));
    scene.browser.shows("1 needs attention");
    // No page was loaded anew for any of it.
    let loads = scene.browser.eval("performance.getEntriesByType('navigation').length");
    assert_eq!(loads, 1);
    assert!(scene.browser.eval("Number(document.body.dataset.refreshed)").as_u64() >= Some(3));
}

#[test]
fn what_a_gateway_says_is_text_and_never_markup() {
    let mut scene = Scene::new();
    let evil = "<img src=x onerror=document.title=1><script>document.title=1</script>";
    let gateway = Gateway::enroll(&scene.stage.client(), evil.get(..60).expect("name"));
    let mut connection = scene.stage.runtime.block_on(gateway.connect());
    let mut report = state(gateway.id(), evil, 1);
    report.system.hostname = evil.into();
    report.system.board = "\" onmouseover=\"document.title=1".into();
    report.system.warnings = vec![evil.into()];
    report.system.boot_reason = BootReason::Reboot(evil.into());
    report.update.failure = Some(Failure { code: "x".into(), message: evil.into() });
    let mut snaps = apps();
    snaps[0].summary = evil.into();
    snaps[0].name = "a'\"><b>".into();
    scene.stage.runtime.block_on(async {
        connection.publish(&gateway.topic("state"), json(&report), true).await;
        connection.publish(&gateway.topic("apps"), json(&snaps), true).await;
    });
    scene.sign_in();
    for path in ["/", &format!("/devices/{}", gateway.id())] {
        scene.open(path);
        scene.browser.shows(evil);
        assert_eq!(
            scene.browser.eval("document.querySelectorAll('main img, main script, main b').length"),
            0
        );
        assert_ne!(scene.browser.eval("document.title"), "1");
    }
    scene.browser.shows("a'\"><b>");
}

#[test]
fn a_release_is_deployed_from_the_page_and_watched() {
    let mut scene = Scene::new();
    let gateway = Gateway::enroll(&scene.stage.client(), "Barn 3");
    let mut connection = scene.stage.runtime.block_on(gateway.connect());
    let mut report = state(gateway.id(), "1.1.0", 1);
    let topic = gateway.topic("state");
    scene.stage.runtime.block_on(connection.publish(&topic, json(&report), true));
    let (manifest, payload) = scene.stage.release(2, &noise(120_000));

    scene.sign_in();
    scene.open("/releases");
    scene.browser.shows("No release yet");
    scene.browser.choose_file("form[data-do=release] input[name=manifest]", &manifest);
    scene.browser.choose_file("form[data-do=release] input[name=payload]", &payload);
    scene.browser.click("form[data-do=release] button");
    scene.browser.shows("sequence 2, floor 1");
    scene.browser.click("#releases details summary");
    scene.browser.click("#releases input[name=device]");
    scene.browser.click("form[data-do=deploy] button");
    scene.browser.shows("0 of 1 confirmed");
    scene.stage.runtime.block_on(connection.message("/desired"));

    report.update.version = Some("1.2.0".into());
    report.update.sequence = Some(2);
    (report.update.phase, report.update.chunks_total) = (UpdatePhase::Downloading, 64);
    let progress = gateway.topic("progress");
    for done in [8, 24, 40] {
        report.update.chunks_done = done;
        report.update.bytes_fetched = u64::from(done) * 310_000;
        scene.stage.runtime.block_on(connection.publish(&progress, json(&report.update), false));
        scene
            .browser
            .until(&format!("document.querySelector('#deployments progress')?.value === {done}"));
    }
    scene.picture("rollout.png");
    report.update.phase = UpdatePhase::Confirmed;
    report.system.version = "1.2.0".into();
    report.system.sequence = 2;
    (report.system.slot, report.system.confirmed) = (SlotName::B, Some(SlotName::B));
    scene.stage.runtime.block_on(connection.publish(&topic, json(&report), true));
    scene.browser.shows("1 of 1 confirmed");
}

#[test]
fn a_command_given_on_the_page_reaches_the_gateway_and_its_answer_the_page() {
    let mut scene = Scene::new();
    let gateway = Gateway::enroll(&scene.stage.client(), "Barn 3");
    let mut connection = scene.stage.runtime.block_on(gateway.connect());
    scene.stage.runtime.block_on(async {
        let report = state(gateway.id(), "1.1.0", 1);
        connection.publish(&gateway.topic("state"), json(&report), true).await;
        connection.publish(&gateway.topic("apps"), json(&apps()), true).await;
    });
    scene.sign_in();
    scene.open(&format!("/devices/{}", gateway.id()));
    scene.browser.shows("Switches relays by HTTP");
    scene.browser.click("form[data-do=log] button");
    let role = scene.stage.keys.role(RoleName::Fleet);
    scene.stage.runtime.block_on(async {
        let topic = loop {
            let publish = connection.message("").await;
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            if !topic.contains("/cmd/") {
                continue;
            }
            let command: Command =
                envelope::open_as(&publish.payload, COMMAND_CONTEXT, &role, "command")
                    .expect("signed");
            assert_eq!(command.action, Action::Log { service: "netd".into(), lines: 200 });
            break topic;
        };
        let id = topic.rsplit('/').next().expect("id").to_owned();
        let output = serde_json::json!(["eth0: link is up", "eth0: 10.0.2.15/24 from 10.0.2.2"]);
        let result = CommandResult { id, ok: true, failure: None, output };
        connection.publish(&format!("{topic}/result"), json(&result), false).await;
    });
    // The command that was just given opens by itself.
    scene.browser.shows("eth0: 10.0.2.15/24 from 10.0.2.2");
    scene.picture("device.png");
}

#[test]
fn enrolment_is_ready_to_copy() {
    let mut scene = Scene::new();
    scene.sign_in();
    scene.open("/enroll");
    scene.browser.shows("None is open");
    scene.browser.click("form[data-do=token] button");
    scene.browser.until("document.querySelector('#snippet').textContent.includes('[fleet]')");
    scene.browser.shows("good until");
    scene.picture("enroll.png");
    let snippet = scene.browser.eval("document.querySelector('#snippet').textContent");
    let config: protocol::device::DeviceConfig =
        toml::from_str(snippet.as_str().expect("text")).expect("a device.toml");
    let fleet = config.fleet.expect("fleet");
    let key = rcgen::KeyPair::generate().expect("key");
    let body = crate::gateway::request(&fleet.token.expect("token"), "copied", &key);
    assert_eq!(crate::gateway::post_enroll(&fleet.url, &fleet.ca, &body).0, 200);
    scene.browser.shows("used by");
}

#[test]
fn every_page_fits_a_phone_and_nothing_is_blocked() {
    let mut scene = Scene::new();
    let client = scene.stage.client();
    let gateway = populate(&scene.stage);
    client.wait_for_device(&gateway, "report", PATIENCE, |d| d.apps.is_some()).expect("report");
    scene.sign_in();
    for (name, path) in [
        ("devices", "/".to_owned()),
        ("device", format!("/devices/{gateway}")),
        ("releases", "/releases".into()),
        ("enroll", "/enroll".into()),
    ] {
        for (kind, width, phone, dark) in
            [("wide", 1180, false, false), ("dark", 1180, false, true), ("phone", 390, true, false)]
        {
            scene.browser.size(width, 820, phone);
            scene.browser.dark(dark);
            scene.open(&path);
            assert!(!scene.browser.overflows(), "{path} is wider than {width} pixels");
            scene.picture(&format!("{name}-{kind}.png"));
        }
    }
    scene.browser.size(1180, 560, false);
    scene.open("/");
    scene.picture("dashboard.png");
    // Signed out, the page asks for the token again.
    scene.browser.click("form[action='/logout'] button");
    scene.browser.shows("Admin token");
    scene.picture("login.png");
}

/// Several gateways in several states; returns the id of the one that an update runs on.
fn populate(stage: &Stage) -> String {
    let client = stage.client();
    let (manifest, payload) = stage.release(7, &noise(24_400_000));
    let release = client.upload_release(&manifest, &payload).expect("upload");
    let names = ["Barn 3", "Greenhouse north", "Pump house", "Weather mast", "Workshop"];
    let gateways: Vec<Gateway> = names.iter().map(|name| Gateway::enroll(&client, name)).collect();
    let ids: Vec<&str> = gateways.iter().map(Gateway::id).collect();
    client.deploy(&release.digest, &ids[..4]).expect("deploy");
    stage.runtime.block_on(async {
        for (index, gateway) in gateways.iter().enumerate() {
            if index == 4 {
                continue;
            }
            let mut report = state(gateway.id(), "1.6.2", 6);
            report.system.uptime_s = 4_211 * (index as u64 * 37 + 5);
            report.update.version = Some("1.7.0".into());
            report.update.sequence = Some(7);
            (report.update.chunks_done, report.update.chunks_total) = (43, 64);
            report.update.bytes_fetched = 6_310_000;
            match index {
                0 => report.update.phase = UpdatePhase::Downloading,
                1 => {
                    report.update.phase = UpdatePhase::Confirmed;
                    report.system.version = "1.7.0".into();
                    report.system.sequence = 7;
                    (report.system.slot, report.system.confirmed) =
                        (SlotName::B, Some(SlotName::B));
                }
                2 => {
                    report.update.phase = UpdatePhase::FellBack;
                    report.update.failure = Some(Failure {
                        code: "unhealthy".into(),
                        message: "1.7.0 was not healthy within 120 s: appd did not answer".into(),
                    });
                }
                _ => {
                    report.update.phase = UpdatePhase::Trial;
                    report.system.warnings = vec!["data partition is 92 % full".into()];
                }
            }
            let mut connection = gateway.connect().await;
            connection.publish(&gateway.topic("state"), json(&report), true).await;
            connection.publish(&gateway.topic("apps"), json(&apps()), true).await;
            if index < 4 {
                // Stays connected: its last will is never spoken.
                tokio::spawn(async move { connection.stay().await });
            }
        }
    });
    gateways[0].id().to_owned()
}
