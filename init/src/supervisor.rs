//! The states of all services, as a pure machine: it is told what happened and says what to do; it
//! starts nothing and reads no clock.
//!
//! What a supervisor must never do, and this one does not:
//! - wait for a service: every wait is a deadline that [`Supervisor::tick`] looks at;
//! - give up on a service that may restart: the pause grows to [`BACKOFF_MAX_MS`] and stays there;
//! - let one service's failure reach another that did not name it in `requires`;
//! - decide about slots or reboots: that is [`crate::health`]'s.
//!
//! | state | means | left by |
//! |---|---|---|
//! | waiting | not started; dependencies are missing | they are ready |
//! | starting | runs, has not said that it is ready | ready, end |
//! | ready | runs | end |
//! | backoff | ended; to be started again at `deadline` | time |
//! | done | ended with 0, stays ended | |
//! | failed | ended otherwise and stays ended, or its manifest is broken | |

use crate::manifest::{Manifest, Readiness, Restart, StopSignal};
use protocol::control::ServiceStatus;

/// First pause before a restart: short, as most ends are a race at boot.
pub const BACKOFF_FIRST_MS: u64 = 100;
/// Longest pause: a broken service must not keep the processor or the card busy, yet come back soon
/// when its reason passed.
pub const BACKOFF_MAX_MS: u64 = 30_000;
/// A service that lived this long starts over with the first pause.
pub const BACKOFF_RESET_MS: u64 = 60_000;

/// Where a service stands; see the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Dependencies are missing.
    Waiting,
    /// Runs, not ready.
    Starting,
    /// Runs and is ready.
    Ready,
    /// Ended, will be started again.
    Backoff,
    /// Ended well and stays so.
    Done,
    /// Ended badly or cannot start at all.
    Failed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Backoff => "backoff",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// One service.
#[derive(Debug)]
pub struct Service {
    /// What to run; `None` for a broken manifest.
    pub manifest: Option<Manifest>,
    name: String,
    state: State,
    pid: Option<i32>,
    started_at: u64,
    deadline: u64,
    failures: u32,
    starts: u32,
    last_exit: Option<String>,
    stopping: bool,
    killed: bool,
}

/// What the caller shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start service number N, then call [`Supervisor::started`] or [`Supervisor::start_failed`].
    Start(usize),
    /// Send a signal to the process group of a service.
    Signal(i32, StopSignal),
}

/// All services. Times are milliseconds on one monotonic clock.
#[derive(Debug, Default)]
pub struct Supervisor {
    services: Vec<Service>,
    stopping: bool,
}

/// Pause before the start after `failures` short lives in a row (1 or more).
pub fn backoff_ms(failures: u32) -> u64 {
    BACKOFF_FIRST_MS.saturating_mul(1 << failures.saturating_sub(1).min(32)).min(BACKOFF_MAX_MS)
}

impl Supervisor {
    /// Services in start order, then broken ones by name and reason.
    pub fn new(manifests: Vec<Manifest>, broken: Vec<(String, String)>) -> Self {
        let blank = |name: String, manifest, state| Service {
            manifest,
            name,
            state,
            pid: None,
            started_at: 0,
            deadline: 0,
            failures: 0,
            starts: 0,
            last_exit: None,
            stopping: false,
            killed: false,
        };
        let mut services: Vec<Service> =
            manifests.into_iter().map(|m| blank(m.name.clone(), Some(m), State::Waiting)).collect();
        services.extend(broken.into_iter().map(|(name, why)| Service {
            last_exit: Some(why),
            ..blank(name, None, State::Failed)
        }));
        Self { services, stopping: false }
    }

    /// The service's manifest.
    pub fn manifest(&self, index: usize) -> Option<&Manifest> {
        self.services.get(index)?.manifest.as_ref()
    }

