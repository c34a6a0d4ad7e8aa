//! Boot loader, kernel and init, as far as they decide about slots. The decisions themselves are
//! [`bootloader_config`]'s, unchanged; what is here is when they are taken, and in what order init
//! does what it does (`init/src/machine.rs`).

use crate::bug::Bug;
use crate::loss::Loss;
use crate::ports::{Place, number, slot, slot_state};
use crate::release::Behaviour;
use crate::world::{BEGIN, Handle, Holds, Machine};
use bootloader_config::panics::{Panics, TURN};
use bootloader_config::slots::{Choice, Mode, Reading, SlotState, decide};
use bootloader_config::store;
use init::boots::{Evidence, reason};
use protocol::control::{BootKind, BootReason, BootRecord, SlotName};
use updater::durable::{self, Folder};

/// The recorded boots.
const RECORDS: &str = "boots.json";
/// Why the machine is about to start anew.
const REASON: &str = "boot-reason.json";
/// Boots that are remembered.
const REMEMBERED: usize = 50;
/// Boots that come to nothing in a row before the simulator gives up.
const RESETS: u32 = 60;
/// What the bug [`Bug::ConfirmedSlotIsCounted`] allows the confirmed slot.
const CONFIRMED_BOOTS: u8 = 2;
const COUNTER: &str = "counter";

/// Starts the machine until init is up; `false`: the power went, or nothing boots.
pub fn start(world: &Handle) -> bool {
    world.change().machine.powered = true;
    for _ in 0..RESETS {
        world.change().ledger.boots += 1;
        let Some(choice) = boot_loader(world) else { return false };
        if kernel(world, choice) {
            return init(world);
        }
    }
    world.change().violated("the machine resets without end");
    false
}

/// What the boot script does, up to the jump into a kernel.
fn boot_loader(world: &Handle) -> Option<Choice> {
    let state = slot_state(world);
    let decision = decide(&state, count_panics(world, &state));
    if let Some((trial, _)) = decision.trial {
        world.change().ledger.panics = 0;
        let counts = world.look().bug != Some(Bug::TrialIsNotCounted);
        let stored =
            !counts || store::commit(&mut world.clone(), |state| Ok(state.counted_down())).is_ok();
        if !world.look().machine.powered {
            return None;
        }
        let choice = Choice { slot: trial, mode: Mode::Trial };
        if stored && loads(world, choice) {
            return Some(choice);
        }
    }
    let counted = world.look().bug == Some(Bug::ConfirmedSlotIsCounted);
    if counted && !count_confirmed(world)? {
        return decision.then.into_iter().skip(1).find(|choice| loads(world, *choice));
    }
    let found = decision.then.into_iter().find(|choice| loads(world, *choice));
    if found.is_none() {
        world.change().violated(format!("no slot boots: {state:?}"));
    }
    found
}

/// What the boot script does with the memory that outlives a reset.
fn count_panics(world: &Handle, state: &SlotState) -> Panics {
    let trial = decide(state, Panics::NONE).trial.is_some();
    let mut world = world.change();
    let counts = world.bug != Some(Bug::PanicsAreNotCounted);
    let every_boot = world.bug == Some(Bug::BootsAreTakenForPanics);
    let machine = &mut world.machine;
    let new_log = std::mem::take(&mut machine.new_log) && counts || every_boot;
    machine.panics = machine.panics.counted(trial, new_log);
    let panics = machine.panics;
    if panics != Panics::NONE {
        world.note(format!("boot loader: {panics:?} in a row"));
    }
    if panics.turned() && world.ledger.panics < TURN {
        let seen = world.ledger.panics;
        world.violated(format!("a slot is passed over after {seen} panics in a row"));
    }
    panics
}

/// The bug: one more boot of the confirmed slot is counted; `Some(false)`: it has none left.
fn count_confirmed(world: &Handle) -> Option<bool> {
    let mut folder = Place::System(world.clone());
    let stored = folder.read(COUNTER).ok().flatten();
    let left = stored.and_then(|bytes| bytes.first().copied()).unwrap_or(CONFIRMED_BOOTS);
    durable::replace(&mut folder, COUNTER, &[left.saturating_sub(1)]).ok()?;
    Some(left > 0)
}

fn loads(world: &Handle, choice: Choice) -> bool {
    let holds = world.look().holds(number(choice.slot));
    let loads = match holds {
        Holds::Whole(release) | Holds::Damaged(release) => {
            release.behaviour != Behaviour::DoesNotLoad
        }
        Holds::Nothing => false,
    };
    let does = if loads { "loads" } else { "does not load" };
    world.change().note(format!(
        "boot loader: slot {} as {:?} {does}",
        choice.slot.name(),
        choice.mode
    ));
    loads
}

