//! From being wanted to being stopped.

use super::{Activity, Service, run::End, schedule, sockets::Sockets};
use crate::{
    error::Error,
    meta::{Daemon, Ended},
};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};

/// First wait before a service is started again, doubled each time.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest wait before a service is started again.
const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// A service that ran this long begins again with the first wait.
const STEADY: Duration = Duration::from_secs(60);
/// What an exit code says when the process could not even be started.
const NOT_STARTED: i32 = 125;

/// What goes on between two starts.
struct Pace {
    wait: Duration,
    starts: u32,
}

impl Pace {
    const NEW: Self = Self { wait: BACKOFF_FIRST, starts: 0 };
}

/// Resolves when the service is not wanted any more. What `wait_for` gives holds a lock until it is
/// dropped: it must not live while something else is awaited.
pub(super) async fn unwanted(wanted: &mut watch::Receiver<bool>) {
    let _ = wanted.wait_for(|wanted| !*wanted).await;
}

impl Service {
    /// The service's life; never ends by itself.
    pub async fn supervise(self: Rc<Self>) {
        let mut wanted = self.shared.wanted.subscribe();
        while wanted.wait_for(|wanted| *wanted).await.is_ok() {
            self.while_wanted(&mut wanted).await;
            self.shared.wanted.send_replace(false);
        }
    }

    /// Everything until it is stopped, or done for good.
    async fn while_wanted(&self, wanted: &mut watch::Receiver<bool>) {
        let sockets = match self.listen() {
            Ok(sockets) => sockets,
            Err(error) => return self.set(Activity::Failed, error.to_string()),
        };
        let mut pace = Pace::NEW;
        let mut ended = String::new();
        loop {
            if self.app.is_activated() && !self.activated(&sockets, ended, wanted).await {
                return self.set(Activity::Inactive, "stopped".into());
            }
            for other in &self.earlier {
                tokio::select! {
                    () = other.started() => {}
                    () = unwanted(wanted) => return self.set(Activity::Inactive, "stopped".into()),
                }
            }
            let began = Instant::now();
            self.shared.status.send_modify(|s| s.restarts = pace.starts);
            pace.starts = pace.starts.saturating_add(1);
            let (end, why) = match self.run(&sockets, wanted).await {
                End::Stopped => return self.set(Activity::Inactive, "stopped".into()),
                End::Ended(end) => (end, self.describe_end(end)),
                End::NotStarted(error) => (Ended::Code(NOT_STARTED), error.to_string()),
            };
            eprintln!("{}: {why}", self.name);
            if began.elapsed() >= STEADY {
                pace.wait = BACKOFF_FIRST;
            }
            if !self.app.restarts_after(end) {
                let done = self.app.succeeded(end);
                if !self.app.is_activated() {
                    return self.at_rest(done, why, wanted).await;
                }
                pace.starts = 0;
                ended = why;
                // A client that is not served connects still: no haste.
                if !done && !self.pause(Activity::Backoff, &ended, &mut pace, wanted).await {
                    return self.set(Activity::Inactive, "stopped".into());
                }
                continue;
            }
            if !self.pause(Activity::Backoff, &why, &mut pace, wanted).await {
                return self.set(Activity::Inactive, "stopped".into());
            }
            ended = why;
        }
    }

    /// Ended for good. A oneshot with a stop-command is up until that has run.
    async fn at_rest(&self, done: bool, why: String, wanted: &mut watch::Receiver<bool>) {
        match &self.app.stop_command {
            Some(command) if done && self.daemon == Daemon::Oneshot => {
                self.set(Activity::Lingering, why);
                unwanted(wanted).await;
                self.run_after(command).await;
                self.set(Activity::Inactive, "stopped".into());
            }
            _ => self.set(if done { Activity::Done } else { Activity::Failed }, why),
        }
    }

    /// Waits before the next start; `false`: stopped meanwhile.
    async fn pause(
        &self,
        activity: Activity,
        why: &str,
        pace: &mut Pace,
        wanted: &mut watch::Receiver<bool>,
    ) -> bool {
        self.set(activity, why.into());
        let delay = pace.wait.max(self.app.restart_delay.unwrap_or_default());
        pace.wait = (pace.wait * 2).min(BACKOFF_LAST);
        timeout(delay, unwanted(wanted)).await.is_err()
    }

    /// Waits for a connection or a time; `false`: stopped meanwhile.
    async fn activated(
        &self,
        sockets: &Sockets,
        ended: String,
        wanted: &mut watch::Receiver<bool>,
    ) -> bool {
        self.set(Activity::Waiting, ended);
        let due = async {
            match &self.app.timer {
                Some(timer) => schedule::due(timer, &self.bounds.paths).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sockets.connected() => true,
            () = due => true,
            () = unwanted(wanted) => false,
        }
    }

    fn listen(&self) -> Result<Sockets, Error> {
        let bounds = &self.bounds;
        Sockets::open(&bounds.paths, &bounds.snap, &self.app, &bounds.place)
    }

    pub(super) fn set(&self, activity: Activity, ended: String) {
        self.shared.status.send_modify(|status| {
            status.activity = activity;
            status.pid = None;
            status.ended = ended;
        });
    }

    fn describe_end(&self, end: Ended) -> String {
        match end {
            Ended::Code(0) => "ended".into(),
            Ended::Code(code @ 129..=192) => format!("ended by signal {}", code - 128),
            Ended::Code(code) => format!("ended with exit code {code}"),
            Ended::TimedOut => {
                let limit = self.app.starts_within().unwrap_or_else(|| self.app.stops_within());
                format!("was not ready within {limit:?}")
            }
            Ended::Watchdog => {
                let limit = self.app.watchdog_timeout.unwrap_or_default();
                format!("gave no sign of life within {limit:?}")
            }
        }
    }
}
