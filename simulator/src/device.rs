//! The device over a span of time: boots, runs the updater, loses power, until nothing is left to
//! do. What people and the fleet do meanwhile is a plan; how far it went is kept outside the
//! device.

use crate::boot;
use crate::loss::Loss;
use crate::ports::{Place, slot_state};
use crate::release::{self, Deltas};
use crate::world::{BEGIN, Handle, Holds};
use bootloader_config::slots::SlotState;
use bootloader_config::store;
use protocol::control::BootReason;
use protocol::fleet::{UpdatePhase, UpdateStatus};
use updater::accept::Device;
use updater::keyring::Keyring;
use updater::machine::World as Ports;
use updater::notes::Notes;
use updater::{Next, Updater};

/// Steps of one boot before the simulator gives up.
const STEPS: u32 = 400;
/// Failed steps of one boot before the simulator gives up: each is followed by a pause.
const FAILURES: u32 = 40;
/// Boots before the simulator gives up.
const BOOTS: u32 = 60;
/// The pause after a failed step, seconds.
const PAUSE_S: u64 = 60;

/// When an order of a plan is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing is left to do.
    AtRest,
    /// The updater is in this phase; at rest, when it never is.
    During(UpdatePhase),
}

/// What people and the fleet do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The release of this sequence is assigned.
    Deploy(u64),
    /// A person goes back from this release to the one before it.
    RollBackFrom(u64),
    /// The same at the device's own console: nobody tells the updater.
    RollBackAtConsole(u64),
    /// A rollback is staged, and nobody has rebooted yet.
    StageRollBack,
    /// What failed may be tried again.
    Retry,
    /// A bit of a chunk turns over: slot that runs (`true`) or the other.
    Rot(bool, u32),
    /// The next requests are lost.
    LoseRequests(u32),
    /// The chain that leads to the key set of this version is handed out from now on.
    HandOutKeys(u64),
    /// The fleet has these deltas from now on.
    Make(Deltas),
    /// The power goes; when it is back, the data partition is lost and was made anew.
    LoseData,
    /// The power goes and comes back.
    Restart,
    /// A person reboots.
    Reboot,
}

/// What is done, one after the other.
pub type Plan = [(When, Order)];

/// How one boot ended.
enum Ended {
    /// Nothing is left to do.
    AtRest(Box<UpdateStatus>),
    /// A reboot, or a power cut.
    Off,
}

impl Handle {
    /// Runs until the plan is carried out and nothing is left to do.
    ///
    /// # Errors
    /// What must never happen, with everything that led to it.
    pub fn run(&self, plan: &Plan) -> Result<UpdateStatus, String> {
        for _ in 0..BOOTS {
            let ended = self.one_boot(plan);
            if let Some(what) = self.look().ledger.violation.clone() {
                return Err(format!("{what}\n{}", self.look().trace()));
            }
            if let Ended::AtRest(status) = ended {
                return Ok(*status);
            }
        }
        Err(format!("the device does not come to rest\n{}", self.look().trace()))
    }

    /// The running release.
    pub fn runs(&self) -> u64 {
        self.look().machine.release.as_ref().map_or(0, |release| release.sequence())
    }

    fn one_boot(&self, plan: &Plan) -> Ended {
        if !self.look().machine.powered {
            // Random: the sweep settles a cut by itself before it comes here.
            self.change().lose_power(Loss::Random);
        }
        if !self.look().machine.up && !boot::start(self) {
            return Ended::Off;
        }
        let Some((mut updater, mut keys)) = self.updater() else { return Ended::Off };
        let (mut failures, mut delivered, mut handed_out) = (0, None, None);
        for step in 0..STEPS {
            if !self.is_up() {
                return Ended::Off;
            }
            if self.look().outside.life == Some(step) {
                self.change().machine.powered = false;
                return Ended::Off;
            }
            self.change().clock += 1;
            let now = self.look().clock;
            let desired = self.look().outside.desired.clone();
            if desired != delivered {
                delivered = desired.clone();
                let _ = desired.is_some_and(|body| updater.desired(&body, now).is_err());
                continue;
            }
            let chain = self.look().outside.keys.clone();
            if chain != handed_out {
                handed_out = chain.clone();
                chain.inspect(|chain| self.adopt(chain, &mut keys, &mut updater));
                continue;
            }
            boot::gate(self);
            if !self.is_up() || self.follow(plan, &mut updater, false) {
                continue;
            }
            match updater.step(now) {
                Ok(Next::Again | Next::Wait) => {}
                Ok(Next::Idle) if self.follow(plan, &mut updater, true) => {}
                // As the daemon does: what failed before it could begin is looked at again.
                Ok(Next::Idle)
                    if updater.status().phase == UpdatePhase::Failed && failures < FAILURES =>
                {
                    failures += 1;
                    let mut world = self.change();
                    world.clock += PAUSE_S;
                    world.note(format!("updater: {:?}", updater.status().failure));
                    drop(world);
                    let _ = updater.look_again(now);
                }
                Ok(Next::Idle) => return Ended::AtRest(Box::new(updater.status().clone())),
                Err(error) if failures < FAILURES => {
                    failures += 1;
                    self.change().note(format!("updater: {error}"));
                    self.change().clock += PAUSE_S;
                }
                Err(error) => {
                    self.change().violated(format!("the updater does not get on: {error}"));
                    return Ended::Off;
                }
            }
        }
        let what = format!("the updater does not come to rest: {:?}", updater.status());
        self.change().violated(what);
        Ended::Off
    }

