//! How long the parts of an installation took, for the log: a card that gets slow is seen there,
//! and `cargo xtask bench install` reads it.
//!
//! Invariant: what is measured is the time inside a port, so that the parts do not overlap. All
//! else is decoding, patching and hashing, and pauses where there were some.

use protocol::payload::Chunk;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use updater::Error;
use updater::ports::{Storage, Transport};

/// Bytes and the time that they took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Part {
    bytes: u64,
    time: Duration,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in {} ms", self.bytes, self.time.as_millis())
    }
}

#[derive(Debug, Default)]
struct Spent {
    since: Option<Instant>,
    scanned: Part,
    fetched: Part,
    written: Part,
    read_back: Part,
}

impl Spent {
    /// Of reading the slot to write: before the first write it is looked for what is there already.
    fn target(&mut self) -> &mut Part {
        match self.written.bytes {
            0 => &mut self.scanned,
            _ => &mut self.read_back,
        }
    }
}

/// What was spent since the last report; shared by the ports.
#[derive(Debug, Clone, Default)]
pub struct Figures(Arc<Mutex<Spent>>);

impl Figures {
    /// All parts in one line, and from the start again.
    pub fn take(&self) -> String {
        let spent = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all = spent.since.map_or(Duration::ZERO, |since| since.elapsed());
        let Spent { scanned, fetched, written, read_back, .. } = spent;
        let ports = scanned.time + fetched.time + written.time + read_back.time;
        format!(
            "scanned {scanned}, fetched {fetched}, wrote {written}, read back {read_back}, \
             all else {} ms",
            all.saturating_sub(ports).as_millis()
        )
    }

    fn add<T>(&self, part: fn(&mut Spent) -> &mut Part, bytes: u64, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = work();
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spent.since.get_or_insert(begun);
        let part = part(&mut spent);
        part.bytes += bytes;
        part.time += begun.elapsed();
        result
    }
}

/// A port whose time is measured.
pub struct Measured<T>(pub T, pub Figures);

impl<T: Storage> Storage for Measured<T> {
    fn chunks(&self) -> u32 {
        self.0.chunks()
    }

    fn running_chunks(&self) -> u32 {
        self.0.running_chunks()
    }

    fn read_running(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error> {
        self.1.add(
            |spent| &mut spent.scanned,
            into.len() as u64,
            || self.0.read_running(chunk, into),
        )
    }

    fn read_running_at(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        let bytes = into.len() as u64;
        self.1.add(|spent| &mut spent.scanned, bytes, || self.0.read_running_at(offset, into))
    }

    fn read_target(&mut self, chunk: u32, into: &mut Chunk) -> Result<(), Error> {
        self.1.add(Spent::target, into.len() as u64, || self.0.read_target(chunk, into))
    }

    fn write_target(&mut self, chunk: u32, from: &Chunk) -> Result<(), Error> {
        self.1.add(
            |spent| &mut spent.written,
            from.len() as u64,
            || self.0.write_target(chunk, from),
        )
    }

    fn sync_target(&mut self) -> Result<(), Error> {
        self.1.add(|spent| &mut spent.written, 0, || self.0.sync_target())
    }
}

impl<T: Transport> Transport for Measured<T> {
    fn fetch(&mut self, source: &str, range: Range<u64>, into: &mut Vec<u8>) -> Result<(), Error> {
        let bytes = range.end - range.start;
        self.1.add(|spent| &mut spent.fetched, bytes, || self.0.fetch(source, range, into))
    }
}
