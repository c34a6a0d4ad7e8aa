//! All about the system in one report: what runs, what the slots hold, what the updater does and
//! waits for, the last boots.

use crate::show::{kind, or_dash, reason, size, slot, table, update_text};
use protocol::calendar::utc_text;
use protocol::control::{BootRecord, Health, SlotName, SystemStatus};
use protocol::fleet::{SlotContents, UpdateStatus, UpdaterStatus};
use protocol::policy::PolicyState;
use serde::Serialize;

/// Boots that are shown.
const BOOTS_SHOWN: usize = 5;

/// The report. JSON has init's status as it is, and the rest beside it.
#[derive(Debug, Serialize)]
pub struct System {
    #[serde(flatten)]
    system: SystemStatus,
    /// What the slots hold; absent: updaterd does not answer.
    slots: Option<SlotContents>,
    update: Option<UpdateStatus>,
    policy: Option<PolicyState>,
    /// Newest last.
    boots: Vec<BootRecord>,
}

impl System {
    /// Of what the daemons answered; of the boots the last ones.
    pub fn new(
        system: SystemStatus,
        updater: Option<UpdaterStatus>,
        mut boots: Vec<BootRecord>,
    ) -> Self {
        boots.drain(..boots.len().saturating_sub(BOOTS_SHOWN));
        let (slots, update, policy) = match updater {
            Some(all) => (Some(all.slots), Some(all.update), Some(all.policy)),
            None => (None, None, None),
        };
        Self { system, slots, update, policy, boots }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = self.head();
        text.push_str(&self.slots_table());
        text.push_str(&self.updates());
        text.push_str("\nLast boots\n");
        text.push_str(&boots_table(&self.boots));
        text.push('\n');
        text.push_str(&self.services());
        text
    }

    fn head(&self) -> String {
        let status = &self.system;
        let health = match &status.health {
            Health::Healthy => "healthy".to_string(),
            Health::Starting(waiting) => format!("starting, waiting for {}", waiting.join(", ")),
            Health::Unhealthy(missing) => format!("unhealthy: {}", missing.join(", ")),
        };
        let celsius = status.temperature_mc.map(|mc| format!("{:.1} °C", f64::from(mc) / 1000.0));
        let marks = &status.rollback_marks;
        let marks = match marks.unreadable {
            true => "cannot be read".to_string(),
            false => {
                format!("sequence {}, floor {}", or_dash(marks.sequence), or_dash(marks.floor))
            }
        };
        let mut text = format!(
            "{} ({}), release {} (sequence {}, floor {})\n\
             slot:        {}, booted as {}\nhealth:      {health}\nboot reason: {}\n\
             confirmed:   {}\nseen before: {marks}\nuptime:      {} s\ntemperature: {}\n",
            status.hostname,
            status.board,
            status.version,
            status.sequence,
            status.floor,
            slot(Some(status.slot)),
            kind(status.boot_kind),
            reason(&status.boot_reason),
            match status.confirmed {
                None => "unknown: the environment could not be read",
                some => slot(some),
            },
            status.uptime_s,
            or_dash(celsius),
        );
        for warning in &status.warnings {
            text.push_str(&format!("warning:     {warning}\n"));
        }
        text + "\n"
    }

    fn slots_table(&self) -> String {
        let status = &self.system;
        let row = |name: SlotName| {
            let here = Some(name);
            let states = [
                (status.slot == name, "running"),
                (status.confirmed == here, "confirmed"),
                (status.trial == here, "trial"),
            ];
            let states: Vec<&str> =
                states.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
            let held = self.slots.as_ref().and_then(|slots| slots.of(name));
            let version = match held {
                Some(held) if held.whole => held.version.clone(),
                Some(held) => format!("{} (in part)", held.version),
                None => "not known".into(),
            };
            let sequence = or_dash(held.map(|held| held.sequence));
            vec![slot(here).into(), version, sequence, states.join(", ")]
        };
        table(&["Slot", "Version", "Sequence", "State"], &[row(SlotName::A), row(SlotName::B)])
    }

    fn updates(&self) -> String {
        let (Some(update), Some(policy)) = (&self.update, &self.policy) else {
            return "\nUpdate\nupdaterd does not answer\n".into();
        };
        let zone = policy.zone.as_ref().map_or("UTC".into(), ToString::to_string);
        format!(
            "\nUpdate\n{}device:  {}\nfleet:   {}\nzone:    {zone}\n",
            update_text(update),
            policy.device,
            policy.fleet
        )
    }

