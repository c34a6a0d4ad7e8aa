//! What becomes of a task, and which one is next. Nothing here touches a disk.
//!
//! | status | event | then |
//! |---|---|---|
//! | do | begin | doing |
//! | do | turn | hold |
//! | do | cut | doing |
//! | doing | begin | doing |
//! | doing | succeed | done |
//! | doing | fail | error |
//! | doing | turn | undo |
//! | doing | cut | doing |
//! | done | turn | undo |
//! | undo | begin | undoing |
//! | undo | cut | undo |
//! | undoing | succeed | undone |
//! | undoing | fail | error |
//! | undoing | cut | undo |
//!
//! Anything else is no transition. *Turn* is for the whole change: from there it is undone. *Cut*
//! is for the tasks of which nobody knows, after a power cut, whether they were begun.

use super::{Change, Status, Step};
use protocol::control::Failure;

/// Code of a change that a person ended.
pub const ABORTED_CODE: &str = "aborted";
/// Code of a change that was under way whenever the power went.
pub const INTERRUPTED_CODE: &str = "change-interrupted";
/// A change that is taken up so often, and has not come to its end, is undone.
const MOST_RESUMED: u8 = 3;

/// What happens to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It is begun, or begun again.
    Begin,
    /// What was begun went well.
    Succeed,
    /// What was begun did not go well.
    Fail,
    /// The change is undone from here.
    Turn,
    /// appd starts again, and does not know.
    Cut,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 5] =
        [Event::Begin, Event::Succeed, Event::Fail, Event::Turn, Event::Cut];
}

/// The table; `None`: no transition.
pub fn after(status: Status, event: Event) -> Option<Status> {
    match (status, event) {
        (Status::Do, Event::Begin) => Some(Status::Doing),
        (Status::Do, Event::Turn) => Some(Status::Hold),
        (Status::Do, Event::Cut) => Some(Status::Doing),
        (Status::Doing, Event::Begin) => Some(Status::Doing),
        (Status::Doing, Event::Succeed) => Some(Status::Done),
        (Status::Doing, Event::Fail) => Some(Status::Error),
        (Status::Doing, Event::Turn) => Some(Status::Undo),
        (Status::Doing, Event::Cut) => Some(Status::Doing),
        (Status::Done, Event::Turn) => Some(Status::Undo),
        (Status::Undo, Event::Begin) => Some(Status::Undoing),
        (Status::Undo, Event::Cut) => Some(Status::Undo),
        (Status::Undoing, Event::Succeed) => Some(Status::Undone),
        (Status::Undoing, Event::Fail) => Some(Status::Error),
        (Status::Undoing, Event::Cut) => Some(Status::Undo),
        _ => None,
    }
}

/// What a change wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This task done.
    Do(usize),
    /// This task undone.
    Undo(usize),
    /// Nothing: every task has come to an end.
    End,
}

impl Change {
    /// The first task that is to be done; once it has turned, the last one that is to be undone.
    pub fn next(&self) -> Next {
        let undo = |status| matches!(status, Status::Undo | Status::Undoing);
        if let Some(at) = self.tasks.iter().rposition(|task| undo(task.status)) {
            return Next::Undo(at);
        }
        let due = |status| matches!(status, Status::Do | Status::Doing);
        self.tasks.iter().position(|task| due(task.status)).map_or(Next::End, Next::Do)
    }

    /// A task is begun, succeeds or fails. What is no transition changes nothing.
    pub fn apply(&mut self, at: usize, event: Event) {
        if let Some(task) = self.tasks.get_mut(at)
            && let Some(status) = after(task.status, event)
        {
            task.status = status;
        }
    }

    /// Whether it can still be undone: nothing was deleted for it.
    pub fn can_turn(&self) -> bool {
        let begun = |status| matches!(status, Status::Doing | Status::Done);
        self.ended.is_none()
            && self.failure.is_none()
            && !self.tasks.iter().any(|task| task.deletes() && begun(task.status))
    }

    /// From here it is undone.
    pub fn turn(&mut self, why: Failure) {
        self.failure = Some(why);
        (0..self.tasks.len()).for_each(|at| self.apply(at, Event::Turn));
    }

    /// appd starts and finds it under way. Of what was not stored, the tasks up to and including
    /// the next one that is stored may have been begun.
    pub fn resume(&mut self) {
        self.resumed = self.resumed.saturating_add(1);
        let mut marked = false;
        for at in 0..self.tasks.len() {
            let task = &self.tasks[at];
            let open = matches!(task.status, Status::Do | Status::Doing);
            if open && marked && task.deletes() {
                break;
            }
            marked |= open;
            let stored = task.step.as_ref().is_some_and(Step::is_stored);
            self.apply(at, Event::Cut);
            if open && stored {
                break;
            }
        }
        if self.resumed > MOST_RESUMED && self.can_turn() {
            let message = format!("appd ended {} times while it was under way", self.resumed);
            self.turn(Failure { code: INTERRUPTED_CODE.into(), message });
        }
    }

