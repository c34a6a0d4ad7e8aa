//! The crate's error.

use embedded_hal::{digital, i2c, spi};
use std::{fmt, io};

/// What could not be done, with which plug, and why.
#[derive(Debug)]
pub struct Error {
    plug: String,
    what: &'static str,
    cause: io::Error,
}

impl Error {
    pub(crate) fn new(plug: &str, what: &'static str, cause: io::Error) -> Self {
        Self { plug: plug.into(), what, cause }
    }

    /// The system's reason.
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plug {}: {}: {}", self.plug, self.what, self.cause)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl digital::Error for Error {
    fn kind(&self) -> digital::ErrorKind {
        digital::ErrorKind::Other
    }
}

impl spi::Error for Error {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

impl i2c::Error for Error {
    /// As the kernel's drivers tell it (Documentation/i2c/fault-codes).
    fn kind(&self) -> i2c::ErrorKind {
        match self.cause.raw_os_error() {
            Some(libc::ENXIO | libc::EREMOTEIO) => {
                i2c::ErrorKind::NoAcknowledge(i2c::NoAcknowledgeSource::Unknown)
            }
            Some(libc::EAGAIN) => i2c::ErrorKind::ArbitrationLoss,
            _ => i2c::ErrorKind::Other,
        }
    }
}
