//! `cargo run -p fuzz --example seeds`: writes the seeds of every corpus, `corpus/TARGET/seed-*`.
//! They are messages as the product makes them, the same on every run.

use bootloader_config::environment::Environment;
use bootloader_config::layout::ENV_SIZE;
use bootloader_config::rollback::Marks;
use bootloader_config::slots::{Slot, SlotState};
use fuzz::image::entry;
use fuzz::signed::{key, keys};
use fuzz::update::PREFIX;
use protocol::checks::Check;
use protocol::control::*;
use protocol::envelope::to_cbor;
use protocol::fleet::*;
use protocol::keychain::KeyChain;
use protocol::keys::KeySet;
use protocol::payload::{self, Index, Kind, compress_chunk};
use protocol::policy::{Hold, PolicyState, UpdatePolicy};
use protocol::release::{BuildInfo, CHUNK_SIZE, ReleaseManifest};
use protocol::snap::{ALIGN, SnapClaim, trailer};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// First byte of a message that is signed by the target; of one that comes as it is.
const SIGNED: &[u8] = &[1];
const AS_IT_IS: &[u8] = &[0];

fn main() {
    signed();
    update();
    image();
    text();
    wire();
}

/// Seed number `at` of a target.
fn seed(target: &str, at: usize, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("the corpus");
    fs::write(folder.join(format!("seed-{at}")), bytes).expect("a seed");
}

fn seeds<'a>(target: &str, all: impl IntoIterator<Item = &'a [u8]>) {
    all.into_iter().enumerate().for_each(|(at, bytes)| seed(target, at, bytes));
}

fn signed() {
    let manifest = ReleaseManifest {
        product: "holdfast".into(),
        boards: vec!["rpi3".into()],
        version: "2.0.0".into(),
        sequence: 2,
        floor: 1,
        created: 1_800_000_000,
        image_size: 2 * u64::from(CHUNK_SIZE),
        image_digest: digest(1),
        chunk_digests: vec![2; 64].into(),
        payload_digest: digest(3),
        payload_size: 123_456,
        trial_attempts: 3,
        health_timeout_s: 300,
        fleet_required: true,
        notes: "notes".into(),
    };
    let envelope = manifest.sign(&[key()]).expect("a manifest");
    let both = [[AS_IT_IS, &envelope].concat(), [SIGNED, &to_cbor(&manifest)].concat()];
    seeds("release_manifest", both.iter().map(Vec::as_slice));

    let mut next = keys().clone();
    next.version += 1;
    let next_signed = next.sign(&[key()]).expect("a set");
    let chain = KeyChain::default().extended(&next_signed).encode();
    let set: Vec<u8> = to_cbor::<KeySet>(keys());
    let (set, next) = ([SIGNED, &set].concat(), [AS_IT_IS, &next_signed].concat());
    seeds("key_set", [chain.as_slice(), &set, &next]);

    let assignment = Assignment {
        fleet: "home".into(),
        device: "gw-1".into(),
        counter: 1,
        issued: 1_800_000_000,
        expires: 1_800_086_400,
        release: digest(4),
        sources: vec!["/v1/artifacts/x".into(), "https://mirror.example/x".into()],
        policy: policy(),
    };
    let desired = Desired {
        assignment: assignment.sign(&[key()]).expect("an assignment").into(),
        manifest: envelope.into(),
    };
    seeds("assignment", [&to_cbor(&desired)[..], &[SIGNED, &to_cbor(&assignment)].concat()]);

    commands();
    snap_file();
}

fn digest(byte: u8) -> serde_bytes::ByteBuf {
    serde_bytes::ByteBuf::from(vec![byte; 32])
}

fn commands() {
    let actions = [
        Action::Reboot,
        Action::Rollback,
        Action::RetryUpdate,
        Action::App(install_url()),
        Action::Log { service: "updaterd".into(), lines: 20 },
    ];
    for (at, action) in actions.into_iter().enumerate() {
        let (device, id) = ("gw-1".into(), format!("c-{at}"));
        let command = Command { device, id, expires: 1_800_000_000, action };
        seed("command", at, &[SIGNED, &to_cbor(&command)].concat());
    }
}

fn snap_file() {
    let mut snap = b"hsqs".to_vec();
    snap.extend([&[0; 8][..], &(128_u32 << 10).to_le_bytes(), &[0; 4], &[6, 0], &[0; 6]].concat());
    snap.extend([4, 0, 0, 0]);
    snap.resize(40, 0);
    snap.extend(ALIGN.to_le_bytes());
    let header = snap.clone();
    snap.resize(ALIGN as usize, 0);
    let claim = SnapClaim { sha256: digest(5), size: ALIGN, name: Some("hello".into()) };
    snap.extend(trailer(&claim, &[key()]).expect("a trailer"));
    seeds("snap_file", [&header[..], &snap]);
}

