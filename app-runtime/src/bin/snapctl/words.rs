//! The words of a command line. Names are those that users of snaps know; what is about the whole
//! system stands behind `system` and `update`, with short forms for the prompt.

use crate::change::{self, Ask};
use crate::decide::{self, Decide};
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
  install FILE|URL... [--dangerous]
                                   install or refresh snaps; --dangerous: without a signature
  install IMAGE.tar|oci://HOST/NAME[:TAG][@DIGEST] --dangerous [--name SNAP]
                                   the same of an image of containers; oci+http:// without TLS
  refresh FILE|URL... [--dangerous]
                                   only what is installed, and was not reverted from
  revert SNAP... [--revision N]    back to the revision before, with its data
  enable|disable SNAP...           let snaps run again; stop them until then
  list                             installed snaps
  info SNAP                        all about one
  services [SNAP]                  services and their states
  start|stop|restart SNAP[.APP]    services of a snap, or one; restart --reload: by its
                                   reload-command where there is one
  logs SNAP[.APP] [-n LINES]       what they printed
  start|stop SNAP[.APP] --enable|--disable
                                   with their snap from here on, or not
  remove SNAP... [--purge]         remove snaps; --purge: without a snapshot of their data
  Several snaps in one command are changed together, or not at all. --no-wait: answer at once
Configuration, connections, quotas
  get SNAP [KEY...]                its configuration
  set SNAP KEY=VALUE... [-t|-s]    change it; KEY! takes away; -t: JSON only, -s: text only
  unset SNAP KEY...                take away
  connections [SNAP]               plugs, and what became of them
  connect SNAP:PLUG [NAME=VALUE...]
                                   grant a plug, as blinker:led line=17
  disconnect SNAP:PLUG             take that back
  interface [NAME]                 what can be granted
  set-quota SNAP --memory=64M --cpu=50% --cpu-set=0,1 --threads=32 --io-read=1M --io-write=1M
                                   bound a snap as a whole, by any of these
  quota [SNAP]                     bounds, and what of them is used
  remove-quota SNAP                no bounds any more
Changes
  changes                          what was changed, and how it ended
  tasks ID | --last=KIND           the tasks of a change; KIND as install
  watch ID | --last=KIND           wait for its end
  abort ID | --last=KIND           undo it while it is under way
