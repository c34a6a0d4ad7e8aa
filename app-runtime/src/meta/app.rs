//! One app: a command, or a service.

use super::{environment::Environment, socket::Socket, timer::Timer};
use crate::duration;
use rustix::process::Signal;
use serde::{Deserialize, Deserializer, de};
use std::{collections::BTreeMap, time::Duration};

/// How long a service may take to end after the signal, unless it says so.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a service may take until it is ready, unless it says so. systemd's.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Signals that end a service in order: hang-up, interrupt, terminate, broken pipe. systemd's.
const CLEAN_SIGNALS: [i32; 4] = [1, 2, 13, 15];
/// Signals that mean a crash are those that a program does not choose.
const SIGNAL_BASE: i32 = 128;

/// One app.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct App {
    /// Program in the snap and its arguments, separated by spaces.
    pub command: String,
    /// Programs in the snap, each of which gets what follows as its arguments.
    #[serde(default)]
    pub command_chain: Vec<String>,
    /// Other names of the command.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Absent: a command that nothing starts.
    #[serde(default)]
    pub daemon: Option<Daemon>,
    /// `system`, or absent.
    #[serde(default)]
    pub daemon_scope: Option<String>,
    /// Run before the signal when the service is stopped.
    #[serde(default)]
    pub stop_command: Option<String>,
    /// Run instead of a restart when the service is reloaded.
    #[serde(default)]
    pub reload_command: Option<String>,
    /// Run after the service ended, however it did.
    #[serde(default)]
    pub post_stop_command: Option<String>,
    /// How long it may take until it is ready.
    #[serde(default, deserialize_with = "time_limit")]
    pub start_timeout: Option<Duration>,
    /// How long it may take to end after the signal.
    #[serde(default, deserialize_with = "time_limit")]
    pub stop_timeout: Option<Duration>,
    /// How long it may go without a sign of life.
    #[serde(default, deserialize_with = "time_limit")]
    pub watchdog_timeout: Option<Duration>,
    /// When to start it again after it ended.
    #[serde(default)]
    pub restart_condition: Option<RestartCondition>,
    /// Wait at least this long before starting it again.
    #[serde(default, deserialize_with = "time_limit")]
    pub restart_delay: Option<Duration>,
    /// Exit codes besides 0 that are no failure.
    #[serde(default, deserialize_with = "exit_codes")]
    pub success_exit_status: Vec<u8>,
    /// Which signal stops it, and whether all of its processes get it.
    #[serde(default)]
    pub stop_mode: Option<StopMode>,
    /// What becomes of it during a refresh.
    #[serde(default)]
    pub refresh_mode: Option<RefreshMode>,
    /// Whether it runs once it is installed.
    #[serde(default)]
    pub install_mode: Option<InstallMode>,
    /// Added to the snap's.
    #[serde(default)]
    pub environment: Environment,
    /// Plugs that it uses.
    #[serde(default)]
    pub plugs: Vec<String>,
    /// Slots that it provides.
    #[serde(default)]
    pub slots: Vec<String>,
    /// Sockets that start it when somebody connects.
    #[serde(default)]
    pub sockets: BTreeMap<String, Socket>,
    /// Services of the snap that start before it.
    #[serde(default)]
    pub after: Vec<String>,
    /// Services of the snap that start after it.
    #[serde(default)]
    pub before: Vec<String>,
    /// When it is started.
    #[serde(default)]
    pub timer: Option<Timer>,
    /// Name that it shares with the same app in other packagings.
    #[serde(default)]
    pub common_id: Option<String>,
    /// Completion for a shell.
    #[serde(default)]
    pub completer: Option<String>,
    /// Menu entry of a desktop.
    #[serde(default)]
    pub desktop: Option<String>,
    /// Start with a desktop session.
    #[serde(default)]
    pub autostart: Option<String>,
    /// Name on D-Bus.
    #[serde(default)]
    pub bus_name: Option<String>,
    /// Slots on D-Bus that start it.
    #[serde(default)]
    pub activates_on: Vec<String>,
}

/// How a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Daemon {
    /// Runs until it is stopped.
    Simple,
    /// Does something and ends.
    Oneshot,
    /// Puts itself into the background and is ready then.
    Forking,
    /// Says when it is ready.
    Notify,
}

impl Daemon {
    /// As snap.yaml writes it.
    pub fn name(self) -> &'static str {
        match self {
            Daemon::Simple => "simple",
            Daemon::Oneshot => "oneshot",
            Daemon::Forking => "forking",
            Daemon::Notify => "notify",
        }
    }
}

