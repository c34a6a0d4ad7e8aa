//! Hardware that a service was granted: descriptors that it is started with, and transfers that are
//! carried out for it.
//!
//! What always holds: a service gets a descriptor of nothing but what its plugs were connected to;
//! a line or port that another service has is an error that says so, and the service is not
//! started; a bus that hangs keeps nothing waiting but who asked.

use crate::{
    error::{Context, Error, Result},
    interface::{Granted, Hardware},
    pidfd::Watched,
};
use board_support::grant::{self, I2cAddress, Message};
use hardware::{
    granted::{Kind, VARIABLE},
    wire::{self, Operation, Request},
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

/// Code of hardware that is not there, or taken.
const HARDWARE_CODE: &str = "hardware";

/// First descriptor of a program that is no standard one.
const FIRST: usize = 3;

/// What is handed to a service.
pub struct Handed(Vec<(String, Kind, OwnedFd)>);

impl Handed {
    /// The descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(_, _, fd)| fd.as_fd())
    }

    /// The variable that names them, when `before` other descriptors come first.
    pub fn variable(&self, before: usize) -> Option<(String, String)> {
        let numbered = (FIRST + before..).zip(&self.0);
        let words: Vec<String> =
            numbered.map(|(number, (plug, kind, _))| format!("{plug}:{kind}={number}")).collect();
        (!words.is_empty()).then(|| (VARIABLE.to_string(), words.join(" ")))
    }
}

/// Opens what the plugs of a service are connected to.
pub fn open(granted: &[Granted]) -> Result<Handed> {
    let mut handed = Vec::new();
    for plug in granted {
        let Some(hardware) = plug.interface.hardware else { continue };
        let failed = |error: board_support::Error| {
            Error::refused(HARDWARE_CODE, format!("plug {}: {error}", plug.plug))
        };
        let number = |name| plug.number(name);
        let (kind, fd) = match hardware {
            Hardware::GpioLine => {
                let line = grant::gpio_line(number("chip"), number("line"), &plug.plug);
                (Kind::GpioLine, line.map_err(failed)?)
            }
            Hardware::SpiDevice => {
                let device = grant::spi_device(number("bus"), number("select"));
                (Kind::SpiDevice, device.map_err(failed)?)
            }
            Hardware::SerialPort => {
                (Kind::SerialPort, grant::serial_port(plug.name("port")).map_err(failed)?)
            }
            Hardware::I2cAddress => {
                let address = u8::try_from(number("address")).unwrap_or(u8::MAX);
                let bus = I2cAddress::open(number("bus"), address).map_err(failed)?;
                (Kind::I2cAddress, broker(bus)?)
            }
        };
        handed.push((plug.plug.clone(), kind, fd));
    }
    Ok(Handed(handed))
}

/// Serves one address until the last descriptor of the other end is closed.
fn broker(bus: I2cAddress) -> Result<OwnedFd> {
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .context("make", "socket of an address")?;
    rustix::io::ioctl_fionbio(&ours, true).context("make", "socket of an address")?;
    let ours = Watched::new(ours).context("watch", "socket of an address")?;
    tokio::task::spawn_local(serve(ours, Arc::new(bus)));
    Ok(theirs)
}

async fn serve(socket: Watched, bus: Arc<I2cAddress>) {
    let mut packet = vec![0; wire::MAX_PACKET];
    loop {
        let received = socket.when_readable(|fd| {
            Ok(rustix::net::recv(fd, packet.as_mut_slice(), RecvFlags::empty())?)
        });
        let length = match received.await {
            Ok((0, _)) | Err(_) => return,
            Ok((length, _)) => length,
        };
        let request = Request::decode(&packet[..length]);
        let bus = bus.clone();
        let done = tokio::task::spawn_blocking(move || {
            carry_out(request, bus.address(), |messages| bus.transfer(messages))
        });
        let answer = done.await.unwrap_or_else(|_| wire::response(Err(libc::EIO)));
        // A client that does not read its answers gets none.
        if rustix::net::send(socket.as_fd(), &answer, SendFlags::NOSIGNAL).is_err() {
            return;
        }
    }
}

/// The answer to a request. Another address than the granted one is refused.
fn carry_out(
    request: Option<Request>,
    address: u8,
    transfer: impl FnOnce(&mut [Message]) -> std::io::Result<()>,
) -> Vec<u8> {
    let Some(request) = request else { return wire::response(Err(libc::EINVAL)) };
    if request.address != address {
        return wire::response(Err(libc::EACCES));
    }
    let message = |operation| match operation {
        Operation::Write(data) => Message::Write(data),
        Operation::Read(length) => Message::Read(vec![0; length.into()]),
    };
    let mut messages: Vec<Message> = request.operations.into_iter().map(message).collect();
    if let Err(error) = transfer(&mut messages) {
        return wire::response(Err(error.raw_os_error().unwrap_or(libc::EIO)));
    }
    let read = messages.into_iter().filter_map(|message| match message {
        Message::Read(data) => Some(data),
        Message::Write(_) => None,
    });
    wire::response(Ok(read.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(address: u8) -> Option<Request> {
        let operations = vec![Operation::Write(vec![0]), Operation::Read(2)];
        Some(Request { address, operations })
    }

    #[test]
    fn only_the_granted_address_is_reached() {
        let answer = carry_out(request(0x48), 0x48, |messages| {
            assert!(matches!(&messages[0], Message::Write(data) if data == &[0]));
            if let Message::Read(data) = &mut messages[1] {
                data.copy_from_slice(&[25, 0]);
            }
            Ok(())
        });
        assert_eq!(wire::read_response(&answer), Some(Ok(&[25, 0][..])));
        let never = |_: &mut [Message]| panic!("the bus is not touched");
        for (request, error) in [(request(0x49), libc::EACCES), (None, libc::EINVAL)] {
            let answer = carry_out(request, 0x48, never);
            assert_eq!(wire::read_response(&answer), Some(Err(error)));
        }
        let absent = |_: &mut [Message]| Err(std::io::Error::from_raw_os_error(libc::ENXIO));
        let answer = carry_out(request(0x48), 0x48, absent);
        assert_eq!(wire::read_response(&answer), Some(Err(libc::ENXIO)));
    }
}
