//! Runs the jobs of a test run, a few at once, each job's output gathered in one piece.
//!
//! - At most [`JOBS`] jobs run, of these at most [`STORIES`] stories.
//! - No story begins before the images are built; when they cannot be, every story has failed.
//! - A failed job stops no other.

use super::tally::{Counts, Ended, Summary};
use super::tell;
use crate::error::Error;
use crate::{process, tree};
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Jobs at once: one more than the cores of a small machine, since most of them wait at times.
const JOBS: usize = 3;
/// Booted gateways at once: each keeps one core busy while it boots.
const STORIES: usize = 2;

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It builds what stories wait for.
    Images,
    /// A test program that boots nothing.
    Plain,
    /// A booted gateway.
    Story,
}

/// Something to run.
pub struct Job {
    name: String,
    kind: Kind,
    command: Command,
}

impl Job {
    /// A job of this name; the name is also its log's.
    pub fn new(name: &str, kind: Kind, command: Command) -> Self {
        let command = if kind == Kind::Plain { polite(&command) } else { command };
        Self { name: name.to_string(), kind, command }
    }

    /// Sets an environment variable of it.
    pub fn environment(&mut self, name: &str) {
        self.command.env(name, "1");
    }
}

/// The same command with a lower priority: the images, and then the stories, are what a run waits
/// for in the end, and programs fill the time in which those wait.
fn polite(command: &Command) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "10"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nice.env(name, value),
            None => nice.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        nice.current_dir(folder);
    }
    nice
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Images {
    Awaited,
    Built,
    Failed,
}

/// What the workers share.
struct State {
    waiting: VecDeque<Job>,
    images: Images,
    stories: usize,
    summary: Summary,
}

impl State {
    fn new(jobs: Vec<Job>) -> Self {
        let (images, summary) = (Images::Awaited, Summary::default());
        Self { waiting: jobs.into(), images, stories: 0, summary }
    }

    /// Stories go before programs, since they are longer; the images before everything.
    /// None: nothing may begin now.
    fn next(&mut self) -> Option<Job> {
        let place = [Kind::Images, Kind::Story, Kind::Plain]
            .into_iter()
            .filter(|kind| self.may_begin(*kind))
            .find_map(|kind| self.waiting.iter().position(|job| job.kind == kind));
        let job = place.and_then(|place| self.waiting.remove(place))?;
        self.stories += usize::from(job.kind == Kind::Story);
        Some(job)
    }

    fn may_begin(&self, kind: Kind) -> bool {
        kind != Kind::Story || (self.images != Images::Awaited && self.stories < STORIES)
    }

    fn ended(&mut self, kind: Kind, job: Ended) {
        match kind {
            Kind::Images => self.images = if job.ok { Images::Built } else { Images::Failed },
            Kind::Story => self.stories -= 1,
            Kind::Plain => {}
        }
        self.summary.add(job);
    }
}

/// Runs all of them.
pub fn run(jobs: Vec<Job>) -> Result<Summary, Error> {
    let logs = tree::target().join("test-logs");
    let _ = fs::remove_dir_all(&logs);
    let failed = |cause| Error::File { what: format!("make {}", logs.display()), cause };
    fs::create_dir_all(&logs).map_err(failed)?;
    let state = Mutex::new(State::new(jobs));
    let changed = Condvar::new();
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| work(&state, &changed, &logs));
        }
    });
    Ok(state.into_inner().unwrap_or_else(PoisonError::into_inner).summary)
}

fn work(state: &Mutex<State>, changed: &Condvar, logs: &Path) {
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let mut shared = lock();
    while !shared.waiting.is_empty() {
        let Some(Job { name, kind, command }) = shared.next() else {
            shared = wait(changed, shared);
            continue;
        };
        let images = shared.images;
        drop(shared);
        let ended = if kind == Kind::Story && images == Images::Failed {
            tell(&name, "not run: there is nothing to boot");
            Ended { name, counts: Counts::default(), ok: false, took: Duration::ZERO }
        } else {
            perform(name, kind, command, logs)
        };
        shared = lock();
        shared.ended(kind, ended);
        changed.notify_all();
    }
}

