//! System calls: `linux/gpio.h` (uAPI version 2), `linux/spi/spidev.h`, sockets. The only `unsafe`.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

const SET_CONFIG: u32 = 0xc110_b40d;
const GET_VALUES: u32 = 0xc010_b40e;
const SET_VALUES: u32 = 0xc010_b40f;
/// `SPI_IOC_MESSAGE(0)`; the size of the transfers is added.
const MESSAGE: u32 = 0x4000_6b00;

pub const INPUT: u64 = 1 << 2;
pub const OUTPUT: u64 = 1 << 3;
pub const PULL_UP: u64 = 1 << 8;
pub const PULL_DOWN: u64 = 1 << 9;
/// `GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES`
const OUTPUT_VALUES: u32 = 2;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attribute {
    id: u32,
    padding: u32,
    value: u64,
    mask: u64,
}

#[repr(C)]
#[derive(Default)]
struct LineConfig {
    flags: u64,
    attribute_count: u32,
    padding: [u32; 5],
    attributes: [Attribute; 10],
}

#[repr(C)]
struct LineValues {
    bits: u64,
    mask: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Transfer {
    sent: u64,
    received: u64,
    length: u32,
    speed_hz: u32,
    delay_us: u16,
    bits_per_word: u8,
    cs_change: u8,
    sent_nbits: u8,
    received_nbits: u8,
    word_delay_us: u8,
    padding: u8,
}

// The numbers of the ioctls above contain these sizes.
const _: () = assert!(size_of::<LineConfig>() == 0x110);
const _: () = assert!(size_of::<LineValues>() == 0x10);
const _: () = assert!(size_of::<Transfer>() == 32);

fn call(result: impl Into<i64>) -> io::Result<usize> {
    usize::try_from(result.into()).map_err(|_| io::Error::last_os_error())
}

/// A copy of a descriptor of this process, closed on exec.
pub fn copy(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes any number; it fails with EBADF when it is no descriptor.
    let copied = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    call(copied)?;
    // SAFETY: the kernel just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copied) })
}

/// Sets the direction of a line, and its level when it is driven.
pub fn configure(line: &OwnedFd, flags: u64, high: bool) -> io::Result<()> {
    let mut config = LineConfig { flags, ..LineConfig::default() };
    if flags & OUTPUT != 0 {
        config.attribute_count = 1;
        config.attributes[0] =
            Attribute { id: OUTPUT_VALUES, value: high.into(), mask: 1, ..Attribute::default() };
    }
    // SAFETY: the argument is a gpio_v2_line_config of the size in the ioctl's number.
    call(unsafe { libc::ioctl(line.as_raw_fd(), SET_CONFIG as _, &mut config) }).map(drop)
}

/// Whether a line is high.
pub fn level(line: &OwnedFd) -> io::Result<bool> {
    let mut values = LineValues { bits: 0, mask: 1 };
    // SAFETY: the argument is a gpio_v2_line_values of the size in the ioctl's number.
    call(unsafe { libc::ioctl(line.as_raw_fd(), GET_VALUES as _, &mut values) })?;
    Ok(values.bits & 1 != 0)
}

/// Drives a line.
pub fn set_level(line: &OwnedFd, high: bool) -> io::Result<()> {
    let mut values = LineValues { bits: high.into(), mask: 1 };
    // SAFETY: the argument is a gpio_v2_line_values of the size in the ioctl's number.
    call(unsafe { libc::ioctl(line.as_raw_fd(), SET_VALUES as _, &mut values) }).map(drop)
}

/// Sends and receives, buffer by buffer, with a pause in microseconds behind each.
pub fn transfer(
    device: &OwnedFd,
    buffers: &mut [(Vec<u8>, Vec<u8>)],
    delays: &[u16],
) -> io::Result<()> {
    let transfers: Vec<Transfer> = buffers
        .iter_mut()
        .zip(delays)
        .map(|((sent, received), delay)| Transfer {
            sent: sent.as_ptr() as u64,
            received: received.as_mut_ptr() as u64,
            // Larger ones than spidev takes, which are far below this, are refused by it.
            length: u32::try_from(sent.len()).unwrap_or(u32::MAX),
            delay_us: *delay,
            ..Transfer::default()
        })
        .collect();
    let size = u32::try_from(size_of_val(transfers.as_slice())).unwrap_or(u32::MAX);
    if size > 0x3fff {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let request = MESSAGE | size << 16;
    // SAFETY: the argument is an array of spi_ioc_transfer of the size in the ioctl's number; each
    // points at buffers of its length that outlive the call.
    call(unsafe { libc::ioctl(device.as_raw_fd(), request as _, transfers.as_ptr()) }).map(drop)
}

/// Sends one packet.
pub fn send(socket: &OwnedFd, packet: &[u8]) -> io::Result<()> {
    let (at, length) = (packet.as_ptr().cast(), packet.len());
    // SAFETY: pointer and length are those of a slice.
    let sent = unsafe { libc::send(socket.as_raw_fd(), at, length, libc::MSG_NOSIGNAL) };
    call(sent as i64).map(drop)
}

/// Receives one packet; its length.
pub fn receive(socket: &OwnedFd, into: &mut [u8]) -> io::Result<usize> {
    let (at, length) = (into.as_mut_ptr().cast(), into.len());
    // SAFETY: pointer and length are those of a slice that is ours alone.
    let received = unsafe { libc::recv(socket.as_raw_fd(), at, length, 0) };
    match call(received as i64)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        length => Ok(length),
    }
}
