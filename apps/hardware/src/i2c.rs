//! An I²C address, through appd.

use crate::{
    Error, sys_hardware as sys,
    wire::{self, Operation, Request},
};
use embedded_hal::i2c::{self, ErrorType, SevenBitAddress};
use std::{
    io::{self, ErrorKind},
    os::fd::OwnedFd,
};

/// One address of a bus. Another address than the granted one is refused by appd.
#[derive(Debug)]
pub struct I2c {
    plug: String,
    socket: OwnedFd,
}

impl I2c {
    pub(crate) fn new(plug: &str, socket: OwnedFd) -> Self {
        Self { plug: plug.into(), socket }
    }

    fn error(&self, cause: io::Error) -> Error {
        Error::new(&self.plug, "transfer", cause)
    }

    fn exchange(&self, packet: &[u8]) -> io::Result<Vec<u8>> {
        sys::send(&self.socket, packet)?;
        let mut answer = vec![0; wire::MAX_PACKET];
        let length = sys::receive(&self.socket, &mut answer)?;
        answer.truncate(length);
        Ok(answer)
    }
}

impl ErrorType for I2c {
    type Error = Error;
}

impl i2c::I2c<SevenBitAddress> for I2c {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [i2c::Operation<'_>],
    ) -> Result<(), Error> {
        let too_long =
            |_| self.error(io::Error::new(ErrorKind::InvalidInput, "longer than appd takes"));
        let asked = operations.iter().map(|operation| match operation {
            i2c::Operation::Write(data) => Ok(Operation::Write(data.to_vec())),
            i2c::Operation::Read(into) => u16::try_from(into.len()).map(Operation::Read),
        });
        let asked = asked.collect::<Result<Vec<_>, _>>().map_err(|_| too_long(()))?;
        if asked.is_empty() {
            return Ok(());
        }
        let packet = Request { address, operations: asked }.encode().ok_or(()).map_err(too_long)?;
        let answer = self.exchange(&packet).map_err(|cause| self.error(cause))?;
        let mut read = match wire::read_response(&answer) {
            Some(Ok(read)) => read,
            Some(Err(number)) => return Err(self.error(io::Error::from_raw_os_error(number))),
            None => return Err(self.error(ErrorKind::InvalidData.into())),
        };
        for operation in operations {
            if let i2c::Operation::Read(into) = operation {
                let (part, rest) = read
                    .split_at_checked(into.len())
                    .ok_or_else(|| self.error(ErrorKind::InvalidData.into()))?;
                into.copy_from_slice(part);
                read = rest;
            }
        }
        Ok(())
    }
}
