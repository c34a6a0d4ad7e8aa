//! What a person sees and touches: the status LED follows health and updates, the reset button held
//! long asks for a reboot. A board without either has none; one that fails is left alone
//! afterwards.

use board_support::{
    Board,
    button::{POLL_MS, Press, ResetButton},
    led::{Pattern, StatusLed},
    pins::{self, BoxedInput, BoxedOutput},
};
use protocol::control::Health;

/// LED and button.
pub struct Panel {
    led: Option<StatusLed<BoxedOutput>>,
    button: Option<ResetButton<BoxedInput>>,
    button_next: u64,
    updating: bool,
    health: Pattern,
}

impl Panel {
    /// The board's; what cannot be opened is a warning.
    pub fn of(board: &Board, warnings: &mut Vec<String>) -> Self {
        let mut failed = |what: &str, error: board_support::Error| {
            warnings.push(format!("{what}: {error}"));
        };
        let led = board.device.led.as_ref().map(pins::output).and_then(|opened| {
            opened.map_err(|error| failed("status LED", error)).ok().map(StatusLed::new)
        });
        let button = board.device.button.as_ref().map(pins::input).and_then(|opened| {
            opened.map_err(|error| failed("reset button", error)).ok().map(ResetButton::new)
        });
        Self { led, button, button_next: 0, updating: false, health: Pattern::Booting }
    }

    /// Follows the health gate.
    pub fn health(&mut self, health: &Health) {
        self.health = match health {
            Health::Starting(_) => Pattern::Booting,
            Health::Healthy => Pattern::Healthy,
            Health::Unhealthy(_) => Pattern::Failed,
        };
    }

    /// Follows the updater.
    pub fn updating(&mut self, updating: bool) {
        self.updating = updating;
    }

    /// Sets the LED and looks at the button.
    pub fn tick(&mut self, now: u64) -> Option<Press> {
        let pattern = match (self.updating, self.health) {
            (true, Pattern::Healthy) => Pattern::Updating,
            (_, health) => health,
        };
        if self.led.as_mut().is_some_and(|led| led.tick(pattern, now).is_err()) {
            self.led = None;
        }
        if now < self.button_next {
            return None;
        }
        self.button_next = now + POLL_MS;
        let pressed = self.button.as_mut()?.tick(now);
        pressed.unwrap_or_else(|_| {
            self.button = None;
            None
        })
    }

    /// When [`Panel::tick`] is next to be called.
    pub fn next_deadline(&self) -> Option<u64> {
        let led = self.led.as_ref().and_then(StatusLed::next_deadline);
        led.into_iter().chain(self.button.as_ref().map(|_| self.button_next)).min()
    }
}