    fn services(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .system
            .services
            .iter()
            .map(|s| {
                let last = s.last_exit.clone().unwrap_or_default();
                let memory = or_dash(s.memory_kib.map(|kib| size(u64::from(kib) << 10)));
                let restarts = s.restarts.to_string();
                vec![s.name.clone(), s.state.clone(), or_dash(s.pid), memory, restarts, last]
            })
            .collect();
        table(&["Service", "State", "Pid", "Memory", "Restarts", "Last exit"], &rows)
    }
}

/// Recorded boots and how they ended.
pub fn boots_table(boots: &[BootRecord]) -> String {
    let rows: Vec<Vec<String>> = boots
        .iter()
        .map(|boot| {
            vec![
                utc_text(boot.time),
                slot(Some(boot.slot)).into(),
                boot.version.clone(),
                kind(boot.kind).into(),
                reason(&boot.reason),
                boot.outcome.clone(),
            ]
        })
        .collect();
    table(&["Time", "Slot", "Version", "Kind", "Reason", "Outcome"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::control::{BootKind, BootReason};
    use protocol::fleet::{SlotContent, UpdatePhase};
    use protocol::policy::{Party, WaitReason, Waiting};

    fn status() -> SystemStatus {
        SystemStatus {
            hostname: "barn".into(),
            board: "rpi3".into(),
            version: "2.0.0".into(),
            sequence: 2,
            floor: 1,
            slot: SlotName::B,
            confirmed: Some(SlotName::B),
            trial: None,
            rollback_marks: Default::default(),
            boot_kind: BootKind::Confirmed,
            boot_reason: BootReason::Cold,
            boot_id: "b".into(),
            uptime_s: 5,
            health: Health::Healthy,
            services: Vec::new(),
            init_memory_kib: None,
            temperature_mc: None,
            warnings: Vec::new(),
        }
    }

    fn updater() -> UpdaterStatus {
        let held = |version: &str, sequence, whole| {
            Some(SlotContent { version: version.into(), sequence, whole })
        };
        let slots = SlotContents { a: held("3.0.0", 3, false), b: held("2.0.0", 2, true) };
        let waiting = Waiting { reason: WaitReason::Hold, by: Party::Fleet, until: Some(0) };
        let update = UpdateStatus {
            phase: UpdatePhase::Waiting,
            version: Some("3.0.0".into()),
            sequence: Some(3),
            chunks_done: 1,
            chunks_total: 4,
            bytes_fetched: 9,
            failure: None,
            waiting: Some(waiting),
        };
        let mut policy = PolicyState::default();
        policy.fleet.hold = Some("1970-01-01".parse().unwrap());
        UpdaterStatus { update, slots, policy }
    }

    fn boot(outcome: &str) -> BootRecord {
        BootRecord {
            boot_id: "b".into(),
            time: 0,
            slot: SlotName::A,
            version: "2.0.0".into(),
            kind: BootKind::Trial,
            reason: BootReason::Cold,
            outcome: outcome.into(),
            trial_left: None,
        }
    }

    #[test]
    fn slots_phase_reason_policy_and_boots_are_shown() {
        let outcome = "unhealthy: check app:hello fails: hello.hello is failed";
        let report = System::new(
            status(),
            Some(updater()),
            vec![boot("first"); 5].into_iter().chain([boot(outcome)]).collect(),
        );
        let text = report.text();
        for line in [
            "barn (rpi3), release 2.0.0 (sequence 2, floor 1)",
            "a     3.0.0 (in part)  3",
            "b     2.0.0            2         running, confirmed",
            "phase:   waiting",
            "waits:   held by the fleet until 1970-01-01T00:00:00Z",
            "device:  none",
            "fleet:   held until 1970-01-01T00:00:00Z",
            outcome,
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
        assert_eq!(text.matches("first").count(), 4, "five boots in all");
    }

    #[test]
    fn without_updaterd_the_rest_is_shown_and_json_is_init_s_status_with_more() {
        let report = System::new(status(), None, Vec::new());
        assert!(report.text().contains("updaterd does not answer"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(serde_json::from_value::<SystemStatus>(json).unwrap(), status());
        let json =
            serde_json::to_value(System::new(status(), Some(updater()), Vec::new())).unwrap();
        assert_eq!(json["slots"]["a"]["sequence"], 3);
        assert_eq!(json["update"]["waiting"]["by"], "fleet");
    }
}
