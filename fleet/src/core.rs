//! The server's parts in one place, and the operations that touch several of them.

use crate::artifacts::{Artifacts, sha256_hex};
use crate::broker::{Link, Supervisor};
use crate::ca::Ca;
use crate::clock::{now, random_hex};
use crate::config::Config;
use crate::deltas::{Deltas, Pair, Standing};
use crate::error::Error;
use crate::feed::{Feed, News};
use crate::signer::Signer;
use crate::store::{Deployment, Release, Store};
use protocol::delta::build_name;
use protocol::fleet::{Action, Assignment, Command};
use protocol::keys::to_hex;
use protocol::policy::UpdatePolicy;
use serde_bytes::ByteBuf;
use std::sync::{Mutex, PoisonError};

/// Seconds that an assignment is followed unless told otherwise: 30 days.
pub const ASSIGNMENT_TTL_S: u64 = 30 * 86_400;
/// Longest an assignment may be good for: a year.
pub const MAX_ASSIGNMENT_TTL_S: u64 = 365 * 86_400;
/// Seconds that a command is followed: one to a gateway that is away for long is better given anew.
pub const COMMAND_TTL_S: u64 = 600;
/// Largest manifest in bytes.
pub const MAX_MANIFEST: u64 = protocol::envelope::MAX_ENVELOPE as u64;
/// Largest snap in bytes.
pub const MAX_SNAP: u64 = 512 << 20;

/// Everything that handlers share.
pub struct Fleet {
    /// What the server was started with; ports filled in.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The certificate authority.
    pub ca: Ca,
    /// The online key.
    pub signer: Signer,
    /// Payloads and snaps.
    pub artifacts: Artifacts,
    /// Changes between releases.
    pub deltas: Deltas,
    /// News for listeners.
    pub feed: Feed,
    /// Connection to the broker.
    pub link: Link,
    /// The broker's process; `None` once stopped.
    pub broker: Mutex<Option<Supervisor>>,
    /// SHA-256 of the admin token.
    pub admin_hash: String,
    /// Port of the devices' HTTPS listener.
    pub device_port: u16,
    /// Port of the broker.
    pub mqtt_port: u16,
}

