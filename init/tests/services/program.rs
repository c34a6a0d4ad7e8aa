//! A program that runs beside a test. What it prints are the events that stories wait for; all of
//! it is in the output of a test that fails. It ends with the story.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

/// Longest wait for an event. No measure: what does not come in this time never comes.
const PATIENCE: Duration = Duration::from_secs(180);

/// The program.
pub struct Program {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// Index in `seen` of the first line that no story has waited for yet.
    next: usize,
}

impl Program {
    pub fn start(name: &'static str, command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            piped.spawn().unwrap_or_else(|error| panic!("{name}: {command:?}: {error}"));
        let (sender, lines) = mpsc::channel();
        follow(name, child.stdout.take(), sender.clone());
        follow(name, child.stderr.take(), sender);
        Self { name, child, lines, seen: Vec::new(), next: 0 }
    }

    /// Waits for a line with this text, after the one that was waited for last.
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(line) = self.seen.get(self.next) {
                self.next += 1;
                if line.contains(text) {
                    return line.clone();
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("{} never said {text:?}: {error}", self.name),
            }
        }
    }

    /// How many lines so far have this text.
    pub fn count(&mut self, text: &str) -> usize {
        self.seen.extend(self.lines.try_iter());
        self.seen.iter().filter(|line| line.contains(text)).count()
    }

    /// SIGKILL, as when it crashes.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; waits until it has ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn follow(name: &'static str, output: Option<impl Read + Send + 'static>, to: Sender<String>) {
    let output = BufReader::new(output.expect("the output is piped"));
    thread::spawn(move || {
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            println!("{name}: {line}");
            if to.send(line).is_err() {
                return;
            }
        }
    });
}

/// Waits until something holds that no program tells of.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
