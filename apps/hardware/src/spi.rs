//! A chip select of a SPI bus, by spidev's descriptor of it.

use crate::{Error, sys_hardware as sys};
use embedded_hal::spi::{ErrorType, Operation, SpiDevice};
use std::{io, os::fd::OwnedFd};

/// Most operations in one transaction: their size is a field of 14 bits in the ioctl's number.
const MAX_OPERATIONS: usize = 511;

/// One chip select. Mode and speed are what the device tree says, until they are set by ioctl.
#[derive(Debug)]
pub struct Spi {
    plug: String,
    fd: OwnedFd,
}

impl Spi {
    pub(crate) fn new(plug: &str, fd: OwnedFd) -> Self {
        Self { plug: plug.into(), fd }
    }
}

impl ErrorType for Spi {
    type Error = Error;
}

impl SpiDevice for Spi {
    /// All operations under one selection.
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), Error> {
        let failed = |cause| Error::new(&self.plug, "transfer", cause);
        if operations.len() > MAX_OPERATIONS {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        // What is written and read in one buffer, or in two of different lengths, is copied.
        let mut buffers: Vec<(Vec<u8>, Vec<u8>)> = operations
            .iter()
            .map(|operation| match operation {
                Operation::Read(into) => (vec![0; into.len()], vec![0; into.len()]),
                Operation::Write(data) => (data.to_vec(), vec![0; data.len()]),
                Operation::Transfer(into, data) => {
                    let length = into.len().max(data.len());
                    let mut sent = data.to_vec();
                    sent.resize(length, 0);
                    (sent, vec![0; length])
                }
                Operation::TransferInPlace(data) => (data.to_vec(), vec![0; data.len()]),
                Operation::DelayNs(_) => (Vec::new(), Vec::new()),
            })
            .collect();
        let delays = operations.iter().map(|operation| match operation {
            Operation::DelayNs(nanoseconds) => nanoseconds.div_ceil(1000).min(u16::MAX.into()),
            _ => 0,
        });
        let delays: Vec<u16> = delays.map(|us| u16::try_from(us).unwrap_or(u16::MAX)).collect();
        sys::transfer(&self.fd, &mut buffers, &delays).map_err(failed)?;
        for (operation, (_, received)) in operations.iter_mut().zip(buffers) {
            match operation {
                Operation::Read(into) | Operation::TransferInPlace(into) => {
                    into.copy_from_slice(&received);
                }
                Operation::Transfer(into, _) => into.copy_from_slice(&received[..into.len()]),
                Operation::Write(_) | Operation::DelayNs(_) => {}
            }
        }
        Ok(())
    }
}
