//! One run of a service, from start to end.

use super::{
    Activity, Service,
    life::unwanted,
    readiness::{Ear, INSIDE, SOCKET, Said},
    sockets::Sockets,
};
use crate::{
    confine::{self, Extra},
    error::{Context, Error, Result},
    hardware,
    interface::Granted,
    meta::{Daemon, Ended},
    output::{DRAIN, Output},
    pidfd::Watched,
};
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open},
};
use sandbox::{Confinement, PROGRAM_PID, Process, Spawned, Stdio, cgroup};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Between two looks whether a killed group is empty.
const EMPTYING: Duration = Duration::from_millis(5);
/// How many processes of a service are tried for its namespaces.
const CANDIDATES: usize = 8;
/// Exit code of a process that could not be reaped.
const UNKNOWN: i32 = 1;

/// How one run ended.
pub(super) enum End {
    Stopped,
    Ended(Ended),
    NotStarted(Error),
}

/// What a run is watched by.
struct Watch {
    pidfd: Watched,
    /// Closed, or a byte: the program is in the background.
    background: Option<pipe::Receiver>,
    ear: Option<Ear>,
}

/// What is waited for, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    None,
    Ready(Instant),
    Life(Instant),
    /// It said that it ends.
    Going(Instant),
}

impl Deadline {
    async fn passed(self) {
        match self {
            Deadline::None => std::future::pending().await,
            Deadline::Ready(at) | Deadline::Life(at) | Deadline::Going(at) => sleep_until(at).await,
        }
    }
}

impl Service {
    /// One run, its post-stop-command included.
    pub(super) async fn run(&self, sockets: &Sockets, wanted: &mut watch::Receiver<bool>) -> End {
        let output = match Output::open(self.log()) {
            Ok(output) => output,
            Err(error) => return End::NotStarted(error),
        };
        let end = match self.launch(sockets, &output) {
            Ok((pid, watch)) => {
                let starting = self.app.starts_within().is_some() && self.daemon != Daemon::Oneshot;
                self.shared.status.send_modify(|status| {
                    status.activity = if starting { Activity::Starting } else { Activity::Active };
                    status.pid = Some(pid);
                });
                self.running.set(true);
                let end = self.attend(watch, &output, wanted).await;
                self.running.set(false);
                end
            }
            Err(error) => End::NotStarted(error),
        };
        // Its pid namespace died with it; this is for what could not be watched.
        let group = self.bounds.paths.service_cgroup(&self.name);
        clear(&group).await;
        if let Some(command) = &self.app.post_stop_command {
            self.aside(command, false, &output).await;
        }
        output.close().await;
        let _ = cgroup::remove(&group);
        end
    }

