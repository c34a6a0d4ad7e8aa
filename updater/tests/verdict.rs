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
    }
}

/// Slot, sequence, boot id, kind, confirmed, trial, boot reason.
type Row = (SlotName, u64, &'static str, BootKind, Option<SlotName>, Option<SlotName>, BootReason);

fn verdict(row: Row, tried: bool) -> String {
    let (slot, sequence, boot_id, boot_kind, confirmed, trial, boot_reason) = row;
    let status = SystemStatus {
        slot,
        sequence,
        boot_id: boot_id.into(),
        boot_kind,
        confirmed,
        trial,
        boot_reason,
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
    if tried {
        boots.push(record("trial", SlotName::B, BootKind::Trial, ""));
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
    let sick = || BootReason::Unhealthy("appd".into());
    let panic = || BootReason::Panic("oops".into());
    let into = || BootReason::Reboot("update to 2".into());
    let rows: [(Row, bool, &str); 16] = [
        ((B, 2, "later", Trial, Some(B), None, cold()), true, "Confirmed"),
        ((B, 2, "later", Confirmed, Some(B), None, cold()), true, "Confirmed"),
        ((B, 2, "later", Trial, Some(A), Some(B), cold()), true, "OnTrial"),
        ((B, 2, "later", Trial, None, None, cold()), true, "OnTrial"),
        ((A, 1, "staging", Confirmed, Some(A), Some(B), cold()), false, "NotTried"),
        ((A, 1, "staging", Fallback, Some(A), Some(B), cold()), false, "NotTried"),
        ((A, 1, "later", Fallback, Some(A), Some(B), cold()), false, "trial-not-booted"),
        ((A, 1, "later", Fallback, Some(A), Some(B), into()), false, "trial-not-booted"),
        ((A, 1, "later", Fallback, Some(A), Some(B), into()), true, "trial-failed"),
        ((A, 1, "later", Fallback, Some(A), Some(B), panic()), false, "trial-panicked"),
        ((A, 1, "later", Fallback, Some(A), Some(B), BootReason::Watchdog), true, "trial-hung"),
        ((A, 1, "later", Confirmed, Some(A), Some(B), cold()), false, "NotTried"),
        ((A, 1, "later", Confirmed, Some(A), None, sick()), true, "trial-unhealthy"),
        ((A, 1, "later", Confirmed, Some(A), None, cold()), true, "trial-failed"),
        ((A, 1, "later", Confirmed, Some(A), None, cold()), false, "NotTried"),
        // The staged slot runs, but something else is in it.
        ((B, 1, "later", Confirmed, Some(B), None, cold()), false, "NotTried"),
    ];
    for (number, (row, tried, expected)) in rows.into_iter().enumerate() {
        assert_eq!(verdict(row, tried), expected, "row {number}");
    }
}
