//! Pauses that double, with jitter, so that a fleet does not come back all at once.

use std::time::Duration;

/// The next pause is between a half and the whole of a value that doubles up to a limit.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `first` to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// The pause before the next attempt.
    pub fn next(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.most);
        let mut random = [0; 4];
        // Without randomness the whole pause is taken: that is only less polite.
        let _ = getrandom::fill(&mut random);
        let part = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        whole.mul_f64(1.0 - part / 2.0)
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_keep_to_their_half() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 5 * second);
        for whole in [1, 2, 4, 5, 5] {
            let pause = backoff.next();
            assert!(pause <= whole * second && pause >= whole * second / 2, "{pause:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= second);
    }
}
