//! One change, from its first task to its last write, and again after a power cut.
//!
//! | what happened | stored in the same write |
//! |---|---|
//! | the change was made | its tasks |
//! | a copy was checked | that it is there, and the tasks that follow from what it is |
//! | link, pack, import, forget, unpack | what is installed or saved from here on |
//! | settle, hook | what was decided from here on, and before |
//! | all is done that can fail | that nothing will be undone, before anything is deleted |
//! | a task failed, or a person aborted | that it will be undone, before anything is |
//! | all is done or undone | that it has come to its end |

use super::{
    Change, Step,
    plan::{self, Accepted},
    transition::{ABORTED_CODE, Event, Next},
    work::{Outcome, Way},
};
use crate::{
    error::{Error, Result},
    mutant::{self, Mutant},
    settings::Edit,
    state::State,
};
use protocol::control::Failure;

/// What tasks do to the world: appd's own, or the simulator's.
#[expect(async_fn_in_trait, reason = "both worlds live on one thread")]
pub trait World {
    /// What is installed, as it was last stored or is about to be.
    fn state(&self) -> State;
    /// Holds a state as the present one without storing it: what is lost by a cut does not matter.
    fn hold(&self, state: State);
    /// Stores a state, then holds it as the present one.
    fn commit(&self, state: State) -> Result<()>;
    /// Unix time in seconds.
    fn now(&self) -> u64;
    /// Whether a person wants this change undone.
    fn is_aborted(&self, id: u32) -> bool;
    /// Refuses when so many bytes and the reserve are not free.
    fn room(&self, what: &str, needed: u64) -> Result<()>;
    /// Bytes that a copy of the current data of a snap needs; 0 without one.
    fn data_size(&self, name: &str) -> Result<u64>;
    /// Makes the checked copy of a [`Step::Fetch`].
    async fn fetch(&self, step: &Step) -> Result<Accepted>;
    /// Does to the files what a step does ([`super::work::carry_out`]).
    async fn files(&self, step: &Step, way: Way) -> Result<Outcome>;
    /// Ends the services of a snap and lets go of its file.
    async fn stop(&self, name: &str) -> Result<()>;
    /// Runs a hook of what is current under this name, if it has it. What it decides.
    async fn hook(&self, name: &str, hook: &str) -> Result<Vec<Edit>>;
    /// Starts what is current under this name, unless it is disabled or there is nothing; with
    /// proof: an error when it does not stay up.
    async fn start(&self, name: &str, proof: bool) -> Result<()>;
}

/// Stores a new change; [`run`] then carries it out.
pub fn begin(world: &impl World, change: Change) -> Result<u32> {
    let mut state = world.state();
    for step in change.steps() {
        if let Step::Pack { set, .. } | Step::Import { set, .. } = step {
            state.last_set = state.last_set.max(*set);
        }
    }
    let id = state.begin(change);
    world.commit(state)?;
    Ok(id)
}

/// What a change is that appd finds under way when it starts.
pub fn resume(world: &impl World) -> Option<u32> {
    let mut state = world.state();
    let id = state.under_way()?;
    if mutant::is(Mutant::ForgetsWhatWasUnderWay) {
        state.changes.remove(&id);
        world.hold(state);
        return None;
    }
    if let Some(change) = state.changes.get_mut(&id) {
        change.resume();
    }
    // Without the write it is still resumed, only not counted.
    if let Err(error) = world.commit(state.clone()) {
        eprintln!("change {id}: {error}");
        world.hold(state);
    }
    Some(id)
}

/// Carries a change out to its end. Returns what to tell.
pub async fn run(world: &impl World, id: u32) -> std::result::Result<String, Failure> {
    loop {
        let mut state = world.state();
        let Some(change) = state.changes.get_mut(&id) else { return Ok(String::new()) };
        if world.is_aborted(id) && change.can_turn() {
            let message = format!("change {id} was aborted");
            change.turn(Failure { code: ABORTED_CODE.into(), message });
            store(world, state);
            continue;
        }
        match change.next() {
            Next::Do(at) => advance(world, id, at).await,
            Next::Undo(at) => take_back(world, id, at).await,
            Next::End => {
                let now = world.now();
                change.end(now);
                let (failure, told) = (change.failure.clone(), change.told.join("\n"));
                state.forget_changes(now);
                store(world, state);
                return failure.map_or(Ok(told), Err);
            }
        }
    }
}