    /// Every task has come to an end: what they did is forgotten, how they ended is kept.
    pub fn end(&mut self, now: u64) {
        self.ended = Some(now);
        self.tasks.iter_mut().for_each(|task| task.step = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::*;

    /// As in the head of this file.
    const TABLE: [(Status, Event, Status); 14] = [
        (Do, Event::Begin, Doing),
        (Do, Event::Turn, Hold),
        (Do, Event::Cut, Doing),
        (Doing, Event::Begin, Doing),
        (Doing, Event::Succeed, Done),
        (Doing, Event::Fail, Error),
        (Doing, Event::Turn, Undo),
        (Doing, Event::Cut, Doing),
        (Done, Event::Turn, Undo),
        (Undo, Event::Begin, Undoing),
        (Undo, Event::Cut, Undo),
        (Undoing, Event::Succeed, Undone),
        (Undoing, Event::Fail, Error),
        (Undoing, Event::Cut, Undo),
    ];

    fn name() -> String {
        "a".into()
    }

    /// Two tasks that are not stored, one that is, one more, one that deletes.
    fn change() -> Change {
        let steps = vec![
            Step::DropRevision { name: name(), revision: 1 },
            Step::TakeFile { copy: 1, name: name(), revision: 2 },
            Step::Stop { name: name() },
            Step::Link { name: name(), before: None, after: None },
            Step::Start { name: name() },
        ];
        Change::new("refresh", "test".into(), 1, steps)
    }

    fn statuses(change: &Change) -> Vec<Status> {
        change.tasks.iter().map(|task| task.status).collect()
    }

    fn why() -> Failure {
        Failure { code: ABORTED_CODE.into(), message: "test".into() }
    }

    #[test]
    fn the_table_and_nothing_else() {
        for status in Status::ALL {
            for event in Event::ALL {
                let row = TABLE.iter().find(|(s, e, _)| (*s, *e) == (status, event));
                assert_eq!(
                    after(status, event),
                    row.map(|(_, _, then)| *then),
                    "{status:?} {event:?}"
                );
            }
        }
        let head = include_str!("transition.rs");
        for (status, event, then) in TABLE {
            let row = format!("//! | {status:?} | {event:?} | {then:?} |").to_lowercase();
            assert!(head.contains(&row), "{row}");
        }
    }

    #[test]
    fn all_is_done_in_order_and_what_deletes_comes_last() {
        let mut change = change();
        assert!(change.tasks[4].deletes());
        for at in 0..5 {
            assert_eq!(change.next(), Next::Do(at));
            change.apply(at, Event::Begin);
            assert_eq!(change.next(), Next::Do(at));
            assert_eq!(change.can_turn(), at < 4);
            change.apply(at, Event::Succeed);
        }
        assert_eq!(change.next(), Next::End);
        change.end(9);
        assert_eq!((change.status(), change.steps().count()), ("Done", 0));
    }

    #[test]
    fn a_failure_undoes_in_reverse_what_was_done() {
        let mut change = change();
        for at in 0..3 {
            change.apply(at, Event::Begin);
            change.apply(at, Event::Succeed);
        }
        change.apply(3, Event::Begin);
        change.apply(3, Event::Fail);
        change.turn(why());
        assert_eq!(statuses(&change), [Undo, Undo, Undo, Error, Hold]);
        for at in [2, 1, 0] {
            assert_eq!(change.next(), Next::Undo(at));
            change.apply(at, Event::Begin);
            change.apply(at, if at == 1 { Event::Fail } else { Event::Succeed });
        }
        assert_eq!(statuses(&change), [Undone, Error, Undone, Error, Hold]);
        assert_eq!(change.next(), Next::End);
        change.end(9);
        assert_eq!(change.status(), "Undone");
    }

    #[test]
    fn after_a_cut_all_that_may_have_begun_counts_as_begun() {
        let mut new = change();
        new.resume();
        assert_eq!(statuses(&new), [Doing, Doing, Doing, Do, Do]);
        let mut linked = change();
        for at in 0..3 {
            linked.apply(at, Event::Begin);
            linked.apply(at, Event::Succeed);
        }
        linked.resume();
        // Before anything is deleted it is stored that the rest is done.
        assert_eq!(statuses(&linked), [Done, Done, Done, Doing, Do]);
        linked.turn(why());
        assert_eq!(statuses(&linked), [Undo, Undo, Undo, Undo, Hold]);
        linked.apply(3, Event::Begin);
        linked.resume();
        assert_eq!(statuses(&linked), [Undo, Undo, Undo, Undo, Hold]);
    }

    #[test]
    fn what_is_interrupted_again_and_again_is_undone_unless_it_only_deletes() {
        let mut change = change();
        (0..MOST_RESUMED).for_each(|_| change.resume());
        assert_eq!(change.failure, None);
        change.resume();
        assert_eq!(change.failure.as_ref().map(|f| f.code.as_str()), Some(INTERRUPTED_CODE));
        assert_eq!(statuses(&change), [Undo, Undo, Undo, Hold, Hold]);

        let mut deleting = self::change();
        for at in 0..4 {
            deleting.apply(at, Event::Begin);
            deleting.apply(at, Event::Succeed);
        }
        (0..9).for_each(|_| deleting.resume());
        assert_eq!((deleting.failure.clone(), deleting.next()), (None, Next::Do(4)));
    }
}
