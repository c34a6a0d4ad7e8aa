//! Holds, windows and the bandwidth limit with the real daemon, real broker and HTTPS server.

mod device;
mod fleet;

use device::{Daemon, Gateway, RUNNING, Release, key};
use fleet::Server;
use protocol::calendar::utc_text;
use protocol::control::{
    InitRequest, SlotName, UPDATER_SOCKET, UpdaterRequest, UpdaterResponse, call,
};
use protocol::fleet::{DeviceState, UpdatePhase};
use protocol::policy::{Hold, Party, PolicyChange, Setting, UpdatePolicy, WaitReason};
use std::fs;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

struct Scene {
    gateway: Gateway,
    server: Server,
    _daemon: Daemon,
}

impl Scene {
    /// With these lines at the end of `device.toml`, and a release to be had.
    fn new(name: &str, device_toml: &str) -> Self {
        let gateway = Gateway::new(&format!("waits-{name}"));
        let provisioned = gateway.device_toml() + device_toml;
        gateway.write("data/system/device.toml", provisioned.as_bytes());
        gateway.publish_payload(&Release::new(4, 0x22));
        let server = gateway.server();
        let daemon = gateway.start();
        server.expect(0, "online", "birth", |online: &bool| *online);
        Self { gateway, server, _daemon: daemon }
    }

    fn ask(&self, request: &UpdaterRequest) -> UpdaterResponse {
        let mut stream = UnixStream::connect(self.gateway.at(UPDATER_SOCKET)).unwrap();
        call(&mut stream, request).unwrap()
    }

    fn set(&self, change: PolicyChange) {
        assert_eq!(self.ask(&UpdaterRequest::SetPolicy(change)), UpdaterResponse::Ok);
    }

    /// The fleet assigns a release, with a policy.
    fn assign(&self, release: &Release, counter: u64, policy: &str) {
        let policy: UpdatePolicy = toml::from_str(policy).unwrap();
        let body = release.assigned(&key(), |assignment| {
            (assignment.counter, assignment.policy) = (counter, policy);
        });
        self.server.publish("desired", body, true);
    }

    fn expect_waiting(&self, mark: usize, by: Party, reason: WaitReason) -> DeviceState {
        let what = format!("waiting for {reason:?} of {by:?}");
        let state = self.server.expect(mark, "state", &what, |state: &DeviceState| {
            let waiting = state.update.waiting.as_ref();
            waiting.is_some_and(|waiting| (waiting.by, waiting.reason) == (by, reason))
        });
        assert_eq!(state.update.phase, UpdatePhase::Waiting);
        assert!(!self.staged(), "{what}");
        state
    }

    fn staged(&self) -> bool {
        self.gateway.init.asked(|r| matches!(r, InitRequest::StageTrial { .. }))
    }

    fn fetched(&self) -> usize {
        self.gateway.served.ranges.lock().unwrap().len()
    }
}

/// A window of one minute that was over twelve hours ago and comes back in twelve.
fn closed() -> String {
    let time = utc_text(device::now() + 12 * 3600);
    format!("[window]\nstart = \"{}\"\nminutes = 1\nzone = \"Etc/UTC\"\n", &time[11..16])
}

#[test]
fn a_held_gateway_begins_nothing_until_both_parties_have_let_go() {
    let scene = Scene::new("hold", "");
    scene.set(PolicyChange::Hold(Setting::Is(Hold::Forever)));
    let release = Release::new(4, 0x22);
    let mark = scene.server.mark();
    scene.assign(&release, 1, "hold = \"2100-01-01\"");
    let state = scene.expect_waiting(mark, Party::Device, WaitReason::Hold);
    assert_eq!(state.update.version.as_deref(), Some("4.0.0"));
    assert_eq!(state.policy.device.hold, Some(Hold::Forever));
    assert_eq!(state.policy.fleet.hold, Some(Hold::Until(4_102_444_800)));
    match scene.ask(&UpdaterRequest::Status) {
        UpdaterResponse::Status(status) => {
            assert_eq!(status.update.waiting, state.update.waiting);
            let running = status.slots.of(SlotName::A).map(|held| (held.sequence, held.whole));
            assert_eq!(running, Some((RUNNING, true)));
        }
        other => panic!("{other:?}"),
    }

    let mark = scene.server.mark();
    scene.set(PolicyChange::Hold(Setting::Off));
    let state = scene.expect_waiting(mark, Party::Fleet, WaitReason::Hold);
    assert_eq!(state.update.waiting.and_then(|w| w.until), Some(4_102_444_800));
    assert_eq!(scene.fetched(), 0, "nothing was fetched");

    // An older word of the fleet does not come back, whoever delivers it.
    let mark = scene.server.mark();
    scene.assign(&release, 3, "hold = \"forever\"");
    scene.expect_waiting(mark, Party::Fleet, WaitReason::Hold);
    scene.assign(&release, 2, "");
    let mark = scene.server.mark();
    scene.set(PolicyChange::Bandwidth(Setting::Is(1 << 30)));
    scene.expect_waiting(mark, Party::Fleet, WaitReason::Hold);

    let mark = scene.server.mark();
    scene.assign(&release, 4, "");
    scene.server.expect_state(mark, UpdatePhase::Staged, None);
}

