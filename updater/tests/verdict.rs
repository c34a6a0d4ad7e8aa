//! The decision table of `verdict`, row by row, in its order.

use protocol::control::{BootKind, BootReason, BootRecord, Health, SlotName, SystemStatus};
use updater::state::{ReleaseName, Staged};
use updater::verdict::{Verdict, judge};

fn staged() -> Staged {
    let release = ReleaseName { id: "id".into(), version: "2".into(), sequence: 2 };
    let boot_id = "staging".into();
    Staged { release, floor: 1, slot: SlotName::B, attempts: 2, boot_id }
}

fn record(boot_id: &str, slot: SlotName, kind: BootKind, outcome: &str) -> BootRecord {
    BootRecord {
        boot_id: boot_id.into(),
        time: 0,
        slot,
        version: String::new(),
        kind,
        reason: BootReason::Cold,
        outcome: outcome.into(),
        trial_left: None,
    }
}

/// What is told of one situation.
struct Row {
    slot: SlotName,
    sequence: u64,
    boot_id: &'static str,
    kind: BootKind,
    confirmed: Option<SlotName>,
    trial: Option<SlotName>,
    reason: BootReason,
    /// Boots since staging: how the trial's ended, and what a fallback says.
    trials: &'static [&'static str],
    fallbacks: Vec<(u8, BootReason)>,
}

fn verdict(row: Row) -> String {
    let status = SystemStatus {
        rollback_marks: Default::default(),
        slot: row.slot,
        sequence: row.sequence,
        floor: 1,
        boot_id: row.boot_id.into(),
        boot_kind: row.kind,
        confirmed: row.confirmed,
        trial: row.trial,
        boot_reason: row.reason,
        hostname: String::new(),
        board: String::new(),
        version: String::new(),
        uptime_s: 0,
        health: Health::Healthy,
        services: Vec::new(),
        init_memory_kib: None,
        temperature_mc: None,
        warnings: Vec::new(),
    };
    // An older trial of the same slot must not count.
    let mut boots = vec![
        record("older", SlotName::B, BootKind::Trial, "healthy"),
        record("staging", SlotName::A, BootKind::Confirmed, "healthy"),
    ];
    let trials = row.trials.iter();
    boots.extend(trials.map(|outcome| record("trial", SlotName::B, BootKind::Trial, outcome)));
    for (left, reason) in row.fallbacks {
        let boot = record("fallback", SlotName::A, BootKind::Fallback, "");
        boots.push(BootRecord { reason, trial_left: Some(left), ..boot });
    }
    match judge(&staged(), &status, &boots) {
        Verdict::FellBack(failure) => failure.code,
        other => format!("{other:?}"),
    }
}

#[test]
fn each_row_of_the_table() {
    use BootKind::{Confirmed, Fallback, Trial};
    use SlotName::{A, B};
    let cold = || BootReason::Cold;
    let panic = || BootReason::Panic("oops".into());
    let into = || BootReason::Reboot("update to 2".into());
    let sick = || BootReason::Unhealthy("appd".into());
    let hung = || BootReason::Watchdog;
    // The staged slot, and the other one, later than the boot that staged.
    let tried = |kind, confirmed, trial| Row {
        slot: B,
        sequence: 2,
        boot_id: "later",
        kind,
        confirmed,
        trial,
        reason: cold(),
        trials: &[""],
        fallbacks: Vec::new(),
    };
    let back = |kind, trial, reason, trials, fallbacks: &[(u8, BootReason)]| Row {
        slot: A,
        sequence: 1,
        boot_id: "later",
        kind,
        confirmed: Some(A),
        trial,
        reason,
        trials,
        fallbacks: fallbacks.to_vec(),
    };
    let rows: [(Row, &str); 21] = [
        (tried(Trial, Some(B), None), "Confirmed"),
        (tried(Confirmed, Some(B), None), "Confirmed"),
        (tried(Trial, Some(A), Some(B)), "OnTrial"),
        (tried(Trial, None, None), "OnTrial"),
        (Row { boot_id: "staging", ..back(Confirmed, Some(B), cold(), &[], &[]) }, "NotTried"),
        (back(Confirmed, None, cold(), &["unhealthy: appd"], &[]), "trial-unhealthy"),
        (back(Confirmed, None, cold(), &["healthy, confirmed"], &[]), "rolled-back"),
        (back(Confirmed, None, cold(), &["something else"], &[]), "trial-failed"),
        (back(Fallback, None, into(), &[], &[(1, into())]), "trial-not-booted"),
        (back(Fallback, None, panic(), &[], &[(0, panic())]), "trial-panicked"),
        (back(Fallback, None, hung(), &[""], &[(0, hung())]), "trial-hung"),
        (back(Fallback, None, sick(), &[""], &[(0, sick())]), "trial-unhealthy"),
        // A cut during the fall back: the first one knew.
        (back(Fallback, None, cold(), &[""], &[(0, panic()), (0, cold())]), "trial-panicked"),
        (back(Fallback, None, cold(), &[""], &[(0, cold())]), "Interrupted"),
        (back(Confirmed, None, cold(), &[], &[(0, into())]), "Interrupted"),
        (back(Fallback, Some(B), panic(), &[], &[]), "trial-panicked"),
        (back(Fallback, Some(B), into(), &[], &[]), "trial-not-booted"),
        (back(Confirmed, Some(B), cold(), &[], &[]), "NotTried"),
        (back(Confirmed, None, cold(), &[""], &[]), "trial-failed"),
        (back(Confirmed, None, cold(), &[], &[]), "NotTried"),
        // The staged slot runs, but something else is in it.
        (Row { sequence: 1, trials: &[], ..tried(Confirmed, Some(B), None) }, "NotTried"),
    ];
    for (number, (row, expected)) in rows.into_iter().enumerate() {
        assert_eq!(verdict(row), expected, "row {number}");
    }
}
