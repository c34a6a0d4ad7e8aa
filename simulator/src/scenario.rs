//! The scenarios that the sweep cuts at every operation, each with what must come of it.

use crate::device::{Order, When};
use crate::release::{Behaviour, Deltas, Release};
use crate::world::{Handle, World};
use Order::{Deploy, HandOutKeys, LoseRequests, Retry, RollBackFrom, Rot};
use When::{AtRest, During};
use protocol::fleet::UpdatePhase::{self, Confirmed, Downloading, FellBack, Refused, Trial};
use std::cell::RefCell;
use std::rc::Rc;

/// What happens, and what must come of it.
pub struct Scenario {
    /// One sentence.
    pub name: &'static str,
    /// What is done.
    pub plan: &'static [(When, Order)],
    /// How much of the plan is carried out before the first cut: other scenarios cut that.
    pub uncut: usize,
    /// The release that runs in the end.
    pub runs: u64,
    /// How the updater's last report reads.
    pub ending: (UpdatePhase, Option<&'static str>),
}

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "a full update",
        plan: &[(AtRest, Deploy(2))],
        uncut: 0,
        runs: 2,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "two updates in a row",
        plan: &[(AtRest, Deploy(2)), (AtRest, Deploy(3))],
        uncut: 2,
        runs: 3,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a download that is interrupted and resumed",
        plan: &[(AtRest, Deploy(3)), (During(Downloading), LoseRequests(3))],
        uncut: 0,
        runs: 3,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "an update by a delta",
        plan: &[(AtRest, Order::Make(Deltas::Good)), (AtRest, Deploy(9))],
        uncut: 0,
        runs: 9,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a delta that is wrong costs nothing but time",
        plan: &[(AtRest, Order::Make(Deltas::Wrong)), (AtRest, Deploy(9))],
        uncut: 0,
        runs: 9,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "keys are rotated before a release that is signed with the new ones",
        plan: &[(AtRest, HandOutKeys(3)), (AtRest, Deploy(11))],
        uncut: 0,
        runs: 11,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "keys are rotated in the middle of a download that the old ones signed",
        plan: &[(AtRest, Deploy(2)), (During(Downloading), HandOutKeys(3)), (AtRest, Deploy(11))],
        uncut: 0,
        runs: 11,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a chain of keys that leads back changes nothing",
        plan: &[(AtRest, HandOutKeys(3)), (AtRest, HandOutKeys(2)), (AtRest, Deploy(11))],
        uncut: 0,
        runs: 11,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a release that is never healthy falls back",
        plan: &[(AtRest, Deploy(4))],
        uncut: 0,
        runs: 1,
        ending: (FellBack, Some("trial-unhealthy")),
    },
    Scenario {
        name: "a release that is never healthy falls back to the second one",
        plan: &[(AtRest, Deploy(2)), (AtRest, Deploy(4))],
        uncut: 0,
        runs: 2,
        ending: (FellBack, Some("trial-unhealthy")),
    },
    Scenario {
        name: "a release that panics falls back",
        plan: &[(AtRest, Deploy(5))],
        uncut: 0,
        runs: 1,
        ending: (FellBack, Some("trial-panicked")),
    },
    Scenario {
        name: "a release that hangs falls back",
        plan: &[(AtRest, Deploy(6))],
        uncut: 0,
        runs: 1,
        ending: (FellBack, Some("trial-hung")),
    },
    Scenario {
        name: "a release that does not load falls back",
        plan: &[(AtRest, Deploy(7))],
        uncut: 0,
        runs: 1,
        ending: (FellBack, Some("trial-not-booted")),
    },
    Scenario {
        name: "a person rolls back after success",
        plan: &[(AtRest, Deploy(2)), (AtRest, RollBackFrom(2))],
        uncut: 0,
        runs: 1,
        ending: (FellBack, Some("rolled-back")),
    },
    Scenario {
        name: "a person rolls back at the console",
        plan: &[(AtRest, Deploy(2)), (AtRest, Order::RollBackAtConsole(2))],
        uncut: 0,
        runs: 1,
        ending: (FellBack, Some("rolled-back")),
    },
    Scenario {
        name: "a release that was rolled back is installed again when told",
        plan: &[(AtRest, Deploy(2)), (AtRest, RollBackFrom(2)), (AtRest, Retry)],
        uncut: 0,
        runs: 2,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a newer release arrives while a trial runs",
        plan: &[(AtRest, Deploy(2)), (During(Trial), Deploy(3))],
        uncut: 0,
        runs: 3,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a newer release arrives in the middle of a download",
        plan: &[(AtRest, Deploy(2)), (During(Downloading), Deploy(3))],
        uncut: 0,
        runs: 3,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a newer release arrives after a rollback was staged",
        plan: &[(AtRest, Deploy(2)), (AtRest, Order::StageRollBack), (AtRest, Deploy(3))],
        uncut: 0,
        runs: 3,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "nothing goes below the floor",
        plan: &[(AtRest, Deploy(3)), (AtRest, Deploy(2))],
        uncut: 0,
        runs: 3,
        ending: (Refused, Some("below-floor")),
    },
    Scenario {
        name: "the slot that is written rots before it is read back",
        plan: &[(AtRest, Deploy(2)), (During(UpdatePhase::Verifying), Rot(false, 1))],
        uncut: 0,
        runs: 2,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a confirmed slot whose kernel rots is passed over and repaired",
        plan: &[(AtRest, Deploy(2)), (AtRest, Rot(true, 0)), (AtRest, Order::Restart)],
        uncut: 2,
        runs: 2,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a confirmed slot whose root rots is passed over after three panics and repaired",
        plan: &[(AtRest, Deploy(2)), (AtRest, Rot(true, 1)), (AtRest, Order::Restart)],
        uncut: 2,
        runs: 2,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a slot below the floor stands in for a confirmed one whose root rots",
        plan: &[(AtRest, Deploy(3)), (AtRest, Rot(true, 2)), (AtRest, Order::Restart)],
        uncut: 2,
        runs: 3,
        ending: (Confirmed, None),
    },
    Scenario {
        name: "a person reboots while a slot whose root rotted is repaired",
        plan: &[
            (AtRest, Deploy(2)),
            (AtRest, Rot(true, 1)),
            (AtRest, Order::Restart),
            (During(Downloading), Order::Reboot),
        ],
        uncut: 3,
        runs: 2,
        ending: (Confirmed, None),
    },
];