fn install_url() -> AppRequest {
    let url = "https://mirror.example/hello.snap".into();
    AppRequest::InstallUrl { url, sha256: Some([9; 32]), dangerous: false }
}

fn update() {
    let chunk = vec![7; CHUNK_SIZE as usize];
    let coded = compress_chunk(&chunk, 3).expect("a chunk");
    let delta = Index::new(Kind::Delta, vec![10, 0, 30]).expect("an index").encode();
    let whole = payload::container(Kind::Whole, &[coded.clone(), coded.clone()]).expect("one");
    let index = &whole[..Index::len_for(2)];
    seeds("payload", [index, &delta, &coded]);

    // Copy 9, patch 300, insert 5, seek 100, twice; the same as operations to encode.
    let control = [9, 0xac, 2, 5, 0xc8, 1, 9, 0xac, 2, 5, 0xc8, 1];
    let patched = 600_u32.to_le_bytes();
    let operations = [1, 0, 0, 16, 9, 0, 3, 200, 7, 0, 1, 0, 0, 5];
    let bodies = [
        [&[0, protocol::delta::PATCH][..], &coded].concat(),
        [&[1, 12, 0, 0, 0][..], &patched, &control].concat(),
        [&[2][..], &patched, &control].concat(),
        [&[3][..], &operations].concat(),
    ];
    seeds("delta", bodies.iter().map(Vec::as_slice));

    let mut environment = Environment::fresh().0;
    let stored = |environment: &Environment| {
        environment.iter().flat_map(|entry| [entry, b"\0"].concat()).collect::<Vec<u8>>()
    };
    let fresh = stored(&environment);
    let trial = SlotState::FRESH.stage_trial(Slot::B, 3).expect("a trial");
    trial.write(&mut environment).expect("room");
    Marks::read(&environment).raised(7, 3).write(&mut environment).expect("room");
    let mut trial = stored(&environment);
    trial.resize(trial.len().max(fresh.len()), 0);
    let mut fresh = fresh;
    fresh.resize(trial.len(), 0);
    for (at, mode) in [3, 1, 2, 4 | 3].into_iter().enumerate() {
        assert_eq!(PREFIX, 3);
        seed("environment", at, &[&[mode, 255, 0][..], &fresh, &trial].concat());
    }
    // As full as a copy can be, and one byte less.
    for (at, room) in [5_usize, 6, 7].into_iter().enumerate() {
        let full = vec![b'x'; ENV_SIZE - room];
        seed("environment", 4 + at, &[&[3, 1, 2][..], &full, &full].concat());
    }
}