    /// Number of the service with this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.services.iter().position(|s| s.name == name)
    }

    /// Number of the service that runs as this process.
    pub fn index_of_pid(&self, pid: i32) -> Option<usize> {
        self.services.iter().position(|s| s.pid == Some(pid))
    }

    /// Name of service number N.
    pub fn name(&self, index: usize) -> &str {
        self.services.get(index).map_or("", |s| &s.name)
    }

    /// What is to be done now.
    pub fn tick(&mut self, now: u64) -> Vec<Action> {
        if self.stopping {
            return self.stop_step(now);
        }
        (0..self.services.len())
            .filter(|index| {
                let service = &self.services[*index];
                match service.state {
                    State::Waiting => self.may_start(service),
                    State::Backoff => service.deadline <= now && self.may_start(service),
                    _ => false,
                }
            })
            .map(Action::Start)
            .collect()
    }

    fn may_start(&self, service: &Service) -> bool {
        let Some(manifest) = &service.manifest else { return false };
        let state = |name: &String| self.index_of(name).map(|i| self.services[i].state);
        let up = |name: &String| matches!(state(name), Some(State::Ready | State::Done));
        let settled = |name: &String| {
            !matches!(state(name), Some(State::Waiting | State::Starting)) || self.hopeless(name)
        };
        manifest.requires.iter().all(up) && manifest.after.iter().all(settled)
    }

    /// Waits for something that failed for good: nobody who only comes `after` it shall wait as
    /// well.
    fn hopeless(&self, name: &str) -> bool {
        let Some(service) = self.index_of(name).map(|i| &self.services[i]) else { return true };
        service.state == State::Failed
            || service.state == State::Waiting
                && service
                    .manifest
                    .as_ref()
                    .is_none_or(|m| m.requires.iter().any(|required| self.hopeless(required)))
    }

    /// Dependents first; whoever does not stop in time is killed.
    fn stop_step(&mut self, now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for index in 0..self.services.len() {
            let Some(pid) = self.services[index].pid else { continue };
            let name = self.services[index].name.clone();
            let needed = self.services.iter().any(|other| {
                other.pid.is_some()
                    && other.manifest.as_ref().is_some_and(|m| {
                        m.after.iter().chain(&m.requires).any(|dependency| *dependency == name)
                    })
            });
            let service = &mut self.services[index];
            let (signal, timeout_s) =
                service.manifest.as_ref().map_or((StopSignal::Kill, 0), |manifest| {
                    (manifest.stop_signal, manifest.stop_timeout_s)
                });
            if !service.stopping && !needed {
                service.stopping = true;
                service.deadline = now + u64::from(timeout_s) * 1000;
                actions.push(Action::Signal(pid, signal));
            } else if service.stopping && !service.killed && service.deadline <= now {
                service.killed = true;
                actions.push(Action::Signal(pid, StopSignal::Kill));
            }
        }
        actions
    }

    /// A process was started.
    pub fn started(&mut self, index: usize, pid: i32, now: u64) {
        let Some(service) = self.services.get_mut(index) else { return };
        service.pid = Some(pid);
        service.started_at = now;
        service.starts += 1;
        service.stopping = false;
        service.killed = false;
        let notify = service.manifest.as_ref().is_some_and(|m| m.ready == Readiness::Notify);
        service.state = if notify { State::Starting } else { State::Ready };
    }

    /// A process could not be started.
    pub fn start_failed(&mut self, index: usize, why: String, now: u64) {
        if let Some(service) = self.services.get_mut(index) {
            service.starts += 1;
            service.failures += 1;
            service.last_exit = Some(why);
            service.state = State::Backoff;
            service.deadline = now + backoff_ms(service.failures);
        }
    }

    /// A process ended; tells which service it was.
    pub fn exited(&mut self, pid: i32, how: &str, success: bool, now: u64) -> Option<usize> {
        let index = self.index_of_pid(pid)?;
        let service = &mut self.services[index];
        service.pid = None;
        service.last_exit = Some(how.to_string());
        let restart = service.manifest.as_ref().map_or(Restart::Never, |m| m.restart);
        if restart == Restart::Never {
            service.state = if success { State::Done } else { State::Failed };
            return Some(index);
        }
        if now.saturating_sub(service.started_at) >= BACKOFF_RESET_MS {
            service.failures = 0;
        }
        service.failures += 1;
        service.state = State::Backoff;
        service.deadline = now + backoff_ms(service.failures);
        Some(index)
    }

    /// A service says that it is ready; `true` the first time in its life.
    pub fn ready(&mut self, index: usize) -> bool {
        match self.services.get_mut(index) {
            Some(service) if service.state == State::Starting => {
                service.state = State::Ready;
                true
            }
            _ => false,
        }
    }

    /// Begins to stop everything; nothing is started any more.
    pub fn stop_all(&mut self) {
        self.stopping = true;
    }

    /// Whether no service runs any more.
    pub fn all_stopped(&self) -> bool {
        self.services.iter().all(|s| s.pid.is_none())
    }

    /// When [`Supervisor::tick`] is next to be called although nothing happened.
    pub fn next_deadline(&self) -> Option<u64> {
        self.services
            .iter()
            .filter(|s| {
                if self.stopping {
                    s.stopping && !s.killed && s.pid.is_some()
                } else {
                    s.state == State::Backoff
                }
            })
            .map(|s| s.deadline)
            .min()
    }

    /// Required services that are not ready.
    pub fn missing(&self) -> Vec<String> {
        self.services
            .iter()
            .filter(|s| s.manifest.as_ref().is_none_or(|m| m.required))
            .filter(|s| !matches!(s.state, State::Ready | State::Done))
            .map(|s| match &s.last_exit {
                Some(exit) => format!("service {} is {} ({exit})", s.name, s.state.name()),
                None => format!("service {} is {}", s.name, s.state.name()),
            })
            .collect()
    }

    /// All services for a status report.
    pub fn status(&self) -> Vec<ServiceStatus> {
        self.services
            .iter()
            .map(|s| ServiceStatus {
                name: s.name.clone(),
                state: s.state.name().into(),
                pid: s.pid.map(|pid| pid as u32),
                restarts: s.starts.saturating_sub(1),
                last_exit: s.last_exit.clone(),
                memory_kib: None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, more: &str) -> Manifest {
        toml::from_str(&format!("name = '{name}'\ncommand = '/x'\n{more}")).unwrap()
    }

    fn two(more_of_second: &str) -> Supervisor {
        let services = vec![
            manifest("one", "ready = 'notify'\nrequired = true"),
            manifest("two", more_of_second),
        ];
        Supervisor::new(services, Vec::new())
    }

    #[test]
    fn the_pause_doubles_to_half_a_minute() {
        let pauses: Vec<u64> = (1..=11).map(backoff_ms).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        assert_eq!(backoff_ms(u32::MAX), 30_000);
    }

    #[test]
    fn a_long_life_starts_the_pauses_over() {
        let mut all = two("");
        let mut now = 0;
        for pause in [100, 200, 400] {
            all.started(0, 10, now);
            assert_eq!(all.exited(10, "exit code 1", false, now + 5), Some(0));
            assert_eq!(all.next_deadline(), Some(now + 5 + pause));
            now += 5 + pause;
        }
        all.started(0, 10, now);
        all.exited(10, "exit code 1", false, now + BACKOFF_RESET_MS);
        assert_eq!(all.next_deadline(), Some(now + BACKOFF_RESET_MS + 100));
    }

    #[test]
    fn requires_waits_for_ready_and_after_only_for_an_attempt() {
        for (field, after_start, after_exit, after_ready) in
            [("requires", false, false, true), ("after", false, true, true)]
        {
            let starts = |all: &mut Supervisor| all.tick(0).contains(&Action::Start(1));
            let mut all = two(&format!("{field} = ['one']"));
            assert_eq!(all.tick(0), [Action::Start(0)]);
            all.started(0, 10, 0);
            assert_eq!(starts(&mut all), after_start, "{field}");
            all.exited(10, "signal 9", false, 0);
            assert_eq!(starts(&mut all), after_exit, "{field}");
            all.started(0, 11, 0);
            assert!(all.ready(0) && !all.ready(0));
            assert_eq!(starts(&mut all), after_ready, "{field}");
        }
    }

    #[test]
    fn a_broken_manifest_is_reported_and_nobody_behind_it_waits_for_ever() {
        let services =
            vec![manifest("two", "requires = ['one']"), manifest("three", "after = ['two']")];
        let mut all = Supervisor::new(services, vec![("one".into(), "one.toml: bad".into())]);
        assert_eq!(all.tick(0), [Action::Start(1)]);
        assert_eq!(all.missing(), ["service one is failed (one.toml: bad)"]);
    }

    #[test]
    fn stopping_goes_backwards_and_kills_who_does_not_go() {
        let mut all = two("after = ['one']\nstop_signal = 'INT'\nstop_timeout_s = 2");
        all.started(0, 10, 0);
        all.ready(0);
        all.started(1, 11, 0);
        all.stop_all();
        assert_eq!(all.tick(100), [Action::Signal(11, StopSignal::Int)]);
        assert_eq!(all.tick(2000), []);
        assert_eq!(all.next_deadline(), Some(2100));
        assert_eq!(all.tick(2100), [Action::Signal(11, StopSignal::Kill)]);
        assert_eq!(all.tick(2200), []);
        all.exited(11, "signal 9", false, 2300);
        assert_eq!(all.tick(2300), [Action::Signal(10, StopSignal::Term)]);
        all.exited(10, "exit code 0", true, 2400);
        assert!(all.all_stopped());
    }

    #[test]
    fn what_shall_not_restart_is_done_or_failed() {
        for (success, state) in [(true, "done"), (false, "failed")] {
            let mut all = two("restart = 'never'");
            all.started(1, 11, 0);
            all.exited(11, "end", success, 0);
            assert_eq!(all.status()[1].state, state);
            assert_eq!(all.tick(1_000_000), [Action::Start(0)]);
        }
    }
}
