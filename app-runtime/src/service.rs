//! One service of a snap: a task that starts it, keeps its log, starts it again, and stops it.
//!
//! | ended | condition holds | state |
//! |---|---|---|
//! | stopped on request | | `inactive` |
//! | by itself | yes | `backoff`, then started again |
//! | by itself, code 0 | no | `done` |
//! | by itself, otherwise | no | `failed` |

use crate::{
    confine::{self, Place},
    error::{Context, Error, Result},
    interface::Interface,
    meta::{App, Daemon, Snap},
    paths::Paths,
    pidfd::Watched,
    ring::{LINE_SIZE, Ring},
};
use protocol::control::AppServiceStatus;
use rustix::process::Signal;
use sandbox::{Process, Spawned, Stdio, cgroup};
use std::{
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    sync::watch,
    time::{sleep, timeout},
};

/// First wait before a service is started again, doubled each time.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest wait before a service is started again.
const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// A service that ran this long begins again with the first wait.
const STEADY: Duration = Duration::from_secs(60);
/// A new service must still run after this, or its snap is not installed.
const START_GRACE: Duration = Duration::from_secs(2);
/// A new oneshot must have ended within this, or is left to run.
const ONESHOT_GRACE: Duration = Duration::from_secs(20);
/// Wait for the rest of the output of a process that has ended.
const DRAIN: Duration = Duration::from_secs(1);
/// What an exit code says when the process could not even be started.
const NOT_STARTED: i32 = 125;

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Not asked to run.
    Inactive,
    /// Running.
    Active,
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
            Activity::Active => "active",
            Activity::Done => "done",
            Activity::Backoff => "backoff",
            Activity::Failed => "failed",
        }
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

/// One service.
#[derive(Debug)]
pub struct Service {
    /// `snap.app`
    pub name: String,
    daemon: Daemon,
    app: App,
    snap: Rc<Snap>,
    place: Place,
    paths: Paths,
    granted: Vec<Interface>,
    wanted: watch::Sender<bool>,
    status: watch::Sender<Status>,
}

/// How one run ended.
enum End {
    Stopped,
    Code(i32),
    NotStarted(Error),
}

impl Service {
    /// A service that is not running; [`Service::supervise`] must run for it.
    pub fn new(
        name: String,
        daemon: Daemon,
        app: App,
        snap: Rc<Snap>,
        place: Place,
        paths: Paths,
        granted: Vec<Interface>,
    ) -> Self {
        let idle =
            Status { activity: Activity::Inactive, pid: None, restarts: 0, ended: String::new() };
        let (wanted, status) = (watch::Sender::new(false), watch::Sender::new(idle));
        Self { name, daemon, app, snap, place, paths, granted, wanted, status }
    }

    /// For the control socket.
    pub fn describe(&self) -> AppServiceStatus {
        let status = self.status.borrow();
        AppServiceStatus {
            name: self.name.clone(),
            daemon: self.daemon.name().into(),
            state: status.activity.name().into(),
            pid: status.pid,
            restarts: status.restarts,
            memory: status
                .pid
                .and_then(|_| cgroup::memory_current(&self.paths.service_cgroup(&self.name))),
        }
    }

    /// Asks for a start, without waiting.
    pub fn want(&self) {
        if self.status.borrow().activity != Activity::Active {
            self.status.send_modify(|status| status.activity = Activity::Inactive);
            self.wanted.send_replace(true);
        }
    }

    /// Starts it and waits until it has been started (or could not be).
    pub async fn start(&self) -> Result<()> {
        self.want();
        let mut status = self.status.subscribe();
        let status = status.wait_for(|s| s.activity != Activity::Inactive).await;
        match status.map(|s| (s.activity, s.ended.clone())) {
            Ok((Activity::Active | Activity::Done, _)) | Err(_) => Ok(()),
            Ok((_, ended)) => Err(self.start_failed(&ended)),
        }
    }

    /// Starts it and watches the first moments: an error when it does not stay up.
    pub async fn prove(&self) -> Result<()> {
        self.start().await?;
        let mut status = self.status.subscribe();
        let grace = if self.daemon == Daemon::Oneshot { ONESHOT_GRACE } else { START_GRACE };
        // Silence until then means that it still runs.
        let Ok(Ok(changed)) =
            timeout(grace, status.wait_for(|s| s.activity != Activity::Active)).await
        else {
            return Ok(());
        };
        if changed.activity == Activity::Done {
            return Ok(());
        }
        let ended = changed.ended.clone();
        drop(changed);
        Err(self.start_failed(&ended))
    }

    fn start_failed(&self, ended: &str) -> Error {
        Error::refused("start-failed", format!("{}: {ended}", self.name))
    }

    /// Stops it and waits until it has ended.
    pub async fn stop(&self) {
        self.wanted.send_replace(false);
        let mut status = self.status.subscribe();
        let running = |s: &Status| matches!(s.activity, Activity::Active | Activity::Backoff);
        let _ = status.wait_for(|s| !running(s)).await;
        self.status.send_modify(|s| s.activity = Activity::Inactive);
    }

