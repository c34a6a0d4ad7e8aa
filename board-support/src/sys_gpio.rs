//! One line of the kernel's GPIO character device. Wraps ioctl(2), uAPI version 2 (`linux/gpio.h`).

use crate::{Error, board::GpioLine};
use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

const GET_CHIP_INFO: u32 = 0x8044_b401;
const GET_LINE: u32 = 0xc250_b407;
const GET_VALUES: u32 = 0xc010_b40e;
const SET_VALUES: u32 = 0xc010_b40f;

const FLAG_ACTIVE_LOW: u64 = 1 << 1;
const FLAG_INPUT: u64 = 1 << 2;
const FLAG_OUTPUT: u64 = 1 << 3;
const FLAG_PULL_UP: u64 = 1 << 8;
const FLAG_PULL_DOWN: u64 = 1 << 9;

#[repr(C)]
struct ChipInfo {
    name: [u8; 32],
    label: [u8; 32],
    lines: u32,
}

#[repr(C)]
struct Attribute {
    id: u32,
    padding: u32,
    value: u64,
    mask: u64,
}

#[repr(C)]
struct LineRequest {
    offsets: [u32; 64],
    consumer: [u8; 32],
    flags: u64,
    attribute_count: u32,
    padding: [u32; 5],
    attributes: [Attribute; 10],
    line_count: u32,
    event_buffer_size: u32,
    padding2: [u32; 5],
    fd: i32,
}

#[repr(C)]
struct LineValues {
    bits: u64,
    mask: u64,
}

// The numbers of the ioctls above contain these sizes.
const _: () = assert!(size_of::<ChipInfo>() == 0x44);
const _: () = assert!(size_of::<LineRequest>() == 0x250);
const _: () = assert!(size_of::<LineValues>() == 0x10);

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Read, with a pull to the inactive level.
    Input,
    /// Driven, inactive at first.
    Output,
}

/// A requested line; released when dropped.
pub struct Line {
    fd: OwnedFd,
    name: String,
}

impl Line {
    /// Requests a line of the chip with the given label.
    pub fn request(line: &GpioLine, direction: Direction) -> Result<Self, Error> {
        let name = format!("GPIO {} of {}", line.line, line.chip);
        let chip = find_chip(&line.chip)?;
        let fd = descriptor(&chip, line.line, flags(line.active_low, direction), "holdfast")
            .map_err(|e| Error::io("request", &name, e))?;
        Ok(Self { fd, name })
    }

    /// Drives the line.
    pub fn set(&self, active: bool) -> Result<(), Error> {
        let mut values = LineValues { bits: active.into(), mask: 1 };
        // SAFETY: the argument is a gpio_v2_line_values.
        call(unsafe { libc::ioctl(self.fd.as_raw_fd(), SET_VALUES as _, &mut values) })
            .map_err(|e| Error::io("set", &self.name, e))
    }

    /// Reads the line.
    pub fn get(&self) -> Result<bool, Error> {
        let mut values = LineValues { bits: 0, mask: 1 };
        // SAFETY: the argument is a gpio_v2_line_values.
        call(unsafe { libc::ioctl(self.fd.as_raw_fd(), GET_VALUES as _, &mut values) })
            .map_err(|e| Error::io("read", &self.name, e))?;
        Ok(values.bits & 1 != 0)
    }
}

/// Requests a line as an input, for somebody who decides what becomes of it: with the descriptor
/// its direction can be changed, and no other line can be reached.
pub fn line(chip: &File, line: u32, consumer: &str) -> io::Result<OwnedFd> {
    descriptor(chip, line, FLAG_INPUT, consumer)
}

fn descriptor(chip: &File, line: u32, flags: u64, consumer: &str) -> io::Result<OwnedFd> {
    let mut request = LineRequest {
        offsets: [0; 64],
        consumer: [0; 32],
        flags,
        attribute_count: 0,
        padding: [0; 5],
        attributes: [const { Attribute { id: 0, padding: 0, value: 0, mask: 0 } }; 10],
        line_count: 1,
        event_buffer_size: 0,
        padding2: [0; 5],
        fd: -1,
    };
    request.offsets[0] = line;
    // Room for the zero at the end.
    let name = &consumer.as_bytes()[..consumer.len().min(request.consumer.len() - 1)];
    request.consumer[..name.len()].copy_from_slice(name);
    // SAFETY: the argument is a gpio_v2_line_request of the size in the ioctl's number.
    call(unsafe { libc::ioctl(chip.as_raw_fd(), GET_LINE as _, &mut request) })?;
    // SAFETY: the kernel just opened the descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(request.fd as RawFd) })
}

fn flags(active_low: bool, direction: Direction) -> u64 {
    let level = if active_low { FLAG_ACTIVE_LOW } else { 0 };
    match direction {
        Direction::Output => level | FLAG_OUTPUT,
        Direction::Input if active_low => level | FLAG_INPUT | FLAG_PULL_UP,
        Direction::Input => level | FLAG_INPUT | FLAG_PULL_DOWN,
    }
}

fn find_chip(label: &str) -> Result<File, Error> {
    let entries = fs::read_dir("/dev").map_err(|e| Error::io("list", "/dev", e))?;
    let chips =
        entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("gpiochip"));
    for entry in chips {
        let Ok(chip) = File::options().read(true).write(true).open(entry.path()) else { continue };
        let mut info = ChipInfo { name: [0; 32], label: [0; 32], lines: 0 };
        // SAFETY: the argument is a gpiochip_info of the size in the ioctl's number.
        let found = call(unsafe { libc::ioctl(chip.as_raw_fd(), GET_CHIP_INFO as _, &mut info) });
        let end = info.label.iter().position(|b| *b == 0).unwrap_or(info.label.len());
        if found.is_ok() && &info.label[..end] == label.as_bytes() {
            return Ok(chip);
        }
    }
    Err(Error::invalid("GPIO", format!("no chip is labelled {label}")))
}

fn call(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
