//! LOOP_CTL_GET_FREE and LOOP_CONFIGURE: a file as a block device. rustix has no wrapper for them.

use crate::error::{Context, Error, Result};
use rustix::fs::{Mode, OFlags};
use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

const LOOP_CTL_GET_FREE: u32 = 0x4c82;
const LOOP_CONFIGURE: u32 = 0x4c0a;
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const DIRECT_IO: u32 = 16;
/// Somebody else may take the free device first; this often in a row is no accident.
const ATTEMPTS: usize = 16;

/// `struct loop_info64`
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// A block device over a file, read-only. It goes away with its last user: this value or a mount.
#[derive(Debug)]
pub struct LoopDevice {
    /// Path of the block device.
    pub path: PathBuf,
    _device: OwnedFd,
}

/// Attaches the first `size` bytes of `file`.
pub fn attach(file: &Path, size: u64) -> Result<LoopDevice> {
    let backing = File::open(file).at("open", file)?;
    // Read-only: the device's kernel mounts no block device that somebody holds open for writing.
    let open = |path: &Path| {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at("open", path)
    };
    let control = open(Path::new("/dev/loop-control"))?;
    for _ in 0..ATTEMPTS {
        // SAFETY: takes no argument; returns a number.
        let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
        if number < 0 {
            return Err(io::Error::last_os_error()).context("find", "free loop device");
        }
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open(&path)?;
        match configure(&device, &backing, size) {
            Ok(()) => return Ok(LoopDevice { path, _device: device }),
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {}
            Err(e) => return Err(e).at("attach loop device to", file),
        }
    }
    Err(Error::refused("busy", format!("no free loop device for {}", file.display())))
}

fn configure(device: &OwnedFd, backing: &File, size: u64) -> io::Result<()> {
    // SAFETY: all-zero is a valid value of this plain C struct.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = backing.as_raw_fd() as u32;
    config.info.sizelimit = size;
    config.info.flags = READ_ONLY | AUTOCLEAR | DIRECT_IO;
    // SAFETY: `config` has the layout of the kernel's struct and lives throughout the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
