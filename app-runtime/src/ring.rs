//! The log of one service: two files of bounded size, filled at a bounded rate, so that a chatty
//! app neither fills nor
//! wears out the card.

use crate::error::{Context, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Bytes of each of the two files.
const FILE_SIZE: u64 = 256 * 1024;
/// Longest line in bytes; a longer one is cut.
pub const LINE_SIZE: usize = 4096;
/// Bytes per second that may be written in the long run.
const RATE: f64 = 8.0 * 1024.0;
/// Bytes that may be written at once.
const BURST: f64 = 128.0 * 1024.0;

/// The writing end.
#[derive(Debug)]
pub struct Ring {
    path: PathBuf,
    file: File,
    size: u64,
    budget: f64,
    filled: Instant,
    dropped: u64,
}

impl Ring {
    /// Opens or makes the log.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).at("make directory", parent)?;
        }
        let file = append(path)?;
        let size = file.metadata().at("look at", path)?.len();
        let filled = Instant::now();
        Ok(Self { path: path.to_path_buf(), file, size, budget: BURST, filled, dropped: 0 })
    }

    /// Writes a line with the time before it, or drops it when there are too many. A full disk
    /// drops it as well: the app
    /// must not stop for its log.
    pub fn write(&mut self, line: &[u8]) {
        let now = Instant::now();
        self.budget =
            (self.budget + now.duration_since(self.filled).as_secs_f64() * RATE).min(BURST);
        self.filled = now;
        if self.budget < line.len() as f64 {
            self.dropped += 1;
            return;
        }
        if self.dropped > 0 {
            let note = format!("[{} lines dropped: too many]", self.dropped);
            self.dropped = 0;
            let _ = self.append_line(note.as_bytes());
        }
        self.budget -= line.len() as f64;
        let _ = self.append_line(line);
    }

    fn append_line(&mut self, line: &[u8]) -> Result<()> {
        let line = &line[..line.len().min(LINE_SIZE)];
        let text = String::from_utf8_lossy(line);
        let entry = format!("{} {}\n", timestamp(SystemTime::now()), text.trim_end());
        if self.size + entry.len() as u64 > FILE_SIZE {
            fs::rename(&self.path, older(&self.path)).at("rotate", &self.path)?;
            self.file = append(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(entry.as_bytes()).at("write", &self.path)?;
        self.size += entry.len() as u64;
        Ok(())
    }
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).at("open", path)
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

/// The last lines, oldest first; a log that does not exist is empty.
pub fn tail(path: &Path, lines: usize) -> Vec<String> {
    let mut text = fs::read(older(path)).unwrap_or_default();
    text.extend(fs::read(path).unwrap_or_default());
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(ToString::to_string).collect()
}

/// Removes both files.
pub fn remove(path: &Path) -> Result<()> {
    crate::data::remove(path)?;
    crate::data::remove(&older(path))
}

/// `2026-11-23T14:05:09Z`
fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    protocol::calendar::utc_text(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_442_709, "2026-11-23T14:05:09Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_flood_is_bounded_and_said() {
        let dir = std::env::temp_dir().join(format!("ring-{}", std::process::id()));
        let path = dir.join("a.b.log");
        let mut ring = Ring::open(&path).unwrap();
        for number in 0..100_000 {
            ring.write(format!("line {number}").as_bytes());
        }
        let written: u64 = [path.clone(), older(&path)]
            .iter()
            .map(|p| fs::metadata(p).map_or(0, |m| m.len()))
            .sum();
        assert!(written <= 2 * FILE_SIZE, "{written}");
        assert!(ring.dropped > 0);
        assert_eq!(tail(&path, 1).len(), 1);
        // When there is room again, the gap is told.
        ring.budget = BURST;
        ring.write(b"after");
        let last = tail(&path, 2);
        assert!(last[0].contains("lines dropped"), "{last:?}");
        assert!(last[1].ends_with(" after"), "{last:?}");
        remove(&path).unwrap();
        assert_eq!(tail(&path, 5), Vec::<String>::new());
        fs::remove_dir_all(dir).unwrap();
    }
}
