//! Runs e2fsck: bounded in time, with progress for whoever watches the console, and with what it
//! found in a few lines.
//!
//! What always holds: [`run`] comes back. A check whose time is up is told to end, then killed; one
//! that does not even die (the card hangs in the kernel) is left behind.

use crate::repair::Outcome;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, kill_process},
};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The longest that [`run`] waits without a look around: the watchdog waits for its caller's turn.
const TURN_EVERY: Duration = Duration::from_secs(1);
/// Between two messages about progress: a long check must look alive, a short one be silent.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// What a check that was told to end may take to note what it has done.
const END_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at a process that is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Findings that are kept in full; the rest is counted.
const KEPT_FINDINGS: usize = 20;
/// Bytes of a line that are kept.
const LINE_LIMIT: usize = 200;
/// Bits of e2fsck's exit code that mean that all is in order: errors corrected, restart advised.
const CORRECTED: i32 = 1 | 2;

/// What the caller does while a check runs.
pub struct Seen<'a> {
    /// Tells a person how far it is.
    pub say: &'a mut dyn FnMut(&str),
    /// Every few seconds: the check may take longer than a watchdog waits.
    pub turn: &'a mut dyn FnMut(),
}

/// What came of a check.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// For the decision.
    pub outcome: Outcome,
    /// How it ended, for people.
    pub ending: String,
    /// Something was changed besides the journal's replay.
    pub mended: bool,
    /// The first lines that e2fsck printed about this file system.
    pub findings: Vec<String>,
    /// How many there were.
    pub count: usize,
}

/// Runs `program` with `arguments` on `device`, until `deadline`; `say` gets progress.
pub fn run(
    program: &Path,
    arguments: &[String],
    device: &Path,
    deadline: Instant,
    seen: &mut Seen<'_>,
) -> Report {
    let mut report = Report {
        outcome: Outcome::NotRun,
        ending: String::new(),
        mended: false,
        findings: Vec::new(),
        count: 0,
    };
    let (mut child, output) = match start(program, arguments, device) {
        Ok(started) => started,
        Err(error) => {
            report.ending = format!("{}: {error}", program.display());
            return report;
        }
    };
    let in_time = read(output, deadline, &mut report, seen);
    let status = if in_time { wait(&mut child, deadline, seen) } else { None };
    let Some(status) = status else {
        let ended = end(&mut child, seen).is_some();
        let ending = if ended { "ended, its time was up" } else { "its time was up, and it hangs" };
        return Report { outcome: Outcome::Cut, ending: ending.into(), mended: true, ..report };
    };
    (report.outcome, report.ending) = judge(status);
    report.mended = status.code().is_some_and(|code| code & CORRECTED != 0);
    report
}

/// The process, and where its output comes from.
fn start(program: &Path, arguments: &[String], device: &Path) -> io::Result<(Child, File)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let child = Command::new(program)
        .args(arguments)
        // progress as lines of numbers on standard output
        .args(["-C", "1"])
        .arg(device)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(write.try_clone()?)
        .stderr(write)
        .spawn()?;
    Ok((child, File::from(read)))
}

/// Reads until the end of the output; `false` when the deadline came before.
fn read(mut output: File, deadline: Instant, report: &mut Report, seen: &mut Seen<'_>) -> bool {
    let mut next_progress = Instant::now() + PROGRESS_EVERY;
    let mut line = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        (seen.turn)();
        let wait = left.min(TURN_EVERY);
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&wait)) {
            Ok(0) | Err(_) => continue,
            Ok(_) => {}
        }
        let mut bytes = [0; 4096];
        let count = match output.read(&mut bytes) {
            Ok(0) | Err(_) => {
                take_line(&line, report);
                return true;
            }
            Ok(count) => count,
        };
        for byte in &bytes[..count] {
            if *byte != b'\n' {
                if line.len() < LINE_LIMIT {
                    line.push(*byte);
                }
                continue;
            }
            if let Some(progress) = take_line(&line, report)
                && Instant::now() >= next_progress
            {
                next_progress = Instant::now() + PROGRESS_EVERY;
                (seen.say)(&progress);
            }
            line.clear();
        }
    }
}

/// Keeps a finding, or makes a message of a line about progress: pass, done, of, device.
fn take_line(line: &[u8], report: &mut Report) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    let mut words = text.split(' ').map(str::parse::<u64>);
    if let (Some(Ok(pass)), Some(Ok(done)), Some(Ok(all))) =
        (words.next(), words.next(), words.next())
    {
        return Some(format!("pass {pass} of 5, {} %", done * 100 / all.max(1)));
    }
    if is_finding(text) {
        report.count += 1;
        if report.findings.len() < KEPT_FINDINGS {
            report.findings.push(text.into());
        }
    }
    None
}

/// Not what e2fsck prints about every file system.
fn is_finding(text: &str) -> bool {
    let usual = text.is_empty()
        || text.starts_with("e2fsck 1.")
        || text.starts_with("Pass ")
        || text.contains(" FILE SYSTEM WAS MODIFIED ")
        || text.contains(": clean, ")
        || (text.contains(" files (") && text.ends_with(" blocks"));
    !usual
}

