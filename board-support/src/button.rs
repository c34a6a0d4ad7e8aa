//! The reset button: what a press of which length means. Pure but for its pin; polled, as not every
//! chip has edges.
//!
//! A short press does nothing (things bump into buttons); held [`HOLD_MS`] it means
//! [`Press::Reboot`]. There is no press that rolls back or erases: both lose something, and a
//! person who stands at the device can flash the card.

use embedded_hal::digital::InputPin;

/// Held this long, a press counts.
pub const HOLD_MS: u64 = 5_000;
/// The pin should be looked at this often.
pub const POLL_MS: u64 = 500;

/// What a press means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// An orderly reboot.
    Reboot,
}

/// A button on a pin; high means pressed.
#[derive(Debug)]
pub struct ResetButton<P> {
    pin: P,
    since: Option<u64>,
    told: bool,
    seen_released: bool,
}

impl<P: InputPin> ResetButton<P> {
    /// A button that nobody has pressed yet.
    pub fn new(pin: P) -> Self {
        Self { pin, since: None, told: false, seen_released: false }
    }

    /// Looks at the pin at time `now` (milliseconds). A press is told once, and only after the
    /// button was seen released: one that is stuck or wired wrongly must not reboot the device over
    /// and over.
    pub fn tick(&mut self, now: u64) -> Result<Option<Press>, P::Error> {
        if !self.pin.is_high()? {
            (self.since, self.told, self.seen_released) = (None, false, true);
            return Ok(None);
        }
        let since = *self.since.get_or_insert(now);
        if self.told || !self.seen_released || now.saturating_sub(since) < HOLD_MS {
            return Ok(None);
        }
        self.told = true;
        Ok(Some(Press::Reboot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal::digital::ErrorType;
    use std::convert::Infallible;

    struct Script(Vec<bool>);

    impl ErrorType for Script {
        type Error = Infallible;
    }

    impl InputPin for Script {
        fn is_high(&mut self) -> Result<bool, Infallible> {
            Ok(self.0.remove(0))
        }
        fn is_low(&mut self) -> Result<bool, Infallible> {
            self.is_high().map(|high| !high)
        }
    }

    /// Which looks, one a second, tell a press.
    fn told(levels: &str) -> Vec<usize> {
        let mut button = ResetButton::new(Script(levels.chars().map(|c| c == '#').collect()));
        (0..levels.len())
            .filter(|second| button.tick(*second as u64 * 1000).unwrap().is_some())
            .collect()
    }

    #[test]
    fn only_a_long_press_after_a_release_counts_and_only_once() {
        assert_eq!(told("..####.."), [0; 0], "too short");
        assert_eq!(told("..##########"), [7], "held");
        assert_eq!(told("##########"), [0; 0], "stuck from the start");
        assert_eq!(told(".###.#######"), [10], "bounced");
        assert_eq!(told(".######.######"), [6, 13], "twice");
    }
}
