//! Transfers on an I²C bus. Wraps ioctl(2), `linux/i2c-dev.h`.

use std::{fs::File, io, os::fd::AsRawFd};

const RDWR: u32 = 0x0707;
const READ: u16 = 1;

/// One message to or from a device.
#[derive(Debug)]
pub enum Message {
    /// These bytes to it.
    Write(Vec<u8>),
    /// As many bytes as fit, from it.
    Read(Vec<u8>),
}

#[repr(C)]
struct RawMessage {
    address: u16,
    flags: u16,
    length: u16,
    data: *mut u8,
}

#[repr(C)]
struct Transfer {
    messages: *mut RawMessage,
    count: u32,
}

/// All messages in one transfer, with repeated starts between them.
pub fn transfer(bus: &File, address: u8, messages: &mut [Message]) -> io::Result<()> {
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut raw = Vec::new();
    for message in messages {
        let (flags, data) = match message {
            Message::Write(data) => (0, data),
            Message::Read(data) => (READ, data),
        };
        let length = u16::try_from(data.len()).map_err(too_long)?;
        raw.push(RawMessage { address: address.into(), flags, length, data: data.as_mut_ptr() });
    }
    let count = u32::try_from(raw.len()).map_err(too_long)?;
    let mut transfer = Transfer { messages: raw.as_mut_ptr(), count };
    // SAFETY: the argument is an i2c_rdwr_ioctl_data; each message points at a buffer of its length
    // that outlives the call.
    let done = unsafe { libc::ioctl(bus.as_raw_fd(), RDWR as _, &mut transfer) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
