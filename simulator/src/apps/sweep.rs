//! Count, then cut: a clean run keeps the card as it is before each operation; then the power goes
//! there, and before each operation of the recovery from that.

use super::machine::{Machine, View};
use super::story::Story;
use super::tree::Tree;
use crate::loss::Loss;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How often what is left to chance is tried at each operation, and at each of the recovery.
const CHANCES: [u64; 2] = [3, 1];

/// What a sweep went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Operations of the clean run.
    pub operations: u64,
    /// Runs with one cut.
    pub single: u64,
    /// Runs with two.
    pub double: u64,
    /// Cards after a cut that had been seen to end well.
    pub known: u64,
    /// Runs that ended as before the change.
    pub undone: u64,
    /// Runs that ended as after it.
    pub done: u64,
}

/// What there may be.
struct Ends<'a> {
    before: &'a View,
    after: &'a View,
    seen: HashSet<u64>,
    swept: Swept,
}

/// Cuts a story everywhere; with `twice` also everywhere in the recovery.
///
/// # Errors
/// The first run that does not end well, and where the power went.
pub fn sweep(story: &Story, twice: bool) -> Result<Swept, String> {
    let named = |error: String| format!("{}: {error}", story.name);
    let (machine, before) = story.begin().map_err(named)?;
    machine.record();
    let after = story.finish(&machine, &before).map_err(named)?;
    let cards = machine.recorded();
    let mut ends =
        Ends { before: &before, after: &after, seen: HashSet::new(), swept: Swept::default() };
    let last = cards.len() - 1;
    ends.swept.operations = last as u64;
    for (at, card) in cards.iter().enumerate() {
        for (loss, seed) in ways(card, CHANCES[0]) {
            let cut = Machine::cut(card, loss, seed);
            let what = |error| named(format!("cut before operation {at}, lost: {loss:?}: {error}"));
            // What was reported as done stays done.
            let end = (at == last).then_some(&after);
            let Some(recovery) = ends.recover(cut, end, twice).map_err(what)? else { continue };
            ends.swept.single += 1;
            for (again, card) in recovery.iter().enumerate() {
                for (loss, seed) in ways(card, CHANCES[1]) {
                    let cut = Machine::cut(card, loss, seed);
                    let what = |error| what(format!("again {again}, lost: {loss:?}: {error}"));
                    if ends.recover(cut, end, false).map_err(what)?.is_some() {
                        ends.swept.double += 1;
                    }
                }
            }
        }
    }
    Ok(ends.swept)
}

/// The ways to lose what was not synced; one where nothing is to lose.
fn ways(card: &Tree, chances: u64) -> Vec<(Loss, u64)> {
    let random = (0..chances).map(|seed| (Loss::Random, seed));
    let all = [(Loss::Everything, 0), (Loss::Nothing, 0)].into_iter().chain(random);
    all.take(if card.is_dirty() { usize::MAX } else { 1 }).collect()
}

impl Ends<'_> {
    /// Starts from a card and looks at the end. The cards of the recovery; `None`: it is known.
    fn recover(
        &mut self,
        card: Tree,
        must_be: Option<&View>,
        record: bool,
    ) -> Result<Option<Vec<Tree>>, String> {
        let mut key = DefaultHasher::new();
        (&card, must_be.is_some()).hash(&mut key);
        if !self.seen.insert(key.finish()) {
            self.swept.known += 1;
            return Ok(None);
        }
        let machine = Machine::boot(card, record);
        let view = machine.view()?;
        let failure = machine.last_failure();
        let explain = |why: &str| {
            let (before, after) = (self.before, self.after);
            format!("{why} ({failure:?}):\n{view:?}\nbefore: {before:?}\nafter: {after:?}")
        };
        if must_be.is_some_and(|must_be| view != *must_be) {
            return Err(explain("what was reported is not there"));
        }
        if view != *self.before && view != *self.after {
            return Err(explain("neither as before nor as after"));
        }
        if failure.is_some_and(|failure| failure.code == "copy-lost") {
            return Err("a copy that was noted is lost".into());
        }
        // And it stays so.
        let again = Machine::boot(Machine::cut(&machine.card(), Loss::Everything, 0), false);
        if again.view()? != view {
            return Err("after another start there is something else".into());
        }
        match view == *self.before {
            true => self.swept.undone += 1,
            false => self.swept.done += 1,
        }
        Ok(Some(if record { machine.recorded() } else { Vec::new() }))
    }
}
