//! One gateway below a directory: `updaterd` itself, files that stand for the slots, and init and
//! appd scripted at their sockets.

#![allow(dead_code, reason = "each test program uses a part")]

use crate::fleet::{Authority, DEVICE, FLEET, Mosquitto, Served, Server, TOKEN};
use crate::fleet::{free_port, serve_https, wait};
use protocol::control::{
    APP_SOCKET, AppRequest, AppResponse, BootKind, BootReason, BootRecord, Health, INIT_SOCKET,
    InitRequest, InitResponse, RollbackMarks, SlotName, SystemStatus, read_frame, write_frame,
};
use protocol::fleet::{Action, Assignment, Command as FleetCommand, Desired};
use protocol::keys::{KeySet, PrivateKey};
use protocol::payload;
use protocol::release::{BuildInfo, CHUNK_SIZE, ReleaseManifest};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Sequence of the release that the gateway runs at first.
pub const RUNNING: u64 = 3;
const CHUNK: usize = CHUNK_SIZE as usize;
const IMAGE_CHUNKS: usize = 4;
const SLOT_CHUNKS: usize = 6;
const SIGNATURE: u32 = 0x484f_4c44;

pub fn key() -> PrivateKey {
    PrivateKey::from_seed(&[1; 32])
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn build(sequence: u64) -> BuildInfo {
    BuildInfo {
        product: "holdfast".into(),
        board: "rpi3".into(),
        version: format!("{sequence}.0.0"),
        sequence,
        floor: 1,
        build_time: 1,
        health_timeout_s: 60,
        fleet_required: true,
        checks: Vec::new(),
    }
}

/// A signed release with its payload.
#[derive(Clone)]
pub struct Release {
    pub image: Vec<u8>,
    pub manifest: Vec<u8>,
    pub payload: Vec<u8>,
    plain: ReleaseManifest,
}

impl Release {
    /// All releases share three chunks; the last one is filled with `filler`.
    pub fn new(sequence: u64, filler: u8) -> Self {
        let mut image: Vec<u8> = [1, 2, 3, filler].iter().flat_map(|b| vec![*b; CHUNK]).collect();
        // Something that does not compress to nothing.
        let mut state = u64::from(filler);
        for byte in &mut image[(IMAGE_CHUNKS - 1) * CHUNK..] {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *byte = (state >> 56) as u8;
        }
        let payload = payload::encode(&image, 1).unwrap();
        let digest = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
        let BuildInfo { product, board, version, .. } = build(sequence);
        let plain = ReleaseManifest {
            product,
            boards: vec![board],
            version,
            sequence,
            floor: 1,
            created: 1,
            image_size: image.len() as u64,
            image_digest: digest(&image).into(),
            chunk_digests: image.chunks(CHUNK).flat_map(digest).collect::<Vec<_>>().into(),
            payload_digest: digest(&payload).into(),
            payload_size: payload.len() as u64,
            trial_attempts: 3,
            health_timeout_s: 60,
            fleet_required: true,
            notes: String::new(),
        };
        Self { image, manifest: Vec::new(), payload, plain }.signed_by(&key())
    }

    pub fn signed_by(&self, key: &PrivateKey) -> Self {
        self.signed_by_all(&[key])
    }

    pub fn signed_by_all(&self, keys: &[&PrivateKey]) -> Self {
        let context = protocol::release::CONTEXT;
        let manifest = protocol::envelope::sign_as(&self.plain, context, keys).unwrap();
        Self { manifest, ..self.clone() }
    }

    pub fn changed(&self, change: impl FnOnce(&mut ReleaseManifest)) -> Self {
        let mut changed = self.clone();
        change(&mut changed.plain);
        changed.signed_by(&key())
    }

    pub fn desired(&self, counter: u64) -> Vec<u8> {
        self.assigned(&key(), |assignment| assignment.counter = counter)
    }

    /// The body of `desired` with a changed assignment, signed by `fleet`.
    pub fn assigned(&self, fleet: &PrivateKey, change: impl FnOnce(&mut Assignment)) -> Vec<u8> {
        let mut assignment = Assignment {
            fleet: FLEET.into(),
            device: DEVICE.into(),
            counter: 1,
            issued: now(),
            expires: now() + 600,
            release: Sha256::digest(&self.manifest).to_vec().into(),
            sources: vec!["/payload".into()],
            policy: Default::default(),
        };
        change(&mut assignment);
        let context = protocol::fleet::ASSIGNMENT_CONTEXT;
        let assignment = protocol::envelope::sign_as(&assignment, context, &[fleet]).unwrap();
        protocol::envelope::to_cbor(&Desired {
            assignment: assignment.into(),
            manifest: self.manifest.clone().into(),
        })
    }
}

pub fn command(id: &str, action: Action, key: &PrivateKey) -> Vec<u8> {
    command_until(id, action, key, now() + 600)
}

pub fn command_until(id: &str, action: Action, key: &PrivateKey, expires: u64) -> Vec<u8> {
    let (device, id) = (DEVICE.into(), id.into());
    FleetCommand { device, id, expires, action }.sign(&[key]).unwrap()
}

/// init at its socket: answers by a status that the test sets, and remembers what it was asked.
#[derive(Clone)]
pub struct ScriptedInit(Arc<Mutex<Script>>);

/// Status that is answered, boots that are answered, requests that came.
type Script = (SystemStatus, Vec<BootRecord>, Vec<InitRequest>);

impl ScriptedInit {
    fn serve(path: &Path) -> Self {
        let BuildInfo { board, version, sequence, .. } = build(RUNNING);
        let status = SystemStatus {
            rollback_marks: Default::default(),
            init_memory_kib: None,
            hostname: "barn".into(),
            board,
            version,
            sequence,
            floor: 1,
            slot: SlotName::A,
            confirmed: Some(SlotName::A),
            trial: None,
            boot_kind: BootKind::Confirmed,
            boot_reason: BootReason::Cold,
            boot_id: "boot-1".into(),
            uptime_s: 1,
            health: Health::Healthy,
            services: Vec::new(),
            temperature_mc: None,
            warnings: Vec::new(),
        };
        let init = Self(Arc::new(Mutex::new((status, Vec::new(), Vec::new()))));
        let shared = init.clone();
        serve(path, move |request: InitRequest| shared.answer(request));
        init
    }

    fn answer(&self, request: InitRequest) -> InitResponse {
        let mut inner = self.0.lock().unwrap();
        let response = match &request {
            InitRequest::Status => return InitResponse::Status(Box::new(inner.0.clone())),
            InitRequest::Boots => InitResponse::Boots(inner.1.clone()),
            InitRequest::Log { .. } => InitResponse::Log(vec!["a line".into()]),
            InitRequest::StageTrial { slot, .. } => {
                inner.0.trial = Some(*slot);
                InitResponse::Ok
            }
            _ => InitResponse::Ok,
        };
        inner.2.push(request);
        response
    }

    pub fn count(&self, matches: impl Fn(&InitRequest) -> bool) -> usize {
        self.0.lock().unwrap().2.iter().filter(|request| matches(request)).count()
    }

    pub fn asked(&self, matches: impl Fn(&InitRequest) -> bool) -> bool {
        self.count(matches) > 0
    }

    pub fn expect(&self, matches: impl Fn(&InitRequest) -> bool) {
        wait("a request to init", || self.asked(&matches).then_some(()));
    }

    pub fn confirm(&self) {
        let mut inner = self.0.lock().unwrap();
        (inner.0.confirmed, inner.0.trial) = (Some(inner.0.slot), None);
    }
}

/// appd at its socket: keeps what it is given to install.
#[derive(Clone, Default)]
pub struct ScriptedAppd(Arc<Mutex<Vec<Vec<u8>>>>);

impl ScriptedAppd {
    fn serve(path: &Path) -> Self {
        let appd = Self::default();
        let shared = appd.clone();
        serve(path, move |request: AppRequest| match request {
            AppRequest::List => AppResponse::Snaps(Vec::new()),
            AppRequest::Install { path, .. } => {
                shared.0.lock().unwrap().push(fs::read(path).unwrap());
                AppResponse::Ok("installed".into())
            }
            _ => AppResponse::Ok(String::new()),
        });
        appd
    }

    pub fn installed(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}

fn serve<Q, R>(path: &Path, answer: impl Fn(Q) -> R + Clone + Send + 'static)
where
    Q: serde::de::DeserializeOwned,
    R: serde::Serialize,
{
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let stream: &mut UnixStream = &mut stream;
                while let Ok(request) = read_frame(stream) {
                    if write_frame(stream, &answer(request)).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

pub struct Gateway {
    root: PathBuf,
    authority: Arc<Authority>,
    broker_port: u16,
    _broker: Mosquitto,
    pub served: Arc<Served>,
    pub init: ScriptedInit,
    pub appd: ScriptedAppd,
}

/// The daemon; killed, as by a power cut, when dropped.
pub struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Gateway {
    pub fn new(name: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = std::env::temp_dir().join(format!("hf-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let authority = Arc::new(Authority::new());
        let broker_port = free_port();
        let broker = Mosquitto::start(&root.join("broker"), &authority, broker_port);
        let (https, served) = serve_https(authority.clone(), broker_port);
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        let gateway = Self {
            init: ScriptedInit::serve(&at(INIT_SOCKET)),
            appd: ScriptedAppd::serve(&at(APP_SOCKET)),
            root,
            authority,
            broker_port,
            _broker: broker,
            served,
        };
        gateway.write_card();
        gateway.write("run/holdfast/time-synced", b"");
        let public = key().public();
        let keys = KeySet::simple(1, &public, &public, &public, &public);
        gateway.write("etc/holdfast/keys.cbor", &keys.sign(&[&key()]).unwrap());
        let config = format!(
            "name = \"barn\"\n[fleet]\nurl = \"https://localhost:{https}\"\ntoken = \"{TOKEN}\"\n\
             ca = '''\n{}'''\n",
            gateway.authority.certificate
        );
        gateway.write("data/system/device.toml", config.as_bytes());
        gateway.boots(&build(RUNNING), SlotName::A);
        gateway
    }

    /// A path of the device.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What the environment remembers against rollbacks.
    pub fn remember(&self, marks: RollbackMarks) {
        self.init.0.lock().unwrap().0.rollback_marks = marks;
    }

    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A disk with two slots as the kernel shows it in sysfs and devfs.
    fn write_card(&self) {
        // The other disk's partition must not be taken. Neither disk as a whole can be opened.
        let class = self.root.join("sys/class/block");
        fs::create_dir_all(&class).unwrap();
        for (disk, partition, number) in
            [("sda", "sda3", 3), ("mmcblk0", "mmcblk0p2", 2), ("mmcblk0", "mmcblk0p3", 3)]
        {
            let place = format!("sys/devices/{disk}/{partition}");
            let sectors = SLOT_CHUNKS * CHUNK / 512;
            self.write(&format!("{place}/partition"), format!("{number}\n").as_bytes());
            self.write(&format!("{place}/size"), format!("{sectors}\n").as_bytes());
            symlink(self.root.join(place), class.join(partition)).unwrap();
        }
        let mut running = Release::new(RUNNING, 0x11).image;
        running.resize(SLOT_CHUNKS * CHUNK, 0);
        self.write("dev/mmcblk0p2", &running);
        self.write("dev/mmcblk0p3", &vec![0xee; SLOT_CHUNKS * CHUNK]);
    }

    fn boots(&self, build: &BuildInfo, slot: SlotName) {
        self.write("etc/holdfast/release.json", &serde_json::to_vec(build).unwrap());
        let (letter, number) = if slot == SlotName::A { ("a", 2) } else { ("b", 3) };
        for partition in [2, 3] {
            let holders = format!("sys/devices/mmcblk0/mmcblk0p{partition}/holders");
            let _ = fs::remove_dir_all(self.at(&holders));
            fs::create_dir_all(self.at(&holders)).unwrap();
            if partition == number {
                self.write(&format!("{holders}/dm-0"), b"");
            }
        }
        let first = CHUNK / 512;
        let sectors = IMAGE_CHUNKS * CHUNK / 512 - first;
        let line = format!(
            "ro dm-mod.create=\"slot,,0,ro,0 {sectors} linear \
             PARTUUID={SIGNATURE:08x}-{number:02} {first}\" holdfast.slot={letter}\n"
        );
        self.write("proc/cmdline", line.as_bytes());
    }

    /// What the boot loader does with a staged release.
    pub fn boot_trial(&self, release: &Release) {
        let build = build(release.plain.sequence);
        self.boots(&build, SlotName::B);
        let mut inner = self.init.0.lock().unwrap();
        let status = &mut inner.0;
        (status.version, status.sequence) = (build.version, build.sequence);
        (status.slot, status.boot_kind) = (SlotName::B, BootKind::Trial);
        status.boot_id = "boot-2".into();
    }

    pub fn start(&self) -> Daemon {
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_updaterd"));
        Daemon(daemon.arg("--root").arg(&self.root).spawn().unwrap())
    }

    pub fn server(&self) -> Server {
        Server::connect(&self.authority, self.broker_port)
    }

    pub fn publish_payload(&self, release: &Release) {
        self.served.files.lock().unwrap().insert("/payload".into(), release.payload.clone());
    }

    pub fn slot(&self, slot: SlotName) -> Vec<u8> {
        let name = if slot == SlotName::A { "mmcblk0p2" } else { "mmcblk0p3" };
        fs::read(self.root.join("dev").join(name)).unwrap()
    }

    pub fn device_toml(&self) -> String {
        fs::read_to_string(self.root.join("data/system/device.toml")).unwrap()
    }

    pub fn inbox_files(&self) -> usize {
        fs::read_dir(self.root.join("data/system/updater/inbox")).unwrap().count()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
