//! A device in memory: two slots, notes, environment, boot loader and init, behind the ports.
//!
//! Fault model. The power can go before or after any persistent operation takes effect. A chunk
//! that was written but not synced is lost, or torn in the middle. Notes and the environment are
//! replaced atomically, or not at all. Misuse (writing a slot that runs or is confirmed, or one
//! that
//! a trial points to) panics.

use protocol::control::{
    BootKind, BootReason, BootRecord, Health, RollbackMarks, SlotName, SystemStatus,
};
use protocol::fleet::{Assignment, Desired, UpdatePhase, UpdateStatus};
use protocol::keys::{KeySet, PrivateKey};
use protocol::payload;
use protocol::release::{BuildInfo, CHUNK_SIZE, ReleaseManifest};
use sha2::{Digest, Sha256};
use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use updater::accept::Device;
use updater::machine::World;
use updater::ports::{BootControl, Chunk, StateStore, Storage, Transport};
use updater::state::State;
use updater::{Error, Next, Updater};

pub const CHUNK: usize = CHUNK_SIZE as usize;
pub const NOW: u64 = 1_800_000_000;
const SLOT_CHUNKS: usize = 6;

/// What a slot image does when it is booted.
#[derive(Clone)]
pub struct Image {
    pub bytes: Vec<u8>,
    pub build: BuildInfo,
    /// The health gate's failure; `None`: healthy.
    pub sick: Option<&'static str>,
}

/// An image of `chunks` chunks; each chunk is filled with one byte, so that chunks can be shared.
pub fn image(sequence: u64, chunks: &[u8]) -> Image {
    let build = BuildInfo {
        product: "holdfast".into(),
        board: "rpi3".into(),
        version: format!("{sequence}.0.0"),
        sequence,
        floor: 1,
        build_time: 0,
        health_timeout_s: 60,
        fleet_required: false,
        checks: Vec::new(),
    };
    let mut bytes: Vec<u8> = chunks.iter().flat_map(|byte| vec![*byte; CHUNK]).collect();
    bytes[0] = sequence as u8;
    Image { bytes, build, sick: None }
}

pub fn key() -> PrivateKey {
    PrivateKey::from_seed(&[1; 32])
}

pub fn keys() -> KeySet {
    let public = key().public();
    KeySet::simple(1, &public, &public, &public, &public)
}

pub fn manifest(image: &Image) -> ReleaseManifest {
    let digest = |bytes: &[u8]| Sha256::digest(bytes).to_vec();
    ReleaseManifest {
        product: image.build.product.clone(),
        boards: vec![image.build.board.clone()],
        version: image.build.version.clone(),
        sequence: image.build.sequence,
        floor: image.build.floor,
        created: 0,
        image_size: image.bytes.len() as u64,
        image_digest: digest(&image.bytes).into(),
        chunk_digests: image.bytes.chunks(CHUNK).flat_map(digest).collect::<Vec<_>>().into(),
        payload_digest: vec![0; 32].into(),
        payload_size: 0,
        trial_attempts: 2,
        health_timeout_s: 60,
        fleet_required: false,
        notes: String::new(),
    }
}

pub fn assignment(manifest_envelope: &[u8], counter: u64) -> Assignment {
    Assignment {
        fleet: "home".into(),
        device: "gw".into(),
        counter,
        issued: NOW - 10,
        expires: NOW + 10,
        release: Sha256::digest(manifest_envelope).to_vec().into(),
        sources: vec!["/payload".into()],
        policy: Default::default(),
    }
}

pub fn body(assignment: &Assignment, manifest_envelope: &[u8]) -> Vec<u8> {
    protocol::envelope::to_cbor(&Desired {
        assignment: assignment.sign(&[&key()]).unwrap().into(),
        manifest: manifest_envelope.to_vec().into(),
    })
}

/// The body of `desired` for an image.
pub fn desired(image: &Image, counter: u64) -> Vec<u8> {
    let manifest = manifest(image).sign(&[&key()]).unwrap();
    body(&assignment(&manifest, counter), &manifest)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    Before,
    After,
}

