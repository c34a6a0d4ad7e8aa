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
    /// Second cuts in a world, or with one after them, that had been seen to end well.
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

/// Keys of worlds.
#[derive(Default)]
struct Seen {
    /// Where the power went a second time.
    before: HashSet<u64>,
    /// What a cut made of them.
    after: HashSet<u64>,
}

/// Cuts a scenario everywhere, but for its beginning where it has one that is not to be cut.
///
/// # Errors
/// The first run that does not end well: where the power went, and everything that happened.
pub fn sweep(scenario: &Scenario, depth: Depth, bug: Option<Bug>) -> Result<Swept, String> {
    let named = |what: String, error: String| format!("{}: {what}: {error}", scenario.name);
    let clean = scenario.world(0);
    clean.change().bug = bug;
    clean.change().record();
    scenario.finish(&clean).map_err(|error| named("without a cut".into(), error))?;
    let mut worlds = clean.change().recorded();
    worlds.retain(|world| world.outside.order >= scenario.uncut);
    let mut swept = Swept { operations: clean.look().power.operations, ..Swept::default() };
    let mut seen = Seen::default();
    for world in worlds {
        let at = world.power.operations;
        for loss in ways(&world, &[Loss::Everything, Loss::Random]) {
            let cut = cut(&world, *loss);
            seen.after.insert(cut.key());
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
    seen: &mut Seen,
    swept: &mut Swept,
) -> Result<(), (u64, String)> {
    for world in worlds {
        for loss in ways(&world, &[Loss::Random]) {
            // First by the world as it is, then by what the cut makes of it.
            let fresh = seen.before.insert(world.key()).then(|| cut(&world, *loss));
            match fresh.filter(|cut| seen.after.insert(cut.key())) {
                Some(cut) => {
                    let at = world.power.operations;
                    scenario.finish(&Handle::new(cut)).map_err(|error| (at, error))?;
                    swept.double += 1;
                }
                None => swept.known += 1,
            }
        }
    }
    Ok(())
}

/// The ways to lose what was not synced; one where nothing is to lose.
fn ways<'a>(world: &World, losses: &'a [Loss]) -> &'a [Loss] {
    if world.is_dirty() { losses } else { &losses[..1] }
}

/// The world after a cut. Chance is decided by the world: equal ones lose the same.
fn cut(world: &World, loss: Loss) -> World {
    let mut world = world.clone();
    world.random = fastrand::Rng::with_seed(world.key());
    world.lose_power(loss);
    world.machine.powered = true;
    world
}
