//! Seeded runs: many faults in one life. The seed decides everything, so that a failure can be
//! replayed by its seed.

use crate::device::{Order, When};
use crate::disk::Block;
use crate::release::{Deltas, SLOT_CHUNKS};
use crate::scenario::releases;
use crate::world::{Handle, Holds, World};
use protocol::fleet::UpdatePhase;

/// Releases that a life may be given, good and bad; the last one is only deployed at the end.
const DEPLOYED: std::ops::RangeInclusive<u64> = 2..=7;
/// The release that every life must end with, once the faults have stopped.
const LAST: u64 = 8;
/// Deployments of one life.
const DEPLOYMENTS: u64 = 4;
/// One request in so many fails; 0: none.
const UNRELIABLE: [u32; 4] = [0, 0, 8, 3];
/// Events between two deployments.
const EVENTS: u64 = 3;
/// Operations between two power cuts, at most.
const BETWEEN_CUTS: u64 = 60;

/// What a life went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Life {
    /// Power cuts.
    pub cuts: u32,
    /// Boots.
    pub boots: u32,
    /// Persistent operations.
    pub operations: u64,
    /// Chunks fetched.
    pub fetched: u32,
}

/// Lives one life.
///
/// # Errors
/// What must never happen, with everything that led to it.
pub fn live(seed: u64) -> Result<Life, String> {
    let world = Handle::new(World::new(releases(), seed));
    let mut random = fastrand::Rng::with_seed(!seed);
    for _ in 0..DEPLOYMENTS {
        world.change().outside.unreliable = UNRELIABLE[random.usize(..UNRELIABLE.len())];
        let plan: Vec<(When, Order)> = (0..EVENTS).map(|_| event(&mut random)).collect();
        world.change().outside.order = 0;
        for _ in 0..=random.u8(..4) {
            disturb(&world, &mut random);
            world.run(&plan)?;
        }
    }
    // The faults stop; what was refused or failed meanwhile may have been the last word.
    {
        let mut world = world.change();
        world.power.cut_before = None;
        (world.outside.unreliable, world.outside.lose_requests, world.outside.order) = (0, 0, 0);
    }
    let status = world.run(&[(When::AtRest, Order::Deploy(LAST))])?;
    world.check_at_rest(LAST)?;
    if status.phase != UpdatePhase::Confirmed {
        return Err(format!("ends {status:?}\n{}", world.look().trace()));
    }
    let world = world.look();
    let ledger = &world.ledger;
    Ok(Life {
        cuts: ledger.cuts,
        boots: ledger.boots,
        operations: world.power.operations,
        fetched: ledger.fetched,
    })
}

/// An order at some moment.
fn event(random: &mut fastrand::Rng) -> (When, Order) {
    use UpdatePhase::{Confirmed, Downloading, Staged, Trial, Verifying};
    let when = match random.u8(..10) {
        0 => When::During(Downloading),
        1 => When::During(Verifying),
        2 => When::During(Staged),
        3 => When::During(Trial),
        4 => When::During(Confirmed),
        _ => When::AtRest,
    };
    let order = match random.u8(..11) {
        0 if random.bool() => Order::RollBackAtConsole(random.u64(DEPLOYED)),
        0 => Order::RollBackFrom(random.u64(DEPLOYED)),
        1 => Order::Retry,
        2 => Order::LoseRequests(random.u32(1..5)),
        3 => Order::LoseData,
        4 => Order::Rot(false, random.u32(..SLOT_CHUNKS)),
        5 => Order::Restart,
        6 => Order::Make([Deltas::None, Deltas::Good, Deltas::Wrong][random.usize(..3)]),
        _ => Order::Deploy(random.u64(DEPLOYED)),
    };
    (when, order)
}

/// A fault for the next span of time.
fn disturb(world: &Handle, random: &mut fastrand::Rng) {
    let mut world = world.change();
    if random.bool() {
        world.power.cut_before = Some(world.power.operations + random.u64(..BETWEEN_CUTS));
    }
    let (running, target) = (world.machine.running, world.target());
    let stands_in = matches!(world.holds(target), Holds::Whole(release)
        if release.behaviour == crate::release::Behaviour::Healthy);
    match random.u8(..8) {
        0 => {
            let copy = random.usize(..2);
            // One at a time: the other one is what the device lives by.
            if world.disk.read(Block::Environment(1 - copy)).is_some() {
                world.disk.spoil(Block::Environment(copy));
                // A running system has it in its cache; the next start reads the card.
                world.machine.powered = false;
            }
        }
        1 => world.disk.spoil(Block::Chunk(target, random.u32(..SLOT_CHUNKS))),
        2 => world.rot(target, random.u32(..SLOT_CHUNKS)),
        3 if stands_in => {
            // Its kernel, or its root.
            world.rot(running, random.u32(..SLOT_CHUNKS));
            world.machine.powered = false;
        }
        _ => {}
    }
}
