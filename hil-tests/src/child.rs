//! Child processes that never outlive the process that started them, however that ends: dropping
//! kills them, and the kernel does when we are killed ourselves.

use crate::error::{Error, Result};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A running child; dropping it kills it.
pub struct Process {
    line: String,
    child: Child,
}

impl Process {
    /// Starts `program` with arguments, input and output as `prepare` sets them.
    ///
    /// `setpriv --pdeathsig` has the kernel send SIGKILL when the *thread* that started the child
    /// ends, so each child gets a thread that never does.
    pub fn start(
        program: &str,
        prepare: impl FnOnce(&mut Command) + Send + 'static,
    ) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        prepare(&mut command);
        let line = line(&command);
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let started = command.spawn();
            let keep = started.is_ok();
            let _ = sender.send(started);
            if keep {
                loop {
                    thread::park();
                }
            }
        });
        match receiver.recv() {
            Ok(Ok(child)) => Ok(Self { line, child }),
            Ok(Err(e)) => Err(Error::Command { line, how: format!("did not start: {e}") }),
            Err(_) => Err(Error::Command { line, how: "did not start: no thread".into() }),
        }
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() > end {
                let how = format!("did not end within {} s", limit.as_secs());
                return Err(Error::Command { line: self.line.clone(), how });
            }
            thread::sleep(crate::limits::POLL);
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end; an error with its output unless it succeeds.
pub fn run(command: &mut Command) -> Result<Output> {
    let line = line(command);
    let output = command
        .output()
        .map_err(|e| Error::Command { line: line.clone(), how: format!("did not start: {e}") })?;
    if output.status.success() {
        return Ok(output);
    }
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let how = format!("ended: {}: {}", output.status, String::from_utf8_lossy(&text).trim());
    Err(Error::Command { line, how })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_a_process_ends_it() {
        let mut process = Process::start("sleep", |c| {
            c.arg("1000");
        })
        .expect("sleep starts");
        let folder = format!("/proc/{}", process.child().id());
        assert!(std::path::Path::new(&folder).exists());
        drop(process);
        assert!(!std::path::Path::new(&folder).exists());
    }

    #[test]
    fn a_failing_command_shows_what_it_printed() {
        let error = run(Command::new("ls").arg("/no/such/folder")).expect_err("it fails");
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
    }
}
