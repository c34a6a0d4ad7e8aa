//! A whole server on free ports with keys of its own, gone again with the value.

use fleet::client::Client;
use fleet::{Config, Running, Server};
use protocol::keys::{KeySet, PrivateKey};
use protocol::release::{CHUNK_SIZE, ReleaseManifest};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

pub struct Stage {
    pub dir: PathBuf,
    pub running: Option<Running>,
    pub runtime: tokio::runtime::Runtime,
    pub release_key: PrivateKey,
    pub keys: KeySet,
}

impl Stage {
    pub fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("fleet-{}-{number}", std::process::id()));
        let keys_dir = dir.join("keys");
        fs::create_dir_all(&keys_dir).expect("key directory");
        let [root, release, fleet, app] =
            [1, 2, 3, 4].map(|seed| PrivateKey::from_seed(&[seed; 32]));
        let keys =
            KeySet::simple(1, &root.public(), &release.public(), &fleet.public(), &app.public());
        fs::write(keys_dir.join("keys.cbor"), keys.sign(&[&root]).expect("key set"))
            .expect("write");
        fs::write(keys_dir.join("fleet.key"), fleet.to_text()).expect("write");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("runtime");
        let running = runtime
            .block_on(Server::start(Config::local(dir.join("data"), &keys_dir)))
            .expect("server starts");
        Self { dir, running: Some(running), runtime, release_key: release, keys }
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("server runs")
    }

    pub fn client(&self) -> Client {
        Client::new(&self.running().api_url, &self.running().admin_token)
    }

    /// Stops the server and starts it again on the same data; the ports change.
    pub fn restart(&mut self) {
        self.stop();
        let config = Config::local(self.dir.join("data"), self.dir.join("keys"));
        self.running = Some(self.runtime.block_on(Server::start(config)).expect("starts again"));
    }

    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }

    /// A signed release for board `rpi3` whose payload are `payload`'s bytes; returns the paths.
    pub fn release(&self, sequence: u64, payload: &[u8]) -> (PathBuf, PathBuf) {
        let manifest = manifest(sequence, payload).sign(&[&self.release_key]).expect("sign");
        self.files(sequence, &manifest, payload)
    }

    pub fn files(&self, sequence: u64, manifest: &[u8], payload: &[u8]) -> (PathBuf, PathBuf) {
        let paths = (
            self.dir.join(format!("r{sequence}.manifest")),
            self.dir.join(format!("r{sequence}.payload")),
        );
        fs::write(&paths.0, manifest).expect("write manifest");
        fs::write(&paths.1, payload).expect("write payload");
        paths
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub fn manifest(sequence: u64, payload: &[u8]) -> ReleaseManifest {
    let image = vec![sequence as u8; CHUNK_SIZE as usize];
    let digest = |bytes: &[u8]| ByteBuf::from(Sha256::digest(bytes).to_vec());
    ReleaseManifest {
        product: "holdfast".into(),
        boards: vec!["rpi3".into()],
        version: format!("1.{sequence}.0"),
        sequence,
        floor: 1,
        created: 1_700_000_000,
        image_size: u64::from(CHUNK_SIZE),
        image_digest: digest(&image),
        chunk_digests: digest(&image),
        payload_digest: digest(payload),
        payload_size: payload.len() as u64,
        trial_attempts: 2,
        health_timeout_s: 120,
        fleet_required: true,
        notes: "Faster boots; fixes the relay on channel 3.".into(),
    }
}

/// Bytes that look like nothing else.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("read")
}