/// The trial of what this slot holds is over without a success, and that is on record: what nobody
/// could know any more after a power cut is not held against the updater.
fn trial_ended(world: &Handle, slot: usize) {
    let holds = world.look().holds(slot);
    if let Holds::Whole(release) = holds {
        let ledger = &mut world.change().ledger;
        let known = ledger.staged.contains(&release.sequence());
        if ledger.forgotten.take_if(|forgotten| *forgotten == release.sequence()).is_none() && known
        {
            ledger.ended.insert(release.sequence());
        }
    }
}

/// `false`: the machine was reset before init had come up.
fn kernel(world: &Handle, choice: Choice) -> bool {
    let running = number(choice.slot);
    let holds = world.look().holds(running);
    let release = match &holds {
        Holds::Whole(release) | Holds::Damaged(release) => Some(release.clone()),
        Holds::Nothing => None,
    };
    let crash = match holds {
        Holds::Damaged(_) => Some(BootReason::Panic("dm-verity: block is corrupted".into())),
        Holds::Whole(release) => match release.behaviour {
            Behaviour::Panics => Some(BootReason::Panic("Kernel panic - not syncing".into())),
            Behaviour::Hangs => Some(BootReason::Watchdog),
            _ => None,
        },
        Holds::Nothing => None,
    };
    let mut world = world.change();
    let up = crash.is_none();
    if let Some(reason) = &crash {
        world.note(format!("kernel: {reason:?}"));
    }
    // Unique among the boots that left a trace: one that left none is as if it had never been.
    let boot_id = format!("boot-{:016x}", world.key());
    let machine = &mut world.machine;
    let panicked = matches!(crash, Some(BootReason::Panic(_)));
    machine.new_log |= panicked;
    machine.crash = crash.or(machine.crash.take());
    (machine.running, machine.mode, machine.release) = (running, choice.mode, release);
    (machine.boot_id, machine.gate_decided) = (boot_id, false);
    world.ledger.panics = world.ledger.panics.saturating_add(u8::from(panicked));
    up
}

/// init up to the point where services start; `false`: the power went.
fn init(world: &Handle) -> bool {
    let mut folder = Place::System(world.clone());
    let recorded = folder.read(REASON).ok().flatten();
    let recorded = recorded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if recorded.is_some() && durable::replace(&mut folder, REASON, b"").is_err() {
        return false;
    }
    let (mode, running) = {
        let mut world = world.change();
        let machine = &mut world.machine;
        let crash = machine.crash.take();
        let watchdog = crash == Some(BootReason::Watchdog);
        let panic = match crash {
            Some(BootReason::Panic(text)) => Some(text),
            _ => None,
        };
        let fallback = machine.mode == Mode::Fallback;
        let watchdog = Some(watchdog);
        let evidence =
            Evidence { panic, recorded, watchdog, memory_kept: false, data: true, fallback };
        machine.reason = reason(evidence);
        (machine.mode, machine.running)
    };
    let Some(passed_over) = record(world) else { return false };
    if let Some(left) = passed_over {
        let reason = world.look().machine.reason.clone();
        let blamed = matches!(
            reason,
            BootReason::Panic(_) | BootReason::Watchdog | BootReason::Unhealthy(_)
        );
        if left > 0 || blamed {
            trial_ended(world, 1 - running);
        }
    }
    if mode == Mode::Fallback
        && matches!(slot_state(world).trial, Reading::Is(trial) if number(trial) != running)
        && store::change(&mut world.clone(), |state| Ok(state.drop_trial())).is_err()
        && !world.look().machine.powered
    {
        return false;
    }
    below_the_floor(world, running);
    world.change().machine.up = true;
    let early = world.look().bug == Some(Bug::ConfirmedBeforeHealthy);
    !early || mode != Mode::Trial || confirm(world)
}

/// Only a slot that has to stand in for one that does not boot may be below the floor.
fn below_the_floor(world: &Handle, running: usize) {
    let (holds, other) = (world.look().holds(running), world.look().holds(1 - running));
    let floor = world.look().ledger.floor;
    let mode = world.look().machine.mode;
    let stands_in = world.look().ledger.stands_in;
    if let (Holds::Whole(runs), Holds::Whole(_)) = (holds, other)
        && runs.sequence() < floor
        && mode != Mode::Fallback
        && !stands_in
    {
        world.change().violated(format!("release {} runs, the floor is {floor}", runs.sequence()));
    }
}

