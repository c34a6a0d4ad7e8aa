//! A GPIO line, by the kernel's descriptor of it.

use crate::{Error, sys_hardware as sys};
use embedded_hal::digital::{ErrorType, InputPin, OutputPin, StatefulOutputPin};
use std::os::fd::OwnedFd;

/// A line of which nothing is decided yet: as it was when the service started, an input.
#[derive(Debug)]
pub struct Line {
    plug: String,
    fd: OwnedFd,
}

/// What keeps an input from floating.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pull {
    /// Something outside.
    #[default]
    None,
    /// The chip, to high.
    Up,
    /// The chip, to low.
    Down,
}

/// A line that is read.
#[derive(Debug)]
pub struct Input(Line);

/// A line that is driven.
#[derive(Debug)]
pub struct Output {
    line: Line,
    high: bool,
}

impl Line {
    pub(crate) fn new(plug: &str, fd: OwnedFd) -> Self {
        Self { plug: plug.into(), fd }
    }

    /// Reads it from here on.
    pub fn into_input(self, pull: Pull) -> Result<Input, Error> {
        let flags = sys::INPUT
            | match pull {
                Pull::None => 0,
                Pull::Up => sys::PULL_UP,
                Pull::Down => sys::PULL_DOWN,
            };
        sys::configure(&self.fd, flags, false).map_err(|e| Error::new(&self.plug, "read", e))?;
        Ok(Input(self))
    }

    /// Drives it from here on, first to this level.
    pub fn into_output(self, high: bool) -> Result<Output, Error> {
        let driven = sys::configure(&self.fd, sys::OUTPUT, high);
        driven.map_err(|e| Error::new(&self.plug, "drive", e))?;
        Ok(Output { line: self, high })
    }

    fn level(&self) -> Result<bool, Error> {
        sys::level(&self.fd).map_err(|e| Error::new(&self.plug, "read", e))
    }
}

impl ErrorType for Input {
    type Error = Error;
}

impl InputPin for Input {
    fn is_high(&mut self) -> Result<bool, Error> {
        self.0.level()
    }

    fn is_low(&mut self) -> Result<bool, Error> {
        self.0.level().map(|high| !high)
    }
}

impl Output {
    fn set(&mut self, high: bool) -> Result<(), Error> {
        let set = sys::set_level(&self.line.fd, high);
        set.map_err(|e| Error::new(&self.line.plug, "drive", e))?;
        self.high = high;
        Ok(())
    }
}

impl ErrorType for Output {
    type Error = Error;
}

impl OutputPin for Output {
    fn set_low(&mut self) -> Result<(), Error> {
        self.set(false)
    }

    fn set_high(&mut self) -> Result<(), Error> {
        self.set(true)
    }
}

impl StatefulOutputPin for Output {
    fn is_set_high(&mut self) -> Result<bool, Error> {
        Ok(self.high)
    }

    fn is_set_low(&mut self) -> Result<bool, Error> {
        Ok(!self.high)
    }
}
