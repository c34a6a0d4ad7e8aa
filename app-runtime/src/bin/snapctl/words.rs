//! The words of a command line. Names are those that users of snaps know; what is about the whole
//! system stands behind `system` and `update`, with short forms for the prompt.

use crate::policy;
use protocol::policy::PolicyChange;
use std::path::PathBuf;

/// Lines of a log when `-n` is not given.
const LOG_LINES: u32 = 50;
/// Most lines that may be asked for: what fits a control frame with room to spare.
const LOG_LINES_LIMIT: u32 = 5000;
/// Reason of a reboot that nobody explained.
const REBOOT_REASON: &str = "asked for by snapctl";

/// What `help` prints.
pub const HELP: &str = "\
Apps
  install FILE|URL [--dangerous]   install or refresh a snap; --dangerous: without a signature
  list                             installed snaps
  info SNAP                        all about one
  services [SNAP]                  services and their states
  start|stop|restart SNAP[.APP]    services of a snap, or one; restart --reload: by its
                                   reload-command where there is one
  logs SNAP[.APP] [-n LINES]       what they printed
  remove SNAP                      remove a snap and its data
System
  system status                    slots, version, health, services   (short: status)
  system hold 24h|7d|UNTIL|forever|off|default
                                   no update meanwhile; UNTIL as 2026-12-24T06:00Z
  system window DAYS HH:MM LENGTH [ZONE] [strict] | off | default
                                   when to reboot into a release; DAYS as sat,sun or daily;
                                   LENGTH as 90m; strict: download in it, too
  system bandwidth BYTES|off|default
                                   most bytes a second of a download, as 64k
  system boots                     the last boots, and why            (short: boots)
  system logs SERVICE [-n LINES]   log of a system service            (short: log)
  system reboot [REASON]           orderly reboot                     (short: reboot)
  system rollback                  back to the previous release
  system poweroff                  orderly power-off                  (short: poweroff)
  update status                    what the updater does              (short: update)
  update retry                     try a release again that failed
  version                          of this system
  help                             this text
Everywhere
  --json                           answers for programs
";

/// A command line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What to do.
    pub command: Command,
    /// Answer as JSON.
    pub json: bool,
    /// Prefix of all paths; `/` on a device.
    pub root: PathBuf,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Install or refresh from a file or an address.
    Install {
        /// Path, or `http(s)://` address.
        from: String,
        /// Accept a snap without a valid signature.
        dangerous: bool,
    },
    /// Installed snaps.
    List,
    /// One snap.
    Info(String),
    /// Start services.
    Start(String),
    /// Stop services.
    Stop(String),
    /// Restart services.
    Restart(String),
    /// Have services read their configuration again.
    Reload(String),
    /// Services of all snaps or of one.
    Services(Option<String>),
    /// Log of a snap or of one service.
    Logs(String, u32),
    /// Remove a snap.
    Remove(String),
    /// Version of the system.
    Version,
    /// What init knows.
    Status,
    /// The recorded boots.
    Boots,
    /// Log of a system service.
    SystemLogs(String, u32),
    /// Orderly reboot, for a reason.
    Reboot(String),
    /// Back to the previous release.
    Rollback,
    /// Orderly power-off.
    PowerOff,
    /// When to update.
    SetPolicy(PolicyChange),
    /// What the updater does.
    UpdateStatus,
    /// Forget that a release failed.
    UpdateRetry,
    /// The help text.
    Help,
}

/// Understands the words, or says what is wrong with them.
pub fn parse(words: &[String]) -> Result<Line, String> {
    let mut rest = Vec::new();
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(words);
    let wrong = |error: lexopt::Error| error.to_string();
    while let Some(argument) = parser.next().map_err(wrong)? {
        use lexopt::Arg::{Long, Short, Value};
        match argument {
            Long("json") => options.json = true,
            Long("dangerous") => options.dangerous = true,
            Long("reload") => options.reload = true,
            Long("root") => options.root = Some(parser.value().map_err(wrong)?.into()),
            Long("help") | Short('h') => rest.insert(0, "help".to_string()),
            Short('n') | Long("lines") => {
                let text = parser.value().map_err(wrong)?.to_string_lossy().into_owned();
                options.lines = Some(lines(&text)?);
            }
            Value(word) => rest.push(word.to_string_lossy().into_owned()),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let command = command(&rest, &options)?;
    if options.dangerous && !matches!(command, Command::Install { .. }) {
        return Err("--dangerous belongs to install".into());
    }
    if options.reload && !matches!(command, Command::Reload(_)) {
        return Err("--reload belongs to restart".into());
    }
    if options.lines.is_some() && !matches!(command, Command::Logs(..) | Command::SystemLogs(..)) {
        return Err("-n belongs to logs".into());
    }
    let root = options.root.unwrap_or_else(|| PathBuf::from("/"));
    Ok(Line { command, json: options.json, root })
}

#[derive(Default)]
struct Options {
    json: bool,
    dangerous: bool,
    reload: bool,
    lines: Option<u32>,
    root: Option<PathBuf>,
}

fn lines(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count @ 1..=LOG_LINES_LIMIT) => Ok(count),
        _ => Err(format!("-n {text}: not a number from 1 to {LOG_LINES_LIMIT}")),
    }
}

