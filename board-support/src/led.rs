//! Patterns of the status LED. Pure: it is told the time and says when it wants to be called again.
//!
//! | pattern | looks like |
//! |---|---|
//! | booting | even blinking, twice a second |
//! | healthy | on, with a short gap every four seconds |
//! | updating | fast blinking |
//! | failed | three short flashes, then a pause |

use embedded_hal::digital::OutputPin;

/// What the LED tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// The health gate has not decided.
    Booting,
    /// All is well.
    Healthy,
    /// An update is being written.
    Updating,
    /// Something needs a person.
    Failed,
}

impl Pattern {
    /// Durations in milliseconds, on and off in turn, over and over.
    fn durations(self) -> &'static [u64] {
        match self {
            Self::Booting => &[250, 250],
            Self::Healthy => &[3900, 100],
            Self::Updating => &[60, 60],
            Self::Failed => &[120, 180, 120, 180, 120, 1280],
        }
    }
}

/// A pattern on a pin; high means lit.
#[derive(Debug)]
pub struct StatusLed<P> {
    pin: P,
    pattern: Option<Pattern>,
    began: u64,
    lit: Option<bool>,
    next: Option<u64>,
}

impl<P: OutputPin> StatusLed<P> {
    /// A LED that shows nothing yet.
    pub fn new(pin: P) -> Self {
        Self { pin, pattern: None, began: 0, lit: None, next: None }
    }

    /// Shows `pattern` at time `now` (milliseconds).
    pub fn tick(&mut self, pattern: Pattern, now: u64) -> Result<(), P::Error> {
        if self.pattern != Some(pattern) {
            self.pattern = Some(pattern);
            self.began = now;
        }
        let durations = pattern.durations();
        let whole: u64 = durations.iter().sum();
        let mut left = now.saturating_sub(self.began) % whole;
        let mut lit = true;
        for duration in durations {
            if left < *duration {
                self.next = Some(now + duration - left);
                break;
            }
            left -= duration;
            lit = !lit;
        }
        if self.lit != Some(lit) {
            self.lit = Some(lit);
            if lit { self.pin.set_high()? } else { self.pin.set_low()? }
        }
        Ok(())
    }

    /// When the LED changes next, in milliseconds; `None` before the first pattern.
    pub fn next_deadline(&self) -> Option<u64> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::digital::ErrorType;
    use std::convert::Infallible;

    #[derive(Default)]
    struct Recorder(Vec<bool>);

    impl ErrorType for Recorder {
        type Error = Infallible;
    }

    impl OutputPin for Recorder {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0.push(false);
            Ok(())
        }
        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0.push(true);
            Ok(())
        }
    }

    fn changes(pattern: Pattern) -> Vec<u64> {
        let mut led = StatusLed::new(Recorder::default());
        let mut times = Vec::new();
        let mut now = 5000;
        for _ in 0..7 {
            led.tick(pattern, now).unwrap();
            times.push(now - 5000);
            now = led.next_deadline().unwrap();
        }
        assert_eq!(led.pin.0, [true, false, true, false, true, false, true]);
        times
    }

    #[test]
    fn each_pattern_changes_when_the_table_says() {
        assert_eq!(changes(Pattern::Booting), [0, 250, 500, 750, 1000, 1250, 1500]);
        assert_eq!(changes(Pattern::Healthy), [0, 3900, 4000, 7900, 8000, 11_900, 12_000]);
        assert_eq!(changes(Pattern::Failed), [0, 120, 300, 420, 600, 720, 2000]);
    }

    #[test]
    fn a_new_pattern_starts_at_once_and_the_pin_is_only_touched_for_a_change() {
        let mut led = StatusLed::new(Recorder::default());
        led.tick(Pattern::Booting, 300).unwrap();
        led.tick(Pattern::Booting, 400).unwrap();
        led.tick(Pattern::Booting, 560).unwrap();
        led.tick(Pattern::Healthy, 570).unwrap();
        assert_eq!(led.pin.0, [true, false, true]);
    }
}
