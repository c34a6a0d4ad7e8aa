//! Running child processes with progress: a line when a step starts, a line when it ends, both with
//! the time since `xtask` started. Children share our process group, so that Ctrl-C reaches them
//! too.

use crate::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

static START: OnceLock<Instant> = OnceLock::new();

/// Minutes and seconds, `12:03`.
pub fn clock(time: Duration) -> String {
    format!("{:02}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// Processor time of all child processes that have ended, and of theirs. None without `/proc`.
pub fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    of_children(&stat)
}

/// The same from the text of `/proc/PID/stat` (proc_pid_stat(5)): fields 16 and 17, in hundredths
/// of a second. The second field, a name in parentheses, may itself hold spaces.
fn of_children(stat: &str) -> Option<Duration> {
    let mut times = stat.rsplit_once(") ")?.1.split(' ').skip(13).map(str::parse::<u64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some(Duration::from_millis((user + system) * 10))
}

/// Prints a progress line with the time since the first one.
pub fn say(text: &str) {
    let start = START.get_or_init(Instant::now);
    println!("[{}] {text}", clock(start.elapsed()));
    let _ = std::io::stdout().flush();
}

/// The command line as a person would type it.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = program.file_name().into_iter().chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A `cargo` command in the root of the work tree, without what `cargo xtask` says of this package:
/// some build scripts watch it, and would be run again each time.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(crate::tree::root());
    without_package(command)
}

/// The command without what `cargo xtask` says of this package.
pub fn without_package(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command whose output the person shall see; an error unless it ends with success.
pub fn run(mut command: Command) -> Result<(), Error> {
    let line = line(&command);
    say(&line);
    let begun = Instant::now();
    let status = command
        .status()
        .map_err(|e| Error::Command { line: line.clone(), how: format!("did not start: {e}") })?;
    finish(&line, status, begun.elapsed())
}

/// Standard output of a command that must succeed; its standard error is the person's to see.
pub fn output(mut command: Command) -> Result<String, Error> {
    let line = line(&command);
    let failed = |how| Error::Command { line: line.clone(), how };
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|e| failed(format!("did not start: {e}")))?;
    if !output.status.success() {
        return Err(failed(format!("ended: {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn finish(line: &str, status: std::process::ExitStatus, took: Duration) -> Result<(), Error> {
    if status.success() {
        say(&format!("done in {}", clock(took)));
        return Ok(());
    }
    say(&format!("FAILED after {}", clock(took)));
    Err(Error::Command { line: line.into(), how: format!("ended: {status}") })
}

/// Standard output and error of a command, when it could be started and succeeded.
pub fn read(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(find(program)?).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    output.status.success().then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Where a program is: `PATH`, then the system folders that an ordinary user's `PATH` lacks on
/// Debian.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|candidate| Path::is_file(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_children_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 90 80 0 0 11 12 1300 50 20 0 1 0 99 8 1";
        assert_eq!(of_children(stat), Some(Duration::from_millis(13_500)));
        assert_eq!(of_children("7 (a) S 1 7"), None);
    }
}