#[test]
fn a_release_is_downloaded_and_waits_for_the_window_and_a_newer_one_takes_its_place() {
    let scene = Scene::new("window", "");
    let mark = scene.server.mark();
    scene.assign(&Release::new(4, 0x22), 1, &closed());
    let state = scene.expect_waiting(mark, Party::Fleet, WaitReason::Window);
    assert!(state.update.waiting.and_then(|w| w.until).is_some_and(|at| at > device::now()));
    let image = Release::new(4, 0x22).image;
    assert!(scene.gateway.slot(SlotName::B).starts_with(&image), "it is there");
    let held = state.slots.of(SlotName::B).map(|held| held.sequence);
    assert_eq!(held, Some(4));

    let newer = Release::new(5, 0x33);
    scene.gateway.publish_payload(&newer);
    let mark = scene.server.mark();
    scene.assign(&newer, 2, &closed());
    let state = scene.server.expect(mark, "state", "5 waits", |state: &DeviceState| {
        state.update.sequence == Some(5) && state.update.phase == UpdatePhase::Waiting
    });
    assert_eq!(state.update.chunks_done, state.update.chunks_total);
    assert!(!scene.staged());

    let mark = scene.server.mark();
    scene.assign(&newer, 3, "");
    scene.server.expect_state(mark, UpdatePhase::Staged, None);
    assert!(scene.gateway.slot(SlotName::B).starts_with(&newer.image));
}

#[test]
fn without_a_time_server_a_window_waits_and_a_hold_by_duration_is_refused() {
    let always = "[updates.window]\nstart = \"00:00\"\nminutes = 1440\ndownload = \"window\"\n";
    let scene = Scene::new("clock", always);
    let synced = scene.gateway.at("run/holdfast/time-synced");
    fs::remove_file(&synced).unwrap();
    let mark = scene.server.mark();
    scene.assign(&Release::new(4, 0x22), 1, "");
    scene.expect_waiting(mark, Party::Device, WaitReason::Clock);
    assert_eq!(scene.fetched(), 0, "a strict window bars downloads, too");
    match scene.ask(&UpdaterRequest::SetPolicy(PolicyChange::HoldFor(3600))) {
        UpdaterResponse::Failed(failure) => assert_eq!(failure.code, "clock-not-set"),
        other => panic!("{other:?}"),
    }
    match scene.ask(&UpdaterRequest::SetPolicy(PolicyChange::Bandwidth(Setting::Is(1)))) {
        UpdaterResponse::Failed(failure) => assert_eq!(failure.code, "bad-policy"),
        other => panic!("{other:?}"),
    }
    fs::write(&synced, b"").unwrap();
    scene.server.expect_state(mark, UpdatePhase::Staged, None);
}

#[test]
fn what_a_person_set_is_still_in_force_after_a_restart_of_the_daemon() {
    let mut scene = Scene::new("restart", "[updates]\nbandwidth = 4096\n");
    scene.set(PolicyChange::HoldFor(3600));
    scene.set(PolicyChange::Bandwidth(Setting::Off));
    let policy = |scene: &Scene| match scene.ask(&UpdaterRequest::Status) {
        UpdaterResponse::Status(status) => status.policy.device,
        other => panic!("{other:?}"),
    };
    let mark = scene.server.mark();
    let next = scene.gateway.start();
    drop(std::mem::replace(&mut scene._daemon, next));
    scene.server.expect(mark, "online", "birth", |online: &bool| *online);
    fleet::wait("the policy", || {
        let policy = policy(&scene);
        (policy.bandwidth.is_none() && policy.hold > Some(Hold::Until(device::now()))).then_some(())
    });
}

#[test]
fn a_download_takes_no_more_than_the_limit() {
    const LIMIT: u64 = 400_000;
    let scene = Scene::new("limit", &format!("[updates]\nbandwidth = {LIMIT}\n"));
    let mark = scene.server.mark();
    let begun = Instant::now();
    scene.assign(&Release::new(4, 0x22), 1, "");
    let state = scene.server.expect_state(mark, UpdatePhase::Staged, None);
    let bytes = state.update.bytes_fetched;
    assert!(bytes > 1_000_000, "{bytes}: a chunk that does not compress");
    // A lower bound: a slow machine only makes it longer. The burst is a quarter of a second.
    let least = Duration::from_millis(bytes * 1000 / LIMIT - 500);
    assert!(begun.elapsed() >= least, "{bytes} bytes in {:?}", begun.elapsed());
}
