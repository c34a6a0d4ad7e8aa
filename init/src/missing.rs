//! What the health gate waits for: what every release is asked for, and what this one declares.

use crate::{
    checks::{self, Seen},
    clock,
    machine::Machine,
};
use protocol::{checks::Check, control::Health};

/// Named checks of services that are kept.
const CHECK_LIMIT: usize = 32;

impl Machine {
    /// What does not hold at this moment, and whether some of it cannot hold any more.
    pub(crate) fn missing(&self) -> (Vec<String>, bool) {
        let mut missing = self.supervisor.missing();
        if let Some(floor) = self.below_floor {
            let sequence = self.facts.release.sequence;
            missing.insert(0, format!("release {sequence} is below the floor {floor}"));
        }
        if self.supervisor.index_of("appd").is_some() && !self.probe.answering() {
            missing.push("appd does not answer".into());
        }
        let passed = *self.gate.health() == Health::Healthy;
        if self.has_fleet() && self.facts.release.fleet_required && !passed {
            match self.checks.get("fleet") {
                Some((true, _)) => {}
                Some((false, detail)) => missing.push(format!("fleet not reached: {detail}")),
                None => missing.push("fleet not reached yet".into()),
            }
        }
        if !self.gate.on_trial() {
            return (missing, false);
        }
        missing.extend(self.facts.release_unknown.clone());
        let declared = self.declared();
        let for_good = declared.iter().any(|failing| failing.for_good);
        missing.extend(declared.into_iter().map(|failing| failing.text));
        (missing, for_good || self.facts.release_unknown.is_some())
    }

    /// What the release declares and does not hold.
    fn declared(&self) -> Vec<checks::Failing> {
        let declared = &self.facts.release.checks;
        if declared.is_empty() {
            return Vec::new();
        }
        let seen = Seen {
            services: &self.supervisor.status(),
            apps: self.probe.apps(),
            has_fleet: self.has_fleet(),
            fleet_at: self.fleet_at,
            now: clock::now_ms(),
        };
        checks::failing(declared, &seen)
    }

    /// Whether the services of apps are to be asked for.
    pub(crate) fn wants_apps(&self) -> bool {
        let declared = &self.facts.release.checks;
        self.gate.on_trial() && declared.iter().any(|check| matches!(check, Check::App(_)))
    }

    fn has_fleet(&self) -> bool {
        self.config.fleet.as_ref().is_some_and(|fleet| fleet.required)
    }

    /// A service says that something holds or does not.
    pub(crate) fn check(&mut self, name: String, ok: bool, detail: String) {
        if name == "fleet" && ok {
            self.fleet_at.get_or_insert(clock::now_ms());
        }
        if self.checks.len() < CHECK_LIMIT || self.checks.contains_key(&name) {
            self.checks.insert(name, (ok, detail));
        }
    }
}
