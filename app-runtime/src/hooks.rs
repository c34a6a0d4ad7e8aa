//! Hooks: programs of a snap that a change runs, confined as its apps are.
//!
//! What always holds: what a hook decides by `snapctl` holds only when it ended well, all of it;
//! a hook that takes too long is killed with everything that it started; what it printed is in a
//! log of its own, and its last lines in the error.

use crate::{
    confine::{self, Who},
    error::{Context, Error, Result},
    manager::Manager,
    meta::{Snap, hook::Hook},
    output::Output,
    pidfd::Watched,
    ring,
    service::{self, Service},
    settings::Edit,
};
use protocol::control::HealthInfo;
use rustix::process::Signal;
use sandbox::{Process, Stdio, cgroup};
use std::{cell::RefCell, collections::BTreeMap, fs::File, io::Read, rc::Rc, time::Duration};
use tokio::time::{sleep, timeout};

/// Code of a hook that did not end well.
const HOOK_CODE: &str = "hook-failed";
/// Code of a snap that says itself that it is not well.
const UNHEALTHY_CODE: &str = "snap-unhealthy";
/// How long a hook may take, as in snapd.
const LIMIT: Duration = Duration::from_secs(600);
/// Lines of what it printed that go into the error.
const SHOWN: usize = 3;
/// How often a snap is asked how it does, as in snapd.
const HEALTH_INTERVAL: Duration = Duration::from_secs(600);
/// The hook that is asked.
pub const CHECK_HEALTH: &str = "check-health";
/// Exit code of a process that could not be reaped.
const UNKNOWN: i32 = 1;

/// A hook that runs, by its cookie.
#[derive(Debug, Default)]
pub struct Running {
    /// The snap.
    pub snap: String,
    /// Which hook.
    pub hook: String,
    /// What it decided so far.
    pub edits: Vec<Edit>,
    /// What is to be done to which services when it has ended.
    pub queued: Vec<(Action, String)>,
}

/// Something that is done to services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// They are started.
    Start,
    /// They are stopped.
    Stop,
    /// They are stopped and started.
    Restart,
}

impl Action {
    /// Does it.
    pub async fn perform(self, services: &[Rc<Service>]) -> Result<()> {
        match self {
            Action::Start => service::start(services).await,
            Action::Stop => {
                service::stop(services).await;
                Ok(())
            }
            Action::Restart => service::restart(services).await,
        }
    }
}

/// Hooks that run, and what snaps said of their health.
#[derive(Debug, Default)]
pub struct Hooks {
    running: RefCell<BTreeMap<String, Running>>,
    health: RefCell<BTreeMap<String, HealthInfo>>,
}

impl Hooks {
    /// Lets the hook of this cookie change; `None`: no hook of this snap has it.
    pub fn with<T>(
        &self,
        snap: &str,
        cookie: &str,
        change: impl FnOnce(&mut Running) -> T,
    ) -> Option<T> {
        let mut running = self.running.borrow_mut();
        running.get_mut(cookie).filter(|hook| hook.snap == snap).map(change)
    }

    /// What a snap said last.
    pub fn health(&self, snap: &str) -> Option<HealthInfo> {
        self.health.borrow().get(snap).cloned()
    }

    /// A snap says how it does.
    pub fn set_health(&self, snap: &str, health: HealthInfo) {
        self.health.borrow_mut().insert(snap.into(), health);
    }

    /// A snap is gone.
    pub fn forget(&self, snap: &str) {
        self.health.borrow_mut().remove(snap);
    }
}

/// Something that nobody guesses.
pub fn cookie() -> Result<String> {
    let mut bytes = [0; 16];
    let path = "/dev/urandom";
    File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).context("read", path)?;
    Ok(protocol::keys::to_hex(&bytes))
}