pub struct Sim {
    pub images: Vec<Image>,
    pub slots: [Vec<u8>; 2],
    pending: BTreeMap<usize, Vec<u8>>,
    pub notes: Option<State>,
    body: Option<Vec<u8>>,
    pub confirmed: SlotName,
    pub trial: Option<SlotName>,
    /// What the environment remembers against rollbacks.
    pub marks: RollbackMarks,
    left: u8,
    pub running: SlotName,
    kind: BootKind,
    reason: BootReason,
    pub boots: Vec<BootRecord>,
    pub sources: BTreeMap<String, Vec<u8>>,
    pub requests: Vec<Range<u64>>,
    /// How often a delta is said to be in the making before it is served.
    pub making: u32,
    pub operations: usize,
    pub cut: Option<(usize, Cut)>,
    pub dead: bool,
    pub rebooting: bool,
    /// Why init ends this boot.
    ending: Option<BootReason>,
}

/// A handle that the ports share.
#[derive(Clone)]
pub struct Handle(Rc<RefCell<Sim>>);

impl Handle {
    /// A device that runs `images[0]` in slot A, and a source that serves each image.
    pub fn new(images: &[Image]) -> Self {
        let mut first = images[0].bytes.clone();
        first.resize(SLOT_CHUNKS * CHUNK, 0);
        let sources =
            [("/payload".into(), payload::encode(&images.last().unwrap().bytes, 1).unwrap())];
        let handle = Self(Rc::new(RefCell::new(Sim {
            images: images.to_vec(),
            slots: [first, vec![0xee; SLOT_CHUNKS * CHUNK]],
            pending: BTreeMap::new(),
            notes: None,
            body: None,
            confirmed: SlotName::A,
            trial: None,
            marks: RollbackMarks::default(),
            left: 0,
            running: SlotName::A,
            kind: BootKind::Confirmed,
            reason: BootReason::Cold,
            boots: Vec::new(),
            sources: sources.into(),
            requests: Vec::new(),
            making: 0,
            operations: 0,
            cut: None,
            dead: false,
            rebooting: false,
            ending: None,
        })));
        handle.sim_mut().boot(BootReason::Cold);
        handle
    }

    pub fn sim(&self) -> Ref<'_, Sim> {
        self.0.borrow()
    }

    pub fn sim_mut(&self) -> RefMut<'_, Sim> {
        self.0.borrow_mut()
    }

    /// What runs.
    pub fn runs(&self) -> Image {
        self.sim().running_image()
    }

    pub fn start(&self) -> Result<Updater, Error> {
        let world = World {
            storage: Box::new(self.clone()),
            transport: Box::new(self.clone()),
            boot: Box::new(self.clone()),
            store: Box::new(self.clone()),
        };
        let device = Device {
            fleet: "home".into(),
            device: "gw".into(),
            board: "rpi3".into(),
            build: self.runs().build,
        };
        Updater::start(world, keys(), device, NOW)
    }

    /// Runs the device, through reboots and power cuts, until nothing is left to do; the broker
    /// hands out `desired` after every start.
    pub fn run(&self, desired: &[u8]) -> UpdateStatus {
        for _ in 0..40 {
            if let Some(status) = self.run_one_boot(desired) {
                return status;
            }
            let mut sim = self.sim_mut();
            let asked = sim.rebooting.then(|| BootReason::Reboot("asked".into()));
            let reason = sim.ending.take().or(asked).unwrap_or(BootReason::Cold);
            sim.boot(reason);
        }
        panic!("the device does not come to rest");
    }

    fn run_one_boot(&self, desired: &[u8]) -> Option<UpdateStatus> {
        let mut updater = self.start().ok()?;
        updater.desired(desired, NOW).ok()?;
        for _ in 0..200 {
            let next = updater.step(NOW);
            if self.sim().dead || self.sim().rebooting {
                return None;
            }
            match next {
                Ok(Next::Again) => {}
                Ok(Next::Idle) => return Some(updater.status().clone()),
                Ok(Next::Wait) => {
                    let mut sim = self.sim_mut();
                    if sim.running != sim.confirmed {
                        sim.health_gate();
                    }
                    if sim.dead {
                        return None;
                    }
                }
                Err(_) => return Some(updater.status().clone()),
            }
        }
        panic!("the updater does not come to rest: {:?}", updater.status());
    }
}