fn wait<'a>(changed: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    changed.wait(state).unwrap_or_else(PoisonError::into_inner)
}

/// Runs one job, says that it begins and how it ended, with everything it printed when it failed.
fn perform(name: String, kind: Kind, command: Command, logs: &Path) -> Ended {
    tell(&name, "begins");
    let begun = Instant::now();
    // A kernel that is built takes minutes: one wants to see it go on.
    let see = |line: &str| {
        if kind == Kind::Images {
            println!("{line}");
        }
    };
    let (printed, failure) = match gathered(command, see) {
        Ok((printed, failure)) => (printed, failure),
        Err(error) => (error.to_string(), Some("could not be run".to_string())),
    };
    let (counts, took) = (Counts::of(&printed), begun.elapsed());
    if let Err(error) = fs::write(log(logs, &name), &printed) {
        tell(&name, &format!("its log cannot be kept: {error}"));
    }
    let time = process::clock(took);
    match &failure {
        None => tell(&name, &format!("{counts}, in {time}")),
        Some(how) => tell(&name, &format!("FAILED ({how}) after {time}:\n{}", printed.trim_end())),
    }
    Ended { name, counts, ok: failure.is_none(), took }
}

fn log(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{}.log", name.replace([' ', '/', ','], "-")))
}

/// Standard output and error in the order in which they were written, and how it ended unless well;
/// `see` is shown each line.
fn gathered(mut command: Command, see: impl Fn(&str)) -> std::io::Result<(String, Option<String>)> {
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds the pipe's other end: without this, the reading would never end.
    drop(command);
    let mut printed = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        see(&line);
        printed.push_str(&line);
        printed.push('\n');
    }
    let status = child.wait()?;
    Ok((printed, (!status.success()).then(|| status.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, kind: Kind, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job::new(name, kind, command)
    }

    fn taken(state: &mut State) -> Option<String> {
        state.next().map(|job| job.name)
    }

    #[test]
    fn stories_wait_for_images_and_for_each_other() {
        let kinds = [Kind::Plain, Kind::Story, Kind::Story, Kind::Story, Kind::Images, Kind::Plain];
        let names = ["a", "s", "t", "u", "images", "b"];
        let jobs = names.iter().zip(kinds).map(|(name, kind)| shell(name, kind, "")).collect();
        let ended = |name: &str| Ended {
            name: name.into(),
            counts: Counts::default(),
            ok: true,
            took: Duration::ZERO,
        };
        let mut state = State::new(jobs);
        let begun: Vec<_> = std::iter::from_fn(|| taken(&mut state)).collect();
        assert_eq!(begun, ["images", "a", "b"]);
        state.ended(Kind::Images, ended("images"));
        let begun: Vec<_> = std::iter::from_fn(|| taken(&mut state)).collect();
        assert_eq!(begun, ["s", "t"]);
        state.ended(Kind::Story, ended("s"));
        assert_eq!(taken(&mut state).as_deref(), Some("u"));
        assert_eq!((taken(&mut state), state.waiting.len()), (None, 0));
    }

    #[test]
    fn a_program_that_boots_nothing_has_a_lower_priority_and_is_the_same_otherwise() {
        let printed = |kind| {
            let mut job = shell("x", Kind::Story, "nice; pwd; echo $A");
            job.command.env("A", "b").current_dir("/");
            let Job { name, command, .. } = job;
            gathered(Job::new(&name, kind, command).command, |_| {}).unwrap().0
        };
        let (usual, polite) = (printed(Kind::Story), printed(Kind::Plain));
        let priority = |text: &str| text.lines().next().unwrap().parse::<i32>().unwrap();
        assert_eq!(priority(&polite), (priority(&usual) + 10).min(19));
        assert_eq!(polite.lines().skip(1).collect::<Vec<_>>(), ["/", "b"]);
    }

    #[test]
    fn what_a_job_printed_is_gathered_in_order_with_how_it_ended() {
        let job = shell("x", Kind::Plain, "echo one; echo two >&2; echo three; exit 3");
        let (printed, how) = gathered(job.command, |_| {}).unwrap();
        assert_eq!(printed, "one\ntwo\nthree\n");
        assert!(how.unwrap().contains('3'));
    }
}
