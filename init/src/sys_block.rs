//! Size changes of a partition and of the ext4 in it, both while in use. Wraps ioctl(2): BLKPG,
//! EXT4_IOC_RESIZE_FS.

use std::{io, os::fd::AsRawFd};

const BLKPG: u32 = 0x1269;
const BLKPG_RESIZE_PARTITION: i32 = 3;
/// `_IOW('f', 16, __u64)`
const EXT4_IOC_RESIZE_FS: u32 = 0x4008_6610;

#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

#[repr(C)]
struct BlkpgArgument {
    operation: i32,
    flags: i32,
    data_length: i32,
    data: *mut BlkpgPartition,
}

/// Tells the kernel the new length of a partition of the open `disk`; start and length in bytes.
pub fn resize_partition(
    disk: &impl AsRawFd,
    number: i32,
    start: u64,
    length: u64,
) -> io::Result<()> {
    let mut partition = BlkpgPartition {
        start: start as i64,
        length: length as i64,
        number,
        device_name: [0; 64],
        volume_name: [0; 64],
    };
    let mut argument = BlkpgArgument {
        operation: BLKPG_RESIZE_PARTITION,
        flags: 0,
        data_length: size_of::<BlkpgPartition>() as i32,
        data: &mut partition,
    };
    // SAFETY: BLKPG reads a blkpg_ioctl_arg whose data points to a blkpg_partition; both live until
    // the call returns.
    let result = unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG as _, &mut argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Grows the mounted ext4 that the open file or directory lies on to `blocks` of its block size.
pub fn resize_ext4(mounted: &impl AsRawFd, blocks: u64) -> io::Result<()> {
    // SAFETY: the kernel reads one u64 from the pointer.
    let result = unsafe { libc::ioctl(mounted.as_raw_fd(), EXT4_IOC_RESIZE_FS as _, &blocks) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