    fn is_up(&self) -> bool {
        let world = self.look();
        world.machine.powered && world.machine.up
    }

    /// As the daemon does with what arrives.
    fn adopt(&self, chain: &[u8], keys: &mut Keyring<Place>, updater: &mut Updater) {
        let adopted = keys.adopt(chain).map(|set| set.cloned());
        self.change().note(format!("key sets: {adopted:.60?}"));
        if let Ok(Some(set)) = adopted {
            self.change().trusts(set.version);
            let (desired, now) = (self.look().outside.desired.clone(), self.look().clock);
            let _ = updater.rotate(set, desired.as_deref(), now);
        }
    }

    fn updater(&self) -> Option<(Updater, Keyring<Place>)> {
        let ports = Ports {
            storage: Box::new(self.clone()),
            transport: Box::new(self.clone()),
            boot: Box::new(self.clone()),
            store: Box::new(Notes(Place::Notes(self.clone()))),
        };
        let build = self.look().machine.release.as_ref().map(|runs| runs.build.clone())?;
        let device =
            Device { fleet: "home".into(), device: "gw".into(), board: "rpi3".into(), build };
        let now = self.look().clock;
        let keys = Keyring::open(&release::image_keys(), Place::Notes(self.clone())).ok()?;
        self.change().trusts(keys.in_force().version);
        let updater = Updater::start(ports, keys.in_force().clone(), device, now).ok()?;
        Some((updater, keys))
    }

    /// Carries out the next order, if it is its time; `true`: something was done.
    fn follow(&self, plan: &Plan, updater: &mut Updater, at_rest: bool) -> bool {
        let Some((when, order)) = plan.get(self.look().outside.order).copied() else {
            return false;
        };
        if !at_rest && when != When::During(updater.status().phase) {
            return false;
        }
        if self.carry_out(order, updater) {
            let mut world = self.change();
            world.outside.order += 1;
            world.note(format!("outside: {order:?}"));
        } else {
            self.change().note(format!("outside: {order:?} was not done"));
        }
        true
    }

    /// `false`: it was not done, because the power went.
    fn carry_out(&self, order: Order, updater: &mut Updater) -> bool {
        let now = self.look().clock;
        match order {
            Order::Deploy(sequence) => self.deploy(sequence),
            Order::RollBackFrom(sequence) => {
                return self.runs() != sequence
                    || (updater.roll_back().is_ok() && self.roll_back());
            }
            Order::RollBackAtConsole(sequence) => {
                return self.runs() != sequence || self.roll_back();
            }
            Order::StageRollBack => {
                return store::change(&mut self.clone(), SlotState::rollback).is_ok();
            }
            Order::Retry => {
                self.change().ledger.ended.clear();
                return updater.retry(now).is_ok();
            }
            Order::Rot(running, chunk) => {
                let mut world = self.change();
                let slot = if running { world.machine.running } else { world.target() };
                world.rot(slot, chunk);
            }
            Order::LoseRequests(count) => self.change().outside.lose_requests = count,
            Order::HandOutKeys(version) => {
                self.change().outside.keys = Some(release::key_chain(version));
            }
            Order::Make(deltas) => self.change().outside.deltas = deltas,
            Order::LoseData => {
                let mut world = self.change();
                world.lose_data();
                world.machine.powered = false;
            }
            Order::Restart => self.change().machine.powered = false,
            Order::Reboot => return boot::reboot(self, &BootReason::Reboot("asked".into())),
        }
        true
    }

    /// The fleet assigns a release.
    pub fn deploy(&self, sequence: u64) {
        let mut world = self.change();
        world.outside.counter += 1;
        let release = world.release(sequence).expect("a plan deploys releases that exist");
        let body = release.desired(world.outside.counter, BEGIN);
        world.outside.desired = Some(body);
    }

    /// Staged as a trial, then rebooted.
    fn roll_back(&self) -> bool {
        let other = self.look().holds(self.look().target());
        if matches!(other, Holds::Whole(other) if other.sequence() < self.look().ledger.floor) {
            // Refused by init: nothing runs below the floor because somebody asked.
            return true;
        }
        // Tried once more by a person's word.
        self.change().ledger.ended.clear();
        let staged = store::change(&mut self.clone(), SlotState::rollback).is_ok();
        if staged {
            boot::reboot(self, &BootReason::Reboot("rolled back".into()));
        }
        staged
    }

    /// Everything that must hold once the device is at rest.
    ///
    /// # Errors
    /// What does not.
    pub fn check_at_rest(&self, runs: u64) -> Result<(), String> {
        let state = slot_state(self);
        let world = self.look();
        let running = crate::ports::slot(world.machine.running);
        let problem = if self.runs() != runs {
            format!("release {} runs, not {runs}", self.runs())
        } else if state != SlotState::FRESH.confirm(running) {
            format!("the slots are {state:?}, {running:?} runs")
        } else if !matches!(world.holds(world.machine.running), Holds::Whole(_)) {
            "the running slot is not whole".into()
        } else {
            return Ok(());
        };
        Err(format!("{problem}\n{}", world.trace()))
    }
}

/// Short form of how an update ended.
pub fn ending(status: &UpdateStatus) -> (UpdatePhase, Option<&str>) {
    (status.phase, status.failure.as_ref().map(|failure| failure.code.as_str()))
}
