//! A serial line: everything that was printed, waiting for text, and typing. What was waited for
//! once is passed: the next wait begins behind it, so that a story reads in the order of the log.

use crate::error::{Error, Result, file};
use crate::limits;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// What the reader thread and the story share.
#[derive(Default)]
struct Log {
    /// Everything.
    all: Vec<u8>,
    /// Everything but the kernel's messages, which come in the middle of other lines.
    session: Vec<u8>,
    /// The end of `all` that may be the beginning of a kernel message.
    undecided: Vec<u8>,
    closed: bool,
}

impl Log {
    fn add(&mut self, bytes: &[u8]) {
        self.all.extend_from_slice(bytes);
        self.undecided.extend_from_slice(bytes);
        let mut at = 0;
        while at < self.undecided.len() {
            match kernel_message(&self.undecided[at..]) {
                Message::No => {
                    self.session.push(self.undecided[at]);
                    at += 1;
                }
                Message::Length(length) => at += length,
                Message::Incomplete => break,
            }
        }
        self.undecided.drain(..at);
    }

    fn of(&self, view: View) -> &[u8] {
        match view {
            View::All => &self.all,
            View::Session => &self.session,
        }
    }
}

/// What a wait looks at.
#[derive(Clone, Copy)]
enum View {
    /// Everything that was printed.
    All,
    /// Everything but the kernel's messages: what a prompt and its commands print.
    Session,
}

/// Whether some bytes begin with a kernel message, `[   12.345678] text\n`.
enum Message {
    No,
    Length(usize),
    Incomplete,
}

fn kernel_message(bytes: &[u8]) -> Message {
    let stamp = |(index, byte): (usize, &u8)| match index {
        0 => *byte == b'[',
        _ => matches!(byte, b' ' | b'.' | b'0'..=b'9'),
    };
    let length = bytes.iter().enumerate().take_while(|part| stamp(*part)).count();
    match (length, bytes.get(length)) {
        (0, _) => Message::No,
        (_, None) => Message::Incomplete,
        (3.., Some(b']')) => {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            end.map_or(Message::Incomplete, |end| Message::Length(end + 1))
        }
        _ => Message::No,
    }
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    more: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The serial line of one machine.
pub struct Console {
    machine: String,
    shared: Arc<Shared>,
    positions: [usize; 2],
    input: Box<dyn Write + Send>,
}

impl Console {
    /// Reads `output` on a thread of its own, into memory and at the end of `log`.
    pub fn new(
        machine: &str,
        mut output: impl Read + Send + 'static,
        input: impl Write + Send + 'static,
        log: &Path,
    ) -> Result<Self> {
        let open = File::options().create(true).append(true).open(log);
        let mut kept = open.map_err(file("open", log))?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut block) {
                let _ = kept.write_all(&block[..count]);
                theirs.lock().add(&block[..count]);
                theirs.more.notify_all();
            }
            theirs.lock().closed = true;
            theirs.more.notify_all();
        });
        Ok(Self { machine: machine.into(), shared, positions: [0; 2], input: Box::new(input) })
    }

    /// Waits for a text; returns the line that has it.
    pub fn expect(&mut self, text: &str, limit: Duration) -> Result<String> {
        Ok(self.expect_any(&[text], limit)?.1)
    }

    /// Waits for a text outside the kernel's messages; returns everything up to its end.
    pub fn session(&mut self, text: &str, limit: Duration) -> Result<String> {
        let before = self.positions[View::Session as usize];
        self.find(View::Session, &[text], limit)?;
        let after = self.positions[View::Session as usize];
        Ok(String::from_utf8_lossy(&self.shared.lock().session[before..after]).into_owned())
    }

    /// Waits for whichever of the texts comes first; returns its index and the line that has it.
    pub fn expect_any(&mut self, texts: &[&str], limit: Duration) -> Result<(usize, String)> {
        self.find(View::All, texts, limit)
    }

    fn find(&mut self, view: View, texts: &[&str], limit: Duration) -> Result<(usize, String)> {
        let end = Instant::now() + limit;
        let shared = Arc::clone(&self.shared);
        let mut log = shared.lock();
        let position = self.positions[view as usize];
        loop {
            if let Some((index, start)) = first(&log.of(view)[position..], texts) {
                let (start, after) = (position + start, position + start + texts[index].len());
                // The whole line, when it comes soon; a prompt has no end of line.
                let soon = Instant::now() + limits::POLL;
                while !log.of(view)[after..].contains(&b'\n') && !log.closed {
                    let Some(left) = soon.checked_duration_since(Instant::now()) else { break };
                    log = wait(&shared, log, left);
                }
                self.positions[view as usize] = after;
                return Ok((index, line_at(log.of(view), start)));
            }
            let now = Instant::now();
            let why = match (log.closed, now >= end) {
                (true, _) => "QEMU ended".to_string(),
                (_, true) => format!("{} s passed", limit.as_secs()),
                _ => {
                    log = wait(&shared, log, end - now);
                    continue;
                }
            };
            return Err(Error::Console {
                machine: self.machine.clone(),
                why,
                awaited: texts.join("\" or \""),
                tail: tail(&log.all),
            });
        }
    }

    /// Types text; `\n` is the Enter key.
    pub fn write(&mut self, text: &str) -> Result {
        self.input
            .write_all(text.as_bytes())
            .and_then(|()| self.input.flush())
            .map_err(|e| Error::Story(format!("{}: typing {text:?}: {e}", self.machine)))
    }

    /// Everything since power on, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().all).into_owned()
    }

    /// Bytes printed since power on.
    pub fn printed(&self) -> usize {
        self.shared.lock().all.len()
    }

    /// What came after the first `count` bytes.
    pub fn since(&self, count: usize) -> String {
        String::from_utf8_lossy(&self.shared.lock().all[count..]).into_owned()
    }

    /// Takes everything that was printed so far as read: the boot loader of the boot before is not
    /// the one that is waited for.
    pub fn skip_all(&mut self) {
        self.positions[View::All as usize] = self.shared.lock().all.len();
    }

    /// Takes everything up to the last occurrence of `text` as read, when there is one.
    pub fn skip_to_last(&mut self, text: &str) {
        let log = self.shared.lock();
        for view in [View::All, View::Session] {
            let found = log.of(view).windows(text.len()).rposition(|w| w == text.as_bytes());
            let position = &mut self.positions[view as usize];
            *position = (*position).max(found.unwrap_or_default());
        }
    }

    /// The last lines, for messages.
    pub fn tail(&self) -> String {
        tail(&self.shared.lock().all)
    }
}