fn image() {
    let run = br#"{"Entrypoint": ["/bin/main", "-a"], "Cmd": ["b c"], "Env": ["A=b"],
        "User": "app:5", "WorkingDir": "/srv", "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/state": {}}, "StopSignal": "SIGUSR1",
        "Labels": {"org.opencontainers.image.version": "1.2",
        "org.opencontainers.image.title": "t", "org.opencontainers.image.description": "d"}}"#;
    let lower = [
        entry("bin/main", b"#!"),
        entry("bin/b(c", b"#!"),
        entry("etc/passwd", b"app:x:1234:5::/:/bin/sh\n"),
        entry("srv/gone", b"x"),
    ]
    .concat();
    let upper = [entry("srv/.wh.gone", b""), entry("state/seed", b"seeded\n")].concat();
    let packed = |run: &[u8]| {
        let length = (run.len() as u16).to_le_bytes();
        let blocks = [(lower.len() / 512) as u8];
        [SIGNED, &length, &blocks, run, &lower, &upper].concat()
    };
    // Programs and volumes that a snap cannot have.
    let odd = br#"{"Entrypoint": ["/bin/b(c"]}"#;
    let over = br#"{"Entrypoint": ["/bin/main"], "Volumes": {"/": {}, "/dev": {}, "/snap/a": {}}}"#;
    let layout = [
        entry("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#),
        entry("index.json", br#"{"schemaVersion": 2, "manifests": []}"#),
    ]
    .concat();
    let archive = [AS_IT_IS, &layout].concat();
    let all = [packed(run), archive, packed(odd), packed(over)];
    seeds("image", all.iter().map(Vec::as_slice));
}

fn text() {
    let whole = "name = \"gw\"\n[fleet]\nurl = \"https://fleet.example:8443\"\ntoken = \"t\"\n\
                 ca = \"-----BEGIN CERTIFICATE-----\"\nrequired = false\n[network]\n\
                 interface = \"eth0\"\naddress = \"192.168.1.10/24\"\ngateway = \"192.168.1.1\"\n\
                 dns = [\"9.9.9.9\"]\n[time]\nservers = [\"ntp.example:123\"]\n[console]\n\
                 enabled = true\n";
    let wrong = "name = \"\u{e9}\"\n# \u{1f41f}\n[flet]\nurl = 1\n";
    seeds("device_toml", [whole.as_bytes(), wrong.as_bytes(), b""]);

    let hello = include_bytes!("../../apps/hello/snap/meta/snap.yaml");
    let more = "name: more\nversion: '1'\nsummary: s\ntype: app\nbase: bare\n\
                architectures: [all]\nconfinement: strict\ngrade: devel\n\
                environment: {A: b}\nplugs:\n  net: {interface: network}\n  gpio:\n\
                apps:\n  one: {command: bin/x -a, daemon: simple, restart-condition: always,\n\
                restart-delay: 1m30s, stop-timeout: 5s, plugs: [net]}\n\
                \x20 two: &two {command: bin/y, daemon: oneshot}\n  three: *two\n";
    seeds("snap_yaml", [&hello[..], more.as_bytes()]);

    let json = |message: &dyn erased::Message| message.json();
    let state = DeviceState {
        device: "gw-1".into(),
        system: status(),
        update: update_status(),
        slots: slots(),
        policy: PolicyState { device: UpdatePolicy::default(), fleet: policy(), zone: None },
        keys: KeysState { version: 1, refused: Some(failure()) },
        time: 1_800_000_000,
    };
    let result = CommandResult {
        id: "c-1".into(),
        ok: false,
        failure: Some(failure()),
        output: serde_json::json!({"lines": ["a", 1, 1.5, null]}),
    };
    let build = BuildInfo {
        product: "holdfast".into(),
        board: "rpi3".into(),
        version: "2.0.0".into(),
        sequence: 2,
        floor: 1,
        build_time: 1_800_000_000,
        health_timeout_s: 300,
        fleet_required: true,
        checks: vec![Check::Service("netd".into()), Check::App("hello".into()), Check::Fleet(60)],
    };
    let request = EnrollRequest {
        token: "t".into(),
        name: "gw".into(),
        board: "rpi3".into(),
        serial: Some("0123".into()),
        csr: "-----BEGIN CERTIFICATE REQUEST-----".into(),
    };
    let messages: [&dyn erased::Message; 6] =
        [&state, &update_status(), &vec![snap()], &result, &build, &request];
    messages.iter().enumerate().for_each(|(at, m)| seed("device_messages", at, &json(*m)));
}

/// So that messages of several kinds stand in one list.
mod erased {
    pub trait Message {
        fn json(&self) -> Vec<u8>;
    }

    impl<T: serde::Serialize> Message for T {
        fn json(&self) -> Vec<u8> {
            serde_json::to_vec(self).expect("wire types encode")
        }
    }
}

fn failure() -> Failure {
    Failure { code: "expired".into(), message: "expired at 2027-01-15T08:00:00Z".into() }
}

fn update_status() -> UpdateStatus {
    UpdateStatus {
        phase: UpdatePhase::Downloading,
        version: Some("2.0.0".into()),
        sequence: Some(2),
        chunks_done: 3,
        chunks_total: 25,
        bytes_fetched: 345_678,
        failure: Some(failure()),
        waiting: None,
    }
}

fn policy() -> UpdatePolicy {
    let hold = Some(Hold::Until(1_800_086_400));
    UpdatePolicy { hold, bandwidth: Some(65_536), ..UpdatePolicy::default() }
}

fn slots() -> SlotContents {
    let content =
        |version: &str, sequence, whole| SlotContent { version: version.into(), sequence, whole };
    SlotContents { a: Some(content("1.0.0", 1, true)), b: Some(content("2.0.0", 2, false)) }
}

fn status() -> SystemStatus {
    let service = ServiceStatus {
        name: "appd".into(),
        state: "ready".into(),
        pid: Some(87),
        restarts: 1,
        last_exit: Some("code 1".into()),
        memory_kib: Some(1234),
    };
    SystemStatus {
        hostname: "gw".into(),
        board: "rpi3".into(),
        version: "1.0.0".into(),
        sequence: 1,
        floor: 1,
        slot: SlotName::A,
        confirmed: Some(SlotName::A),
        trial: Some(SlotName::B),
        rollback_marks: RollbackMarks { sequence: Some(1), floor: Some(1), unreadable: false },
        boot_kind: BootKind::Trial,
        boot_reason: BootReason::Panic("Kernel panic - not syncing".into()),
        boot_id: "4ba4f2f4-0c0e-4b1b-9d5a-4d4e1a6a7a0e".into(),
        uptime_s: 12,
        health: Health::Starting(vec!["fleet".into()]),
        services: vec![service],
        init_memory_kib: None,
        temperature_mc: Some(47_774),
        warnings: vec!["device.toml line 3: unknown field".into()],
    }
}

fn snap() -> SnapInfo {
    let service = AppServiceStatus {
        name: "hello.hello".into(),
        daemon: "simple".into(),
        state: "active".into(),
        pid: Some(99),
        restarts: 0,
        memory: Some(4096),
    };
    SnapInfo {
        name: "hello".into(),
        version: "1".into(),
        revision: 2,
        summary: "says hello".into(),
        signed: true,
        size: 16_384,
        services: vec![service],
        connections: vec!["network".into()],
        disabled: false,
        health: None,
    }
}

fn frame(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, message).expect("a frame");
    bytes
}