thread_local! {
    /// Made once for each thread that runs scenarios.
    static RELEASES: RefCell<Vec<Rc<Release>>> = const { RefCell::new(Vec::new()) };
}

/// The releases of all scenarios: what differs from release 1 is fetched, what it has elsewhere is
/// not.
pub fn releases() -> Vec<Rc<Release>> {
    RELEASES.with_borrow_mut(|made| {
        if made.is_empty() {
            let releases = [
                Release::new(1, 1, &[10, 11], Behaviour::Healthy),
                Release::new(2, 1, &[20, 21], Behaviour::Healthy),
                Release::new(3, 3, &[30, 11, 32], Behaviour::Healthy),
                Release::new(4, 1, &[40, 11], Behaviour::Sick),
                Release::new(5, 1, &[50, 11], Behaviour::Panics),
                Release::new(6, 1, &[60, 11], Behaviour::Hangs),
                Release::new(7, 1, &[70, 11], Behaviour::DoesNotLoad),
                Release::new(8, 1, &[80, 81, 82], Behaviour::Healthy),
                Release::new(9, 1, &[10, 11], Behaviour::Healthy),
                Release::new(10, 1, &[10, 11], Behaviour::Healthy),
                Release::signed(3, 11, 1, &[110, 111], Behaviour::Healthy),
            ];
            *made = releases.into_iter().map(Rc::new).collect();
        }
        made.clone()
    })
}

impl Scenario {
    /// The scenario of that name.
    pub fn named(name: &str) -> Option<&'static Scenario> {
        ALL.iter().find(|scenario| scenario.name == name)
    }

    /// A new device.
    pub fn world(&self, seed: u64) -> Handle {
        Handle::new(World::new(releases(), seed))
    }

    /// Runs a world to its end and checks what came of it. After a fault the reason may be another
    /// than the one that the scenario names.
    ///
    /// # Errors
    /// What must never happen, or did not happen.
    pub fn finish(&self, world: &Handle) -> Result<(), String> {
        self.end(world, |(phase, _)| phase == self.ending.0)
    }

    /// Runs it without a fault; the reason is then the one that the scenario names, too.
    ///
    /// # Errors
    /// As [`Scenario::finish`].
    pub fn run_clean(&self) -> Result<Handle, String> {
        let world = self.world(0);
        self.end(&world, |ending| ending == self.ending)?;
        Ok(world)
    }

    fn end(
        &self,
        world: &Handle,
        is_right: impl FnOnce((UpdatePhase, Option<&str>)) -> bool,
    ) -> Result<(), String> {
        let status = world.run(self.plan)?;
        world.check_at_rest(self.runs)?;
        let ending = crate::device::ending(&status);
        if is_right(ending) {
            return Ok(());
        }
        let trace = world.look().trace();
        Err(format!("ends {ending:?}, not {:?}\n{trace}", self.ending))
    }
}
