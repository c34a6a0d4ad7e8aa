//! How a staged release ended, judged from what init says after a boot. Pure.
//!
//! | running slot | boot | environment | recorded boots | verdict |
//! |---|---|---|---|---|
//! | the staged one, right sequence | any | it is confirmed | | confirmed |
//! | the staged one, right sequence | any | it is not confirmed | | on trial |
//! | another | the one that staged | | | not tried |
//! | another | fallback | | | fell back |
//! | another | other | trial still set | | not tried |
//! | another | other | no trial | a trial of the staged slot since | fell back |
//! | another | other | no trial | none | not tried |
//!
//! "Not tried": the power went between the note "staged" and the write of the environment, or
//! before the reboot; the slot is read back and staged again.

use crate::state::Staged;
use protocol::control::{BootKind, BootReason, BootRecord, Failure, SystemStatus};

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It runs and is the confirmed one.
    Confirmed,
    /// It runs, the health gate has not decided.
    OnTrial,
    /// The boot loader has not tried it.
    NotTried,
    /// It was tried; why it does not run.
    FellBack(Failure),
}

/// Judges by the table above.
pub fn judge(staged: &Staged, status: &SystemStatus, boots: &[BootRecord]) -> Verdict {
    let runs = status.slot == staged.slot && status.sequence == staged.release.sequence;
    let since = boots.iter().rposition(|boot| boot.boot_id == staged.boot_id);
    let trial = boots[since.map_or(0, |at| at + 1)..]
        .iter()
        .rev()
        .find(|boot| boot.slot == staged.slot && boot.kind == BootKind::Trial);
    match (runs, status.confirmed == Some(staged.slot)) {
        (true, true) => Verdict::Confirmed,
        (true, false) => Verdict::OnTrial,
        (false, _) if status.boot_id == staged.boot_id => Verdict::NotTried,
        (false, _) if status.boot_kind == BootKind::Fallback => fell_back(status, trial),
        (false, _) if status.trial == Some(staged.slot) => Verdict::NotTried,
        (false, _) if trial.is_some() => fell_back(status, trial),
        (false, _) => Verdict::NotTried,
    }
}

/// The reason: what init recorded of the last start, else how the trial's own record ended.
fn fell_back(status: &SystemStatus, trial: Option<&BootRecord>) -> Verdict {
    let outcome = trial.map(|boot| boot.outcome.as_str()).filter(|text| !text.is_empty());
    let (code, message) = match (&status.boot_reason, outcome) {
        (BootReason::Unhealthy(why), _) => ("trial-unhealthy", why.clone()),
        (BootReason::Panic(log), _) => ("trial-panicked", panic_first(log)),
        (BootReason::Watchdog, _) => ("trial-hung", "the watchdog ended the trial".into()),
        (_, Some(outcome)) => ("trial-failed", outcome.into()),
        (BootReason::Reboot(why), None) if trial.is_some() => {
            ("trial-failed", format!("rebooted: {why}"))
        }
        (_, None) if trial.is_some() => ("trial-failed", "ended without a record".into()),
        // the last reboot on record is the one into the trial: it says nothing of the trial
        (_, None) => ("trial-not-booted", "the trial did not load, or ended before init".into()),
    };
    Verdict::FellBack(Failure { code: code.into(), message })
}

/// The kernel's log with the line that says what happened before the lines that led to it.
fn panic_first(log: &str) -> String {
    let (panic, rest): (Vec<_>, Vec<_>) =
        log.lines().partition(|line| line.contains("Kernel panic"));
    [panic, rest].concat().join("\n")
}