fn command(words: &[String], options: &Options) -> Result<Command, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let count = options.lines.unwrap_or(LOG_LINES);
    Ok(match words.as_slice() {
        [] | ["help", ..] => Command::Help,
        ["install", from] => {
            Command::Install { from: (*from).into(), dangerous: options.dangerous }
        }
        ["list"] => Command::List,
        ["info", name] => Command::Info((*name).into()),
        ["start", name] => Command::Start((*name).into()),
        ["stop", name] => Command::Stop((*name).into()),
        ["restart", name] if options.reload => Command::Reload((*name).into()),
        ["restart", name] => Command::Restart((*name).into()),
        ["services"] => Command::Services(None),
        ["services", name] => Command::Services(Some((*name).into())),
        ["logs", name] => Command::Logs((*name).into(), count),
        ["remove", name] => Command::Remove((*name).into()),
        ["version"] => Command::Version,
        ["status"] | ["system"] | ["system", "status"] => Command::Status,
        ["system", "hold", word] => Command::SetPolicy(policy::hold(word)?),
        ["system", "window", rest @ ..] => Command::SetPolicy(policy::window(rest)?),
        ["system", "bandwidth", word] => Command::SetPolicy(policy::bandwidth(word)?),
        ["boots"] | ["system", "boots"] => Command::Boots,
        ["log", name] | ["system", "logs", name] => Command::SystemLogs((*name).into(), count),
        ["reboot", reason @ ..] | ["system", "reboot", reason @ ..] => {
            let reason = reason.join(" ");
            Command::Reboot(if reason.is_empty() { REBOOT_REASON.into() } else { reason })
        }
        ["rollback"] | ["system", "rollback"] => Command::Rollback,
        ["poweroff"] | ["system", "poweroff"] => Command::PowerOff,
        ["update"] | ["update", "status"] => Command::UpdateStatus,
        ["update", "retry"] => Command::UpdateRetry,
        [verb, ..] if HELP.split_whitespace().any(|word| word.split('|').any(|w| w == *verb)) => {
            return Err(format!("wrong arguments for {verb}; `snapctl help` shows them"));
        }
        [verb, ..] => return Err(format!("unknown command {verb}; `snapctl help` lists them")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        parse(&words).map(|line| line.command)
    }

    #[test]
    fn lines_that_are_understood() {
        let install = |from: &str, dangerous| Command::Install { from: from.into(), dangerous };
        let table = [
            ("", Command::Help),
            ("install a.snap", install("a.snap", false)),
            ("install --dangerous a.snap", install("a.snap", true)),
            ("install http://h/a.snap --dangerous", install("http://h/a.snap", true)),
            ("services", Command::Services(None)),
            ("services hello", Command::Services(Some("hello".into()))),
            ("logs hello.hello -n 7", Command::Logs("hello.hello".into(), 7)),
            ("logs hello", Command::Logs("hello".into(), LOG_LINES)),
            ("system", Command::Status),
            ("system reboot new kernel", Command::Reboot("new kernel".into())),
            ("reboot", Command::Reboot(REBOOT_REASON.into())),
            ("system hold 24h", Command::SetPolicy(PolicyChange::HoldFor(86_400))),
            ("restart hello", Command::Restart("hello".into())),
            ("restart --reload hello", Command::Reload("hello".into())),
            ("update", Command::UpdateStatus),
            ("update retry", Command::UpdateRetry),
            ("log netd --lines 3", Command::SystemLogs("netd".into(), 3)),
        ];
        for (line, command) in table {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn lines_that_are_refused_and_why() {
        let table = [
            ("frobnicate", "unknown command frobnicate"),
            ("install", "wrong arguments for install"),
            ("list a", "wrong arguments for list"),
            ("logs a -n 0", "-n 0"),
            ("logs a -n x", "-n x"),
            ("list --dangerous", "--dangerous belongs to install"),
            ("stop a --reload", "--reload belongs to restart"),
            ("list -n 5", "-n belongs to logs"),
            ("list --frob", "--frob"),
            ("system hold", "wrong arguments for system"),
            ("system hold soon", "neither"),
        ];
        for (line, why) in table {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
