//! Hardware that an app was granted, singly, by connected plugs: embedded-hal's traits over what
//! appd hands to a service when it starts.
//!
//! | interface of the plug | function | what it gives |
//! |---|---|---|
//! | `gpio` | [`line()`] | a [`Line`]: [`line::Input`] and [`line::Output`] |
//! | `i2c` | [`i2c()`] | an [`I2c`], for one address |
//! | `spi` | [`spi()`] | a [`Spi`], for one chip select |
//! | `serial-port` | [`serial()`] | a [`std::fs::File`] |
//!
//! ```no_run
//! use embedded_hal::digital::OutputPin;
//! let mut led = hardware::line("led")?.into_output(false)?;
//! led.set_high()?;
//! # Ok::<(), hardware::Error>(())
//! ```
//!
//! What always holds: nothing but what was granted can be reached, whatever this crate does: a line
//! and a chip select are the kernel's own descriptors of them, and transfers on a bus are carried
//! out by appd, which knows the address. Errors name the plug.

mod error;
pub mod granted;
mod i2c;
pub mod line;
mod spi;
mod sys_hardware;
pub mod wire;

pub use error::Error;
pub use i2c::I2c;
pub use line::Line;
pub use spi::Spi;

use granted::{Kind, find};
use std::fs::File;

/// The GPIO line of a plug.
pub fn line(plug: &str) -> Result<Line, Error> {
    Ok(Line::new(plug, find(plug, Kind::GpioLine)?))
}

/// The I²C address of a plug.
pub fn i2c(plug: &str) -> Result<I2c, Error> {
    Ok(I2c::new(plug, find(plug, Kind::I2cAddress)?))
}

/// The SPI chip select of a plug.
pub fn spi(plug: &str) -> Result<Spi, Error> {
    Ok(Spi::new(plug, find(plug, Kind::SpiDevice)?))
}

/// The serial port of a plug; its speed is set by termios, as for any terminal.
pub fn serial(plug: &str) -> Result<File, Error> {
    find(plug, Kind::SerialPort).map(File::from)
}