    /// The service's life; never ends by itself.
    pub async fn supervise(self: Rc<Self>) {
        let mut wanted = self.wanted.subscribe();
        let mut wait = BACKOFF_FIRST;
        let mut starts: u32 = 0;
        while wanted.wait_for(|wanted| *wanted).await.is_ok() {
            let began = Instant::now();
            self.status.send_modify(|s| s.restarts = starts);
            starts = starts.saturating_add(1);
            let code = match self.run(&mut wanted).await {
                End::Stopped => {
                    self.set(Activity::Inactive, "stopped".into());
                    (wait, starts) = (BACKOFF_FIRST, 0);
                    continue;
                }
                End::Code(code) => (code, describe_code(code)),
                End::NotStarted(error) => (NOT_STARTED, error.to_string()),
            };
            let (code, ended) = code;
            eprintln!("{}: {ended}", self.name);
            if !self.app.restart_condition.holds(code) {
                self.wanted.send_replace(false);
                starts = 0;
                self.set(if code == 0 { Activity::Done } else { Activity::Failed }, ended);
                continue;
            }
            if began.elapsed() >= STEADY {
                wait = BACKOFF_FIRST;
            }
            self.set(Activity::Backoff, ended);
            let delay = wait.max(self.app.restart_delay.unwrap_or_default());
            wait = (wait * 2).min(BACKOFF_LAST);
            let stopped = timeout(delay, wanted.wait_for(|wanted| !*wanted)).await.is_ok();
            if stopped {
                self.set(Activity::Inactive, "stopped".into());
                (wait, starts) = (BACKOFF_FIRST, 0);
            }
        }
    }

    fn set(&self, activity: Activity, ended: String) {
        self.status.send_modify(|status| {
            status.activity = activity;
            status.pid = None;
            status.ended = ended;
        });
    }

    /// One process, from start to end.
    async fn run(&self, wanted: &mut watch::Receiver<bool>) -> End {
        match self.launch() {
            Ok((spawned, output)) => {
                let pid = spawned.pid.as_raw_pid() as u32;
                self.status.send_modify(|status| {
                    status.activity = Activity::Active;
                    status.pid = Some(pid);
                });
                self.attend(spawned, output, wanted).await
            }
            Err(error) => End::NotStarted(error),
        }
    }

    fn launch(&self) -> Result<(Spawned, pipe::Receiver)> {
        let granted: Vec<&Interface> = self.granted.iter().collect();
        let confinement =
            confine::confinement(&self.paths, &self.snap, &self.name, &self.place, &granted);
        let (reader, writer) = std::io::pipe().context("make", "output pipe")?;
        let output =
            pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).context("watch", "output pipe")?;
        let process = Process {
            stdout: Stdio::Fd(writer.as_fd()),
            stderr: Stdio::Fd(writer.as_fd()),
            ..confine::process(&self.snap, &self.app, &self.place)
        };
        Ok((sandbox::spawn(&confinement, &process)?, output))
    }

    async fn attend(
        &self,
        spawned: Spawned,
        output: pipe::Receiver,
        wanted: &mut watch::Receiver<bool>,
    ) -> End {
        let log = tokio::task::spawn_local(keep_log(output, self.paths.log(&self.name)));
        let ended = match Watched::new(spawned.pidfd) {
            Ok(pidfd) => {
                tokio::select! {
                    () = pidfd.ended() => End::Code(pidfd.reap().unwrap_or(NOT_STARTED)),
                    _ = wanted.wait_for(|wanted| !*wanted) => {
                        self.end(&pidfd).await;
                        pidfd.reap();
                        End::Stopped
                    }
                }
            }
            Err(e) => End::NotStarted(Error::Io {
                operation: "watch",
                object: self.name.clone(),
                source: e,
            }),
        };
        // Its pid namespace died with it; this is for what could not be watched.
        let group = self.paths.service_cgroup(&self.name);
        let _ = cgroup::kill(&group);
        let _ = timeout(DRAIN, log).await;
        let _ = cgroup::remove(&group);
        ended
    }

    /// SIGTERM, the time that the snap asked for, then SIGKILL for all of it.
    async fn end(&self, pidfd: &Watched) {
        let _ = rustix::process::pidfd_send_signal(pidfd, Signal::TERM);
        if timeout(self.app.stop_timeout, pidfd.ended()).await.is_ok() {
            return;
        }
        eprintln!("{}: did not stop within {:?}, killed", self.name, self.app.stop_timeout);
        let _ = cgroup::kill(&self.paths.service_cgroup(&self.name));
        let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        pidfd.ended().await;
    }
}

fn describe_code(code: i32) -> String {
    match code {
        0 => "ended".into(),
        129..=192 => format!("ended by signal {}", code - 128),
        _ => format!("ended with exit code {code}"),
    }
}

/// Copies lines into the log until all writing ends are closed.
async fn keep_log(mut output: pipe::Receiver, path: std::path::PathBuf) {
    let mut ring = match Ring::open(&path) {
        Ok(ring) => Some(ring),
        Err(error) => {
            eprintln!("{error}; the output is lost");
            None
        }
    };
    let mut pending = Vec::new();
    let mut block = [0; LINE_SIZE];
    loop {
        let count = match output.read(&mut block).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        pending.extend_from_slice(&block[..count]);
        let mut rest = pending.as_slice();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            if let Some(ring) = &mut ring {
                ring.write(&rest[..end]);
            }
            rest = &rest[end + 1..];
        }
        // A line without end is cut, so that what is kept stays bounded.
        pending = if rest.len() > LINE_SIZE { Vec::new() } else { rest.to_vec() };
        // A flood must not keep the other services waiting.
        tokio::task::yield_now().await;
    }
    if let (Some(ring), false) = (&mut ring, pending.is_empty()) {
        ring.write(&pending);
    }
    sleep(Duration::ZERO).await;
}