fn wait<'a>(shared: &Shared, log: MutexGuard<'a, Log>, time: Duration) -> MutexGuard<'a, Log> {
    let woken = shared.more.wait_timeout(log, time);
    woken.unwrap_or_else(|poisoned| poisoned.into_inner()).0
}

fn first(bytes: &[u8], texts: &[&str]) -> Option<(usize, usize)> {
    let find = |text: &str| bytes.windows(text.len()).position(|w| w == text.as_bytes());
    let found = texts.iter().enumerate().filter_map(|(index, text)| Some((index, find(text)?)));
    found.min_by_key(|(_, start)| *start)
}

fn line_at(bytes: &[u8], at: usize) -> String {
    let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
    let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |p| at + p);
    String::from_utf8_lossy(&bytes[start..end]).trim().to_string()
}

fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(limits::TAIL_LINES);
    lines[from..].iter().map(|line| format!("  | {}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &'static str) -> Console {
        let log = std::env::temp_dir().join(format!("hil-console-{}.log", std::process::id()));
        Console::new("test", text.as_bytes(), std::io::sink(), &log).expect("the log opens")
    }

    #[test]
    fn waits_pass_the_log_in_order() {
        let mut console = console("one\nfirst: 1\nfirst: 2\nlast\n");
        let soon = Duration::from_secs(5);
        assert_eq!(console.expect("first", soon).expect("it is there"), "first: 1");
        assert_eq!(console.expect("first", soon).expect("it is there"), "first: 2");
        assert_eq!(console.expect_any(&["none", "last"], soon).expect("it is there").0, 1);
    }

    #[test]
    fn a_session_reads_as_if_the_kernel_were_silent() {
        let mut console = console(
            "holdfast> list\n[    1.000001] usb 1-1: new\n\
             {\"a\":[1][   12.345678] eth0: up\n}\n[exit 0]\n",
        );
        let printed = console.session("[exit", Duration::from_secs(5)).expect("it is there");
        assert_eq!(printed, "holdfast> list\n{\"a\":[1]}\n[exit");
    }

    #[test]
    fn a_prompt_of_the_boot_before_is_passed_over() {
        let mut console = console("holdfast> reboot\n[exit 0]\nholdfast> U-Boot 2025\nlast\n");
        let soon = Duration::from_secs(5);
        console.session("> ", soon).expect("the first prompt");
        console.expect("U-Boot 20", soon).expect("the boot loader");
        console.skip_to_last("U-Boot 20");
        let error = console.session("holdfast> ", soon).expect_err("no prompt came since");
        assert!(error.to_string().contains("QEMU ended"), "{error}");
    }

    #[test]
    fn what_was_printed_before_is_not_what_is_waited_for() {
        let (read, mut write) = std::io::pipe().expect("a pipe");
        let log = std::env::temp_dir().join(format!("hil-pipe-{}.log", std::process::id()));
        let mut console = Console::new("test", read, std::io::sink(), &log).expect("a log");
        let soon = Duration::from_secs(5);
        write.write_all(b"U-Boot 1\nholdfast> ").expect("it is read");
        console.session("holdfast> ", soon).expect("the prompt");
        console.skip_all();
        write.write_all(b"[exit 0]\nholdfast> U-Boot 2\n").expect("it is read");
        assert!(console.expect("U-Boot", soon).expect("the second").ends_with("U-Boot 2"));
    }

    #[test]
    fn a_text_that_never_comes_ends_with_the_last_lines() {
        let mut console = console("Kernel panic\n");
        let error = console.expect("healthy", Duration::from_secs(5)).expect_err("it never comes");
        assert!(error.to_string().contains("QEMU ended"), "{error}");
        assert!(error.to_string().contains("| Kernel panic"), "{error}");
    }
}