Snapshots of data
  save [SNAP...]                   take a set of them
  saved [--id=SET]                 those that are kept
  restore SET [SNAP...]            bring the data back
  forget SET [SNAP...]             delete them
  export-snapshot SET FILE         write a set into a file
  import-snapshot FILE             take such a file in as a new set
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
    /// Change something, or look at changes and snapshots.
    Change {
        /// What.
        ask: Ask,
        /// Wait for the end of the change.
        wait: bool,
    },
    /// Decide about a snap, or look at what was decided.
    Decide {
        /// What.
        decide: Decide,
        /// Wait for the end of the change.
        wait: bool,
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
            Long("reload") => options.reload = true,
            Long("dangerous") => options.change.dangerous = true,
            Long("name") => {
                let name = parser.value().map_err(wrong)?;
                options.change.name = Some(name.to_string_lossy().into_owned());
            }
            Long("purge") => options.change.purge = true,
            Long("no-wait") => options.change.no_wait = true,
            Long(name @ ("revision" | "id")) => {
                let name = name.to_string();
                let text = parser.value().map_err(wrong)?.to_string_lossy().into_owned();
                let number = Some(change::number(&format!("--{name}"), &text)?);
                let option = match name.as_str() {
                    "id" => &mut options.change.id,
                    _ => &mut options.change.revision,
                };
                *option = number;
            }
            Long("last") => {
                let kind = parser.value().map_err(wrong)?;
                options.change.last = Some(kind.to_string_lossy().into_owned());
            }
            Long(name) if protocol::quota::NAMES.contains(&name) => {
                let name = name.to_string();
                let value = parser.value().map_err(wrong)?.to_string_lossy().into_owned();
                options.decide.quota.push((name, value));
            }
            Short('t') => options.decide.typed = true,
            Short('s') => options.decide.text = true,
            Long("enable") => options.decide.enable = true,
            Long("disable") => options.decide.disable = true,
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
    let verb = rest.first().map_or("", String::as_str);
    let misplaced = change::misplaced(verb, &options.change)
        .or_else(|| decide::misplaced(verb, &options.decide));
    if let Some(why) = misplaced {
        return Err(why);
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
    reload: bool,
    change: change::Options,
    decide: decide::Options,
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
    if let [verb, rest @ ..] = words.as_slice()
        && let Some(ask) = change::parse(verb, rest, &options.change)
    {
        return ask.map(|ask| Command::Change { ask, wait: !options.change.no_wait });
    }
    if let [verb, rest @ ..] = words.as_slice()
        && let Some(decide) = decide::parse(verb, rest, &options.decide)
    {
        return decide.map(|decide| Command::Decide { decide, wait: !options.change.no_wait });
    }
    Ok(match words.as_slice() {
        [] | ["help", ..] => Command::Help,
        ["list"] => Command::List,
        ["info", name] => Command::Info((*name).into()),
        ["start", name] => Command::Start((*name).into()),
        ["stop", name] => Command::Stop((*name).into()),
        ["restart", name] if options.reload => Command::Reload((*name).into()),
        ["restart", name] => Command::Restart((*name).into()),
        ["services"] => Command::Services(None),
        ["services", name] => Command::Services(Some((*name).into())),
        ["logs", name] => Command::Logs((*name).into(), count),
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
        use protocol::change::{Order, Which};
        let ask = |ask| Command::Change { ask, wait: true };
        let install = |from: &[&str], dangerous, refresh| {
            let from = from.iter().map(ToString::to_string).collect();
            ask(Ask::Install { from, name: None, dangerous, refresh })
        };
        let order = |order| ask(Ask::Order(order));
        let a = || vec!["a".to_string()];
        let table = [
            ("", Command::Help),
            ("install a.snap", install(&["a.snap"], false, false)),
            ("install --dangerous a.snap", install(&["a.snap"], true, false)),
            (
                "install http://h/a.snap b --dangerous",
                install(&["http://h/a.snap", "b"], true, false),
            ),
            ("refresh a.snap", install(&["a.snap"], false, true)),
            ("revert a", order(Order::Revert { names: a(), revision: None })),
            ("revert a --revision=3", order(Order::Revert { names: a(), revision: Some(3) })),
            ("remove a", order(Order::Remove { names: a(), purge: false })),
            (
                "remove --purge --no-wait a",
                Command::Change {
                    ask: Ask::Order(Order::Remove { names: a(), purge: true }),
                    wait: false,
                },
            ),
            ("save", order(Order::Save { names: vec![] })),
            ("restore 2 a", order(Order::Restore { set: 2, names: a() })),
            ("forget #2", order(Order::Forget { set: 2, names: vec![] })),
            ("saved --id 4", ask(Ask::Saved(Some(4)))),
            ("changes", ask(Ask::Changes)),
            ("tasks 7", ask(Ask::Tasks(Which::Id(7)))),
            ("watch --last=install", ask(Ask::Watch(Which::Last("install".into())))),
            ("abort 7", ask(Ask::Abort(Which::Id(7)))),
            ("export-snapshot 1 f", ask(Ask::Export(1, "f".into()))),
            ("import-snapshot f", ask(Ask::Import("f".into()))),
            ("get a", Command::Decide { decide: Decide::Get("a".into(), vec![]), wait: true }),
            (
                "stop a.b --disable",
                Command::Decide { decide: Decide::Startup("a.b".into(), false), wait: true },
            ),
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
            ("install", "install: at least one file or address"),
            ("remove", "remove: at least one snap"),
            ("revert a --revision 0", "--revision 0: not a number"),
            ("revert a --revision x", "--revision x: not a number"),
            ("remove a --revision 1", "--revision belongs to revert"),
            ("install a --purge", "--purge belongs to remove"),
            ("list --no-wait", "--no-wait belongs to install, refresh"),
            ("install a --last=x", "--last belongs to tasks"),
            ("save --id=1", "--id belongs to saved"),
            ("changes 1", "wrong arguments for changes"),
            ("tasks", "tasks: the number of a change, or --last=KIND"),
            ("watch x", "change x: not a number"),
            ("abort 1 --last=install", "abort: the number of a change, or --last=KIND"),
            ("restore", "restore: the number of a set"),
            ("restore x", "set x: not a number"),
            ("export-snapshot 1", "export-snapshot: the number of a set, and a file"),
            ("import-snapshot", "import-snapshot: one file"),
            ("set a", "set: a snap, and what to set"),
            ("set a b", "set b: not KEY=VALUE"),
            ("connect led", "led: not a plug"),
            ("set-quota a", "set-quota: a snap, and some of"),
            ("set-quota a --memory x", "--memory x: not a size"),
            ("set-quota a --cpu-set 0,x", "--cpu-set 0,x: not numbers"),
            ("list --memory 1M", "--memory belongs to set-quota"),
            ("restart a --enable", "--enable belongs to start"),
            ("list a", "wrong arguments for list"),
            ("logs a -n 0", "-n 0"),
            ("logs a -n x", "-n x"),
            ("stop a --reload", "--reload belongs to restart"),
            ("list --dangerous", "--dangerous belongs to install, refresh"),
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