impl TryFrom<String> for Daemon {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.as_str() {
            "simple" => Daemon::Simple,
            "oneshot" => Daemon::Oneshot,
            "forking" => Daemon::Forking,
            "notify" => Daemon::Notify,
            "dbus" => {
                return Err("daemon: \"dbus\" is not supported here: there is no D-Bus".into());
            }
            _ => return Err(format!("daemon: {text:?} is not a kind of daemon")),
        })
    }
}

/// How a run of a service ended, as restart conditions see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself or by a signal: exit code, 128 + N for signal N.
    Code(i32),
    /// It was not ready in time, or a oneshot did not end in time.
    TimedOut,
    /// It gave no sign of life in time.
    Watchdog,
}

/// When a service that was not stopped is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// After an exit code that is no success, a signal that is no orderly one, or a time-out.
    #[default]
    OnFailure,
    /// After a success or an orderly signal.
    OnSuccess,
    /// After a signal that is no orderly one, or a time-out.
    OnAbnormal,
    /// After a signal that is no orderly one.
    OnAbort,
    /// After a missed sign of life.
    OnWatchdog,
    /// Whenever it ended.
    Always,
    /// Not at all.
    #[serde(alias = "no")]
    Never,
}

/// Signal and reach of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct StopMode {
    /// What is sent.
    pub signal: Signal,
    /// To every process of the service, or to its main one.
    pub all: bool,
}

impl Default for StopMode {
    fn default() -> Self {
        Self { signal: Signal::TERM, all: true }
    }
}

impl TryFrom<String> for StopMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (name, all) = match text.strip_suffix("-all") {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        let signal = match name {
            "sigterm" => Signal::TERM,
            "sighup" => Signal::HUP,
            "sigusr1" => Signal::USR1,
            "sigusr2" => Signal::USR2,
            "sigint" => Signal::INT,
            _ => {
                return Err(format!("stop-mode: {text:?} is not sigterm, sighup, sigint, …[-all]"));
            }
        };
        Ok(Self { signal, all })
    }
}

/// What becomes of an app during a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefreshMode {
    /// The service is started anew.
    Restart,
    /// The service of the old revision goes on.
    Endure,
    /// The command does not hold a refresh up.
    IgnoreRunning,
}

/// Whether a service runs once it is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstallMode {
    /// It does.
    Enable,
    /// Only once somebody starts it.
    Disable,
}

impl App {
    /// How long it may take to end after the signal.
    pub fn stops_within(&self) -> Duration {
        self.stop_timeout.unwrap_or(STOP_TIMEOUT)
    }

    /// How long it may take until it is ready; `None`: as long as it likes.
    pub fn starts_within(&self) -> Option<Duration> {
        match self.daemon {
            Some(Daemon::Notify | Daemon::Forking) => {
                Some(self.start_timeout.unwrap_or(START_TIMEOUT))
            }
            Some(Daemon::Oneshot) => self.start_timeout,
            _ => None,
        }
    }

    /// Whether a service is started by something else than the boot.
    pub fn is_activated(&self) -> bool {
        self.timer.is_some() || !self.sockets.is_empty()
    }

    /// Whether an end is a success.
    pub fn succeeded(&self, ended: Ended) -> bool {
        let Ended::Code(code) = ended else { return false };
        let orderly =
            self.daemon != Some(Daemon::Oneshot) && CLEAN_SIGNALS.contains(&(code - SIGNAL_BASE));
        code == 0 || orderly || self.success_exit_status.iter().any(|c| i32::from(*c) == code)
    }

    /// Whether to start a service again after it ended so. The table is systemd's.
    pub fn restarts_after(&self, ended: Ended) -> bool {
        use RestartCondition::{
            Always, Never, OnAbnormal, OnAbort, OnFailure, OnSuccess, OnWatchdog,
        };
        if self.daemon == Some(Daemon::Oneshot) {
            return false;
        }
        let success = self.succeeded(ended);
        let signal = matches!(ended, Ended::Code(code) if code > SIGNAL_BASE && !success);
        match self.restart_condition.unwrap_or_default() {
            Always => true,
            Never => false,
            OnSuccess => success,
            OnFailure => !success,
            OnAbnormal => signal || !matches!(ended, Ended::Code(_)),
            OnAbort => signal,
            OnWatchdog => ended == Ended::Watchdog,
        }
    }
}

/// A duration; none at all is as if it were not there.
fn time_limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let limit = duration::parse(&String::deserialize(from)?).map_err(de::Error::custom)?;
    Ok(Some(limit).filter(|limit| !limit.is_zero()))
}

fn exit_codes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    let code = |word: &String| word.parse().ok().filter(|code| *code > 0);
    let wrong = |word| format!("success-exit-status: {word:?} is not a number from 1 to 255");
    words.iter().map(|word| code(word).ok_or_else(|| de::Error::custom(wrong(word)))).collect()
}