impl Fleet {
    /// Address that a device reaches the HTTPS listener by, for one of the server's names.
    pub fn device_url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.device_port)
    }

    /// `host`, when devices may reach the server by it; else the first configured name.
    pub fn known_host<'a>(&'a self, host: Option<&'a str>) -> &'a str {
        let hosts = &self.config.hosts;
        host.filter(|host| hosts.iter().any(|known| known == host))
            .or(hosts.first().map(String::as_str))
            .unwrap_or("127.0.0.1")
    }

    /// Adds to a device's history and tells listeners.
    pub fn note(&self, device: &str, kind: &str, text: &str) {
        if let Err(error) = self.store.add_event(device, now(), kind, text) {
            eprintln!("fleet: {error}");
        }
        self.feed.tell(News::Device { id: device.to_owned() });
    }

    /// Writes the audit log.
    pub fn audit(&self, actor: &str, action: &str, detail: &str) {
        if let Err(error) = self.store.audit(now(), actor, action, detail) {
            eprintln!("fleet: {error}");
        }
    }

    /// Verifies and stores a manifest.
    pub fn add_release(&self, manifest: &[u8]) -> Result<Release, Error> {
        let signed = self.signer.open_manifest(manifest)?;
        let digest = sha256_hex(manifest);
        let payload_digest = to_hex(&signed.payload_digest);
        let release = Release {
            digest: digest.clone(),
            version: signed.version,
            sequence: signed.sequence,
            floor: signed.floor,
            boards: signed.boards,
            ready: self.artifacts.find(&payload_digest).is_some(),
            payload_digest,
            payload_size: signed.payload_size,
            notes: signed.notes,
            uploaded: now(),
        };
        self.store.add_release(&release, manifest)?;
        self.audit("admin", "upload release", &format!("{} {digest}", release.version));
        self.feed.tell(News::Releases);
        self.store.release(&digest)
    }

    /// Assigns a release to devices.
    pub fn deploy(&self, digest: &str, devices: &[String], ttl: u64) -> Result<Deployment, Error> {
        let release = self.store.release(digest)?;
        if !release.ready {
            return Err(Error::Conflict(format!(
                "the payload of release {} has not been uploaded",
                release.version
            )));
        }
        if devices.is_empty() {
            return Err(Error::invalid("devices", "no device to deploy to"));
        }
        if !(1..=MAX_ASSIGNMENT_TTL_S).contains(&ttl) {
            return Err(Error::invalid("ttl", "must be 1 second to 365 days"));
        }
        for id in devices {
            let device = self.store.device(id)?;
            if device.revoked.is_some() {
                return Err(Error::Conflict(format!("device {id} is revoked")));
            }
            let board = device.state.map_or(device.board, |state| state.system.board);
            if !release.boards.contains(&board) {
                return Err(Error::Conflict(format!(
                    "release {} is for {}, device {id} is a {board}",
                    release.version,
                    release.boards.join(", ")
                )));
            }
        }
        let manifest = self.store.manifest(digest)?;
        // Its key may have been revoked since it was uploaded: no device would follow it.
        self.signer.open_manifest(&manifest)?;
        let issued = now();
        let deployment = self.store.add_deployment(digest, issued, issued + ttl)?;
        for id in devices {
            self.assign(&deployment, &release, &manifest, id)?;
        }
        if let Err(error) = self.begin_deltas(digest, devices) {
            // Devices then fetch whole chunks, or ask for it themselves.
            eprintln!("fleet: begin deltas to {}: {error}", release.version);
        }
        self.audit("admin", "deploy", &format!("{} to {}", release.version, devices.join(" ")));
        self.feed.tell(News::Deployments);
        Ok(deployment)
    }

    fn assign(
        &self,
        deployment: &Deployment,
        release: &Release,
        manifest: &[u8],
        device: &str,
    ) -> Result<(), Error> {
        let counter = self.store.next_counter(device)?;
        let digest: [u8; 32] = protocol::keys::from_hex(&release.digest)
            .ok_or_else(|| Error::Internal(format!("release id {:?}", release.digest)))?;
        let assignment = Assignment {
            fleet: self.config.fleet.clone(),
            device: device.to_owned(),
            counter,
            issued: deployment.created,
            expires: deployment.expires,
            release: ByteBuf::from(digest.to_vec()),
            sources: vec![format!("/v1/artifacts/{}", release.payload_digest)],
            policy: self.store.device(device)?.policy,
        };
        let body = self.signer.desired(&assignment, manifest)?;
        self.store.set_desired(device, &body, deployment.expires)?;
        self.store.add_to_deployment(deployment.id, device, counter)?;
        let ttl = deployment.expires - deployment.created;
        self.link.publish(device, "desired", body, true, ttl, None)?;
        self.note(device, "deploy", &format!("assigned {} (#{counter})", release.version));
        Ok(())
    }

    /// What devices will ask for begins to be made before they do.
    fn begin_deltas(&self, digest: &str, devices: &[String]) -> Result<(), Error> {
        for id in devices {
            if let Some(state) = self.store.device(id)?.state {
                let system = state.system;
                let build = build_name(&system.board, &system.version, system.sequence);
                self.delta(&build, digest)?;
            }
        }
        Ok(())
    }

    /// The delta from what a device runs (see [`build_name`]) to a release. It is made only to a
    /// release that was deployed, so that a stranger cannot have every pair made.
    pub fn delta(&self, build: &str, to: &str) -> Result<Standing, Error> {
        let to = self.store.release(to)?;
        if !self.store.is_deployed(&to.digest)? {
            return Ok(Standing::None);
        }
        let releases = self.store.releases()?;
        let runs = releases
            .iter()
            .filter(|from| from.digest != to.digest && from.is_build(build))
            .max_by_key(|from| from.uploaded);
        let payload = |release: &Release| self.artifacts.find(&release.payload_digest);
        let Some((from, old)) = runs.and_then(|from| Some((from, payload(from)?))) else {
            return Ok(Standing::None);
        };
        let Some(new) = payload(&to) else { return Ok(Standing::None) };
        let pair = Pair { from: from.digest.clone(), to: to.digest };
        Ok(self.deltas.ask(&pair, &old, &new))
    }

    /// Publishes key sets and assignments again: the broker may have lost what it had not written.
    pub fn publish_desired(&self) -> Result<(), Error> {
        for device in self.store.devices()?.iter().filter(|device| device.revoked.is_none()) {
            self.publish_keys(&device.id)?;
        }
        let time = now();
        for (device, body, expires) in self.store.desired(time)? {
            self.link.publish(&device, "desired", body, true, expires - time, None)?;
        }
        Ok(())
    }

    /// Publishes the chain of key sets for a device, where keys were ever rotated.
    pub fn publish_keys(&self, device: &str) -> Result<(), Error> {
        match self.signer.chain() {
            Some(chain) => self.link.publish(device, "keys", chain.to_vec(), true, u64::MAX, None),
            None => Ok(()),
        }
    }

    /// After the online key or a release key was replaced: assignments that devices no longer
    /// follow are signed anew, or withdrawn when their release no longer holds.
    pub fn renew_assignments(&self) -> Result<(), Error> {
        for (device, body, expires) in self.store.desired(now())? {
            let (desired, mut assignment, holds) = self.signer.stands_behind(&body)?;
            let release = self.signer.open_manifest(&desired.manifest);
            if let Err(error) = &release {
                self.store.forget_desired(&device)?;
                self.link.clear(&device, "desired")?;
                self.note(&device, "deploy", &format!("assignment withdrawn: {error}"));
            } else if !holds {
                self.sign_anew(&mut assignment, &desired.manifest, expires)?;
                let text = format!("assignment signed anew (#{})", assignment.counter);
                self.note(&device, "deploy", &text);
            }
        }
        Ok(())
    }

    /// Under the next counter, in the same deployment; returns the body of `desired`.
    fn sign_anew(
        &self,
        assignment: &mut Assignment,
        manifest: &[u8],
        expires: u64,
    ) -> Result<Vec<u8>, Error> {
        let (device, old) = (assignment.device.clone(), assignment.counter);
        assignment.counter = self.store.next_counter(&device)?;
        let body = self.signer.desired(assignment, manifest)?;
        self.store.set_desired(&device, &body, expires)?;
        self.store.renumber_assignment(&device, old, assignment.counter)?;
        Ok(body)
    }

    /// Sets when a device may update: from now on in each of its assignments, also in the one that
    /// it has, which is signed anew.
    pub fn set_policy(&self, device: &str, policy: UpdatePolicy) -> Result<(), Error> {
        if self.store.device(device)?.revoked.is_some() {
            return Err(Error::Conflict(format!("device {device} is revoked")));
        }
        self.store.set_policy(device, &policy)?;
        let time = now();
        let has = self.store.desired(time)?.into_iter().find(|(id, ..)| id == device);
        if let Some((_, body, expires)) = has {
            let (desired, mut assignment, _) = self.signer.stands_behind(&body)?;
            assignment.policy = policy.clone();
            let body = self.sign_anew(&mut assignment, &desired.manifest, expires)?;
            self.link.publish(device, "desired", body, true, expires - time, None)?;
        }
        self.audit("admin", "policy", &format!("{device} {policy}"));
        self.note(device, "policy", &format!("updates: {policy}"));
        Ok(())
    }

    /// Signs and sends a command; returns its id.
    pub fn command(&self, device: &str, action: Action) -> Result<String, Error> {
        if self.store.device(device)?.revoked.is_some() {
            return Err(Error::Conflict(format!("device {device} is revoked")));
        }
        let (id, created) = (random_hex::<8>(), now());
        let expires = created + COMMAND_TTL_S;
        let text = serde_json::to_string(&action).map_err(|e| Error::Internal(e.to_string()))?;
        let command = Command { device: device.to_owned(), id: id.clone(), expires, action };
        let body = self.signer.command(&command)?;
        self.store.add_command(&id, device, &text, created, expires)?;
        let response = (format!("cmd/{id}/result"), id.clone());
        let leaf = format!("cmd/{id}");
        self.link.publish(device, &leaf, body, false, COMMAND_TTL_S, Some(response))?;
        self.audit("admin", "command", &format!("{device} {text}"));
        self.feed.tell(News::Command { id: id.clone(), device: device.to_owned() });
        Ok(id)
    }

    /// Revokes a device's certificate. The broker is started anew: it reads the list at start only,
    /// and the device's connection ends with it.
    pub fn revoke(&self, device: &str) -> Result<(), Error> {
        self.store.device(device)?;
        if !self.store.revoke(device, now())? {
            return Ok(());
        }
        self.ca.write_crl(&self.store.revoked_serials()?)?;
        self.link.clear(device, "desired")?;
        self.link.clear(device, "keys")?;
        let broker = self.broker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broker) = broker.as_ref() {
            broker.restart();
        }
        self.audit("admin", "revoke", device);
        self.note(device, "revoked", "its certificate is no longer accepted");
        Ok(())
    }
}