impl Sim {
    fn index(slot: SlotName) -> usize {
        usize::from(slot == SlotName::B)
    }

    fn target(&self) -> SlotName {
        if self.running == SlotName::A { SlotName::B } else { SlotName::A }
    }

    fn image_in(&self, slot: SlotName) -> Option<Image> {
        let bytes = &self.slots[Self::index(slot)];
        self.images.iter().find(|image| bytes.starts_with(&image.bytes)).cloned()
    }

    pub fn running_image(&self) -> Image {
        self.image_in(self.running).expect("the running slot holds a whole image")
    }

    /// The boot script, then init's record.
    pub fn boot(&mut self, reason: BootReason) {
        self.tear();
        (self.dead, self.rebooting) = (false, false);
        let trial = self.trial.filter(|_| self.left > 0);
        if trial.is_some() {
            self.left -= 1;
        }
        (self.running, self.kind) = match trial {
            Some(slot) if self.image_in(slot).is_some() => (slot, BootKind::Trial),
            _ if self.trial.is_some() => (self.confirmed, BootKind::Fallback),
            _ => (self.confirmed, BootKind::Confirmed),
        };
        self.reason = reason.clone();
        let record = BootRecord {
            boot_id: format!("boot-{}", self.boots.len()),
            time: NOW,
            slot: self.running,
            version: self.running_image().build.version,
            kind: self.kind,
            reason,
            outcome: String::new(),
            trial_left: None,
        };
        self.boots.push(record);
    }

    /// What was not synced is lost, the first of it torn in the middle.
    fn tear(&mut self) {
        let target = Self::index(self.target());
        if let Some((chunk, bytes)) = std::mem::take(&mut self.pending).pop_first() {
            let at = chunk * CHUNK;
            self.slots[target][at..at + CHUNK / 2].copy_from_slice(&bytes[..CHUNK / 2]);
        }
    }

    /// init confirms, or drops the trial and reboots.
    fn health_gate(&mut self) {
        match self.running_image().sick {
            None => {
                (self.confirmed, self.trial) = (self.running, None);
            }
            Some(why) => {
                self.boots.last_mut().unwrap().outcome = format!("unhealthy: {why}");
                self.trial = None;
                self.ending = Some(BootReason::Unhealthy(why.into()));
                self.dead = true;
            }
        }
    }

    /// One persistent operation. Returns whether it takes effect and whether the caller hears of
    /// it.
    fn operation(&mut self, effect: impl FnOnce(&mut Self)) -> Result<(), Error> {
        let lost = || Err(Error::State("no power".into()));
        if self.dead {
            return lost();
        }
        let number = self.operations;
        self.operations += 1;
        let cut = self.cut.filter(|(at, _)| *at == number).map(|(_, cut)| cut);
        if cut != Some(Cut::Before) {
            effect(self);
        }
        self.dead = cut.is_some();
        if self.dead { lost() } else { Ok(()) }
    }
}

impl Storage for Handle {
    fn chunks(&self) -> u32 {
        SLOT_CHUNKS as u32
    }

    fn read_running(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error> {
        let sim = self.sim();
        let slot = &sim.slots[Sim::index(sim.running)];
        into.copy_from_slice(&slot[chunk as usize * CHUNK..][..CHUNK]);
        Ok(())
    }

    fn read_running_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        let sim = self.sim();
        into.copy_from_slice(&sim.slots[Sim::index(sim.running)][offset as usize..][..into.len()]);
        Ok(())
    }