fn wire() {
    let check = InitRequest::Check { name: "fleet".into(), ok: true, detail: "connected".into() };
    let frames = [
        frame(&check),
        frame(&InitRequest::StageTrial { slot: SlotName::B, attempts: 3 }),
        frame(&InitResponse::Status(Box::new(status()))),
        frame(&UpdaterRequest::Retry),
        frame(&UpdaterResponse::Status(Box::new(UpdaterStatus {
            update: update_status(),
            slots: slots(),
            policy: PolicyState::default(),
        }))),
        frame(&install_url()),
        frame(&AppResponse::Snaps(vec![snap()])),
        frame(&AppResponse::Failed(failure())),
    ];
    seeds("control", frames.iter().map(Vec::as_slice));

    let mut lease = vec![0; 236];
    lease[..3].copy_from_slice(&[2, 1, 6]);
    lease[16..20].copy_from_slice(&[10, 0, 2, 15]);
    lease.extend([99, 130, 83, 99, 53, 1, 5, 54, 4, 10, 0, 2, 2, 1, 4, 255, 255, 255, 0]);
    lease.extend([3, 4, 10, 0, 2, 2, 6, 8, 10, 0, 2, 3, 9, 9, 9, 9, 51, 4, 0, 1, 81, 128, 255]);
    let mut time = init::time::sntp::question(0x0123_4567_89ab_cdef);
    time.copy_within(40.., 24);
    time[..2].copy_from_slice(&[0x24, 2]);
    time[32] = 0xee;
    time[40] = 0xee;
    let mut superblock = vec![0; init::ext4::LENGTH];
    superblock[4] = 64;
    superblock[0x38..0x3b].copy_from_slice(&[0x53, 0xef, 1]);
    superblock[0x78..0x7c].copy_from_slice(b"data");
    seeds("datagrams", [&lease[..], &time, &superblock]);

    let [fat16, fat32, exfat] = sticks();
    seeds("medium", [&fat16[..], &fat32, &exfat]);
}

/// The first sectors of sticks: the boot sector, a table of clusters where there is one, a root
/// directory with a label in it.
fn sticks() -> [Vec<u8>; 3] {
    let signed = |sectors: usize| {
        let mut stick = vec![0; sectors * 512];
        stick[510..512].copy_from_slice(&[0x55, 0xaa]);
        stick
    };
    let label = |stick: &mut [u8], at: usize| {
        stick[at..at + 12].copy_from_slice(b"A FILE  TXT\x20");
        stick[at + 32..at + 44].copy_from_slice(b"STICK      \x08");
    };
    let mut fat16 = signed(3);
    // Bytes of a sector, sectors of a cluster, reserved sectors, tables, entries of the root.
    fat16[11..19].copy_from_slice(&[0, 2, 1, 1, 0, 1, 16, 0]);
    fat16[22] = 1;
    fat16[43..62].copy_from_slice(b"NO NAME    FAT16   ");
    label(&mut fat16, 1024);
    let mut fat32 = signed(4);
    fat32[11..17].copy_from_slice(&[0, 2, 1, 1, 0, 1]);
    (fat32[36], fat32[44]) = (1, 2);
    fat32[71..90].copy_from_slice(b"NO NAME    FAT32   ");
    // Cluster 2, then 3, which is the last.
    fat32[520..528].copy_from_slice(&[3, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f]);
    fat32[1024..1536].fill(0xe5);
    label(&mut fat32, 1536);
    let mut exfat = signed(3);
    exfat[3..11].copy_from_slice(b"EXFAT   ");
    // Table and heap in sectors, the root's cluster, both shifts.
    (exfat[80], exfat[88], exfat[96], exfat[108]) = (1, 2, 2, 9);
    exfat[520..524].fill(0xff);
    exfat[1024..1036].copy_from_slice(b"\x83\x05S\0t\0i\0c\0k\0");
    [fat16, fat32, exfat]
}