    fn launch(&self, sockets: &Sockets, output: &Output) -> Result<(u32, Watch)> {
        let bounds = &self.bounds;
        let hears = self.daemon == Daemon::Notify || self.app.watchdog_timeout.is_some();
        let ear = match hears {
            true => Some(Ear::open(&bounds.paths, &self.name, bounds.place.uid)?),
            false => None,
        };
        let (background, tell) = match self.daemon {
            Daemon::Forking => {
                let (reader, writer) = std::io::pipe().context("make", "pipe")?;
                let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader));
                (Some(reader.context("watch", "pipe")?), Some(writer))
            }
            _ => (None, None),
        };
        let mut extra = bounds.place.cookie();
        if ear.is_some() {
            extra.push(("NOTIFY_SOCKET".into(), format!("{INSIDE}/{SOCKET}")));
        }
        if let Some(limit) = self.app.watchdog_timeout {
            extra.push(("WATCHDOG_USEC".into(), limit.as_micros().to_string()));
        }
        if sockets.count() > 0 {
            extra.push(("LISTEN_FDS".into(), sockets.count().to_string()));
            extra.push(("LISTEN_FDNAMES".into(), sockets.names()));
            extra.push(("LISTEN_PID".into(), PROGRAM_PID.to_string()));
        }
        let hardware = hardware::open(&bounds.granted)?;
        extra.extend(hardware.variable(sockets.count()));
        let mut process = self.process(&self.app.command, extra, output);
        process.descriptors = sockets.descriptors();
        process.descriptors.extend(hardware.descriptors());
        process.background = tell.as_ref().map(AsFd::as_fd);
        let Spawned { pid, pidfd, landlock } = self.spawn(&process, ear.as_ref(), false)?;
        if let Some(report) = landlock.filter(|report| !report.missing.is_empty()) {
            eprintln!("{}: {report}", self.name);
        }
        let pidfd = Watched::new(pidfd).context("watch", &self.name)?;
        let watch = Watch { pidfd, background, ear };
        Ok((u32::try_from(pid.as_raw_pid()).unwrap_or(0), watch))
    }

    fn log(&self) -> PathBuf {
        self.bounds.paths.log(&self.name)
    }

    fn process<'a>(&self, command: &str, extra: Extra, output: &'a Output) -> Process<'a> {
        let bounds = &self.bounds;
        let app = confine::Who::App(&self.app_name, &self.app);
        Process {
            stdout: Stdio::Fd(output.writer()),
            stderr: Stdio::Fd(output.writer()),
            ..confine::process(&bounds.snap, app, command, &bounds.place, extra)
        }
    }

    fn spawn(&self, process: &Process<'_>, ear: Option<&Ear>, beside: bool) -> Result<Spawned> {
        let bounds = &self.bounds;
        let granted: &[Granted] = &bounds.granted;
        let place = &bounds.place;
        let (mut confinement, _held) =
            confine::confinement(&bounds.paths, &bounds.snap, &self.name, place, granted)?;
        if let Some(ear) = ear {
            confinement.mounts.push(confine::notify(ear.directory()));
        }
        match beside {
            true => self.join(&confinement, process),
            false => Ok(sandbox::spawn(&confinement, process)?),
        }
    }

    /// In the namespaces of the service's program, or of what it left behind: who may not trace may
    /// not enter those of the reaper, which has memory of appd's own.
    fn join(&self, confinement: &Confinement, process: &Process<'_>) -> Result<Spawned> {
        let mut failed = None;
        for pid in self.programs().take(CANDIDATES) {
            let Ok(program) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            if !self.programs().any(|still| still == pid) {
                // The number may be another one's by now.
                continue;
            }
            match sandbox::join(confinement, process, program.as_fd()) {
                Ok(spawned) => return Ok(spawned),
                Err(error) => failed = Some(error.into()),
            }
        }
        let gone = || Err(Errno::SRCH).context("enter namespaces of", &self.name);
        failed.map_or_else(gone, Err)
    }

    async fn attend(
        &self,
        mut watch: Watch,
        output: &Output,
        wanted: &mut watch::Receiver<bool>,
    ) -> End {
        let mut deadline =
            self.app.starts_within().map_or(Deadline::None, |limit| Deadline::Ready(after(limit)));
        if deadline == Deadline::None {
            deadline = self.next_life();
        }
        let pidfd = &watch.pidfd;
        loop {
            tokio::select! {
                () = pidfd.ended() => {
                    let end = Ended::Code(pidfd.reap().unwrap_or(UNKNOWN));
                    let early = matches!(deadline, Deadline::Ready(_));
                    if early && self.daemon == Daemon::Notify && self.app.succeeded(end) {
                        let why = "ended before it said that it is ready";
                        return End::NotStarted(Error::refused("start-failed", why));
                    }
                    return End::Ended(end);
                }
                () = unwanted(wanted) => {
                    for other in &self.later {
                        other.stopped().await;
                    }
                    self.end(pidfd, output).await;
                    return End::Stopped;
                }
                ready = in_background(&mut watch.background) => {
                    watch.background = None;
                    if ready {
                        deadline = self.is_ready();
                    }
                }
                said = hear(watch.ear.as_ref()) => match self.heed(said, &mut deadline) {
                    None => {}
                    Some(end) => return self.abort(end, pidfd, output).await,
                },
                () = deadline.passed() => {
                    let end = match deadline {
                        Deadline::Life(_) => Ended::Watchdog,
                        _ => Ended::TimedOut,
                    };
                    return self.abort(end, pidfd, output).await;
                }
            }
        }
    }

    /// What follows from what the service said.
    fn heed(&self, said: Said, deadline: &mut Deadline) -> Option<Ended> {
        if let Some(status) = said.status {
            eprintln!("{}: status: {status}", self.name);
        }
        if said.trouble {
            return Some(Ended::Watchdog);
        }
        if said.stopping {
            *deadline = Deadline::Going(after(self.app.stops_within()));
        } else if said.ready && matches!(deadline, Deadline::Ready(_)) {
            *deadline = self.is_ready();
        } else if said.alive && matches!(deadline, Deadline::Life(_)) {
            *deadline = self.next_life();
        }
        None
    }

    fn is_ready(&self) -> Deadline {
        self.shared.status.send_modify(|status| status.activity = Activity::Active);
        self.next_life()
    }

    fn next_life(&self) -> Deadline {
        self.app.watchdog_timeout.map_or(Deadline::None, |limit| Deadline::Life(after(limit)))
    }

    /// It was too late: ended by force, by a signal that leaves a trace where it can.
    async fn abort(&self, end: Ended, pidfd: &Watched, output: &Output) -> End {
        match end {
            Ended::Watchdog => {
                let _ = rustix::process::pidfd_send_signal(pidfd, Signal::ABORT);
                self.await_end(pidfd).await;
            }
            _ => self.end(pidfd, output).await,
        }
        End::Ended(end)
    }

    /// The stop-command, the signal, the time that the snap asked for, then SIGKILL for all of it.
    async fn end(&self, pidfd: &Watched, output: &Output) {
        if let Some(command) = &self.app.stop_command {
            self.aside(command, true, output).await;
        }
        let mode = self.bounds.snap.stop_mode(&self.app);
        if !mode.all || !self.signal_all(mode.signal) {
            // The reaper hands it to the main process.
            let _ = rustix::process::pidfd_send_signal(pidfd, mode.signal);
        }
        self.await_end(pidfd).await;
    }

    async fn await_end(&self, pidfd: &Watched) {
        let limit = self.app.stops_within();
        if timeout(limit, pidfd.ended()).await.is_err() {
            eprintln!("{}: did not stop within {limit:?}, killed", self.name);
            let _ = cgroup::kill(&self.bounds.paths.service_cgroup(&self.name));
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
            pidfd.ended().await;
        }
        pidfd.reap();
    }

    /// Every process of the service but the reaper.
    fn programs(&self) -> impl Iterator<Item = Pid> {
        let reaper = self.shared.status.borrow().pid;
        let all = cgroup::processes(&self.bounds.paths.service_cgroup(&self.name)).into_iter();
        all.filter(move |pid| u32::try_from(*pid).ok() != reaper).filter_map(Pid::from_raw)
    }

    /// Signals all of them, since the reaper ends with the main one; `false`: there is none.
    fn signal_all(&self, signal: Signal) -> bool {
        let mut told = false;
        for pid in self.programs() {
            told |= rustix::process::kill_process(pid, signal).is_ok();
        }
        told
    }

    /// The reload-command of a running service.
    pub(super) async fn run_beside(&self, command: &str) -> Result<()> {
        let output = Output::open(self.log())?;
        let code = self.aside(command, true, &output).await;
        output.close().await;
        match code {
            Some(0) => Ok(()),
            _ => Err(Error::refused("reload-failed", format!("{}: {command}", self.name))),
        }
    }

    /// The stop-command of a oneshot that has ended.
    pub(super) async fn run_after(&self, command: &str) {
        if let Ok(output) = Output::open(self.log()) {
            self.aside(command, false, &output).await;
            output.close().await;
        }
        let _ = cgroup::remove(&self.bounds.paths.service_cgroup(&self.name));
    }

    /// Runs one of the service's other commands: beside its processes, or after they are gone. It
    /// may take as long as a stop. `None`: it did not start, or took too long.
    async fn aside(&self, command: &str, beside: bool, output: &Output) -> Option<i32> {
        let mut extra = self.bounds.place.cookie();
        if beside && self.daemon != Daemon::Forking {
            extra.push(("MAINPID".into(), PROGRAM_PID.to_string()));
        }
        let process = self.process(command, extra, output);
        let started = self
            .spawn(&process, None, beside)
            .and_then(|spawned| Watched::new(spawned.pidfd).context("watch", command));
        let pidfd = match started {
            Ok(pidfd) => pidfd,
            Err(error) => {
                eprintln!("{}: {command}: {error}", self.name);
                return None;
            }
        };
        let limit = self.app.stops_within();
        if timeout(limit, pidfd.ended()).await.is_ok() {
            let code = pidfd.reap().unwrap_or(UNKNOWN);
            if code != 0 {
                eprintln!("{}: {command}: ended with exit code {code}", self.name);
            }
            return Some(code);
        }
        eprintln!("{}: {command}: not done within {limit:?}, killed", self.name);
        let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
        pidfd.ended().await;
        pidfd.reap();
        None
    }
}

/// Kills what is left in a group and removes it. The next process gets a new one: Linux 6.18 ends
/// what is born into a group that was killed before.
pub(crate) async fn clear(group: &Path) {
    let _ = cgroup::kill(group);
    let limit = after(DRAIN);
    while cgroup::remove(group).is_err() && Instant::now() < limit {
        sleep(EMPTYING).await;
    }
}

fn after(limit: Duration) -> Instant {
    Instant::now() + limit
}

/// Resolves to whether the program is in the background; never, where it is not asked to go there.
async fn in_background(pipe: &mut Option<pipe::Receiver>) -> bool {
    match pipe {
        Some(pipe) => pipe.read_u8().await.is_ok(),
        None => std::future::pending().await,
    }
}

async fn hear(ear: Option<&Ear>) -> Said {
    match ear {
        Some(ear) => ear.hear().await,
        None => std::future::pending().await,
    }
}