    fn read_target(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error> {
        let sim = self.sim();
        let slot = &sim.slots[Sim::index(sim.target())];
        match sim.pending.get(&(chunk as usize)) {
            Some(bytes) => into.copy_from_slice(bytes),
            None => into.copy_from_slice(&slot[chunk as usize * CHUNK..][..CHUNK]),
        }
        Ok(())
    }

    fn write_target(&mut self, chunk: u32, from: &Chunk) -> Result<(), Error> {
        self.sim_mut().operation(|sim| {
            assert_ne!(sim.confirmed, sim.target(), "the confirmed slot is written");
            assert_ne!(sim.trial, Some(sim.target()), "a slot on trial is written");
            sim.pending.insert(chunk as usize, from.to_vec());
        })
    }

    fn sync_target(&mut self) -> Result<(), Error> {
        self.sim_mut().operation(|sim| {
            let target = Sim::index(sim.target());
            for (chunk, bytes) in std::mem::take(&mut sim.pending) {
                sim.slots[target][chunk * CHUNK..][..CHUNK].copy_from_slice(&bytes);
            }
        })
    }
}

impl Transport for Handle {
    fn fetch(&mut self, source: &str, range: Range<u64>, into: &mut Vec<u8>) -> Result<(), Error> {
        let mut sim = self.sim_mut();
        if source.starts_with(protocol::delta::PATH) && sim.making > 0 {
            sim.making -= 1;
            return Err(Error::NotYet(source.into()));
        }
        let unknown = || Error::NotServed(source.into());
        let bytes = sim.sources.get(source).ok_or_else(unknown)?;
        let part = bytes.get(range.start as usize..range.end as usize);
        into.clear();
        into.extend_from_slice(part.ok_or_else(|| Error::PayloadTruncated(source.into()))?);
        sim.requests.push(range);
        Ok(())
    }
}

impl BootControl for Handle {
    fn status(&mut self) -> Result<SystemStatus, Error> {
        let sim = self.sim();
        let build = sim.running_image().build;
        Ok(SystemStatus {
            init_memory_kib: None,
            hostname: "gw".into(),
            board: "rpi3".into(),
            version: build.version,
            sequence: build.sequence,
            floor: 1,
            slot: sim.running,
            confirmed: Some(sim.confirmed),
            trial: sim.trial,
            rollback_marks: sim.marks.clone(),
            boot_kind: sim.kind,
            boot_reason: sim.reason.clone(),
            boot_id: sim.boots.last().unwrap().boot_id.clone(),
            uptime_s: 1,
            health: Health::Healthy,
            services: Vec::new(),
            temperature_mc: None,
            warnings: Vec::new(),
        })
    }

    fn boots(&mut self) -> Result<Vec<BootRecord>, Error> {
        Ok(self.sim().boots.clone())
    }

    fn stage(&mut self, slot: SlotName, attempts: u8) -> Result<(), Error> {
        self.sim_mut().operation(|sim| {
            assert_eq!(slot, sim.target(), "the running slot is staged");
            assert!(sim.image_in(slot).is_some(), "a slot without an image is staged");
            assert!(sim.pending.is_empty(), "a slot that is not synced is staged");
            (sim.trial, sim.left) = (Some(slot), attempts);
        })
    }

    fn drop_trial(&mut self) -> Result<(), Error> {
        self.sim_mut().operation(|sim| sim.trial = None)
    }

    fn restore_marks(&mut self, sequence: u64, floor: u64) -> Result<(), Error> {
        self.sim_mut().operation(|sim| {
            let (known, to) = (&sim.marks, |mark: Option<u64>, to| Some(mark.unwrap_or(0).max(to)));
            let (sequence, floor) = (to(known.sequence, sequence), to(known.floor, floor));
            sim.marks = RollbackMarks { sequence, floor, unreadable: false };
        })
    }

    fn reboot(&mut self, _reason: &str) -> Result<(), Error> {
        self.sim_mut().operation(|sim| sim.rebooting = true)
    }

    fn updating(&mut self, _on: bool) {}
}

impl StateStore for Handle {
    fn load(&mut self) -> Result<Option<State>, Error> {
        Ok(self.sim().notes.clone())
    }

    fn save(&mut self, state: &State) -> Result<(), Error> {
        let state = state.clone();
        self.sim_mut().operation(|sim| sim.notes = Some(state))
    }

    fn load_desired(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.sim().body.clone())
    }

    fn save_desired(&mut self, body: &[u8]) -> Result<(), Error> {
        let body = body.to_vec();
        self.sim_mut().operation(|sim| sim.body = Some(body))
    }
}

/// Short form of how a run ended.
pub fn ending(status: &UpdateStatus) -> (UpdatePhase, Option<&str>) {
    (status.phase, status.failure.as_ref().map(|failure| failure.code.as_str()))
}
