//! What is done with the data partition before it is mounted, as a pure decision: nothing here
//! touches a disk, `data` does the steps.
//!
//! The first step, by what the superblock says:
//!
//! | superblock | a backup of it is whole | first |
//! |---|---|---|
//! | clean | any | mount |
//! | unclean: journal to replay, or time for a check | any | preen |
//! | flagged: errors were recorded, or a check was asked for | any | full check |
//! | damaged: none, or its check sum is wrong | yes | check from the backup |
//! | damaged | no | renew |
//! | unreadable: the card gives no answer | yes | check from the backup |
//! | unreadable | no | memory |
//! | foreign: whole, with another label | any | memory |
//!
//! And after each step:
//!
//! | step | outcome | checked before, and how it ended | then |
//! |---|---|---|---|
//! | preen | unsound | any | full check |
//! | preen | sound, cut, not run | any | mount |
//! | full check, check from the backup | unsound | never, preen | full check |
//! | full check, check from the backup | any other | any other | mount |
//! | mount | mounted | any | done |
//! | mount | refused, failed | never, preen | full check |
//! | mount | refused | full check, unsound; a backup is whole | check from the backup |
//! | mount | refused | full check, unsound; no backup | renew |
//! | mount | refused | from the backup, unsound | renew |
//! | mount | any other | any other | memory |
//! | renew | renewed | any | mount |
//! | renew | failed | any | memory |
//!
//! A check that ends unsound is made once more: e2fsck gives up after it has replayed a journal for
//! a superblock that it took from a backup, and finds its way from the new one.
//!
//! What always holds: a new file system is made only where no superblock is whole, or where a
//! check that came to its end could not mend the old one and the kernel refuses it for its
//! structure. "The card gave no answer", "the check was cut" and "there is no checker" are never a
//! reason.

/// What the partition looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing to be done.
    Clean,
    /// The journal is to be replayed, or it is time for a check.
    Unclean,
    /// Errors were recorded.
    Flagged,
    /// No superblock, or one with a wrong check sum.
    Damaged,
    /// It could not be read.
    Unreadable,
    /// Somebody else's.
    Foreign,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `e2fsck -p`: replays the journal, and mends what is safe without a question.
    Preen,
    /// `e2fsck -f -y`.
    FullCheck,
    /// `e2fsck -f -y -b`: from a backup superblock.
    BackupCheck,
    /// A new file system.
    Renew,
    /// Mount it.
    Mount,
    /// Give it up for this boot: `/data` is in memory.
    Memory,
    /// It is mounted.
    Done,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A check: the file system is in order now.
    Sound,
    /// A check: errors are left, or it could not work.
    Unsound,
    /// A check: its time was up.
    Cut,
    /// A check: it could not be started.
    NotRun,
    /// Mounted.
    Mounted,
    /// The kernel does not take the structure.
    Refused,
    /// Mounting failed for another reason, or writing a new file system did.
    Failed,
    /// There is a new file system.
    Renewed,
}

/// The first step.
pub fn first(found: Found, backup: bool) -> Step {
    match (found, backup) {
        (Found::Clean, _) => Step::Mount,
        (Found::Unclean, _) => Step::Preen,
        (Found::Flagged, _) => Step::FullCheck,
        (Found::Damaged, true) => Step::BackupCheck,
        (Found::Damaged, false) => Step::Renew,
        (Found::Unreadable, true) => Step::BackupCheck,
        (Found::Unreadable, false) => Step::Memory,
        (Found::Foreign, _) => Step::Memory,
    }
}

