//! The health gate, as a pure machine: what must hold before a slot is confirmed, and what follows
//! when it does not.
//!
//! | all hold | time is up | trial | before | then |
//! |---|---|---|---|---|
//! | yes | any | yes | starting | healthy: confirm the slot |
//! | yes | any | no | starting, unhealthy | healthy |
//! | no | no | any | starting | starting: what is waited for |
//! | no | yes | yes | starting | unhealthy: drop the trial, reboot |
//! | no | yes | no | starting | unhealthy: report, stay up |
//! | no | any | any | healthy | healthy until [`GRACE_MS`] passed, then unhealthy: report, stay up |
//!
//! A trial that was confirmed is a confirmed slot; nothing that happens later takes that back by
//! itself.

use protocol::control::Health;

/// After the gate, a required service may be down this long (a restart, an update of an app) before
/// it is reported.
pub const GRACE_MS: u64 = 60_000;

/// What follows from a decision; each is returned once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    None,
    /// Became healthy; on a trial: confirm.
    Healthy,
    /// Became unhealthy without being on an unconfirmed trial: report.
    Unhealthy(Vec<String>),
    /// The trial failed: drop it, record why, reboot.
    EndTrial(Vec<String>),
}

/// The gate.
#[derive(Debug)]
pub struct Gate {
    deadline: u64,
    trial: bool,
    health: Health,
    missing_since: Option<u64>,
}

impl Gate {
    /// A gate that decides by `deadline` (milliseconds of the caller's clock).
    pub fn new(trial: bool, deadline: u64) -> Self {
        Self { deadline, trial, health: Health::Starting(Vec::new()), missing_since: None }
    }

    /// What it says now.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The time of the next decision that needs no event.
    pub fn next_deadline(&self) -> Option<u64> {
        match (&self.health, self.missing_since) {
            (Health::Starting(_), _) => Some(self.deadline),
            (Health::Healthy, Some(since)) => Some(since + GRACE_MS),
            _ => None,
        }
    }

    /// There is nothing to wait for after `time`: something cannot hold any more.
    pub fn decide_by(&mut self, time: u64) {
        self.deadline = self.deadline.min(time);
    }

    /// Looks at what does not hold at this moment.
    pub fn look(&mut self, missing: Vec<String>, now: u64) -> Verdict {
        let was_healthy = self.health == Health::Healthy;
        if missing.is_empty() {
            self.missing_since = None;
            if was_healthy {
                return Verdict::None;
            }
            self.health = Health::Healthy;
            return Verdict::Healthy;
        }
        if was_healthy {
            let since = *self.missing_since.get_or_insert(now);
            if now < since + GRACE_MS {
                return Verdict::None;
            }
            self.health = Health::Unhealthy(missing.clone());
            return Verdict::Unhealthy(missing);
        }
        if let Health::Starting(_) = self.health {
            if now < self.deadline {
                self.health = Health::Starting(missing);
                return Verdict::None;
            }
            self.health = Health::Unhealthy(missing.clone());
            return if self.trial {
                Verdict::EndTrial(missing)
            } else {
                Verdict::Unhealthy(missing)
            };
        }
        self.health = Health::Unhealthy(missing);
        Verdict::None
    }

    /// The slot was confirmed: from here on it is no trial.
    pub fn confirmed(&mut self) {
        self.trial = false;
    }

    /// Whether it runs on a trial that is not confirmed.
    pub fn on_trial(&self) -> bool {
        self.trial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Vec<String> {
        vec!["service appd is starting".into()]
    }

    #[test]
    fn the_table() {
        // (trial, looks: (missing?, time, verdict))
        type Look = (bool, u64, Verdict);
        let rows: &[(bool, &[Look])] = &[
            (true, &[(true, 10, Verdict::None), (false, 20, Verdict::Healthy)]),
            (false, &[(true, 10, Verdict::None), (false, 200, Verdict::Healthy)]),
            (true, &[(true, 99, Verdict::None), (true, 100, Verdict::EndTrial(missing()))]),
            (
                false,
                &[
                    (true, 100, Verdict::Unhealthy(missing())),
                    (true, 101, Verdict::None),
                    (false, 102, Verdict::Healthy),
                ],
            ),
            (
                false,
                &[
                    (false, 1, Verdict::Healthy),
                    (true, 1000, Verdict::None),
                    (true, 999 + GRACE_MS, Verdict::None),
                    (true, 1000 + GRACE_MS, Verdict::Unhealthy(missing())),
                ],
            ),
            (
                false,
                &[
                    (false, 1, Verdict::Healthy),
                    (true, 1000, Verdict::None),
                    (false, 2000, Verdict::None),
                    (true, 1000 + GRACE_MS, Verdict::None),
                ],
            ),
        ];
        for (row, (trial, looks)) in rows.iter().enumerate() {
            let mut gate = Gate::new(*trial, 100);
            for (is_missing, now, verdict) in *looks {
                let list = if *is_missing { missing() } else { Vec::new() };
                assert_eq!(gate.look(list, *now), *verdict, "row {row} at {now}");
            }
        }
    }

    #[test]
    fn what_cannot_hold_any_more_is_not_waited_for() {
        let mut gate = Gate::new(true, 100);
        gate.decide_by(200);
        assert_eq!(gate.look(missing(), 10), Verdict::None);
        gate.decide_by(20);
        assert_eq!(gate.next_deadline(), Some(20));
        assert_eq!(gate.look(missing(), 20), Verdict::EndTrial(missing()));
    }

    #[test]
    fn a_confirmed_trial_is_reported_not_ended() {
        let mut gate = Gate::new(true, 100);
        assert_eq!(gate.look(Vec::new(), 1), Verdict::Healthy);
        assert!(gate.on_trial());
        gate.confirmed();
        gate.look(missing(), 200);
        assert_eq!(gate.look(missing(), 200 + GRACE_MS), Verdict::Unhealthy(missing()));
    }
}
