//! How fast a download runs: not slower than [`SLOWEST`] for long, and not faster than the limit.
//!
//! The time that a limit makes a download wait is no fault of the source, and not counted as its.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes a second that a source must bring; a mobile line of the slow kind does.
pub const SLOWEST: u64 = 8 * 1024;
/// Time over which it must bring them: a line may stand still for less.
const WINDOW: Duration = Duration::from_secs(20);
/// Of a second's bytes, how many may come at once: small reads make a line even.
const BURST: Duration = Duration::from_millis(250);

/// A limit in bytes a second, shared by those who set it and those who keep it. None at first.
#[derive(Debug, Clone, Default)]
pub struct Limit(Arc<AtomicU64>);

impl Limit {
    /// Sets or lifts it, also for what is under way.
    pub fn set(&self, bytes: Option<u64>) {
        self.0.store(bytes.unwrap_or(0), Ordering::Relaxed);
    }

    /// Bytes a second.
    pub fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

/// A token bucket that may be overdrawn by one read, which is then waited for. Times are durations
/// since any one moment.
#[derive(Debug, Default)]
struct Bucket {
    /// Nothing more is taken before this time.
    free_at: Duration,
}

impl Bucket {
    /// How long to wait after `bytes` were taken at `now`.
    fn take(&mut self, bytes: u64, rate: u64, now: Duration) -> Duration {
        let takes = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1));
        self.free_at = self.free_at.max(now.saturating_sub(BURST)) + takes;
        self.free_at.saturating_sub(now)
    }
}

/// Whether a source is too slow. Times are those in which it was waited for.
#[derive(Debug, Default)]
struct Watch {
    since: Duration,
    bytes: u64,
}

impl Watch {
    fn count(&mut self, bytes: u64, waited: Duration) -> io::Result<()> {
        self.bytes += bytes;
        let passed = waited.saturating_sub(self.since);
        if bytes > 0 && passed >= WINDOW {
            if self.bytes < SLOWEST * passed.as_secs() {
                let why = format!("{} bytes in {} s", self.bytes, passed.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            (self.since, self.bytes) = (waited, 0);
        }
        Ok(())
    }
}

/// Reads at a pace. A source that sends nothing at all ends by the request's own time-out; this one
/// is against a source that trickles.
pub struct Paced<R> {
    inner: R,
    limit: Limit,
    begun: Instant,
    bucket: Bucket,
    watch: Watch,
    /// Time spent in waiting for the source.
    waited: Duration,
}

impl<R> Paced<R> {
    /// Begins now.
    pub fn new(inner: R, limit: Limit) -> Self {
        Self {
            inner,
            limit,
            begun: Instant::now(),
            bucket: Bucket::default(),
            watch: Watch::default(),
            waited: Duration::ZERO,
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = self.limit.get();
        // No read takes more than the burst, or the line would go by fits and starts.
        let most = limit.map(|rate| (rate / 4).max(1)).and_then(|most| usize::try_from(most).ok());
        let length = buffer.len().min(most.unwrap_or(usize::MAX));
        let before = Instant::now();
        let count = self.inner.read(&mut buffer[..length])?;
        self.waited += before.elapsed();
        self.watch.count(count as u64, self.waited)?;
        if let Some(rate) = limit {
            thread::sleep(self.bucket.take(count as u64, rate, self.begun.elapsed()));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_the_rate_and_no_more_than_its_burst_at_once() {
        let mut bucket = Bucket::default();
        // Ten seconds of idling are no credit beyond the burst.
        let mut now = 10 * SECOND;
        assert_eq!(bucket.take(250, 1000, now), Duration::ZERO, "the burst");
        for _ in 0..100 {
            let wait = bucket.take(100, 1000, now);
            assert_eq!(wait, SECOND / 10);
            now += wait;
        }
        assert_eq!(now, 20 * SECOND, "10,000 bytes in ten seconds");
    }

    #[test]
    fn a_source_is_too_slow_by_the_time_it_was_waited_for_alone() {
        // Bytes a second of a source that is waited for all the time.
        for (rate, slow) in [(SLOWEST, false), (SLOWEST - 1, true)] {
            let mut watch = Watch::default();
            let told = (1..=60).try_for_each(|second| watch.count(rate, second * SECOND));
            assert_eq!(told.is_err(), slow, "{rate}");
        }
        // Under a limit of 1 KiB a second it is waited for a millisecond of each second.
        let mut watch = Watch::default();
        let waited = |second: u32| second * SECOND / 1000;
        let told = (1..=600).try_for_each(|second| watch.count(1024, waited(second)));
        assert!(told.is_ok());
    }

    #[test]
    fn what_is_read_is_what_the_source_has_with_and_without_a_limit() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        for rate in [None, Some(1 << 20)] {
            let limit = Limit::default();
            limit.set(rate);
            let mut got = Vec::new();
            Paced::new(&bytes[..], limit).read_to_end(&mut got).unwrap();
            assert_eq!(got, bytes);
        }
    }
}
