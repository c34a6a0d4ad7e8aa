//! Output of services: bounded in memory, on the card, and in rate. A service that floods its log
//! loses lines, not the card's life or the machine's processor; how many it lost is written once
//! the flood ends.

use protocol::calendar::utc_text;
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A log file larger than this is renamed to `NAME.log.1`, so that a service has at most twice this
/// on the card.
pub const FILE_LIMIT: u64 = 256 << 10;
/// Longest line in bytes; the rest is cut.
pub const LINE_LIMIT: usize = 1024;
/// Bytes of a service's last lines that are kept in memory (for when the card is full or gone).
pub const RING_LIMIT: usize = 8 << 10;
/// Lines that may come at once.
pub const BURST: u32 = 200;
/// Lines per second that may come for ever: 20 lines of 100 bytes fill a file in two minutes.
pub const LINES_PER_SECOND: u32 = 20;
/// Bytes of a log file's end that are looked through for the last lines.
const TAIL_LIMIT: u64 = 128 << 10;

/// The log of one service.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: Option<(File, u64)>,
    ring: VecDeque<String>,
    ring_bytes: usize,
    partial: Vec<u8>,
    tokens: u32,
    refilled_at: u64,
    dropped: u64,
}

impl Log {
    /// The log `NAME.log` in a directory; nothing is opened before the first line.
    pub fn new(directory: &Path, name: &str) -> Self {
        Self {
            path: directory.join(format!("{name}.log")),
            file: None,
            ring: VecDeque::new(),
            ring_bytes: 0,
            partial: Vec::new(),
            tokens: BURST,
            refilled_at: 0,
            dropped: 0,
        }
    }

    /// Takes what a service wrote; returns the whole lines that were accepted. `now` in
    /// milliseconds.
    pub fn feed(&mut self, bytes: &[u8], now: u64) -> Vec<String> {
        let mut accepted = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                if self.partial.len() < LINE_LIMIT {
                    self.partial.push(*byte);
                }
                continue;
            }
            let raw = std::mem::take(&mut self.partial);
            let text: String = String::from_utf8_lossy(&raw)
                .chars()
                .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
                .collect();
            if self.take_token(now) {
                self.write(&text);
                accepted.push(text);
            } else {
                self.dropped += 1;
            }
        }
        accepted
    }

    fn take_token(&mut self, now: u64) -> bool {
        let earned = now.saturating_sub(self.refilled_at) * u64::from(LINES_PER_SECOND) / 1000;
        if earned > 0 {
            self.tokens = u64::from(self.tokens).saturating_add(earned).min(BURST.into()) as u32;
            self.refilled_at = now;
        }
        if self.tokens == 0 {
            return false;
        }
        self.tokens -= 1;
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            self.write(&format!(
                "[{dropped} lines dropped: more than {LINES_PER_SECOND} a second]"
            ));
        }
        true
    }

    /// One line of init's own about this service.
    pub fn write(&mut self, text: &str) {
        let line = format!("{} {text}", utc_text(crate::clock::now_s()));
        self.ring_bytes += line.len();
        let stored = self.append(&line);
        self.ring.push_back(line);
        let limit = if stored { RING_LIMIT / 4 } else { RING_LIMIT };
        while self.ring_bytes > limit {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.ring_bytes -= oldest.len();
        }
    }

    /// A card that is full or gone costs the line on the card, not the one in memory.
    fn append(&mut self, line: &str) -> bool {
        if self.file.is_none() {
            let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path);
            let Ok(file) = opened else { return false };
            let length = file.metadata().map_or(0, |m| m.len());
            self.file = Some((file, length));
        }
        let Some((file, length)) = &mut self.file else { return false };
        if file.write_all(format!("{line}\n").as_bytes()).is_err() {
            return false;
        }
        *length += line.len() as u64 + 1;
        if *length >= FILE_LIMIT {
            self.file = None;
            let _ = fs::rename(&self.path, self.path.with_extension("log.1"));
        }
        true
    }

    /// The last lines, oldest first: from the card, or from memory when that cannot be read.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        let (mut found, whole) = tail_of(&self.path).unwrap_or((Vec::new(), true));
        if whole && found.len() < lines {
            let older = tail_of(&self.path.with_extension("log.1"));
            let (mut older, _) = older.unwrap_or_default();
            older.append(&mut found);
            found = older;
        }
        if found.is_empty() {
            found = self.ring.iter().cloned().collect();
        }
        found.split_off(found.len().saturating_sub(lines))
    }

    /// Lets go of the file, so that its file system can be unmounted.
    pub fn close(&mut self) {
        self.file = None;
    }
}

/// The lines at a file's end, and whether they are all that it has.
fn tail_of(path: &Path) -> std::io::Result<(Vec<String>, bool)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_LIMIT)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_LIMIT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = length <= TAIL_LIMIT;
    let skip = usize::from(!whole); // the first is cut
    Ok((text.lines().skip(skip).map(String::from).collect(), whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("holdfast-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_log_never_takes_more_than_two_files() {
        let dir = directory("rotate");
        let mut log = Log::new(&dir, "x");
        for number in 0..20_000 {
            log.write(&format!("line {number} {}", "-".repeat(60)));
        }
        let sizes: Vec<u64> =
            fs::read_dir(&dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size < FILE_LIMIT + 2000), "{sizes:?}");
        let number = |line: &String| line.split(' ').nth(2).unwrap().parse::<u32>().unwrap();
        let tail: Vec<u32> = log.tail(1000).iter().map(number).collect();
        assert_eq!(tail, (19_000..20_000).collect::<Vec<u32>>());
        fs::remove_file(dir.join("x.log")).unwrap();
        log.close();
        log.write("line 20000 is alone in its file");
        let tail: Vec<u32> = log.tail(2).iter().map(number).collect();
        assert_eq!(tail[1], 20_000);
        assert_eq!(tail.len(), 2, "reaches into the older file");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let dir = directory("flood");
        let mut log = Log::new(&dir, "x");
        let flood = "noise\n".repeat(1000);
        assert_eq!(log.feed(flood.as_bytes(), 0).len(), BURST as usize);
        assert_eq!(log.feed(b"later\n", 1000), ["later"]);
        let tail = log.tail(2);
        assert!(tail[0].contains("[800 lines dropped"), "{tail:?}");
        assert!(tail[1].ends_with(" later"));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn lines_come_whole_however_they_are_cut_and_never_too_long_or_with_control_characters() {
        let dir = directory("lines");
        let mut log = Log::new(&dir, "x");
        assert_eq!(log.feed(b"hal", 0), [""; 0]);
        assert_eq!(log.feed(b"f\n\x1b[2Jx\n", 0), ["half", "\u{fffd}[2Jx"]);
        assert_eq!(log.feed(format!("{}\n", "y".repeat(5000)).as_bytes(), 0)[0].len(), LINE_LIMIT);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn without_a_card_the_last_lines_are_in_memory() {
        let mut log = Log::new(Path::new("/proc/no-such-directory"), "x");
        for number in 0..10_000 {
            log.write(&format!("line {number}"));
        }
        let tail = log.tail(1000);
        assert!(tail.last().unwrap().ends_with("line 9999") && tail.len() > 100);
        assert!(tail.iter().map(String::len).sum::<usize>() <= RING_LIMIT);
    }
}