impl Manager {
    /// Runs a hook of what is current, if it has it; what it decided.
    pub(crate) async fn run_hook(&self, name: &str, hook: &str) -> Result<Vec<Edit>> {
        self.make_active(name).await?;
        let Some(snap) = self.snap(name) else { return Ok(Vec::new()) };
        let Some(definition) = snap.hooks.get(hook) else { return Ok(Vec::new()) };
        let cookie = cookie()?;
        let running = Running { snap: name.into(), hook: hook.into(), ..Running::default() };
        self.hooks.running.borrow_mut().insert(cookie.clone(), running);
        let ended = self.execute(&snap, (hook, definition), &cookie).await;
        let running = self.hooks.running.borrow_mut().remove(&cookie).unwrap_or_default();
        match ended {
            // What is removed is removed, whatever it says.
            Err(error) if hook == "remove" => {
                eprintln!("{name}: {error}");
                return Ok(Vec::new());
            }
            ended => ended?,
        }
        // Before the services start there is nothing to do to them.
        if matches!(hook, "configure" | CHECK_HEALTH) {
            for (action, services) in &running.queued {
                let mut services = self.find(services)?;
                // A hook restarts what it finds running.
                services.retain(|service| *action != Action::Restart || service.is_up());
                action.perform(&services).await?;
            }
        }
        Ok(running.edits)
    }

    /// Runs it to its end.
    async fn execute(
        &self,
        snap: &Snap,
        (hook, definition): (&str, &Hook),
        cookie: &str,
    ) -> Result<()> {
        let name = snap.name.as_str();
        let place = self.place(name)?;
        let settings = self.state.borrow().settings_of(name);
        let plugs = snap.plugs_of(&definition.plugs);
        let granted = self.interfaces.grant(snap, plugs, &settings)?;
        let unit = format!("{name}.hook.{hook}");
        let (confinement, _held) =
            confine::confinement(&self.paths, snap, &unit, &place, &granted)?;
        let log = self.paths.log(&unit);
        let output = Output::open(log.clone())?;
        let command = format!("meta/hooks/{hook}");
        let who = Who::Hook(definition);
        let process = Process {
            stdout: Stdio::Fd(output.writer()),
            stderr: Stdio::Fd(output.writer()),
            ..confine::process(snap, who, &command, &place, confine::cookie(cookie))
        };
        let started = sandbox::spawn(&confinement, &process);
        drop(process);
        let group = self.paths.service_cgroup(&unit);
        let ended = match started {
            Ok(spawned) => {
                let pidfd = Watched::new(spawned.pidfd).context("watch", &unit)?;
                let ended = timeout(LIMIT, pidfd.ended()).await;
                if ended.is_err() {
                    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
                    pidfd.ended().await;
                }
                let code = pidfd.reap().unwrap_or(UNKNOWN);
                match (ended, code) {
                    (Err(_), _) => Some(format!("not done within {LIMIT:?}, killed")),
                    (Ok(()), 0) => None,
                    (Ok(()), code) => Some(format!("ended with exit code {code}")),
                }
            }
            Err(error) => Some(error.to_string()),
        };
        service::clear(&group).await;
        output.close().await;
        let _ = cgroup::remove(&group);
        let Some(why) = ended else { return self.judge(name, hook) };
        let said: Vec<String> = ring::tail(&log, SHOWN)
            .iter()
            .map(|line| line.split_once(' ').map_or(line.as_str(), |(_, text)| text).to_string())
            .collect();
        let why = format!("{name}: hook {hook}: {why}: {}", said.join("; "));
        Err(Error::refused(HOOK_CODE, why.trim_end_matches(": ")))
    }

    /// A snap that says by its check that it is in error is not what anybody wants to keep.
    fn judge(&self, name: &str, hook: &str) -> Result<()> {
        let said = self.hooks.health(name).filter(|_| hook == CHECK_HEALTH);
        match said.filter(|health| health.status == "error") {
            Some(health) => {
                let why = format!("{name}: says that it is in error: {}", health.message);
                Err(Error::refused(UNHEALTHY_CODE, why))
            }
            None => Ok(()),
        }
    }

    /// Asks a snap now and then how it does; never ends.
    pub(crate) async fn watch_health(self: Rc<Self>, name: String) {
        loop {
            sleep(HEALTH_INTERVAL).await;
            // A change asks by itself.
            let Ok(_turn) = self.turn.try_lock() else { continue };
            let asked = self.run_hook(&name, CHECK_HEALTH).await;
            let edits = asked.unwrap_or_else(|error| {
                eprintln!("{error}");
                Vec::new()
            });
            if let Err(error) = self.decide(&name, &edits) {
                eprintln!("{name}: {error}");
            }
        }
    }
}
