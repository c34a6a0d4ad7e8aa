//! One external program as a step of a build: its output in a log, progress on standard error, and
//! the log's tail in the error when it fails.

use super::failed;
use crate::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Lines of the log that a failure shows.
const TAIL_LINES: usize = 30;
/// Time between progress lines.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);
/// Time between looks at the running program.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// The steps of one build, with one log.
#[derive(Debug)]
pub struct Steps {
    part: String,
    log: PathBuf,
}

impl Steps {
    /// Steps that build `part`; everything they print goes to `log`.
    pub fn new(part: &str, log: PathBuf) -> Steps {
        Steps { part: part.to_owned(), log }
    }

    /// Says what happens now.
    pub fn say(&self, text: &str) {
        eprintln!("{}: {text}", self.part);
    }

    /// Runs one program to its end.
    ///
    /// # Errors
    /// Names the step; with the last lines of the log when the program ran and failed.
    pub fn run(&self, step: &str, command: &mut Command) -> Result<()> {
        self.say(step);
        let log = self.open_log(step)?;
        let errors = log.try_clone().map_err(Error::file("open", &self.log))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| failed(format!("{}, {step}: {program}: {error}", self.part)))?;
        let started = Instant::now();
        let mut next_line = PROGRESS_EVERY;
        let status = loop {
            let status = child.try_wait().map_err(Error::file("wait for", &program))?;
            if let Some(status) = status {
                break status;
            }
            if started.elapsed() >= next_line {
                next_line += PROGRESS_EVERY;
                self.say(&format!("{step}: {} s, {}", started.elapsed().as_secs(), self.doing()));
            }
            std::thread::sleep(POLL_EVERY);
        };
        if status.success() {
            return Ok(());
        }
        let (part, log) = (&self.part, self.log.display());
        Err(failed(format!("{part}, {step} failed ({status}); {log} ends:\n{}", self.tail())))
    }

    fn open_log(&self, step: &str) -> Result<File> {
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(Error::file("open", &self.log))?;
        writeln!(log, "== {step}").map_err(Error::file("write", &self.log))?;
        Ok(log)
    }

    /// The log's last line, and how many there are: the only measure of progress that all of these
    /// programs share.
    fn doing(&self) -> String {
        let text = read_lossy(&self.log);
        let last = text.lines().next_back().unwrap_or_default().trim();
        format!("{} lines of log, now: {last}", text.lines().count())
    }

    fn tail(&self) -> String {
        let text = read_lossy(&self.log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_names_itself_and_shows_the_log_s_tail() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let steps = Steps::new("part", folder.path().join("log"));
        let mut command = Command::new("sh");
        command.args(["-c", "seq 1 100; echo it broke >&2; exit 3"]);
        let error = steps.run("breaking", &mut command).expect_err("exit 3").to_string();
        assert!(error.contains("part, breaking failed"), "{error}");
        assert!(error.contains("\n100\nit broke"), "{error}");
        assert!(!error.contains("\n50\n"), "only the tail: {error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let steps = Steps::new("part", folder.path().join("log"));
        let mut command = Command::new("no-such-program");
        let error = steps.run("starting", &mut command).expect_err("missing").to_string();
        assert!(error.contains("part, starting: no-such-program"), "{error}");
    }
}