/// Stores what must go on even if it cannot be stored: a partition that takes no writes is no
/// reason to leave a snap stopped.
fn store(world: &impl World, state: State) {
    if let Err(error) = world.commit(state.clone()) {
        eprintln!("changes: {error}");
        world.hold(state);
    }
}

/// One task is done, or fails.
async fn advance(world: &impl World, id: u32, at: usize) {
    let Some(step) = begun(world, id, at) else { return };
    if step.deletes() {
        return delete(world, id, at, &step).await;
    }
    let result = match perform(world, &step).await {
        Ok(outcome) => finished(world, id, at, &step, outcome),
        Err(error) => Err(error),
    };
    let Err(error) = result else { return };
    // What it made so far goes with it.
    if !mutant::is(Mutant::FailureLeavesThings) {
        note(world, id, at, revoke(world, &step).await.err());
    }
    let mut state = world.state();
    if let Some(change) = state.changes.get_mut(&id) {
        if let Some(task) = change.tasks.get_mut(at) {
            task.note(&error.to_string());
        }
        change.apply(at, Event::Fail);
        change.turn(error.failure());
    }
    store(world, state);
}

fn begun(world: &impl World, id: u32, at: usize) -> Option<Step> {
    let mut state = world.state();
    let change = state.changes.get_mut(&id)?;
    let step = change.tasks.get(at)?.step.clone();
    change.apply(at, Event::Begin);
    match step {
        Some(step) => {
            world.hold(state);
            Some(step)
        }
        None => {
            change.apply(at, Event::Fail);
            world.hold(state);
            None
        }
    }
}

/// What a step brought about.
enum Performed {
    Files(Outcome),
    Copy(Box<Accepted>, u64),
}

async fn perform(world: &impl World, step: &Step) -> Result<Performed> {
    match step {
        Step::Fetch { .. } => {
            let accepted = world.fetch(step).await?;
            let data = world.data_size(&accepted.name)?;
            Ok(Performed::Copy(Box::new(accepted), data))
        }
        Step::Stop { name } => {
            world.stop(name).await?;
            Ok(Performed::Files(Outcome::Done))
        }
        Step::Start { name } => {
            world.start(name, true).await?;
            Ok(Performed::Files(Outcome::Done))
        }
        Step::Hook { name, hook, .. } => {
            let edits = world.hook(name, hook).await?;
            Ok(Performed::Files(Outcome::Decided(edits)))
        }
        step => world.files(step, Way::Do).await.map(Performed::Files),
    }
}

/// A task is done: the state says so, and what follows from it.
fn finished(world: &impl World, id: u32, at: usize, step: &Step, done: Performed) -> Result<()> {
    let mut state = world.state();
    let Some(mut change) = state.changes.remove(&id) else { return Ok(()) };
    change.apply(at, Event::Succeed);
    match done {
        Performed::Copy(accepted, data) => {
            let needed = plan::to_be_copied(&change) + data;
            world.room(&format!("{}: the copy of its data", accepted.name), needed)?;
            let (steps, told) = plan::accepted(&mut state, &change, &accepted, data)?;
            change.extend(steps);
            change.told.push(told);
        }
        Performed::Files(Outcome::Decided(edits)) => decided(&mut state, &mut change, at, &edits)?,
        Performed::Files(outcome) => effect(&mut state, step, Way::Do, outcome),
    }
    let next_deletes = match change.next() {
        Next::Do(next) => change.tasks[next].deletes(),
        Next::Undo(_) | Next::End => false,
    };
    let careless = mutant::is(Mutant::DeletesBeforeStoring);
    state.changes.insert(id, change);
    if step.is_stored() || next_deletes && !careless {
        return world.commit(state);
    }
    world.hold(state);
    Ok(())
}