/// Adds this boot to the records; gives the attempts that a trial which was passed over had left.
/// `None`: the power went.
fn record(world: &Handle) -> Option<Option<u8>> {
    let mut all = records(world);
    let state = slot_state(world);
    let trial_left;
    {
        let world = world.look();
        let runs = &world.machine.release;
        let version = runs.as_ref().map(|runs| runs.build.version.clone()).unwrap_or_default();
        let slot = if world.machine.running == 0 { SlotName::A } else { SlotName::B };
        trial_left = match (world.machine.mode, state.trial) {
            (Mode::Fallback, Reading::Is(trial)) if number(trial) != world.machine.running => {
                Some(state.trial_left.value().unwrap_or(0))
            }
            _ => None,
        };
        all.push(BootRecord {
            boot_id: world.machine.boot_id.clone(),
            // The same in each life, so that lives that have come to the same point are the same.
            time: BEGIN,
            slot,
            version,
            kind: kind(world.machine.mode),
            reason: world.machine.reason.clone(),
            outcome: String::new(),
            trial_left,
        });
    }
    let surplus = all.len().saturating_sub(REMEMBERED);
    all.drain(..surplus);
    store_records(world, &all).then_some(trial_left)
}

fn store_records(world: &Handle, records: &[BootRecord]) -> bool {
    let bytes = serde_json::to_vec(records).unwrap_or_default();
    durable::replace(&mut Place::System(world.clone()), RECORDS, &bytes).is_ok()
}

/// The recorded boots, newest last.
pub fn records(world: &Handle) -> Vec<BootRecord> {
    let stored = Place::System(world.clone()).read(RECORDS).ok().flatten();
    stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn outcome(world: &Handle, outcome: &str) -> bool {
    let mut all = records(world);
    if let Some(last) = all.last_mut() {
        last.outcome = outcome.into();
    }
    store_records(world, &all)
}

/// The health gate decides, once a boot.
pub fn gate(world: &Handle) {
    if std::mem::replace(&mut world.change().machine.gate_decided, true) {
        return;
    }
    let running = world.look().machine.running;
    let healthy = matches!(world.look().holds(running),
        Holds::Whole(release) if release.behaviour == Behaviour::Healthy);
    if healthy {
        let mut world = world.change();
        world.ledger.panics = 0;
        if world.bug != Some(Bug::PanicsAreNotForgotten) {
            world.machine.panics = Panics::NONE;
        }
    }
    let on_trial = world.look().machine.mode == Mode::Trial;
    let confirmed = slot_state(world).confirmed == Reading::Is(slot(running));
    match (healthy, on_trial) {
        (true, false) if confirmed => drop(outcome(world, "healthy")),
        (true, _) => drop(confirm(world) && outcome(world, "healthy, confirmed")),
        (false, true) => {
            let why = "unhealthy: appd does not answer";
            let recorded = outcome(world, why);
            if recorded {
                trial_ended(world, running);
            }
            let ended = recorded
                && store::change(&mut world.clone(), |state| Ok(state.drop_trial())).is_ok();
            if ended {
                reboot(world, &BootReason::Unhealthy(why.into()));
            }
        }
        (false, false) => drop(outcome(world, "unhealthy: appd does not answer")),
    }
}

/// The running slot becomes the confirmed one; `false`: it was not stored.
fn confirm(world: &Handle) -> bool {
    let running = world.look().machine.running;
    let holds = world.look().holds(running);
    match holds {
        Holds::Whole(release) if release.behaviour == Behaviour::Healthy => {
            let ledger = &mut world.change().ledger;
            ledger.stands_in = release.sequence() < ledger.floor;
            ledger.floor = ledger.floor.max(release.build.floor);
        }
        _ => world.change().violated("a slot is confirmed that is not whole and healthy"),
    }
    let release = world.look().machine.release.clone();
    let (sequence, floor) =
        release.map_or((0, 0), |release| (release.build.sequence, release.build.floor));
    store::change_all(&mut world.clone(), |state, marks| {
        Ok((state.confirm(slot(running)), marks.raised(sequence, floor)))
    })
    .is_ok()
}

/// Orderly: the reason is recorded and everything is synced; `false`: the power went before.
pub fn reboot(world: &Handle, reason: &BootReason) -> bool {
    let bytes = serde_json::to_vec(reason).unwrap_or_default();
    if durable::replace(&mut Place::System(world.clone()), REASON, &bytes).is_err() {
        return false;
    }
    let mut world = world.change();
    world.note(format!("reboot: {reason:?}"));
    world.settle(Loss::Nothing);
    let Machine { crash, panics, new_log, .. } = world.machine.clone();
    world.machine = Machine { powered: true, crash, panics, new_log, ..Machine::off() };
    true
}

/// How the boot loader chose, in the protocol's word.
pub fn kind(mode: Mode) -> BootKind {
    match mode {
        Mode::Confirmed => BootKind::Confirmed,
        Mode::Trial => BootKind::Trial,
        Mode::Fallback => BootKind::Fallback,
    }
}
