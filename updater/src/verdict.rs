//! How a staged release ended, judged from what init says after a boot. Pure.
//!
//! | running slot | this boot | recorded boots since staging | verdict |
//! |---|---|---|---|
//! | the staged one, right sequence | it is confirmed | | confirmed |
//! | the staged one, right sequence | it is not confirmed | | on trial |
//! | another | the one that staged | | not tried |
//! | another | later | a trial with an outcome | fell back: the outcome |
//! | another | later | a fallback, attempts were left | fell back: it did not load |
//! | another | later | a fallback after a panic, a hang, an unhealthy end | fell back: that |
//! | another | later | a fallback, nothing known of the end | interrupted |
//! | another | a fallback, not recorded | | fell back: why it started |
//! | another | the trial is still set | | not tried |
//! | another | no trial is set | a trial without an outcome | fell back: no record |
//! | another | no trial is set | none | not tried |
//!
//! "Not tried": the power went between the note "staged" and the write of the environment, or
//! before the reboot. "Interrupted": every attempt was used up and nothing says that the release
//! was at fault, so the power went each time. Both are staged again, after the slot was read back;
//! how often an interrupted one is, the machine bounds.

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
    /// It was tried, and the power went during each attempt.
    Interrupted,
    /// It was tried; why it does not run.
    FellBack(Failure),
}

/// Judges by the table above.
pub fn judge(staged: &Staged, status: &SystemStatus, boots: &[BootRecord]) -> Verdict {
    if status.slot == staged.slot && status.sequence == staged.release.sequence {
        let confirmed = status.confirmed == Some(staged.slot);
        return if confirmed { Verdict::Confirmed } else { Verdict::OnTrial };
    }
    if status.boot_id == staged.boot_id {
        return Verdict::NotTried;
    }
    let since = boots.iter().rposition(|boot| boot.boot_id == staged.boot_id);
    let since = &boots[since.map_or(0, |at| at + 1)..];
    let is_trial = |boot: &&BootRecord| boot.slot == staged.slot && boot.kind == BootKind::Trial;
    let trial = since.iter().rev().find(is_trial);
    let outcome = since.iter().rev().filter(is_trial).find(|boot| !boot.outcome.is_empty());
    if let Some(boot) = outcome {
        return after_outcome(&boot.outcome);
    }
    // A cut during the fall back gives a second one, which knows nothing of the end any more.
    let mut passed_over = since.iter().filter_map(|boot| Some((boot.trial_left?, &boot.reason)));
    if let Some(blamed) = passed_over.clone().find_map(|(_, reason)| after(reason)) {
        return blamed;
    }
    match passed_over.next() {
        Some((1.., _)) => not_booted(),
        Some((0, _)) => Verdict::Interrupted,
        None if status.boot_kind == BootKind::Fallback => {
            after(&status.boot_reason).unwrap_or_else(not_booted)
        }
        None if status.trial == Some(staged.slot) => Verdict::NotTried,
        None if trial.is_some() => fell_back("trial-failed", "ended without a record".into()),
        None => Verdict::NotTried,
    }
}

/// What the start after a trial says of its end, where it says something.
fn after(reason: &BootReason) -> Option<Verdict> {
    match reason {
        BootReason::Unhealthy(why) => Some(fell_back("trial-unhealthy", why.clone())),
        BootReason::Panic(log) => Some(fell_back("trial-panicked", panic_first(log))),
        BootReason::Watchdog => {
            Some(fell_back("trial-hung", "the watchdog ended the trial".into()))
        }
        BootReason::Cold | BootReason::Reboot(_) | BootReason::Unknown => None,
    }
}

/// What init wrote of a trial that it saw the end of.
fn after_outcome(outcome: &str) -> Verdict {
    if let Some(why) = outcome.strip_prefix("unhealthy: ") {
        fell_back("trial-unhealthy", why.into())
    } else if outcome == "healthy" || outcome == "healthy, confirmed" {
        fell_back("rolled-back", "another slot was confirmed afterwards".into())
    } else {
        fell_back("trial-failed", outcome.into())
    }
}

fn not_booted() -> Verdict {
    fell_back("trial-not-booted", "the trial did not load, or ended before init".into())
}

fn fell_back(code: &str, message: String) -> Verdict {
    Verdict::FellBack(Failure { code: code.into(), message })
}

/// The kernel's log with the line that says what happened before the lines that led to it.
fn panic_first(log: &str) -> String {
    let (panic, rest): (Vec<_>, Vec<_>) =
        log.lines().partition(|line| line.contains("Kernel panic"));
    [panic, rest].concat().join("\n")
}