/// Waits for a process that has closed its output.
fn wait(child: &mut Child, deadline: Instant, seen: &mut Seen<'_>) -> Option<ExitStatus> {
    loop {
        (seen.turn)();
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Ends a check whose time is up.
fn end(child: &mut Child, seen: &mut Seen<'_>) -> Option<ExitStatus> {
    [Signal::TERM, Signal::KILL].into_iter().find_map(|signal| {
        let pid = Pid::from_child(child);
        let _ = kill_process(pid, signal);
        wait(child, Instant::now() + END_WAIT, seen)
    })
}

fn judge(status: ExitStatus) -> (Outcome, String) {
    match status.code() {
        Some(code) if code & !CORRECTED == 0 => (Outcome::Sound, format!("exit code {code}")),
        Some(code) => (Outcome::Unsound, format!("exit code {code}")),
        None => (Outcome::Unsound, status.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn shell(script: &str, limit: Duration) -> (Report, Vec<String>) {
        let mut said = Vec::new();
        let arguments = ["-c".to_string(), script.into()];
        let device = Path::new("/dev/null");
        let deadline = Instant::now() + limit;
        let mut say = |text: &str| said.push(text.to_string());
        let seen = &mut Seen { say: &mut say, turn: &mut || {} };
        let report = run(Path::new("/bin/sh"), &arguments, device, deadline, seen);
        (report, said)
    }

    fn volume(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("holdfast-{name}-{}", std::process::id()));
        File::create(&path).unwrap().set_len(32 << 20).unwrap();
        let mut made = Command::new("/sbin/mke2fs");
        made.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "data"]).arg(&path);
        assert!(made.status().unwrap().success());
        path
    }

    fn e2fsck(path: &Path, arguments: &[&str]) -> Report {
        let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
        let deadline = Instant::now() + PATIENCE;
        let seen = &mut Seen { say: &mut |_| {}, turn: &mut || {} };
        run(Path::new("/sbin/e2fsck"), &arguments, path, deadline, seen)
    }

    #[test]
    fn what_the_exit_code_says() {
        for (script, outcome, mended) in [
            ("exit 0", Outcome::Sound, false),
            ("exit 1", Outcome::Sound, true),
            ("exit 3", Outcome::Sound, true),
            ("exit 4", Outcome::Unsound, false),
            ("exit 8", Outcome::Unsound, false),
            ("kill -9 $$", Outcome::Unsound, false),
        ] {
            let (report, _) = shell(script, PATIENCE);
            assert_eq!((report.outcome, report.mended), (outcome, mended), "{script}");
        }
    }

    #[test]
    fn a_check_that_does_not_end_is_ended_even_when_it_does_not_listen() {
        for script in ["while :; do sleep 1; done", "exec >&- 2>&-; while :; do sleep 1; done"] {
            let (report, _) = shell(script, Duration::from_millis(100));
            assert_eq!((report.outcome, report.mended), (Outcome::Cut, true), "{script}");
        }
    }

    #[test]
    fn a_long_check_lets_its_caller_have_its_turn() {
        let silent = "exec >&- 2>&-; sleep 1";
        for script in ["sleep 3", silent] {
            let arguments = ["-c".to_string(), script.into()];
            let (device, deadline) = (Path::new("/dev/null"), Instant::now() + PATIENCE);
            let mut turns = 0;
            let seen = &mut Seen { say: &mut |_| {}, turn: &mut || turns += 1 };
            let report = run(Path::new("/bin/sh"), &arguments, device, deadline, seen);
            assert_eq!(report.outcome, Outcome::Sound, "{script}");
            assert!(turns > 1, "{script}: {turns} turns");
        }
    }

    #[test]
    fn a_checker_that_is_not_there_is_no_check() {
        let deadline = Instant::now() + PATIENCE;
        let none = Path::new("/sbin/no-such-checker");
        let seen = &mut Seen { say: &mut |_| {}, turn: &mut || {} };
        let report = run(none, &[], Path::new("/dev/null"), deadline, seen);
        assert_eq!(report.outcome, Outcome::NotRun);
        assert!(report.ending.contains("/sbin/no-such-checker"), "{}", report.ending);
    }

    #[test]
    fn findings_are_kept_and_progress_is_not_one() {
        let (report, _) = shell(
            "echo 'e2fsck 1.47.2 (1-Jan-2025)'; echo 1 2 4 data; echo 'Pass 1: Checking'; \
             i=0; while [ $i -lt 30 ]; do echo Inode $i is wrong; i=$((i+1)); done; exit 1",
            PATIENCE,
        );
        assert_eq!((report.count, report.findings.len()), (30, KEPT_FINDINGS));
        assert_eq!(report.findings[0], "Inode 0 is wrong");
        let mut scratch = report;
        assert_eq!(take_line(b"2 3 4 data", &mut scratch).as_deref(), Some("pass 2 of 5, 75 %"));
    }

    #[test]
    fn the_real_checker_finds_nothing_then_mends_a_damaged_bitmap() {
        let path = volume("check");
        let clean = e2fsck(&path, &["-f", "-y"]);
        assert_eq!((clean.outcome, clean.mended, clean.count), (Outcome::Sound, false, 0));
        let damage = ["-w", "-R", "freeb 100 50"];
        assert!(Command::new("/sbin/debugfs").args(damage).arg(&path).status().unwrap().success());
        let report = e2fsck(&path, &["-f", "-y"]);
        assert_eq!((report.outcome, report.mended), (Outcome::Sound, true), "{report:?}");
        assert!(report.findings.iter().any(|f| f.contains("bitmap differences")), "{report:?}");
        assert_eq!(e2fsck(&path, &["-f", "-n"]).outcome, Outcome::Sound);
        fs::remove_file(&path).unwrap();
    }
}
