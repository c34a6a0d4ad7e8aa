//! When to ask the next time, and what to do with an answer. Pure.

use super::sntp::Measured;

/// First pause after no server answered, in milliseconds; it doubles.
const RETRY_FIRST_MS: u64 = 1_000;
/// Longest pause while the time is not known.
const RETRY_MAX_MS: u64 = 64_000;
/// First pause after an answer; it doubles while the clock is good.
const POLL_FIRST_MS: u64 = 64_000;
/// Longest pause: the crystal of a Pi drifts a few seconds a day.
const POLL_MAX_MS: u64 = 4_096_000;
/// A larger offset is set at once, a smaller one is slewed.
const STEP_NS: i64 = 500_000_000;
/// An offset below this lets the pause grow.
const GOOD_NS: i64 = 20_000_000;

/// What to do to the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjust {
    /// Set it, by so many nanoseconds.
    Step(i64),
    /// Let it run faster or slower until so many nanoseconds are made up.
    Slew(i64),
    /// Nothing: the answer lies before the floor, so it is wrong.
    BelowFloor,
}

/// The schedule.
#[derive(Debug, Default)]
pub struct Schedule {
    failures: u32,
    poll_ms: u64,
    synchronised: bool,
}

impl Schedule {
    /// Whether an answer was ever taken.
    pub fn synchronised(&self) -> bool {
        self.synchronised
    }

    /// No server answered; the pause until the next attempt in milliseconds.
    pub fn failed(&mut self) -> u64 {
        let pause = RETRY_FIRST_MS.saturating_mul(1 << self.failures.min(16)).min(RETRY_MAX_MS);
        self.failures += 1;
        if self.synchronised { pause.max(POLL_FIRST_MS) } else { pause }
    }

    /// An answer: what to do, and the pause until the next question. Times in Unix nanoseconds and
    /// seconds.
    pub fn answered(&mut self, measured: Measured, now_ns: i64, floor_s: u64) -> (Adjust, u64) {
        if now_ns.saturating_add(measured.offset_ns) / 1_000_000_000 < floor_s as i64 {
            return (Adjust::BelowFloor, self.failed());
        }
        let adjust = if !self.synchronised || measured.offset_ns.abs() >= STEP_NS {
            Adjust::Step(measured.offset_ns)
        } else {
            Adjust::Slew(measured.offset_ns)
        };
        let good = self.synchronised && measured.offset_ns.abs() < GOOD_NS;
        self.poll_ms = if good { (self.poll_ms * 2).min(POLL_MAX_MS) } else { POLL_FIRST_MS };
        self.synchronised = true;
        self.failures = 0;
        (adjust, self.poll_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off_by(offset_ns: i64) -> Measured {
        Measured { offset_ns, delay_ns: 0, stratum: 2 }
    }

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn first_set_then_slewed_then_asked_ever_more_seldom() {
        let mut schedule = Schedule::default();
        let now = 2000 * SECOND;
        assert_eq!(schedule.answered(off_by(3), now, 0), (Adjust::Step(3), 64_000));
        assert_eq!(schedule.answered(off_by(4), now, 0), (Adjust::Slew(4), 128_000));
        let mut pause = 0;
        for _ in 0..10 {
            pause = schedule.answered(off_by(4), now, 0).1;
        }
        assert_eq!(pause, POLL_MAX_MS);
        assert_eq!(schedule.answered(off_by(-SECOND), now, 0), (Adjust::Step(-SECOND), 64_000));
        assert_eq!(schedule.failed(), 64_000, "a known time is not asked for in a hurry");
    }

    #[test]
    fn without_an_answer_the_pause_doubles_to_about_a_minute() {
        let mut schedule = Schedule::default();
        let pauses: Vec<u64> = (0..8).map(|_| schedule.failed()).collect();
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 64_000]);
    }

    #[test]
    fn a_time_before_the_floor_is_never_taken() {
        let mut schedule = Schedule::default();
        let (adjust, _) = schedule.answered(off_by(-50 * SECOND), 2000 * SECOND, 1990);
        assert_eq!(adjust, Adjust::BelowFloor);
        assert!(!schedule.synchronised());
    }
}