/// The step after one that ended; `checked` is the last step before it that was a check, or
/// [`Step::Renew`], with its outcome.
pub fn after(step: Step, outcome: Outcome, checked: Option<(Step, Outcome)>, backup: bool) -> Step {
    use Outcome::{Failed, Mounted, Refused, Renewed, Unsound};
    match (step, outcome, checked) {
        (Step::Preen, Unsound, _) => Step::FullCheck,
        (Step::Preen, _, _) => Step::Mount,
        (Step::FullCheck | Step::BackupCheck, Unsound, None | Some((Step::Preen, _))) => {
            Step::FullCheck
        }
        (Step::FullCheck | Step::BackupCheck, _, _) => Step::Mount,
        (Step::Mount, Mounted, _) => Step::Done,
        (Step::Mount, Refused | Failed, None | Some((Step::Preen, _))) => Step::FullCheck,
        (Step::Mount, Refused, Some((Step::FullCheck, Unsound))) if backup => Step::BackupCheck,
        (Step::Mount, Refused, Some((Step::FullCheck, Unsound))) => Step::Renew,
        (Step::Mount, Refused, Some((Step::BackupCheck, Unsound))) => Step::Renew,
        (Step::Mount, _, _) => Step::Memory,
        (Step::Renew, Renewed, _) => Step::Mount,
        (Step::Renew, _, _) => Step::Memory,
        (Step::Memory | Step::Done, _, _) => step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Cut, Failed, Mounted, NotRun, Refused, Renewed, Sound, Unsound};
    use Step::{BackupCheck, Done, FullCheck, Memory, Mount, Preen, Renew};

    #[test]
    fn the_table_of_first_steps() {
        for (found, backup, step) in [
            (Found::Clean, &[false, true][..], Mount),
            (Found::Unclean, &[false, true], Preen),
            (Found::Flagged, &[false, true], FullCheck),
            (Found::Damaged, &[true], BackupCheck),
            (Found::Damaged, &[false], Renew),
            (Found::Unreadable, &[true], BackupCheck),
            (Found::Unreadable, &[false], Memory),
            (Found::Foreign, &[false, true], Memory),
        ] {
            for backup in backup {
                assert_eq!(first(found, *backup), step, "{found:?}, backup {backup}");
            }
        }
    }

    #[test]
    fn the_table_of_steps_that_follow() {
        const ANY: &[bool] = &[false, true];
        let full = |outcome| Some((FullCheck, outcome));
        let backup = |outcome| Some((BackupCheck, outcome));
        let preen = Some((Preen, Sound));
        let renewed = Some((Renew, Renewed));
        let all = [None, preen, full(Sound), full(Unsound), backup(Unsound), renewed];
        type Row<'a> = (Step, &'a [Outcome], &'a [Option<(Step, Outcome)>], &'a [bool], Step);
        let rows: &[Row<'_>] = &[
            (Preen, &[Unsound], &[None], ANY, FullCheck),
            (Preen, &[Sound, Cut, NotRun], &[None], ANY, Mount),
            (FullCheck, &[Unsound], &[None, preen], ANY, FullCheck),
            (BackupCheck, &[Unsound], &[None, preen], ANY, FullCheck),
            (FullCheck, &[Sound, Cut, NotRun], &all, ANY, Mount),
            (BackupCheck, &[Sound, Cut, NotRun], &all, ANY, Mount),
            (FullCheck, &[Unsound], &[full(Unsound), backup(Unsound)], ANY, Mount),
            (BackupCheck, &[Unsound], &[full(Unsound)], ANY, Mount),
            (Mount, &[Mounted], &all, ANY, Done),
            (Mount, &[Refused, Failed], &[None, preen], ANY, FullCheck),
            (Mount, &[Refused], &[full(Unsound)], &[true], BackupCheck),
            (Mount, &[Refused], &[full(Unsound)], &[false], Renew),
            (Mount, &[Refused], &[backup(Unsound)], ANY, Renew),
            (Mount, &[Refused], &[full(Sound), full(Cut), full(NotRun)], ANY, Memory),
            (Mount, &[Refused], &[backup(Sound), backup(Cut), backup(NotRun)], ANY, Memory),
            (Mount, &[Refused], &[renewed], ANY, Memory),
            (Mount, &[Failed], &[full(Sound), full(Unsound), backup(Unsound)], ANY, Memory),
            (Mount, &[Failed], &[renewed], ANY, Memory),
            (Renew, &[Renewed], &all, ANY, Mount),
            (Renew, &[Failed], &all, ANY, Memory),
        ];
        for (step, outcomes, checked, backups, next) in rows {
            for (outcome, checked) in
                outcomes.iter().flat_map(|o| checked.iter().map(move |c| (o, c)))
            {
                for backup in *backups {
                    let got = after(*step, *outcome, *checked, *backup);
                    assert_eq!(got, *next, "{step:?} {outcome:?} {checked:?} {backup}");
                }
            }
        }
    }

    /// Whatever steps do, they come to an end, and soon.
    #[test]
    fn no_row_of_outcomes_goes_round() {
        const MOST_STEPS: usize = 9;
        fn walk(step: Step, checked: Option<(Step, Outcome)>, backup: bool, depth: usize) {
            assert!(depth <= MOST_STEPS, "{step:?} after {checked:?}");
            let outcomes: &[Outcome] = match step {
                Done | Memory => return,
                Mount => &[Mounted, Refused, Failed],
                Renew => &[Renewed, Failed],
                _ => &[Sound, Unsound, Cut, NotRun],
            };
            for outcome in outcomes {
                let then = if step == Mount { checked } else { Some((step, *outcome)) };
                walk(after(step, *outcome, checked, backup), then, backup, depth + 1);
            }
        }
        for backup in [false, true] {
            for step in [Mount, Preen, FullCheck, BackupCheck, Renew] {
                walk(step, None, backup, 0);
            }
        }
    }
}
