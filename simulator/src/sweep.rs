//! Count, then cut: a clean run counts the persistent operations; then the power goes before every
//! one of them, and before every one of the recovery from that.

use crate::bug::Bug;
use crate::loss::Loss;
use crate::scenario::Scenario;
use crate::world::{Handle, World};
use std::collections::HashSet;

/// What a sweep went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Operations of the clean run.
    pub operations: u64,
    /// Runs with one cut.
    pub single: u64,
    /// Runs with two.
    pub double: u64,
    /// Second cuts after which the world was one that had been seen to end well.
    pub known: u64,
}

/// How many cuts in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// One.
    Single,
    /// One, and another one at each operation of the recovery.
    Double,
}

/// Cuts a scenario everywhere.
///
/// # Errors
/// The first run that does not end well: where the power went, and everything that happened.
pub fn sweep(scenario: &Scenario, depth: Depth, bug: Option<Bug>) -> Result<Swept, String> {
    let named = |what: String, error: String| format!("{}: {what}: {error}", scenario.name);
    let clean = scenario.world(0);
    clean.change().bug = bug;
    clean.change().record();
    scenario.finish(&clean).map_err(|error| named("without a cut".into(), error))?;
    let worlds = clean.change().recorded();
    let mut swept = Swept { operations: clean.look().power.operations, ..Swept::default() };
    let mut seen = HashSet::new();
    for world in worlds {
        let at = world.power.operations;
        for (loss, cut) in cuts(&world, &[Loss::Everything, Loss::Random], at) {
            seen.insert(cut.key());
            let cut = Handle::new(cut);
            if depth == Depth::Double {
                cut.change().record();
            }
            let what = format!("cut before operation {at}, lost: {loss:?}");
            scenario.finish(&cut).map_err(|error| named(what.clone(), error))?;
            swept.single += 1;
            if depth == Depth::Double {
                let recovery = cut.change().recorded();
                again(scenario, recovery, &mut seen, &mut swept)
                    .map_err(|(second, error)| named(format!("{what}, again {second}"), error))?;
            }
        }
    }
    Ok(swept)
}

/// The second cut. Most recoveries soon go the way of the clean run: what was cut there is known.
fn again(
    scenario: &Scenario,
    worlds: Vec<World>,
    seen: &mut HashSet<u64>,
    swept: &mut Swept,
) -> Result<(), (u64, String)> {
    for world in worlds {
        let at = world.power.operations;
        for (_, cut) in cuts(&world, &[Loss::Random], at) {
            if seen.insert(cut.key()) {
                scenario.finish(&Handle::new(cut)).map_err(|error| (at, error))?;
                swept.double += 1;
            } else {
                swept.known += 1;
            }
        }
    }
    Ok(())
}

/// The world after a cut, for each way to lose what was not synced; one where nothing could be.
fn cuts(world: &World, losses: &[Loss], seed: u64) -> Vec<(Loss, World)> {
    let ways = if world.is_dirty() { losses } else { &losses[..1] };
    let cut = |loss: &Loss| {
        let mut world = world.clone();
        world.random = fastrand::Rng::with_seed(seed);
        world.lose_power(*loss);
        world.machine.powered = true;
        (*loss, world)
    };
    ways.iter().map(cut).collect()
}