/// What a hook decided holds from here on, and the task remembers what was before.
fn decided(state: &mut State, change: &mut Change, at: usize, edits: &[Edit]) -> Result<()> {
    let step = change.tasks.get_mut(at).and_then(|task| task.step.as_mut());
    let Some(Step::Hook { name, before, .. }) = step else { return Ok(()) };
    let mut settings = state.settings_of(name);
    *before = Some(settings.clone());
    settings.apply(edits)?;
    state.settle(name, settings);
    Ok(())
}

/// What a step means for what is installed and saved.
fn effect(state: &mut State, step: &Step, way: Way, outcome: Outcome) {
    match (step, way, outcome) {
        (Step::Link { name, before, after }, way, _) => {
            let snap = if way == Way::Do { after } else { before };
            match snap {
                Some(snap) => drop(state.snaps.insert(name.clone(), snap.clone())),
                None => drop(state.snaps.remove(name)),
            }
        }
        (Step::Pack { set, .. } | Step::Import { set, .. }, Way::Do, Outcome::Made(made)) => {
            state.snapshots.entry(*set).or_default().extend(made);
        }
        (Step::Settle { name, before, after }, way, _) => {
            let settings = if way == Way::Do { after } else { before };
            state.settle(name, settings.clone());
        }
        (Step::Hook { name, before: Some(before), .. }, Way::Undo, _) => {
            state.settle(name, before.clone());
        }
        (Step::Pack { set, name, .. }, Way::Undo, _) => forget(state, *set, name),
        (Step::Import { set, .. }, Way::Undo, _) => drop(state.snapshots.remove(set)),
        (Step::Forget { set, name, .. }, Way::Do, _) => forget(state, *set, name),
        (Step::Forget { set, name, snapshot }, Way::Undo, _) => {
            state.snapshots.entry(*set).or_default().insert(name.clone(), snapshot.clone());
        }
        _ => {}
    }
}

fn forget(state: &mut State, set: u32, name: &str) {
    if let Some(snaps) = state.snapshots.get_mut(&set) {
        snaps.remove(name);
        if snaps.is_empty() {
            state.snapshots.remove(&set);
        }
    }
}

/// What cannot be deleted now is swept away when appd starts: no reason to fail.
async fn delete(world: &impl World, id: u32, at: usize, step: &Step) {
    let deleted = world.files(step, Way::Do).await;
    note(world, id, at, deleted.err());
    let mut state = world.state();
    if let Some(change) = state.changes.get_mut(&id) {
        change.apply(at, Event::Succeed);
    }
    world.hold(state);
}

fn note(world: &impl World, id: u32, at: usize, error: Option<Error>) {
    let Some(error) = error else { return };
    eprintln!("change {id}: {error}");
    let mut state = world.state();
    let task = state.changes.get_mut(&id).and_then(|change| change.tasks.get_mut(at));
    if let Some(task) = task {
        task.note(&error.to_string());
        world.hold(state);
    }
}

/// One task is undone, or cannot be.
async fn take_back(world: &impl World, id: u32, at: usize) {
    let Some(step) = begun(world, id, at) else { return };
    // What the state names is there: first it no longer names it, then it goes.
    let mut state = world.state();
    effect(&mut state, &step, Way::Undo, Outcome::Done);
    if step.is_stored() {
        store(world, state);
    }
    let undone = revoke(world, &step).await;
    let event = if undone.is_ok() { Event::Succeed } else { Event::Fail };
    note(world, id, at, undone.err());
    let mut state = world.state();
    if let Some(change) = state.changes.get_mut(&id) {
        change.apply(at, event);
    }
    world.hold(state);
}

async fn revoke(world: &impl World, step: &Step) -> Result<()> {
    match step {
        Step::Stop { name } => world.start(name, false).await,
        // A hook may have made active what is not current any more.
        Step::Start { name } | Step::Link { name, .. } => world.stop(name).await,
        step => world.files(step, Way::Undo).await.map(drop),
    }
}
