//! One service of a snap: a task that starts it, keeps its log, starts it again, and stops it.
//!
//! | room | what |
//! |---|---|
//! | `group` | the services of a snap and their order |
//! | `life` | from being wanted to being stopped: activation, order, restarts |
//! | `run` | one run: start, readiness, watchdog, stop |
//! | `readiness`, `sockets`, `schedule` | what a run needs |
//!
//! | ended | condition holds | state |
//! |---|---|---|
//! | stopped on request | | `inactive` |
//! | by itself | yes | `backoff`, then started again |
//! | by itself, success | no | `done`, or `active` when a oneshot has a stop-command |
//! | by itself, otherwise | no | `failed` |
//! | by itself, and a socket or timer starts it | no | `waiting` |

mod group;
mod life;
mod readiness;
mod run;
mod schedule;
mod sockets;

pub use group::{of, restart, start, stop};
pub use readiness::INSIDE as NOTIFY_INSIDE;
pub(crate) use run::clear;

use crate::{
    confine::Place,
    error::{Error, Result},
    interface::Granted,
    meta::{App, Daemon, Snap},
    paths::Paths,
};
use protocol::control::AppServiceStatus;
use sandbox::cgroup;
use std::{cell::Cell, rc::Rc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// A new service must still run after this, or its snap is not installed.
const START_GRACE: Duration = Duration::from_secs(2);
/// A new oneshot must have ended within this, or is left to run.
const ONESHOT_GRACE: Duration = Duration::from_secs(20);

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Not asked to run.
    Inactive,
    /// Waits for a connection or a time.
    Waiting,
    /// Running, and not ready yet.
    Starting,
    /// Running.
    Active,
    /// Ended well, and is to be undone by its stop-command.
    Lingering,
    /// Ended well.
    Done,
    /// Ended, and waits to be started again.
    Backoff,
    /// Ended badly and stays so.
    Failed,
}

impl Activity {
    fn name(self) -> &'static str {
        match self {
            Activity::Inactive => "inactive",
            Activity::Waiting => "waiting",
            Activity::Starting => "starting",
            Activity::Active | Activity::Lingering => "active",
            Activity::Done => "done",
            Activity::Backoff => "backoff",
            Activity::Failed => "failed",
        }
    }

    /// Whether there is something to stop.
    fn is_up(self) -> bool {
        !matches!(self, Activity::Inactive | Activity::Done | Activity::Failed)
    }
}

#[derive(Debug, Clone)]
struct Status {
    activity: Activity,
    pid: Option<u32>,
    restarts: u32,
    /// How the last process ended.
    ended: String,
}

/// What the services of a snap know of each other.
#[derive(Debug)]
struct Shared {
    daemon: Daemon,
    wanted: watch::Sender<bool>,
    status: watch::Sender<Status>,
}

impl Shared {
    fn new(daemon: Daemon) -> Self {
        let idle =
            Status { activity: Activity::Inactive, pid: None, restarts: 0, ended: String::new() };
        Self { daemon, wanted: watch::Sender::new(false), status: watch::Sender::new(idle) }
    }

    /// Waits until what was asked to start has started, or will not.
    async fn started(&self) {
        let pending = |status: &Status| match status.activity {
            Activity::Inactive | Activity::Starting => true,
            // Done is what a oneshot has to be.
            Activity::Active => self.daemon == Daemon::Oneshot,
            _ => false,
        };
        let mut status = self.status.subscribe();
        let _ = status.wait_for(|status| !*self.wanted.borrow() || !pending(status)).await;
    }

    /// Waits until what was asked to stop has stopped.
    async fn stopped(&self) {
        let mut status = self.status.subscribe();
        let _ = status.wait_for(|s| *self.wanted.borrow() || !s.activity.is_up()).await;
    }
}

/// What bounds a service's processes.
#[derive(Debug)]
struct Bounds {
    snap: Rc<Snap>,
    place: Place,
    paths: Paths,
    granted: Vec<Granted>,
}

/// One service.
#[derive(Debug)]
pub struct Service {
    /// `snap.app`
    pub name: String,
    app_name: String,
    daemon: Daemon,
    app: App,
    bounds: Bounds,
    shared: Rc<Shared>,
    earlier: Vec<Rc<Shared>>,
    later: Vec<Rc<Shared>>,
    /// Whether a run is going on.
    running: Cell<bool>,
}

impl Service {
    /// Name of the app.
    pub fn app(&self) -> &str {
        &self.app_name
    }

    /// Whether there is something to stop.
    pub fn is_up(&self) -> bool {
        self.shared.status.borrow().activity.is_up()
    }

    /// For the control socket.
    pub fn describe(&self) -> AppServiceStatus {
        let status = self.shared.status.borrow();
        let group = self.bounds.paths.service_cgroup(&self.name);
        AppServiceStatus {
            name: self.name.clone(),
            daemon: self.daemon.name().into(),
            state: status.activity.name().into(),
            pid: status.pid,
            restarts: status.restarts,
            memory: status.pid.and_then(|_| cgroup::memory_current(&group)),
        }
    }

    /// Asks for a start, without waiting.
    pub fn want(&self) {
        let activity = self.shared.status.borrow().activity;
        if !activity.is_up() || activity == Activity::Backoff {
            self.shared.status.send_modify(|status| status.activity = Activity::Inactive);
            self.shared.wanted.send_replace(true);
        }
    }

    /// Starts it and waits until it has been started (or could not be).
    pub async fn start(&self) -> Result<()> {
        self.want();
        let mut status = self.shared.status.subscribe();
        let pending = |s: &Status| matches!(s.activity, Activity::Inactive | Activity::Starting);
        let status = status.wait_for(|s| !pending(s)).await;
        match status.map(|s| (s.activity, s.ended.clone())) {
            Ok((Activity::Backoff | Activity::Failed, ended)) => Err(self.start_failed(&ended)),
            _ => Ok(()),
        }
    }

    /// Starts it and watches the first moments: an error when it does not stay up.
    pub async fn prove(&self) -> Result<()> {
        self.start().await?;
        let mut status = self.shared.status.subscribe();
        let grace = if self.daemon == Daemon::Oneshot { ONESHOT_GRACE } else { START_GRACE };
        // Silence until then means that it still runs.
        let Ok(Ok(changed)) =
            timeout(grace, status.wait_for(|s| s.activity != Activity::Active)).await
        else {
            return Ok(());
        };
        match (changed.activity, changed.ended.clone()) {
            (Activity::Backoff | Activity::Failed, ended) => Err(self.start_failed(&ended)),
            _ => Ok(()),
        }
    }

    fn start_failed(&self, ended: &str) -> Error {
        Error::refused("start-failed", format!("{}: {ended}", self.name))
    }

    /// Stops it and waits until it has ended.
    pub async fn stop(&self) {
        self.shared.wanted.send_replace(false);
        let mut status = self.shared.status.subscribe();
        let _ = status.wait_for(|s| !s.activity.is_up()).await;
        self.shared.status.send_modify(|s| s.activity = Activity::Inactive);
    }

    /// Has it read its configuration again by its reload-command; one without is restarted.
    pub async fn reload(&self) -> Result<()> {
        match &self.app.reload_command {
            Some(command) if self.running.get() => self.run_beside(command).await,
            _ => {
                self.stop().await;
                self.start().await
            }
        }
    }
}
