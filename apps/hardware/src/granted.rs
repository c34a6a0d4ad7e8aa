//! What a service was granted: descriptors that it was started with, named in [`VARIABLE`] as
//! `PLUG:KIND=NUMBER`, with spaces between them.

use crate::Error;
use std::{
    fmt,
    io::{self, ErrorKind},
    os::fd::OwnedFd,
};

/// The environment variable.
pub const VARIABLE: &str = "HOLDFAST_HARDWARE";

/// What a descriptor refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A line of a GPIO chip, as the kernel's `gpio_v2_line_request` gives it.
    GpioLine,
    /// A socket to appd, for one address of a bus (`wire`).
    I2cAddress,
    /// A chip select, as spidev gives it.
    SpiDevice,
    /// A terminal device.
    SerialPort,
}

impl Kind {
    /// As it stands in the variable.
    pub fn name(self) -> &'static str {
        match self {
            Kind::GpioLine => "gpio-line",
            Kind::I2cAddress => "i2c-address",
            Kind::SpiDevice => "spi-device",
            Kind::SerialPort => "serial-port",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A copy of the descriptor of a plug.
pub(crate) fn find(plug: &str, kind: Kind) -> Result<OwnedFd, Error> {
    let failed = |cause| Error::new(plug, "find it", cause);
    let text = std::env::var(VARIABLE).unwrap_or_default();
    let number = number(&text, plug, kind).map_err(failed)?;
    crate::sys_hardware::copy(number).map_err(failed)
}

fn number(text: &str, plug: &str, kind: Kind) -> io::Result<i32> {
    let parts = text.split(' ').filter_map(|part| part.split_once('='));
    let mut parts = parts.filter_map(|(name, number)| Some((name.split_once(':')?, number)));
    match parts.find(|((name, _), _)| *name == plug) {
        Some(((_, granted), number)) if granted == kind.name() => {
            number.parse().map_err(io::Error::other)
        }
        Some(((_, granted), _)) => {
            let why = format!("{plug} is a {granted}, not a {kind}");
            Err(io::Error::new(ErrorKind::InvalidInput, why))
        }
        None => {
            let why = "not connected; see `snapctl connections`";
            Err(io::Error::new(ErrorKind::NotFound, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plug_is_found_by_name_and_must_be_of_the_kind() {
        let text = "led:gpio-line=3 sensor:i2c-address=4";
        assert_eq!(number(text, "led", Kind::GpioLine).unwrap(), 3);
        assert_eq!(number(text, "sensor", Kind::I2cAddress).unwrap(), 4);
        let wrong = number(text, "led", Kind::SpiDevice).unwrap_err().to_string();
        assert_eq!(wrong, "led is a gpio-line, not a spi-device");
        for text in ["", text, "other", "other=", "other:gpio-line=x"] {
            assert!(number(text, "other", Kind::GpioLine).is_err(), "{text}");
        }
    }
}
