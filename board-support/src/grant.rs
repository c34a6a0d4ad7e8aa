//! Single pieces of hardware for somebody else: a descriptor where the kernel has one that reaches
//! nothing else, transfers where it has not.
//!
//! The kernel's character devices on every board: what rppal maps from a Raspberry Pi's registers
//! reaches all lines at once and cannot be given away singly.

use crate::{Error, sys_gpio, sys_i2c};
use std::{fs::File, os::fd::OwnedFd};

pub use sys_i2c::Message;

fn open(path: &str) -> Result<File, Error> {
    let opened = File::options().read(true).write(true).open(path);
    opened.map_err(|e| Error::io("open", path, e))
}

/// A line of a GPIO chip, an input until it is configured. It is free again when its last
/// descriptor is closed.
pub fn gpio_line(chip: u32, line: u32, consumer: &str) -> Result<OwnedFd, Error> {
    let path = format!("/dev/gpiochip{chip}");
    let descriptor = sys_gpio::line(&open(&path)?, line, consumer);
    descriptor.map_err(|e| Error::io("request line of", format!("{path}: {line}"), e))
}

/// A chip select of a SPI bus.
pub fn spi_device(bus: u32, select: u32) -> Result<OwnedFd, Error> {
    open(&format!("/dev/spidev{bus}.{select}")).map(OwnedFd::from)
}

/// A serial port by its name in `/dev`, which begins with `tty` and a letter: `tty1` and `tty` are
/// consoles, not ports.
pub fn serial_port(name: &str) -> Result<OwnedFd, Error> {
    let path = format!("/dev/{name}");
    let is_port = name.strip_prefix("tty").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_uppercase())
            && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    match is_port {
        true => open(&path).map(OwnedFd::from),
        false => Err(Error::invalid(path, "not the name of a serial port")),
    }
}

/// An I²C bus, of which one address is reached.
#[derive(Debug)]
pub struct I2cAddress {
    bus: File,
    address: u8,
}

impl I2cAddress {
    /// An address of a bus.
    pub fn open(bus: u32, address: u8) -> Result<Self, Error> {
        Ok(Self { bus: open(&format!("/dev/i2c-{bus}"))?, address })
    }

    /// The address.
    pub fn address(&self) -> u8 {
        self.address
    }

    /// Carries out all messages in one transfer.
    pub fn transfer(&self, messages: &mut [Message]) -> std::io::Result<()> {
        sys_i2c::transfer(&self.bus, self.address, messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_serial_ports_are_serial_ports() {
        for name in ["tty", "tty1", "ttyS0/../mem", "mem", "", "ttyp0"] {
            let refused = serial_port(name).unwrap_err();
            assert!(matches!(refused, Error::Invalid { .. }), "{name}: {refused}");
        }
        assert!(matches!(serial_port("ttyUSB77").unwrap_err(), Error::Io { .. }));
    }
}
